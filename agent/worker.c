#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "net_loop.h"

enum {
    THREAD_NAME_MAX = 16, /* the kernel's limit, NUL included */
    /* What traffic never takes, so that the agent can still be asked and can renew its certificate:
     * 32 connections of the admin ports, one to the CA, the files that are read and watched. */
    DESCRIPTORS_LEFT = 48,
};

/* What the control thread has for the worker. Zeroed: nothing. */
struct mailbox {
    struct mesh_snapshot *mesh; /* a reference; NULL: nothing new */
    bool has_tls;
    struct tls_context *tls;  /* a reference, or NULL for none valid */
    struct port_table *ports; /* a reference; NULL: nothing new */
    bool start_drain;
    uint64_t drain_deadline_ms;
    bool end_drain;
    bool stop;
};

struct worker {
    struct worker_options options;
    struct net_loop *loop;
    struct net_wake *wake;
    struct telemetry *telemetry;
    struct proxy *proxy;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of the mailbox */
    struct mailbox mailbox;
    _Atomic uint64_t probed_at_ms; /* the question that is not answered yet; 0: none */
};

static void mailbox_done(struct mailbox *mailbox)
{
    mesh_snapshot_unref(mailbox->mesh);
    tls_context_unref(mailbox->tls);
    port_table_unref(mailbox->ports);
}

/* ----------------------------------------------------------------------- on the worker's thread -- */

static void on_proxy_drained(void *owner)
{
    struct worker *worker = owner;
    worker->options.on_drained(worker->options.owner);
}

static void apply(struct worker *worker, const struct mailbox *mailbox)
{
    if (mailbox->mesh != NULL)
        proxy_set_mesh(worker->proxy, mailbox->mesh);
    if (mailbox->ports != NULL)
        proxy_set_ports(worker->proxy, mailbox->ports);
    if (mailbox->has_tls)
        proxy_set_tls(worker->proxy, mailbox->tls);
    if (mailbox->start_drain)
        proxy_start_drain(worker->proxy, mailbox->drain_deadline_ms, on_proxy_drained, worker);
    if (mailbox->end_drain)
        proxy_end_drain(worker->proxy);
    if (mailbox->stop)
        net_loop_stop(worker->loop);
}

static void on_wake(void *owner)
{
    struct worker *worker = owner;
    atomic_store(&worker->probed_at_ms, 0);
    pthread_mutex_lock(&worker->lock);
    struct mailbox mailbox = worker->mailbox;
    worker->mailbox = (struct mailbox){0};
    pthread_mutex_unlock(&worker->lock);
    apply(worker, &mailbox);
    mailbox_done(&mailbox);
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    char name[THREAD_NAME_MAX];
    snprintf(name, sizeof(name), "worker-%u", worker->options.index % 1000);
    pthread_setname_np(pthread_self(), name);
    net_loop_run(worker->loop);
    return NULL;
}

/* ---------------------------------------------------------------------- on the control thread -- */

static int open_listeners(struct worker *worker, const struct proxy_options *options,
                          struct err *err)
{
    worker->loop = net_loop_new(err);
    if (worker->loop == NULL)
        return -1;
    net_loop_leave_descriptors(worker->loop, DESCRIPTORS_LEFT);
    worker->wake = net_wake_new(worker->loop, on_wake, worker, err);
    if (worker->wake == NULL)
        return -1;
    worker->telemetry = telemetry_new(worker->options.telemetry);
    if (worker->telemetry == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    worker->proxy = proxy_new(worker->loop, options, worker->telemetry, err);
    if (worker->proxy == NULL)
        return -1;
    return proxy_listen(worker->proxy, err);
}

struct worker *worker_new(const struct worker_options *options, struct err *err)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        err_set(err, ERR_NOMEM, "worker %u: out of memory", options->index);
        return NULL;
    }
    worker->options = *options;
    pthread_mutex_init(&worker->lock, NULL);
    if (open_listeners(worker, options->proxy, err) < 0) {
        err_prefix(err, "worker %u", options->index);
        worker_free(worker);
        return NULL;
    }
    return worker;
}

int worker_start(struct worker *worker, struct err *err)
{
    /* Signals are the control thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int sys = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (sys != 0)
        return err_set_sys(err, sys, "worker %u: cannot start a thread", worker->options.index);
    worker->started = true;
    return 0;
}

void worker_publish_mesh(struct worker *worker, struct mesh_snapshot *snapshot)
{
    pthread_mutex_lock(&worker->lock);
    struct mesh_snapshot *unread = worker->mailbox.mesh;
    worker->mailbox.mesh = mesh_snapshot_ref(snapshot);
    pthread_mutex_unlock(&worker->lock);
    mesh_snapshot_unref(unread);
    net_wake_send(worker->wake);
}

void worker_publish_tls(struct worker *worker, struct tls_context *context)
{
    pthread_mutex_lock(&worker->lock);
    struct tls_context *unread = worker->mailbox.tls;
    worker->mailbox.has_tls = true;
    worker->mailbox.tls = context == NULL ? NULL : tls_context_ref(context);
    pthread_mutex_unlock(&worker->lock);
    tls_context_unref(unread);
    net_wake_send(worker->wake);
}

void worker_publish_ports(struct worker *worker, struct port_table *table)
{
    pthread_mutex_lock(&worker->lock);
    struct port_table *unread = worker->mailbox.ports;
    worker->mailbox.ports = port_table_ref(table);
    pthread_mutex_unlock(&worker->lock);
    port_table_unref(unread);
    net_wake_send(worker->wake);
}

void worker_start_drain(struct worker *worker, uint64_t deadline_ms)
{
    pthread_mutex_lock(&worker->lock);
    worker->mailbox.start_drain = true;
    worker->mailbox.drain_deadline_ms = deadline_ms;
    pthread_mutex_unlock(&worker->lock);
    net_wake_send(worker->wake);
}

void worker_end_drain(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->mailbox.end_drain = true;
    pthread_mutex_unlock(&worker->lock);
    net_wake_send(worker->wake);
}

uint64_t worker_probe(struct worker *worker, uint64_t now_ms)
{
    uint64_t asked_at_ms = atomic_load(&worker->probed_at_ms);
    if (asked_at_ms != 0)
        return now_ms - asked_at_ms;
    atomic_store(&worker->probed_at_ms, now_ms);
    net_wake_send(worker->wake);
    return 0;
}

static void stop(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->mailbox.stop = true;
    pthread_mutex_unlock(&worker->lock);
    net_wake_send(worker->wake);
    pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->started)
        stop(worker);
    /* The thread is gone: what was its own is ours now. */
    proxy_free(worker->proxy);
    net_wake_free(worker->wake);
    telemetry_free(worker->telemetry);
    int num_left = net_loop_free(worker->loop);
    if (num_left != 0)
        LOG_ERROR("agent", "a worker left handles open", LOG_U("worker", worker->options.index),
                  LOG_I("handles", num_left));
    mailbox_done(&worker->mailbox);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}
