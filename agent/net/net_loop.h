/*
 * One thread's event loop (libuv). Everything in net belongs to one loop and is used on its thread
 * only, except net_wake_send.
 */
#ifndef REMORA_NET_LOOP_H
#define REMORA_NET_LOOP_H

#include <stdint.h>

#include "err.h"

struct net_loop;

/* Makes the process ignore SIGPIPE, as every program with a loop must. NULL: see *err. */
struct net_loop *net_loop_new(struct err *err);

/* Runs until net_loop_stop, or until nothing is left that could call back. */
void net_loop_run(struct net_loop *loop);

/* Lets net_loop_run return at the end of the current round. On the loop's thread. */
void net_loop_stop(struct net_loop *loop);

/*
 * Runs the close callbacks that are pending and frees the loop. Everything that was made on it must
 * have been closed or freed: returns the number of handles that were not (0 is right; tests assert
 * it), and then leaves everything as it is, because leaking is better than crashing. NULL: 0.
 */
int net_loop_free(struct net_loop *loop);

/* The loop's idea of now, monotonic; updated once per iteration. */
uint64_t net_loop_now_ms(const struct net_loop *loop);

/*
 * From now on this loop's TCP connections leave the last `num` descriptors that the process may
 * have, or a quarter of them where that is less, to others in it: what would take one of those is
 * treated as if there were none left (EMFILE).
 */
void net_loop_leave_descriptors(struct net_loop *loop, unsigned num);

/* ------------------------------------------------------------------------------------ timers -- */

struct net_timer;

/* A stopped timer. NULL when out of memory. */
struct net_timer *net_timer_new(struct net_loop *loop, void (*on_timeout)(void *owner),
                                void *owner);

/* (Re)starts it to run once, `ms` after the loop's now. */
void net_timer_start(struct net_timer *timer, uint64_t ms);
void net_timer_stop(struct net_timer *timer);

/* Stops and frees; no callback afterwards; may be called inside the callback. NULL is ignored. */
void net_timer_free(struct net_timer *timer);

/* ---------------------------------------------------------------------------- deferred tasks -- */

/*
 * Work that is done once, at the end of the current round of I/O and before the loop sleeps:
 * flushing what many events queued. Embedded in its owner, who sets run and owner before it is
 * scheduled and cancels it before it goes away. Zeroed is valid and unscheduled. A task may
 * schedule tasks (itself included), cancel others, and free its owner.
 */
struct net_task {
    void (*run)(void *owner);
    void *owner;
    struct net_task *next; /* private */
    struct net_task *prev; /* private; NULL when not scheduled */
};

void net_task_schedule(struct net_loop *loop, struct net_task *task); /* idempotent */
void net_task_cancel(struct net_task *task);                          /* idempotent */

/* --------------------------------------------------------------- wake-up from another thread -- */

struct net_wake;

/* NULL: see *err. */
struct net_wake *net_wake_new(struct net_loop *loop, void (*on_wake)(void *owner), void *owner,
                              struct err *err);

/* Thread-safe. Several sends before the loop gets to it make one callback. */
void net_wake_send(struct net_wake *wake);

/* On the loop's thread, when no other thread can send any more. NULL is ignored. */
void net_wake_free(struct net_wake *wake);

/* -------------------------------------------------- descriptors, signals and files of others -- */

struct net_poll;

/* Calls on_ready whenever `fd` is readable, at its end, or in error. The descriptor stays the
 * caller's, who closes it after net_poll_free. NULL: see *err. */
struct net_poll *net_poll_new(struct net_loop *loop, int fd, void (*on_ready)(void *owner),
                              void *owner, struct err *err);
void net_poll_free(struct net_poll *poll); /* NULL is ignored; may be called inside on_ready */

struct net_signal;

/* Calls on_signal on this loop's thread, instead of the signal's default action. NULL: see *err. */
struct net_signal *net_signal_new(struct net_loop *loop, int signum,
                                  void (*on_signal)(void *owner, int signum), void *owner,
                                  struct err *err);
void net_signal_free(struct net_signal *sig); /* NULL is ignored */

struct net_watch;

/*
 * Watches a file by path, for changes of every kind: written, replaced by rename, its directory's
 * symlink swapped (Kubernetes' ..data), removed, made later, also with its directory. Changes
 * within 100 ms come as one call. Works by watching the directories on the way (inotify) and,
 * since some filesystems do not notify, by comparing stat results every `poll_ms` (at least 1).
 * on_change may also come when the content is as before (touched, written anew), and may free the
 * watch. Of a directory, its entries are watched too; where the filesystem does not notify, only
 * their coming and going is seen. A file that is not there is no error. NULL: see *err.
 */
struct net_watch *net_watch_new(struct net_loop *loop, const char *path, uint64_t poll_ms,
                                void (*on_change)(void *owner), void *owner, struct err *err);
void net_watch_free(struct net_watch *watch); /* NULL is ignored */

#endif
