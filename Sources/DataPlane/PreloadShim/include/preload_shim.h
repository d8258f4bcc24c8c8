/*
 * Functions that Embedded Swift cannot express, for the preload library alone: the next definition of a hooked
 * function (RTLD_NEXT, variadic calls), raw system calls that do not pass the library's own hooks,
 * atomics on mapped memory, futexes, userfaultfd, fopencookie and descriptor passing.
 *
 * Every `ossc_` function answers a system call as -errno and leaves errno alone, unless it says so.
 * None allocates from the program's heap, and all are async-signal-safe but those of stdio.
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
    struct ossc_cache *cache;  /* atomic; 0: an inherited descriptor's, of which no name tells yet (see cacheOf) */
    const char *directory;  /* cache directory, no trailing slash */
    const char *key;        /* below the cache directory */
    uint64_t device, inode;
    uint64_t presence_device, presence_inode;  /* of the presence file, whose number nobody else gets while `header` maps it */
    uint64_t bytes, chunk_bytes, chunk_count;
    uint64_t seen_sequence, seen_blocks;  /* of the library's thread: what it last saw arrive */
    uint32_t index;
    uint32_t epoch;         /* epoch under which bytes were first used; 0: none yet. Atomic. */
    uint32_t complete;      /* atomic */
    uint32_t failure_told;  /* atomic */
    int32_t inside;         /* threads that use a readable descriptor of it now; atomic */
    int32_t shared;         /* one more than a readable descriptor for the C library's own threads, which lasts; 0: none. Atomic. */
    uint32_t is_settled;    /* of the library's thread: no number of it is managed any more */
};

/* One read-only mapping, registered with userfaultfd, of a file that is not complete. */
struct ossc_region {
    struct ossc_region *next;
    struct ossc_file *file;
    uint64_t start, end;    /* addresses */
    uint64_t offset;        /* in the file, of `start` */
    uint32_t protection;    /* PROT_ bits */
    uint32_t locked;        /* mlocked: its pages are never dropped */
    uint32_t not_forked;    /* the program asked for MADV_DONTFORK: no child has it */
};

