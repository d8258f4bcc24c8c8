/* Finding the next definition of a hooked function, and plain system calls until that is safe. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include "preload_shim.h"
#include "raw.h"

extern const char *gnu_get_libc_version(void) __attribute__((weak));

/* The versions these symbols had before glibc 2.34 moved them, so that older systems load the library. */
#if defined(__x86_64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
#endif

#define X(R, name, types, parameters, arguments) #name,
static const char *const names[OSSC_NEXT_COUNT] = {OSSC_NEXT_FUNCTIONS(X)};
#undef X

/* Before the library is loaded: the functions that POSIX calls async-signal-safe, and those that an allocator may call
 * under its own lock. */
static intptr_t answer(long r)
{
    if (r >= 0 || r < -4095) return r;
    errno = (int)-r;
    return -1;
}
#define EARLY(R, name, parameters, ...) \
    static R early_##name parameters { return (R)answer(RAW(__VA_ARGS__)); }
EARLY(int, open, (const char *p, int f, uint32_t m), SYS_openat, AT_FDCWD, p, f, m)
EARLY(int, openat, (int d, const char *p, int f, uint32_t m), SYS_openat, d, p, f, m)
EARLY(int, close, (int fd), SYS_close, fd)
EARLY(int, dup, (int a), SYS_dup, a)
EARLY(int, dup3, (int a, int b, int f), SYS_dup3, a, b, f)
static int early_dup2(int a, int b)
{
    return a == b ? (answer(RAW(SYS_fcntl, a, F_GETFD, 0)) < 0 ? -1 : b) : early_dup3(a, b, 0);
}
EARLY(int, fcntl, (int a, int b, uintptr_t c), SYS_fcntl, a, b, c)
EARLY(int, ioctl, (int a, uintptr_t b, uintptr_t c), SYS_ioctl, a, b, c)
EARLY(intptr_t, read, (int a, void *b, size_t c), SYS_read, a, b, c)
EARLY(intptr_t, pread, (int a, void *b, size_t c, int64_t d), SYS_pread64, a, b, c, d)
EARLY(intptr_t, readv, (int a, const void *b, int c), SYS_readv, a, b, c)
EARLY(int64_t, lseek, (int a, int64_t b, int c), SYS_lseek, a, b, c)
EARLY(void *, mmap, (void *a, size_t b, int c, int d, int e, int64_t f), SYS_mmap, a, b, c, d, e, f)
EARLY(int, munmap, (void *a, size_t b), SYS_munmap, a, b)
EARLY(void *, mremap, (void *a, size_t b, size_t c, int d, void *e), SYS_mremap, a, b, c, d, e)
EARLY(int, mprotect, (void *a, size_t b, int c), SYS_mprotect, a, b, c)
EARLY(int, madvise, (void *a, size_t b, int c), SYS_madvise, a, b, c)
EARLY(int, mlock, (const void *a, size_t b), SYS_mlock, a, b)
EARLY(int, stat, (const char *a, void *b), SYS_newfstatat, AT_FDCWD, a, b, 0)
EARLY(int, lstat, (const char *a, void *b), SYS_newfstatat, AT_FDCWD, a, b, AT_SYMLINK_NOFOLLOW)
EARLY(int, fstat, (int d, void *b), SYS_newfstatat, d, "", b, AT_EMPTY_PATH)
EARLY(int, fstatat, (int d, const char *a, void *b, int f), SYS_newfstatat, d, a, b, f)
EARLY(int, access, (const char *a, int b), SYS_faccessat, AT_FDCWD, a, b)
EARLY(int, mkdir, (const char *a, uint32_t b), SYS_mkdirat, AT_FDCWD, a, b)
EARLY(int, mkdirat, (int d, const char *a, uint32_t b), SYS_mkdirat, d, a, b)
EARLY(int, symlink, (const char *a, const char *b), SYS_symlinkat, a, AT_FDCWD, b)
EARLY(int, symlinkat, (const char *a, int d, const char *b), SYS_symlinkat, a, d, b)
EARLY(int, link, (const char *a, const char *b), SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0)
EARLY(int, linkat, (int d, const char *a, int e, const char *b, int f), SYS_linkat, d, a, e, b, f)
EARLY(int, unlink, (const char *a), SYS_unlinkat, AT_FDCWD, a, 0)
EARLY(int, unlinkat, (int d, const char *a, int f), SYS_unlinkat, d, a, f)
EARLY(int, renameat, (int d, const char *a, int e, const char *b), SYS_renameat2, d, a, e, b, 0)
EARLY(int, chdir, (const char *a), SYS_chdir, a)
EARLY(int, fchdir, (int a), SYS_fchdir, a)
EARLY(intptr_t, readlink, (const char *a, char *b, size_t c), SYS_readlinkat, AT_FDCWD, a, b, c)
EARLY(intptr_t, readlinkat, (int d, const char *a, char *b, size_t c), SYS_readlinkat, d, a, b, c)
EARLY(intptr_t, syscall, (intptr_t n, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f), n, a, b, c, d, e, f)
EARLY(int, poll, (void *a, uintptr_t b, int c), SYS_ppoll, a, b, c < 0 ? 0 : &((struct timespec){c / 1000, c % 1000 * 1000000L}), 0, 0)
EARLY(int, faccessat, (int d, const char *a, int b), SYS_faccessat, d, a, b)

