/*
 * steps FOLDER LOG [kill STEP | fail ERROR STEP | fail-on ERROR STEP] -- PROGRAM [ARGUMENT ...]
 *
 * Becomes PROGRAM, and counts the system calls by which it and its children change, open or look at what lies below
 * FOLDER: the steps. Each is written to LOG as "number kinds call path" before the kernel carries it out. STEP is
 * a number, or a number and an extended regular expression, as in `2:unlinkat .+/x$`. `kill`: the process that makes
 * that step of the kind `c` is killed instead. `fail`: that step of those that can have the error gets it. `fail-on`:
 * from that step on each of them gets it. Neither does any more once LOG.over exists. Steps of other kinds, and those
 * that do not match "call path", are not counted then.
 *
 * The counter is one for all threads: seccomp_unotify(2) brings every call to one process, which is not PROGRAM's
 * child and ends when nobody is left to be watched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The kinds of a call, in LOG by their letters. */
enum {
    SPACE = 1,     /* s: takes space on the medium, ENOSPC */
    MEDIUM = 2,    /* m: asks the medium, EIO */
    NUMBER = 4,    /* n: takes a descriptor, EMFILE */
    INTERRUPT = 8, /* i: can be ended by a signal, EINTR */
    CHANGE = 16,   /* c: changes something: a kill before it leaves another state than a kill after it */
};
static const char letters[] = "smnic";

/* Where a call names what it is about: a path at argument `path`, below the descriptor at argument `at`; or a descriptor. */
struct call {
    long number;
    const char *name;
    int path, at, descriptor;
    int can;
};
#define NONE (-1)
#define PATH(call, path, can) {SYS_##call, #call, path, NONE, NONE, can}
#define AT(call, at, path, can) {SYS_##call, #call, path, at, NONE, can}
#define FD(call, descriptor, can) {SYS_##call, #call, NONE, NONE, descriptor, can}
#define ANY(call, can) {SYS_##call, #call, NONE, NONE, NONE, can}

static const struct call calls[] = {
#ifdef SYS_open
    PATH(open, 0, MEDIUM | NUMBER | INTERRUPT),
    PATH(mkdir, 0, SPACE | MEDIUM | CHANGE),
    PATH(rmdir, 0, MEDIUM | CHANGE),
    PATH(unlink, 0, MEDIUM | CHANGE),
    PATH(rename, 1, SPACE | MEDIUM | CHANGE),
    PATH(link, 1, SPACE | MEDIUM | CHANGE),
    PATH(symlink, 1, SPACE | MEDIUM | CHANGE),
    PATH(chmod, 0, MEDIUM | CHANGE),
    PATH(chown, 0, MEDIUM | CHANGE),
#endif
    AT(openat, 0, 1, MEDIUM | NUMBER | INTERRUPT),
    AT(mkdirat, 0, 1, SPACE | MEDIUM | CHANGE),
    AT(unlinkat, 0, 1, MEDIUM | CHANGE),
    AT(renameat2, 2, 3, SPACE | MEDIUM | CHANGE),
    AT(renameat, 2, 3, SPACE | MEDIUM | CHANGE),
    AT(linkat, 2, 3, SPACE | MEDIUM | CHANGE),
    AT(symlinkat, 1, 2, SPACE | MEDIUM | CHANGE),
    AT(fchmodat, 0, 1, MEDIUM | CHANGE),
    AT(fchownat, 0, 1, MEDIUM | CHANGE),
    AT(utimensat, 0, 1, MEDIUM | CHANGE),
    AT(newfstatat, 0, 1, MEDIUM),
    PATH(truncate, 0, MEDIUM | INTERRUPT | CHANGE),
    PATH(statfs, 0, MEDIUM),
    PATH(setxattr, 0, SPACE | MEDIUM | CHANGE),
    PATH(mount, 1, SPACE | MEDIUM | CHANGE),
    PATH(umount2, 0, MEDIUM | CHANGE),
    FD(fchmod, 0, MEDIUM | CHANGE),
    FD(fchown, 0, MEDIUM | CHANGE),
    FD(write, 0, SPACE | MEDIUM | INTERRUPT | CHANGE),
    FD(pwrite64, 0, SPACE | MEDIUM | INTERRUPT | CHANGE),
    FD(pread64, 0, MEDIUM | INTERRUPT),
    FD(getdents64, 0, MEDIUM),
    FD(ftruncate, 0, MEDIUM | INTERRUPT | CHANGE),
    FD(fallocate, 0, SPACE | MEDIUM | INTERRUPT | CHANGE),
    FD(fsync, 0, SPACE | MEDIUM | CHANGE),
    FD(fdatasync, 0, SPACE | MEDIUM | CHANGE),
    FD(sync_file_range, 0, SPACE | MEDIUM),
    FD(flock, 0, INTERRUPT | CHANGE),
    ANY(bind, SPACE | MEDIUM | CHANGE),
    ANY(socket, NUMBER),
    /* Not eventfd and epoll_create: libdispatch and SwiftNIO end a process that gets none. */
    ANY(accept4, NUMBER | INTERRUPT),
    ANY(fcntl, NUMBER),
    ANY(madvise, SPACE | CHANGE),
    ANY(futex, CHANGE),
};
#define COUNT (sizeof(calls) / sizeof(calls[0]))

