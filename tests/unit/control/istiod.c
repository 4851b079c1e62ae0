#include "istiod.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "wds.h"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest Request;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse Response;
typedef Envoy__Service__Discovery__V3__Resource Resource;
typedef Envoy__Service__Discovery__V3__Any Any;

/* ------------------------------------------------------------------------------- sets of names -- */

/* FNV-1a. */
uint32_t istiod_hash(const char *name)
{
    uint32_t hash = 2166136261;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619;
    return hash;
}

struct set {
    char **names;
    uint32_t *hashes; /* of the names: most that are not the same differ in it */
    size_t num;
};

static ptrdiff_t set_find(const struct set *set, const char *name)
{
    const uint32_t hash = istiod_hash(name);
    for (size_t i = 0; i < set->num; i++) {
        if (set->hashes[i] == hash && strcmp(set->names[i], name) == 0)
            return (ptrdiff_t)i;
    }
    return -1;
}

static bool set_has(const struct set *set, const char *name)
{
    return set_find(set, name) >= 0;
}

static void set_append(struct set *set, const char *name)
{
    if (set->num % 64 == 0) {
        set->names = realloc(set->names, (set->num + 64) * sizeof(*set->names));
        set->hashes = realloc(set->hashes, (set->num + 64) * sizeof(*set->hashes));
    }
    set->hashes[set->num] = istiod_hash(name);
    set->names[set->num++] = strdup(name);
}

/* True when it was not there. */
static bool set_add(struct set *set, const char *name)
{
    if (set_has(set, name))
        return false;
    set_append(set, name);
    return true;
}

static bool set_delete(struct set *set, const char *name)
{
    ptrdiff_t at = set_find(set, name);
    if (at < 0)
        return false;
    free(set->names[at]);
    set->names[at] = set->names[--set->num];
    set->hashes[at] = set->hashes[set->num];
    return true;
}

static void set_done(struct set *set)
{
    for (size_t i = 0; i < set->num; i++)
        free(set->names[i]);
    free(set->names);
    free(set->hashes);
    *set = (struct set){0};
}

/* ----------------------------------------------------------------------------------- resources -- */

struct entry {
    enum xds_type type;
    bool is_service;
    bool live;
    char *name;
    uint32_t hash; /* of the name */
    char *alias;   /* "" : none */
    char *service; /* that it is an endpoint of; "": none */
    char version[24];
    struct buf bytes;
};

struct istiod {
    struct entry *entries;
    size_t num;
    size_t capacity;
    unsigned version;
    size_t chunk;
    struct istiod_stream *streams[8];
};

struct type_state {
    bool started;
    bool wildcard;
    struct set subs;
    struct set changed;
    char nonce[32];
};

struct istiod_stream {
    struct istiod *istiod;
    struct type_state types[XDS_NUM_TYPES];
    struct buf *queue;
    size_t num_queued;
    size_t num_taken;
    unsigned num_nonces;
    struct istiod_seen seen;
};

struct istiod *istiod_new(void)
{
    return calloc(1, sizeof(struct istiod));
}

static void entry_done(struct entry *entry)
{
    free(entry->name);
    free(entry->alias);
    free(entry->service);
    buf_done(&entry->bytes);
}

void istiod_free(struct istiod *istiod)
{
    for (size_t i = 0; i < istiod->num; i++)
        entry_done(&istiod->entries[i]);
    free(istiod->entries);
    free(istiod);
}

void istiod_set_chunk(struct istiod *istiod, size_t num)
{
    istiod->chunk = num;
}