static void *early(int which)
{
#define E(name) case OSSC_NEXT_##name: return (void *)early_##name
#define E64(name) case OSSC_NEXT_##name: case OSSC_NEXT_##name##64: return (void *)early_##name
    switch (which) {
    E64(open); E64(openat); E(close); E(dup); E(dup2); E(dup3); E64(fcntl); E(ioctl); E(read); E64(pread); E(readv); E64(lseek); E64(mmap);
    E(munmap); E(mremap); E(mprotect); E(madvise); E(mlock); E64(stat); E64(lstat); E64(fstat); E64(fstatat); E(access); E(faccessat); E(chdir); E(fchdir); E(readlink);
    E(readlinkat); E(poll); E(syscall);
    E(mkdir); E(mkdirat); E(symlink); E(symlinkat); E(link); E(linkat); E(unlink); E(unlinkat); E(renameat);
    default: return 0;
    }
}

/* Stands in for a function this C library does not have. */
static intptr_t missing(void)
{
    errno = ENOSYS;
    return -1;
}
static void *missing_pointer(void)
{
    errno = ENOSYS;
    return 0;
}

static void *missing_function(int which)
{
    switch (which) {
    case OSSC_NEXT_fopen: case OSSC_NEXT_fopen64: case OSSC_NEXT_freopen: case OSSC_NEXT_freopen64:
    case OSSC_NEXT_fdopen: case OSSC_NEXT_realpath: case OSSC_NEXT_canonicalize_file_name:
    case OSSC_NEXT_opendir: case OSSC_NEXT_fdopendir: case OSSC_NEXT_readdir: case OSSC_NEXT_readdir64:
        return (void *)missing_pointer;
    default:
        return (void *)missing;
    }
}

/* The glibc that brought a function: looking for one that is not there would have dlsym allocate its error. */
static unsigned first_glibc(int which)
{
    switch (which) {
    case OSSC_NEXT_preadv2: case OSSC_NEXT_preadv64v2: return 226;
    case OSSC_NEXT_copy_file_range: case OSSC_NEXT_mlock2: return 227;
    case OSSC_NEXT_statx: case OSSC_NEXT_fcntl64: case OSSC_NEXT_renameat2: return 228;
    case OSSC_NEXT_stat: case OSSC_NEXT_stat64: case OSSC_NEXT_lstat: case OSSC_NEXT_lstat64:
    case OSSC_NEXT_fstat: case OSSC_NEXT_fstat64: case OSSC_NEXT_fstatat: case OSSC_NEXT_fstatat64: return 233;
    case OSSC_NEXT_close_range: case OSSC_NEXT_closefrom: case OSSC_NEXT__Fork: return 234;
    default: return 0;
    }
}
static unsigned glibc_version(void)
{
    const char *text = gnu_get_libc_version ? gnu_get_libc_version() : "";
    unsigned major = 0, minor = 0;
    for (; *text >= '0' && *text <= '9'; text++) major = major * 10 + (unsigned)(*text - '0');
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++) minor = minor * 10 + (unsigned)(*text - '0');
    return major * 100 + minor;
}
static void *look_up(int which)
{
    void *found = first_glibc(which) <= glibc_version() ? dlsym(RTLD_NEXT, names[which]) : 0;
    return found ? found : early(which) ? early(which) : missing_function(which);
}

/* A call before the library is loaded. */
static void *first(int which)
{
    void *plain = early(which);
    return plain ? plain : look_up(which);
}

/* Each entry is at first a stub. It reads its arguments as the hook has them: fixed and variadic callees take the same
 * registers on the machines this library is built for. */
#define X(R, name, types, parameters, arguments) \
    static R first_##name parameters { return ((R(*) types)first(OSSC_NEXT_##name))arguments; }
OSSC_NEXT_FUNCTIONS(X)
#undef X
#define X(R, name, types, parameters, arguments) (void *)first_##name,
void *ossc_next[OSSC_NEXT_COUNT] = {OSSC_NEXT_FUNCTIONS(X)};
#undef X

void ossc_resolve_all(void)
{
    for (int which = 0; which < OSSC_NEXT_COUNT; which++)
        __atomic_store_n(&ossc_next[which], look_up(which), __ATOMIC_RELAXED);
}
