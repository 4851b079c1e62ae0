/* Each case runs in a child, since what is given up does not come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privileges.h"

enum { AGENT_UID = 1337 };

/* Exit status of `check` in a child: 0 is right, anything else the number of what was wrong. */
static int in_child(int (*check)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(check());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The value of a line of /proc/self/status, -1 when there is none. */
static long long status_value(const char *key, int base)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long long value = -1;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        size_t len = strlen(key);
        if (strncmp(line, key, len) == 0 && line[len] == ':')
            value = strtoll(line + len + 1, NULL, base);
    }
    if (file != NULL)
        fclose(file);
    return value;
}

static int drop_and_look(void)
{
    struct err err;
    struct rlimit core;
    if (privileges_drop(&err) < 0)
        return 1;
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
    for (int i = 0; i < 4; i++) {
        if (status_value(sets[i], 16) != 0)
            return 2 + i;
    }
    if (status_value("NoNewPrivs", 10) != 1 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 6;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 7;
    return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0 ? 0 : 8;
}

static int drop_as_root(void)
{
    int wrong = drop_and_look();
    /* Root could drop the bounding set too, unless it was root without CAP_SETPCAP. */
    return wrong != 0 ? wrong : (int)(status_value("CapBnd", 16) != 0) * 9;
}

static int drop_as_agent(void)
{
    if (setgid(AGENT_UID) < 0 || setuid(AGENT_UID) < 0)
        return 100;
    return drop_and_look();
}

/* A user who holds an ambient capability, as a container with "capabilities: add" gives it. */
static int drop_with_ambient(void)
{
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setuid(AGENT_UID) < 0)
        return 100;
    return drop_and_look();
}

static int check_users(void)
{
    struct err err;
    if (privileges_check_user(false, &err) != -1 || err.kind != ERR_DENIED)
        return 1;
    if (strstr(err.message, "--allow-root") == NULL)
        return 2;
    if (privileges_check_user(true, &err) != 0)
        return 3;
    if (seteuid(AGENT_UID) < 0)
        return 100;
    if (privileges_check_user(false, &err) != -1) /* it could become root again */
        return 4;
    if (seteuid(0) < 0 || setuid(AGENT_UID) < 0)
        return 100;
    return privileges_check_user(false, &err) == 0 ? 0 : 5;
}

static int raise_descriptors(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 10;
    setrlimit(RLIMIT_NOFILE, &limit);
    uint64_t in_force = privileges_raise_descriptors();
    getrlimit(RLIMIT_NOFILE, &limit);
    return in_force == limit.rlim_max && limit.rlim_cur == limit.rlim_max ? 0 : 1;
}

static void root_is_refused_unless_allowed(void **state)
{
    if (getuid() != 0)
        skip();
    assert_int_equal(in_child(check_users), 0);
}

static void user_without_privileges_keeps_none(void **state)
{
    assert_int_equal(in_child(getuid() == 0 ? drop_as_agent : drop_and_look), 0);
}

static void allowed_root_gives_up_all_capabilities(void **state)
{
    if (getuid() != 0)
        skip();
    assert_int_equal(in_child(drop_as_root), 0);
}

static void kept_capabilities_are_given_up(void **state)
{
    if (getuid() != 0)
        skip();
    assert_int_equal(in_child(drop_with_ambient), 0);
}

static void descriptor_limit_is_raised_to_the_hard_one(void **state)
{
    assert_int_equal(in_child(raise_descriptors), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_is_refused_unless_allowed),
        cmocka_unit_test(user_without_privileges_keeps_none),
        cmocka_unit_test(allowed_root_gives_up_all_capabilities),
        cmocka_unit_test(kept_capabilities_are_given_up),
        cmocka_unit_test(descriptor_limit_is_raised_to_the_hard_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
