/* One sequence of calls that read files: what its parts share. */
#ifndef SEQUENCE_H
#define SEQUENCE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { SLOTS = 8, LANES = 8, WORDS = 12, BYTES_MAX = 16 << 20 };

struct operation { int number, count; char *word[WORDS]; };

struct mapping { unsigned char *at; size_t bytes; };

/* A lane is one thread of control: a thread, a forked child or a program that exec made. */
struct lane {
    int id, count;
    struct operation *operations;
    int fd[SLOTS];
    struct mapping map[SLOTS];
    FILE *stream[SLOTS];
    pthread_t thread[LANES];
    int runs[LANES];
    pid_t child[LANES];
    unsigned char *buffer;
    size_t capacity;
    char text[400];  /* the result of the operation that runs */
};

typedef void function(struct lane *, struct operation *);
struct entry { const char *name; function *call; };
extern const struct entry descriptor_operations[], memory_operations[], stream_operations[];

extern const char *model_directory;  /* "" in a sequence that uses relative paths */
extern int tells_numbers;            /* no threads: numbers of descriptors are the same in each run */

long number(struct operation *, int word);
int slot(struct operation *, int word);
const char *path_of(struct lane *, struct operation *, int word);
unsigned char *buffer(struct lane *, size_t bytes);
uint64_t digest(const void *, size_t bytes);
void say(struct lane *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The result of a call: its value, errno where it failed, and the bytes that it gave. */
void say_result(struct lane *, long value);
void say_bytes(struct lane *, long value, const void *bytes);
void say_descriptor(struct lane *, int value);

/* Runs the block; a bad access in it leads to the second. */
extern __thread sigjmp_buf access_failed;
extern __thread volatile int accesses;
#define TOUCHING(block, otherwise)                       \
    do {                                                 \
        int lost_ = sigsetjmp(access_failed, 1);         \
        if (!lost_) { accesses = 1; block } else { otherwise } \
        accesses = 0;                                    \
    } while (0)
#endif
