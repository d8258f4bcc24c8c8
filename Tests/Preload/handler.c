/* A handler that interrupts the program anywhere calls functions that POSIX calls async-signal-safe, chosen by a seed, on the model and
 * elsewhere, while the program allocates, opens, reads and maps. _Fork, not fork: a program with threads that forks in the midst of its
 * own malloc waits for itself, library or not (POSIX.1-2024 took fork off the list). usage: handler SEED MILLISECONDS ALTERNATE FILE TRUTH */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *path;
static volatile long handled;
static unsigned state;
static unsigned next_of(unsigned *s) { return *s = *s * 1664525u + 1013904223u, *s >> 8; }
static char truth[4096];

static void handler(int number)
{
    (void)number;
    unsigned choice = next_of(&state);
    const char *name = choice & 64 ? path : "/etc/hostname";
    int saved = 0, fd;
    struct stat s;
    char buffer[64];
    switch (choice % 12) {
    case 0: if ((fd = open(name, O_RDONLY)) >= 0) close(fd); break;
    case 1: if ((fd = openat(AT_FDCWD, name, O_RDONLY)) >= 0) { if (read(fd, buffer, 64) != 64 && name == path) abort(); close(fd); } break;
    case 2: stat(name, &s); break;
    case 3: lstat(name, &s); break;
    case 4: access(name, R_OK); break;
    case 5: if ((fd = open(name, O_RDONLY)) >= 0) { saved = dup(fd); close(fd); close(saved); } break;
    case 6: if ((fd = open(name, O_RDONLY)) >= 0) { dup2(fd, 200); close(fd); close(200); } break;
    case 7: if ((fd = open(name, O_RDONLY)) >= 0) { fcntl(fd, F_GETFL); fcntl(fd, F_SETFD, FD_CLOEXEC); lseek(fd, 5, SEEK_SET); close(fd); } break;
    case 8: faccessat(AT_FDCWD, name, R_OK, 0); break;
    case 9: readlink(name, buffer, sizeof buffer); break;
    case 10: if (handled % 16 == 0) { pid_t child = _Fork(); if (child == 0) { fd = open(name, O_RDONLY); _exit(0); } while (waitpid(child, 0, 0) < 0) {} } break;
    default: if ((fd = open(name, O_RDONLY)) >= 0) { fstat(fd, &s); close(fd); } break;
    }
    handled++;
}
static void *idle(void *u) { (void)u; for (;;) pause(); return 0; }

int main(int n, char **a)
{
    (void)n;
    state = (unsigned)atoi(a[1]);
    long limit = atol(a[2]);
    path = a[4];
    int fd = open(a[5], O_RDONLY);
    if (read(fd, truth, sizeof truth) != sizeof truth) return 2;
    close(fd);
    unsigned own = state ^ 0x5bd1e995u;
    pthread_t t;
    sigset_t one;
    sigemptyset(&one), sigaddset(&one, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &one, 0);
    pthread_create(&t, 0, idle, 0);
    pthread_sigmask(SIG_UNBLOCK, &one, 0);
    static char small[8192];
    stack_t stack = {.ss_sp = small, .ss_size = sizeof small};
    int alternate = atoi(a[3]);
    if (alternate) sigaltstack(&stack, 0);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | (alternate ? SA_ONSTACK : 0)};
    sigaction(SIGALRM, &action, 0);
    struct itimerval every = {{0, 300}, {0, 300}}, none = {{0, 0}, {0, 0}};
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    setitimer(ITIMER_REAL, &every, 0);
    do {
        char buffer[4096];
        void *p = malloc(3000 + next_of(&own) % 40000);
        switch (next_of(&own) % 5) {
        case 0: { FILE *f = fopen(path, "r"); if (!f) abort(); if (fread(buffer, 1, 4096, f) != 4096 || memcmp(buffer, truth, 4096)) abort(); fclose(f); break; }
        case 1: { int d = open(path, O_RDONLY); if (d < 0 || pread(d, buffer, 4096, 0) != 4096 || memcmp(buffer, truth, 4096)) abort(); close(d); break; }
        case 2: { int d = open(path, O_RDONLY); char *m = mmap(0, 4096, PROT_READ, MAP_PRIVATE, d, 0); if (m == MAP_FAILED || memcmp(m, truth, 4096)) abort(); munmap(m, 4096); close(d); break; }
        case 3: { struct stat s; if (stat(path, &s)) abort(); break; }
        default: { int d = open(path, O_RDONLY); int e = dup(d); close(d); if (read(e, buffer, 100) != 100 || memcmp(buffer, truth, 100)) abort(); close(e); }
        }
        free(p);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < limit);
    setitimer(ITIMER_REAL, &none, 0);
    printf("%ld signals\n", handled);
    return 0;
}
