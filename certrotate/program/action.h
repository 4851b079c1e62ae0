/*
 * What makes a program read its new files: a command that is run, or a signal that is sent. Run
 * again until it succeeds; never two at a time.
 */
#ifndef REMORA_ACTION_H
#define REMORA_ACTION_H

#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "net_loop.h"

enum {
    ACTION_RETRY_FIRST_MS = 1000,    /* after a failure, doubling ... */
    ACTION_RETRY_MAX_MS = 60 * 1000, /* ... to this */
};

struct action;

struct action_options {
    /* A command, run by itself (words.h), with standard input from /dev/null and in a process group
     * of its own. "": none. */
    const char *hook;
    uint64_t hook_timeout_ms; /* then its process group gets SIGTERM, and SIGKILL soon after */
    int signum;               /* sent where there is no hook; 0: none */
    pid_t pid;                /* to whom; 0: whom pid_file names */
    const char *pid_file;     /* read for each signal; a number */
};

/* How it went: NULL, or *err lent and the pause before the next try. May free the action. */
typedef void action_done(void *owner, const struct err *err, uint64_t retry_ms);

/*
 * `options` is copied. NULL: *err is ERR_INVALID (the command), ERR_NOMEM, or what prevents
 * watching child processes.
 */
struct action *action_new(struct net_loop *loop, const struct action_options *options,
                          action_done *done, void *owner, struct err *err);

/*
 * Starts it, once more when one runs at the moment; `done` is never called from inside. `env` are
 * variables ("NAME=value", ends with NULL; copied) that a hook gets beside this process's own.
 */
void action_start(struct action *action, const char *const *env);

/* A hook that runs gets SIGTERM and is not waited for. NULL is ignored. */
void action_free(struct action *action);

#endif
