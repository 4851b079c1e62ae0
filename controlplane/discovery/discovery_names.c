#include "discovery_names.h"

#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A balanced tree (glibc's tsearch): clients choose the names, so nothing may depend on luck. */
static int compare(const void *a, const void *b)
{
    return strcmp(((const struct discovery_name *)a)->text,
                  ((const struct discovery_name *)b)->text);
}

static struct discovery_name key_of(const char *text)
{
    return (struct discovery_name){.text = (char *)(uintptr_t)text};
}

static void free_name(void *name)
{
    free(((struct discovery_name *)name)->text);
    free(name);
}

struct discovery_name *discovery_names_find(const struct discovery_names *names, const char *text)
{
    struct discovery_name key = key_of(text);
    struct discovery_name *const *found = tfind(&key, &names->tree, compare);
    return found == NULL ? NULL : *found;
}

static struct discovery_name *new_name(const char *text)
{
    struct discovery_name *name = calloc(1, sizeof(*name));
    if (name != NULL && (name->text = strdup(text)) == NULL) {
        free(name);
        return NULL;
    }
    return name;
}

struct discovery_name *discovery_names_put(struct discovery_names *names, const char *text)
{
    struct discovery_name *name = discovery_names_find(names, text);
    if (name != NULL)
        return name;
    name = new_name(text);
    if (name != NULL && tsearch(name, &names->tree, compare) == NULL) {
        free_name(name);
        return NULL;
    }
    names->num += name != NULL;
    return name;
}

void discovery_names_remove(struct discovery_names *names, const char *text)
{
    struct discovery_name *name = discovery_names_find(names, text);
    if (name == NULL)
        return;
    tdelete(name, &names->tree, compare);
    names->num--;
    free_name(name);
}

struct walk {
    void (*on_name)(void *owner, struct discovery_name *name);
    void *owner;
};

static void visit(const void *node, VISIT which, void *owner)
{
    struct walk *walk = owner;
    if (which == postorder || which == leaf)
        walk->on_name(walk->owner, *(struct discovery_name *const *)node);
}

void discovery_names_each(const struct discovery_names *names,
                          void (*on_name)(void *owner, struct discovery_name *name), void *owner)
{
    struct walk walk = {.on_name = on_name, .owner = owner};
    twalk_r(names->tree, visit, &walk);
}

void discovery_names_done(struct discovery_names *names)
{
    tdestroy(names->tree, free_name);
    *names = (struct discovery_names){0};
}
