#include "discovery_subscription.h"

#include <string.h>

/* -------------------------------------------------------------------------------- requests -- */

static bool is_star(const char *name)
{
    return strcmp(name, "*") == 0;
}

static bool has_star(const char *const *names, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (is_star(names[i]))
            return true;
    return false;
}

/* Everything is told anew; what the client held before does not matter to a wildcard that begins. */
static void set_wildcard(struct discovery_subscription *subscription, bool wildcard)
{
    if (subscription->wildcard == wildcard)
        return;
    subscription->wildcard = wildcard;
    subscription->changed = true;
    discovery_table_unref(subscription->told);
    subscription->told = NULL;
}

/*
 * "*" subscribes to everything. A first request that names nothing to subscribe means the same; with
 * "*" in both lists it means a client that will name things later (istiod's clients on demand).
 */
static void read_wildcard(struct discovery_subscription *subscription,
                          const struct discovery_request *request, bool is_first)
{
    bool unsubscribes = has_star(request->unsubscribe, request->num_unsubscribe);
    bool subscribes = has_star(request->subscribe, request->num_subscribe) ||
                      (is_first && request->num_subscribe == 0);
    if (unsubscribes)
        set_wildcard(subscription, false);
    else if (subscribes)
        set_wildcard(subscription, true);
}

