/* posix_spawn with an arriving file. usage: spawn WAY PATH OFFSET. The child, dd, prints eight bytes at OFFSET, where its
 * parent stopped; of a WAY with "named" it is this program without arguments, which prints what it has beside its standard
 * input, too. The parent then prints where the position is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
int main(int count, char **v)
{
    if (count == 1) {
        char text[64];
        ssize_t n = read(0, text, 8), more = readlink("/proc/self/fd/512", text + 8, sizeof text - 8);
        return n != 8 || more < 0 || write(1, text, (size_t)(n + more)) < 0;
    }
    if (count != 4) return 2;
    const char *way = v[1];
    off_t at = atol(v[3]);
    int fd = open(v[2], O_RDONLY), other = open(v[2], O_RDONLY);
    if (fd < 0 || other < 0 || lseek(fd, at, SEEK_SET) != at || lseek(other, 5, SEEK_SET) != 5) return perror(v[2]), 2;
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    int failed = 0, isNamed = strstr(way, "named") != 0, isLoop = strstr(way, "loop") != 0;
    if (isNamed && strstr(way, "earlier")) failed |= posix_spawn_file_actions_addopen(&a, 512, "/dev/null", O_RDONLY, 0);
    if (strstr(way, "inherited")) {
        dup2(fd, 0);
        if (strstr(way, "lowered")) setrlimit(RLIMIT_NOFILE, &(struct rlimit){256, 256});
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
    for (int n = 3; isLoop && n < 1024; n++) failed |= posix_spawn_file_actions_addclose(&a, n);
    if (isNamed && strstr(way, "open")) failed |= posix_spawn_file_actions_addopen(&a, 512, "/dev/null", O_RDONLY, 0);
    if (isNamed && strstr(way, "dup2"))
        failed |= posix_spawn_file_actions_addopen(&a, 7, "/dev/null", O_RDONLY, 0) | posix_spawn_file_actions_adddup2(&a, 7, 512);
    if (!strcmp(way, "closefrom twice")) failed |= posix_spawn_file_actions_addclosefrom_np(&a, 700) | posix_spawn_file_actions_adddup2(&a, 0, 1000);
    if (strcmp(way, "dup2") && strcmp(way, "high") && !isNamed && !isLoop) failed |= posix_spawn_file_actions_addclosefrom_np(&a, 3);
    if (failed) return fprintf(stderr, "actions\n"), 2;
    char *plain[] = {"dd", "bs=8", "count=1", "status=none", 0};
    char *named[] = {v[0], 0};
    pid_t child;
    int error = posix_spawn(&child, isNamed ? "/proc/self/exe" : "/bin/dd", &a, 0, isNamed ? named : plain, environ), status;
    if (error) return fprintf(stderr, "posix_spawn: %s\n", strerror(error)), 1;
    if (waitpid(child, &status, 0) != child || status) return 1;
    printf("%ld", (long)lseek(fd, 0, SEEK_CUR));
    return 0;
}
