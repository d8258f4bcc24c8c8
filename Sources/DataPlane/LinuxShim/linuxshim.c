#define _GNU_SOURCE
#include "linuxshim.h"
#include "internal.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TMPFS_MAGIC_NUMBER 0x01021994
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

int mc_openat(int directory, const char *path, uint32_t flags, uint32_t mode)
{
    int f = O_CLOEXEC;
    f |= (flags & MC_OPEN_WRITE) ? O_RDWR : O_RDONLY;
    if (flags & MC_OPEN_CREATE) f |= O_CREAT;
    if (flags & MC_OPEN_EXCLUSIVE) f |= O_EXCL;
    if (flags & MC_OPEN_DIRECTORY) f |= O_DIRECTORY;
    if (flags & MC_OPEN_NO_FOLLOW) f |= O_NOFOLLOW;
    if (flags & MC_OPEN_TRUNCATE) f |= O_TRUNC;
    return RETRY(openat(directory, path, f, (mode_t)mode));
}

int mc_open_nameless(const char *directory, uint32_t mode)
{
    return RETRY(open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode));
}

int mc_link_descriptor(int fd, const char *path)
{
    /* AT_EMPTY_PATH needs a capability; the /proc form does not. */
    char source[32] = "/proc/self/fd/";
    char digits[12];
    int n = 0;
    if (fd < 0) return -EBADF;
    do { digits[n++] = (char)('0' + fd % 10); fd /= 10; } while (fd > 0);
    char *end = source + strlen(source);
    while (n > 0) *end++ = digits[--n];
    *end = 0;
    return RETRY(linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
}

int mc_pwrite_all(int fd, const void *data, size_t n, uint64_t offset)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = RETRY(pwrite(fd, p, n, (off_t)offset));
        if (k < 0) return (int)k;
        if (k == 0) return -ENOSPC;
        p += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    return 0;
}

ssize_t mc_pread_all(int fd, void *data, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t k = RETRY(pread(fd, (char *)data + done, n - done, (off_t)(offset + done)));
        if (k < 0) return k;
        if (k == 0) break;
        done += (size_t)k;
    }
    return (ssize_t)done;
}

int mc_fdatasync(int fd) { return RETRY(fdatasync(fd)); }

int mc_start_writeback(int fd, uint64_t offset, uint64_t n)
{
    return RETRY(sync_file_range(fd, (off64_t)offset, (off64_t)n, SYNC_FILE_RANGE_WRITE));
}

int mc_sync_directory(const char *path)
{
    int fd = RETRY(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0) return fd;
    int result = RETRY(fsync(fd));
    close(fd);
    return result;
}

int mc_lock_exclusive(int fd) { return RETRY(flock(fd, LOCK_EX | LOCK_NB)); }

int mc_unlock(int fd) { return RETRY(flock(fd, LOCK_UN)); }

static void copy_stat(const struct stat *s, struct mc_stat *out)
{
    *out = (struct mc_stat){
        .device = (uint64_t)s->st_dev,
        .inode = (uint64_t)s->st_ino,
        .bytes = (uint64_t)s->st_size,
        .allocated_bytes = (uint64_t)s->st_blocks * 512,
        .modified_seconds = (uint64_t)s->st_mtime,
        .modified_nanoseconds = (uint64_t)s->st_mtim.tv_sec * 1000000000ull + (uint64_t)s->st_mtim.tv_nsec,
        .changed_nanoseconds = (uint64_t)s->st_ctim.tv_sec * 1000000000ull + (uint64_t)s->st_ctim.tv_nsec,
        .links = (uint32_t)s->st_nlink,
        .mode = (uint32_t)s->st_mode & 07777,
        .user = (uint32_t)s->st_uid,
        .block_bytes = (uint32_t)s->st_blksize,
        .is_directory = S_ISDIR(s->st_mode),
        .is_file = S_ISREG(s->st_mode),
        .is_link = S_ISLNK(s->st_mode),
    };
}

int mc_stat_at(int directory, const char *path, struct mc_stat *out)
{
    struct stat s;
    int result = RETRY(fstatat(directory, path, &s, AT_SYMLINK_NOFOLLOW));
    if (result == 0) copy_stat(&s, out);
    return result;
}

