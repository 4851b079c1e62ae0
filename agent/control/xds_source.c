#include "xds_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "xds_mesh.h"
#include "xds_source_impl.h"
#include "xds_wants.h"

enum {
    COALESCE_MS = 50,
    UNUSED_MS = 10 * 60 * 1000,
    ABSENT_MS = 5 * 1000,
    REFRESH_MS = 30 * 1000,
};

/* ------------------------------------------------------------------------------------ publishing -- */

/* Whether nothing more of everything is to come on this stream. */
static bool is_whole(const struct xds_source *source)
{
    if (!source->wildcard || source->is_ready)
        return true;
    return source->settling[XDS_ADDRESS].is_answered && source->client != NULL &&
           xds_client_is_connected(source->client) &&
           net_loop_now_ms(source->loop) >= source->whole_ms;
}

/*
 * Without policies a mesh permits too much; without the pod's own workload it permits nothing; and
 * when everything was asked for, what is not there yet would count as outside of the mesh.
 */
static bool is_complete(const struct xds_source *source)
{
    const struct xds_want *want;
    if (!xds_delta_is_answered(source->delta, XDS_ADDRESS) ||
        !xds_delta_is_answered(source->delta, XDS_AUTHORIZATION) || !is_whole(source))
        return false;
    LIST_FOREACH (want, &source->wants.all, entry) {
        if (want->own && !want->answered)
            return false;
    }
    return true;
}

void xds_source_publish_in(struct xds_source *source, uint64_t ms)
{
    uint64_t now_ms = net_loop_now_ms(source->loop);
    uint64_t earliest_ms = source->published_at_ms + source->coalesce_ms;
    uint64_t at_ms = now_ms + ms;
    if (source->num_snapshots > 0 && at_ms < earliest_ms)
        at_ms = earliest_ms;
    if (source->publish_at_ms != 0 && source->publish_at_ms <= at_ms)
        return;
    source->publish_at_ms = at_ms;
    net_timer_start(source->publish, at_ms - now_ms);
}

static int connect_anew(struct xds_source *source, struct err *err);

/* Out of memory. The server will be asked for everything, while the old state stays in force. */
static void start_over(struct xds_source *source, const struct err *why)
{
    struct err err;
    source->handler->on_trouble(source->owner, why);
    xds_mesh_start_over(&source->mesh);
    if (connect_anew(source, &err) < 0) {
        source->handler->on_trouble(source->owner, &err);
        xds_source_publish_in(source, XDS_SOURCE_START_OVER_MS);
        source->mesh.failed = true;
    }
}

bool xds_source_publish(struct xds_source *source)
{
    struct mesh_warnings warnings = {0};
    struct err err = {0};
    if (source->trouble.kind != ERR_NONE)
        source->handler->on_trouble(source->owner, &source->trouble);
    source->trouble = (struct err){0};
    if (!source->mesh.failed && !source->is_ready) {
        uint64_t now_ms = net_loop_now_ms(source->loop);
        source->is_ready = is_complete(source);
        if (!source->is_ready && now_ms < source->whole_ms)
            xds_source_publish_in(source, source->whole_ms - now_ms);
        if (!source->is_ready)
            return true;
    } else if (!xds_mesh_is_changed(&source->mesh)) {
        return true;
    }
    if (xds_mesh_build(&source->mesh, &warnings, &err) < 0) {
        start_over(source, &err);
        return false;
    }
    source->published_at_ms = net_loop_now_ms(source->loop);
    source->num_snapshots++;
    xds_source_mark_cache(source);
    source->handler->on_snapshot(source->owner, source->mesh.snapshot, &warnings);
    return true;
}

static void on_publish(void *owner)
{
    struct xds_source *source = owner;
    source->publish_at_ms = 0;
    xds_source_publish(source);
}

/* -------------------------------------------------------------------------- what the server says -- */

static int delta_on_resource(void *owner, const struct xds_resource *resource, struct err *err)
{
    struct xds_source *source = owner;
    source->sweep_due = source->sweep_due || resource->type == XDS_ADDRESS;
    return xds_mesh_put(&source->mesh, resource, err);
}

