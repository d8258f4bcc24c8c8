/* Packets over a SOCK_SEQPACKET unix socket (agent_wire.h), with a descriptor where one is passed. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "preload_shim.h"
#include "raw.h"

long ossc_connect_seqpacket(const char *path)
{
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length + 1);
    long fd = RAW(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return fd;
    long r = RAW(SYS_connect, fd, &address, sizeof address);
    if (r == 0) return fd;
    ossc_close((int)fd);
    return r;
}

long ossc_peer_user(int fd)
{
    struct ucred peer;
    unsigned bytes = sizeof peer;
    long r = RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
    return r < 0 ? r : (long)peer.uid;
}

long ossc_send_packet(int fd, uint16_t type, const void *body, size_t bytes)
{
    struct mc_header header = {MC_WIRE_MAGIC, MC_WIRE_VERSION, type, (uint32_t)bytes, 0};
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)(uintptr_t)body, bytes}};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    message.msg_iovlen = bytes ? 2 : 1;
    long r;
    do r = RAW(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (r == -EINTR);
    return r;
}

long ossc_receive_packet(int fd, void *to, size_t bytes, int *descriptor)
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
    long r;
    do r = RAW(SYS_recvmsg, fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (r == -EINTR);
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
