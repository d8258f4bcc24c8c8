/* Raw system calls, locks and memory. Nothing here passes through the library's own hooks. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "preload_shim.h"

struct ossc_file *ossc_table[OSSC_DESCRIPTORS];
uint32_t ossc_switch;

static inline long answer(long r) { return r < 0 ? -errno : r; }
#define CALL(...)                        \
    do {                                 \
        int saved = errno;               \
        long r = answer(syscall(__VA_ARGS__)); \
        errno = saved;                   \
        return r;                        \
    } while (0)

long ossc_open(int d, const char *p, int f, unsigned m) { CALL(SYS_openat, d, p, f, m); }
long ossc_close(int fd) { CALL(SYS_close, fd); }
long ossc_read(int fd, void *to, size_t n) { CALL(SYS_read, fd, to, n); }
long ossc_write(int fd, const void *from, size_t n) { CALL(SYS_write, fd, from, n); }
long ossc_seek(int fd, int64_t o, int w) { CALL(SYS_lseek, fd, o, w); }
long ossc_getdents(int fd, void *to, size_t n) { CALL(SYS_getdents64, fd, to, n); }
long ossc_mmap(void *a, size_t n, int p, int f, int fd, int64_t o) { CALL(SYS_mmap, a, n, p, f, fd, o); }
long ossc_munmap(void *a, size_t n) { CALL(SYS_munmap, a, n); }
long ossc_mprotect(void *a, size_t n, int p) { CALL(SYS_mprotect, a, n, p); }
long ossc_madvise(void *a, size_t n, int v) { CALL(SYS_madvise, a, n, v); }
long ossc_mlock(void *a, size_t n) { CALL(SYS_mlock, a, n); }
long ossc_getcwd(char *to, size_t n) { CALL(SYS_getcwd, to, n); }
long ossc_readlink(const char *p, char *to, size_t n) { CALL(SYS_readlinkat, AT_FDCWD, p, to, n); }
long ossc_access(const char *p, int m) { CALL(SYS_faccessat, AT_FDCWD, p, m); }
long ossc_mkdir(const char *p, unsigned m) { CALL(SYS_mkdirat, AT_FDCWD, p, m); }
long ossc_symlink(const char *t, const char *p) { CALL(SYS_symlinkat, t, AT_FDCWD, p); }
long ossc_flock(int fd, int o) { CALL(SYS_flock, fd, o); }
long ossc_duplicate_above(int fd, int low)
{
    int saved = errno;
    long r = answer(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, low));
    if (r < 0) r = answer(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3));
    errno = saved;
    return r;
}
long ossc_memory_file(void) { CALL(SYS_memfd_create, "modelcache", 1u /* MFD_CLOEXEC */); }
long ossc_eventfd(void) { CALL(SYS_eventfd2, 0, O_CLOEXEC | O_NONBLOCK); }
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
long ossc_getuid(void) { CALL(SYS_geteuid); }
static long process;
void ossc_claim_process(void) { process = syscall(SYS_getpid); }
int ossc_is_own_process(void) { return syscall(SYS_getpid) == process; }
void ossc_exit(int status)
{
    for (;;) syscall(SYS_exit_group, status);
}
void ossc_die_of_bus_error(void)
{
    struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } plain;
    memset(&plain, 0, sizeof plain);
    syscall(SYS_rt_sigaction, SIGBUS, &plain, NULL, 8);
    uint64_t mask = 1ull << (SIGBUS - 1);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, 8);
    syscall(SYS_kill, syscall(SYS_getpid), SIGBUS);
    ossc_sleep_milliseconds(1000);
    ossc_exit(128 + SIGBUS);
}
void ossc_sleep_milliseconds(int ms)
{
    int saved = errno;
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    syscall(SYS_nanosleep, &t, NULL);
    errno = saved;
}
int64_t ossc_now_milliseconds(void)
{
    struct timespec t = {0, 0};
    syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct ossc_identity identify(int fd, const char *path, int flags)
{
    int saved = errno;
    struct ossc_identity found = {0, 0, 0, 0, 0};
    struct stat s;
#ifdef SYS_newfstatat
    long r = syscall(SYS_newfstatat, fd, path, &s, flags);
#else
    long r = syscall(SYS_fstatat64, fd, path, &s, flags);
#endif
    if (r < 0) {
        found.error = errno;
    } else {
        found.device = s.st_dev;
        found.inode = s.st_ino;
        found.bytes = (uint64_t)s.st_size;
        found.mode = s.st_mode;
    }
    errno = saved;
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
uint64_t ossc_free_blocks(const char *path)
{
    int saved = errno;
    struct statfs s;
    long r = syscall(SYS_statfs, path, &s);
    errno = saved;
    return r < 0 ? 0 : (uint64_t)s.f_bfree;
}

long ossc_futex_wait(const void *word, uint32_t value, int ms)
{
    int saved = errno;
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    long r = answer(syscall(SYS_futex, word, FUTEX_WAIT, value, &t, NULL, 0));
    errno = saved;
    return r == -EAGAIN ? 0 : r;
}
long ossc_poll_wait(struct ossc_poll *entries, int count, int ms)
{
    int saved = errno;
    struct pollfd p[4];
    for (int i = 0; i < count && i < 4; i++) p[i] = (struct pollfd){entries[i].fd, POLLIN, 0};
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    long r = answer(syscall(SYS_ppoll, p, count, ms < 0 ? NULL : &t, NULL, 0));
    for (int i = 0; i < count && i < 4; i++)
        entries[i].events = r <= 0 ? 0
            : ((p[i].revents & POLLIN) ? OSSC_POLL_IN : 0) | ((p[i].revents & (POLLHUP | POLLERR | POLLNVAL)) ? OSSC_POLL_HUP : 0);
    errno = saved;
    return r;
}

/* ---- locks ---------------------------------------------------------------------------------- */

static int locks[OSSC_LOCKS];  /* 0 free, 1 held, 2 held and waited for */

void ossc_lock(int which)
{
    int *word = &locks[which], state = 0;
    if (__atomic_compare_exchange_n(word, &state, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    int saved = errno;
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    errno = saved;
}
int ossc_try_lock(int which)
{
    int state = 0;
    return __atomic_compare_exchange_n(&locks[which], &state, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
void ossc_unlock(int which)
{
    int saved = errno;
    if (__atomic_exchange_n(&locks[which], 0, __ATOMIC_RELEASE) == 2)
        syscall(SYS_futex, &locks[which], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}
void ossc_reset_locks(void)
{
    for (int i = 0; i < OSSC_LOCKS; i++) locks[i] = 0;
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

#define ARENA_BYTES 65536u
static int arena_lock;
static char *arena;
static size_t arena_used = ARENA_BYTES;

void *ossc_allocate(size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > ARENA_BYTES) return 0;
    while (__atomic_exchange_n(&arena_lock, 1, __ATOMIC_ACQUIRE)) ossc_sleep_milliseconds(0);
    if (arena_used + bytes > ARENA_BYTES) {
        long r = ossc_mmap(0, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (r < 0 && r > -4096) {
            __atomic_store_n(&arena_lock, 0, __ATOMIC_RELEASE);
            return 0;
        }
        arena = (char *)r;
        arena_used = 0;
    }
    void *given = arena + arena_used;
    arena_used += bytes;
    __atomic_store_n(&arena_lock, 0, __ATOMIC_RELEASE);
    return given;
}
