/*
 * What Embedded Swift cannot say, for the preload library alone: the next definition of a hooked
 * function (RTLD_NEXT, variadic calls), raw system calls that do not pass the library's own hooks,
 * atomics on mapped memory, futexes, userfaultfd, fopencookie and descriptor passing.
 *
 * Every `ossc_` function answers a system call as -errno, never through errno, unless it says so.
 */
#ifndef MODELCACHE_PRELOAD_SHIM_H
#define MODELCACHE_PRELOAD_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include "agent_wire.h"
#include "preload_next.h"

#define OSSC_PATH_MAX 4096
/* Descriptors from here on cannot be managed; a file opened there is waited for as a whole. */
#ifndef OSSC_TABLE_ENTRIES
#define OSSC_TABLE_ENTRIES 65536
#endif
enum { OSSC_DESCRIPTORS = OSSC_TABLE_ENTRIES };

/* ---- records shared by threads ------------------------------------------------------------- */

/* One incomplete object this process has opened. Never freed: there are as many as the model has
 * objects, and a reader on another thread may hold one without a lock. */
struct ossc_file {
    struct ossc_file *next;
    const struct mc_presence_header *header;  /* mapped read-only, for the life of the process */
    const uint64_t *visible;
    const char *cache;      /* cache directory, no trailing slash */
    const char *key;        /* below the cache directory */
    uint64_t device, inode;
    uint64_t bytes, chunk_bytes, chunk_count;
    uint32_t index;
    uint32_t epoch;         /* epoch under which bytes were first used; 0: none yet. Atomic. */
    uint32_t complete;      /* atomic */
    uint32_t failure_told;  /* atomic */
};

/* One read-only mapping, registered with userfaultfd, of a file that is not complete. */
struct ossc_region {
    struct ossc_region *next;
    struct ossc_file *file;
    uint64_t start, end;    /* addresses */
    uint64_t offset;        /* in the file, of `start` */
    uint32_t protection;    /* PROT_ bits */
    uint32_t locked;        /* mlocked: its pages are never dropped */
};

/* A stdio stream over a managed descriptor. */
struct ossc_stream {
    struct ossc_stream *next;
    void *stream;           /* FILE * */
    void *buffer;           /* OSSC_STREAM_BUFFER bytes, kept with the record */
    int descriptor;
};
enum { OSSC_STREAM_BUFFER = 32768 };

/* A directory listing that goes on with a second directory. */
struct ossc_listing {
    struct ossc_listing *next;
    void *first, *second;   /* DIR *: the directory the program opened, and the cache's of the same name */
    uint32_t on_second;
};

/* ---- atomics ------------------------------------------------------------------------------- */

