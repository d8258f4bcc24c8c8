/* userfaultfd: see ioctl_userfaultfd(2). Constants newer than the build machine's headers are repeated here. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "preload_shim.h"
#include "raw.h"

#define DEVICE_NEW 0xAA00u              /* USERFAULTFD_IOC_NEW */
#define FEATURE_MISSING_SHMEM (1ull << 5)
#define FEATURE_MINOR_SHMEM (1ull << 10)
#define FEATURE_POISON (1ull << 14)
#define MODE_MISSING 1ull
#define MODE_MINOR 4ull
#define IOCTL_POISON 0xC020AA08u        /* UFFDIO_POISON, the layout of UFFDIO_CONTINUE */
#define IOCTL_CONTINUE 0xC020AA07u      /* UFFDIO_CONTINUE */

struct page_range { uint64_t start, len, mode; int64_t mapped; };

static long control(int fd, unsigned long request, void *argument)
{
    return RAW(SYS_ioctl, fd, request, argument);
}

static long fresh(int device)
{
    long fd = -1;
    if (device >= 0) fd = control(device, DEVICE_NEW, (void *)(uintptr_t)(O_CLOEXEC | O_NONBLOCK));
    if (fd >= 0) return fd;
    long own = ossc_open(AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0);
    if (own >= 0) {
        fd = control((int)own, DEVICE_NEW, (void *)(uintptr_t)(O_CLOEXEC | O_NONBLOCK));
        ossc_close((int)own);
    }
    if (fd >= 0) return fd;
    return RAW(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

long ossc_uffd_create(int device, uint32_t *features)
{
    /* Asking for a feature the kernel lacks spoils the descriptor, so the richer set goes first on its own one. */
    static const uint64_t sets[2] = {FEATURE_MISSING_SHMEM | FEATURE_MINOR_SHMEM | FEATURE_POISON,
                                     FEATURE_MISSING_SHMEM | FEATURE_MINOR_SHMEM};
    long last = -ENOSYS;
    for (int i = 0; i < 2; i++) {
        long fd = fresh(device);
        if (fd < 0) return fd;
        struct uffdio_api api = {.api = UFFD_API, .features = sets[i]};
        last = control((int)fd, UFFDIO_API, &api);
        if (last == 0 && (api.features & sets[i]) == sets[i]) {
            *features = OSSC_UFFD_MINOR | (i == 0 ? OSSC_UFFD_POISON : 0);
            return fd;
        }
        ossc_close((int)fd);
    }
    return last < 0 ? last : -ENOSYS;
}

long ossc_uffd_register(int uffd, uint64_t start, uint64_t bytes)
{
    struct uffdio_register r = {.range = {start, bytes}, .mode = MODE_MISSING | MODE_MINOR};
    return control(uffd, UFFDIO_REGISTER, &r);
}
long ossc_uffd_unregister(int uffd, uint64_t start, uint64_t bytes)
{
    struct uffdio_range r = {start, bytes};
    return control(uffd, UFFDIO_UNREGISTER, &r);
}
long ossc_uffd_wake(int uffd, uint64_t start, uint64_t bytes)
{
    struct uffdio_range r = {start, bytes};
    return control(uffd, UFFDIO_WAKE, &r);
}

static long over_pages(int uffd, unsigned long request, uint64_t start, uint64_t bytes)
{
    uint64_t at = start, end = start + bytes;
    long result = 0;
    while (at < end) {
        struct page_range r = {at, end - at, 0, 0};
        long e = control(uffd, request, &r);
        if (e == 0) break;
        if (r.mapped > 0) {
            at += (uint64_t)r.mapped;
        } else if (e == -EEXIST) {
            at += ossc_page_bytes();  /* mapped already */
        } else if (e == -EAGAIN) {
            continue;    /* the address space is changing under us */
        } else {
            result = e;  /* -ENOENT, -EINVAL: unmapped or split meanwhile */
            break;
        }
    }
    /* A wake can be lost and a consumed event is not repeated: always wake. */
    ossc_uffd_wake(uffd, start, bytes);
    return result;
}
long ossc_uffd_continue(int uffd, uint64_t start, uint64_t bytes) { return over_pages(uffd, IOCTL_CONTINUE, start, bytes); }
long ossc_uffd_poison(int uffd, uint64_t start, uint64_t bytes) { return over_pages(uffd, IOCTL_POISON, start, bytes); }

long ossc_uffd_read(int uffd, uint64_t *addresses, size_t count)
{
    struct uffd_msg messages[32];
    if (count > 32) count = 32;
    long n = ossc_read(uffd, messages, count * sizeof messages[0]);
    if (n < 0) return n == -EAGAIN || n == -EINTR ? 0 : n;
    size_t filled = 0;
    for (size_t i = 0; i < (size_t)n / sizeof messages[0]; i++)
        if (messages[i].event == UFFD_EVENT_PAGEFAULT) addresses[filled++] = messages[i].arg.pagefault.address;
    return (long)filled;
}
