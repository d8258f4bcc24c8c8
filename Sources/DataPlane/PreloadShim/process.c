/* Life in the process: loading, stdio streams, the background thread, fork handlers, starting an agent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "preload_shim.h"

/* Names that another C library may lack are weak: it loads the library, which then does nothing. */
extern const char *gnu_get_libc_version(void) __attribute__((weak));
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *) __attribute__((weak));
extern FILE *fopencookie(void *, const char *, cookie_io_functions_t) __attribute__((weak));
extern void *__dso_handle;
extern char **environ;

#if defined(__x86_64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
__asm__(".symver dladdr, dladdr@GLIBC_2.2.5");
__asm__(".symver dlopen, dlopen@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
__asm__(".symver dladdr, dladdr@GLIBC_2.17");
__asm__(".symver dlopen, dlopen@GLIBC_2.17");
#endif

int ossc_is_glibc(void)
{
    if (gnu_get_libc_version) return 1;
    static const char line[] = "libossc_preload: LD_PRELOAD: this program does not use glibc, so the library does nothing; "
                               "use a glibc build, or `modelcache warm` first\n";
    ossc_write(2, line, sizeof line - 1);
    return 0;
}

__attribute__((constructor)) static void loaded(void)
{
    if (gnu_get_libc_version) ossc_resolve_early();
    ossc_start();
}

const char *ossc_environment(const char *name) { return environ ? getenv(name) : 0; }
char **ossc_environment_all(void) { return environ; }

const char *ossc_own_path(void)
{
    Dl_info info;
    if (dladdr((void *)&ossc_own_path, &info) && info.dli_fname) return info.dli_fname;
    return "";
}

int ossc_is_ip_address(const char *text)
{
    unsigned char to[16];
    return inet_pton(AF_INET, text, to) == 1 || inet_pton(AF_INET6, text, to) == 1;
}

/* ---- stdio ---------------------------------------------------------------------------------- */

static ssize_t stream_read(void *cookie, char *to, size_t n)
{
    int64_t r = ossc_stream_read(cookie, to, n);
    if (r < 0) errno = (int)-r;
    return r < 0 ? -1 : r;
}
static int stream_seek(void *cookie, off64_t *offset, int whence)
{
    int64_t r = ossc_stream_seek(cookie, *offset, whence);
    if (r < 0) {
        errno = (int)-r;
        return -1;
    }
    *offset = r;
    return 0;
}
static int stream_close(void *cookie) { return ossc_stream_close(cookie); }

void *ossc_open_stream(void *cookie, const char *mode, void *buffer, size_t bytes)
{
    cookie_io_functions_t functions = {stream_read, 0, stream_seek, stream_close};
    if (!fopencookie) {
        errno = ENOSYS;
        return 0;
    }
    FILE *stream = fopencookie(cookie, mode, functions);
    if (stream && buffer) setvbuf(stream, buffer, _IOFBF, bytes);
    return stream;
}

void ossc_lock_stream(void *stream) { flockfile(stream); }
void ossc_unlock_stream(void *stream) { funlockfile(stream); }

void ossc_replace_standard_input(void *stream) { stdin = stream; }

/* The fields are glibc's, whose FILE has kept its layout since 2.1; another C library never gets here. */
struct glibc_file { int flags; char *read_ptr, *read_end; };
enum { GLIBC_IN_BACKUP = 0x100 };

intptr_t ossc_stream_buffered(const void *stream)
{
    const struct glibc_file *file = stream;
    return file->flags & GLIBC_IN_BACKUP ? -1 : file->read_end - file->read_ptr;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *thread_main(void *unused)
{
    (void)unused;
    ossc_thread_main();
    return 0;
}

long ossc_start_thread(void)
{
    /* pthread_create moved between libraries: found at run time, so that no version of it is asked for. */
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *found = dlsym(RTLD_DEFAULT, "pthread_create");
    if (!found) {
        void *library = dlopen("libpthread.so.0", RTLD_NOW);
        if (library) found = dlsym(library, "pthread_create");
    }
    if (!found) return -ENOSYS;
    memcpy(&create, &found, sizeof create);
    uint64_t all = ~0ull, before = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    pthread_t thread;
    int e = create(&thread, 0, thread_main, 0);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    return -e;
}

void ossc_register_fork_handlers(void)
{
    if (__register_atfork) __register_atfork(ossc_fork_prepare, ossc_fork_parent, ossc_fork_child, &__dso_handle);
}

/* ---- starting an agent ----------------------------------------------------------------------- */

static int is_removed(const char *entry, const char *const *removed)
{
    for (; *removed; removed++)
        if (strncmp(entry, *removed, strlen(*removed)) == 0) return 1;
    return 0;
}

long ossc_spawn_agent(const char *path, char *const *arguments, const char *const *removed)
{
    static char *environment[4096];
    size_t count = 0;
    for (char **e = environ; e && *e && count < 4095; e++)
        if (!is_removed(*e, removed)) environment[count++] = *e;
    environment[count] = 0;

    int ends[2];
    if (syscall(SYS_pipe2, ends, O_CLOEXEC) < 0) return -errno;
    /* Plain clone: no atfork handler runs, and the children make system calls alone. */
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child < 0) {
        long e = -errno;
        ossc_close(ends[0]);
        ossc_close(ends[1]);
        return e;
    }
    if (child == 0) {
        syscall(SYS_setsid);
        if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) != 0) ossc_exit(0);
        long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
        /* Away from 0-2, which the program may have closed; without the close-on-exec bit only the copies stay. */
        long error = syscall(SYS_fcntl, ends[1], F_DUPFD, 3);
        syscall(SYS_dup3, null, 0, O_CLOEXEC);
        syscall(SYS_fcntl, 0, F_SETFD, 0);
        if (null != 1) syscall(SYS_dup3, null, 1, 0);
        syscall(SYS_dup3, error, 2, 0);
        long limit = 65536;
        if (syscall(436 /* close_range */, 3, ~0u, 0) < 0)
            for (long fd = 3; fd < limit; fd++) syscall(SYS_close, fd);
        uint64_t none = 0;
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
        /* The pipe's reader goes away once the agent accepts: writing there must not kill it. */
        struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } action;
        memset(&action, 0, sizeof action);
        for (int number = 1; number < 32; number++) {
            action.handler = number == SIGPIPE ? (void *)1 : (void *)0;
            syscall(SYS_rt_sigaction, number, &action, NULL, 8);
        }
        syscall(SYS_chdir, "/");
        syscall(SYS_execve, path, arguments, environment);
        static const char line[] = "cannot be executed\n";
        syscall(SYS_write, 2, line, sizeof line - 1);
        ossc_exit(127);
    }
    ossc_close(ends[1]);
    int status;
    while (syscall(SYS_wait4, child, &status, 0, NULL) < 0 && errno == EINTR) {}
    return ends[0];
}

const char *ossc_entry_name(const void *entry) { return ((const struct dirent *)entry)->d_name; }
