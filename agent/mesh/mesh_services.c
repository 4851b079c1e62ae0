#include "mesh_services.h"

#include <string.h>

/* ------------------------------------------------------------------------------- by key -- */

static int compare_key(const void *key, const void *item)
{
    const struct mesh_service_object *object = item;
    return strcmp(key, object->service.key);
}

static int compare_keys(const void *left, const void *right)
{
    const struct mesh_service_object *object = left;
    return compare_key(object->service.key, right);
}

static const struct mesh_tree_kind by_key = {
    .compare = compare_keys,
    .ref = mesh_object_ref,
    .unref = mesh_object_unref,
};

/* --------------------------------------------------------- among those of one place -- */

/* Who asks: a namespace for its own services, NULL for those that everybody may see. */
static int compare_seen_by(const char *namespace_, const struct mesh_service_place *place)
{
    if (namespace_ == NULL)
        return place->for_all ? 0 : 1;
    return place->for_all ? -1 : strcmp(namespace_, place->service->namespace_);
}

static const char *seen_by(const struct mesh_service_place *place)
{
    return place->for_all ? NULL : place->service->namespace_;
}

/* The canonical service, then the first added. */
static int compare_preference(const struct mesh_service_place *a,
                              const struct mesh_service_place *b)
{
    if (a->service->canonical != b->service->canonical)
        return a->service->canonical ? -1 : 1;
    uint64_t sequence = mesh_object_of_service(a->service)->sequence;
    uint64_t other_sequence = mesh_object_of_service(b->service)->sequence;
    if (sequence != other_sequence)
        return sequence < other_sequence ? -1 : 1;
    return (a > b) - (a < b);
}

/* --------------------------------------------------------------------------- by address -- */

struct address_key {
    const char *network;
    const struct ip *ip; /* NULL: before all of the prefix length */
    uint8_t family;
    uint8_t prefix_len;
    const char *client_namespace; /* see compare_seen_by */
};

/* Where the place's addresses begin: network, family and prefix length. */
static int compare_prefix(const struct address_key *key, const struct mesh_service_place *place)
{
    if (key->family != place->ip.family)
        return key->family < place->ip.family ? -1 : 1;
    if (key->prefix_len != place->prefix_len)
        return key->prefix_len < place->prefix_len ? -1 : 1;
    return 0;
}

static int compare_ip(const void *key, const void *item)
{
    const struct address_key *wanted = key;
    const struct mesh_service_place *place = item;
    int order = strcmp(wanted->network, place->network);
    if (order == 0)
        order = compare_prefix(wanted, place);
    if (order != 0)
        return order;
    return wanted->ip == NULL ? -1 : ip_compare(wanted->ip, &place->ip);
}

static int compare_address(const void *key, const void *item)
{
    const struct address_key *wanted = key;
    int order = compare_ip(key, item);
    return order != 0 ? order : compare_seen_by(wanted->client_namespace, item);
}

static int compare_addresses(const void *left, const void *right)
{
    const struct mesh_service_place *place = left;
    const struct address_key key = {.network = place->network,
                                    .ip = &place->ip,
                                    .family = place->ip.family,
                                    .prefix_len = place->prefix_len,
                                    .client_namespace = seen_by(place)};
    int order = compare_address(&key, right);
    return order != 0 ? order : compare_preference(place, right);
}

static const struct mesh_tree_kind by_address = {.compare = compare_addresses};

/* -------------------------------------------------------------------------- by hostname -- */

struct hostname_key {
    const char *hostname;
    const char *client_namespace; /* see compare_seen_by */
};

static int compare_hostname(const void *key, const void *item)
{
    const struct hostname_key *wanted = key;
    const struct mesh_service_place *place = item;
    int order = strcmp(wanted->hostname, place->service->hostname);
    return order != 0 ? order : compare_seen_by(wanted->client_namespace, place);
}

static int compare_hostnames(const void *left, const void *right)
{
    const struct mesh_service_place *place = left;
    const struct hostname_key key = {place->service->hostname, seen_by(place)};
    int order = compare_hostname(&key, right);
    return order != 0 ? order : compare_preference(place, right);
}

static const struct mesh_tree_kind by_hostname = {.compare = compare_hostnames};

/* ----------------------------------------------------------------------------- changing -- */

struct mesh_services mesh_services_copy(const struct mesh_services *services)
{
    return (struct mesh_services){.by_key = mesh_tree_copy(&services->by_key),
                                  .by_address = mesh_tree_copy(&services->by_address),
                                  .by_hostname = mesh_tree_copy(&services->by_hostname)};
}

void mesh_services_done(struct mesh_services *services)
{
    mesh_tree_done(&services->by_hostname, &by_hostname);
    mesh_tree_done(&services->by_address, &by_address);
    mesh_tree_done(&services->by_key, &by_key);
}

