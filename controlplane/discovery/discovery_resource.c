#include "discovery_resource.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mesh_name.h"
#include "wds.h"

const char *discovery_type_url(enum discovery_type type)
{
    return type == DISCOVERY_ADDRESS ? WDS_TYPE_ADDRESS : WDS_TYPE_AUTHORIZATION;
}

int discovery_type_parse(const char *url, enum discovery_type *type)
{
    for (enum discovery_type i = 0; i < DISCOVERY_NUM_TYPES; i++) {
        if (strcmp(url, discovery_type_url(i)) == 0) {
            *type = i;
            return 0;
        }
    }
    return -1;
}

/* ---------------------------------------------------------------------------------- making -- */

/* FNV-1a. Who writes the files has no reason to look for collisions: only he would be served
 * something old. */
static uint64_t hash(const uint8_t *bytes, size_t len)
{
    uint64_t value = 0xcbf29ce484222325;
    for (size_t i = 0; i < len; i++)
        value = (value ^ bytes[i]) * 0x100000001b3;
    return value;
}

static void free_texts(struct discovery_texts *texts)
{
    for (size_t i = 0; i < texts->num; i++)
        free((void *)(uintptr_t)texts->values[i]);
    free(texts->values);
}

static void free_resource(struct discovery_resource *resource)
{
    if (resource == NULL)
        return;
    free_texts(&resource->aliases);
    free_texts(&resource->services);
    for (size_t i = 0; i < resource->num_cidrs; i++)
        free((void *)(uintptr_t)resource->cidrs[i].network);
    free(resource->cidrs);
    free((void *)(uintptr_t)resource->name);
    free((void *)(uintptr_t)resource->bytes);
    free(resource);
}

/* Takes `bytes`. */
static struct discovery_resource *new_resource(enum discovery_type type, const char *name,
                                               struct buf *bytes)
{
    struct discovery_resource *resource = calloc(1, sizeof(*resource));
    uint8_t *copy = malloc(buf_len(bytes) == 0 ? 1 : buf_len(bytes));
    if (resource == NULL || copy == NULL || (resource->name = strdup(name)) == NULL) {
        free(copy);
        free(resource);
        return NULL;
    }
    refcount_init(&resource->refcount);
    resource->type = type;
    resource->len = buf_len(bytes);
    if (resource->len > 0)
        memcpy(copy, buf_head(bytes), resource->len);
    resource->bytes = copy;
    snprintf(resource->version, sizeof(resource->version), "%016" PRIx64,
             hash(copy, resource->len));
    return resource;
}

static struct discovery_resource *out_of_memory(struct discovery_resource *resource,
                                                struct err *err)
{
    free_resource(resource);
    err_set(err, ERR_NOMEM, "out of memory");
    return NULL;
}

static int reserve_texts(struct discovery_texts *texts, size_t num)
{
    texts->values = calloc(num == 0 ? 1 : num, sizeof(texts->values[0]));
    return texts->values == NULL ? -1 : 0;
}

/* Room has been reserved. */
static int add_text(struct discovery_texts *texts, const char *text)
{
    texts->values[texts->num] = strdup(text);
    if (texts->values[texts->num] == NULL)
        return -1;
    texts->num++;
    return 0;
}

/* A workload on its node's network has the node's address, by which it is not found. */
static int name_workload(struct discovery_resource *resource, const struct mesh_workload *workload)
{
    char name[MESH_NAME_TEXT_MAX];
    size_t num_ips = workload->network_mode == MESH_NETWORK_HOST ? 0 : workload->num_ips;
    if (reserve_texts(&resource->aliases, num_ips) < 0 ||
        reserve_texts(&resource->services, workload->num_services) < 0)
        return -1;
    for (size_t i = 0; i < num_ips; i++)
        if (add_text(&resource->aliases,
                     mesh_name_of_address(workload->network, &workload->ips[i], name)) < 0)
            return -1;
    for (size_t i = 0; i < workload->num_services; i++)
        if (add_text(&resource->services, workload->services[i].service) < 0)
            return -1;
    return 0;
}

struct discovery_resource *discovery_resource_of_workload(const struct mesh_workload *workload,
                                                          struct err *err)
{
    struct buf bytes = {0};
    struct discovery_resource *resource = NULL;
    if (wds_encode_workload(&bytes, workload, err) == 0)
        resource = new_resource(DISCOVERY_ADDRESS, workload->uid, &bytes);
    buf_done(&bytes);
    if (resource == NULL || name_workload(resource, workload) < 0)
        return out_of_memory(resource, err);
    return resource;
}

