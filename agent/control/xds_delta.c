#include "xds_delta.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"
#include "xds_delta_impl.h"

/* -------------------------------------------------------------------------------------- life -- */

struct xds_delta *xds_delta_new(const struct xds_delta_options *options,
                                const struct xds_delta_handler *handler, void *owner,
                                struct err *err)
{
    struct xds_delta *delta = calloc(1, sizeof(*delta));
    if (delta == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    delta->handler = handler;
    delta->owner = owner;
    delta->wildcard = options->wildcard;
    TAILQ_INIT(&delta->wanted);
    TAILQ_INIT(&delta->leaving);
    TAILQ_INIT(&delta->joining);
    STAILQ_INIT(&delta->acks);
    if (xds_node_write(&delta->node, options->node, err) < 0) {
        xds_delta_free(delta);
        return NULL;
    }
    return delta;
}

static void drop_acks(struct xds_delta *delta)
{
    while (!STAILQ_EMPTY(&delta->acks)) {
        struct xds_ack *ack = STAILQ_FIRST(&delta->acks);
        STAILQ_REMOVE_HEAD(&delta->acks, entry);
        free(ack);
    }
    delta->num_acks = 0;
}

void xds_delta_free(struct xds_delta *delta)
{
    if (delta == NULL)
        return;
    drop_acks(delta);
    for (int type = 0; type < XDS_NUM_TYPES; type++)
        xds_names_done(&delta->names[type]);
    buf_done(&delta->node);
    free(delta);
}

/* ------------------------------------------------------------------ what the server is to know -- */

void xds_delta_join(struct xds_delta *delta, struct xds_ask *ask)
{
    if (ask->joining)
        return;
    ask->joining = true;
    TAILQ_INSERT_TAIL(&delta->joining, ask, joining_entry);
}

void xds_delta_leave(struct xds_delta *delta, struct xds_ask *ask)
{
    if (ask->leaving || !ask->name->in_set)
        return;
    ask->leaving = true;
    TAILQ_INSERT_TAIL(&delta->leaving, ask, leaving_entry);
}

void xds_delta_dequeue(struct xds_delta *delta, struct xds_ask *ask)
{
    if (ask->joining)
        TAILQ_REMOVE(&delta->joining, ask, joining_entry);
    if (ask->leaving)
        TAILQ_REMOVE(&delta->leaving, ask, leaving_entry);
    ask->joining = ask->leaving = false;
}

void xds_delta_rejoin(struct xds_delta *delta, struct xds_ask *ask)
{
    if (ask->joining)
        return;
    xds_delta_leave(delta, ask);
    xds_delta_join(delta, ask);
}

void xds_delta_clear_answer(struct xds_ask *ask)
{
    if (ask->answered_by != NULL)
        LIST_REMOVE(ask, answer_entry);
    ask->answered_by = NULL;
    ask->answered = false;
}

void xds_delta_set_answer(struct xds_ask *ask, struct xds_name *by)
{
    xds_delta_clear_answer(ask);
    ask->answered = true;
    ask->answered_by = by;
    if (by != NULL)
        LIST_INSERT_HEAD(&by->answers, ask, answer_entry);
}

/* ----------------------------------------------------------------------------------- streams -- */

struct restart {
    struct xds_delta *delta;
    enum xds_type type;
};

static void forget_stream(void *owner, struct xds_name *name)
{
    struct restart *restart = owner;
    name->in_set = false;
    if (name->version != NULL)
        xds_delta_set_unconfirmed(restart->delta, restart->type, name);
}

/* What was to be told on the former stream, and the names of which that was all there was to know. */
static void drop_asks(struct xds_delta *delta)
{
    struct xds_ask *ask;
    while ((ask = TAILQ_FIRST(&delta->leaving)) != NULL ||
           (ask = TAILQ_FIRST(&delta->joining)) != NULL) {
        struct xds_name *name = ask->name;
        xds_delta_dequeue(delta, ask);
        xds_names_put(&delta->names[XDS_ADDRESS], name);
    }
}

void xds_delta_start(struct xds_delta *delta)
{
    struct xds_ask *ask;
    drop_acks(delta);
    drop_asks(delta);
    delta->is_started = true;
    for (int type = 0; type < XDS_NUM_TYPES; type++) {
        struct restart restart = {.delta = delta, .type = (enum xds_type)type};
        delta->first_due[type] = true;
        xds_names_each(&delta->names[type], forget_stream, &restart);
    }
    TAILQ_FOREACH (ask, &delta->wanted, wanted_entry) {
        if (!ask->answered)
            xds_delta_join(delta, ask);
    }
}

void xds_delta_set_confirmed(struct xds_delta *delta, enum xds_type type, struct xds_name *name)
{
    if (name->unconfirmed)
        delta->num_unconfirmed[type]--;
    name->unconfirmed = false;
}

void xds_delta_set_unconfirmed(struct xds_delta *delta, enum xds_type type, struct xds_name *name)
{
    if (!name->unconfirmed)
        delta->num_unconfirmed[type]++;
    name->unconfirmed = true;
}

size_t xds_delta_num_unconfirmed(const struct xds_delta *delta, enum xds_type type)
{
    return delta->first_due[type] ? 0 : delta->num_unconfirmed[type];
}

struct collection {
    struct xds_name **names;
    size_t num;
    size_t max;
};

static void collect_unconfirmed(void *owner, struct xds_name *name)
{
    struct collection *collection = owner;
    if (name->unconfirmed && collection->num < collection->max)
        collection->names[collection->num++] = name;
}

void xds_delta_remove_unconfirmed(struct xds_delta *delta, enum xds_type type)
{
    struct collection collection = {.max = xds_delta_num_unconfirmed(delta, type)};
    if (collection.max == 0)
        return;
    collection.names = calloc(collection.max, sizeof(struct xds_name *));
    if (collection.names == NULL)
        return; /* the next call does it */
    xds_names_each(&delta->names[type], collect_unconfirmed, &collection);
    for (size_t i = 0; i < collection.num; i++) {
        xds_delta_remove(delta, type, collection.names[i]);
        xds_names_put(&delta->names[type], collection.names[i]);
    }
    free(collection.names);
}

/* --------------------------------------------------------------------------------- on demand -- */

/* "*" would subscribe to everything. */
static bool is_name(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > XDS_NAME_MAX || strcmp(text, "*") == 0 || !utf8_is_text(text, len))
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return true;
}

