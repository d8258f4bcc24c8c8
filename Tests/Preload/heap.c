/* Every allocation of the program's own heap is counted while each kind of call is made. usage: heap DIRECTORY FILE */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static volatile long calls;
static volatile long at_start = -1;
void *malloc(size_t n) { calls++; return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { calls++; return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { calls++; return __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { calls++; return __libc_memalign(a, n); }
void *memalign(size_t a, size_t n) { calls++; return __libc_memalign(a, n); }
int posix_memalign(void **to, size_t a, size_t n) { calls++; *to = __libc_memalign(a, n); return *to ? 0 : ENOMEM; }

static int bad;
static long before;
#define COUNT(call)                                                                     \
    do {                                                                                \
        before = calls;                                                                 \
        (void)!(call);                                                                  \
        if (calls != before) bad = 1, dprintf(2, "%s: %ld\n", #call, calls - before); \
    } while (0)

int main(int n, char **a)
{
    (void)n;
    at_start = calls;
    char buffer[4096], path[4096];
    struct stat s;
    if (at_start) bad = 1, dprintf(2, "load: %ld\n", at_start);
    snprintf(path, sizeof path, "%s/%s", a[1], a[2]);
    COUNT(access("/etc/hostname", R_OK));
    int fd = -1, copy = -1;
    COUNT((fd = open(path, O_RDONLY)) >= 0);
    if (fd < 0) return perror("open"), 2;
    COUNT(stat(path, &s));
    COUNT(lstat(path, &s));
    COUNT(fstatat(AT_FDCWD, path, &s, 0));
    COUNT(fstat(fd, &s));
    COUNT(access(path, R_OK));
    COUNT(faccessat(AT_FDCWD, path, R_OK, 0));
    COUNT(readlink(path, buffer, sizeof buffer));
    COUNT(chdir(a[1]));
    COUNT(access(a[2], R_OK));
    COUNT(read(fd, buffer, sizeof buffer));
    COUNT(pread(fd, buffer, sizeof buffer, 1 << 20));
    COUNT(lseek(fd, 0, SEEK_SET) == 0);
    COUNT((copy = dup(fd)) >= 0);
    COUNT(dup2(fd, 77));
    COUNT(fcntl(fd, F_GETFL));
    COUNT(fcntl(fd, F_SETFD, FD_CLOEXEC));
    COUNT(close(copy));
    COUNT(close(77));
    int null = open("/dev/null", O_WRONLY);
    COUNT(sendfile(null, fd, 0, 4096));
    char *p = MAP_FAILED;
    COUNT((p = mmap(0, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0)) != MAP_FAILED);
    COUNT(p[s.st_size - 1]);
    COUNT(munmap(p, (size_t)s.st_size));
    COUNT(close(fd));
    return bad;
}
