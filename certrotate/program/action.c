#include "action.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "words.h"

enum {
    KILL_AFTER_MS = 2000, /* between SIGTERM and SIGKILL */
    PID_FILE_MAX = 32,    /* bytes; a number and a newline */
    ENV_MAX = 8,          /* variables of the caller */
};

struct action {
    struct net_loop *loop;
    struct words command; /* none: a signal, or nothing */
    struct action_options options;
    char *pid_file;
    action_done *done;
    void *owner;

    struct net_signal *child_watch; /* NULL: there is no command */
    struct net_timer *timer;        /* of a hook that runs: its time; else: the next try */
    struct net_task begin;
    char *env[ENV_MAX + 1];
    pid_t child; /* 0: none runs */
    bool timed_out;
    bool again; /* wanted anew while one ran */
    unsigned num_failures;
};

/* -------------------------------------------------------------------------------- how it went -- */

static void succeed(struct action *action)
{
    action->num_failures = 0;
    action->done(action->owner, NULL, 0);
}

static void fail(struct action *action, const struct err *err)
{
    uint64_t retry_ms = ACTION_RETRY_FIRST_MS;
    for (unsigned i = 0; i < action->num_failures && retry_ms < ACTION_RETRY_MAX_MS; i++)
        retry_ms *= 2;
    if (retry_ms > ACTION_RETRY_MAX_MS)
        retry_ms = ACTION_RETRY_MAX_MS;
    action->num_failures++;
    net_timer_start(action->timer, retry_ms);
    action->done(action->owner, err, retry_ms);
}

/* --------------------------------------------------------------------------------------- hook -- */

/* A child begins with nothing of ours: default signals, no mask, no input. */
static int prepare(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *files)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
    int sys = posix_spawnattr_setflags(attributes, flags);
    if (sys == 0)
        sys = posix_spawnattr_setsigmask(attributes, &none);
    if (sys == 0)
        sys = posix_spawnattr_setsigdefault(attributes, &all);
    if (sys == 0)
        sys = posix_spawnattr_setpgroup(attributes, 0);
    if (sys == 0)
        sys = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    return sys;
}

static int spawn_with(struct action *action, char **env)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    int sys = posix_spawnattr_init(&attributes);
    if (sys != 0)
        return sys;
    sys = posix_spawn_file_actions_init(&files);
    if (sys == 0) {
        sys = prepare(&attributes, &files);
        if (sys == 0)
            sys = posix_spawnp(&action->child, action->command.argv[0], &files, &attributes,
                               action->command.argv, env);
        posix_spawn_file_actions_destroy(&files);
    }
    posix_spawnattr_destroy(&attributes);
    return sys;
}

static bool is_replaced(const struct action *action, const char *variable)
{
    size_t name_len = strcspn(variable, "=");
    for (size_t i = 0; action->env[i] != NULL; i++)
        if (strcspn(action->env[i], "=") == name_len &&
            strncmp(action->env[i], variable, name_len) == 0)
            return true;
    return false;
}

static int spawn(struct action *action)
{
    size_t num_inherited = 0, num = 0;
    while (environ[num_inherited] != NULL)
        num_inherited++;
    char **env = calloc(num_inherited + ENV_MAX + 1, sizeof(*env));
    if (env == NULL)
        return ENOMEM;
    for (size_t i = 0; action->env[i] != NULL; i++)
        env[num++] = action->env[i];
    for (size_t i = 0; i < num_inherited; i++)
        if (!is_replaced(action, environ[i]))
            env[num++] = environ[i];
    int sys = spawn_with(action, env);
    free(env);
    return sys;
}

static void start_hook(struct action *action)
{
    action->timed_out = false;
    int sys = spawn(action);
    if (sys != 0) {
        struct err err;
        action->child = 0;
        err_set_sys(&err, sys, "%s: cannot be run", action->command.argv[0]);
        fail(action, &err);
        return;
    }
    net_timer_start(action->timer, action->options.hook_timeout_ms);
}

static void on_hook_timeout(struct action *action)
{
    kill(-action->child, action->timed_out ? SIGKILL : SIGTERM);
    action->timed_out = true;
    net_timer_start(action->timer, KILL_AFTER_MS);
}

static void on_hook_ended(struct action *action, int status)
{
    const char *name = action->command.argv[0];
    struct err err;
    if (action->timed_out)
        err_set(&err, ERR_TIMEOUT, "%s: did not end within %llu ms", name,
                (unsigned long long)action->options.hook_timeout_ms);
    else if (WIFSIGNALED(status))
        err_set(&err, ERR_SYSTEM, "%s: ended by signal %d (%s)", name, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        err_set(&err, ERR_SYSTEM, "%s: exit code %d", name, WEXITSTATUS(status));
    else {
        succeed(action);
        return;
    }
    fail(action, &err);
}

static bool has_ended(pid_t child)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == child;
}

