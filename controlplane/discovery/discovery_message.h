/*
 * DeltaDiscoveryRequest and DeltaDiscoveryResponse as values, and the node that speaks. What a client
 * sends is bounded and checked for form. Pure.
 */
#ifndef REMORA_DISCOVERY_MESSAGE_H
#define REMORA_DISCOVERY_MESSAGE_H

#include <stdbool.h>

#include "buf.h"
#include "discovery_resource.h"

#define DISCOVERY_MESSAGE_PATH                                                                     \
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

enum {
    DISCOVERY_REQUEST_MAX = 16 * 1024 * 1024, /* bytes; a client that holds a mesh of 100,000
                                                 workloads says so in ten million */
    DISCOVERY_REQUEST_MEMORY_MAX = 128 * 1024 * 1024, /* bytes, decoded */
    DISCOVERY_NONCE_MAX = 24,                         /* bytes, with the NUL */
};

struct discovery_held {
    const char *name;
    const char *version;
};

/* What a node says of itself. "" where it says nothing. */
struct discovery_node {
    const char *id;
    const char *namespace_;
    const char *service_account;
};

/* A request; all of it lent by its memory. */
struct discovery_request {
    bool has_node;
    struct discovery_node node;
    const char *type_url;
    const char *const *subscribe;
    size_t num_subscribe;
    const char *const *unsubscribe;
    size_t num_unsubscribe;
    const struct discovery_held *held; /* of an earlier stream */
    size_t num_held;
    const char *nonce;       /* "": it acknowledges nothing */
    bool is_nack;            /* it refuses what the nonce stands for */
    const char *nack_reason; /* "" unless is_nack */
};

struct protobuf_memory;

/*
 * 0: *request lends from *memory, which is the caller's to free. -1: *err is ERR_INVALID, ERR_LIMIT or
 * ERR_NOMEM, and there is nothing to free.
 */
int discovery_message_read(const uint8_t *bytes, size_t len, struct protobuf_memory **memory,
                           struct discovery_request *request, struct err *err);

/* What a response says; all lent for the call. */
struct discovery_response {
    enum discovery_type type;
    uint64_t version; /* of the table, for people to read */
    const char *nonce;
    struct discovery_resource *const *resources;
    size_t num_resources;
    const char *const *removed;
    size_t num_removed;
};

/* Appends it. 0, or -1 when out of memory. */
int discovery_message_write(struct buf *out, const struct discovery_response *response);

#endif
