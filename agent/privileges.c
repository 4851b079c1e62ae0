#include "privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NUM_CAP_WORDS = _LINUX_CAPABILITY_U32S_3 };

int privileges_check_user(bool allow_root, struct err *err)
{
    if (allow_root || (geteuid() != 0 && getuid() != 0))
        return 0;
    return err_set(err, ERR_DENIED,
                   "running as root: the agent needs no privilege and runs as uid 1337; to run it "
                   "as root all the same, give --allow-root");
}

/* glibc has no wrappers for these two; libcap would be a dependency for two system calls. */
static int capabilities_get(struct __user_cap_data_struct caps[NUM_CAP_WORDS])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capget, &header, caps);
}

static int capabilities_set(const struct __user_cap_data_struct caps[NUM_CAP_WORDS])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capset, &header, caps);
}

/* Only who holds CAP_SETPCAP may; without it nothing could be gained from the set either, since
 * no_new_privs is on. The kernel ends the list with EINVAL. */
static void drop_bounding_set(void)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static bool holds_any(void)
{
    struct __user_cap_data_struct caps[NUM_CAP_WORDS] = {0};
    if (capabilities_get(caps) < 0)
        return true;
    for (int i = 0; i < NUM_CAP_WORDS; i++) {
        if ((caps[i].effective | caps[i].permitted | caps[i].inheritable) != 0)
            return true;
    }
    return false;
}

static int close_memory(struct err *err)
{
    struct rlimit no_core = {0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set_sys(err, errno, "cannot make the process undumpable");
    if (setrlimit(RLIMIT_CORE, &no_core) < 0)
        return err_set_sys(err, errno, "cannot forbid core dumps");
    return 0;
}

int privileges_drop(struct err *err)
{
    static const struct __user_cap_data_struct none[NUM_CAP_WORDS];
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set_sys(err, errno, "cannot give up gaining privileges by exec");
    drop_bounding_set();
    /* Kernels before 4.3 have no ambient set; what they lack needs no clearing. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return err_set_sys(err, errno, "cannot clear the ambient capabilities");
    if (capabilities_set(none) < 0)
        return err_set_sys(err, errno, "cannot drop capabilities");
    if (holds_any())
        return err_set(err, ERR_DENIED, "capabilities remain after they were dropped");
    return close_memory(err);
}

uint64_t privileges_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}