/* A stdio stream over a managed descriptor. */
struct ossc_stream {
    struct ossc_stream *next;
    void *stream;           /* FILE * */
    void *buffer;           /* OSSC_STREAM_BUFFER bytes, kept with the record */
    int descriptor;
    uint64_t wide[64];      /* where the stream became one of the C library's own: its struct _IO_wide_data */
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
/* A readable descriptor is closed when nobody can have its number: one who looks it up is inside first, one who
 * takes it from the table looks afterwards. */
static inline void ossc_file_enter(struct ossc_file *f) { __atomic_fetch_add(&f->inside, 1, __ATOMIC_SEQ_CST); }
static inline void ossc_file_leave(struct ossc_file *f) { __atomic_fetch_sub(&f->inside, 1, __ATOMIC_SEQ_CST); }
static inline int ossc_file_is_used(const struct ossc_file *f) { return __atomic_load_n(&f->inside, __ATOMIC_SEQ_CST) > 0; }
static inline int ossc_file_shared(const struct ossc_file *f) { return __atomic_load_n(&f->shared, __ATOMIC_ACQUIRE) - 1; }
static inline void ossc_file_set_shared(struct ossc_file *f, int fd) { __atomic_store_n(&f->shared, fd + 1, __ATOMIC_RELEASE); }
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

/* ---- descriptor table ----------------------------------------------------------------------
 *
 * The number that the program has for an incomplete file is a descriptor with O_PATH: code that reads or maps it around
 * the library gets EBADF, never the zeros of a hole. The library keeps a readable one of the same file at a high
 * number, one for each of the program's, so that copies, forks and exec carry both. Changed under
 * OSSC_LOCK_DESCRIPTORS, read without.
 */

extern struct ossc_file *ossc_table[OSSC_DESCRIPTORS];
extern int32_t ossc_hidden_numbers[OSSC_DESCRIPTORS];
/* Marks a number that is the library's own. */
#define OSSC_OWN ((struct ossc_file *)1)
/* The same, and to be closed by the library's thread when nobody uses it any more. */
#define OSSC_RETIRED ((struct ossc_file *)2)

static inline struct ossc_file *ossc_managed(int fd)
{
    if ((unsigned)fd >= OSSC_DESCRIPTORS) return 0;
    struct ossc_file *file = __atomic_load_n(&ossc_table[fd], __ATOMIC_ACQUIRE);
    return (uintptr_t)file <= 2 ? 0 : file;
}
/* Whether a descriptor may be managed or the library's own. The address alone is looked at, so no order is needed. */
static inline int ossc_may_be_managed(int fd)
{
    return (unsigned)fd < OSSC_DESCRIPTORS && __builtin_expect(__atomic_load_n(&ossc_table[fd], __ATOMIC_RELAXED) != 0, 0);
}
static inline int ossc_is_own(int fd)
{
    return (unsigned)fd < OSSC_DESCRIPTORS && (uintptr_t)__atomic_load_n(&ossc_table[fd], __ATOMIC_RELAXED) - 1 <= 1;
}
static inline int ossc_is_retired(int fd)
{
    return (unsigned)fd < OSSC_DESCRIPTORS && __atomic_load_n(&ossc_table[fd], __ATOMIC_RELAXED) == OSSC_RETIRED;
}
static inline void ossc_mark_retired(int fd) { __atomic_store_n(&ossc_table[fd], OSSC_RETIRED, __ATOMIC_RELEASE); }
/* The readable descriptor beside a managed one; -1 for none. */
static inline int ossc_hidden(int fd)
{
    return (unsigned)fd < OSSC_DESCRIPTORS ? __atomic_load_n(&ossc_hidden_numbers[fd], __ATOMIC_RELAXED) - 1 : -1;
}
static inline void ossc_set_own(int fd, int is_own)
{
    if ((unsigned)fd < OSSC_DESCRIPTORS) __atomic_store_n(&ossc_table[fd], is_own ? OSSC_OWN : (struct ossc_file *)0, __ATOMIC_RELEASE);
}
static inline void ossc_set_managed(int fd, struct ossc_file *file, int hidden)
{
    if ((unsigned)fd >= OSSC_DESCRIPTORS) return;
    __atomic_store_n(&ossc_hidden_numbers[fd], hidden + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&ossc_table[fd], file, __ATOMIC_SEQ_CST);
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
/* Resolves every hooked function's next definition. */
void ossc_resolve_all(void);
/* 1 under glibc; under another C library prints one line and answers 0. */
int ossc_is_glibc(void);

/* ---- errno --------------------------------------------------------------------------------- */

int *__errno_location(void);
static inline int ossc_errno(void) { return *__errno_location(); }
static inline void ossc_set_errno(int value) { *__errno_location() = value; }

/* ---- state that threads share: written with release order, read with acquire order ------------ */

/* X(type, name, initial value). A value is complete before it is stored. */
#define OSSC_SHARED(X) \
    X(uint32_t, retired, 0)              /* how many numbers are marked OSSC_RETIRED; changed under OSSC_LOCK_DESCRIPTORS */ \
    X(int32_t, device, -1)               /* /dev/userfaultfd, for this process and its children: of the first agent that gave one */ \
    X(int32_t, userfault, -1)            /* made under OSSC_LOCK_REGIONS */ \
    X(uint32_t, userfault_features, 0) \
    X(uint32_t, userfault_tried, 0)      /* none was to be had; 0 again when a device comes */ \
    X(int32_t, wake, -1)                 /* an eventfd */ \
    X(struct ossc_file *, files, 0)      /* added to under OSSC_LOCK_FILES, never removed from */ \
    X(struct ossc_region *, regions, 0)  /* changed under OSSC_LOCK_REGIONS */ \
    X(struct ossc_stream *, streams, 0)  /* changed under OSSC_LOCK_STREAMS */ \
    X(struct ossc_listing *, listings, 0)

struct ossc_shared {
#define X(type, name, initial) type name;
    OSSC_SHARED(X)
#undef X
};
#define OSSC_SHARED_INITIAL_(type, name, initial) initial,
#define OSSC_SHARED_INITIAL OSSC_SHARED(OSSC_SHARED_INITIAL_)
extern struct ossc_shared ossc_shared;
#define X(type, name, initial)                                                                             \
    static inline type ossc_##name(void) { return __atomic_load_n(&ossc_shared.name, __ATOMIC_ACQUIRE); } \
    static inline void ossc_set_##name(type value) { __atomic_store_n(&ossc_shared.name, value, __ATOMIC_RELEASE); }
OSSC_SHARED(X)
#undef X

/* ---- the caches of this process ------------------------------------------------------------- */

/* More models in one process are refused when the library is loaded. */
enum { OSSC_CACHES = 16 };

/* State of one cache that threads share. A value is complete before it is stored. */
#define OSSC_CACHE_SHARED(X) \
    X(const char *, directory)           /* NULL until the model is open; set after flags, device and set */ \
    X(uint32_t, flags)                   /* enum mc_opened_flags */ \
    X(uint32_t, is_model_directory)      /* the model's directory leads to the cache directory */ \
    X(uint64_t, first_set)               /* mc_opened.set of the first opening */ \
    X(uint32_t, opened)                  /* futex word: 1 when the model is open */ \
    X(uint32_t, stopped)                 /* the agent refuses: nothing more may be waited for */ \
    X(int64_t, gone_since)               /* when the agent was first found gone; 0 while it is there */ \
    X(int64_t, progress_at)              /* when bytes of the model were last seen to arrive */ \
    X(int32_t, link)                     /* the way to an agent: its socket, or the standard error of one that starts; -1 */ \
    X(int32_t, session)                  /* the same while the model is open there; -1 */ \
    X(int32_t, start_lock)               /* the lock of two that would start an agent; -1 */

struct ossc_cache {
    /* Written once, when the library is loaded. */
    const char *model_directory;  /* where the program looks for the model; absolute, normal */
    const char *source;           /* its oss:// or s3:// URI; NULL: as the variables say, or the socket's own */
    const char *socket;
    const char *volume;           /* the socket is a ModelCache's own: its directory, as this program sees it; else NULL */
    const char *earlier;          /* where model_directory pointed then: a working directory may lie there already; or NULL */
    int64_t agent_deadline;       /* milliseconds the agent may be gone; a node's agent, which others start, has longer */
    uint32_t index;               /* in the table */
    uint32_t entry;               /* of MODELCACHE_MODELS, from 1; 0: MODEL_DIR's */
    uint32_t has_own_settings;    /* MODELCACHE_MODEL_<entry>_ variables */
#define X(type, name) type name;
    OSSC_CACHE_SHARED(X)
#undef X
};
#define X(type, name)                                                                                                        \
    static inline type ossc_cache_##name(const struct ossc_cache *c) { return __atomic_load_n(&c->name, __ATOMIC_ACQUIRE); } \
    static inline void ossc_cache_set_##name(struct ossc_cache *c, type value) { __atomic_store_n(&c->name, value, __ATOMIC_RELEASE); }
OSSC_CACHE_SHARED(X)
#undef X
static inline const void *ossc_cache_opened_word(const struct ossc_cache *c) { return &c->opened; }
static inline struct ossc_cache *ossc_file_cache(const struct ossc_file *f) { return __atomic_load_n(&f->cache, __ATOMIC_ACQUIRE); }
static inline void ossc_file_set_cache(struct ossc_file *f, struct ossc_cache *c) { __atomic_store_n(&f->cache, c, __ATOMIC_RELEASE); }

/* State of one process: zero in a forked child, whatever way it was forked. */
struct ossc_process {
    uint32_t known;
    uint32_t thread;  /* enum below */
    uint32_t wanted;  /* a bit for each cache that somebody waits for to be opened */
};
extern struct ossc_process *ossc_process;
enum { OSSC_THREAD_NONE = 0, OSSC_THREAD_STARTING = 1, OSSC_THREAD_RUNS = 2 };
static inline uint32_t ossc_thread_state(void) { return __atomic_load_n(&ossc_process->thread, __ATOMIC_ACQUIRE); }
static inline void ossc_set_thread_state(uint32_t value) { __atomic_store_n(&ossc_process->thread, value, __ATOMIC_RELEASE); }
static inline int ossc_claim_thread(void)
{
    uint32_t none = OSSC_THREAD_NONE;
    return __atomic_compare_exchange_n(&ossc_process->thread, &none, OSSC_THREAD_STARTING, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
static inline uint32_t ossc_wanted(void) { return __atomic_load_n(&ossc_process->wanted, __ATOMIC_ACQUIRE); }
static inline void ossc_want_open(uint32_t cache) { __atomic_fetch_or(&ossc_process->wanted, 1u << cache, __ATOMIC_ACQ_REL); }
/* Remembers this process: called when the library starts and in a forked child. */
void ossc_claim_process(void);
/* False in a child of vfork or of a bare clone: what such a child does to its descriptors must not
 * change the records, which in the first case are its parent's own. */
int ossc_is_own_process(void);
/* True in a forked child that ossc_enter_child has not yet taken up. */
int ossc_is_new_child(void);
/* Written in Swift. */
void ossc_enter_child(void);

/* ---- locks: futex words. Every signal is blocked while one is held, and no holder waits ------- */

enum { OSSC_LOCK_REGIONS = 0, OSSC_LOCK_FILES = 1, OSSC_LOCK_STREAMS = 2, OSSC_LOCK_DESCRIPTORS = 3, OSSC_LOCKS = 4 };
void ossc_lock(int which);
void ossc_unlock(int which);
/* Lets go of it with the signals still blocked; answers the mask from before it was taken. */
uint64_t ossc_unlock_blocked(int which);
/* In a child forked without the handlers: all locks are free again. */
void ossc_reset_locks(void);
uint64_t ossc_block_signals(void);
void ossc_restore_signals(uint64_t mask);

/* ---- memory: from the kernel, never from the program's allocator ---------------------------- */

/* Bytes of a page of this kernel: 4 KiB, or 16 or 64 KiB on arm64. */
uint64_t ossc_page_bytes(void);
/* Zeroed, 16-byte aligned, never freed. NULL when the kernel refuses. */
void *ossc_allocate(size_t bytes);
/* Whole pages for ossc_munmap to take back. NULL when the kernel refuses. */
void *ossc_map_memory(size_t bytes);
/* OSSC_PATH_MAX bytes for one call; waits when the kernel has no memory. */
char *ossc_take_buffer(void);
void ossc_give_buffer(char *buffer);
void ossc_give_buffers_of_others(void);

/* ---- raw system calls ---------------------------------------------------------------------- */

long ossc_open(int dirfd, const char *path, int flags, unsigned mode);
long ossc_close(int fd);
long ossc_read(int fd, void *to, size_t bytes);
long ossc_write(int fd, const void *from, size_t bytes);
long ossc_seek(int fd, int64_t offset, int whence);
long ossc_getdents(int fd, void *to, size_t bytes);
long ossc_mmap(void *address, size_t bytes, int protection, int flags, int fd, int64_t offset);
long ossc_munmap(void *address, size_t bytes);
/* Unmaps the parts of [start, end) that show this file. */
void ossc_unmap_file(uint64_t start, uint64_t end, uint64_t device, uint64_t inode);
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
long ossc_control(int fd, int command, uintptr_t argument);  /* fcntl */
long ossc_replace(int from, int to, int flags);              /* dup3 */
int ossc_is_path_only(int fd);
/* No descriptor has this number or a greater one (RLIMIT_NOFILE). */
uint64_t ossc_descriptor_limit(void);
/* Readable descriptors of managed numbers begin here: 512, or half of a smaller limit. */
int ossc_first_hidden_number(void);
/* An empty file in memory: touching a mapping of it is SIGBUS. */
long ossc_memory_file(void);
long ossc_eventfd(void);
long ossc_event_signal(int fd);
void ossc_event_drain(int fd);
long ossc_getuid(void);
void ossc_exit(int status) __attribute__((noreturn));
/* Ends the process by SIGBUS with its default action. */
void ossc_die_of_bus_error(void) __attribute__((noreturn));
void ossc_sleep_milliseconds(int milliseconds);
int64_t ossc_now_milliseconds(void);  /* CLOCK_BOOTTIME */

struct ossc_identity { uint64_t device, inode, bytes, blocks; uint32_t mode, owner, group; int error; };
enum { OSSC_TYPE_MASK = 0170000, OSSC_TYPE_FILE = 0100000, OSSC_TYPE_DIRECTORY = 0040000 };
struct ossc_identity ossc_identify(int fd);
struct ossc_identity ossc_identify_path(const char *path, int follow);
/* Whether a directory has an entry of that name. */
/* A struct stat, or statx, of a file that arrives says that it has all its blocks. */
void ossc_fill_blocks(void *status);
void ossc_fill_extended_blocks(void *status);
int ossc_is_present_at(int directory, const char *name);

/* Waits while *word == value, at most `milliseconds`. 0 woken or changed, -ETIMEDOUT, -EINTR. */
long ossc_futex_wait(const void *word, uint32_t value, int milliseconds);
void ossc_futex_wake(const void *word);

/* Bits of revents. */
enum { OSSC_POLL_IN = 1, OSSC_POLL_HUP = 2 };
struct ossc_poll { int fd; int events; };
/* A thread's wake, its userfaultfd and the links to the agents. */
enum { OSSC_POLLED = OSSC_CACHES + 2 };
/* Fills `events` of up to OSSC_POLLED entries; an fd below 0 is skipped. */
long ossc_poll_wait(struct ossc_poll *entries, int count, int milliseconds);

/* ---- sockets ------------------------------------------------------------------------------- */

long ossc_connect_seqpacket(const char *path);
/* The user who listens at the other end, or -errno. */
long ossc_peer_user(int fd);
/* One packet: header, body. Never raises SIGPIPE, never waits. */
long ossc_send_packet(int fd, uint16_t type, const void *body, size_t bytes);
/* One packet into `to`; `descriptor` gets a passed descriptor or -1. 0: the peer closed. Never waits. */
long ossc_receive_packet(int fd, void *to, size_t bytes, int *descriptor);

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
/* A cookie stream has no descriptor and no wide data, and the C library's freopen crashes on it: now it has both. */
void ossc_make_file_stream(struct ossc_stream *);
/* As fopen does where its mode has "e". */
void ossc_keep_closed_on_exec(void *stream);
intptr_t ossc_stream_buffered(const void *stream);
void ossc_lock_stream(void *stream);
void ossc_unlock_stream(void *stream);

/* An inherited standard input that is managed: the C library's own stream would not wait. */
void ossc_replace_standard_input(void *stream);

void ossc_thread_main(void);
/* Written in Swift: wakes the library's thread. */
void ossc_signal_thread(void);
void ossc_fork_prepare(void);
void ossc_fork_parent(void);
void ossc_fork_child(void);
/* Starts the one background thread; the caller has all signals blocked, and so has it. 0 or -errno. */
long ossc_start_thread(void);
void ossc_register_fork_handlers(void);
/* After a call that changed the caller's user, groups or capabilities: waits until the library's thread has them too,
 * ten seconds at most, after which it takes them when it comes to it. */
void ossc_follow_identity(void);
/* Of the library's thread: takes what was asked for by ossc_follow_identity. */
void ossc_take_identity(void);
/* In a forked child: what was asked for was the parent's. */
void ossc_forget_identity(void);
/* Numbers of system calls that programs make by syscall(2). -1: this machine has none. */
#if defined(__x86_64__)
enum { OSSC_STATX = 332, OSSC_COPY_FILE_RANGE = 326, OSSC_CLOSE = 3, OSSC_DUP2 = 33, OSSC_DUP3 = 292, OSSC_CLOSE_RANGE = 436 };
#else
enum { OSSC_STATX = 291, OSSC_COPY_FILE_RANGE = 285, OSSC_CLOSE = 57, OSSC_DUP2 = -1, OSSC_DUP3 = 24, OSSC_CLOSE_RANGE = 436 };
#endif
/* Whether a system call makes a child that has a copy of this process's memory and goes on on the same stack. */
int ossc_copies_process(intptr_t number, intptr_t a, intptr_t b);
/* clone(2) of the C library. Such a child, on a stack of its own, runs the child's handler before `body`. */
int ossc_clone_process(int (*body)(void *), void *stack, int flags, void *argument, intptr_t x, intptr_t y, intptr_t z);

const char *ossc_environment(const char *name);
/* The whole environment, NULL-terminated. */
char **ossc_environment_all(void);
/* Path of this library's own file, "" when unknown. */
const char *ossc_own_path(void);
/* An IPv4 or IPv6 address, alone or as a range of addresses: "10.0.0.0/16". */
int ossc_is_ip_address_or_range(const char *text);
/* Starts `path` twice-forked in its own session, stdio /dev/null but stderr, which is the pipe whose
 * read end is answered (or -errno). Variables that begin with one of `kept` (NULL-terminated) are passed on. */
long ossc_spawn_agent(const char *path, char *const *arguments, const char *const *kept);

/* ---- directory streams --------------------------------------------------------------------- */

const char *ossc_entry_name(const void *entry);

#endif