static int begin_to_want(struct xds_delta *delta, struct xds_name *name, struct err *err)
{
    struct xds_ask *ask = xds_names_ask(name);
    if (ask == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    ask->wanted = true;
    TAILQ_INSERT_TAIL(&delta->wanted, ask, wanted_entry);
    delta->num_wanted++;
    if (name->version == NULL) {
        xds_delta_join(delta, ask);
        return 0;
    }
    xds_delta_set_answer(ask, name);
    return 1;
}

int xds_delta_subscribe(struct xds_delta *delta, const char *text, struct err *err)
{
    struct xds_names *names = &delta->names[XDS_ADDRESS];
    if (delta->wildcard)
        return 0;
    if (!is_name(text))
        return err_set(err, ERR_INVALID, "\"%.64s\" is no name that could be asked for", text);
    struct xds_name *name = xds_names_find(names, text);
    if (name != NULL && name->ask != NULL && name->ask->wanted)
        return 0;
    if (delta->num_wanted >= XDS_SUBSCRIBED_MAX)
        return err_set(err, ERR_LIMIT, "%d names are subscribed already", XDS_SUBSCRIBED_MAX);
    name = xds_names_get(names, text);
    if (name == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int result = begin_to_want(delta, name, err);
    if (result < 0)
        xds_names_put(names, name);
    return result;
}

static struct xds_ask *find_wanted(const struct xds_delta *delta, const char *text)
{
    struct xds_name *name = xds_names_find(&delta->names[XDS_ADDRESS], text);
    return name != NULL && name->ask != NULL && name->ask->wanted ? name->ask : NULL;
}

void xds_delta_unsubscribe(struct xds_delta *delta, const char *text)
{
    struct xds_ask *ask = find_wanted(delta, text);
    if (ask == NULL)
        return;
    struct xds_name *name = ask->name;
    xds_delta_clear_answer(ask);
    xds_delta_dequeue(delta, ask);
    TAILQ_REMOVE(&delta->wanted, ask, wanted_entry);
    delta->num_wanted--;
    ask->wanted = false;
    if (name->version == NULL)
        xds_delta_leave(delta, ask);
    xds_names_put(&delta->names[XDS_ADDRESS], name);
}

void xds_delta_ask_again(struct xds_delta *delta, const char *text)
{
    struct xds_ask *ask = find_wanted(delta, text);
    if (ask != NULL)
        xds_delta_rejoin(delta, ask);
}

void xds_delta_ask_again_by(struct xds_delta *delta, const char *by)
{
    struct xds_name *name = xds_names_find(&delta->names[XDS_ADDRESS], by);
    struct xds_ask *ask;
    if (name == NULL)
        return;
    LIST_FOREACH (ask, &name->answers, answer_entry)
        xds_delta_rejoin(delta, ask);
}

bool xds_delta_is_needed(const struct xds_delta *delta, const char *text)
{
    const struct xds_name *name = xds_names_find(&delta->names[XDS_ADDRESS], text);
    return name != NULL &&
           (!LIST_EMPTY(&name->answers) || (name->ask != NULL && name->ask->wanted));
}

void xds_delta_drop(struct xds_delta *delta, const char *text)
{
    struct xds_name *name = xds_names_find(&delta->names[XDS_ADDRESS], text);
    if (delta->wildcard || name == NULL || name->version == NULL)
        return;
    while (!LIST_EMPTY(&name->answers)) {
        struct xds_ask *answered = LIST_FIRST(&name->answers);
        xds_delta_clear_answer(answered);
        xds_delta_rejoin(delta, answered);
    }
    xds_delta_set_confirmed(delta, XDS_ADDRESS, name);
    xds_names_set_version(&delta->names[XDS_ADDRESS], name, NULL);
    /* Without the memory to say so, the server goes on telling, and it will be dropped again. */
    struct xds_ask *ask = xds_names_ask(name);
    if (ask != NULL && !ask->wanted)
        xds_delta_leave(delta, ask);
    xds_names_put(&delta->names[XDS_ADDRESS], name);
}

/* ------------------------------------------------------------------------------ what is known -- */

int xds_delta_restore(struct xds_delta *delta, enum xds_type type, const char *text,
                      const char *version, struct err *err)
{
    struct xds_names *names = &delta->names[type];
    if (!is_name(text) || strlen(version) > XDS_VERSION_MAX)
        return err_set(err, ERR_INVALID, "\"%.64s\" is no name of a resource", text);
    if (names->num_held >= XDS_HELD_MAX)
        return err_set(err, ERR_LIMIT, "%d resources are held already", XDS_HELD_MAX);
    struct xds_name *name = xds_names_get(names, text);
    if (name == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (xds_names_set_version(names, name, version) < 0) {
        xds_names_put(names, name);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    return 0;
}

int xds_delta_restore_answer(struct xds_delta *delta, const char *text, const char *by,
                             struct err *err)
{
    struct xds_names *names = &delta->names[XDS_ADDRESS];
    struct xds_name *resource = xds_names_find(names, by);
    if (resource == NULL || resource->version == NULL)
        return err_set(err, ERR_INVALID, "\"%.64s\" is not held", by);
    if (xds_delta_subscribe(delta, text, err) < 0)
        return -1;
    struct xds_ask *ask = find_wanted(delta, text);
    if (ask == NULL)
        return err_set(err, ERR_INVALID, "not in wildcard mode");
    xds_delta_dequeue(delta, ask);
    xds_delta_set_answer(ask, resource);
    return 0;
}

const char *xds_delta_version(const struct xds_delta *delta, enum xds_type type, const char *text)
{
    const struct xds_name *name = xds_names_find(&delta->names[type], text);
    return name == NULL ? NULL : name->version;
}

bool xds_delta_is_answered(const struct xds_delta *delta, enum xds_type type)
{
    return delta->answered[type];
}

size_t xds_delta_num_held(const struct xds_delta *delta, enum xds_type type)
{
    return delta->names[type].num_held;
}

size_t xds_delta_num_subscribed(const struct xds_delta *delta)
{
    return delta->num_wanted;
}

const char *xds_delta_server_version(const struct xds_delta *delta)
{
    return delta->server_version;
}
