/* Stands in for a model server in images without glibc: opens the file it is given, reads all of it, says how many bytes
 * and what they add up to (FNV-1a, 64 bits), and stays until it is told to go. A file that is not there ends it with 2. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned char piece[1 << 20];

int main(int count, char **arguments) {
    if (count != 2) return fprintf(stderr, "usage: reader FILE\n"), 64;
    int file = open(arguments[1], O_RDONLY);
    if (file < 0) return fprintf(stderr, "reader: %s: %s\n", arguments[1], strerror(errno)), 2;
    uint64_t bytes = 0, sum = 0xcbf29ce484222325u;
    ssize_t got;
    while ((got = read(file, piece, sizeof piece)) > 0) {
        bytes += (uint64_t)got;
        for (ssize_t i = 0; i < got; i++) sum = (sum ^ piece[i]) * 0x100000001b3u;
    }
    if (got < 0) return fprintf(stderr, "reader: %s: %s\n", arguments[1], strerror(errno)), 3;
    printf("reader: %s: %" PRIu64 " bytes, %016" PRIx64 "\n", arguments[1], bytes, sum);
    fflush(stdout);
    sigset_t end;
    int number;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigaddset(&end, SIGINT);
    sigprocmask(SIG_BLOCK, &end, NULL);
    sigwait(&end, &number);
    return 0;
}
