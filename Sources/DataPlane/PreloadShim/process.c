/* Life in the process: loading, stdio streams, the background thread, fork handlers, starting an agent. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "preload_shim.h"
#include "raw.h"

/* Names that another C library may lack are weak: it loads the library, which then does nothing. */
extern const char *gnu_get_libc_version(void) __attribute__((weak));
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *) __attribute__((weak));
extern FILE *fopencookie(void *, const char *, cookie_io_functions_t) __attribute__((weak));
extern void *__dso_handle;
extern char **environ;

#if defined(__x86_64__)
__asm__(".symver dladdr, dladdr@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver dladdr, dladdr@GLIBC_2.17");
#endif

int ossc_is_glibc(void)
{
    if (gnu_get_libc_version) return 1;
    static const char line[] = "libossc_preload: LD_PRELOAD: this program does not use glibc, so the library does nothing; "
                               "use a glibc build, or `modelcache warm` first\n";
    ossc_write(2, line, sizeof line - 1);
    return 0;
}

__attribute__((constructor)) static void loaded(void)
{
    if (gnu_get_libc_version) ossc_resolve_all();
    ossc_start();
}

const char *ossc_environment(const char *name)
{
    size_t length = strlen(name);
    for (char **e = environ; e && *e; e++)
        if (strncmp(*e, name, length) == 0 && (*e)[length] == '=') return *e + length + 1;
    return 0;
}
char **ossc_environment_all(void) { return environ; }

const char *ossc_own_path(void)
{
    Dl_info info;
    if (dladdr((void *)&ossc_own_path, &info) && info.dli_fname) return info.dli_fname;
    return "";
}

