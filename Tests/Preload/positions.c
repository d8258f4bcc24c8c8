/* Readers that share one position. usage: positions SHARED CALL PATH TRUTH BYTES [WORK NUMBER]
 *
 * Eight readers, threads (SHARED "threads"), forked children ("forks") or programs that exec makes ("execs"), make CALL on
 * one open file until its end. Each call must give bytes of the file as they lie there; of calls that the kernel makes as
 * one step, each byte exactly once, and the position is the file's end. Prints "right". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READERS = 8 };
static const char *call;
static char **arguments;
static unsigned char *truth;
static size_t size, bytes;
static int number;
/* How often each byte was given. In a file that all readers map. */
static unsigned char *given;

static void error(const char *what)
{
    fprintf(stderr, "%s %s: %s\n", call, what, strerror(errno));
    _exit(2);
}
/* The next bytes of the shared position, 0 at the end. */
static size_t next(char *to, int out, const int ends[2], FILE *stream)
{
    ssize_t n = -1;
    struct iovec two[2] = {{to, bytes / 2}, {to + bytes / 2, bytes - bytes / 2}};
    if (!strcmp(call, "read")) n = read(number, to, bytes);
    if (!strcmp(call, "readv")) n = readv(number, two, 2);
    if (!strcmp(call, "preadv2")) n = preadv2(number, two, 2, -1, 0);
    /* A part of the stream's buffer, so that none is of two reads of the descriptor. */
    if (!strcmp(call, "stream")) n = (ssize_t)fread(to, 1, 4096, stream);
    if (!strcmp(call, "sendfile")) n = sendfile(out, number, 0, bytes);
    if (!strcmp(call, "copy_file_range")) n = copy_file_range(number, 0, out, 0, bytes, 0);
    if (!strcmp(call, "splice")) {
        n = splice(number, 0, ends[1], 0, bytes, 0);
        for (ssize_t got = 0, k; got < n; got += k) if ((k = read(ends[0], to + got, (size_t)(n - got))) <= 0) error("pipe");
    } else if (n > 0 && out >= 0 && (!strcmp(call, "sendfile") || !strcmp(call, "copy_file_range"))) {
        off_t end = lseek(out, 0, SEEK_CUR);
        if (pread(out, to, (size_t)n, end - n) != n) error("copy");
    }
    if (n < 0) error("fails");
    return (size_t)n;
}
static void *reader(void *unused)
{
    (void)unused;
    char *to = malloc(bytes + 32768);
    int ends[2] = {-1, -1}, out = -1;
    FILE *stream = 0;
    if (!strcmp(call, "splice") && (pipe(ends) || fcntl(ends[0], F_SETPIPE_SZ, 1 << 20) < 0)) error("pipe");
    if (!strcmp(call, "sendfile") || !strcmp(call, "copy_file_range")) {
        char name[4096];
        snprintf(name, sizeof name, "%s.XXXXXX", arguments[6]);
        out = mkstemp(name);
        if (out < 0) error(name);
        unlink(name);
    }
    if (!strcmp(call, "stream") && !(stream = fdopen(dup(number), "rb"))) error("fdopen");
    for (size_t n; (n = next(to, out, ends, stream)) > 0;) {
        unsigned char *at = memmem(truth, size, to, n < 16 ? n : 16);
        if (!at || (size_t)(truth + size - at) < n || memcmp(at, to, n)) {
            fprintf(stderr, "%s gave %zu bytes, from %02x%02x%02x%02x on, that are not the file's\n", call, n, (unsigned char)to[0], (unsigned char)to[1], (unsigned char)to[2], (unsigned char)to[3]);
            _exit(1);
        }
        for (size_t i = 0; i < n; i++) __atomic_fetch_add(&given[at - truth + i], 1, __ATOMIC_RELAXED);
    }
    return 0;
}
static unsigned char *map(const char *path, int flags)
{
    struct stat s;
    int fd = open(path, flags, 0600);
    if (fd < 0 || (flags != O_RDONLY && ftruncate(fd, (off_t)size)) || fstat(fd, &s)) error(path);
    size = (size_t)s.st_size;
    void *p = mmap(0, size, flags == O_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) error("mmap");
    close(fd);
    return p;
}
int main(int count, char **v)
{
    if (count < 7) return 2;
    arguments = v;
    call = v[2];
    bytes = strtoul(v[5], 0, 0);
    truth = map(v[4], O_RDONLY);
    given = map(v[6], O_RDWR | O_CREAT);
    if (count > 7) {
        number = atoi(v[7]);
        reader(0);
        return 0;
    }
    number = open(v[3], O_RDONLY);
    if (number < 0) error(v[3]);
    pthread_t threads[READERS];
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    for (int i = 0; i < READERS; i++) {
        if (!strcmp(v[1], "threads") && pthread_create(&threads[i], 0, reader, 0)) error("thread");
        if (strcmp(v[1], "threads") && fork() == 0) {
            if (!strcmp(v[1], "execs")) execl("/proc/self/exe", v[0], v[1], v[2], v[3], v[4], v[5], v[6], text, (char *)0);
            reader(0);
            _exit(0);
        }
    }
    for (int i = 0, status; i < READERS; i++) {
        if (!strcmp(v[1], "threads")) pthread_join(threads[i], 0);
        else if (wait(&status) < 0 || status) return 1;
    }
    int once = strcmp(call, "sendfile") && strcmp(call, "copy_file_range") && strcmp(call, "splice");
    for (size_t i = 0; i < size; i++)
        if (once && given[i] != 1) return printf("byte %zu was given %d times\n", i, given[i]), 1;
    if (lseek(number, 0, SEEK_CUR) != (off_t)size) return printf("the position is %lld\n", (long long)lseek(number, 0, SEEK_CUR)), 1;
    puts("right");
    return 0;
}
