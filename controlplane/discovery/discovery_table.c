#include "discovery_table.h"

#include <stdlib.h>
#include <string.h>

#include "mesh_name.h"

/* A name that leads to a resource: an alias, or the service that it is an endpoint of. */
struct link {
    const char *name; /* the resource's */
    struct discovery_resource *resource;
};

struct links {
    struct link *values; /* by name */
    size_t num;
};

struct discovery_table {
    struct refcount refcount;
    uint64_t version;
    struct discovery_list all[DISCOVERY_NUM_TYPES]; /* counted here */
    struct links aliases;
    struct links endpoints;
    struct discovery_list networks; /* services with CIDRs; seldom any */
};

/* ---------------------------------------------------------------------------------- making -- */

struct discovery_table *discovery_table_new(uint64_t version)
{
    struct discovery_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return NULL;
    refcount_init(&table->refcount);
    table->version = version;
    return table;
}

int discovery_table_add(struct discovery_table *table, struct discovery_resource *resource)
{
    if (discovery_list_add(&table->all[resource->type], resource) < 0)
        return -1;
    discovery_resource_ref(resource);
    return 0;
}

/* A resource and when it was added: qsort does not keep the order of equals. */
struct added {
    struct discovery_resource *resource;
    size_t index;
};

static int compare_added(const void *a, const void *b)
{
    const struct added *first = a;
    const struct added *second = b;
    int order = strcmp(first->resource->name, second->resource->name);
    return order != 0 ? order : (first->index > second->index) - (first->index < second->index);
}

static int sort_by_name(struct discovery_list *list,
                        void (*on_clash)(void *owner, const struct discovery_resource *stays,
                                         const struct discovery_resource *goes),
                        void *owner)
{
    size_t num = 0;
    struct added *sorted = calloc(list->num + 1, sizeof(*sorted));
    if (sorted == NULL)
        return -1;
    for (size_t i = 0; i < list->num; i++)
        sorted[i] = (struct added){.resource = list->values[i], .index = i};
    qsort(sorted, list->num, sizeof(*sorted), compare_added);
    for (size_t i = 0; i < list->num; i++) {
        struct discovery_resource *resource = sorted[i].resource;
        struct discovery_resource *before = num == 0 ? NULL : list->values[num - 1];
        if (before == NULL || strcmp(before->name, resource->name) != 0) {
            list->values[num++] = resource;
            continue;
        }
        if (on_clash != NULL)
            on_clash(owner, before, resource);
        discovery_resource_unref(resource);
    }
    list->num = num;
    free(sorted);
    return 0;
}

static int compare_links(const void *a, const void *b)
{
    return strcmp(((const struct link *)a)->name, ((const struct link *)b)->name);
}

typedef const struct discovery_texts *texts_of(const struct discovery_resource *resource);

static const struct discovery_texts *aliases_of(const struct discovery_resource *resource)
{
    return &resource->aliases;
}

static const struct discovery_texts *services_of(const struct discovery_resource *resource)
{
    return &resource->services;
}

static int make_links(struct links *links, const struct discovery_list *list, texts_of *texts)
{
    size_t num = 0;
    for (size_t i = 0; i < list->num; i++)
        num += texts(list->values[i])->num;
    links->values = calloc(num + 1, sizeof(*links->values));
    if (links->values == NULL)
        return -1;
    for (size_t i = 0; i < list->num; i++) {
        const struct discovery_texts *names = texts(list->values[i]);
        for (size_t k = 0; k < names->num; k++)
            links->values[links->num++] =
                (struct link){.name = names->values[k], .resource = list->values[i]};
    }
    qsort(links->values, links->num, sizeof(*links->values), compare_links);
    return 0;
}

int discovery_table_seal(struct discovery_table *table,
                         void (*on_clash)(void *owner, const struct discovery_resource *stays,
                                          const struct discovery_resource *goes),
                         void *owner)
{
    const struct discovery_list *addresses = &table->all[DISCOVERY_ADDRESS];
    for (enum discovery_type type = 0; type < DISCOVERY_NUM_TYPES; type++)
        if (sort_by_name(&table->all[type], on_clash, owner) < 0)
            return -1;
    for (size_t i = 0; i < addresses->num; i++)
        if (addresses->values[i]->num_cidrs > 0 &&
            discovery_list_add(&table->networks, addresses->values[i]) < 0)
            return -1;
    if (make_links(&table->aliases, addresses, aliases_of) < 0)
        return -1;
    return make_links(&table->endpoints, addresses, services_of);
}