static void die(const char *what)
{
    fprintf(stderr, "steps: %s: %s\n", what, strerror(errno));
    exit(125);
}

static int send_number(int to, int number)
{
    char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &number, sizeof(int));
    return sendmsg(to, &message, 0) == 1 ? 0 : -1;
}

static int receive_number(int from)
{
    char byte, space[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
    int number;
    memcpy(&number, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return number;
}

/* Brings the calls of the table to the listener. Of madvise and futex, which are many, those alone that matter. */
static int watch(void)
{
    struct sock_filter filter[COUNT * 6 + 8];
    unsigned n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT; i++) {
        long number = calls[i].number;
        int argument = number == SYS_madvise ? 2 : number == SYS_futex || number == SYS_fcntl ? 1 : NONE;
        if (argument == NONE) {
            filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
            filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
            continue;
        }
        unsigned wanted = number == SYS_madvise ? MADV_POPULATE_WRITE : number == SYS_fcntl ? F_DUPFD_CLOEXEC : FUTEX_WAKE;
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 4);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[argument]));
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* Text at an address of the watched process; false where it has none. */
static int text_at(pid_t process, uint64_t address, char out[PATH_MAX])
{
    size_t done = 0;
    while (done < PATH_MAX - 1) {
        size_t n = 256 - (size_t)((address + done) % 256);
        if (n > PATH_MAX - 1 - done) n = PATH_MAX - 1 - done;
        struct iovec here = {out + done, n}, there = {(void *)(uintptr_t)(address + done), n};
        if (process_vm_readv(process, &here, 1, &there, 1, 0) != (ssize_t)n) return 0;
        if (memchr(out + done, 0, n) != NULL) return 1;
        done += n;
    }
    return 0;
}

static int link_of(pid_t process, const char *what, int number, char out[PATH_MAX])
{
    char name[64];
    if (number == NONE) snprintf(name, sizeof(name), "/proc/%d/%s", process, what);
    else snprintf(name, sizeof(name), "/proc/%d/%s/%d", process, what, number);
    ssize_t n = readlink(name, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    return 1;
}

/* The whole path of what the call is about. */
static int subject(const struct call *call, const struct seccomp_notif *note, char out[PATH_MAX])
{
    const __u64 *arguments = note->data.args;
    pid_t process = (pid_t)note->pid;
    if (call->descriptor != NONE) return link_of(process, "fd", (int)arguments[call->descriptor], out);
    char given[PATH_MAX];
    if (!text_at(process, arguments[call->path], given)) return 0;
    int number;
    if (sscanf(given, "/proc/self/fd/%d", &number) == 1) return link_of(process, "fd", number, out);
    if (given[0] == '/') {
        strcpy(out, given);
        return 1;
    }
    int at = call->at == NONE ? AT_FDCWD : (int)arguments[call->at];
    char base[PATH_MAX];
    if (!(at == AT_FDCWD ? link_of(process, "cwd", NONE, base) : link_of(process, "fd", at, base))) return 0;
    if (snprintf(out, PATH_MAX, given[0] ? "%s/%s" : "%s", base, given) >= PATH_MAX) return 0;
    return 1;
}

static int opens_anew(const struct call *call, const struct seccomp_notif *note)
{
#ifdef SYS_open
    if (call->number == SYS_open) return (note->data.args[1] & (O_CREAT | O_TRUNC)) != 0;
#endif
    return call->number == SYS_openat && (note->data.args[2] & (O_CREAT | O_TRUNC)) != 0;
}

static int kind_of(const char *error, int *number)
{
    static const struct {
        const char *name;
        int number, kind;
    } known[] = {{"ENOSPC", ENOSPC, SPACE}, {"EIO", EIO, MEDIUM}, {"EMFILE", EMFILE, NUMBER}, {"EINTR", EINTR, INTERRUPT}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(error, known[i].name) != 0) continue;
        *number = known[i].number;
        return known[i].kind;
    }
    fprintf(stderr, "steps: unknown error %s\n", error);
    exit(125);
}

