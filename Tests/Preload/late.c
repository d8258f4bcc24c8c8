/* Loaded behind the library: between the library's look at a range and the kernel's read of it, others have time to move
 * the position. The library's own descriptors are the high ones. And dup2 is made of syscall(2), which has a hook. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LATE(name, parameters, arguments, fd)                             \
    ssize_t name parameters                                               \
    {                                                                     \
        ssize_t(*next) parameters = dlsym(RTLD_NEXT, #name);              \
        struct timespec t = {0, 3000000};                                 \
        if (fd >= 512) nanosleep(&t, 0);                                  \
        return next arguments;                                            \
    }
LATE(read, (int fd, void *to, size_t n), (fd, to, n), fd)
LATE(readv, (int fd, const void *v, int n), (fd, v, n), fd)
LATE(preadv2, (int fd, const void *v, int n, off_t at, int flags), (fd, v, n, at, flags), fd)
LATE(sendfile, (int out, int fd, off_t *at, size_t n), (out, fd, at, n), fd)
LATE(splice, (int fd, off_t *at, int out, off_t *in, size_t n, unsigned flags), (fd, at, out, in, n, flags), fd)
LATE(copy_file_range, (int fd, off_t *at, int out, off_t *in, size_t n, unsigned flags), (fd, at, out, in, n, flags), fd)

int dup2(int from, int to)
{
    if (from == to) return fcntl(from, F_GETFD) < 0 ? -1 : to;
    return (int)syscall(SYS_dup3, from, to, 0);
}