static int add_cidr(struct discovery_resource *resource, const struct mesh_network_cidr *cidr)
{
    char text[ADDR_TEXT_MAX];
    char *alias = NULL;
    if (asprintf(&alias, "%s/%s", cidr->network, cidr_format(&cidr->cidr, text)) < 0)
        return -1;
    int result = add_text(&resource->aliases, alias);
    free(alias);
    char *network = strdup(cidr->network);
    if (result < 0 || network == NULL) {
        free(network);
        return -1;
    }
    resource->cidrs[resource->num_cidrs++] =
        (struct mesh_network_cidr){.network = network, .cidr = cidr->cidr};
    return 0;
}

static int name_service(struct discovery_resource *resource, const struct mesh_service *service)
{
    char name[MESH_NAME_TEXT_MAX];
    if (reserve_texts(&resource->aliases, service->num_vips + service->num_cidr_vips) < 0)
        return -1;
    resource->cidrs = calloc(service->num_cidr_vips + 1, sizeof(*resource->cidrs));
    if (resource->cidrs == NULL)
        return -1;
    for (size_t i = 0; i < service->num_vips; i++)
        if (add_text(&resource->aliases, mesh_name_of_address(service->vips[i].network,
                                                              &service->vips[i].ip, name)) < 0)
            return -1;
    for (size_t i = 0; i < service->num_cidr_vips; i++)
        if (add_cidr(resource, &service->cidr_vips[i]) < 0)
            return -1;
    return 0;
}

static struct discovery_resource *new_by_key(enum discovery_type type, const char *namespace_,
                                             const char *name, struct buf *bytes)
{
    char *key = NULL;
    if (asprintf(&key, "%s/%s", namespace_, name) < 0)
        return NULL;
    struct discovery_resource *resource = new_resource(type, key, bytes);
    free(key);
    return resource;
}

struct discovery_resource *discovery_resource_of_service(const struct mesh_service *service,
                                                         struct err *err)
{
    struct buf bytes = {0};
    struct discovery_resource *resource = NULL;
    if (wds_encode_service(&bytes, service, err) == 0)
        resource = new_by_key(DISCOVERY_ADDRESS, service->namespace_, service->hostname, &bytes);
    buf_done(&bytes);
    if (resource == NULL || name_service(resource, service) < 0)
        return out_of_memory(resource, err);
    return resource;
}

struct discovery_resource *discovery_resource_of_policy(const struct mesh_policy *policy,
                                                        struct err *err)
{
    struct buf bytes = {0};
    struct discovery_resource *resource = NULL;
    if (wds_encode_policy(&bytes, policy, err) == 0)
        resource = new_by_key(DISCOVERY_AUTHORIZATION, policy->namespace_, policy->name, &bytes);
    buf_done(&bytes);
    return resource == NULL ? out_of_memory(NULL, err) : resource;
}

struct discovery_resource *discovery_resource_ref(struct discovery_resource *resource)
{
    refcount_get(&resource->refcount);
    return resource;
}

void discovery_resource_unref(struct discovery_resource *resource)
{
    if (resource != NULL && refcount_put(&resource->refcount))
        free_resource(resource);
}

/* ----------------------------------------------------------------------------------- lists -- */

int discovery_list_add(struct discovery_list *list, struct discovery_resource *resource)
{
    if (list->num == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        struct discovery_resource **values = reallocarray(list->values, capacity, sizeof(*values));
        if (values == NULL)
            return -1;
        list->values = values;
        list->capacity = capacity;
    }
    list->values[list->num++] = resource;
    return 0;
}

static int compare_pointers(const void *a, const void *b)
{
    uintptr_t first = (uintptr_t) * (struct discovery_resource *const *)a;
    uintptr_t second = (uintptr_t) * (struct discovery_resource *const *)b;
    return (first > second) - (first < second);
}

void discovery_list_unique(struct discovery_list *list)
{
    size_t num = 0;
    if (list->num == 0)
        return;
    qsort(list->values, list->num, sizeof(list->values[0]), compare_pointers);
    for (size_t i = 0; i < list->num; i++)
        if (i == 0 || list->values[i] != list->values[i - 1])
            list->values[num++] = list->values[i];
    list->num = num;
}

void discovery_list_done(struct discovery_list *list)
{
    free(list->values);
    *list = (struct discovery_list){0};
}