/* Of a service that has lost an endpoint the next one is only known when it is asked for. */
static void disturb_services(struct xds_source *source, const char *uid)
{
    const struct mesh_workload *workload =
        source->mesh.snapshot == NULL ? NULL
                                      : mesh_snapshot_workload_by_uid(source->mesh.snapshot, uid);
    if (workload == NULL || source->wildcard)
        return;
    for (size_t i = 0; i < workload->num_services; i++)
        xds_wants_disturb(&source->wants, workload->services[i].service,
                          clock_mono_ms() + XDS_SOURCE_RESTLESS_MS);
    if (workload->num_services > 0)
        xds_source_upkeep_in(source, XDS_SOURCE_DISTURBED_MS);
}

static void delta_on_removed(void *owner, enum xds_type type, const char *name)
{
    struct xds_source *source = owner;
    if (type == XDS_ADDRESS)
        disturb_services(source, name);
    xds_mesh_remove(&source->mesh, type, name);
}

static void set_answer(struct xds_source *source, struct xds_want *want, const char *by)
{
    bool is_known = want->answered && (want->by == NULL) == (by == NULL);
    if (xds_want_set_answer(want, by) < 0) {
        source->mesh.failed = true;
    } else if (!is_known) {
        xds_mesh_put_answered(&source->mesh, want->interest);
        source->answered_now = true;
    }
}

static void delta_on_answered(void *owner, const char *name, const char *by)
{
    struct xds_source *source = owner;
    struct xds_want *want = xds_wants_find(&source->wants, name);
    if (want != NULL)
        set_answer(source, want, by);
}

static void delta_on_unanswered(void *owner, const char *name)
{
    struct xds_source *source = owner;
    struct xds_want *want = xds_wants_find(&source->wants, name);
    if (want == NULL)
        return;
    xds_want_clear_answer(want);
    xds_mesh_remove_answered(&source->mesh, name);
}

static void delta_on_rejected(void *owner, enum xds_type type, const char *name, const char *reason)
{
    struct xds_source *source = owner;
    source->stats.num_rejected[type]++;
    source->handler->on_rejected(source->owner, type, name, reason);
}

static const struct xds_delta_handler delta_handler = {
    .on_resource = delta_on_resource,
    .on_removed = delta_on_removed,
    .on_answered = delta_on_answered,
    .on_unanswered = delta_on_unanswered,
    .on_rejected = delta_on_rejected,
};

/* ------------------------------------------------------------------------------------- the stream -- */

static void client_on_connected(void *owner)
{
    struct xds_source *source = owner;
    memset(source->settling, 0, sizeof(source->settling));
    source->begun_ms = source->whole_ms = 0;
    source->handler->on_connected(source->owner);
}

static void count(struct xds_source *source, const struct xds_delta_answer *answer, size_t len)
{
    struct xds_source_stats *stats = &source->stats;
    if (answer->num_rejected > 0)
        stats->num_nacks++;
    else
        stats->num_acks++;
    if (!answer->known)
        return;
    stats->num_answers[answer->type]++;
    stats->num_bytes[answer->type] += len;
    stats->num_updates[answer->type] += answer->num_changed + answer->num_removed;
    stats->last_answer_ms = clock_wall_ms();
}

/* No answer says that it is the last of those that everything comes in. */
static void expect_more(struct xds_source *source, const struct xds_delta_answer *answer)
{
    uint64_t now_ms = net_loop_now_ms(source->loop);
    if (!source->wildcard || source->is_ready || !answer->known || answer->type != XDS_ADDRESS)
        return;
    if (source->begun_ms == 0)
        source->begun_ms = now_ms;
    uint64_t latest_ms = source->begun_ms + XDS_SOURCE_WHOLE_MAX_MS;
    source->whole_ms = now_ms + XDS_SOURCE_WHOLE_MS;
    if (source->whole_ms > latest_ms)
        source->whole_ms = latest_ms;
}

/* What somebody waits for is given out now, the rest together with what follows it. */
static void client_on_answer(void *owner, const struct xds_delta_answer *answer, size_t len)
{
    struct xds_source *source = owner;
    bool is_urgent = source->answered_now || !source->is_ready;
    count(source, answer, len);
    expect_more(source, answer);
    source->answered_now = false;
    if (answer->known)
        source->settling[answer->type].is_answered = true;
    if (is_complete(source))
        source->from_cache = false;
    if (xds_mesh_is_changed(&source->mesh) || !source->is_ready)
        xds_source_publish_in(source, is_urgent ? 0 : source->coalesce_ms);
}

