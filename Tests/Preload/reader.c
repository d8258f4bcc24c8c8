/* Reads a file in one of several ways and compares every byte with the true one. 0 same, 1 different, 2 error. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *truth;
static size_t size;
static const char *path;

static void error(const char *what)
{
    perror(what);
    exit(2);
}
static char *map(int flags, int protection)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0) error("open");
    char *p = mmap(0, size, protection, flags, fd, 0);
    if (p == MAP_FAILED) error("mmap");
    close(fd);
    return p;
}
/* Backwards, page by page, so that faults come in the order the filling least expects. */
static int same(const char *p)
{
    for (size_t at = (size - 1) / 4096 * 4096;; at -= 4096) {
        if (memcmp(p + at, truth + at, size - at < 4096 ? size - at : 4096)) return fprintf(stderr, "differs at %zu\n", at), 1;
        if (!at) return 0;
    }
}
/* Reads one random page after another through one shared mapping. */
static char *shared;
static void *toucher(void *seed)
{
    unsigned state = (unsigned)(size_t)seed;
    for (int i = 0; i < 2000; i++) {
        size_t at = ((size_t)rand_r(&state) * 7919u) % size / 4096 * 4096;
        if (memcmp(shared + at, truth + at, size - at < 4096 ? size - at : 4096)) return (void *)1;
    }
    return 0;
}
static void *reader(void *seed)
{
    unsigned state = (unsigned)(size_t)seed;
    int fd = open(path, O_RDONLY);
    char *p = mmap(0, size, PROT_READ, MAP_SHARED, fd, 0), piece[5000];
    for (int i = 0; i < 3000; i++) {
        size_t at = (size_t)rand_r(&state) % size;
        ssize_t n = i % 2 ? pread(fd, piece, sizeof piece, (off_t)at) : (ssize_t)(size - at < sizeof piece ? size - at : sizeof piece);
        if (n < 0) error("pread");
        if (memcmp(i % 2 ? piece : p + at, truth + at, (size_t)n)) return (void *)1;
    }
    munmap(p, size);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    const char *how = argv[1];
    path = argv[2];
    int fd = open(argv[3], O_RDONLY);
    struct stat s;
    if (fd < 0 || fstat(fd, &s)) error(argv[3]);
    size = (size_t)s.st_size;
    truth = mmap(0, size, PROT_READ, MAP_PRIVATE, fd, 0);
    char *buffer = malloc(size);
    if (!strcmp(how, "fopen")) {
        FILE *f = fopen(path, "rb");
        if (!f) error("fopen");
        if (fread(buffer, 1, size, f) != size) error("fread");
        if (fgetc(f) != EOF || fclose(f)) return 2;
        return same(buffer);
    }
    if (!strcmp(how, "fread-seek")) {
        FILE *f = fopen64(path, "r");
        if (fseeko(f, 0, SEEK_END) || (size_t)ftello(f) != size) return 1;
        for (size_t at = 0; at < size; at += 100003) {
            size_t n = size - at < 100003 ? size - at : 100003;
            if (fseeko(f, (off_t)at, SEEK_SET) || fread(buffer, 1, n, f) != n || memcmp(buffer, truth + at, n)) return 1;
        }
        struct stat t;
        return fstat(fileno(f), &t) || (size_t)t.st_size != size || fclose(f);
    }
    if (!strcmp(how, "fread-mixed")) {
        /* Small and large pieces, seeks, ungetc and single characters between, the position told each time. */
        FILE *f = fopen(path, "rb");
        unsigned state = 5;
        if (!f) error("fopen");
        for (int i = 0; i < 400; i++) {
            size_t at = (size_t)ftello(f), n = (size_t)rand_r(&state) % (i % 3 ? 9000 : 300000) + 1;
            if (i % 7 == 0) {
                at = ((size_t)rand_r(&state) * 131u) % size;
                if (fseeko(f, (off_t)at, SEEK_SET)) error("fseeko");
            }
            if (i % 5 == 0 && at < size) {
                int c = fgetc(f);
                if (c != (unsigned char)truth[at] || ungetc(c, f) != c) return fprintf(stderr, "character at %zu\n", at), 1;
            }
            size_t want = size - at < n ? size - at : n, got = fread(buffer, 1, n, f);
            if (got != want || memcmp(buffer, truth + at, want) || (size_t)ftello(f) != at + want || !feof(f) != (want == n)) return fprintf(stderr, "piece %d: %zu at %zu\n", i, n, at), 1;
            if (want < n) rewind(f);
        }
        return fclose(f);
    }
    if (!strcmp(how, "mmap")) return same(map(MAP_SHARED, PROT_READ));
    if (!strcmp(how, "mmap-llama")) {
        FILE *f = fopen(path, "rb");
        posix_fadvise(fileno(f), 0, 0, POSIX_FADV_SEQUENTIAL);
        char *p = mmap(0, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fileno(f), 0);
        posix_madvise(p, size, POSIX_MADV_WILLNEED);
        int different = same(p);
        munmap(p, 4096 * 5);
        munmap(p + 4096 * 300, 4096 * 10);
        fclose(f);
        return different || memcmp(p + 4096 * 5, truth + 4096 * 5, 4096 * 295) || memcmp(p + 4096 * 310, truth + 4096 * 310, 4096);
    }
    if (!strcmp(how, "threads")) {
        pthread_t t[4];
        void *bad;
        int sum = 0;
        for (size_t i = 0; i < 4; i++) pthread_create(&t[i], 0, reader, (void *)(i + 1));
        for (int i = 0; i < 4; i++) pthread_join(t[i], &bad), sum += bad != 0;
        return sum;
    }
    if (!strcmp(how, "threads-64")) {
        pthread_t t[64];
        void *bad;
        int sum = 0;
        shared = map(MAP_SHARED, PROT_READ);
        for (size_t i = 0; i < 64; i++) pthread_create(&t[i], 0, toucher, (void *)(i + 1));
        for (int i = 0; i < 64; i++) pthread_join(t[i], &bad), sum += bad != 0;
        return sum;
    }
    if (!strcmp(how, "map-locked")) return same(map(MAP_SHARED | MAP_LOCKED, PROT_READ));
    if (!strcmp(how, "splice")) {
        int ends[2];
        fd = open(path, O_RDONLY);
        if (pipe(ends)) error("pipe");
        for (size_t at = 0; at < size;) {
            ssize_t n = splice(fd, 0, ends[1], 0, 65536, 0);
            if (n <= 0) error("splice");
            for (ssize_t got = 0; got < n;) {
                ssize_t k = read(ends[0], buffer + at + got, (size_t)(n - got));
                if (k <= 0) error("read");
                got += k;
            }
            at += (size_t)n;
        }
        return same(buffer);
    }
    if (!strcmp(how, "freopen")) {
        FILE *f = fopen("/dev/null", "r");
        if (!f || !(f = freopen(path, "r", f))) error("freopen");
        if (fread(buffer, 1, size, f) != size) error("fread");
        return same(buffer) || fclose(f);
    }
    if (!strcmp(how, "fork-half")) {
        /* Touches half, forks, and both go on; the child's child too. */
        char *p = map(MAP_SHARED, PROT_READ);
        if (memcmp(p, truth, size / 2)) return 1;
        pid_t child = fork();
        if (child == 0) {
            pid_t next = fork();
            if (next == 0) _exit(same(p));
            int status, different = same(p);
            waitpid(next, &status, 0);
            _exit(different || status);
        }
        int status, different = same(p);
        waitpid(child, &status, 0);
        return different || status;
    }
    if (!strcmp(how, "fork-lost")) {
        /* The file is gone before the fork: the child gets a message and SIGBUS when it touches it. */
        char *p = map(MAP_PRIVATE, PROT_READ);
        if (memcmp(p, truth, 4096)) return 1;
        /* As another program would: the library refuses it here. */
        if (syscall(SYS_renameat2, AT_FDCWD, getenv("LOST"), AT_FDCWD, getenv("LOST_AS"), 0)) error("rename");
        pid_t child = fork();
        if (child == 0) {
            volatile char c = p[0];
            _exit(c == truth[0] ? 3 : 4);
        }
        int status;
        waitpid(child, &status, 0);
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS ? same(p) : 1;
    }
    if (!strcmp(how, "mlock")) {
        char *p = map(MAP_SHARED, PROT_READ);
        if (mlock(p, size)) error("mlock");
        return same(p);
    }
    if (!strcmp(how, "fork")) {
        char *p = map(MAP_PRIVATE, PROT_READ);
        pid_t child = fork();
        if (child == 0) _exit(same(p));
        int status, different = same(p);
        waitpid(child, &status, 0);
        return different || status;
    }
    if (!strcmp(how, "mremap")) return same(mremap(map(MAP_SHARED, PROT_READ), size, size + 4096 * 100, MREMAP_MAYMOVE));
    if (!strcmp(how, "mprotect")) {
        char *p = map(MAP_PRIVATE, PROT_READ);
        if (mprotect(p, size, PROT_READ | PROT_WRITE)) error("mprotect");
        char kept = p[9];
        p[9] = 1;
        p[9] = kept;
        return same(p);
    }
    if (!strcmp(how, "readv")) {
        fd = open(path, O_RDONLY);
        struct iovec v[2] = {{buffer, size / 2}, {buffer + size / 2, size - size / 2}};
        if (readv(fd, v, 2) != (ssize_t)size) error("readv");
        return same(buffer);
    }
    return 2;
}
