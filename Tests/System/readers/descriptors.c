/* Operations on paths, descriptors and directories. */
#include "sequence.h"
#include <aio.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static size_t asked(struct operation *o, int word)
{
    long n = number(o, word);
    return n < 0 ? 0 : n > BYTES_MAX ? BYTES_MAX : (size_t)n;
}

static int open_flags(struct operation *o, int word)
{
    static const struct { char letter; int flag; } known[] = {
        {'e', O_CLOEXEC}, {'d', O_DIRECTORY}, {'n', O_NOFOLLOW}, {'b', O_NONBLOCK}, {'c', O_CREAT}, {'p', O_PATH}};
    int flags = O_RDONLY;
    for (size_t i = 0; word < o->count && i < sizeof known / sizeof *known; i++)
        if (strchr(o->word[word], known[i].letter)) flags |= known[i].flag;
    return flags;
}

static void keep(struct lane *l, int s, int fd)
{
    l->fd[s] = fd;
    say_descriptor(l, fd);
}
static void op_open(struct lane *l, struct operation *o)
{
    keep(l, slot(o, 1), open(path_of(l, o, 2), open_flags(o, 3), 0644));
}
static void op_openat(struct lane *l, struct operation *o)
{
    /* Below the descriptor of a directory; the path is not the model's then. */
    const char *save = model_directory, *path;
    char copy[8192];
    path = path_of(l, o, 3);
    snprintf(copy, sizeof copy, "%s", path + (*save ? strlen(save) + 1 : 0));
    keep(l, slot(o, 1), openat(l->fd[slot(o, 2)], copy, open_flags(o, 4), 0644));
}
static void op_reopen(struct lane *l, struct operation *o)
{
    char path[64];
    snprintf(path, sizeof path, number(o, 3) ? "/dev/fd/%d" : "/proc/self/fd/%d", l->fd[slot(o, 2)]);
    keep(l, slot(o, 1), open(path, O_RDONLY));
}
static void op_close(struct lane *l, struct operation *o)
{
    say_result(l, close(l->fd[slot(o, 1)]));
    l->fd[slot(o, 1)] = -1;
}
static void op_closefrom(struct lane *l, struct operation *o)
{
    closefrom((int)number(o, 1));
    for (int i = 0; i < SLOTS; i++) if (l->fd[i] >= number(o, 1)) l->fd[i] = -1;
}
static void op_closerange(struct lane *l, struct operation *o)
{
    unsigned first = (unsigned)number(o, 1), last = (unsigned)number(o, 2);
    int flags = number(o, 3) ? 4 /* CLOSE_RANGE_CLOEXEC */ : 0;
    say_result(l, close_range(first, last, flags));
    for (int i = 0; i < SLOTS && !flags; i++) if (l->fd[i] >= (int)first && l->fd[i] <= (int)last) l->fd[i] = -1;
}

static void op_dup(struct lane *l, struct operation *o) { keep(l, slot(o, 1), dup(l->fd[slot(o, 2)])); }
static void op_dup2(struct lane *l, struct operation *o)
{
    int target = o->count > 3 ? (int)number(o, 3) : l->fd[slot(o, 1)];
    keep(l, slot(o, 1), dup2(l->fd[slot(o, 2)], target));
}
static void op_dup3(struct lane *l, struct operation *o)
{
    keep(l, slot(o, 1), dup3(l->fd[slot(o, 2)], (int)number(o, 3), number(o, 4) ? O_CLOEXEC : 0));
}
static void op_dupfd(struct lane *l, struct operation *o)
{
    keep(l, slot(o, 1), fcntl(l->fd[slot(o, 2)], number(o, 4) ? F_DUPFD_CLOEXEC : F_DUPFD, (int)number(o, 3)));
}
static void op_setfd(struct lane *l, struct operation *o) { say_result(l, fcntl(l->fd[slot(o, 1)], F_SETFD, (int)number(o, 2))); }
static void op_getfd(struct lane *l, struct operation *o) { say_result(l, fcntl(l->fd[slot(o, 1)], F_GETFD)); }
static void op_getfl(struct lane *l, struct operation *o)
{
    int flags = fcntl(l->fd[slot(o, 1)], F_GETFL);
    say_result(l, flags < 0 ? flags : flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_PATH | O_DIRECT | O_SYNC));
}

/* ---- reads ---- */

