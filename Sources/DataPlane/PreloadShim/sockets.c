/* Packets over a SOCK_SEQPACKET unix socket (agent_wire.h), with a descriptor where one is passed. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "preload_shim.h"

long ossc_connect_seqpacket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length + 1);
    int saved = errno;
    long fd = syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fd = -errno;
    } else if (syscall(SYS_connect, fd, &address, sizeof address) < 0) {
        long e = -errno;
        ossc_close((int)fd);
        fd = e;
    }
    errno = saved;
    return fd;
}

long ossc_send_packet(int fd, uint16_t type, const void *body, size_t bytes, int wait)
{
    struct mc_header header = {MC_WIRE_MAGIC, MC_WIRE_VERSION, type, (uint32_t)bytes, 0};
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)(uintptr_t)body, bytes}};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    message.msg_iovlen = bytes ? 2 : 1;
    int saved = errno;
    long r;
    do r = syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (r < 0 && errno == EINTR);
    if (r < 0) r = -errno;
    errno = saved;
    return r;
}

long ossc_receive_packet(int fd, void *to, size_t bytes, int *descriptor, int wait)
{
    *descriptor = -1;
    struct iovec part = {to, bytes};
    union { struct cmsghdr header; char bytes[256]; } control;
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    int saved = errno;
    long r;
    do r = syscall(SYS_recvmsg, fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (r < 0 && errno == EINTR);
    if (r < 0) r = -errno;
    errno = saved;
    if (r < 0) return r;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int passed;
            memcpy(&passed, CMSG_DATA(c) + i * sizeof(int), sizeof passed);
            if (*descriptor < 0) *descriptor = passed;
            else ossc_close(passed);
        }
    }
    return r;
}
