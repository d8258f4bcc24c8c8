/* posix_spawn with an arriving file. usage: spawn WAY PATH OFFSET. The child, dd, prints eight bytes at OFFSET, where its
 * parent stopped; the parent then prints where the position is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
int main(int count, char **v)
{
    if (count != 4) return 2;
    const char *way = v[1];
    off_t at = atol(v[3]);
    int fd = open(v[2], O_RDONLY), other = open(v[2], O_RDONLY);
    if (fd < 0 || other < 0 || lseek(fd, at, SEEK_SET) != at || lseek(other, 5, SEEK_SET) != 5) return perror(v[2]), 2;
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    int failed = 0;
    if (!strcmp(way, "inherited")) {
        dup2(fd, 0);
    } else if (!strcmp(way, "chain")) {
        failed |= posix_spawn_file_actions_adddup2(&a, fd, 9) | posix_spawn_file_actions_adddup2(&a, 9, 0) | posix_spawn_file_actions_addclose(&a, 9);
    } else if (!strcmp(way, "exchange")) {
        failed |= posix_spawn_file_actions_adddup2(&a, fd, 9) | posix_spawn_file_actions_adddup2(&a, other, fd)
            | posix_spawn_file_actions_adddup2(&a, 9, other) | posix_spawn_file_actions_adddup2(&a, other, 0);
    } else if (!strcmp(way, "high")) {
        failed |= posix_spawn_file_actions_adddup2(&a, fd, 400) | posix_spawn_file_actions_adddup2(&a, 400, 0) | posix_spawn_file_actions_addclose(&a, 400);
    } else {
        if (!strcmp(way, "taken")) dup2(1, 512);  /* where the library would put what lies beside 0 */
        failed |= posix_spawn_file_actions_adddup2(&a, fd, 0);
    }
    if (!strcmp(way, "closefrom twice")) failed |= posix_spawn_file_actions_addclosefrom_np(&a, 700) | posix_spawn_file_actions_adddup2(&a, 0, 1000);
    if (strcmp(way, "dup2") && strcmp(way, "high")) failed |= posix_spawn_file_actions_addclosefrom_np(&a, 3);
    if (failed) return fprintf(stderr, "actions\n"), 2;
    char *arguments[] = {"dd", "bs=8", "count=1", "status=none", 0};
    pid_t child;
    int error = posix_spawn(&child, "/bin/dd", &a, 0, arguments, environ), status;
    if (error) return fprintf(stderr, "posix_spawn: %s\n", strerror(error)), 1;
    if (waitpid(child, &status, 0) != child || status) return 1;
    printf("%ld", (long)lseek(fd, 0, SEEK_CUR));
    return 0;
}
