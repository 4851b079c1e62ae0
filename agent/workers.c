#include "workers.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "ask_box.h"
#include "clock.h"
#include "proxy_config.h"
#include "worker.h"

struct workers {
    const struct workers_handler *handler;
    void *owner;
    struct ask_box *asks;
    struct net_wake *drained_wake;
    atomic_uint num_draining;
    size_t num;
    struct worker *items[];
};

/* On a worker's thread. */
static void on_worker_drained(void *owner)
{
    struct workers *workers = owner;
    if (atomic_fetch_sub(&workers->num_draining, 1) == 1)
        net_wake_send(workers->drained_wake);
}

static void on_all_drained(void *owner)
{
    struct workers *workers = owner;
    workers->handler->on_drained(workers->owner);
}

static void on_asked(void *owner, const char *name)
{
    struct workers *workers = owner;
    workers->handler->on_ask(workers->owner, name);
}

/* On a worker's thread. */
static bool on_worker_asks(void *owner, const char *name)
{
    struct workers *workers = owner;
    return ask_box_put(workers->asks, name);
}

struct workers *workers_new(struct net_loop *control_loop, const struct agent_config *config,
                            struct telemetry_hub *telemetry, const struct workers_handler *handler,
                            void *owner, struct err *err)
{
    struct workers *workers =
        calloc(1, sizeof(*workers) + config->workers * sizeof(struct worker *));
    if (workers == NULL) {
        err_set(err, ERR_NOMEM, "workers: out of memory");
        return NULL;
    }
    workers->handler = handler;
    workers->owner = owner;
    workers->drained_wake = net_wake_new(control_loop, on_all_drained, workers, err);
    if (workers->drained_wake == NULL)
        goto fail;
    workers->asks = ask_box_new(control_loop, on_asked, workers, err);
    if (workers->asks == NULL)
        goto fail;

    struct proxy_options proxy;
    proxy_config_fill(&proxy, config);
    proxy.on_ask = on_worker_asks;
    proxy.ask_owner = workers;
    for (unsigned i = 0; i < config->workers; i++) {
        struct worker_options options = {
            .index = i,
            .proxy = &proxy,
            .telemetry = telemetry,
            .on_drained = on_worker_drained,
            .owner = workers,
        };
        workers->items[i] = worker_new(&options, err);
        if (workers->items[i] == NULL)
            goto fail;
        workers->num++;
    }
    return workers;

fail:
    workers_free(workers);
    return NULL;
}

int workers_start(struct workers *workers, struct err *err)
{
    for (size_t i = 0; i < workers->num; i++) {
        if (worker_start(workers->items[i], err) < 0)
            return -1;
    }
    return 0;
}

void workers_publish_mesh(struct workers *workers, struct mesh_snapshot *snapshot)
{
    for (size_t i = 0; i < workers->num; i++)
        worker_publish_mesh(workers->items[i], snapshot);
}

void workers_publish_tls(struct workers *workers, struct tls_context *context)
{
    for (size_t i = 0; i < workers->num; i++)
        worker_publish_tls(workers->items[i], context);
}

void workers_publish_ports(struct workers *workers, struct port_table *table)
{
    for (size_t i = 0; i < workers->num; i++)
        worker_publish_ports(workers->items[i], table);
}

void workers_start_drain(struct workers *workers, uint64_t deadline_ms)
{
    atomic_store(&workers->num_draining, (unsigned)workers->num);
    for (size_t i = 0; i < workers->num; i++)
        worker_start_drain(workers->items[i], deadline_ms);
}

void workers_end_drain(struct workers *workers)
{
    for (size_t i = 0; i < workers->num; i++)
        worker_end_drain(workers->items[i]);
}

int workers_find_stuck(struct workers *workers, uint64_t limit_ms, struct buf *out)
{
    uint64_t now_ms = clock_mono_ms();
    int rc = 0;
    for (size_t i = 0; i < workers->num; i++) {
        uint64_t silent_ms = worker_probe(workers->items[i], now_ms);
        if (silent_ms > limit_ms && rc == 0)
            rc = buf_printf(out, "worker %zu has not reacted for %llu ms\n", i,
                            (unsigned long long)silent_ms);
    }
    return rc;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    for (size_t i = 0; i < workers->num; i++)
        worker_free(workers->items[i]);
    ask_box_free(workers->asks);
    net_wake_free(workers->drained_wake);
    free(workers);
}
