#include "mesh_object.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "mesh_copy.h"

void mesh_object_ref(void *object)
{
    struct mesh_object *self = object;
    refcount_get(&self->refcount);
}

void mesh_object_unref(void *object)
{
    struct mesh_object *self = object;
    if (refcount_put(&self->refcount))
        free(self);
}

const struct mesh_object *mesh_object_of_workload(const struct mesh_workload *workload)
{
    const char *start = (const char *)workload - offsetof(struct mesh_workload_object, workload);
    return &((const struct mesh_workload_object *)(const void *)start)->object;
}

const struct mesh_object *mesh_object_of_service(const struct mesh_service *service)
{
    const char *start = (const char *)service - offsetof(struct mesh_service_object, service);
    return &((const struct mesh_service_object *)(const void *)start)->object;
}

/* Makes an object of `from`, as the first thing in the arena. NULL only when out of memory. */
typedef struct mesh_object *object_make(struct mesh_arena *arena, const void *from,
                                        struct mesh_warnings *warnings);

static void *object_new(struct mesh_arena *scratch, object_make *make, const void *from,
                        uint64_t sequence, struct mesh_warnings *warnings)
{
    mesh_arena_reset(scratch);
    make(scratch, from, warnings);
    if (mesh_arena_failed(scratch))
        return NULL;
    size_t len = mesh_arena_total(scratch);
    void *memory = malloc(len);
    if (memory == NULL)
        return NULL;
    struct mesh_arena arena;
    mesh_arena_over(&arena, memory, len);
    struct mesh_object *object = make(&arena, from, NULL);
    assert(object == memory && mesh_arena_total(&arena) == len);
    refcount_init(&object->refcount);
    object->sequence = sequence;
    return object;
}

/* ---------------------------------------------------------------------------- workloads -- */

static void add_places(struct mesh_arena *arena, struct mesh_workload_object *object)
{
    const struct mesh_workload *workload = &object->workload;
    size_t num = workload->network_mode == MESH_NETWORK_HOST ? 0 : workload->num_ips;
    object->places = mesh_arena_array(arena, num, sizeof(*object->places));
    if (object->places == NULL)
        return;
    object->num_places = num;
    for (size_t i = 0; i < num; i++)
        object->places[i] = (struct mesh_workload_place){workload, workload->ips[i]};
}

static void add_endpoints(struct mesh_arena *arena, struct mesh_workload_object *object)
{
    const struct mesh_workload *workload = &object->workload;
    object->endpoints = mesh_arena_array(arena, workload->num_services, sizeof(*object->endpoints));
    for (size_t i = 0; object->endpoints != NULL && i < workload->num_services; i++)
        object->endpoints[i] = (struct mesh_endpoint){workload, &workload->services[i]};
}

static struct mesh_object *make_workload(struct mesh_arena *arena, const void *from,
                                         struct mesh_warnings *warnings)
{
    struct mesh_workload_object *object = mesh_arena_array(arena, 1, sizeof(*object));
    if (object == NULL)
        return NULL;
    mesh_copy_workload(arena, from, &object->workload, warnings);
    if (mesh_arena_failed(arena))
        return NULL;
    add_places(arena, object);
    add_endpoints(arena, object);
    return &object->object;
}

struct mesh_workload_object *mesh_object_new_workload(struct mesh_arena *scratch,
                                                      const struct mesh_workload *workload,
                                                      uint64_t sequence,
                                                      struct mesh_warnings *warnings)
{
    return object_new(scratch, make_workload, workload, sequence, warnings);
}

/* ----------------------------------------------------------------------------- services -- */

/* Once for its own namespace and, when others may see it, once for all. */
static void add_place(struct mesh_service_place *places, size_t *num,
                      const struct mesh_service_place *place)
{
    places[(*num)++] = *place;
    if (place->service->visibility == MESH_NAMESPACE)
        return;
    places[*num] = *place;
    places[(*num)++].for_all = true;
}

static void add_addresses(struct mesh_arena *arena, struct mesh_service_object *object)
{
    const struct mesh_service *service = &object->service;
    object->addresses = mesh_arena_array(arena, 2 * (service->num_vips + service->num_cidr_vips),
                                         sizeof(*object->addresses));
    if (object->addresses == NULL)
        return;
    for (size_t i = 0; i < service->num_vips; i++) {
        const struct mesh_service_place place = {.service = service,
                                                 .network = service->vips[i].network,
                                                 .ip = service->vips[i].ip,
                                                 .prefix_len = MESH_PLACE_EXACT};
        add_place(object->addresses, &object->num_addresses, &place);
    }
    for (size_t i = 0; i < service->num_cidr_vips; i++) {
        const struct mesh_network_cidr *vip = &service->cidr_vips[i];
        const struct mesh_service_place place = {.service = service,
                                                 .network = vip->network,
                                                 .ip = vip->cidr.ip,
                                                 .prefix_len = vip->cidr.prefix_len};
        add_place(object->addresses, &object->num_addresses, &place);
    }
}

static void add_names(struct mesh_arena *arena, struct mesh_service_object *object)
{
    const struct mesh_service_place place = {.service = &object->service};
    object->names = mesh_arena_array(arena, 2, sizeof(*object->names));
    if (object->names != NULL)
        add_place(object->names, &object->num_names, &place);
}

static struct mesh_object *make_service(struct mesh_arena *arena, const void *from,
                                        struct mesh_warnings *warnings)
{
    struct mesh_service_object *object = mesh_arena_array(arena, 1, sizeof(*object));
    if (object == NULL)
        return NULL;
    mesh_copy_service(arena, from, &object->service, warnings);
    if (mesh_arena_failed(arena))
        return NULL;
    add_addresses(arena, object);
    add_names(arena, object);
    return &object->object;
}

struct mesh_service_object *mesh_object_new_service(struct mesh_arena *scratch,
                                                    const struct mesh_service *service,
                                                    uint64_t sequence,
                                                    struct mesh_warnings *warnings)
{
    return object_new(scratch, make_service, service, sequence, warnings);
}

/* ----------------------------------------------------------------------------- policies -- */

static struct mesh_object *make_policy(struct mesh_arena *arena, const void *from,
                                       struct mesh_warnings *warnings)
{
    struct mesh_policy_object *object = mesh_arena_array(arena, 1, sizeof(*object));
    if (object == NULL)
        return NULL;
    mesh_copy_policy(arena, from, &object->policy, warnings);
    return &object->object;
}

struct mesh_policy_object *mesh_object_new_policy(struct mesh_arena *scratch,
                                                  const struct mesh_policy *policy,
                                                  uint64_t sequence, struct mesh_warnings *warnings)
{
    return object_new(scratch, make_policy, policy, sequence, warnings);
}