static void supervise(int listener, const char *folder, const char *log_path, const char *what, const char *error, const char *wanted_step)
{
    long wanted = atol(wanted_step);
    const char *colon = strchr(wanted_step, ':');
    regex_t pattern;
    if (regcomp(&pattern, colon != NULL ? colon + 1 : "", REG_EXTENDED | REG_NOSUB) != 0) die(wanted_step);
    int failure = 0, kind = strcmp(what, "kill") == 0 ? CHANGE : SPACE | MEDIUM | NUMBER | INTERRUPT | CHANGE;
    if (error != NULL) kind = kind_of(error, &failure);
    char over[PATH_MAX];
    snprintf(over, sizeof(over), "%s.over", log_path);
    FILE *log = fopen(log_path, "we");
    if (log == NULL) die(log_path);
    size_t length = strlen(folder);
    long step = 0;
    for (;;) {
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        if (poll(&wait, 1, -1) < 0 && errno != EINTR) die("poll");
        if (!(wait.revents & POLLIN)) {
            if (wait.revents & (POLLHUP | POLLERR)) return;
            continue;
        }
        struct seccomp_notif note = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &note) < 0) {
            if (errno == ENOENT || errno == EINTR) continue;
            die("receive");
        }
        struct seccomp_notif_resp answer = {.id = note.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        const struct call *call = NULL;
        for (size_t i = 0; i < COUNT && call == NULL; i++)
            if (calls[i].number == note.data.nr) call = &calls[i];
        int can = call->can;
        if (opens_anew(call, &note)) can |= SPACE | CHANGE;
        char path[PATH_MAX] = "-";
        int below = call->path == NONE && call->descriptor == NONE;
        if (!below && subject(call, &note, path)) below = strncmp(path, folder, length) == 0;
        /* A full medium: the kernel says EFAULT for a page that cannot be had. */
        int code = failure == ENOSPC && call->number == SYS_madvise ? EFAULT : failure;
        char said[PATH_MAX + 32];
        snprintf(said, sizeof(said), "%s %s", call->name, path);
        if (below && (can & kind) && regexec(&pattern, said, 0, NULL, 0) == 0) {
            step++;
            int hit = wanted > 0 && (step == wanted || (strcmp(what, "fail-on") == 0 && step > wanted)) && access(over, F_OK) != 0;
            char kinds[sizeof(letters)] = "";
            for (int i = 0, n = 0; letters[i] != 0; i++)
                if (can & 1 << i) kinds[n++] = letters[i];
            fprintf(log, "%ld %s %s%s\n", step, kinds, said, hit ? " <-" : "");
            fflush(log);
            if (hit && error == NULL) {
                kill((pid_t)note.pid, SIGKILL);
                continue;
            }
            if (hit) answer = (struct seccomp_notif_resp){.id = note.id, .error = -code};
        }
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT) die("answer");
    }
}

int main(int count, char **arguments)
{
    int command = 3;
    const char *what = "count", *error = NULL, *wanted = "0";
    if (count > 4 && strcmp(arguments[3], "--") != 0) {
        what = arguments[3];
        command = strcmp(what, "kill") == 0 ? 5 : 6;
        if (count <= command) goto usage;
        if (command == 6) error = arguments[4];
        wanted = arguments[command - 1];
    }
    if (count < command + 2 || strcmp(arguments[command], "--") != 0) goto usage;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) die("socketpair");
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        if (fork() != 0) _exit(0);
        setsid();
        close(ends[1]);
        int listener = receive_number(ends[0]);
        if (listener < 0) _exit(125);
        int nothing = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++) dup2(nothing, i);
        supervise(listener, arguments[1], arguments[2], what, error, wanted);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(ends[0]);
    if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) die("prctl");
    /* For the process that counts where only ancestors may look. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    int listener = watch();
    if (listener < 0) die("seccomp");
    if (send_number(ends[1], listener) < 0) die("send");
    close(listener);
    close(ends[1]);
    execv(arguments[command + 1], arguments + command + 1);
    die(arguments[command + 1]);
usage:
    fprintf(stderr, "usage: steps FOLDER LOG [kill STEP | fail ERROR STEP | fail-on ERROR STEP] -- PROGRAM [ARGUMENT ...]\n");
    return 125;
}