static void op_read(struct lane *l, struct operation *o)
{
    size_t n = asked(o, 2);
    unsigned char *to = buffer(l, n);
    say_bytes(l, read(l->fd[slot(o, 1)], to, n), to);
}
static void op_pread(struct lane *l, struct operation *o)
{
    size_t n = asked(o, 2);
    unsigned char *to = buffer(l, n);
    say_bytes(l, pread(l->fd[slot(o, 1)], to, n, number(o, 3)), to);
}
static int vector(struct lane *l, struct operation *o, int word, struct iovec *v)
{
    size_t all = 0;
    for (int i = word; i < o->count; i++) all += asked(o, i);
    unsigned char *to = buffer(l, all);
    int count = 0;
    for (int i = word; i < o->count; i++) v[count++] = (struct iovec){to, asked(o, i)}, to += asked(o, i);
    return count;
}
static void op_readv(struct lane *l, struct operation *o)
{
    struct iovec v[WORDS];
    int count = vector(l, o, 2, v);
    say_bytes(l, readv(l->fd[slot(o, 1)], v, count), l->buffer);
}
static void op_preadv(struct lane *l, struct operation *o)
{
    struct iovec v[WORDS];
    int count = vector(l, o, 3, v);
    say_bytes(l, preadv(l->fd[slot(o, 1)], v, count, number(o, 2)), l->buffer);
}
static void op_preadv2(struct lane *l, struct operation *o)
{
    struct iovec v[WORDS];
    int count = vector(l, o, 3, v);
    say_bytes(l, preadv2(l->fd[slot(o, 1)], v, count, number(o, 2), 0), l->buffer);
}
static void op_seek(struct lane *l, struct operation *o)
{
    /* A directory has what positions its file system likes. */
    struct stat s;
    if (!fstat(l->fd[slot(o, 1)], &s) && S_ISDIR(s.st_mode)) return;
    say_result(l, lseek(l->fd[slot(o, 1)], number(o, 2), (int)number(o, 3)));
}

/* aio S OFFSET BYTES [OFFSET BYTES]...: one is aio_read, more are lio_listio. */
static void op_aio(struct lane *l, struct operation *o)
{
    struct aiocb blocks[WORDS / 2], *list[WORDS / 2];
    memset(blocks, 0, sizeof blocks);
    int count = (o->count - 2) / 2;
    size_t all = 0;
    for (int i = 0; i < count; i++) all += asked(o, 3 + 2 * i);
    unsigned char *to = buffer(l, all);
    for (int i = 0; i < count; i++, to += asked(o, 1 + 2 * i)) {
        blocks[i].aio_fildes = l->fd[slot(o, 1)], blocks[i].aio_lio_opcode = LIO_READ;
        blocks[i].aio_offset = number(o, 2 + 2 * i), blocks[i].aio_nbytes = asked(o, 3 + 2 * i), blocks[i].aio_buf = to;
        list[i] = &blocks[i];
    }
    int begun = count == 1 ? aio_read(list[0]) : lio_listio(LIO_NOWAIT, list, count, 0);
    if (begun) say_result(l, begun);
    if (begun && count == 1) return;
    for (int i = 0; i < count; i++) {
        const struct aiocb *one[1] = {list[i]};
        while (aio_error(list[i]) == EINPROGRESS) aio_suspend(one, 1, 0);
        int error = aio_error(list[i]);
        long n = aio_return(list[i]);
        errno = error;
        say_bytes(l, error ? -1 : n, (void *)blocks[i].aio_buf);
    }
}

/* ---- bytes that the kernel moves: what comes in all, since a short count is usual ---- */

static long drain(int from, unsigned char *to, long n)
{
    long got = 0, r;
    while (got < n && (r = syscall(SYS_read, from, to + got, n - got)) > 0) got += r;
    return got;
}
/* A signal interrupts these calls on any file. */
static int is_interrupted(long r) { return r < 0 && errno == EINTR; }
static void op_sendfile(struct lane *l, struct operation *o)
{
    int fd = l->fd[slot(o, 1)], memory = memfd_create("copied", MFD_CLOEXEC);
    long n = (long)asked(o, 3), all = 0, r = 0;
    off_t at = number(o, 2), *offset = strcmp(o->word[2], "-") ? &at : 0;
    while (all < n && ((r = sendfile(memory, fd, offset, (size_t)(n - all))) > 0 || is_interrupted(r))) all += r > 0 ? r : 0;
    int error = errno;
    unsigned char *to = buffer(l, (size_t)all);
    if (syscall(SYS_pread64, memory, to, all, 0) != all) abort();
    syscall(SYS_close, memory);
    errno = error;
    say_bytes(l, r < 0 ? -1 : all, to);
    if (r >= 0 && offset) say(l, " at %ld", (long)at);
}
static void op_splice(struct lane *l, struct operation *o)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) abort();
    long n = (long)asked(o, 3), all = 0, r = 0;
    unsigned char *to = buffer(l, (size_t)n);
    loff_t at = number(o, 2), *offset = strcmp(o->word[2], "-") ? &at : 0;
    while (all < n && ((r = splice(l->fd[slot(o, 1)], offset, ends[1], 0, (size_t)(n - all), 0)) > 0 || is_interrupted(r)))
        all += r > 0 ? drain(ends[0], to + all, r) : 0;
    int error = errno;
    syscall(SYS_close, ends[0]), syscall(SYS_close, ends[1]);
    errno = error;
    say_bytes(l, r < 0 ? -1 : all, to);
}
/* Between two file systems it fails in ways of their own: the bytes are then read, as callers do. */
static void op_copy(struct lane *l, struct operation *o)
{
    int memory = memfd_create("copied", MFD_CLOEXEC);
    long n = (long)asked(o, 3), all = 0, r = 0;
    off_t at = number(o, 2);
    while (all < n && ((r = copy_file_range(l->fd[slot(o, 1)], &at, memory, 0, (size_t)(n - all), 0)) > 0 || is_interrupted(r)))
        all += r > 0 ? r : 0;
    int error = errno;
    unsigned char *to = buffer(l, (size_t)n);
    if (all) drain((int)syscall(SYS_lseek, memory, 0, SEEK_SET) + memory, to, all);
    syscall(SYS_close, memory);
    errno = error;
    if (r < 0 && (error == EXDEV || error == EINVAL || error == EOPNOTSUPP))
        for (r = 0; all < n && (r = pread(l->fd[slot(o, 1)], to + all, (size_t)(n - all), number(o, 2) + all)) > 0;) all += r;
    say_bytes(l, r < 0 ? -1 : all, to);
}

