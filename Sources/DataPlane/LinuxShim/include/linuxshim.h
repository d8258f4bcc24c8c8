/*
 * The Linux calls that Swift cannot express: variadic or macro-built ones, and atomics on mapped memory.
 *
 * A negative result of a function is -errno. Every new descriptor is close-on-exec. No function keeps state.
 * Unless the text says otherwise, a function retries EINTR inside and does not allocate.
 */
#ifndef MODELCACHE_LINUXSHIM_H
#define MODELCACHE_LINUXSHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- files ---------------------------------------------------------------------------------- */

enum mc_open_flags {
    MC_OPEN_WRITE = 1,      /* read and write; read-only without it */
    MC_OPEN_CREATE = 2,     /* with `mode`, less the umask */
    MC_OPEN_EXCLUSIVE = 4,  /* with CREATE: EEXIST if it is there */
    MC_OPEN_DIRECTORY = 8,
    MC_OPEN_NO_FOLLOW = 16, /* ELOOP if the last component is a symbolic link */
    MC_OPEN_TRUNCATE = 32,
};
/* `directory` may be MC_AT_CWD. */
#define MC_AT_CWD (-100)
int mc_openat(int directory, const char *path, uint32_t flags, uint32_t mode);
/* A file without a name in `directory`; mc_link_descriptor gives it one. */
int mc_open_nameless(const char *directory, uint32_t mode);
int mc_link_descriptor(int fd, const char *path);

/* Writes all n bytes; 0 or -errno. After a short write, the next one gives the error (ENOSPC, EIO). */
int mc_pwrite_all(int fd, const void *data, size_t n, uint64_t offset);
/* The number of bytes read, less than n only at the end of the file. */
ssize_t mc_pread_all(int fd, void *data, size_t n, uint64_t offset);

int mc_fdatasync(int fd);
/* Starts write-back of a range without waiting; durability needs mc_fdatasync. */
int mc_start_writeback(int fd, uint64_t offset, uint64_t n);
/* fsync of the directory at `path`, so that new names in it survive a crash. */
int mc_sync_directory(const char *path);

/* flock: exclusive, without waiting. -EWOULDBLOCK when another process has it. The last close of the descriptor
 * releases it. */
int mc_lock_exclusive(int fd);
/* Releases the lock at once, even while a child between fork and exec still has a copy of the descriptor. */
int mc_unlock(int fd);

struct mc_stat {
    uint64_t device;
    uint64_t inode;
    uint64_t bytes;
    uint64_t allocated_bytes;
    uint64_t modified_seconds;
    uint64_t modified_nanoseconds; /* since 1970, as the next one */
    uint64_t changed_nanoseconds;
    uint32_t links;
    uint32_t mode;
    uint32_t user;
    uint32_t block_bytes;   /* st_blksize: 2 MiB on a tmpfs with huge pages */
    bool is_directory;
    bool is_file;
    bool is_link;
};
/* Does not follow symbolic links. */
int mc_stat_at(int directory, const char *path, struct mc_stat *out);
int mc_stat_descriptor(int fd, struct mc_stat *out);

/* ---- names below a directory that others may be able to write ------------------------------- */

/* `relative` is a path below `top` without "." and "..". No symbolic link is followed, not even as `top`'s last
 * component: -ENOTDIR where a link replaces a directory, -ELOOP where one replaces a file. */

/* MC_OPEN_CREATE makes a new file (-EEXIST if the name is taken). Without it, only a regular file is opened;
 * anything else is refused before it is opened: -ELOOP. */
int mc_open_beneath(const char *top, const char *relative, uint32_t flags, uint32_t mode);
int mc_stat_beneath(const char *top, const char *relative, struct mc_stat *out);
/* A directory, for use as a place only (O_PATH of open(2)). */
int mc_open_directory_beneath(const char *top, const char *relative);
/* Sets access and modification time to now. */
int mc_touch_beneath(const char *top, const char *relative);
/* With exactly `mode`, whatever the umask; 0 when a directory exists already, which stays as it is. */
int mc_make_directory_beneath(const char *top, const char *relative, uint32_t mode);
int mc_unlink_beneath(const char *top, const char *relative, bool directory);
int mc_link_beneath(const char *top, const char *from, const char *to);
int mc_rename_beneath(const char *top, const char *from, const char *to);
/* Removes the name and all below it; 0 when there is none. Allocates one buffer a level. */
int mc_remove_beneath(const char *top, const char *relative);
/* As mc_seqpacket_listen, but replaces a file of that name. */
int mc_listen_beneath(const char *top, const char *relative, int backlog, uint32_t mode);

