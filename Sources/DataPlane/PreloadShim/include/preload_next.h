/*
 * The next definition of every hooked function, found with dlsym(RTLD_NEXT).
 *
 * `next_NAME(...)` calls it. All are resolved when the library is loaded: later, a signal handler or an
 * allocator that holds its own lock may be the caller, and dlsym is safe in neither. Before that, those
 * that such callers use are plain system calls (next.c).
 */
#ifndef MODELCACHE_PRELOAD_NEXT_H
#define MODELCACHE_PRELOAD_NEXT_H

#include <stddef.h>
#include <stdint.h>

/* X(return type, name, parameters in the callee's type, parameters, arguments) */
#define OSSC_NEXT_FUNCTIONS(X) \
    X(int, open, (const char *, int, ...), (const char *p, int f, uint32_t m), (p, f, m)) \
    X(int, open64, (const char *, int, ...), (const char *p, int f, uint32_t m), (p, f, m)) \
    X(int, openat, (int, const char *, int, ...), (int d, const char *p, int f, uint32_t m), (d, p, f, m)) \
    X(int, openat64, (int, const char *, int, ...), (int d, const char *p, int f, uint32_t m), (d, p, f, m)) \
    X(int, close, (int), (int fd), (fd)) \
    X(int, close_range, (uint32_t, uint32_t, int), (uint32_t a, uint32_t b, int f), (a, b, f)) \
    X(void, closefrom, (int), (int a), (a)) \
    X(int, dup, (int), (int a), (a)) \
    X(int, dup2, (int, int), (int a, int b), (a, b)) \
    X(int, dup3, (int, int, int), (int a, int b, int f), (a, b, f)) \
    X(int, fcntl, (int, int, ...), (int a, int b, uintptr_t c), (a, b, c)) \
    X(int, fcntl64, (int, int, ...), (int a, int b, uintptr_t c), (a, b, c)) \
    X(int, ioctl, (int, unsigned long, ...), (int a, uintptr_t b, uintptr_t c), (a, b, c)) \
    X(intptr_t, read, (int, void *, size_t), (int a, void *b, size_t c), (a, b, c)) \
    X(intptr_t, __read_chk, (int, void *, size_t, size_t), (int a, void *b, size_t c, size_t d), (a, b, c, d)) \
    X(intptr_t, pread, (int, void *, size_t, int64_t), (int a, void *b, size_t c, int64_t d), (a, b, c, d)) \
    X(intptr_t, pread64, (int, void *, size_t, int64_t), (int a, void *b, size_t c, int64_t d), (a, b, c, d)) \
    X(intptr_t, __pread_chk, (int, void *, size_t, int64_t, size_t), (int a, void *b, size_t c, int64_t d, size_t e), (a, b, c, d, e)) \
    X(intptr_t, __pread64_chk, (int, void *, size_t, int64_t, size_t), (int a, void *b, size_t c, int64_t d, size_t e), (a, b, c, d, e)) \
    X(intptr_t, readv, (int, const void *, int), (int a, const void *b, int c), (a, b, c)) \
    X(intptr_t, preadv, (int, const void *, int, int64_t), (int a, const void *b, int c, int64_t d), (a, b, c, d)) \
    X(intptr_t, preadv64, (int, const void *, int, int64_t), (int a, const void *b, int c, int64_t d), (a, b, c, d)) \
    X(intptr_t, preadv2, (int, const void *, int, int64_t, int), (int a, const void *b, int c, int64_t d, int e), (a, b, c, d, e)) \
    X(intptr_t, preadv64v2, (int, const void *, int, int64_t, int), (int a, const void *b, int c, int64_t d, int e), (a, b, c, d, e)) \
    X(int64_t, lseek, (int, int64_t, int), (int a, int64_t b, int c), (a, b, c)) \
    X(int64_t, lseek64, (int, int64_t, int), (int a, int64_t b, int c), (a, b, c)) \
    X(intptr_t, sendfile, (int, int, int64_t *, size_t), (int a, int b, int64_t *c, size_t d), (a, b, c, d)) \
    X(intptr_t, sendfile64, (int, int, int64_t *, size_t), (int a, int b, int64_t *c, size_t d), (a, b, c, d)) \
    X(intptr_t, copy_file_range, (int, int64_t *, int, int64_t *, size_t, uint32_t), (int a, int64_t *b, int c, int64_t *d, size_t e, uint32_t f), (a, b, c, d, e, f)) \
    X(intptr_t, splice, (int, int64_t *, int, int64_t *, size_t, uint32_t), (int a, int64_t *b, int c, int64_t *d, size_t e, uint32_t f), (a, b, c, d, e, f)) \
    X(void *, mmap, (void *, size_t, int, int, int, int64_t), (void *a, size_t b, int c, int d, int e, int64_t f), (a, b, c, d, e, f)) \
    X(void *, mmap64, (void *, size_t, int, int, int, int64_t), (void *a, size_t b, int c, int d, int e, int64_t f), (a, b, c, d, e, f)) \
    X(int, munmap, (void *, size_t), (void *a, size_t b), (a, b)) \
    X(void *, mremap, (void *, size_t, size_t, int, ...), (void *a, size_t b, size_t c, int d, void *e), (a, b, c, d, e)) \
    X(int, mprotect, (void *, size_t, int), (void *a, size_t b, int c), (a, b, c)) \
    X(int, madvise, (void *, size_t, int), (void *a, size_t b, int c), (a, b, c)) \
    X(int, mlock, (const void *, size_t), (const void *a, size_t b), (a, b)) \
    X(int, mlock2, (const void *, size_t, uint32_t), (const void *a, size_t b, uint32_t c), (a, b, c)) \
    X(void *, fopen, (const char *, const char *), (const char *a, const char *b), (a, b)) \
    X(void *, fopen64, (const char *, const char *), (const char *a, const char *b), (a, b)) \
    X(void *, freopen, (const char *, const char *, void *), (const char *a, const char *b, void *c), (a, b, c)) \
    X(void *, freopen64, (const char *, const char *, void *), (const char *a, const char *b, void *c), (a, b, c)) \
    X(void *, fdopen, (int, const char *), (int a, const char *b), (a, b)) \
    X(size_t, fread, (void *, size_t, size_t, void *), (void *a, size_t b, size_t c, void *d), (a, b, c, d)) \
    X(size_t, fread_unlocked, (void *, size_t, size_t, void *), (void *a, size_t b, size_t c, void *d), (a, b, c, d)) \
    X(size_t, __fread_chk, (void *, size_t, size_t, size_t, void *), (void *a, size_t s, size_t b, size_t c, void *d), (a, s, b, c, d)) \
    X(int, fclose, (void *), (void *a), (a)) \
    X(int, fileno, (void *), (void *a), (a)) \
    X(int, fileno_unlocked, (void *), (void *a), (a)) \
    X(int, stat, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(int, stat64, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(int, lstat, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(int, lstat64, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(int, fstatat, (int, const char *, void *, int), (int a, const char *b, void *c, int d), (a, b, c, d)) \
    X(int, fstatat64, (int, const char *, void *, int), (int a, const char *b, void *c, int d), (a, b, c, d)) \
    X(int, fstat, (int, void *), (int a, void *b), (a, b)) \
    X(int, fstat64, (int, void *), (int a, void *b), (a, b)) \
    X(int, __fxstat, (int, int, void *), (int v, int a, void *b), (v, a, b)) \
    X(int, __fxstat64, (int, int, void *), (int v, int a, void *b), (v, a, b)) \
    X(int, statx, (int, const char *, int, uint32_t, void *), (int a, const char *b, int c, uint32_t d, void *e), (a, b, c, d, e)) \
    X(int, __xstat, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(int, __xstat64, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(int, __lxstat, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(int, __lxstat64, (int, const char *, void *), (int v, const char *a, void *b), (v, a, b)) \
    X(int, __fxstatat, (int, int, const char *, void *, int), (int v, int a, const char *b, void *c, int d), (v, a, b, c, d)) \
    X(int, __fxstatat64, (int, int, const char *, void *, int), (int v, int a, const char *b, void *c, int d), (v, a, b, c, d)) \
    X(int, inotify_add_watch, (int, const char *, uint32_t), (int a, const char *b, uint32_t c), (a, b, c)) \
    X(intptr_t, pathconf, (const char *, int), (const char *a, int b), (a, b)) \
    X(int, name_to_handle_at, (int, const char *, void *, int *, int), (int a, const char *b, void *c, int *d, int e), (a, b, c, d, e)) \
    X(int, open_by_handle_at, (int, void *, int), (int a, void *b, int c), (a, b, c)) \
    X(int, scandir, (const char *, void *, const void *, const void *), (const char *a, void *b, const void *c, const void *d), (a, b, c, d)) \
    X(int, scandir64, (const char *, void *, const void *, const void *), (const char *a, void *b, const void *c, const void *d), (a, b, c, d)) \
    X(int, access, (const char *, int), (const char *a, int b), (a, b)) \
    X(int, faccessat, (int, const char *, int, int), (int a, const char *b, int c, int d), (a, b, c, d)) \
    X(int, euidaccess, (const char *, int), (const char *a, int b), (a, b)) \
    X(int, eaccess, (const char *, int), (const char *a, int b), (a, b)) \
    X(int, mkdir, (const char *, uint32_t), (const char *a, uint32_t b), (a, b)) \
    X(int, mkdirat, (int, const char *, uint32_t), (int a, const char *b, uint32_t c), (a, b, c)) \
    X(int, symlink, (const char *, const char *), (const char *a, const char *b), (a, b)) \
    X(int, symlinkat, (const char *, int, const char *), (const char *a, int b, const char *c), (a, b, c)) \
    X(int, link, (const char *, const char *), (const char *a, const char *b), (a, b)) \
    X(int, linkat, (int, const char *, int, const char *, int), (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e)) \
    X(int, unlink, (const char *), (const char *a), (a)) \
    X(int, unlinkat, (int, const char *, int), (int a, const char *b, int c), (a, b, c)) \
    X(int, renameat, (int, const char *, int, const char *), (int a, const char *b, int c, const char *d), (a, b, c, d)) \
    X(int, renameat2, (int, const char *, int, const char *, uint32_t), (int a, const char *b, int c, const char *d, uint32_t e), (a, b, c, d, e)) \
    X(int, chdir, (const char *), (const char *a), (a)) \
    X(int, fchdir, (int), (int a), (a)) \
    X(intptr_t, readlink, (const char *, char *, size_t), (const char *a, char *b, size_t c), (a, b, c)) \
    X(intptr_t, readlinkat, (int, const char *, char *, size_t), (int d, const char *a, char *b, size_t c), (d, a, b, c)) \
    X(intptr_t, __readlink_chk, (const char *, char *, size_t, size_t), (const char *a, char *b, size_t c, size_t d), (a, b, c, d)) \
    X(intptr_t, __readlinkat_chk, (int, const char *, char *, size_t, size_t), (int d, const char *a, char *b, size_t c, size_t e), (d, a, b, c, e)) \
    X(int, statfs, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(int, statfs64, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(int, statvfs, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(int, statvfs64, (const char *, void *), (const char *a, void *b), (a, b)) \
    X(char *, realpath, (const char *, char *), (const char *a, char *b), (a, b)) \
    X(char *, __realpath_chk, (const char *, char *, size_t), (const char *a, char *b, size_t c), (a, b, c)) \
    X(char *, canonicalize_file_name, (const char *), (const char *a), (a)) \
    X(intptr_t, getxattr, (const char *, const char *, void *, size_t), (const char *a, const char *b, void *c, size_t d), (a, b, c, d)) \
    X(intptr_t, lgetxattr, (const char *, const char *, void *, size_t), (const char *a, const char *b, void *c, size_t d), (a, b, c, d)) \
    X(intptr_t, listxattr, (const char *, char *, size_t), (const char *a, char *b, size_t c), (a, b, c)) \
    X(intptr_t, llistxattr, (const char *, char *, size_t), (const char *a, char *b, size_t c), (a, b, c)) \
    X(void *, opendir, (const char *), (const char *a), (a)) \
    X(void *, fdopendir, (int), (int a), (a)) \
    X(void *, readdir, (void *), (void *a), (a)) \
    X(void *, readdir64, (void *), (void *a), (a)) \
    X(int, closedir, (void *), (void *a), (a)) \
    X(void, rewinddir, (void *), (void *a), (a)) \
    X(int, dirfd, (void *), (void *a), (a)) \
    X(int, posix_spawn, (int *, const char *, const void *, const void *, char *const *, char *const *), (int *a, const char *b, const void *c, const void *d, char *const *e, char *const *f), (a, b, c, d, e, f)) \
    X(int, posix_spawnp, (int *, const char *, const void *, const void *, char *const *, char *const *), (int *a, const char *b, const void *c, const void *d, char *const *e, char *const *f), (a, b, c, d, e, f)) \
    X(int, setuid, (uint32_t), (uint32_t a), (a)) \
    X(int, setgid, (uint32_t), (uint32_t a), (a)) \
    X(int, seteuid, (uint32_t), (uint32_t a), (a)) \
    X(int, setegid, (uint32_t), (uint32_t a), (a)) \
    X(int, setreuid, (uint32_t, uint32_t), (uint32_t a, uint32_t b), (a, b)) \
    X(int, setregid, (uint32_t, uint32_t), (uint32_t a, uint32_t b), (a, b)) \
    X(int, setresuid, (uint32_t, uint32_t, uint32_t), (uint32_t a, uint32_t b, uint32_t c), (a, b, c)) \
    X(int, setresgid, (uint32_t, uint32_t, uint32_t), (uint32_t a, uint32_t b, uint32_t c), (a, b, c)) \
    X(int, setgroups, (size_t, const void *), (size_t a, const void *b), (a, b)) \
    X(int, initgroups, (const char *, uint32_t), (const char *a, uint32_t b), (a, b)) \
    X(int, capset, (void *, const void *), (void *a, const void *b), (a, b)) \
    X(int, _Fork, (void), (void), ()) \
    X(int, clone, (int (*)(void *), void *, int, void *, ...), (int (*b)(void *), void *s, int f, void *a, intptr_t x, intptr_t y, intptr_t z), (b, s, f, a, x, y, z)) \
    X(intptr_t, syscall, (long, ...), (intptr_t n, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f), (n, a, b, c, d, e, f)) \
    X(int, posix_fadvise, (int, int64_t, int64_t, int), (int a, int64_t b, int64_t c, int d), (a, b, c, d)) \
    X(int, posix_fadvise64, (int, int64_t, int64_t, int), (int a, int64_t b, int64_t c, int d), (a, b, c, d)) \
    X(intptr_t, readahead, (int, int64_t, size_t), (int a, int64_t b, size_t c), (a, b, c)) \
    X(int, flock, (int, int), (int a, int b), (a, b)) \
    X(int, lockf, (int, int, int64_t), (int a, int b, int64_t c), (a, b, c)) \
    X(int, lockf64, (int, int, int64_t), (int a, int b, int64_t c), (a, b, c)) \
    X(int, fsync, (int), (int a), (a)) \
    X(int, fdatasync, (int), (int a), (a)) \
    X(int, syncfs, (int), (int a), (a)) \
    X(int, isatty, (int), (int a), (a)) \
    X(intptr_t, fgetxattr, (int, const char *, void *, size_t), (int a, const char *b, void *c, size_t d), (a, b, c, d)) \
    X(intptr_t, flistxattr, (int, char *, size_t), (int a, char *b, size_t c), (a, b, c)) \
    X(int, poll, (void *, uintptr_t, int), (void *a, uintptr_t b, int c), (a, b, c)) \
    X(int, ppoll, (void *, uintptr_t, const void *, const void *), (void *a, uintptr_t b, const void *c, const void *d), (a, b, c, d)) \
    X(int, __poll_chk, (void *, uintptr_t, int, size_t), (void *a, uintptr_t b, int c, size_t d), (a, b, c, d)) \
    X(int, __ppoll_chk, (void *, uintptr_t, const void *, const void *, size_t), (void *a, uintptr_t b, const void *c, const void *d, size_t e), (a, b, c, d, e)) \
    X(int, select, (int, void *, void *, void *, void *), (int a, void *b, void *c, void *d, void *e), (a, b, c, d, e)) \
    X(int, pselect, (int, void *, void *, void *, const void *, const void *), (int a, void *b, void *c, void *d, const void *e, const void *f), (a, b, c, d, e, f)) \
    X(int, epoll_ctl, (int, int, int, void *), (int a, int b, int c, void *d), (a, b, c, d)) \
    X(int, aio_read, (void *), (void *a), (a)) \
    X(int, aio_read64, (void *), (void *a), (a)) \
    X(int, aio_cancel, (int, void *), (int a, void *b), (a, b)) \
    X(int, aio_cancel64, (int, void *), (int a, void *b), (a, b)) \
    X(int, lio_listio, (int, void *const *, int, void *), (int a, void *const *b, int c, void *d), (a, b, c, d)) \
    X(int, lio_listio64, (int, void *const *, int, void *), (int a, void *const *b, int c, void *d), (a, b, c, d))

#define X(R, name, types, parameters, arguments) OSSC_NEXT_##name,
enum { OSSC_NEXT_FUNCTIONS(X) OSSC_NEXT_COUNT };
#undef X

/* Each entry begins as a stub that resolves and calls on, so that a call is one load and one jump. */
extern void *ossc_next[OSSC_NEXT_COUNT];

#define X(R, name, types, parameters, arguments)                                     \
    static inline R next_##name parameters                                                   \
    {                                                                                        \
        return ((R(*) types)__atomic_load_n(&ossc_next[OSSC_NEXT_##name], __ATOMIC_RELAXED))arguments; \
    }
OSSC_NEXT_FUNCTIONS(X)
#undef X

#endif
