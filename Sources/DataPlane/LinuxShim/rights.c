#define _GNU_SOURCE
#include "linuxshim.h"
#include "internal.h"

#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc has no wrapper for these two: capget(2). */
static int read_sets(struct __user_cap_data_struct sets[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capget, &header, sets) == 0 ? 0 : -errno;
}

static int write_sets(const struct __user_cap_data_struct sets[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capset, &header, sets) == 0 ? 0 : -errno;
}

int mc_own_rights(struct mc_rights *out)
{
    struct __user_cap_data_struct sets[2];
    int result = read_sets(sets);
    if (result < 0) return result;
    *out = (struct mc_rights){
        .permitted = (uint64_t)sets[1].permitted << 32 | sets[0].permitted,
        .effective = (uint64_t)sets[1].effective << 32 | sets[0].effective,
        .no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
    };
    return 0;
}

int mc_restart_with_rights(const char *program, char *const arguments[], uint64_t keep)
{
    struct mc_rights rights;
    int result = mc_own_rights(&rights);
    if (result < 0) return result;
    if (rights.effective & MC_CAP_SETPCAP) {
        /* PR_CAPBSET_READ fails at the first number that this kernel does not know. */
        for (int number = 0; number < 64 && prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++) {
            if (keep >> number & 1) continue;
            if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0) return -errno;
        }
    }
    /* Ambient capabilities leave with those that are neither permitted nor inheritable. */
    uint64_t kept = rights.permitted & keep;
    struct __user_cap_data_struct sets[2] = {
        {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
        {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
    };
    result = write_sets(sets);
    if (result < 0) return result;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(program, arguments, environ);
    return -errno;
}