static int put_held(struct discovery_subscription *subscription, const struct discovery_held *held,
                    struct err *err)
{
    struct discovery_name *name = discovery_names_put(&subscription->names, held->name);
    if (name == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    /* A version that none of ours can be is no version of ours, and known to be held all the same. */
    if (held->version[0] == '\0' || strlen(held->version) >= sizeof(name->version))
        memcpy(name->version, "?", 2);
    else
        memcpy(name->version, held->version, strlen(held->version) + 1);
    return 0;
}

static void unsubscribe(struct discovery_subscription *subscription, const char *text)
{
    const struct discovery_name *name = discovery_names_find(&subscription->names, text);
    if (name == NULL)
        return;
    subscription->num_asked -= name->asked;
    subscription->num_pending -= name->pending;
    discovery_names_remove(&subscription->names, text);
}

static int subscribe(struct discovery_subscription *subscription, const char *text, bool is_first,
                     struct err *err)
{
    if (strlen(text) > MESH_UID_MAX)
        return err_set(err, ERR_LIMIT, "a name has more than %d bytes", MESH_UID_MAX);
    struct discovery_name *name = discovery_names_put(&subscription->names, text);
    if (name == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (!name->asked && subscription->num_asked >= DISCOVERY_NAMES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d names are subscribed", DISCOVERY_NAMES_MAX);
    subscription->num_asked += !name->asked;
    subscription->num_pending += !name->pending;
    name->asked = true;
    name->pending = true;
    name->again = !is_first;
    return 0;
}

int discovery_subscription_request(struct discovery_subscription *subscription,
                                   const struct discovery_request *request, struct err *err)
{
    bool is_first = !subscription->active;
    subscription->active = true;
    read_wildcard(subscription, request, is_first);
    if (!subscription->wildcard && request->num_held > DISCOVERY_HELD_MAX)
        return err_set(err, ERR_LIMIT, "more than %d resources are held", DISCOVERY_HELD_MAX);
    if (is_first) {
        subscription->changed = true;
        subscription->owes_answer = true;
        for (size_t i = 0; i < request->num_held; i++)
            if (put_held(subscription, &request->held[i], err) < 0)
                return -1;
    }
    if (subscription->wildcard)
        return 0; /* names are among everything */
    for (size_t i = 0; i < request->num_unsubscribe; i++)
        if (!is_star(request->unsubscribe[i]))
            unsubscribe(subscription, request->unsubscribe[i]);
    for (size_t i = 0; i < request->num_subscribe; i++)
        if (!is_star(request->subscribe[i]) &&
            subscribe(subscription, request->subscribe[i], is_first, err) < 0)
            return -1;
    return 0;
}

/* ------------------------------------------------------------------------ wildcard, on change -- */

/* What the client holds and what is, both in the order of their names, side by side. */
static int compare_lists(struct discovery_push *push, const struct discovery_list *before,
                         const struct discovery_list *now)
{
    size_t i = 0;
    size_t k = 0;
    while (i < before->num || k < now->num) {
        int order = i == before->num ? 1
                    : k == now->num  ? -1
                                     : strcmp(before->values[i]->name, now->values[k]->name);
        int result = 0;
        if (order < 0)
            result = discovery_push_add_removed(push, before->values[i]->name);
        else if (order > 0 || strcmp(before->values[i]->version, now->values[k]->version) != 0)
            result = discovery_push_add(push, now->values[k]);
        if (result < 0)
            return -1;
        i += order <= 0;
        k += order >= 0;
    }
    return 0;
}

struct pass {
    struct discovery_subscription *subscription;
    struct discovery_table *table;
    struct discovery_list found;
    struct discovery_list again; /* of these, what was asked for again */
    bool only_pending;
    bool failed; /* out of memory */
};

static void push_if_gone(void *owner, struct discovery_name *name)
{
    struct pass *pass = owner;
    struct discovery_subscription *subscription = pass->subscription;
    bool held = name->version[0] != '\0';
    if (held && discovery_table_find(pass->table, subscription->type, name->text) == NULL &&
        discovery_push_add_removed(&subscription->push, name->text) < 0)
        pass->failed = true;
}

/* The first time: the client may hold some of it since an earlier stream. */
static int begin_wildcard(struct discovery_subscription *subscription,
                          struct discovery_table *table)
{
    const struct discovery_list *all = discovery_table_all(table, subscription->type);
    struct pass pass = {.subscription = subscription, .table = table};
    for (size_t i = 0; i < all->num; i++) {
        const struct discovery_name *held =
            discovery_names_find(&subscription->names, all->values[i]->name);
        bool same = held != NULL && strcmp(held->version, all->values[i]->version) == 0;
        if (!same && discovery_push_add(&subscription->push, all->values[i]) < 0)
            return -1;
    }
    discovery_names_each(&subscription->names, push_if_gone, &pass);
    discovery_names_done(&subscription->names);
    subscription->num_asked = 0;
    subscription->num_pending = 0;
    return pass.failed ? -1 : 0;
}

static int compare_wildcard(struct discovery_subscription *subscription,
                            struct discovery_table *table)
{
    int result;
    if (subscription->told == NULL)
        result = begin_wildcard(subscription, table);
    else
        result = compare_lists(&subscription->push,
                               discovery_table_all(subscription->told, subscription->type),
                               discovery_table_all(table, subscription->type));
    discovery_table_unref(subscription->told);
    subscription->told = discovery_table_ref(table);
    return result;
}

/* ----------------------------------------------------------------------- on demand, by name -- */

static void look_up(void *owner, struct discovery_name *name)
{
    struct pass *pass = owner;
    struct discovery_subscription *subscription = pass->subscription;
    if (pass->failed || (pass->only_pending && !name->pending))
        return;
    size_t before = pass->found.num;
    if (discovery_table_resolve(pass->table, subscription->type, name->text, &pass->found) < 0)
        pass->failed = true;
    bool unknown = pass->found.num == before;
    bool held = name->version[0] != '\0'; /* then it is among what is gone */
    if (name->pending && unknown && !held &&
        discovery_push_add_removed(&subscription->push, name->text) < 0)
        pass->failed = true;
    for (size_t i = before; name->again && i < pass->found.num; i++)
        if (discovery_list_add(&pass->again, pass->found.values[i]) < 0)
            pass->failed = true;
    subscription->num_pending -= name->pending;
    name->pending = false;
    name->again = false;
}

/* As if the client had never been told. */
static void forget(struct discovery_subscription *subscription, const struct discovery_list *list)
{
    for (size_t i = 0; i < list->num; i++) {
        struct discovery_name *name =
            discovery_names_find(&subscription->names, list->values[i]->name);
        if (name != NULL)
            name->version[0] = '\0';
    }
}

/* Those that the client does not hold in this version. */
static int push_found(struct discovery_subscription *subscription, struct discovery_list *found)
{
    discovery_list_unique(found);
    for (size_t i = 0; i < found->num; i++) {
        struct discovery_resource *resource = found->values[i];
        struct discovery_name *name = discovery_names_put(&subscription->names, resource->name);
        if (name == NULL)
            return -1;
        if (strcmp(name->version, resource->version) == 0)
            continue;
        if (discovery_push_add(&subscription->push, resource) < 0)
            return -1;
        memcpy(name->version, resource->version, sizeof(name->version));
    }
    return 0;
}

static void find_gone(void *owner, struct discovery_name *name)
{
    struct pass *pass = owner;
    bool held = name->version[0] != '\0';
    if (!held || discovery_table_find(pass->table, pass->subscription->type, name->text) != NULL)
        return;
    if (discovery_push_add_removed(&pass->subscription->push, name->text) < 0)
        pass->failed = true;
    else
        name->version[0] = '\0';
}

/* What the client held and is no more. A name that it never asked for is forgotten with it. */
static int push_gone(struct pass *pass)
{
    struct discovery_subscription *subscription = pass->subscription;
    size_t first = subscription->push.removed.num;
    discovery_names_each(&subscription->names, find_gone, pass);
    for (size_t i = first; i < subscription->push.removed.num; i++) {
        const char *text = subscription->push.removed.values[i];
        const struct discovery_name *name = discovery_names_find(&subscription->names, text);
        if (name != NULL && !name->asked)
            discovery_names_remove(&subscription->names, text);
    }
    return pass->failed ? -1 : 0;
}

static int compare_names(struct discovery_subscription *subscription, struct discovery_table *table,
                         bool changed)
{
    struct pass pass = {.subscription = subscription, .table = table, .only_pending = !changed};
    discovery_names_each(&subscription->names, look_up, &pass);
    forget(subscription, &pass.again);
    int result = pass.failed ? -1 : push_found(subscription, &pass.found);
    if (result == 0 && changed)
        result = push_gone(&pass);
    discovery_list_done(&pass.found);
    discovery_list_done(&pass.again);
    return result;
}

/* ----------------------------------------------------------------------------------- both -- */

bool discovery_subscription_is_due(const struct discovery_subscription *subscription)
{
    return subscription->active && (subscription->changed || subscription->num_pending > 0);
}

int discovery_subscription_compare(struct discovery_subscription *subscription,
                                   struct discovery_table *table)
{
    bool changed = subscription->changed;
    subscription->changed = false;
    discovery_push_reset(&subscription->push);
    if (!subscription->wildcard)
        return compare_names(subscription, table, changed);
    return changed ? compare_wildcard(subscription, table) : 0;
}

void discovery_subscription_done(struct discovery_subscription *subscription)
{
    discovery_names_done(&subscription->names);
    discovery_table_unref(subscription->told);
    discovery_push_reset(&subscription->push);
    *subscription = (struct discovery_subscription){.type = subscription->type};
}