static void on_child(void *owner, int signum)
{
    (void)signum;
    struct action *action = owner;
    int status;
    if (action->child == 0 || !has_ended(action->child))
        return;
    /* What it has left behind in its group; until it is waited for, its number is nobody else's. */
    if (action->timed_out)
        kill(-action->child, SIGKILL);
    if (waitpid(action->child, &status, WNOHANG) != action->child)
        return;
    action->child = 0;
    net_timer_stop(action->timer);
    if (action->again) {
        /* How the one for the former files went says nothing any more. */
        action->again = false;
        net_task_schedule(action->loop, &action->begin);
        return;
    }
    on_hook_ended(action, status);
}

/* ------------------------------------------------------------------------------------- signal -- */

static int read_pid(const char *path, pid_t *pid, struct err *err)
{
    char text[PID_FILE_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set_sys(err, errno, "%s", path);
    ssize_t len = read(fd, text, PID_FILE_MAX);
    int sys = errno;
    close(fd);
    if (len < 0)
        return err_set_sys(err, sys, "%s", path);
    text[len] = '\0';
    char *end;
    long number = strtol(text, &end, 10);
    while (isspace((unsigned char)*end))
        end++;
    /* 0 and below would mean process groups, or everybody. */
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || number < 1 || number > INT32_MAX)
        return err_set(err, ERR_INVALID, "%s: it does not hold the number of a process", path);
    *pid = (pid_t)number;
    return 0;
}

static void send_signal(struct action *action)
{
    struct err err;
    pid_t pid = action->options.pid;
    if (pid == 0 && read_pid(action->pid_file, &pid, &err) < 0) {
        fail(action, &err);
    } else if (kill(pid, action->options.signum) < 0) {
        err_set_sys(&err, errno, "signal %s to process %d", sigabbrev_np(action->options.signum),
                    (int)pid);
        fail(action, &err);
    } else {
        succeed(action);
    }
}

/* -------------------------------------------------------------------------------------- start -- */

static void on_begin(void *owner)
{
    struct action *action = owner;
    if (action->command.num > 0)
        start_hook(action);
    else if (action->options.signum != 0)
        send_signal(action);
    else
        succeed(action);
}

static void on_timer(void *owner)
{
    struct action *action = owner;
    if (action->child != 0)
        on_hook_timeout(action);
    else
        on_begin(action);
}

static void forget_env(struct action *action)
{
    for (size_t i = 0; i < ENV_MAX; i++) {
        free(action->env[i]);
        action->env[i] = NULL;
    }
}

void action_start(struct action *action, const char *const *env)
{
    forget_env(action);
    size_t num = 0;
    for (; *env != NULL && num < ENV_MAX; env++) {
        /* Without memory a variable is missing; the hook says so by failing, if it needs it. */
        action->env[num] = strdup(*env);
        num += action->env[num] != NULL;
    }
    action->num_failures = 0;
    if (action->child != 0) {
        action->again = true;
        return;
    }
    net_timer_stop(action->timer);
    net_task_schedule(action->loop, &action->begin);
}

/* -------------------------------------------------------------------------------- new and free -- */

static int fill(struct action *action, const struct action_options *options, struct err *err)
{
    if (words_split(&action->command, options->hook, err) < 0)
        return -1;
    action->pid_file = strdup(options->pid_file);
    action->timer = net_timer_new(action->loop, on_timer, action);
    if (action->pid_file == NULL || action->timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (action->command.num == 0)
        return 0;
    action->child_watch = net_signal_new(action->loop, SIGCHLD, on_child, action, err);
    return action->child_watch == NULL ? -1 : 0;
}

struct action *action_new(struct net_loop *loop, const struct action_options *options,
                          action_done *done, void *owner, struct err *err)
{
    struct action *action = calloc(1, sizeof(*action));
    if (action == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    action->loop = loop;
    action->options = *options;
    action->done = done;
    action->owner = owner;
    action->begin = (struct net_task){.run = on_begin, .owner = action};
    if (fill(action, options, err) < 0) {
        action_free(action);
        return NULL;
    }
    /* The copies count. */
    action->options.hook = NULL;
    action->options.pid_file = NULL;
    return action;
}

void action_free(struct action *action)
{
    if (action == NULL)
        return;
    if (action->child != 0)
        kill(-action->child, SIGTERM);
    net_task_cancel(&action->begin);
    net_timer_free(action->timer);
    net_signal_free(action->child_watch);
    forget_env(action);
    words_done(&action->command);
    free(action->pid_file);
    free(action);
}