/* ---- file systems --------------------------------------------------------------------------- */

struct mc_filesystem {
    bool is_tmpfs;
    bool read_only;
    uint64_t total_bytes;
    uint64_t free_bytes;      /* for an ordinary user */
    uint32_t block_bytes;
};
int mc_filesystem_at(const char *path, struct mc_filesystem *out);

/* The source name of our mounts, shown in /proc/self/mountinfo. */
#define MC_MOUNT_SOURCE "modelcache"
/* mount(2) of a tmpfs at `path` with nosuid and nodev; `options` as in tmpfs(5), such as
 * "size=1g,huge=always,mode=0755". */
int mc_mount_tmpfs(const char *path, const char *options);
/* Changes options of the tmpfs at `path`, such as "size=2g"; the others stay. -EBUSY: it holds more already. */
int mc_remount_tmpfs(const char *path, const char *options);
/* Lazy: the mount leaves the tree at once; its memory is freed with the last close. */
int mc_unmount_detached(const char *path);
/* The same of the mount whose root `directory` is, whatever its path leads to by now. */
int mc_unmount_descriptor(int directory);

/* ---- memory --------------------------------------------------------------------------------- */

/* MAP_SHARED, read and write; NULL on failure with -errno in *error. */
void *mc_map_shared(int fd, size_t n, int *error);
/* Maps bytes [offset, offset + n) of the file for writing; NULL when the kernel refuses. The offset is a multiple of
 * the page size. */
void *mc_map_range(int fd, uint64_t offset, size_t n);
/* Allocates the pages of a mapping, so that no access raises SIGBUS: -ENOSPC when the medium is full, -EINVAL before
 * Linux 5.14 (MADV_POPULATE_WRITE, madvise(2)). */
int mc_populate_write(void *address, size_t n);
int mc_unmap(void *address, size_t n);
/* Allocates memory or a disk block for every page of a shared mapping of `fd` now and keeps its content, so that no
 * later write through the mapping raises SIGBUS. -ENOSPC: the medium is full. */
int mc_populate_shared(int fd, void *address, size_t n);
/* Anonymous memory, aligned to 2 MiB and advised to use huge pages. n is a multiple of 2 MiB. NULL: no memory. */
void *mc_map_huge_anonymous(size_t n);
/* Returns the pages to the kernel; the addresses stay valid and read as zeros. */
int mc_release_pages(void *address, size_t n);

/* ---- processes ------------------------------------------------------------------------------ */

/* Nanoseconds since boot, suspended time included. */
uint64_t mc_boottime_nanoseconds(void);
/* 36 characters and NUL: /proc/sys/kernel/random/boot_id. */
int mc_boot_id(char out[37]);
/* Names the calling thread, for people: 15 bytes at most. */
void mc_name_thread(const char *name);
/* Gives the calling thread low priority for CPU (nice 10) and I/O (idle class of ioprio_set(2)). A refusal changes
 * nothing. */
void mc_background_thread(void);
/* Raises the soft limit of open files to the hard one and returns it. */
int64_t mc_raise_open_file_limit(void);

/* ---- rights --------------------------------------------------------------------------------- */

/* Capabilities of capabilities(7), one bit each: 1 << CAP_*. */
#define MC_CAP_DAC_OVERRIDE (1ull << 1)
#define MC_CAP_FOWNER (1ull << 3)
#define MC_CAP_SETPCAP (1ull << 8)
#define MC_CAP_SYS_ADMIN (1ull << 21)