/* ---- what a file is ---- */

static void say_stat(struct lane *l, int result, const struct stat *s)
{
    say_result(l, result);
    if (result) return;
    say(l, " %s", S_ISDIR(s->st_mode) ? "directory" : S_ISREG(s->st_mode) ? "file" : "other");
    /* A file with fewer blocks than bytes is taken for one with holes by cp, tar and others. */
    if (S_ISREG(s->st_mode)) say(l, " %ld%s", (long)s->st_size, s->st_blocks < (s->st_size + 511) / 512 ? " with holes" : "");
}
static void op_fstat(struct lane *l, struct operation *o)
{
    struct stat s;
    say_stat(l, fstat(l->fd[slot(o, 1)], &s), &s);
}
static void op_fstatempty(struct lane *l, struct operation *o)
{
    struct stat s;
    say_stat(l, fstatat(l->fd[slot(o, 1)], "", &s, AT_EMPTY_PATH), &s);
}
static void op_stat(struct lane *l, struct operation *o)
{
    struct stat s;
    say_stat(l, stat(path_of(l, o, 1), &s), &s);
}
static void op_lstat(struct lane *l, struct operation *o)
{
    struct stat s;
    say_stat(l, lstat(path_of(l, o, 1), &s), &s);
}
static void op_fstatat(struct lane *l, struct operation *o)
{
    struct stat s;
    say_stat(l, fstatat(AT_FDCWD, path_of(l, o, 1), &s, (int)number(o, 2)), &s);
}
static void op_statx(struct lane *l, struct operation *o)
{
    struct statx x;
    int fd = o->count > 2 ? l->fd[slot(o, 2)] : AT_FDCWD;
    int result = statx(fd, o->count > 2 ? "" : path_of(l, o, 1), o->count > 2 ? AT_EMPTY_PATH : 0, STATX_BASIC_STATS, &x);
    struct stat s = {.st_mode = x.stx_mode, .st_size = (off_t)x.stx_size, .st_blocks = (blkcnt_t)x.stx_blocks};
    say_stat(l, result, &s);
}
static void op_same(struct lane *l, struct operation *o)
{
    struct stat a, b;
    int result = fstat(l->fd[slot(o, 1)], &a) || stat(path_of(l, o, 2), &b) ? -1 : 0;
    say_result(l, result);
    if (!result) say(l, a.st_dev == b.st_dev && a.st_ino == b.st_ino ? " same" : " other");
}
static void op_access(struct lane *l, struct operation *o) { say_result(l, access(path_of(l, o, 1), (int)number(o, 2))); }
static void op_faccessat(struct lane *l, struct operation *o)
{
    say_result(l, faccessat(AT_FDCWD, path_of(l, o, 1), (int)number(o, 2), AT_EACCESS));
}
static void op_readlink(struct lane *l, struct operation *o)
{
    char to[256];
    say_result(l, readlink(path_of(l, o, 1), to, sizeof to));
}

/* ---- what else is asked of a descriptor ---- */

