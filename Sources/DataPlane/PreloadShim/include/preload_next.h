/*
 * The next definition of every hooked function, found with dlsym(RTLD_NEXT).
 *
 * `next_NAME(...)` calls it. Those marked E are resolved when the library is loaded, because a memory
 * allocator may call them while it holds its own lock, when dlsym is not safe; before that they are
 * plain system calls. The others (L) are resolved at their first call.
 */
#ifndef MODELCACHE_PRELOAD_NEXT_H
#define MODELCACHE_PRELOAD_NEXT_H

#include <stddef.h>
#include <stdint.h>

/* X(marker, return type, name, parameters in the callee's type, parameters, arguments) */
#define OSSC_NEXT_FUNCTIONS(X) \
    X(E, int, open, (const char *, int, ...), (const char *p, int f, uint32_t m), (p, f, m)) \
    X(E, int, open64, (const char *, int, ...), (const char *p, int f, uint32_t m), (p, f, m)) \
    X(E, int, openat, (int, const char *, int, ...), (int d, const char *p, int f, uint32_t m), (d, p, f, m)) \
    X(E, int, openat64, (int, const char *, int, ...), (int d, const char *p, int f, uint32_t m), (d, p, f, m)) \
    X(E, int, close, (int), (int fd), (fd)) \
    X(L, int, close_range, (uint32_t, uint32_t, int), (uint32_t a, uint32_t b, int f), (a, b, f)) \
    X(L, void, closefrom, (int), (int a), (a)) \
    X(L, int, dup, (int), (int a), (a)) \
    X(L, int, dup2, (int, int), (int a, int b), (a, b)) \
    X(L, int, dup3, (int, int, int), (int a, int b, int f), (a, b, f)) \
    X(E, int, fcntl, (int, int, ...), (int a, int b, uintptr_t c), (a, b, c)) \
    X(L, int, fcntl64, (int, int, ...), (int a, int b, uintptr_t c), (a, b, c)) \
    X(L, int, ioctl, (int, unsigned long, ...), (int a, uintptr_t b, uintptr_t c), (a, b, c)) \
    X(E, intptr_t, read, (int, void *, size_t), (int a, void *b, size_t c), (a, b, c)) \
    X(L, intptr_t, __read_chk, (int, void *, size_t, size_t), (int a, void *b, size_t c, size_t d), (a, b, c, d)) \
    X(L, intptr_t, pread, (int, void *, size_t, int64_t), (int a, void *b, size_t c, int64_t d), (a, b, c, d)) \
    X(L, intptr_t, pread64, (int, void *, size_t, int64_t), (int a, void *b, size_t c, int64_t d), (a, b, c, d)) \
    X(L, intptr_t, __pread_chk, (int, void *, size_t, int64_t, size_t), (int a, void *b, size_t c, int64_t d, size_t e), (a, b, c, d, e)) \
    X(L, intptr_t, __pread64_chk, (int, void *, size_t, int64_t, size_t), (int a, void *b, size_t c, int64_t d, size_t e), (a, b, c, d, e)) \
    X(L, intptr_t, readv, (int, const void *, int), (int a, const void *b, int c), (a, b, c)) \
    X(L, intptr_t, preadv, (int, const void *, int, int64_t), (int a, const void *b, int c, int64_t d), (a, b, c, d)) \
    X(L, intptr_t, preadv64, (int, const void *, int, int64_t), (int a, const void *b, int c, int64_t d), (a, b, c, d)) \
    X(L, intptr_t, preadv2, (int, const void *, int, int64_t, int), (int a, const void *b, int c, int64_t d, int e), (a, b, c, d, e)) \
    X(L, intptr_t, preadv64v2, (int, const void *, int, int64_t, int), (int a, const void *b, int c, int64_t d, int e), (a, b, c, d, e)) \
    X(L, int64_t, lseek, (int, int64_t, int), (int a, int64_t b, int c), (a, b, c)) \
    X(L, int64_t, lseek64, (int, int64_t, int), (int a, int64_t b, int c), (a, b, c)) \
    X(L, intptr_t, sendfile, (int, int, int64_t *, size_t), (int a, int b, int64_t *c, size_t d), (a, b, c, d)) \
    X(L, intptr_t, sendfile64, (int, int, int64_t *, size_t), (int a, int b, int64_t *c, size_t d), (a, b, c, d)) \
    X(L, intptr_t, copy_file_range, (int, int64_t *, int, int64_t *, size_t, uint32_t), (int a, int64_t *b, int c, int64_t *d, size_t e, uint32_t f), (a, b, c, d, e, f)) \
    X(L, intptr_t, splice, (int, int64_t *, int, int64_t *, size_t, uint32_t), (int a, int64_t *b, int c, int64_t *d, size_t e, uint32_t f), (a, b, c, d, e, f)) \
    X(E, void *, mmap, (void *, size_t, int, int, int, int64_t), (void *a, size_t b, int c, int d, int e, int64_t f), (a, b, c, d, e, f)) \
    X(E, void *, mmap64, (void *, size_t, int, int, int, int64_t), (void *a, size_t b, int c, int d, int e, int64_t f), (a, b, c, d, e, f)) \
    X(E, int, munmap, (void *, size_t), (void *a, size_t b), (a, b)) \
    X(E, void *, mremap, (void *, size_t, size_t, int, ...), (void *a, size_t b, size_t c, int d, void *e), (a, b, c, d, e)) \
    X(E, int, mprotect, (void *, size_t, int), (void *a, size_t b, int c), (a, b, c)) \
    X(E, int, madvise, (void *, size_t, int), (void *a, size_t b, int c), (a, b, c)) \
    X(L, int, mlock, (const void *, size_t), (const void *a, size_t b), (a, b)) \
    X(L, int, mlock2, (const void *, size_t, uint32_t), (const void *a, size_t b, uint32_t c), (a, b, c)) \
    X(L, void *, fopen, (const char *, const char *), (const char *a, const char *b), (a, b)) \
    X(L, void *, fopen64, (const char *, const char *), (const char *a, const char *b), (a, b)) \
    X(L, void *, freopen, (const char *, const char *, void *), (const char *a, const char *b, void *c), (a, b, c)) \
    X(L, void *, freopen64, (const char *, const char *, void *), (const char *a, const char *b, void *c), (a, b, c)) \
    X(L, void *, fdopen, (int, const char *), (int a, const char *b), (a, b)) \
    X(L, size_t, fread, (void *, size_t, size_t, void *), (void *a, size_t b, size_t c, void *d), (a, b, c, d)) \
    X(L, size_t, fread_unlocked, (void *, size_t, size_t, void *), (void *a, size_t b, size_t c, void *d), (a, b, c, d)) \
    X(L, size_t, __fread_chk, (void *, size_t, size_t, size_t, void *), (void *a, size_t s, size_t b, size_t c, void *d), (a, s, b, c, d)) \
    X(L, int, fclose, (void *), (void *a), (a)) \
    X(L, int, fileno, (void *), (void *a), (a)) \
    X(L, int, fileno_unlocked, (void *), (void *a), (a)) \
    X(L, int, stat, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(L, int, stat64, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(L, int, lstat, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(L, int, lstat64, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(L, int, fstatat, (int, const char *, void *, int), (int a, const char *b, void *c, int d), (a, b, c, d)) \
    X(L, int, fstatat64, (int, const char *, void *, int), (int a, const char *b, void *c, int d), (a, b, c, d)) \
    X(L, int, statx, (int, const char *, int, uint32_t, void *), (int a, const char *b, int c, uint32_t d, void *e), (a, b, c, d, e)) \
    X(L, int, __xstat, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(L, int, __xstat64, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(L, int, __lxstat, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(L, int, __lxstat64, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(L, int, __fxstatat, (int, int, const char *, void *, int), (int v, int a, const char *b, void *c, int d), (v, a, b, c, d)) \
    X(L, int, __fxstatat64, (int, int, const char *, void *, int), (int v, int a, const char *b, void *c, int d), (v, a, b, c, d)) \
    X(L, int, access, (const char *, int), (const char *a, int b), (a, b)) \
    X(L, int, faccessat, (int, const char *, int, int), (int a, const char *b, int c, int d), (a, b, c, d)) \
    X(L, int, euidaccess, (const char *, int), (const char *a, int b), (a, b)) \
    X(L, int, eaccess, (const char *, int), (const char *a, int b), (a, b)) \
    X(L, int, chdir, (const char *), (const char *a), (a)) \
    X(L, intptr_t, readlink, (const char *, char *, size_t), (const char *a, char *b, size_t c), (a, b, c)) \
    X(L, intptr_t, readlinkat, (int, const char *, char *, size_t), (int d, const char *a, char *b, size_t c), (d, a, b, c)) \
    X(L, char *, realpath, (const char *, char *), (const char *a, char *b), (a, b)) \
    X(L, char *, canonicalize_file_name, (const char *), (const char *a), (a)) \
    X(L, intptr_t, getxattr, (const char *, const char *, void *, size_t), (const char *a, const char *b, void *c, size_t d), (a, b, c, d)) \
    X(L, intptr_t, lgetxattr, (const char *, const char *, void *, size_t), (const char *a, const char *b, void *c, size_t d), (a, b, c, d)) \
    X(L, intptr_t, listxattr, (const char *, char *, size_t), (const char *a, char *b, size_t c), (a, b, c)) \
    X(L, intptr_t, llistxattr, (const char *, char *, size_t), (const char *a, char *b, size_t c), (a, b, c)) \
    X(L, void *, opendir, (const char *), (const char *a), (a)) \
    X(L, void *, fdopendir, (int), (int a), (a)) \
    X(L, void *, readdir, (void *), (void *a), (a)) \
    X(L, void *, readdir64, (void *), (void *a), (a)) \
    X(L, int, closedir, (void *), (void *a), (a)) \
    X(L, void, rewinddir, (void *), (void *a), (a)) \
    X(L, int, dirfd, (void *), (void *a), (a))

#define X(marker, R, name, types, parameters, arguments) OSSC_NEXT_##name,
enum { OSSC_NEXT_FUNCTIONS(X) OSSC_NEXT_COUNT };
#undef X

/* Each entry begins as a stub that resolves and calls on, so that a call is one load and one jump. */
extern void *ossc_next[OSSC_NEXT_COUNT];

#define X(marker, R, name, types, parameters, arguments)                                     \
    static inline R next_##name parameters                                                   \
    {                                                                                        \
        return ((R(*) types)__atomic_load_n(&ossc_next[OSSC_NEXT_##name], __ATOMIC_RELAXED))arguments; \
    }
OSSC_NEXT_FUNCTIONS(X)
#undef X

#endif
