/* A reader whose position another moves between its look at a range and its taking of it, to the last 4096 bytes, which
 * are waited for. usage: seeks PATH TRUTH MOVES FAILS. Prints "waits" once the position is the file's end, as for a read that the
 * kernel makes; if MOVES, another has put it at BYTES by then. If FAILS, the read is one that the kernel refuses. After it, prints
 * where the position is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { BYTES = 1 << 20, LAST = 4096, CANNOT = 77 };
static off_t size;
static int number, moves;
static volatile int moved, done;

/* lseek by SEEK_CUR but of no bytes comes here. */
static void trapped(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    int fd = (int)r[REG_RDI];
    off_t from = moved ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : size - LAST;
    moved = 1;
    r[REG_RAX] = syscall(SYS_lseek, fd, from + r[REG_RSI], SEEK_SET);
}
static void *other(void *unused)
{
    (void)unused;
    while (!done && !(moved && lseek(number, 0, SEEK_CUR) == size)) usleep(1000);
    if (moves) lseek(number, BYTES, SEEK_SET);
    puts(done ? "late" : "waits");
    fflush(stdout);
    return 0;
}
int main(int count, char **v)
{
    if (count != 5) return 2;
    moves = atoi(v[3]);
    int fails = atoi(v[4]);
    char truth[LAST], *to = mmap(0, BYTES, fails ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open(v[2], O_RDONLY);
    size = lseek(fd, 0, SEEK_END);
    if (pread(fd, truth, LAST, size - LAST) != LAST) return 2;
    number = open(v[1], O_RDONLY);
    char first;
    if (number < 0 || pread(number, &first, 1, 0) != 1) return perror(v[1]), 2;
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, 0);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SEEK_CUR, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return perror("seccomp"), CANNOT;
    pthread_t thread;
    pthread_create(&thread, 0, other, 0);
    ssize_t n = read(number, to, BYTES);
    int error = errno;
    done = 1;
    pthread_join(thread, 0);
    if (fails ? n != -1 || error != EFAULT : n != LAST || memcmp(to, truth, LAST)) return printf("read gave %zd\n", n), 1;
    printf("%ld\n", (long)(lseek(number, 0, SEEK_CUR) - (moves ? 0 : size)));
    return 0;
}