static void client_on_disconnected(void *owner, enum xds_end end, const struct err *err,
                                   uint64_t retry_ms)
{
    struct xds_source *source = owner;
    if (source->mesh.failed)
        xds_source_publish_in(source, XDS_SOURCE_START_OVER_MS);
    xds_source_believe_cache(source);
    source->handler->on_disconnected(source->owner, end, err, retry_ms);
}

static const struct xds_client_handler client_handler = {
    .on_connected = client_on_connected,
    .on_answer = client_on_answer,
    .on_disconnected = client_on_disconnected,
};

/* -------------------------------------------------------------------------------------- asking -- */

static int subscribe(struct xds_source *source, struct xds_want *want, struct err *err)
{
    if (source->delta == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int result = xds_delta_subscribe(source->delta, want->name, err);
    if (result > 0) {
        set_answer(source, want, want->name);
        xds_source_publish_in(source, 0);
    }
    return result < 0 ? -1 : 0;
}

static int begin_to_want(struct xds_source *source, const char *name, bool own, struct err *err)
{
    uint64_t now_ms = clock_mono_ms();
    struct xds_want *want = xds_wants_add(&source->wants, name, now_ms);
    if (want == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    want->own = own;
    mesh_interest_touch(want->interest, (uint32_t)(now_ms / 1000));
    if (subscribe(source, want, err) < 0) {
        xds_wants_remove(&source->wants, want);
        return -1;
    }
    return 0;
}

int xds_source_ask(struct xds_source *source, const char *name, struct err *err)
{
    if (source->wildcard)
        return 0;
    struct xds_want *want = xds_wants_find(&source->wants, name);
    if (want != NULL) {
        mesh_interest_touch(want->interest, (uint32_t)(clock_mono_ms() / 1000));
        return 0;
    }
    if (begin_to_want(source, name, false, err) < 0)
        return -1;
    source->stats.num_asked++;
    if (source->client != NULL)
        xds_client_wake(source->client);
    return 0;
}

/* -------------------------------------------------------------------------------------- life -- */

static void disconnect(struct xds_source *source)
{
    for (int end = 0; source->client != NULL && end < XDS_NUM_ENDS; end++)
        source->stats.num_ends[end] += xds_client_num_ends(source->client, (enum xds_end)end);
    xds_client_free(source->client);
    source->client = NULL;
    xds_delta_free(source->delta);
    source->delta = NULL;
}

/* What is wanted stays wanted; the pod's own names come first, see xds_request.c. */
static int subscribe_all(struct xds_source *source, struct err *err)
{
    struct xds_want *want;
    for (int own = 1; own >= 0; own--) {
        LIST_FOREACH (want, &source->wants.all, entry) {
            xds_want_clear_answer(want);
            if (want->own == (own == 1) && subscribe(source, want, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int make_delta(struct xds_source *source, struct err *err)
{
    const struct xds_delta_options options = {.node = &source->options->node,
                                              .wildcard = source->wildcard};
    source->delta = xds_delta_new(&options, &delta_handler, source, err);
    return source->delta == NULL ? -1 : 0;
}

static int make_client(struct xds_source *source, struct err *err)
{
    source->client = xds_client_new(source->io, &source->options->client, source->delta,
                                    &client_handler, source, err);
    return source->client == NULL ? -1 : 0;
}

/* Makes the protocol's machine and the stream anew. */
static int connect_anew(struct xds_source *source, struct err *err)
{
    disconnect(source);
    source->is_ready = false;
    if (make_delta(source, err) < 0 || subscribe_all(source, err) < 0)
        return -1;
    return make_client(source, err);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

/* Often enough for the shortest of the times. */
static uint64_t upkeep_interval(const struct xds_wants_times *times)
{
    uint64_t ms = XDS_SOURCE_UPKEEP_MS;
    const uint64_t each[] = {times->unused_ms, times->absent_ms, times->refresh_ms};
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        if (each[i] / 4 < ms)
            ms = each[i] / 4;
    }
    return ms == 0 ? 1 : ms;
}

static int copy_options(struct xds_source *source, const struct xds_source_options *options,
                        struct err *err)
{
    source->options = xds_source_options_copy(options);
    if (source->options == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    source->wildcard = options->wildcard;
    source->coalesce_ms = or_default(options->coalesce_ms, COALESCE_MS);
    source->times.unused_ms = or_default(options->unused_ms, UNUSED_MS);
    source->times.absent_ms = or_default(options->absent_ms, ABSENT_MS);
    source->times.refresh_ms = or_default(options->refresh_ms, REFRESH_MS);
    source->upkeep_ms = upkeep_interval(&source->times);
    xds_mesh_init(&source->mesh, !source->wildcard);
    return 0;
}

static int make_timers(struct xds_source *source, struct err *err)
{
    source->publish = net_timer_new(source->loop, on_publish, source);
    source->upkeep = net_timer_new(source->loop, xds_source_upkeep, source);
    source->cache_timer = net_timer_new(source->loop, xds_source_on_cache_timer, source);
    if (source->publish == NULL || source->upkeep == NULL || source->cache_timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    xds_source_upkeep_in(source, source->upkeep_ms);
    return 0;
}

static int want_own_names(struct xds_source *source, struct err *err)
{
    const struct xds_source_options *options = source->options;
    for (size_t i = 0; !source->wildcard && i < options->num_own_names; i++) {
        if (xds_wants_find(&source->wants, options->own_names[i]) == NULL &&
            begin_to_want(source, options->own_names[i], true, err) < 0)
            return -1;
    }
    return 0;
}

/* An agent without its cache is an agent all the same. */
static void open_cache(struct xds_source *source)
{
    const struct xds_source_options *options = source->options;
    char whose[MESH_KEY_MAX + 32];
    if (options->cache_file == NULL)
        return;
    /* What was known on demand, taken for the whole mesh, would make strangers of all others. */
    snprintf(whose, sizeof(whose), "%s %s/%s", source->wildcard ? "wildcard" : "on-demand",
             options->node.namespace_ == NULL ? "" : options->node.namespace_,
             options->node.pod_name == NULL ? "" : options->node.pod_name);
    source->cache = xds_cache_new(options->cache_file, whose, &source->trouble);
    if (source->cache != NULL)
        xds_source_read_cache(source);
    if (source->trouble.kind != ERR_NONE)
        xds_source_publish_in(source, 0);
}

static int set_up(struct xds_source *source, const struct xds_source_options *options,
                  struct err *err)
{
    if (copy_options(source, options, err) < 0 || make_timers(source, err) < 0 ||
        make_delta(source, err) < 0 || want_own_names(source, err) < 0)
        return -1;
    open_cache(source);
    return make_client(source, err);
}

struct xds_source *xds_source_new(struct tls_io *io, const struct xds_source_options *options,
                                  const struct xds_source_handler *handler, void *owner,
                                  struct err *err)
{
    struct xds_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    source->io = io;
    source->loop = tls_io_loop(io);
    source->handler = handler;
    source->owner = owner;
    if (set_up(source, options, err) == 0)
        return source;
    xds_source_free(source);
    return NULL;
}

void xds_source_free(struct xds_source *source)
{
    if (source == NULL)
        return;
    if (source->client != NULL)
        xds_source_write_cache(source);
    disconnect(source);
    net_timer_free(source->publish);
    net_timer_free(source->upkeep);
    net_timer_free(source->cache_timer);
    xds_cache_free(source->cache);
    xds_mesh_done(&source->mesh);
    xds_wants_done(&source->wants);
    xds_source_options_free(source->options);
    free(source);
}

/* -------------------------------------------------------------------------------------- asking -- */

struct mesh_snapshot *xds_source_snapshot(const struct xds_source *source)
{
    return source->mesh.snapshot;
}

void xds_source_retry_now(struct xds_source *source)
{
    if (source->client != NULL)
        xds_client_retry_now(source->client);
}

void xds_source_stats(const struct xds_source *source, struct xds_source_stats *stats)
{
    *stats = source->stats;
    stats->connected = source->client != NULL && xds_client_is_connected(source->client);
    stats->num_snapshots = source->num_snapshots;
    stats->from_cache = source->from_cache;
    stats->server_version = "";
    for (int end = 0; source->client != NULL && end < XDS_NUM_ENDS; end++)
        stats->num_ends[end] += xds_client_num_ends(source->client, (enum xds_end)end);
    if (source->delta == NULL)
        return;
    for (int type = 0; type < XDS_NUM_TYPES; type++)
        stats->num_held[type] = xds_delta_num_held(source->delta, (enum xds_type)type);
    stats->num_subscribed = xds_delta_num_subscribed(source->delta);
    stats->server_version = xds_delta_server_version(source->delta);
}
