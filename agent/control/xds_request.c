/* The requests of xds_delta: DeltaDiscoveryRequest, and when which is due. */
#include <stdlib.h>
#include <string.h>

#include "xds_delta_impl.h"
#include "xds_wire.h"

enum {
    REQUEST_NODE = 1,
    REQUEST_TYPE_URL = 2,
    REQUEST_SUBSCRIBE = 3,
    REQUEST_UNSUBSCRIBE = 4,
    REQUEST_INITIAL_VERSIONS = 5,
    REQUEST_NONCE = 6,
    REQUEST_ERROR = 7,
    STATUS_CODE = 1,
    STATUS_MESSAGE = 2,
    CODE_INVALID_ARGUMENT = 3, /* google.rpc.Code */

    FIELD_OVERHEAD = 12, /* bytes around a name and a version, at most */
};

/* A request in the making. */
struct request {
    struct xds_delta *delta;
    enum xds_type type;
    struct buf *out;
    size_t budget; /* bytes of names that still fit */
    bool failed;
};

static void note(struct request *request, int result)
{
    if (result < 0)
        request->failed = true;
}

/* Takes the name's bytes from the budget. False: it does not fit. */
static bool spend(struct request *request, const struct xds_name *name)
{
    size_t cost = FIELD_OVERHEAD + strlen(name->text);
    if (name->version != NULL)
        cost += strlen(name->version);
    if (cost > request->budget)
        return false;
    request->budget -= cost;
    return true;
}

static void begin(struct request *request)
{
    if (request->delta->first_due[request->type])
        note(request,
             xds_wire_put_bytes(request->out, REQUEST_NODE, buf_head(&request->delta->node),
                                buf_len(&request->delta->node)));
    note(request, xds_wire_put_text(request->out, REQUEST_TYPE_URL, xds_type_url(request->type)));
}

static void subscribe(struct request *request, const char *name)
{
    note(request, xds_wire_put_text(request->out, REQUEST_SUBSCRIBE, name));
}

static void unsubscribe(struct request *request, const char *name)
{
    note(request, xds_wire_put_text(request->out, REQUEST_UNSUBSCRIBE, name));
}

/* --------------------------------------------------------------------- the first of each type -- */

static void tell_held(void *owner, struct xds_name *name)
{
    struct request *request = owner;
    struct xds_delta *delta = request->delta;
    if (name->version == NULL)
        return;
    if (spend(request, name)) {
        note(request,
             xds_wire_put_entry(request->out, REQUEST_INITIAL_VERSIONS, name->text, name->version));
        name->in_set = true;
        xds_delta_set_confirmed(delta, request->type, name);
    } else if (request->type == XDS_ADDRESS && !delta->wildcard) {
        /* Asked for by name; without the memory to do so it stays unconfirmed. */
        struct xds_ask *ask = xds_names_ask(name);
        if (ask != NULL) {
            xds_delta_join(delta, ask);
            xds_delta_set_confirmed(delta, request->type, name);
        }
    }
}

/* Subscribing to nothing means everything; "*" and not "*" is how to say nothing. */
static void tell_wanted(struct request *request)
{
    struct xds_ask *ask;
    subscribe(request, "*");
    unsubscribe(request, "*");
    TAILQ_FOREACH (ask, &request->delta->wanted, wanted_entry) {
        if (ask->joining)
            continue;
        if (!spend(request, ask->name)) {
            xds_delta_join(request->delta, ask);
            continue;
        }
        subscribe(request, ask->name->text);
        ask->name->in_set = true;
    }
}

static void write_first(struct request *request)
{
    struct xds_delta *delta = request->delta;
    begin(request);
    if (request->type == XDS_ADDRESS && !delta->wildcard)
        tell_wanted(request);
    xds_names_each(&delta->names[request->type], tell_held, request);
    delta->first_due[request->type] = false;
}

/* ---------------------------------------------------------------------------- acknowledgements -- */

