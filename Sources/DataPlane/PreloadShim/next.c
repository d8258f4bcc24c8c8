/* Finding the next definition of a hooked function, and plain system calls until that is safe. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "preload_shim.h"

/* The versions these symbols had before glibc 2.34 moved them, so that older systems load the library. */
#if defined(__x86_64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
#endif

#define X(marker, R, name, types, parameters, arguments) #name,
static const char *const names[OSSC_NEXT_COUNT] = {OSSC_NEXT_FUNCTIONS(X)};
#undef X

/* Before the library has resolved anything. */
static int early_open(const char *p, int f, ...)
{
    va_list list;
    va_start(list, f);
    unsigned mode = va_arg(list, unsigned);
    va_end(list);
    return (int)syscall(SYS_openat, AT_FDCWD, p, f, mode);
}
static int early_openat(int d, const char *p, int f, ...)
{
    va_list list;
    va_start(list, f);
    unsigned mode = va_arg(list, unsigned);
    va_end(list);
    return (int)syscall(SYS_openat, d, p, f, mode);
}
static int early_close(int fd) { return (int)syscall(SYS_close, fd); }
static int early_fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    uintptr_t argument = va_arg(list, uintptr_t);
    va_end(list);
    return (int)syscall(SYS_fcntl, fd, command, argument);
}
static intptr_t early_read(int fd, void *to, size_t n) { return syscall(SYS_read, fd, to, n); }
static void *early_mmap(void *a, size_t n, int p, int f, int fd, int64_t o)
{
    return (void *)syscall(SYS_mmap, a, n, p, f, fd, o);
}
static int early_munmap(void *a, size_t n) { return (int)syscall(SYS_munmap, a, n); }
static void *early_mremap(void *a, size_t o, size_t n, int f, ...)
{
    va_list list;
    va_start(list, f);
    void *to = va_arg(list, void *);
    va_end(list);
    return (void *)syscall(SYS_mremap, a, o, n, f, to);
}
static int early_mprotect(void *a, size_t n, int p) { return (int)syscall(SYS_mprotect, a, n, p); }
static int early_madvise(void *a, size_t n, int v) { return (int)syscall(SYS_madvise, a, n, v); }

static void *early(int which)
{
    switch (which) {
    case OSSC_NEXT_open: case OSSC_NEXT_open64: return (void *)early_open;
    case OSSC_NEXT_openat: case OSSC_NEXT_openat64: return (void *)early_openat;
    case OSSC_NEXT_close: return (void *)early_close;
    case OSSC_NEXT_fcntl: return (void *)early_fcntl;
    case OSSC_NEXT_read: return (void *)early_read;
    case OSSC_NEXT_mmap: case OSSC_NEXT_mmap64: return (void *)early_mmap;
    case OSSC_NEXT_munmap: return (void *)early_munmap;
    case OSSC_NEXT_mremap: return (void *)early_mremap;
    case OSSC_NEXT_mprotect: return (void *)early_mprotect;
    case OSSC_NEXT_madvise: return (void *)early_madvise;
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

static void *resolve(int which)
{
    void *plain = early(which);
    if (plain) return plain;
    void *found = dlsym(RTLD_NEXT, names[which]);
    if (!found) {
        switch (which) {
        case OSSC_NEXT_fopen: case OSSC_NEXT_fopen64: case OSSC_NEXT_freopen: case OSSC_NEXT_freopen64:
        case OSSC_NEXT_fdopen: case OSSC_NEXT_realpath: case OSSC_NEXT_canonicalize_file_name:
        case OSSC_NEXT_opendir: case OSSC_NEXT_fdopendir: case OSSC_NEXT_readdir: case OSSC_NEXT_readdir64:
            found = (void *)missing_pointer;
            break;
        default:
            found = (void *)missing;
        }
    }
    __atomic_store_n(&ossc_next[which], found, __ATOMIC_RELAXED);
    return found;
}

/* What every entry is at first. A stub reads its arguments as the hook has them: fixed and variadic callees
 * take the same registers on the machines this library is built for. */
#define X(marker, R, name, types, parameters, arguments) \
    static R first_##name parameters { return ((R(*) types)resolve(OSSC_NEXT_##name))arguments; }
OSSC_NEXT_FUNCTIONS(X)
#undef X
#define X(marker, R, name, types, parameters, arguments) (void *)first_##name,
void *ossc_next[OSSC_NEXT_COUNT] = {OSSC_NEXT_FUNCTIONS(X)};
#undef X

void ossc_resolve_early(void)
{
    for (int which = 0; which < OSSC_NEXT_COUNT; which++) {
        if (!early(which)) continue;
        void *found = dlsym(RTLD_NEXT, names[which]);
        __atomic_store_n(&ossc_next[which], found ? found : early(which), __ATOMIC_RELAXED);
    }
}
