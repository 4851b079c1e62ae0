/* What xds_source does without being told: asks again, gives up, drops, settles. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "xds_source_impl.h"

void xds_source_upkeep_in(struct xds_source *source, uint64_t ms)
{
    uint64_t now_ms = net_loop_now_ms(source->loop);
    if (source->upkeep_at_ms != 0 && source->upkeep_at_ms <= now_ms + ms)
        return;
    source->upkeep_at_ms = now_ms + ms;
    net_timer_start(source->upkeep, ms);
}

/* -------------------------------------------------------------------------------------- names -- */

static void ask_again(struct xds_source *source, struct xds_want *want, uint64_t now_ms)
{
    want->asked_at_ms = now_ms;
    want->disturbed = false;
    xds_delta_ask_again(source->delta, want->name);
    xds_client_wake(source->client);
}

static void expire(struct xds_source *source, struct xds_want *want)
{
    source->stats.num_expired++;
    source->sweep_due = true;
    xds_delta_unsubscribe(source->delta, want->name);
    xds_mesh_remove_answered(&source->mesh, want->name);
    xds_wants_remove(&source->wants, want);
    xds_client_wake(source->client);
    xds_source_publish_in(source, source->coalesce_ms);
}

/* As soon as there is a snapshot that has what answered. */
static void judge(const struct xds_source *source, struct xds_want *want)
{
    const struct mesh_snapshot *snapshot = source->mesh.snapshot;
    if (want->is_judged || want->by == NULL || snapshot == NULL ||
        xds_mesh_is_changed(&source->mesh))
        return;
    want->is_judged = true;
    want->is_service = mesh_snapshot_service(snapshot, want->by) != NULL;
    want->is_empty = want->is_service && !mesh_snapshot_has_endpoint(snapshot, want->by);
}

static void see_to(struct xds_source *source, struct xds_want *want, uint64_t now_ms)
{
    judge(source, want);
    switch (xds_want_due(want, &source->times, now_ms)) {
    case XDS_WANT_ASK_AGAIN:
        ask_again(source, want, now_ms);
        break;
    case XDS_WANT_EXPIRE:
        expire(source, want);
        break;
    case XDS_WANT_NOTHING:
        break;
    }
}

static void see_to_names(struct xds_source *source)
{
    uint64_t now_ms = clock_mono_ms();
    struct xds_want *want = LIST_FIRST(&source->wants.all);
    while (want != NULL) {
        struct xds_want *next = LIST_NEXT(want, entry);
        see_to(source, want, now_ms);
        want = next;
    }
}

/* ------------------------------------------------------------------------------------- dropping -- */

/* Names of resources, lent by the snapshot that is swept. */
struct sweep {
    const struct xds_delta *delta;
    const char **names;
    size_t num;
    size_t capacity;
};

static bool note(struct sweep *sweep, const char *name)
{
    if (sweep->num == sweep->capacity) {
        size_t capacity = sweep->capacity == 0 ? 64 : 2 * sweep->capacity;
        const char **names = realloc(sweep->names, capacity * sizeof(*names));
        if (names == NULL)
            return false; /* the rest goes another time */
        sweep->names = names;
        sweep->capacity = capacity;
    }
    sweep->names[sweep->num++] = name;
    return true;
}

static bool sweep_service(void *owner, const struct mesh_service *service)
{
    struct sweep *sweep = owner;
    return xds_delta_is_needed(sweep->delta, service->key) || note(sweep, service->key);
}

/* An endpoint is needed as long as one of its services is. */
static bool sweep_workload(void *owner, const struct mesh_workload *workload)
{
    struct sweep *sweep = owner;
    if (xds_delta_is_needed(sweep->delta, workload->uid))
        return true;
    for (size_t i = 0; i < workload->num_services; i++) {
        if (xds_delta_is_needed(sweep->delta, workload->services[i].service))
            return true;
    }
    return note(sweep, workload->uid);
}

/* Whether answers are under way that may show what is needed. */
static bool is_waiting(const struct xds_source *source)
{
    uint64_t now_ms = clock_mono_ms();
    const struct xds_want *want;
    LIST_FOREACH (want, &source->wants.all, entry) {
        if (!want->answered && now_ms - want->asked_at_ms < XDS_SOURCE_SETTLED_MS)
            return true;
    }
    return false;
}

/* Looks at a snapshot that has all changes, so these are given out first. */
static void sweep(struct xds_source *source)
{
    struct sweep sweep = {.delta = source->delta};
    if (!source->sweep_due || !source->is_ready || source->wildcard || is_waiting(source))
        return;
    if (xds_mesh_is_changed(&source->mesh) && !xds_source_publish(source))
        return;
    struct mesh_snapshot *snapshot = mesh_snapshot_ref(source->mesh.snapshot);
    source->sweep_due = false;
    mesh_snapshot_each_service(snapshot, sweep_service, &sweep);
    mesh_snapshot_each_workload(snapshot, sweep_workload, &sweep);
    for (size_t i = 0; i < sweep.num; i++) {
        xds_delta_drop(source->delta, sweep.names[i]);
        xds_mesh_remove(&source->mesh, XDS_ADDRESS, sweep.names[i]);
    }
    if (sweep.num > 0) {
        xds_client_wake(source->client);
        xds_source_publish_in(source, source->coalesce_ms);
    }
    free(sweep.names);
    mesh_snapshot_unref(snapshot);
}

/* -------------------------------------------------------------------------------------- settling -- */

/* Whether the unconfirmed have not become fewer for a while: other answers may pour in for ever. */
static bool is_settled(struct xds_source *source, enum xds_type type)
{
    struct xds_source_settling *settling = &source->settling[type];
    size_t num = xds_delta_num_unconfirmed(source->delta, type);
    uint64_t now_ms = clock_mono_ms();
    if (num != settling->num_unconfirmed || !settling->is_answered) {
        settling->num_unconfirmed = num;
        settling->since_ms = now_ms;
    }
    return num > 0 && settling->is_answered && now_ms - settling->since_ms >= XDS_SOURCE_SETTLED_MS;
}

/* What a new stream could not be told about and did not bring is gone. */
static void settle(struct xds_source *source)
{
    for (int i = 0; i < XDS_NUM_TYPES; i++) {
        if (!is_settled(source, (enum xds_type)i))
            continue;
        xds_delta_remove_unconfirmed(source->delta, (enum xds_type)i);
        xds_source_publish_in(source, source->coalesce_ms);
    }
}

/* Without a server nothing is given up: it could not be had again. */
void xds_source_upkeep(void *owner)
{
    struct xds_source *source = owner;
    source->upkeep_at_ms = 0;
    if (source->client != NULL && xds_client_is_connected(source->client)) {
        settle(source);
        see_to_names(source);
        sweep(source);
    }
    xds_source_upkeep_in(source, source->upkeep_ms);
}