static void write_status(struct request *request, const char *reasons)
{
    struct buf status = {0};
    note(request, xds_wire_put_varint(&status, STATUS_CODE, CODE_INVALID_ARGUMENT));
    note(request, xds_wire_put_text(&status, STATUS_MESSAGE, reasons));
    note(request,
         xds_wire_put_bytes(request->out, REQUEST_ERROR, buf_head(&status), buf_len(&status)));
    buf_done(&status);
}

static void write_ack(struct request *request)
{
    struct xds_ack *ack = STAILQ_FIRST(&request->delta->acks);
    STAILQ_REMOVE_HEAD(&request->delta->acks, entry);
    request->delta->num_acks--;
    note(request, xds_wire_put_text(request->out, REQUEST_TYPE_URL, ack->type_url));
    note(request, xds_wire_put_text(request->out, REQUEST_NONCE, ack->nonce));
    if (ack->reasons[0] != '\0')
        write_status(request, ack->reasons);
    free(ack);
}

/* --------------------------------------------------------------------- leaving, then joining -- */

struct anchor {
    const char *text;
};

static void find_held_anchor(void *owner, struct xds_name *name)
{
    struct anchor *anchor = owner;
    bool leaving = name->ask != NULL && name->ask->leaving;
    if (anchor->text == NULL && name->in_set && !leaving)
        anchor->text = name->text;
}

/*
 * A name that is subscribed and stays so: what a request that unsubscribes subscribes besides, see
 * xds_delta.h. The oldest is the pod's own, whose answer is small.
 */
static const char *find_anchor(const struct xds_delta *delta)
{
    const struct xds_ask *ask;
    struct anchor anchor = {0};
    TAILQ_FOREACH (ask, &delta->wanted, wanted_entry) {
        if (ask->name->in_set && !ask->leaving)
            return ask->name->text;
    }
    xds_names_each(&delta->names[XDS_ADDRESS], find_held_anchor, &anchor);
    return anchor.text;
}

static void write_leaving(struct request *request)
{
    struct xds_delta *delta = request->delta;
    const char *anchor = find_anchor(delta);
    struct xds_ask *ask;
    begin(request);
    if (anchor != NULL)
        subscribe(request, anchor);
    while ((ask = TAILQ_FIRST(&delta->leaving)) != NULL && spend(request, ask->name)) {
        struct xds_name *name = ask->name;
        unsubscribe(request, name->text);
        TAILQ_REMOVE(&delta->leaving, ask, leaving_entry);
        ask->leaving = false;
        name->in_set = false;
        xds_names_put(&delta->names[XDS_ADDRESS], name);
    }
}

static void write_joining(struct request *request)
{
    struct xds_delta *delta = request->delta;
    struct xds_ask *ask;
    begin(request);
    while ((ask = TAILQ_FIRST(&delta->joining)) != NULL && spend(request, ask->name)) {
        struct xds_name *name = ask->name;
        subscribe(request, name->text);
        TAILQ_REMOVE(&delta->joining, ask, joining_entry);
        ask->joining = false;
        name->in_set = true;
        xds_names_put(&delta->names[XDS_ADDRESS], name);
    }
}

int xds_delta_next_request(struct xds_delta *delta, struct buf *out, struct err *err)
{
    struct request request = {
        .delta = delta, .type = XDS_ADDRESS, .out = out, .budget = XDS_REQUEST_MAX};
    if (!delta->is_started)
        return 0;
    if (!STAILQ_EMPTY(&delta->acks)) {
        write_ack(&request);
    } else if (delta->first_due[XDS_ADDRESS]) {
        write_first(&request);
    } else if (delta->first_due[XDS_AUTHORIZATION]) {
        request.type = XDS_AUTHORIZATION;
        write_first(&request);
    } else if (!TAILQ_EMPTY(&delta->leaving)) {
        write_leaving(&request);
    } else if (!TAILQ_EMPTY(&delta->joining)) {
        write_joining(&request);
    } else {
        return 0;
    }
    return request.failed ? err_set(err, ERR_NOMEM, "out of memory") : 1;
}