struct discovery_table *discovery_table_ref(struct discovery_table *table)
{
    refcount_get(&table->refcount);
    return table;
}

void discovery_table_unref(struct discovery_table *table)
{
    if (table == NULL || !refcount_put(&table->refcount))
        return;
    for (enum discovery_type type = 0; type < DISCOVERY_NUM_TYPES; type++) {
        for (size_t i = 0; i < table->all[type].num; i++)
            discovery_resource_unref(table->all[type].values[i]);
        discovery_list_done(&table->all[type]);
    }
    discovery_list_done(&table->networks);
    free(table->aliases.values);
    free(table->endpoints.values);
    free(table);
}

/* --------------------------------------------------------------------------------- looking -- */

uint64_t discovery_table_version(const struct discovery_table *table)
{
    return table->version;
}

const struct discovery_list *discovery_table_all(const struct discovery_table *table,
                                                 enum discovery_type type)
{
    return &table->all[type];
}

struct discovery_resource *discovery_table_find(const struct discovery_table *table,
                                                enum discovery_type type, const char *name)
{
    const struct discovery_list *list = &table->all[type];
    size_t low = 0;
    size_t high = list->num;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(list->values[middle]->name, name);
        if (order == 0)
            return list->values[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The first link that is not before `name`. */
static size_t find_links(const struct links *links, const char *name)
{
    size_t low = 0;
    size_t high = links->num;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(links->values[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The resource, and if it is a service, its endpoints; nothing names a workload as its service. */
static int add_with_endpoints(const struct discovery_table *table,
                              struct discovery_resource *resource, struct discovery_list *found)
{
    const struct links *links = &table->endpoints;
    if (discovery_list_add(found, resource) < 0)
        return -1;
    for (size_t i = find_links(links, resource->name);
         i < links->num && strcmp(links->values[i].name, resource->name) == 0; i++)
        if (discovery_list_add(found, links->values[i].resource) < 0)
            return -1;
    return 0;
}

static int add_by_alias(const struct discovery_table *table, const char *alias,
                        struct discovery_list *found)
{
    const struct links *links = &table->aliases;
    for (size_t i = find_links(links, alias);
         i < links->num && strcmp(links->values[i].name, alias) == 0; i++)
        if (add_with_endpoints(table, links->values[i].resource, found) < 0)
            return -1;
    return 0;
}

static bool takes(const struct discovery_resource *service, const char *network, size_t network_len,
                  const struct ip *ip)
{
    for (size_t i = 0; i < service->num_cidrs; i++) {
        const struct mesh_network_cidr *cidr = &service->cidrs[i];
        if (strlen(cidr->network) == network_len &&
            memcmp(cidr->network, network, network_len) == 0 && cidr_contains(&cidr->cidr, ip))
            return true;
    }
    return false;
}

static int add_by_network(const struct discovery_table *table, const char *network,
                          size_t network_len, const struct ip *ip, struct discovery_list *found)
{
    for (size_t i = 0; i < table->networks.num; i++) {
        struct discovery_resource *service = table->networks.values[i];
        if (takes(service, network, network_len, ip) &&
            add_with_endpoints(table, service, found) < 0)
            return -1;
    }
    return 0;
}

/* "<network>/<ip>", the address spelt in any way. */
static int add_by_address(const struct discovery_table *table, const char *name,
                          struct discovery_list *found)
{
    const char *slash = strchr(name, '/');
    struct ip ip;
    char network[MESH_NAME_MAX + 1] = "";
    char alias[MESH_NAME_TEXT_MAX];
    if (slash == NULL || ip_parse(&ip, slash + 1, NULL) < 0)
        return add_by_alias(table, name, found); /* perhaps a network's */
    size_t network_len = (size_t)(slash - name);
    if (network_len > MESH_NAME_MAX)
        return 0;
    memcpy(network, name, network_len);
    if (add_by_alias(table, mesh_name_of_address(network, &ip, alias), found) < 0)
        return -1;
    return add_by_network(table, network, network_len, &ip, found);
}

int discovery_table_resolve(const struct discovery_table *table, enum discovery_type type,
                            const char *name, struct discovery_list *found)
{
    struct discovery_resource *resource = discovery_table_find(table, type, name);
    if (type == DISCOVERY_AUTHORIZATION)
        return resource == NULL ? 0 : discovery_list_add(found, resource);
    if (resource != NULL)
        return add_with_endpoints(table, resource, found);
    return add_by_address(table, name, found);
}