struct mc_rights {
    uint64_t permitted;
    uint64_t effective;
    bool no_new_privileges;
};
/* Of the calling thread. */
int mc_own_rights(struct mc_rights *out);
/* execve(2) of `program` as this process, with no capability but those of `keep` that it has, now or through any later
 * program: the bounding set shrinks to `keep` where the process may shrink it (CAP_SETPCAP), ambient and inheritable
 * sets become empty, no_new_privs is set. Linux keeps these for each thread, hence the new program: it has one. No
 * signal is blocked in it. Returns only -errno; rights may be gone then. */
int mc_restart_with_rights(const char *program, char *const arguments[], uint64_t keep);

/* ---- urgent traffic ------------------------------------------------------------------------- */

/* Small messages that must not wait (control messages, requests, acknowledgements) go before bulk data. On the wire:
 * the DSCP AF22, "low-latency data" of RFC 4594, 4.7, in the IPv4 TOS or IPv6 traffic class. Not AF21: a Linux
 * router reads that byte as the TOS of RFC 1349, where AF21 is "bulk" and AF22 "interactive". In this host's queues:
 * SO_PRIORITY "interactive", the highest that needs no privilege (socket(7), tc-pfifo_fast(8)). Set the traffic
 * class first, since it sets a priority too. */
#define MC_URGENT_TRAFFIC_CLASS 0x50
#define MC_URGENT_PRIORITY 6
/* Marks all later packets of a TCP socket. If that fails, they are sent unmarked. */
void mc_mark_urgent(int socket);

/* ---- unix sockets --------------------------------------------------------------------------- */

/* SOCK_SEQPACKET, bound and listening, non-blocking. The caller removes a stale socket file. -ENAMETOOLONG over 107
 * bytes. */
int mc_seqpacket_listen(const char *path, int backlog, uint32_t mode);
/* A blocking socket. Where nobody accepts and the backlog is full it waits for so many milliseconds, then -EAGAIN;
 * negative: without end. */
int mc_seqpacket_connect(const char *path, int milliseconds);
/* Non-blocking and close-on-exec; -EAGAIN when no connection waits. */
int mc_accept(int listener);
/* A connected pair, for tests. */
int mc_seqpacket_pair(int out[2]);

struct mc_peer {
    int32_t process;
    uint32_t user;
    uint32_t group;
};
/* SO_PEERCRED: the peer's credentials when it connected. */
int mc_peer_credentials(int socket, struct mc_peer *out);

/* Sends one packet, with one descriptor when `fd` >= 0 (the caller keeps it). Never raises SIGPIPE. Never blocks
 * when `wait` is false: -EAGAIN. */
ssize_t mc_send_packet(int socket, const void *data, size_t n, int fd, bool wait);
/* Receives one packet into `data`. 0: the peer closed. -EMSGSIZE: longer than n (the packet is lost). *fd (may be
 * NULL) gets a descriptor of the packet, or -1. Further descriptors, or unwanted ones, are closed. */
ssize_t mc_receive_packet(int socket, void *data, size_t n, int *fd, bool wait);

/* 1: readable or hung up; 0: the time has passed. Negative milliseconds: no limit. */
int mc_wait_readable(int fd, int milliseconds);
/* eventfd for waking a poll loop; non-blocking. */
int mc_eventfd(void);
int mc_eventfd_signal(int fd);
int mc_eventfd_drain(int fd);

/* ---- futex ---------------------------------------------------------------------------------- */

/* Shared between processes. Waits while *word == expected. 0: woken, or changed already; -ETIMEDOUT; -EINTR (not
 * retried). */
int mc_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_nanoseconds);
/* Wakes all waiters and returns their number. */
int mc_futex_wake_all(const uint32_t *word);

/* ---- atomics on mapped memory --------------------------------------------------------------- */

static inline uint32_t mc_atomic_load_u32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t mc_atomic_load_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void mc_atomic_store_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void mc_atomic_store_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
/* These return the former value. */
static inline uint32_t mc_atomic_add_u32(uint32_t *p, uint32_t v) { return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t mc_atomic_add_u64(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t mc_atomic_sub_u64(uint64_t *p, uint64_t v) { return __atomic_fetch_sub(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t mc_atomic_or_u64(uint64_t *p, uint64_t v) { return __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t mc_atomic_and_u64(uint64_t *p, uint64_t v) { return __atomic_fetch_and(p, v, __ATOMIC_ACQ_REL); }

#endif