static inline uint32_t ossc_load32(const void *p) { return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE); }
static inline uint64_t ossc_load64(const void *p) { return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE); }
static inline uint32_t ossc_file_epoch(const struct ossc_file *f) { return __atomic_load_n(&f->epoch, __ATOMIC_ACQUIRE); }
/* Sets the epoch if none was set; answers the one that holds. */
static inline uint32_t ossc_file_use_epoch(struct ossc_file *f, uint32_t epoch)
{
    uint32_t none = 0;
    return __atomic_compare_exchange_n(&f->epoch, &none, epoch, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ? epoch : none;
}
static inline int ossc_file_is_complete(const struct ossc_file *f) { return __atomic_load_n(&f->complete, __ATOMIC_ACQUIRE) != 0; }
static inline void ossc_file_set_complete(struct ossc_file *f) { __atomic_store_n(&f->complete, 1u, __ATOMIC_RELEASE); }
/* True for the first caller alone. */
static inline int ossc_file_tell_failure(struct ossc_file *f) { return __atomic_exchange_n(&f->failure_told, 1u, __ATOMIC_ACQ_REL) == 0; }
static inline uint32_t ossc_state(const struct mc_presence_header *h) { return ossc_load32(&h->state); }
static inline uint32_t ossc_epoch(const struct mc_presence_header *h) { return ossc_load32(&h->epoch); }
static inline uint32_t ossc_sequence(const struct mc_presence_header *h) { return ossc_load32(&h->sequence); }
/* The futex word to wait on. */
static inline const void *ossc_sequence_word(const struct mc_presence_header *h) { return &h->sequence; }
static inline const char *ossc_message(const struct mc_presence_header *h) { return h->message; }
static inline int ossc_visible(const struct ossc_file *f, uint64_t chunk)
{
    return (int)((__atomic_load_n(&f->visible[chunk / 64], __ATOMIC_ACQUIRE) >> (chunk % 64)) & 1u);
}

/* ---- descriptor table ---------------------------------------------------------------------- */

extern struct ossc_file *ossc_table[OSSC_DESCRIPTORS];

static inline struct ossc_file *ossc_managed(int fd)
{
    if ((unsigned)fd >= OSSC_DESCRIPTORS) return 0;
    return __atomic_load_n(&ossc_table[fd], __ATOMIC_ACQUIRE);
}
/* Whether a descriptor may be managed. The address alone is looked at, so no order is needed. */
static inline int ossc_may_be_managed(int fd)
{
    return (unsigned)fd < OSSC_DESCRIPTORS && __builtin_expect(__atomic_load_n(&ossc_table[fd], __ATOMIC_RELAXED) != 0, 0);
}
static inline void ossc_set_managed(int fd, struct ossc_file *file)
{
    if ((unsigned)fd < OSSC_DESCRIPTORS) __atomic_store_n(&ossc_table[fd], file, __ATOMIC_RELEASE);
}
/* Clears the entry if it still is `file`. */
static inline void ossc_forget(int fd, struct ossc_file *file)
{
    if ((unsigned)fd < OSSC_DESCRIPTORS)
        __atomic_compare_exchange_n(&ossc_table[fd], &file, (struct ossc_file *)0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* ---- the switch ---------------------------------------------------------------------------- */

enum { OSSC_UNKNOWN = 0, OSSC_OFF = 1, OSSC_ON = 2, OSSC_STARTING = 3 };
extern uint32_t ossc_switch;
static inline uint32_t ossc_switch_state(void) { return __atomic_load_n(&ossc_switch, __ATOMIC_ACQUIRE); }
static inline int ossc_is_on(void) { return __builtin_expect(ossc_switch_state() == OSSC_ON, 0); }
static inline void ossc_set_switch(uint32_t value) { __atomic_store_n(&ossc_switch, value, __ATOMIC_RELEASE); }
/* True for the one caller that must start the library. */
static inline int ossc_claim_start(void)
{
    uint32_t unknown = OSSC_UNKNOWN;
    return __atomic_compare_exchange_n(&ossc_switch, &unknown, OSSC_STARTING, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
/* Written in Swift: reads the settings and turns the switch. */
void ossc_start(void);
/* Resolves the functions an allocator may call, so that no hook does it under an allocator's lock. */
void ossc_resolve_early(void);
/* 1 under glibc; under another C library prints one line and answers 0. */
int ossc_is_glibc(void);

/* ---- errno --------------------------------------------------------------------------------- */

int *__errno_location(void);
static inline int ossc_errno(void) { return *__errno_location(); }
static inline void ossc_set_errno(int value) { *__errno_location() = value; }

/* ---- locks: futex words, usable in atfork handlers and before any library is initialised ---- */

enum { OSSC_LOCK_SESSION = 0, OSSC_LOCK_REGIONS = 1, OSSC_LOCK_FILES = 2, OSSC_LOCK_STREAMS = 3, OSSC_LOCKS = 4 };
void ossc_lock(int which);
int ossc_try_lock(int which);
void ossc_unlock(int which);
/* In a forked child: all locks are free again. */
void ossc_reset_locks(void);

/* ---- memory: from the kernel, never from the program's allocator ---------------------------- */

/* Bytes of a page of this kernel: 4 KiB, or 16 or 64 KiB on arm64. */
uint64_t ossc_page_bytes(void);
/* Zeroed, 16-byte aligned, never freed; at most 64 KiB. NULL when the kernel refuses. */
void *ossc_allocate(size_t bytes);

/* ---- raw system calls ---------------------------------------------------------------------- */

long ossc_open(int dirfd, const char *path, int flags, unsigned mode);
long ossc_close(int fd);
long ossc_read(int fd, void *to, size_t bytes);
long ossc_write(int fd, const void *from, size_t bytes);
long ossc_seek(int fd, int64_t offset, int whence);
long ossc_getdents(int fd, void *to, size_t bytes);
long ossc_mmap(void *address, size_t bytes, int protection, int flags, int fd, int64_t offset);
long ossc_munmap(void *address, size_t bytes);
long ossc_mprotect(void *address, size_t bytes, int protection);
long ossc_madvise(void *address, size_t bytes, int advice);
long ossc_mlock(void *address, size_t bytes);
long ossc_getcwd(char *to, size_t bytes);
long ossc_readlink(const char *path, char *to, size_t bytes);
long ossc_access(const char *path, int mode);
long ossc_mkdir(const char *path, unsigned mode);
long ossc_symlink(const char *target, const char *path);
long ossc_flock(int fd, int operation);
long ossc_duplicate_above(int fd, int lowest);
/* An empty file in memory: touching a mapping of it is SIGBUS. */
long ossc_memory_file(void);
long ossc_eventfd(void);
long ossc_event_signal(int fd);
void ossc_event_drain(int fd);
long ossc_getuid(void);
/* Remembers this process: called when the library starts and in a forked child. */
void ossc_claim_process(void);
/* False in a child of vfork or of a bare clone: what such a child does to its descriptors must not
 * change the records, which in the first case are its parent's own. */
int ossc_is_own_process(void);
void ossc_exit(int status) __attribute__((noreturn));
/* Ends the process by SIGBUS with its default action. */
void ossc_die_of_bus_error(void) __attribute__((noreturn));
void ossc_sleep_milliseconds(int milliseconds);
int64_t ossc_now_milliseconds(void);  /* CLOCK_BOOTTIME */

struct ossc_identity { uint64_t device, inode, bytes; uint32_t mode; int error; };
enum { OSSC_TYPE_MASK = 0170000, OSSC_TYPE_FILE = 0100000, OSSC_TYPE_DIRECTORY = 0040000 };
struct ossc_identity ossc_identify(int fd);
struct ossc_identity ossc_identify_path(const char *path, int follow);
/* Whether a directory has an entry of that name. */
int ossc_is_present_at(int directory, const char *name);
/* Free blocks of the file system; 0 when it cannot be told. */
uint64_t ossc_free_blocks(const char *path);

/* Waits while *word == value, at most `milliseconds`. 0 woken or changed, -ETIMEDOUT, -EINTR. */
long ossc_futex_wait(const void *word, uint32_t value, int milliseconds);

/* Bits of revents. */
enum { OSSC_POLL_IN = 1, OSSC_POLL_HUP = 2 };
struct ossc_poll { int fd; int events; };
/* Fills `events` of up to 4 entries; an fd below 0 is skipped. */
long ossc_poll_wait(struct ossc_poll *entries, int count, int milliseconds);

/* ---- sockets ------------------------------------------------------------------------------- */

long ossc_connect_seqpacket(const char *path);
/* One packet: header, body. Never raises SIGPIPE. */
long ossc_send_packet(int fd, uint16_t type, const void *body, size_t bytes, int wait);
/* One packet into `to`; `descriptor` gets a passed descriptor or -1. 0: the peer closed. */
long ossc_receive_packet(int fd, void *to, size_t bytes, int *descriptor, int wait);

/* ---- userfaultfd --------------------------------------------------------------------------- */

enum { OSSC_UFFD_MINOR = 1, OSSC_UFFD_POISON = 2 };
/* From /dev/userfaultfd already open (or -1), then the device's own path, then the system call.
 * `features` gets the bits above. Only a descriptor that can do MINOR faults on tmpfs is given. */
long ossc_uffd_create(int device, uint32_t *features);
long ossc_uffd_register(int uffd, uint64_t start, uint64_t bytes);
long ossc_uffd_unregister(int uffd, uint64_t start, uint64_t bytes);
/* Maps the page cache's pages into [start, start+bytes), page by page where some are mapped, then wakes. */
long ossc_uffd_continue(int uffd, uint64_t start, uint64_t bytes);
long ossc_uffd_poison(int uffd, uint64_t start, uint64_t bytes);
long ossc_uffd_wake(int uffd, uint64_t start, uint64_t bytes);
/* Addresses of up to `count` faults; 0 when there are none now. */
long ossc_uffd_read(int uffd, uint64_t *addresses, size_t count);

/* ---- stdio, threads, processes -------------------------------------------------------------- */

/* Callbacks written in Swift. */
int64_t ossc_stream_read(void *cookie, void *to, size_t bytes);
int64_t ossc_stream_seek(void *cookie, int64_t offset, int whence);
int ossc_stream_close(void *cookie);
/* fopencookie over the callbacks, with `buffer` as its buffer; NULL with errno set. */
void *ossc_open_stream(void *cookie, const char *mode, void *buffer, size_t bytes);
/* Bytes a stream has read ahead; -1 where pushed-back characters make that unclear. */
intptr_t ossc_stream_buffered(const void *stream);
void ossc_lock_stream(void *stream);
void ossc_unlock_stream(void *stream);

/* An inherited standard input that is managed: the C library's own stream would not wait. */
void ossc_replace_standard_input(void *stream);

void ossc_thread_main(void);
void ossc_fork_prepare(void);
void ossc_fork_parent(void);
void ossc_fork_child(void);
/* Starts the one background thread, all signals blocked. 0 or -errno. */
long ossc_start_thread(void);
void ossc_register_fork_handlers(void);

const char *ossc_environment(const char *name);
/* The whole environment, NULL-terminated. */
char **ossc_environment_all(void);
/* Path of this library's own file, "" when unknown. */
const char *ossc_own_path(void);
int ossc_is_ip_address(const char *text);
/* Starts `path` twice-forked in its own session, stdio /dev/null but stderr, which is the pipe whose
 * read end is answered (or -errno). Names in `removed` (NULL-terminated list of prefixes up to '=')
 * are not passed on. */
long ossc_spawn_agent(const char *path, char *const *arguments, const char *const *removed);

/* ---- directory streams --------------------------------------------------------------------- */

const char *ossc_entry_name(const void *entry);

#endif