int mc_stat_descriptor(int fd, struct mc_stat *out)
{
    struct stat s;
    int result = RETRY(fstat(fd, &s));
    if (result == 0) copy_stat(&s, out);
    return result;
}

int mc_filesystem_at(const char *path, struct mc_filesystem *out)
{
    struct statfs s;
    int result = RETRY(statfs(path, &s));
    if (result < 0) return result;
    *out = (struct mc_filesystem){
        .is_tmpfs = (uint64_t)s.f_type == TMPFS_MAGIC_NUMBER,
        .read_only = (s.f_flags & ST_RDONLY) != 0,
        .total_bytes = (uint64_t)s.f_blocks * (uint64_t)s.f_bsize,
        .free_bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_bsize,
        .block_bytes = (uint32_t)s.f_bsize,
    };
    return 0;
}

int mc_mount_tmpfs(const char *path, const char *options)
{
    return RETRY(mount(MC_MOUNT_SOURCE, path, "tmpfs", MS_NOSUID | MS_NODEV, options));
}

int mc_remount_tmpfs(const char *path, const char *options)
{
    return RETRY(mount(MC_MOUNT_SOURCE, path, "tmpfs", MS_REMOUNT | MS_NOSUID | MS_NODEV, options));
}

int mc_unmount_detached(const char *path) { return RETRY(umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW)); }

int mc_unmount_descriptor(int directory)
{
    char path[48];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", directory);
    return RETRY(umount2(path, MNT_DETACH));
}

void *mc_map_shared(int fd, size_t n, int *error)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        *error = -errno;
        return NULL;
    }
    return p;
}

void *mc_map_range(int fd, uint64_t offset, size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    return p == MAP_FAILED ? NULL : p;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

int mc_populate_write(void *address, size_t n)
{
    int result = RETRY(madvise(address, n, MADV_POPULATE_WRITE));
    /* EFAULT: an access would have raised SIGBUS, because the medium has no space for the page. */
    return result == -EFAULT ? -ENOSPC : result;
}

int mc_unmap(void *address, size_t n) { return munmap(address, n) == 0 ? 0 : -errno; }

int mc_populate_shared(int fd, void *address, size_t n)
{
    int result = mc_populate_write(address, n);
    /* EINVAL: before Linux 5.14. */
    return result == -EINVAL ? RETRY(fallocate(fd, 0, 0, (off_t)n)) : result;
}

void *mc_map_huge_anonymous(size_t n)
{
    const size_t huge = 2u << 20;
    char *p = mmap(NULL, n + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    char *aligned = (char *)(((uintptr_t)p + huge - 1) & ~(uintptr_t)(huge - 1));
    if (aligned > p) munmap(p, (size_t)(aligned - p));
    size_t tail = (size_t)(p + huge - aligned);
    if (tail > 0) munmap(aligned + n, tail);
    madvise(aligned, n, MADV_HUGEPAGE);
    return aligned;
}

int mc_release_pages(void *address, size_t n) { return madvise(address, n, MADV_DONTNEED) == 0 ? 0 : -errno; }

void mc_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

void mc_background_thread(void)
{
    pid_t self = (pid_t)syscall(SYS_gettid);
    setpriority(PRIO_PROCESS, (id_t)self, 10);
    /* IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT; linux/ioprio.h is newer than the oldest headers. */
    syscall(SYS_ioprio_set, 1, self, 3 << 13);
}

uint64_t mc_boottime_nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

int mc_boot_id(char out[37])
{
    int fd = RETRY(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    if (fd < 0) return fd;
    ssize_t n = RETRY(read(fd, out, 36));
    close(fd);
    if (n < 0) return (int)n;
    if (n != 36) return -EIO;
    out[36] = 0;
    return 0;
}

int64_t mc_raise_open_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -errno;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return -errno;
    return (int64_t)limit.rlim_cur;
}

int mc_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_nanoseconds)
{
    struct timespec t = {
        .tv_sec = (time_t)(timeout_nanoseconds / 1000000000ull),
        .tv_nsec = (long)(timeout_nanoseconds % 1000000000ull),
    };
    if (syscall(SYS_futex, word, FUTEX_WAIT, expected, &t, NULL, 0) == 0 || errno == EAGAIN) return 0;
    return -errno;
}

int mc_futex_wake_all(const uint32_t *word)
{
    long n = syscall(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
    return n < 0 ? -errno : (int)n;
}