static void op_advice(struct lane *l, struct operation *o)
{
    say_result(l, posix_fadvise(l->fd[slot(o, 1)], number(o, 2), number(o, 3), (int)number(o, 4)));
}
static void op_readahead(struct lane *l, struct operation *o)
{
    say_result(l, readahead(l->fd[slot(o, 1)], number(o, 2), asked(o, 3)));
}
static void op_flock(struct lane *l, struct operation *o) { say_result(l, flock(l->fd[slot(o, 1)], LOCK_SH | LOCK_NB)); }
static void op_left(struct lane *l, struct operation *o)
{
    int left = -7;
    say_result(l, ioctl(l->fd[slot(o, 1)], FIONREAD, &left));
    say(l, " %d", left);
}
static void op_fsync(struct lane *l, struct operation *o) { say_result(l, fsync(l->fd[slot(o, 1)])); }
static void op_isatty(struct lane *l, struct operation *o) { say_result(l, isatty(l->fd[slot(o, 1)])); }
static void op_poll(struct lane *l, struct operation *o)
{
    int fd = l->fd[slot(o, 1)];
    struct pollfd p[5] = {{fd, POLLIN | POLLPRI, 0}, {-1, POLLIN, 7}, {~fd, POLLIN, 7}, {fd, 0, 7}, {fd, POLLOUT, 0}};
    say_result(l, poll(p, 5, 0));
    for (int i = 0; i < 5; i++)
        say(l, " %x%s", (unsigned)p[i].revents, p[i].fd == (int[]){fd, -1, ~fd, fd, fd}[i] ? "" : " other");
}
static void op_select(struct lane *l, struct operation *o)
{
    int fd = l->fd[slot(o, 1)], result;
    if (fd < 0 || fd >= FD_SETSIZE) return;
    fd_set set;
    do {
        FD_ZERO(&set);
        FD_SET(fd, &set);
        result = select(fd + 1, &set, 0, 0, 0);
    } while (result < 0 && errno == EINTR);
    say_result(l, result);
    say(l, FD_ISSET(fd, &set) ? " ready" : " not ready");
}
static void op_epoll(struct lane *l, struct operation *o)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    say_result(l, epoll_ctl(fd, EPOLL_CTL_ADD, l->fd[slot(o, 1)], &event));
    close(fd);
}

/* ---- directories ---- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void say_names(struct lane *l, char **names, int count)
{
    qsort(names, (size_t)count, sizeof *names, by_name);
    uint64_t h = 0;
    for (int i = 0; i < count; i++) h = h * 31 + digest(names[i], strlen(names[i])), free(names[i]);
    say(l, " %d names %016lx", count, (unsigned long)h);
}
static void list(struct lane *l, DIR *directory, int rewinds)
{
    char *names[256], text[300];
    int count = 0;
    if (!directory) { say_result(l, -1); return; }
    if (rewinds) {
        (void)readdir(directory);
        rewinddir(directory);
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(directory)) && count < 256;) {
        snprintf(text, sizeof text, "%s %d", e->d_name, e->d_type);
        names[count++] = strdup(text);
    }
    int error = errno;
    say_names(l, names, count);
    say(l, " errno %d", error);
    say_result(l, closedir(directory));
}
static void op_list(struct lane *l, struct operation *o) { list(l, opendir(path_of(l, o, 1)), (int)number(o, 2)); }
static void op_listfd(struct lane *l, struct operation *o)
{
    list(l, fdopendir(l->fd[slot(o, 1)]), (int)number(o, 2));
    l->fd[slot(o, 1)] = -1;
}
const struct entry descriptor_operations[] = {
    {"open", op_open}, {"openat", op_openat}, {"reopen", op_reopen}, {"close", op_close}, {"closefrom", op_closefrom},
    {"closerange", op_closerange}, {"dup", op_dup}, {"dup2", op_dup2}, {"dup3", op_dup3}, {"dupfd", op_dupfd},
    {"setfd", op_setfd}, {"getfd", op_getfd}, {"getfl", op_getfl}, {"read", op_read}, {"pread", op_pread},
    {"readv", op_readv}, {"preadv", op_preadv}, {"preadv2", op_preadv2}, {"seek", op_seek}, {"aio", op_aio},
    {"sendfile", op_sendfile}, {"splice", op_splice}, {"copy", op_copy}, {"fstat", op_fstat}, {"fstatempty", op_fstatempty},
    {"stat", op_stat}, {"lstat", op_lstat}, {"fstatat", op_fstatat}, {"statx", op_statx}, {"same", op_same},
    {"access", op_access}, {"faccessat", op_faccessat}, {"readlink", op_readlink}, {"advice", op_advice},
    {"readahead", op_readahead}, {"flock", op_flock}, {"left", op_left}, {"fsync", op_fsync}, {"isatty", op_isatty},
    {"poll", op_poll}, {"select", op_select}, {"epoll", op_epoll}, {"list", op_list}, {"listfd", op_listfd}, {0, 0}};
