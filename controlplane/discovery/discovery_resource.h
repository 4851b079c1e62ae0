/*
 * One thing that discovery tells of, as it goes over the wire: a workload, a service or a policy,
 * encoded once, with all the names by which a client may ask for it. Immutable and counted. Pure.
 */
#ifndef REMORA_DISCOVERY_RESOURCE_H
#define REMORA_DISCOVERY_RESOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mesh.h"
#include "refcount.h"

enum discovery_type {
    DISCOVERY_ADDRESS,
    DISCOVERY_AUTHORIZATION,
    DISCOVERY_NUM_TYPES,
};

/* "type.googleapis.com/...". */
const char *discovery_type_url(enum discovery_type type);

/* -1: we have no such resources. */
int discovery_type_parse(const char *url, enum discovery_type *type);

enum {
    DISCOVERY_VERSION_MAX = 17, /* bytes with the NUL: a 64-bit hash in hexadecimal */
};

struct discovery_texts {
    const char **values;
    size_t num;
};

struct discovery_resource {
    struct refcount refcount; /* private */
    enum discovery_type type;
    const char *name;
    char version[DISCOVERY_VERSION_MAX]; /* a hash of the bytes: the same after a restart */
    const uint8_t *bytes;                /* the value of the Any */
    size_t len;
    struct discovery_texts aliases; /* "<network>/<ip>", and "<network>/<ip>/<bits>" of a network */
    struct discovery_texts services; /* "namespace/hostname": whose endpoint it is */
    struct mesh_network_cidr *cidrs; /* of a service that takes all addresses of a network */
    size_t num_cidrs;
};

/* With one reference, the caller's. NULL: *err is ERR_NOMEM. */
struct discovery_resource *discovery_resource_of_workload(const struct mesh_workload *workload,
                                                          struct err *err);
struct discovery_resource *discovery_resource_of_service(const struct mesh_service *service,
                                                         struct err *err);
struct discovery_resource *discovery_resource_of_policy(const struct mesh_policy *policy,
                                                        struct err *err);

struct discovery_resource *discovery_resource_ref(struct discovery_resource *resource);
void discovery_resource_unref(struct discovery_resource *resource); /* NULL is ignored */

/* A list of resources that does not count them. A zeroed one is empty. */
struct discovery_list {
    struct discovery_resource **values;
    size_t num;
    size_t capacity;
};

/* 0, or -1 when out of memory. */
int discovery_list_add(struct discovery_list *list, struct discovery_resource *resource);

/* Leaves each resource in it once, in the order of their addresses in memory. */
void discovery_list_unique(struct discovery_list *list);
void discovery_list_done(struct discovery_list *list);

#endif
