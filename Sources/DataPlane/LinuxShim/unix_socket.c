#define _GNU_SOURCE
#include "linuxshim.h"
#include "internal.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* The most descriptors that one packet can have (SCM_MAX_FD is 253), so that all of them are seen and closed. */
#define MAX_DESCRIPTORS 253

static int address_of(const char *path, struct sockaddr_un *out)
{
    size_t n = strlen(path);
    if (n >= sizeof(out->sun_path)) return -ENAMETOOLONG;
    memset(out, 0, sizeof(*out));
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, path, n + 1);
    return 0;
}

int mc_seqpacket_listen(const char *path, int backlog, uint32_t mode)
{
    struct sockaddr_un address;
    int result = address_of(path, &address);
    if (result < 0) return result;
    int fd = RETRY(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0) return fd;
    result = RETRY(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
    /* Sets the mode before listen, so that no one connects in between. */
    if (result == 0) result = RETRY(chmod(path, (mode_t)mode));
    if (result == 0) result = RETRY(listen(fd, backlog));
    if (result < 0) {
        close(fd);
        return result;
    }
    return fd;
}

int mc_seqpacket_connect(const char *path, int milliseconds)
{
    struct sockaddr_un address;
    int result = address_of(path, &address);
    if (result < 0) return result;
    int fd = RETRY(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (fd < 0) return fd;
    if (milliseconds >= 0) {
        /* connect(2) waits for a place in the backlog for so long; see SO_SNDTIMEO in socket(7). */
        struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
        result = RETRY(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
    }
    if (result == 0) result = RETRY(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
    if (result < 0) {
        close(fd);
        return result;
    }
    return fd;
}

int mc_accept(int listener) { return RETRY(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

int mc_seqpacket_pair(int out[2]) { return RETRY(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out)); }

int mc_peer_credentials(int socket, struct mc_peer *out)
{
    struct ucred c;
    socklen_t n = sizeof(c);
    int result = RETRY(getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &c, &n));
    if (result < 0) return result;
    *out = (struct mc_peer){.process = c.pid, .user = c.uid, .group = c.gid};
    return 0;
}

ssize_t mc_send_packet(int socket, const void *data, size_t n, int fd, bool wait)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec io = {.iov_base = (void *)data, .iov_len = n};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    return RETRY(sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)));
}

ssize_t mc_receive_packet(int socket, void *data, size_t n, int *fd, bool wait)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
    } control;
    struct iovec io = {.iov_base = data, .iov_len = n};
    struct msghdr message = {
        .msg_iov = &io, .msg_iovlen = 1,
        .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
    };
    if (fd != NULL) *fd = -1;
    ssize_t got = RETRY(recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT)));
    if (got < 0) return got;
    bool truncated = (message.msg_flags & MSG_TRUNC) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int received;
            memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (fd != NULL && *fd < 0 && !truncated) *fd = received;
            else close(received);
        }
    }
    return truncated ? -EMSGSIZE : got;
}

int mc_wait_readable(int fd, int milliseconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return RETRY(poll(&p, 1, milliseconds));
}

int mc_eventfd(void) { return RETRY(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

int mc_eventfd_signal(int fd)
{
    uint64_t one = 1;
    ssize_t n = RETRY(write(fd, &one, sizeof(one)));
    return n < 0 && n != -EAGAIN ? (int)n : 0;
}

int mc_eventfd_drain(int fd)
{
    uint64_t value;
    ssize_t n = RETRY(read(fd, &value, sizeof(value)));
    return n < 0 && n != -EAGAIN ? (int)n : 0;
}
