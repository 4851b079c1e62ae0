#include "xds_names.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* A key of the tree is a pointer to the text inside its struct xds_name. */
static struct xds_name *name_of(const void *key)
{
    const char *text = key;
    return (struct xds_name *)(uintptr_t)(text - offsetof(struct xds_name, text));
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void release(void *key)
{
    struct xds_name *name = name_of(key);
    free(name->version);
    free(name->ask);
    free(name);
}

void xds_names_done(struct xds_names *names)
{
    tdestroy(names->tree, release);
    *names = (struct xds_names){0};
}

struct xds_name *xds_names_find(const struct xds_names *names, const char *text)
{
    void *const *found = tfind(text, &names->tree, compare);
    return found == NULL ? NULL : name_of(*found);
}

static struct xds_name *new_name(const char *text)
{
    size_t size = strlen(text) + 1;
    struct xds_name *name = calloc(1, sizeof(*name) + size);
    if (name == NULL)
        return NULL;
    LIST_INIT(&name->answers);
    memcpy(name->text, text, size);
    return name;
}

struct xds_name *xds_names_get(struct xds_names *names, const char *text)
{
    struct xds_name *name = xds_names_find(names, text);
    if (name != NULL)
        return name;
    name = new_name(text);
    if (name != NULL && tsearch(name->text, &names->tree, compare) == NULL) {
        free(name);
        return NULL;
    }
    return name;
}

struct xds_ask *xds_names_ask(struct xds_name *name)
{
    if (name->ask == NULL && (name->ask = calloc(1, sizeof(*name->ask))) != NULL)
        name->ask->name = name;
    return name->ask;
}

void xds_names_put(struct xds_names *names, struct xds_name *name)
{
    if (name->ask != NULL && !name->ask->wanted && !name->ask->leaving && !name->ask->joining) {
        free(name->ask);
        name->ask = NULL;
    }
    if (name->version != NULL || name->ask != NULL)
        return;
    tdelete(name->text, &names->tree, compare);
    release(name->text);
}

int xds_names_set_version(struct xds_names *names, struct xds_name *name, const char *version)
{
    char *copy = version == NULL ? NULL : strdup(version);
    if (version != NULL && copy == NULL)
        return -1;
    if (copy != NULL && name->version == NULL)
        names->num_held++;
    if (copy == NULL && name->version != NULL)
        names->num_held--;
    free(name->version);
    name->version = copy;
    return 0;
}

struct walk {
    void (*on_name)(void *owner, struct xds_name *name);
    void *owner;
};

static void on_node(const void *node, VISIT visit, void *closure)
{
    const struct walk *walk = closure;
    if (visit == postorder || visit == leaf)
        walk->on_name(walk->owner, name_of(*(const void *const *)node));
}

void xds_names_each(const struct xds_names *names,
                    void (*on_name)(void *owner, struct xds_name *name), void *owner)
{
    struct walk walk = {.on_name = on_name, .owner = owner};
    twalk_r(names->tree, on_node, &walk);
}
