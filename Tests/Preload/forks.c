/* A program whose threads open, read and close all the time forks, and every child opens, reads and maps. usage: forks KIND FILE TRUTH */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern pid_t _Fork(void) __attribute__((weak));
static const char *path;
static char truth[4096];
static volatile int stop;
static void *worker(void *u)
{
    (void)u;
    char b[4096];
    while (!stop) {
        FILE *f = fopen(path, "r");
        if (!f || fread(b, 1, 4096, f) != 4096 || memcmp(b, truth, 4096)) abort();
        fclose(f);
        int fd = open(path, O_RDONLY), copy = dup(fd);
        char *p = mmap(0, 4096, PROT_READ, MAP_SHARED, copy, 0);
        if (p == MAP_FAILED || memcmp(p, truth, 4096)) abort();
        munmap(p, 4096);
        close(fd), close(copy);
    }
    return 0;
}
static int child(int usesHeap)
{
    char b[4096];
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, b, 4096) != 4096 || memcmp(b, truth, 4096)) return 3;
    char *p = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED || memcmp(p, truth, 4096)) return 4;
    if (close(fd)) return 5;
    FILE *f = usesHeap ? fopen(path, "r") : 0;
    if (usesHeap && (!f || fgetc(f) != (unsigned char)truth[0])) return 6;
    return 0;
}
int main(int n, char **a)
{
    (void)n;
    path = a[2];
    int fd = open(a[3], O_RDONLY), bad = 0;
    if (read(fd, truth, 4096) != 4096) return 2;
    close(fd);
    fd = open(path, O_RDONLY);
    char *kept = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    pthread_t t[3];
    for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, worker, 0);
    for (int i = 0; i < 60 && !bad; i++) {
        int plain = !strcmp(a[1], "fork");
        pid_t p = plain ? fork() : !strcmp(a[1], "_Fork") && _Fork ? _Fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        /* Only fork(3) lets a child of a threaded program use the heap. */
        if (p == 0) _exit(plain && memcmp(kept, truth, 4096) ? 7 : child(plain));
        struct timespec w = {0, 5000000};
        int s = 0, r = 0;
        for (int k = 0; k < 2000 && !(r = waitpid(p, &s, WNOHANG)); k++) nanosleep(&w, 0);
        if (!r) bad = 1, printf("child %d hangs\n", i), kill(p, SIGKILL), waitpid(p, &s, 0);
        else if (s) bad = 1, printf("child %d: %x\n", i, s);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
    return bad;
}