/* As in mesh_workloads: the tree that owns an object has it first and last. */
static int add_entries(struct mesh_services *services, struct mesh_service_object *object)
{
    for (size_t i = 0; i < object->num_addresses; i++)
        if (mesh_tree_put(&services->by_address, &by_address, &object->addresses[i]) < 0)
            return -1;
    for (size_t i = 0; i < object->num_names; i++)
        if (mesh_tree_put(&services->by_hostname, &by_hostname, &object->names[i]) < 0)
            return -1;
    return 0;
}

static int remove_entries(struct mesh_services *services, const struct mesh_service_object *object)
{
    for (size_t i = 0; i < object->num_addresses; i++)
        if (mesh_tree_remove(&services->by_address, &by_address, &object->addresses[i]) < 0)
            return -1;
    for (size_t i = 0; i < object->num_names; i++)
        if (mesh_tree_remove(&services->by_hostname, &by_hostname, &object->names[i]) < 0)
            return -1;
    return 0;
}

int mesh_services_put(struct mesh_services *services, struct mesh_service_object *object)
{
    const struct mesh_service_object *before = mesh_services_find(services, object->service.key);
    if (before != NULL && remove_entries(services, before) < 0)
        return -1;
    if (mesh_tree_put(&services->by_key, &by_key, object) < 0)
        return -1;
    return add_entries(services, object);
}

int mesh_services_remove(struct mesh_services *services, struct mesh_service_object *object)
{
    if (remove_entries(services, object) < 0)
        return -1;
    return mesh_tree_remove(&services->by_key, &by_key, object);
}

/* ------------------------------------------------------------------------------ looking -- */

struct mesh_service_object *mesh_services_find(const struct mesh_services *services,
                                               const char *key)
{
    return mesh_tree_find(&services->by_key, key, compare_key);
}

static const struct mesh_service *service_of(const struct mesh_service_place *place)
{
    return place == NULL ? NULL : place->service;
}

/* The best of those at the very address, or network, of the key: the client's own, else one that all may see. */
static const struct mesh_service *find_exact(const struct mesh_services *services,
                                             const struct address_key *key)
{
    const struct mesh_service_place *place =
        mesh_tree_find(&services->by_address, key, compare_address);
    if (place != NULL)
        return place->service;
    struct address_key for_all = *key;
    for_all.client_namespace = NULL;
    return service_of(mesh_tree_find(&services->by_address, &for_all, compare_address));
}

/* The shortest prefix of the key's family in its network that any service has, from `least` bits on. -1: there is none. */
static int next_prefix_len(const struct mesh_services *services, const struct address_key *key,
                           int least)
{
    const struct address_key from = {
        .network = key->network, .family = key->family, .prefix_len = (uint8_t)least};
    struct mesh_tree_walk walk;
    const struct mesh_service_place *place =
        mesh_tree_seek(&walk, &services->by_address, &from, compare_ip);
    if (place == NULL || place->prefix_len == MESH_PLACE_EXACT || place->ip.family != key->family ||
        strcmp(place->network, key->network) != 0)
        return -1;
    return place->prefix_len;
}

/*
 * A lookup for each prefix length that is in use, from short to long: the longest of the client's own namespace, else the
 * longest that all may see.
 */
static const struct mesh_service *find_network(const struct mesh_services *services,
                                               const struct address_key *exact)
{
    const struct mesh_service *best = NULL;
    bool best_is_own = false;
    for (int len = next_prefix_len(services, exact, 0); len >= 0;
         len = next_prefix_len(services, exact, len + 1)) {
        struct cidr network = cidr_around(exact->ip, (unsigned)len);
        struct address_key key = *exact;
        key.ip = &network.ip;
        key.prefix_len = network.prefix_len;
        const struct mesh_service *found = find_exact(services, &key);
        bool is_own = found != NULL && strcmp(found->namespace_, exact->client_namespace) == 0;
        if (found != NULL && (is_own || !best_is_own)) {
            best = found;
            best_is_own = is_own;
        }
    }
    return best;
}

const struct mesh_service *mesh_services_at(const struct mesh_services *services,
                                            const char *network, const struct ip *ip,
                                            const char *client_namespace)
{
    const struct address_key key = {.network = network,
                                    .ip = ip,
                                    .family = ip->family,
                                    .prefix_len = MESH_PLACE_EXACT,
                                    .client_namespace = client_namespace};
    const struct mesh_service *exact = find_exact(services, &key);
    return exact != NULL ? exact : find_network(services, &key);
}

const struct mesh_service *mesh_services_named(const struct mesh_services *services,
                                               const char *hostname, const char *client_namespace)
{
    const struct hostname_key own = {hostname, client_namespace};
    const struct mesh_service_place *place =
        mesh_tree_find(&services->by_hostname, &own, compare_hostname);
    if (place != NULL)
        return place->service;
    const struct hostname_key for_all = {hostname, NULL};
    return service_of(mesh_tree_find(&services->by_hostname, &for_all, compare_hostname));
}

bool mesh_services_know(const struct mesh_services *services, const char *network,
                        const struct ip *ip)
{
    const struct address_key key = {
        .network = network, .ip = ip, .family = ip->family, .prefix_len = MESH_PLACE_EXACT};
    return mesh_tree_find(&services->by_address, &key, compare_ip) != NULL;
}