static struct entry *find_entry(const struct istiod *istiod, enum xds_type type, const char *name)
{
    const uint32_t hash = istiod_hash(name);
    for (size_t i = 0; i < istiod->num; i++) {
        struct entry *entry = &istiod->entries[i];
        if (entry->hash == hash && entry->type == type && strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

static struct entry *get_entry(struct istiod *istiod, enum xds_type type, const char *name)
{
    struct entry *entry = find_entry(istiod, type, name);
    if (entry == NULL) {
        if (istiod->num == istiod->capacity) {
            istiod->capacity = istiod->capacity == 0 ? 64 : 2 * istiod->capacity;
            istiod->entries = realloc(istiod->entries, istiod->capacity * sizeof(*istiod->entries));
        }
        entry = &istiod->entries[istiod->num++];
        *entry = (struct entry){.type = type, .name = strdup(name), .hash = istiod_hash(name)};
    }
    free(entry->alias);
    free(entry->service);
    entry->alias = entry->service = NULL;
    buf_clear(&entry->bytes, 0);
    return entry;
}

static void note_change(struct istiod *istiod, const struct entry *entry)
{
    for (size_t i = 0; i < 8; i++) {
        if (istiod->streams[i] != NULL)
            set_add(&istiod->streams[i]->types[entry->type].changed, entry->name);
    }
}

static void publish(struct istiod *istiod, struct entry *entry, bool is_service, const char *alias,
                    const char *service)
{
    entry->live = true;
    entry->is_service = is_service;
    entry->alias = strdup(alias);
    entry->service = strdup(service == NULL ? "" : service);
    /* istiod's policies have no versions. */
    entry->version[0] = '\0';
    if (entry->type == XDS_ADDRESS)
        snprintf(entry->version, sizeof(entry->version), "%u", ++istiod->version);
    note_change(istiod, entry);
}

void istiod_put_workload(struct istiod *istiod, const char *uid, const char *ip,
                         const char *service)
{
    struct entry *entry = get_entry(istiod, XDS_ADDRESS, uid);
    const struct mesh_membership membership = {.service = service};
    struct ip parsed;
    char alias[64];
    struct err err;
    assert(ip_parse(&parsed, ip, NULL) == 0);
    const struct mesh_workload workload = {.uid = uid,
                                           .name = uid,
                                           .namespace_ = "shop",
                                           .ips = &parsed,
                                           .num_ips = 1,
                                           .capacity = 1,
                                           .services = &membership,
                                           .num_services = service == NULL ? 0 : 1};
    assert(wds_encode_workload(&entry->bytes, &workload, &err) == 0);
    snprintf(alias, sizeof(alias), "/%s", ip);
    publish(istiod, entry, false, alias, service);
}

void istiod_put_service(struct istiod *istiod, const char *key, const char *vip)
{
    struct entry *entry = get_entry(istiod, XDS_ADDRESS, key);
    const char *slash = strchr(key, '/');
    char *ns = strndup(key, (size_t)(slash - key));
    struct mesh_network_address address = {.network = ""};
    const struct mesh_port port = {.service_port = 80, .target_port = 8080};
    char alias[64];
    struct err err;
    assert(ip_parse(&address.ip, vip, NULL) == 0);
    const struct mesh_service service = {.name = slash + 1,
                                         .namespace_ = ns,
                                         .hostname = slash + 1,
                                         .vips = &address,
                                         .num_vips = 1,
                                         .ports = &port,
                                         .num_ports = 1};
    assert(wds_encode_service(&entry->bytes, &service, &err) == 0);
    free(ns);
    snprintf(alias, sizeof(alias), "/%s", vip);
    publish(istiod, entry, true, alias, NULL);
}

void istiod_put_policy(struct istiod *istiod, const char *key, bool deny)
{
    struct entry *entry = get_entry(istiod, XDS_AUTHORIZATION, key);
    const char *slash = strchr(key, '/');
    char *ns = strndup(key, (size_t)(slash - key));
    const struct mesh_policy policy = {.name = slash + 1,
                                       .namespace_ = ns,
                                       .scope = MESH_POLICY_NAMESPACE,
                                       .action = deny ? MESH_DENY : MESH_ALLOW};
    struct err err;
    assert(wds_encode_policy(&entry->bytes, &policy, &err) == 0);
    free(ns);
    publish(istiod, entry, false, "", NULL);
}

void istiod_put_raw(struct istiod *istiod, enum xds_type type, const char *name, const void *bytes,
                    size_t len)
{
    struct entry *entry = get_entry(istiod, type, name);
    assert(buf_append(&entry->bytes, bytes, len) == 0);
    publish(istiod, entry, false, "", NULL);
}

void istiod_remove(struct istiod *istiod, enum xds_type type, const char *name)
{
    struct entry *entry = find_entry(istiod, type, name);
    if (entry == NULL || !entry->live)
        return;
    entry->live = false;
    note_change(istiod, entry);
}

const char *istiod_version(const struct istiod *istiod, enum xds_type type, const char *name)
{
    const struct entry *entry = find_entry(istiod, type, name);
    return entry == NULL || !entry->live ? NULL : entry->version;
}

/* ------------------------------------------------------------------------------------ resolving -- */

static const struct entry *resolve(const struct istiod *istiod, const char *name)
{
    const struct entry *by_alias = NULL;
    const uint32_t hash = istiod_hash(name);
    for (size_t i = 0; i < istiod->num; i++) {
        const struct entry *entry = &istiod->entries[i];
        if (entry->type != XDS_ADDRESS || !entry->live)
            continue;
        if (entry->hash == hash && strcmp(entry->name, name) == 0)
            return entry;
        bool is_better = by_alias == NULL || by_alias->is_service;
        if (strcmp(entry->alias, name) == 0 && is_better)
            by_alias = entry;
    }
    return by_alias;
}

bool istiod_resolves(const struct istiod *istiod, const char *name)
{
    return resolve(istiod, name) != NULL;
}

/* The resource of that name or address, and a service's endpoints. False: there is none. */
static bool look_up(const struct istiod *istiod, const char *name, struct set *have)
{
    const struct entry *found = resolve(istiod, name);
    if (found == NULL)
        return false;
    set_add(have, found->name);
    for (size_t i = 0; found->is_service && i < istiod->num; i++) {
        const struct entry *entry = &istiod->entries[i];
        if (entry->type == XDS_ADDRESS && entry->live && strcmp(entry->service, found->name) == 0)
            set_add(have, entry->name);
    }
    return true;
}

/* ------------------------------------------------------------------------------------- answering -- */

static void enqueue(struct istiod_stream *stream, enum xds_type type, Resource **resources,
                    size_t num_resources, char **removed, size_t num_removed)
{
    Response response;
    char *url = strdup(xds_type_url(type));
    char version[] = "model/1";
    struct type_state *state = &stream->types[type];
    envoy__service__discovery__v3__delta_discovery_response__init(&response);
    snprintf(state->nonce, sizeof(state->nonce), "nonce-%u", ++stream->num_nonces);
    response.system_version_info = version;
    response.type_url = url;
    response.nonce = state->nonce;
    response.resources = resources;
    response.n_resources = num_resources;
    response.removed_resources = removed;
    response.n_removed_resources = num_removed;
    if (stream->num_queued % 16 == 0)
        stream->queue = realloc(stream->queue, (stream->num_queued + 16) * sizeof(struct buf));
    struct buf *message = &stream->queue[stream->num_queued++];
    *message = (struct buf){0};
    size_t len =
        envoy__service__discovery__v3__delta_discovery_response__get_packed_size(&response);
    uint8_t *to = buf_reserve(message, len + 1);
    envoy__service__discovery__v3__delta_discovery_response__pack(&response, to);
    buf_commit(message, len);
    free(url);
}

static Resource *new_resource(const struct istiod *istiod, enum xds_type type, const char *name,
                              bool with_aliases)
{
    const struct entry *entry = find_entry(istiod, type, name);
    Resource *resource = calloc(1, sizeof(*resource));
    Any *any = calloc(1, sizeof(*any));
    envoy__service__discovery__v3__resource__init(resource);
    envoy__service__discovery__v3__any__init(any);
    any->type_url = strdup(xds_type_url(type));
    any->value.len = buf_len(&entry->bytes);
    any->value.data = malloc(any->value.len + 1);
    if (any->value.len > 0)
        memcpy(any->value.data, buf_head(&entry->bytes), any->value.len);
    resource->resource = any;
    resource->name = strdup(entry->name);
    resource->version = strdup(entry->version);
    if (with_aliases && entry->alias[0] != '\0') {
        resource->aliases = calloc(1, sizeof(char *));
        resource->aliases[0] = strdup(entry->alias);
        resource->n_aliases = 1;
    }
    return resource;
}

/* `have` in messages of at most `chunk` resources; removals are in the first. */
static void answer(struct istiod_stream *stream, enum xds_type type, const struct set *have,
                   const struct set *removed)
{
    bool with_aliases = type == XDS_ADDRESS && !stream->types[type].wildcard;
    size_t chunk = stream->istiod->chunk == 0 ? have->num + 1 : stream->istiod->chunk;
    size_t at = 0;
    do {
        size_t num = have->num - at < chunk ? have->num - at : chunk;
        Resource **resources = calloc(num + 1, sizeof(*resources));
        for (size_t i = 0; i < num; i++)
            resources[i] = new_resource(stream->istiod, type, have->names[at + i], with_aliases);
        enqueue(stream, type, resources, num, removed->names, at == 0 ? removed->num : 0);
        for (size_t i = 0; i < num; i++)
            envoy__service__discovery__v3__resource__free_unpacked(resources[i], NULL);
        free(resources);
        at += num;
    } while (at < have->num);
}

static const char *retained(const Request *request, const char *name)
{
    for (size_t i = 0; i < request->n_initial_resource_versions; i++) {
        if (strcmp(request->initial_resource_versions[i]->key, name) == 0)
            return request->initial_resource_versions[i]->value;
    }
    return "";
}

/* Leaves out of `have` what the client holds in this version. */
static struct set without_retained(const struct istiod *istiod, const struct set *have,
                                   const Request *request)
{
    struct set rest = {0};
    for (size_t i = 0; i < have->num; i++) {
        const char *version = find_entry(istiod, XDS_ADDRESS, have->names[i])->version;
        if (strcmp(version, retained(request, have->names[i])) != 0)
            set_append(&rest, have->names[i]);
    }
    return rest;
}

static void answer_wildcard(struct istiod_stream *stream, enum xds_type type,
                            const struct set *subscribed, const Request *request)
{
    struct set have = {0};
    struct set removed = {0};
    for (size_t i = 0; i < stream->istiod->num; i++) {
        const struct entry *entry = &stream->istiod->entries[i];
        if (entry->type == type && entry->live)
            set_append(&have, entry->name);
    }
    for (size_t i = 0; i < subscribed->num; i++) {
        if (istiod_version(stream->istiod, type, subscribed->names[i]) == NULL)
            set_add(&removed, subscribed->names[i]);
    }
    struct set rest = {0};
    if (type == XDS_ADDRESS && request->n_initial_resource_versions > 0)
        rest = without_retained(stream->istiod, &have, request);
    answer(stream, type,
           request->n_initial_resource_versions > 0 && type == XDS_ADDRESS ? &rest : &have,
           &removed);
    set_done(&have);
    set_done(&rest);
    set_done(&removed);
}

static void answer_on_demand(struct istiod_stream *stream, const struct set *subscribed,
                             const Request *request)
{
    struct type_state *state = &stream->types[XDS_ADDRESS];
    struct set have = {0};
    struct set removed = {0};
    if (subscribed->num == 0) {
        answer(stream, XDS_ADDRESS, &have, &state->subs); /* the quirk */
        return;
    }
    for (size_t i = 0; i < subscribed->num; i++) {
        if (!look_up(stream->istiod, subscribed->names[i], &have))
            set_add(&removed, subscribed->names[i]);
    }
    struct set rest = without_retained(stream->istiod, &have, request);
    for (size_t i = 0; i < have.num; i++)
        set_add(&state->subs, have.names[i]);
    answer(stream, XDS_ADDRESS, &rest, &removed);
    set_done(&have);
    set_done(&rest);
    set_done(&removed);
}

/* --------------------------------------------------------------------------------------- requests -- */

static bool watch(struct set *subs, const Request *request)
{
    bool changed = false;
    for (size_t i = 0; i < request->n_resource_names_subscribe; i++)
        changed = set_add(subs, request->resource_names_subscribe[i]) || changed;
    for (size_t i = 0; i < request->n_initial_resource_versions; i++)
        changed = set_add(subs, request->initial_resource_versions[i]->key) || changed;
    for (size_t i = 0; i < request->n_resource_names_unsubscribe; i++)
        changed = set_delete(subs, request->resource_names_unsubscribe[i]) || changed;
    return changed;
}

static void describe(struct istiod_seen *seen, const Request *request)
{
    size_t at = 0;
    seen->last[0] = '\0';
    for (size_t i = 0; i < request->n_resource_names_subscribe && at < 4096; i++)
        at += (size_t)snprintf(seen->last + at, sizeof(seen->last) - at, "+%s ",
                               request->resource_names_subscribe[i]);
    for (size_t i = 0; i < request->n_resource_names_unsubscribe && at < 4096; i++)
        at += (size_t)snprintf(seen->last + at, sizeof(seen->last) - at, "-%s ",
                               request->resource_names_unsubscribe[i]);
    for (size_t i = 0; i < request->n_initial_resource_versions && at < 4096; i++)
        at += (size_t)snprintf(seen->last + at, sizeof(seen->last) - at, "=%s:%s ",
                               request->initial_resource_versions[i]->key,
                               request->initial_resource_versions[i]->value);
    seen->num_subscribed += request->n_resource_names_subscribe;
}

static void respond(struct istiod_stream *stream, enum xds_type type, const Request *request)
{
    struct set subscribed = {0};
    watch(&subscribed, request);
    set_delete(&subscribed, "*");
    if (stream->types[type].wildcard)
        answer_wildcard(stream, type, &subscribed, request);
    else
        answer_on_demand(stream, &subscribed, request);
    set_done(&subscribed);
}

static void take(struct istiod_stream *stream, enum xds_type type, const Request *request)
{
    struct type_state *state = &stream->types[type];
    if (request->error_detail != NULL) {
        stream->seen.num_nacks++;
        snprintf(stream->seen.nack, sizeof(stream->seen.nack), "%s",
                 request->error_detail->message);
        return;
    }
    if (!state->started) {
        state->started = true;
        stream->seen.num_without_node += request->node == NULL;
        watch(&state->subs, request);
        state->wildcard = set_delete(&state->subs, "*") || request->n_resource_names_subscribe == 0;
        respond(stream, type, request);
        return;
    }
    bool is_ack = request->response_nonce[0] != '\0';
    if (is_ack && strcmp(request->response_nonce, state->nonce) != 0) {
        stream->seen.num_stale++;
        return;
    }
    stream->seen.num_acks += is_ack;
    if (watch(&state->subs, request))
        respond(stream, type, request);
    else
        stream->seen.num_useless += !is_ack;
}

void istiod_receive(struct istiod_stream *stream, const uint8_t *bytes, size_t len)
{
    Request *request =
        envoy__service__discovery__v3__delta_discovery_request__unpack(NULL, len, bytes);
    assert(request != NULL);
    stream->seen.num_requests++;
    describe(&stream->seen, request);
    for (int type = 0; type < XDS_NUM_TYPES; type++) {
        if (strcmp(request->type_url, xds_type_url((enum xds_type)type)) == 0)
            take(stream, (enum xds_type)type, request);
    }
    envoy__service__discovery__v3__delta_discovery_request__free_unpacked(request, NULL);
}

static void push(struct istiod_stream *stream, enum xds_type type)
{
    struct type_state *state = &stream->types[type];
    struct set have = {0};
    struct set removed = {0};
    for (size_t i = 0; i < state->changed.num; i++) {
        const char *name = state->changed.names[i];
        if (!state->wildcard && !set_has(&state->subs, name))
            continue;
        if (istiod_version(stream->istiod, type, name) == NULL)
            set_add(&removed, name);
        else if (type == XDS_ADDRESS && !state->wildcard)
            look_up(stream->istiod, name, &have);
        else
            set_add(&have, name);
    }
    for (size_t i = 0; !state->wildcard && i < have.num; i++)
        set_add(&state->subs, have.names[i]);
    if (state->started && have.num + removed.num > 0)
        answer(stream, type, &have, &removed);
    set_done(&have);
    set_done(&removed);
    set_done(&state->changed);
}

void istiod_push(struct istiod_stream *stream)
{
    for (int type = 0; type < XDS_NUM_TYPES; type++)
        push(stream, (enum xds_type)type);
}

bool istiod_next(struct istiod_stream *stream, struct buf *out)
{
    if (stream->num_taken == stream->num_queued)
        return false;
    *out = stream->queue[stream->num_taken++];
    return true;
}

/* ------------------------------------------------------------------------------------------ life -- */

struct istiod_stream *istiod_stream_new(struct istiod *istiod)
{
    struct istiod_stream *stream = calloc(1, sizeof(*stream));
    stream->istiod = istiod;
    for (size_t i = 0; i < 8; i++) {
        if (istiod->streams[i] == NULL) {
            istiod->streams[i] = stream;
            return stream;
        }
    }
    abort();
}

void istiod_stream_free(struct istiod_stream *stream)
{
    for (size_t i = 0; i < 8; i++) {
        if (stream->istiod->streams[i] == stream)
            stream->istiod->streams[i] = NULL;
    }
    for (int type = 0; type < XDS_NUM_TYPES; type++) {
        set_done(&stream->types[type].subs);
        set_done(&stream->types[type].changed);
    }
    for (size_t i = stream->num_taken; i < stream->num_queued; i++)
        buf_done(&stream->queue[i]);
    free(stream->queue);
    free(stream);
}

const struct istiod_seen *istiod_seen(const struct istiod_stream *stream)
{
    return &stream->seen;
}

bool istiod_has_subscribed(const struct istiod_stream *stream, enum xds_type type, const char *name)
{
    return set_has(&stream->types[type].subs, name);
}
