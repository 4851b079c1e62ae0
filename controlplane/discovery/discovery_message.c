#include "discovery_message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "protobuf_read.h"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest delta_request;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse delta_response;
typedef Envoy__Service__Discovery__V3__Resource delta_resource;
typedef Envoy__Service__Discovery__V3__Any any;

/* --------------------------------------------------------------------------------- reading -- */

/* A text of the node's metadata, or "". */
static const char *metadata(const Envoy__Service__Discovery__V3__Struct *fields, const char *key)
{
    for (size_t i = 0; fields != NULL && i < fields->n_fields; i++) {
        const Envoy__Service__Discovery__V3__Value *value = fields->fields[i]->value;
        if (strcmp(fields->fields[i]->key, key) == 0 && value != NULL &&
            value->kind_case == ENVOY__SERVICE__DISCOVERY__V3__VALUE__KIND_STRING_VALUE)
            return value->string_value;
    }
    return "";
}

static void read_node(const Envoy__Service__Discovery__V3__Node *from,
                      struct discovery_request *request)
{
    request->has_node = from != NULL;
    if (from == NULL)
        return;
    request->node = (struct discovery_node){
        .id = from->id,
        .namespace_ = metadata(from->metadata, "NAMESPACE"),
        .service_account = metadata(from->metadata, "SERVICE_ACCOUNT"),
    };
}

static int read_held(const delta_request *from, struct protobuf_memory *memory,
                     struct discovery_request *request, struct err *err)
{
    size_t num = from->n_initial_resource_versions;
    struct discovery_held *held = protobuf_memory_array(memory, num, sizeof(*held));
    if (held == NULL && num > 0)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++)
        held[i] = (struct discovery_held){.name = from->initial_resource_versions[i]->key,
                                          .version = from->initial_resource_versions[i]->value};
    request->held = held;
    request->num_held = num;
    return 0;
}

static int read_request(const uint8_t *bytes, size_t len, struct protobuf_memory *memory,
                        struct discovery_request *request, struct err *err)
{
    const delta_request *from =
        protobuf_read(memory, &envoy__service__discovery__v3__delta_discovery_request__descriptor,
                      bytes, len, err);
    if (from == NULL)
        return err_prefix(err, "the request");
    *request = (struct discovery_request){
        .type_url = from->type_url,
        .subscribe = (const char *const *)from->resource_names_subscribe,
        .num_subscribe = from->n_resource_names_subscribe,
        .unsubscribe = (const char *const *)from->resource_names_unsubscribe,
        .num_unsubscribe = from->n_resource_names_unsubscribe,
        .nonce = from->response_nonce,
        .is_nack = from->error_detail != NULL,
        .nack_reason = from->error_detail != NULL ? from->error_detail->message : "",
    };
    read_node(from->node, request);
    return read_held(from, memory, request, err);
}

int discovery_message_read(const uint8_t *bytes, size_t len, struct protobuf_memory **memory,
                           struct discovery_request *request, struct err *err)
{
    *memory = protobuf_memory_new(DISCOVERY_REQUEST_MEMORY_MAX, PROTOBUF_PLAIN);
    if (*memory == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (read_request(bytes, len, *memory, request, err) == 0)
        return 0;
    protobuf_memory_free(*memory);
    *memory = NULL;
    return -1;
}

/* --------------------------------------------------------------------------------- writing -- */

/* protobuf-c's texts and bytes are not const; it does not write to them. */
static void *unconst(const void *pointer)
{
    return (void *)(uintptr_t)pointer;
}

static void set_resource(const struct discovery_resource *from, delta_resource *to, any *value)
{
    envoy__service__discovery__v3__resource__init(to);
    envoy__service__discovery__v3__any__init(value);
    value->type_url = unconst(discovery_type_url(from->type));
    value->value = (ProtobufCBinaryData){.data = unconst(from->bytes), .len = from->len};
    to->resource = value;
    to->version = unconst(from->version);
    to->name = unconst(from->name);
    to->aliases = unconst(from->aliases.values);
    to->n_aliases = from->aliases.num;
}

static int set_resources(const struct discovery_response *from, struct protobuf_memory *memory,
                         delta_response *to)
{
    size_t num = from->num_resources;
    delta_resource **list = protobuf_memory_array(memory, num, sizeof(delta_resource *));
    delta_resource *resources = protobuf_memory_array(memory, num, sizeof(*resources));
    any *values = protobuf_memory_array(memory, num, sizeof(*values));
    if (protobuf_memory_failed(memory))
        return -1;
    for (size_t i = 0; i < num; i++) {
        set_resource(from->resources[i], &resources[i], &values[i]);
        list[i] = &resources[i];
    }
    to->resources = list;
    to->n_resources = num;
    return 0;
}

static int write_response(struct buf *out, const struct discovery_response *response,
                          struct protobuf_memory *memory)
{
    char version[24];
    delta_response message;
    envoy__service__discovery__v3__delta_discovery_response__init(&message);
    snprintf(version, sizeof(version), "%" PRIu64, response->version);
    message.system_version_info = version;
    message.type_url = unconst(discovery_type_url(response->type));
    message.nonce = unconst(response->nonce);
    message.removed_resources = unconst(response->removed);
    message.n_removed_resources = response->num_removed;
    if (set_resources(response, memory, &message) < 0)
        return -1;
    size_t len = protobuf_c_message_get_packed_size(&message.base);
    uint8_t *to = buf_reserve(out, len);
    if (to == NULL)
        return -1;
    buf_commit(out, protobuf_c_message_pack(&message.base, to));
    return 0;
}

int discovery_message_write(struct buf *out, const struct discovery_response *response)
{
    struct protobuf_memory *memory = protobuf_memory_new(SIZE_MAX, PROTOBUF_PLAIN);
    if (memory == NULL)
        return -1;
    int result = write_response(out, response, memory);
    protobuf_memory_free(memory);
    return result;
}
