/*
 * Names below a directory in which others may be able to write. The walk takes one component at a time and follows no
 * symbolic link, so no name leads out of `top`. openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) promises the same, but
 * only from Linux 5.6 on.
 */
#define _GNU_SOURCE
#include "linuxshim.h"
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* An object's key is at most 1023 bytes long, so none of our directories is deeper. */
#define MAX_DEPTH 520

static int open_directory(int at, const char *name, int flags)
{
    return RETRY(openat(at, name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | flags));
}

/* Opens the directory of the last component of `relative`, and copies that component to `last`. */
static int parent_of(const char *top, const char *relative, char last[NAME_MAX + 1])
{
    int fd = open_directory(AT_FDCWD, top, O_PATH);
    const char *at = relative;
    while (fd >= 0) {
        const char *slash = strchr(at, '/');
        size_t n = slash != NULL ? (size_t)(slash - at) : strlen(at);
        int bad = n == 0 || n > NAME_MAX ? -ENAMETOOLONG : 0;
        if (bad == 0) {
            memcpy(last, at, n);
            last[n] = 0;
            if (strcmp(last, ".") == 0 || strcmp(last, "..") == 0) bad = -EXDEV;
        }
        if (bad != 0) {
            close(fd);
            return bad;
        }
        if (slash == NULL) return fd;
        int next = open_directory(fd, last, O_PATH);
        close(fd);
        fd = next;
        at = slash + 1;
    }
    return fd;
}

/* The path of an open descriptor, valid whatever its file is called now. */
static void descriptor_path(char out[48], int fd) { snprintf(out, 48, "/proc/self/fd/%d", fd); }

int mc_open_beneath(const char *top, const char *relative, uint32_t flags, uint32_t mode)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent;
    int how = (flags & MC_OPEN_WRITE) ? O_RDWR : O_RDONLY;
    if (flags & MC_OPEN_TRUNCATE) how |= O_TRUNC;
    int result;
    if (flags & MC_OPEN_CREATE) {
        /* Only a new file, since an existing one could be anything. */
        result = RETRY(openat(parent, last, how | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode));
        close(parent);
        return result;
    }
    /* Its type is checked before it is opened: opening a device has effects, and a FIFO waits. */
    int seen = RETRY(openat(parent, last, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (seen < 0) {
        close(parent);
        return seen;
    }
    struct stat s;
    result = RETRY(fstat(seen, &s));
    if (result == 0 && !S_ISREG(s.st_mode)) result = S_ISDIR(s.st_mode) ? -EISDIR : -ELOOP;
    if (result == 0) {
        char path[48];
        descriptor_path(path, seen);
        result = RETRY(open(path, how | O_CLOEXEC));
        /* Without /proc the name is opened again, with flags that neither a link nor a FIFO can misuse. */
        if (result == -ENOENT) result = RETRY(openat(parent, last, how | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    }
    close(seen);
    close(parent);
    return result;
}

int mc_stat_beneath(const char *top, const char *relative, struct mc_stat *out)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent;
    int result = mc_stat_at(parent, last, out);
    close(parent);
    return result;
}

int mc_open_directory_beneath(const char *top, const char *relative)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent;
    int result = open_directory(parent, last, O_PATH);
    close(parent);
    return result;
}

int mc_touch_beneath(const char *top, const char *relative)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent;
    int result = RETRY(utimensat(parent, last, NULL, AT_SYMLINK_NOFOLLOW));
    close(parent);
    return result;
}

int mc_make_directory_beneath(const char *top, const char *relative, uint32_t mode)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent;
    int result = RETRY(mkdirat(parent, last, (mode_t)mode));
    int fd = result == 0 || result == -EEXIST ? open_directory(parent, last, O_RDONLY) : result;
    if (fd >= 0) {
        if (result == 0) result = RETRY(fchmod(fd, (mode_t)mode));
        else result = 0;
        close(fd);
    } else {
        result = fd;
    }
    close(parent);
    return result;
}

int mc_unlink_beneath(const char *top, const char *relative, bool directory)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent;
    int result = RETRY(unlinkat(parent, last, directory ? AT_REMOVEDIR : 0));
    close(parent);
    return result;
}

/* linkat or renameat, of two names below one directory. */
static int two_names(const char *top, const char *from, const char *to, bool rename)
{
    char old[NAME_MAX + 1], new[NAME_MAX + 1];
    int a = parent_of(top, from, old);
    if (a < 0) return a;
    int b = parent_of(top, to, new);
    int result = b;
    if (b >= 0) {
        result = rename ? RETRY(renameat(a, old, b, new)) : RETRY(linkat(a, old, b, new, 0));
        close(b);
    }
    close(a);
    return result;
}

int mc_link_beneath(const char *top, const char *from, const char *to) { return two_names(top, from, to, false); }
int mc_rename_beneath(const char *top, const char *from, const char *to) { return two_names(top, from, to, true); }

static int remove_tree(int parent, const char *name, int depth)
{
    int result = RETRY(unlinkat(parent, name, 0));
    if (result == 0 || result == -ENOENT) return 0;
    if (result != -EISDIR && result != -EPERM) return result;
    if (depth > MAX_DEPTH) return -ELOOP;
    int fd = open_directory(parent, name, O_RDONLY);
    if (fd < 0) return fd == -ENOENT ? 0 : fd;
    DIR *list = fdopendir(fd);
    if (list == NULL) {
        result = -errno;
        close(fd);
        return result;
    }
    result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        result = remove_tree(fd, entry->d_name, depth + 1);
    }
    closedir(list);
    if (result == 0) result = RETRY(unlinkat(parent, name, AT_REMOVEDIR));
    return result == -ENOENT ? 0 : result;
}

int mc_remove_beneath(const char *top, const char *relative)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent == -ENOENT ? 0 : parent;
    int result = remove_tree(parent, last, 0);
    close(parent);
    return result;
}

int mc_listen_beneath(const char *top, const char *relative, int backlog, uint32_t mode)
{
    char last[NAME_MAX + 1];
    int parent = parent_of(top, relative, last);
    if (parent < 0) return parent;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", parent, last);
    int fd = n < (int)sizeof(address.sun_path) ? RETRY(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) : -ENAMETOOLONG;
    int result = fd;
    if (fd >= 0) {
        result = RETRY(unlinkat(parent, last, 0));
        if (result == -ENOENT) result = 0;
        /* bind makes a new name or fails; it does not follow a link in its place. */
        if (result == 0) result = RETRY(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
    }
    if (result >= 0) {
        /* Sets the mode before listen, so that no one connects in between. On the socket itself: its name may be a
         * link by now. */
        int made = RETRY(openat(parent, last, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        struct stat s;
        char path[48];
        descriptor_path(path, made);
        result = made < 0 ? made : RETRY(fstat(made, &s));
        if (result == 0 && !S_ISSOCK(s.st_mode)) result = -ELOOP;
        if (result == 0) result = RETRY(chmod(path, (mode_t)mode));
        if (made >= 0) close(made);
        if (result == 0) result = RETRY(listen(fd, backlog));
    }
    close(parent);
    if (result < 0 && fd >= 0) close(fd);
    return result < 0 ? result : fd;
}
