/*
 * The raw limit: what a plain loop of recv and pwrite makes of the same server, the same count of
 * connections and the same kind of tmpfs. Ranges of equal size, one thread a connection, pieces of one size: a
 * piece is received whole into a buffer of its own and written with one pwrite.
 *
 * usage: raw HOST PORT PATH BYTES CONNECTIONS PIECE FILE      prints seconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *host, *path;
static int port, file;
static size_t piece;

struct range {
    pthread_t thread;
    long long first, end;
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *receive(void *argument) {
    struct range *range = argument;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address)) die("connect");
    char *head = malloc(65536), *buffer;
    if (!head || posix_memalign((void **)&buffer, 4096, piece)) die("memory");
    int length = snprintf(head, 65536, "GET %s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%lld-%lld\r\n\r\n", path, host, range->first, range->end - 1);
    if (send(connection, head, (size_t)length, 0) != length) die("send");
    size_t have = 0;
    char *body = NULL;
    while (!body) {
        ssize_t got = recv(connection, head + have, 65535 - have, 0);
        if (got <= 0) die("head");
        have += (size_t)got;
        head[have] = 0;
        body = strstr(head, "\r\n\r\n");
    }
    if (strncmp(head, "HTTP/1.1 206", 12)) {
        fprintf(stderr, "not 206: %.60s\n", head);
        exit(1);
    }
    body += 4;
    size_t filled = have - (size_t)(body - head);
    long long at = range->first;
    if (filled > piece) {
        if (pwrite(file, body, filled, at) != (ssize_t)filled) die("pwrite");
        at += (long long)filled;
        filled = 0;
    } else memcpy(buffer, body, filled);
    while (at < range->end) {
        /* Up to the next multiple of the piece, so that every write but the first is aligned. */
        size_t want = piece - (size_t)(at % (long long)piece);
        if ((long long)want > range->end - at) want = (size_t)(range->end - at);
        while (filled < want) {
            ssize_t got = recv(connection, buffer + filled, want - filled, 0);
            if (got <= 0) die("recv");
            filled += (size_t)got;
        }
        /* What the head's read left over may be more than the first, short piece. */
        if (pwrite(file, buffer, want, at) != (ssize_t)want) die("pwrite");
        memmove(buffer, buffer + want, filled - want);
        filled -= want;
        at += (long long)want;
    }
    close(connection);
    return NULL;
}

int main(int count, char **argument) {
    if (count != 8) return fprintf(stderr, "usage: raw HOST PORT PATH BYTES CONNECTIONS PIECE FILE\n"), 2;
    host = argument[1];
    port = atoi(argument[2]);
    path = argument[3];
    long long bytes = atoll(argument[4]);
    int connections = atoi(argument[5]);
    piece = (size_t)atoll(argument[6]);
    file = open(argument[7], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, bytes)) die(argument[7]);
    struct range *ranges = calloc((size_t)connections, sizeof *ranges);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    /* Ranges begin at multiples of 4 MiB, as pieces of every size do. */
    long long unit = 4 << 20, units = (bytes + unit - 1) / unit;
    for (int i = 0; i < connections; i++) {
        ranges[i].first = units * i / connections * unit;
        ranges[i].end = units * (i + 1) / connections * unit;
        if (ranges[i].end > bytes) ranges[i].end = bytes;
        if (pthread_create(&ranges[i].thread, NULL, receive, &ranges[i])) die("thread");
    }
    for (int i = 0; i < connections; i++) pthread_join(ranges[i].thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.6f\n", (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    return 0;
}