static int is_version_4(const char *text)
{
    for (int part = 0; part < 4; part++) {
        unsigned value = 0, digits = 0;
        for (; *text >= '0' && *text <= '9' && digits < 4; text++, digits++) value = value * 10 + (unsigned)(*text - '0');
        if (digits == 0 || digits > 3 || value > 255) return 0;
        if (part < 3 && *text++ != '.') return 0;
    }
    return *text == 0;
}
static int is_version_6(const char *text)
{
    int groups = 0, gap = 0;
    if (text[0] == ':' && text[1] == ':') gap = 1, text += 2;
    while (*text) {
        const char *group = text;
        unsigned digits = 0;
        for (; (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f') || (*text >= 'A' && *text <= 'F'); text++) digits++;
        if (*text == '.') return is_version_4(group) && (gap ? groups <= 5 : groups == 6);
        if (digits == 0 || digits > 4 || ++groups > 8) return 0;
        if (*text == 0) break;
        if (*text++ != ':') return 0;
        if (*text == ':') {
            if (gap++) return 0;
            text++;
        } else if (*text == 0) {
            return 0;
        }
    }
    return gap ? groups < 8 : groups == 8;
}
int ossc_is_ip_address_or_range(const char *text)
{
    char address[46]; /* INET6_ADDRSTRLEN */
    unsigned n = 0, bits = 0, digits = 0;
    for (; *text && *text != '/'; text++) {
        if (n == sizeof address - 1) return 0;
        address[n++] = *text;
    }
    address[n] = 0;
    int four = is_version_4(address);
    if (!four && !is_version_6(address)) return 0;
    if (*text == 0) return 1;
    for (text++; *text >= '0' && *text <= '9' && digits < 4; text++, digits++) bits = bits * 10 + (unsigned)(*text - '0');
    return digits > 0 && digits <= 3 && *text == 0 && bits <= (four ? 32u : 128u);
}

/* ---- stdio ---------------------------------------------------------------------------------- */

static ssize_t stream_read(void *cookie, char *to, size_t n)
{
    int64_t r = ossc_stream_read(cookie, to, n);
    if (r < 0) errno = (int)-r;
    return r < 0 ? -1 : r;
}
static int stream_seek(void *cookie, off64_t *offset, int whence)
{
    int64_t r = ossc_stream_seek(cookie, *offset, whence);
    if (r < 0) {
        errno = (int)-r;
        return -1;
    }
    *offset = r;
    return 0;
}
static int stream_close(void *cookie) { return ossc_stream_close(cookie); }

void *ossc_open_stream(void *cookie, const char *mode, void *buffer, size_t bytes)
{
    cookie_io_functions_t functions = {stream_read, 0, stream_seek, stream_close};
    if (!fopencookie) {
        errno = ENOSYS;
        return 0;
    }
    FILE *stream = fopencookie(cookie, mode, functions);
    if (stream && buffer) setvbuf(stream, buffer, _IOFBF, bytes);
    return stream;
}

void ossc_lock_stream(void *stream) { flockfile(stream); }
void ossc_unlock_stream(void *stream) { funlockfile(stream); }

void ossc_replace_standard_input(void *stream) { stdin = stream; }

/* The fields are glibc's, whose FILE has kept its layout since 2.1; another C library never gets here. */
struct glibc_file { int flags; char *read_ptr, *read_end; };
enum { GLIBC_IN_BACKUP = 0x100 };

intptr_t ossc_stream_buffered(const void *stream)
{
    const struct glibc_file *file = stream;
    return file->flags & GLIBC_IN_BACKUP ? -1 : file->read_end - file->read_ptr;
}

void ossc_make_file_stream(struct ossc_stream *record)
{
    FILE *file = record->stream;
    file->_fileno = record->descriptor;
    if (file->_wide_data == (void *)-1L) file->_wide_data = memset(record->wide, 0, sizeof record->wide);
}

void ossc_keep_closed_on_exec(void *stream)
{
    enum { GLIBC_CLOSED_ON_EXEC = 64 };  /* _IO_FLAGS2_CLOEXEC */
    ((FILE *)stream)->_flags2 |= GLIBC_CLOSED_ON_EXEC;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int thread_main(void *unused)
{
    (void)unused;
    ossc_thread_main();
    return 0;
}

/* A thread of the kernel's alone: pthread_create allocates, is not async-signal-safe, and makes the C library take a
 * program of one thread for one of many. Its thread pointer lies amid zeroed memory, where errno and the stack
 * protector find theirs. */
long ossc_start_thread(void)
{
    enum { STACK = 128 << 10, LOCAL = 64 << 10 };
    char *memory = ossc_map_memory(STACK + 2 * LOCAL);
    if (!memory) return -ENOMEM;
    ossc_mprotect(memory, ossc_page_bytes(), PROT_NONE);
    void **pointer = (void **)(memory + STACK + LOCAL);
#if defined(__x86_64__)
    pointer[0] = pointer;
    pointer[2] = pointer;
    __asm__("movq %%fs:0x28, %0" : "=r"(pointer[5]));
#endif
    /* clone(2) of the C library answers through errno, which is the caller's to keep. */
    int saved = errno;
    int made = next_clone(thread_main, memory + STACK,
                     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS, 0, 0, (intptr_t)pointer, 0);
    long result = made < 0 ? -errno : 0;
    errno = saved;
    if (made < 0) ossc_munmap(memory, STACK + 2 * LOCAL);
    return result;
}

/* ---- the thread's user and groups ------------------------------------------------------------- */

/* setuid(2) and its kin change one thread; the C library repeats them on those that it knows. The library's thread takes
 * what the caller has after them: a server that gives up root must not keep a thread that has it. */
enum { GROUPS = 65536 };  /* NGROUPS_MAX */
static struct {
    uint32_t user[3], group[3], groups[GROUPS];
    long count;
    struct { uint32_t version; int process; } head;
    uint32_t capabilities[6];
    long has_capabilities;
} wanted;  /* under OSSC_LOCK_FILES */
static uint32_t asked, taken;  /* how often; `taken` is a futex word */

void ossc_follow_identity(void)
{
    enum { TRIES = 10, VERSION_3 = 0x20080522 };
    if (!ossc_is_own_process() || ossc_thread_state() == OSSC_THREAD_NONE) return;
    ossc_lock(OSSC_LOCK_FILES);
    RAW(SYS_getresuid, &wanted.user[0], &wanted.user[1], &wanted.user[2]);
    RAW(SYS_getresgid, &wanted.group[0], &wanted.group[1], &wanted.group[2]);
    wanted.count = RAW(SYS_getgroups, GROUPS, wanted.groups);
    wanted.head.version = VERSION_3;
    wanted.head.process = 0;
    wanted.has_capabilities = RAW(SYS_capget, &wanted.head, wanted.capabilities) == 0;
    uint32_t mine = __atomic_add_fetch(&asked, 1, __ATOMIC_ACQ_REL);
    ossc_unlock(OSSC_LOCK_FILES);
    for (int i = 0; i < TRIES; i++) {
        uint32_t now = __atomic_load_n(&taken, __ATOMIC_ACQUIRE);
        if ((int32_t)(now - mine) >= 0) return;
        ossc_signal_thread();
        /* A handler may run meanwhile; it is no reason to go on. */
        if (ossc_futex_wait(&taken, now, 1000) == -EINTR) i--;
    }
}

void ossc_take_identity(void)
{
    if (__atomic_load_n(&asked, __ATOMIC_ACQUIRE) == __atomic_load_n(&taken, __ATOMIC_RELAXED)) return;
    ossc_lock(OSSC_LOCK_FILES);
    uint32_t until = __atomic_load_n(&asked, __ATOMIC_ACQUIRE);
    /* Twice: who gets rights back may change the groups after the user. */
    for (int i = 0; i < 2; i++) {
        if (wanted.count >= 0) RAW(SYS_setgroups, wanted.count, wanted.groups);
        RAW(SYS_setresgid, wanted.group[0], wanted.group[1], wanted.group[2]);
        RAW(SYS_setresuid, wanted.user[0], wanted.user[1], wanted.user[2]);
    }
    if (wanted.has_capabilities) RAW(SYS_capset, &wanted.head, wanted.capabilities);
    ossc_unlock(OSSC_LOCK_FILES);
    __atomic_store_n(&taken, until, __ATOMIC_RELEASE);
    ossc_futex_wake(&taken);
}

void ossc_forget_identity(void) { __atomic_store_n(&taken, __atomic_load_n(&asked, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE); }

void ossc_register_fork_handlers(void)
{
    if (__register_atfork) __register_atfork(ossc_fork_prepare, ossc_fork_parent, ossc_fork_child, &__dso_handle);
}

/* A parent that CLONE_VFORK stops would hold its locks meanwhile. */
static int copies_process(uint64_t flags) { return (flags & (CLONE_VM | CLONE_VFORK)) == 0; }

/* Version 0 of struct clone_args has 64 bytes, flags first and the stack's address at byte 40. */
int ossc_copies_process(intptr_t number, intptr_t a, intptr_t b)
{
    enum { ARGUMENTS = 64, STACK = 40 / sizeof(uint64_t), NR_clone3 = 435 };
#ifdef SYS_fork
    if (number == SYS_fork) return 1;
#endif
    if (number == SYS_clone) return copies_process((uint64_t)a) && b == 0;
    const uint64_t *how = (const uint64_t *)a;
    return number == NR_clone3 && how && b >= ARGUMENTS && copies_process(how[0]) && how[STACK] == 0;
}

struct first_call { int (*body)(void *); void *argument; };
static int begin_child(void *first)
{
    struct first_call call = *(struct first_call *)first;
    ossc_fork_child();
    /* The C library would end this thread alone, and the library's own would keep the process. */
    ossc_exit(call.body(call.argument));
    return 0;
}
int ossc_clone_process(int (*body)(void *), void *stack, int flags, void *argument, intptr_t x, intptr_t y, intptr_t z)
{
    if (!body || !copies_process((uint64_t)flags)) return next_clone(body, stack, flags, argument, x, y, z);
    /* The child's copy of this frame lies where the parent's is. */
    struct first_call call = {body, argument};
    ossc_fork_prepare();
    int made = next_clone(begin_child, stack, flags, &call, x, y, z);
    ossc_fork_parent();
    return made;
}

/* ---- starting an agent ----------------------------------------------------------------------- */

static int is_kept(const char *entry, const char *const *kept)
{
    /* Of one pod and one moment; of the program's models, keys among it. */
    if (strncmp(entry, "MODELCACHE_TOKEN", 16) == 0 || strncmp(entry, "MODELCACHE_MODEL", 16) == 0) return 0;
    for (; *kept; kept++)
        if (strncmp(entry, *kept, strlen(*kept)) == 0) return 1;
    return 0;
}

static void become_agent(const char *path, char *const *arguments, char *const *environment, int error)
{
    long null = RAW(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
    /* Away from 0-2, which the program may have closed; without the close-on-exec bit only the copies stay. */
    error = (int)RAW(SYS_fcntl, error, F_DUPFD, 3);
    RAW(SYS_dup3, null, 0, O_CLOEXEC);
    RAW(SYS_fcntl, 0, F_SETFD, 0);
    if (null != 1) RAW(SYS_dup3, null, 1, 0);
    RAW(SYS_dup3, error, 2, 0);
    if (RAW(436 /* close_range */, 3, ~0u, 0) < 0)
        for (int fd = 3; fd < 65536; fd++) RAW(SYS_close, fd);
    /* The pipe's reader goes away once the agent accepts: writing there must not kill it. */
    struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } action;
    memset(&action, 0, sizeof action);
    for (int number = 1; number < 32; number++) {
        action.handler = number == SIGPIPE ? (void *)1 : (void *)0;
        RAW(SYS_rt_sigaction, number, &action, 0, 8);
    }
    ossc_restore_signals(0);
    RAW(SYS_chdir, "/");
    RAW(SYS_execve, path, arguments, environment);
    static const char line[] = "cannot be executed\n";
    RAW(SYS_write, 2, line, sizeof line - 1);
}

long ossc_spawn_agent(const char *path, char *const *arguments, const char *const *kept)
{
    enum { ENTRIES = 512 };
    static char *environment[ENTRIES];
    size_t count = 0;
    for (char **e = environ; e && *e && count < ENTRIES - 1; e++)
        if (is_kept(*e, kept)) environment[count++] = *e;
    environment[count] = 0;

    int ends[2];
    long made = RAW(SYS_pipe2, ends, O_CLOEXEC);
    if (made < 0) return made;
    /* Plain clone: no atfork handler runs, and the children make system calls alone. No signal tells of their end, and
     * no wait of the program's for any child meets them. */
    long child = RAW(SYS_clone, 0, 0, 0, 0, 0);
    if (child == 0) {
        RAW(SYS_setsid);
        if (RAW(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) become_agent(path, arguments, environment, ends[1]);
        ossc_exit(0);
    }
    ossc_close(ends[1]);
    if (child < 0) {
        ossc_close(ends[0]);
        return child;
    }
    while (RAW(SYS_wait4, child, 0, 0x80000000 /* __WCLONE */, 0) == -EINTR) {}
    return ends[0];
}

const char *ossc_entry_name(const void *entry) { return ((const struct dirent *)entry)->d_name; }
