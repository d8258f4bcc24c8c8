/* Reads around the library: what no hook sees. usage: around WAY PATH OFFSET. Prints the bytes in hexadecimal, or "error N". */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned char b[8];
static long lost(void) { return -errno; }
static long aio(int fd, long off, int list)
{
    static struct aiocb blocks[2];
    for (int round = 0; round < 2; round++) {
        struct aiocb *one = &blocks[0], *all[1] = {one};
        if (round == 0) one->aio_fildes = fd;  /* A block that is used again keeps its descriptor. */
        one->aio_buf = b, one->aio_nbytes = 8, one->aio_offset = off, one->aio_lio_opcode = LIO_READ;
        if (list ? lio_listio(LIO_WAIT, all, 1, 0) : aio_read(one)) return lost();
        const struct aiocb *waited[1] = {one};
        while (aio_error(one) == EINPROGRESS) aio_suspend(waited, 1, 0);
        if (aio_error(one)) return -aio_error(one);
        if (aio_return(one) != 8) return -EIO;
    }
    return 8;
}
static long uring(int fd, long off)
{
    struct io_uring_params p;
    memset(&p, 0, sizeof p);
    int ring = (int)syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) return lost();
    char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *e = mmap(0, p.sq_entries * sizeof *e, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    memset(e, 0, sizeof *e);
    e->opcode = IORING_OP_READ, e->fd = fd, e->addr = (unsigned long)b, e->len = 8, e->off = (unsigned long)off;
    *(unsigned *)(sq + p.sq_off.array) = 0;
    __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0) return lost();
    return ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
}
static long passed(int fd, long off)
{
    int ends[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    union { struct cmsghdr h; char room[64]; } control;
    char c = 0;
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    if (sendmsg(ends[0], &m, 0) != 1 || recvmsg(ends[1], &m, 0) != 1) return lost();
    int got;
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
    long n = pread(got, b, 8, off);
    return n < 0 ? lost() : n;
}
int main(int c, char **v)
{
    if (c < 4) return 2;
    long off = atol(v[3]), n = -ENOSYS;
    memset(b, 0xee, sizeof b);
    int fd = open(v[2], O_RDONLY);
    if (fd < 0) return perror("open"), 2;
    if (!strcmp(v[1], "pread")) n = pread(fd, b, 8, off);
    if (!strcmp(v[1], "raw-pread")) n = syscall(SYS_pread64, fd, b, 8, off) < 0 ? lost() : 8;
    if (!strcmp(v[1], "raw-read")) n = syscall(SYS_lseek, fd, off, 0) < 0 || syscall(SYS_read, fd, b, 8) < 0 ? lost() : 8;
    if (!strcmp(v[1], "raw-preadv")) { struct iovec i = {b, 8}; n = syscall(SYS_preadv, fd, &i, 1, off, 0) < 0 ? lost() : 8; }
    if (!strcmp(v[1], "raw-mmap")) {
        unsigned char *p = (void *)syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, off & ~4095L);
        if (p == MAP_FAILED) n = lost(); else memcpy(b, p + (off & 4095), 8), n = 8;
    }
    if (!strcmp(v[1], "raw-sendfile")) {
        int ends[2];
        n = pipe(ends) || syscall(SYS_sendfile, ends[1], fd, &off, 8) < 0 ? lost() : syscall(SYS_read, ends[0], b, 8);
    }
    if (!strcmp(v[1], "io_uring")) n = uring(fd, off);
    if (!strcmp(v[1], "aio_read")) n = aio(fd, off, 0);
    if (!strcmp(v[1], "lio_listio")) n = aio(fd, off, 1);
    if (!strcmp(v[1], "passed")) n = passed(fd, off);
    if (!strcmp(v[1], "copied")) { int d = (int)syscall(SYS_dup, fd); n = syscall(SYS_pread64, d, b, 8, off) < 0 ? lost() : 8; }
    if (!strcmp(v[1], "child")) { /* v[4]: a static program; its standard input is the file. */
        dup2(fd, 0);
        lseek(0, off, SEEK_SET);
        execl(v[4], v[4], "raw-stdin", v[2], v[3], (char *)0);
    }
    if (n < 0) printf("error %ld\n", -n);
    else for (int i = 0; i < 8; i++) printf("%02x%s", b[i], i == 7 ? "\n" : "");
    return 0;
}
