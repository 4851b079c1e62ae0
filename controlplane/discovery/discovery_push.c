#include "discovery_push.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESOURCE_OVERHEAD = 64, /* bytes around one on the wire: tags, lengths, the type URL, version */
};

int discovery_push_add(struct discovery_push *push, struct discovery_resource *resource)
{
    if (discovery_list_add(&push->resources, resource) < 0)
        return -1;
    discovery_resource_ref(resource);
    return 0;
}

int discovery_push_add_removed(struct discovery_push *push, const char *name)
{
    struct discovery_texts *removed = &push->removed;
    if (removed->num == push->removed_capacity) {
        size_t capacity = push->removed_capacity == 0 ? 16 : 2 * push->removed_capacity;
        const char **values = reallocarray(removed->values, capacity, sizeof(values[0]));
        if (values == NULL)
            return -1;
        removed->values = values;
        push->removed_capacity = capacity;
    }
    removed->values[removed->num] = strdup(name);
    if (removed->values[removed->num] == NULL)
        return -1;
    removed->num++;
    return 0;
}

size_t discovery_push_num_resources(const struct discovery_push *push)
{
    return push->resources.num - push->num_sent;
}

size_t discovery_push_num_removed(const struct discovery_push *push)
{
    return push->removed.num - push->num_removed_sent;
}

static size_t wire_len(const struct discovery_resource *resource)
{
    size_t len = RESOURCE_OVERHEAD + resource->len + strlen(resource->name);
    for (size_t i = 0; i < resource->aliases.num; i++)
        len += strlen(resource->aliases.values[i]) + 2;
    return len;
}

struct discovery_resource *const *discovery_push_take(struct discovery_push *push, size_t max,
                                                      size_t *num)
{
    size_t left = discovery_push_num_resources(push);
    size_t len = 0;
    *num = 0;
    if (left == 0)
        return NULL;
    struct discovery_resource *const *first = push->resources.values + push->num_sent;
    for (; *num < left; ++*num) {
        len += wire_len(first[*num]);
        if (*num > 0 && len > max)
            break;
    }
    push->num_sent += *num;
    return first;
}

const char *const *discovery_push_take_removed(struct discovery_push *push, size_t max, size_t *num)
{
    size_t left = discovery_push_num_removed(push);
    size_t len = 0;
    *num = 0;
    if (left == 0)
        return NULL;
    const char *const *first = push->removed.values + push->num_removed_sent;
    for (; *num < left; ++*num) {
        len += strlen(first[*num]) + 5;
        if (*num > 0 && len > max)
            break;
    }
    push->num_removed_sent += *num;
    return first;
}

void discovery_push_reset(struct discovery_push *push)
{
    for (size_t i = 0; i < push->resources.num; i++)
        discovery_resource_unref(push->resources.values[i]);
    discovery_list_done(&push->resources);
    for (size_t i = 0; i < push->removed.num; i++)
        free((void *)(uintptr_t)push->removed.values[i]);
    free(push->removed.values);
    *push = (struct discovery_push){0};
}
