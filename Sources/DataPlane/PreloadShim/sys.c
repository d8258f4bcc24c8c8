/* Raw system calls, locks and memory. Nothing here passes through the library's own hooks, allocates or touches
 * errno. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include "preload_shim.h"
#include "raw.h"

struct ossc_file *ossc_table[OSSC_DESCRIPTORS];
int32_t ossc_hidden_numbers[OSSC_DESCRIPTORS];
uint32_t ossc_switch;
struct ossc_shared ossc_shared = {OSSC_SHARED_INITIAL};

long ossc_open(int d, const char *p, int f, unsigned m) { return RAW(SYS_openat, d, p, f, m); }
long ossc_close(int fd) { return RAW(SYS_close, fd); }
long ossc_read(int fd, void *to, size_t n) { return RAW(SYS_read, fd, to, n); }
long ossc_write(int fd, const void *from, size_t n) { return RAW(SYS_write, fd, from, n); }
long ossc_seek(int fd, int64_t o, int w) { return RAW(SYS_lseek, fd, o, w); }
long ossc_getdents(int fd, void *to, size_t n) { return RAW(SYS_getdents64, fd, to, n); }
long ossc_mmap(void *a, size_t n, int p, int f, int fd, int64_t o) { return RAW(SYS_mmap, a, n, p, f, fd, o); }
long ossc_munmap(void *a, size_t n) { return RAW(SYS_munmap, a, n); }
long ossc_mprotect(void *a, size_t n, int p) { return RAW(SYS_mprotect, a, n, p); }
long ossc_madvise(void *a, size_t n, int v) { return RAW(SYS_madvise, a, n, v); }
long ossc_mlock(void *a, size_t n) { return RAW(SYS_mlock, a, n); }
long ossc_getcwd(char *to, size_t n) { return RAW(SYS_getcwd, to, n); }
long ossc_readlink(const char *p, char *to, size_t n) { return RAW(SYS_readlinkat, AT_FDCWD, p, to, n); }
long ossc_access(const char *p, int m) { return RAW(SYS_faccessat, AT_FDCWD, p, m); }
long ossc_mkdir(const char *p, unsigned m) { return RAW(SYS_mkdirat, AT_FDCWD, p, m); }
long ossc_symlink(const char *t, const char *p) { return RAW(SYS_symlinkat, t, AT_FDCWD, p); }
long ossc_flock(int fd, int o) { return RAW(SYS_flock, fd, o); }
long ossc_control(int fd, int command, uintptr_t argument) { return RAW(SYS_fcntl, fd, command, argument); }
long ossc_replace(int from, int to, int flags) { return RAW(SYS_dup3, from, to, flags); }
long ossc_duplicate_above(int fd, int low)
{
    long r = RAW(SYS_fcntl, fd, F_DUPFD_CLOEXEC, low);
    return r < 0 ? RAW(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3) : r;
}
int ossc_is_path_only(int fd)
{
    long flags = RAW(SYS_fcntl, fd, F_GETFL, 0);
    return flags >= 0 && (flags & O_PATH) != 0;
}
void ossc_unmap_file(uint64_t start, uint64_t end, uint64_t device, uint64_t inode)
{
    /* A line: from-to rights offset major:minor inode path */
    enum { FROM, TO, RIGHTS, OFFSET, MAJOR, MINOR, INODE, FIELDS };
    uint64_t value[FIELDS] = {0};
    char text[1024];
    int field = FROM;
    long maps = ossc_open(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (maps < 0) return;
    for (long n; (n = ossc_read((int)maps, text, sizeof text)) > 0;)
        for (long i = 0; i < n; i++) {
            char c = text[i];
            if (c == '\n') {
                memset(value, 0, sizeof value);
                field = FROM;
            } else if (field < FIELDS && (c == ' ' || (c == '-' && field == FROM) || (c == ':' && field == MAJOR))) {
                if (++field < FIELDS || value[INODE] != inode || value[MAJOR] != major(device) || value[MINOR] != minor(device)) continue;
                uint64_t from = value[FROM] > start ? value[FROM] : start, to = value[TO] < end ? value[TO] : end;
                if (from < to) ossc_munmap((void *)(uintptr_t)from, to - from);
            } else if (field < FIELDS) {
                value[field] = value[field] * (field == INODE ? 10 : 16) + (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
            }
        }
    ossc_close((int)maps);
}
long ossc_memory_file(void) { return RAW(SYS_memfd_create, "modelcache", 1u /* MFD_CLOEXEC */); }
long ossc_eventfd(void) { return RAW(SYS_eventfd2, 0, O_CLOEXEC | O_NONBLOCK); }
long ossc_event_signal(int fd)
{
    uint64_t one = 1;
    return ossc_write(fd, &one, sizeof one);
}
void ossc_event_drain(int fd)
{
    uint64_t value;
    ossc_read(fd, &value, sizeof value);
}
long ossc_getuid(void) { return RAW(SYS_geteuid); }
void ossc_exit(int status)
{
    for (;;) RAW(SYS_exit_group, status);
}
void ossc_die_of_bus_error(void)
{
    struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } plain;
    memset(&plain, 0, sizeof plain);
    RAW(SYS_rt_sigaction, SIGBUS, &plain, 0, 8);
    uint64_t mask = 1ull << (SIGBUS - 1);
    RAW(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, 0, 8);
    RAW(SYS_tgkill, RAW(SYS_getpid), RAW(SYS_gettid), SIGBUS);
    ossc_exit(128 + SIGBUS);
}
void ossc_sleep_milliseconds(int ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    RAW(SYS_nanosleep, &t, 0);
}
int64_t ossc_now_milliseconds(void)
{
    struct timespec t = {0, 0};
    RAW(SYS_clock_gettime, CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct ossc_identity identify(int fd, const char *path, int flags)
{
    struct ossc_identity found;
    memset(&found, 0, sizeof found);
    struct stat s;
    long r = RAW(SYS_newfstatat, fd, path, &s, flags);
    if (r < 0) {
        found.error = (int)-r;
    } else {
        found.device = s.st_dev;
        found.inode = s.st_ino;
        found.bytes = (uint64_t)s.st_size;
        found.blocks = (uint64_t)s.st_blocks;
        found.mode = s.st_mode;
        found.owner = s.st_uid;
        found.group = s.st_gid;
    }
    return found;
}
struct ossc_identity ossc_identify(int fd) { return identify(fd, "", AT_EMPTY_PATH); }
struct ossc_identity ossc_identify_path(const char *path, int follow)
{
    return identify(AT_FDCWD, path, follow ? 0 : AT_SYMLINK_NOFOLLOW);
}
int ossc_is_present_at(int directory, const char *name)
{
    return identify(directory, name, AT_SYMLINK_NOFOLLOW).error == 0;
}
/* The blocks of 512 bytes of a full file, in whole pages. */
static uint64_t full_blocks(uint64_t bytes) { return (bytes + 4095) / 4096 * 8; }
void ossc_fill_blocks(void *status)
{
    struct stat *s = status;
    uint64_t full = full_blocks((uint64_t)s->st_size);
    if (S_ISREG(s->st_mode) && (uint64_t)s->st_blocks < full) s->st_blocks = (blkcnt_t)full;
}
void ossc_fill_extended_blocks(void *status)
{
    struct statx *s = status;
    uint64_t full = full_blocks(s->stx_size);
    if (S_ISREG(s->stx_mode) && s->stx_mask & STATX_BLOCKS && s->stx_blocks < full) s->stx_blocks = full;
}
uint64_t ossc_descriptor_limit(void)
{
    uint64_t limit[2] = {1024, 1024};
    RAW(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, limit);
    return limit[0];
}
int ossc_first_hidden_number(void)
{
    uint64_t half = ossc_descriptor_limit() / 2;
    int first = half < 512 ? (int)half : 512;
    return first < OSSC_DESCRIPTORS / 2 ? first : OSSC_DESCRIPTORS / 2;
}

long ossc_futex_wait(const void *word, uint32_t value, int ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    long r = RAW(SYS_futex, word, FUTEX_WAIT, value, &t, 0, 0);
    return r == -EAGAIN ? 0 : r;
}
void ossc_futex_wake(const void *word) { RAW(SYS_futex, word, FUTEX_WAKE, INT32_MAX, 0, 0, 0); }
long ossc_poll_wait(struct ossc_poll *entries, int count, int ms)
{
    struct pollfd p[OSSC_POLLED];
    if (count > OSSC_POLLED) count = OSSC_POLLED;
    for (int i = 0; i < count; i++) p[i] = (struct pollfd){entries[i].fd, POLLIN, 0};
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    long r = RAW(SYS_ppoll, p, count, ms < 0 ? 0 : &t, 0, 0);
    for (int i = 0; i < count; i++)
        entries[i].events = r <= 0 ? 0
            : ((p[i].revents & POLLIN) ? OSSC_POLL_IN : 0) | ((p[i].revents & (POLLHUP | POLLERR | POLLNVAL)) ? OSSC_POLL_HUP : 0);
    return r;
}

/* ---- processes ------------------------------------------------------------------------------ */

/* Zero in a forked child, whatever way it was forked (MADV_WIPEONFORK); shared with a vfork child. */
static struct ossc_process before_start;
struct ossc_process *ossc_process = &before_start;
static long process;

void ossc_claim_process(void)
{
    if (ossc_process == &before_start) {
        long r = ossc_mmap(0, ossc_page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (r > 0) {
            ossc_madvise((void *)r, ossc_page_bytes(), 18 /* MADV_WIPEONFORK */);
            ossc_process = (struct ossc_process *)r;
        }
    }
    process = RAW(SYS_getpid);
    __atomic_store_n(&ossc_process->known, 1u, __ATOMIC_RELEASE);
}
int ossc_is_own_process(void) { return RAW(SYS_getpid) == process; }
int ossc_is_new_child(void) { return __atomic_load_n(&ossc_process->known, __ATOMIC_ACQUIRE) == 0 && ossc_is_on(); }

/* ---- locks ---------------------------------------------------------------------------------- */

/* Every signal is blocked while a lock is held, so that a handler never meets its own thread's lock. No holder waits
 * for anything. */
static struct { uint32_t word; uint64_t mask; } locks[OSSC_LOCKS];  /* word: 0 free, 1 held, 2 held and waited for */

uint64_t ossc_block_signals(void)
{
    uint64_t all = ~0ull, before = 0;
    RAW(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    return before;
}
void ossc_restore_signals(uint64_t mask) { RAW(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, 8); }

void ossc_lock(int which)
{
    if (ossc_is_new_child()) ossc_enter_child();
    uint64_t mask = ossc_block_signals();
    uint32_t *word = &locks[which].word, state = 0;
    if (!__atomic_compare_exchange_n(word, &state, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0) RAW(SYS_futex, word, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
    locks[which].mask = mask;
}
uint64_t ossc_unlock_blocked(int which)
{
    uint64_t mask = locks[which].mask;
    if (__atomic_exchange_n(&locks[which].word, 0, __ATOMIC_RELEASE) == 2)
        RAW(SYS_futex, &locks[which].word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    return mask;
}
void ossc_unlock(int which) { ossc_restore_signals(ossc_unlock_blocked(which)); }
void ossc_reset_locks(void)
{
    for (int i = 0; i < OSSC_LOCKS; i++) locks[i].word = 0;
}

/* ---- memory --------------------------------------------------------------------------------- */

static uint64_t page_bytes;

/* Two threads may both ask the kernel's vector first: they store the same value. */
uint64_t ossc_page_bytes(void)
{
    uint64_t known = __atomic_load_n(&page_bytes, __ATOMIC_RELAXED);
    if (known == 0) {
        known = getauxval(AT_PAGESZ);
        if (known == 0) known = 4096;
        __atomic_store_n(&page_bytes, known, __ATOMIC_RELAXED);
    }
    return known;
}

static void *map_memory(size_t bytes)
{
    long r = ossc_mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return r < 0 && r > -4096 ? 0 : (void *)r;
}
void *ossc_map_memory(size_t bytes) { return map_memory(bytes); }

/* Lock-free: a fork and a signal handler may come at any instruction. */
#define ARENA_BYTES 65536u
struct arena { size_t used; char bytes[ARENA_BYTES - sizeof(size_t)]; } __attribute__((aligned(16)));
static struct arena *arena;

void *ossc_allocate(size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > ARENA_BYTES / 8) return map_memory(bytes);
    for (;;) {
        struct arena *now = __atomic_load_n(&arena, __ATOMIC_ACQUIRE);
        if (now) {
            size_t at = __atomic_fetch_add(&now->used, bytes, __ATOMIC_RELAXED);
            if (at + bytes <= ARENA_BYTES) return (char *)now + at;
        }
        struct arena *fresh = map_memory(sizeof *fresh);
        if (!fresh) return 0;
        fresh->used = 16;
        if (!__atomic_compare_exchange_n(&arena, &now, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) ossc_munmap(fresh, sizeof *fresh);
    }
}

/* Buffers for one call. A program's stack may be a signal stack of a few kilobytes, so they are not there. A slot
 * belongs to the thread whose errno it names: that address is the thread's own, costs no system call and stays in a
 * forked child. */
#define SLOTS 128u
static const void *slot_owner[SLOTS];
static char slots[SLOTS][OSSC_PATH_MAX] __attribute__((aligned(64)));

char *ossc_take_buffer(void)
{
    const void *me = __errno_location();
    unsigned first = (unsigned)((uintptr_t)me >> 12) * 2654435761u >> 25;
    for (unsigned i = 0; i < SLOTS; i++) {
        unsigned at = (first + i) % SLOTS;
        const void *none = 0;
        if (__atomic_load_n(&slot_owner[at], __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&slot_owner[at], &none, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return slots[at];
    }
    for (;;) {
        void *page = map_memory(OSSC_PATH_MAX);
        if (page) return page;
        ossc_sleep_milliseconds(1);
    }
}
void ossc_give_buffer(char *buffer)
{
    if (buffer >= slots[0] && buffer < slots[0] + sizeof slots)
        __atomic_store_n(&slot_owner[(size_t)(buffer - slots[0]) / OSSC_PATH_MAX], (const void *)0, __ATOMIC_RELEASE);
    else
        ossc_munmap(buffer, OSSC_PATH_MAX);
}
/* In a forked child: the other threads' buffers. */
void ossc_give_buffers_of_others(void)
{
    const void *me = __errno_location();
    for (unsigned i = 0; i < SLOTS; i++)
        if (slot_owner[i] != me) slot_owner[i] = 0;
}
