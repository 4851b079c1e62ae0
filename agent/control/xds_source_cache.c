/* The cache of xds_source: read at its start, written when the mesh has changed. */
#include <string.h>

#include "clock.h"
#include "wds.h"
#include "xds_source_impl.h"

/* ------------------------------------------------------------------------------------ reading -- */

struct reading {
    struct xds_source *source;
    size_t num_refused;
    bool permits_too_much; /* something is left out without which it does */
    struct err first;      /* why the first of them was */
};

/* Judged as if it had just come. */
static void on_resource(void *owner, const struct xds_resource *resource)
{
    struct reading *reading = owner;
    struct xds_source *source = reading->source;
    struct err err = {0};
    int used = xds_mesh_put(&source->mesh, resource, &err);
    const char *version = used == 0 ? resource->version : "";
    if (used >= 0 &&
        xds_delta_restore(source->delta, resource->type, resource->name, version, &err) < 0) {
        xds_mesh_remove(&source->mesh, resource->type, resource->name);
        used = -1;
    }
    reading->permits_too_much |=
        used < 0 && (resource->type == XDS_AUTHORIZATION || source->wildcard);
    if (used != 0 && reading->num_refused++ == 0)
        reading->first = err;
}

/* The pod's own names are there already. */
static void on_answer(void *owner, const char *name, const char *by)
{
    struct reading *reading = owner;
    struct xds_source *source = reading->source;
    struct err err;
    struct xds_want *want = xds_wants_find(&source->wants, name);
    uint64_t now_ms = clock_mono_ms();
    if (source->wildcard || xds_delta_restore_answer(source->delta, name, by, &err) < 0)
        return;
    if (want == NULL)
        want = xds_wants_add(&source->wants, name, now_ms);
    if (want == NULL || xds_want_set_answer(want, by) < 0)
        return;
    mesh_interest_touch(want->interest, (uint32_t)(now_ms / 1000));
    xds_mesh_put_answered(&source->mesh, want->interest);
}

static const struct xds_cache_reader reader = {.on_resource = on_resource, .on_answer = on_answer};

void xds_source_read_cache(struct xds_source *source)
{
    struct reading reading = {.source = source};
    if (xds_cache_read(source->cache, &reader, &reading, &source->trouble) < 0)
        return;
    if (reading.num_refused > 0)
        err_set(&source->trouble, ERR_INVALID, "cache: %zu resources cannot be used, the first: %s",
                reading.num_refused, reading.first.message);
    /* Without a policy, or where all are known, without a pod that wants a tunnel. */
    source->cache_pending =
        !reading.permits_too_much && xds_delta_num_held(source->delta, XDS_ADDRESS) > 0;
    if (source->cache_pending)
        net_timer_start(source->cache_timer, XDS_SOURCE_CACHE_WAIT_MS);
}

void xds_source_believe_cache(struct xds_source *source)
{
    if (!source->cache_pending || source->is_ready)
        return;
    source->cache_pending = false;
    source->is_ready = true;
    source->from_cache = true;
    xds_source_publish_in(source, 0);
}

/* ------------------------------------------------------------------------------------ writing -- */

struct writing {
    const struct xds_source *source;
    struct xds_cache_draft draft;
    struct buf bytes;
};

static void add(struct writing *writing, enum xds_type type, const char *name, int encoded)
{
    const char *version = xds_delta_version(writing->source->delta, type, name);
    const struct xds_resource resource = {.type = type,
                                          .name = name,
                                          .version = version,
                                          .bytes = buf_head(&writing->bytes),
                                          .len = buf_len(&writing->bytes)};
    if (encoded < 0)
        writing->draft.failed = true;
    else if (version != NULL)
        xds_cache_add_resource(&writing->draft, &resource);
    buf_clear(&writing->bytes, 64 * 1024);
}

static bool add_workload(void *owner, const struct mesh_workload *workload)
{
    struct writing *writing = owner;
    struct err err;
    add(writing, XDS_ADDRESS, workload->uid, wds_encode_workload(&writing->bytes, workload, &err));
    return true;
}

static bool add_service(void *owner, const struct mesh_service *service)
{
    struct writing *writing = owner;
    struct err err;
    add(writing, XDS_ADDRESS, service->key, wds_encode_service(&writing->bytes, service, &err));
    return true;
}

static bool add_policy(void *owner, const struct mesh_policy *policy)
{
    struct writing *writing = owner;
    struct err err;
    add(writing, XDS_AUTHORIZATION, policy->key, wds_encode_policy(&writing->bytes, policy, &err));
    return true;
}

/* Versions are told of what came last. On content of before, a server would never mend it. */
static bool is_up_to_date(struct xds_source *source)
{
    struct mesh_warnings ignored = {0};
    struct err err;
    if (!source->is_ready)
        return false;
    return !xds_mesh_is_changed(&source->mesh) ||
           xds_mesh_build(&source->mesh, &ignored, &err) == 0;
}

void xds_source_write_cache(struct xds_source *source)
{
    struct writing writing = {.source = source};
    const struct xds_want *want;
    struct err err;
    if (source->cache == NULL || !source->cache_dirty)
        return;
    source->cache_dirty = false;
    if (!is_up_to_date(source))
        return; /* the next snapshot is written */
    xds_cache_begin(source->cache, &writing.draft);
    mesh_snapshot_each_workload(source->mesh.snapshot, add_workload, &writing);
    mesh_snapshot_each_service(source->mesh.snapshot, add_service, &writing);
    mesh_snapshot_each_policy(source->mesh.snapshot, add_policy, &writing);
    LIST_FOREACH (want, &source->wants.all, entry) {
        if (want->by != NULL)
            xds_cache_add_answer(&writing.draft, want->name, want->by);
    }
    if (xds_cache_end(source->cache, &writing.draft, &err) < 0)
        source->handler->on_trouble(source->owner, &err);
    buf_done(&writing.bytes);
}

/* A mesh that is large and always changing shall not keep us writing. */
static uint64_t time_to_write_ms(const struct xds_source *source)
{
    size_t num = xds_delta_num_held(source->delta, XDS_ADDRESS) +
                 xds_delta_num_held(source->delta, XDS_AUTHORIZATION);
    return (uint64_t)XDS_SOURCE_CACHE_WRITE_MS * (1 + num / XDS_SOURCE_CACHE_WRITE_NUM);
}

/* What the cache itself has brought need not be written again. */
void xds_source_mark_cache(struct xds_source *source)
{
    if (source->cache == NULL || source->cache_dirty || source->from_cache)
        return;
    source->cache_dirty = true;
    net_timer_start(source->cache_timer, time_to_write_ms(source));
}

void xds_source_on_cache_timer(void *owner)
{
    struct xds_source *source = owner;
    xds_source_believe_cache(source);
    if (source->cache_dirty && !xds_source_publish(source))
        source->cache_dirty = false; /* the next snapshot is written */
    xds_source_write_cache(source);
}
