/* A child made without fork's handlers touches a mapping of the model, and calls nothing. usage: touches KIND FILE TRUTH OFFSET
 * Prints how the child ended: "right", "wrong", "zeros" or the signal's number. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 64, MEMORY = 32 << 20 };
extern pid_t _Fork(void) __attribute__((weak));
static char truth[BYTES];
static const char *mapped;
static int takesMemory;
static int touch(void *unused)
{
    (void)unused;
    static const char zeros[BYTES];
    if (takesMemory)  /* as an allocator would, which no hook sees */
        for (int i = 0; i < 8; i++) memset((void *)syscall(SYS_mmap, 0, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0, MEMORY);
    char found[BYTES];
    for (int i = 0; i < BYTES; i++) found[i] = ((volatile const char *)mapped)[i];
    return !memcmp(found, truth, BYTES) ? 0 : !memcmp(found, zeros, BYTES) ? 3 : 4;
}
#if defined(__x86_64__)
static long bare(void)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(SYS_fork) : "rcx", "r11", "memory");
    return r;
}
#endif
int main(int n, char **a)
{
    if (n < 5) return 2;
    long offset = atol(a[4]);
    const char *kind = a[1];
    takesMemory = n > 5;
    int fd = open(a[3], O_RDONLY);
    if (pread(fd, truth, BYTES, offset) != BYTES) return 2;
    close(fd);
    fd = open(a[2], O_RDONLY);
    off_t bytes = lseek(fd, 0, SEEK_END);
    char *all = mmap(0, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (all == MAP_FAILED) return 2;
    close(fd);
    mapped = all + offset;
    static char stack[256 << 10] __attribute__((aligned(16)));
    pid_t child = -1;
    if (!strcmp(kind, "_Fork")) child = _Fork ? _Fork() : -1;
    if (!strcmp(kind, "fork")) child = fork();
    if (!strcmp(kind, "clone")) child = clone(touch, stack + sizeof stack, SIGCHLD, 0);
    if (!strcmp(kind, "clone memory")) child = clone(touch, stack + sizeof stack, SIGCHLD | CLONE_VM | CLONE_VFORK, 0);
    if (!strcmp(kind, "SYS_clone")) child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!strcmp(kind, "SYS_clone3")) {
        struct clone_args how = {.exit_signal = SIGCHLD};
        child = (pid_t)syscall(SYS_clone3, &how, sizeof how);
    }
#if defined(__x86_64__)
    if (!strcmp(kind, "SYS_fork")) child = (pid_t)syscall(SYS_fork);
    if (!strcmp(kind, "instruction")) child = (pid_t)bare();
#endif
    if (child < 0) return perror(kind), 2;
    if (child == 0) _exit(touch(0));
    int status;
    if (waitpid(child, &status, 0) != child) return 2;
    if (WIFSIGNALED(status)) return printf("signal %d\n", WTERMSIG(status)), 0;
    return puts(WEXITSTATUS(status) == 0 ? "right" : WEXITSTATUS(status) == 3 ? "zeros" : "wrong"), 0;
}
