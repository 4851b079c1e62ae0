/* The answers of xds_delta: DeltaDiscoveryResponse, and what it changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xds_delta_impl.h"
#include "xds_wire.h"

enum {
    RESPONSE_VERSION = 1,
    RESPONSE_RESOURCES = 2,
    RESPONSE_TYPE_URL = 4,
    RESPONSE_NONCE = 5,
    RESPONSE_REMOVED = 6,
    RESOURCE_VERSION = 1,
    RESOURCE_BODY = 2,
    RESOURCE_NAME = 3,
    RESOURCE_ALIASES = 4,
    ANY_TYPE_URL = 1,
    ANY_VALUE = 2,
};

/* An answer being taken. */
struct taking {
    struct xds_delta *delta;
    struct xds_delta_answer *answer;
    char type_url[XDS_TYPE_URL_MAX + 1];
    char nonce[XDS_NONCE_MAX + 1];
    char version[XDS_VERSION_MAX + 1];
    struct buf reasons;
    size_t num_left_out; /* reasons that did not fit */
    bool out_of_memory;
};

/* A resource in its envelope. */
struct envelope {
    char name[XDS_NAME_MAX + 1];
    char version[XDS_VERSION_MAX + 1];
    const uint8_t *body; /* NULL: there is none */
    size_t body_len;
    const char *wrong; /* NULL: nothing */
};

/* ---------------------------------------------------------------------------------- rejecting -- */

static void give_reason(struct taking *taking, const char *name, const char *reason)
{
    struct buf *reasons = &taking->reasons;
    size_t len = strlen(name) + strlen(reason) + 4;
    if (buf_len(reasons) + len > XDS_REASONS_MAX) {
        taking->num_left_out++;
        return;
    }
    const char *between = buf_len(reasons) == 0 ? "" : ", ";
    if (buf_printf(reasons, "%s%s: %s", between, name, reason) < 0)
        taking->out_of_memory = true;
}

static void reject(struct taking *taking, const char *name, const char *reason)
{
    taking->answer->num_rejected++;
    give_reason(taking, name, reason);
    taking->delta->handler->on_rejected(taking->delta->owner, taking->answer->type, name, reason);
}

/* ----------------------------------------------------------------------------------- removing -- */

void xds_delta_remove(struct xds_delta *delta, enum xds_type type, struct xds_name *name)
{
    if (name->version == NULL)
        return;
    delta->handler->on_removed(delta->owner, type, name->text);
    xds_delta_set_confirmed(delta, type, name);
    xds_names_set_version(&delta->names[type], name, NULL);
    while (!LIST_EMPTY(&name->answers)) {
        struct xds_ask *ask = LIST_FIRST(&name->answers);
        xds_delta_clear_answer(ask);
        delta->handler->on_unanswered(delta->owner, ask->name->text);
        xds_delta_rejoin(delta, ask);
    }
}

static void answer_absent(struct xds_delta *delta, struct xds_ask *ask)
{
    xds_delta_set_answer(ask, NULL);
    if (ask->name->in_set)
        xds_delta_dequeue(delta, ask);
    delta->handler->on_answered(delta->owner, ask->name->text, NULL);
}

static void take_removed(struct taking *taking, const struct xds_wire_field *field)
{
    struct xds_delta *delta = taking->delta;
    enum xds_type type = taking->answer->type;
    char text[XDS_NAME_MAX + 1];
    if (!xds_wire_text(field, text, sizeof(text)))
        return; /* nothing that we hold or asked for has such a name */
    struct xds_name *name = xds_names_find(&delta->names[type], text);
    if (name == NULL)
        return;
    if (name->version != NULL) {
        xds_delta_remove(delta, type, name);
        taking->answer->num_removed++;
    }
    if (name->ask != NULL && name->ask->wanted)
        answer_absent(delta, name->ask);
    xds_names_put(&delta->names[type], name);
}

/* ----------------------------------------------------------------------- what answers a name -- */

static void answer_found(struct xds_delta *delta, struct xds_name *by, const char *text)
{
    struct xds_name *name = xds_names_find(&delta->names[XDS_ADDRESS], text);
    if (name == NULL || name->ask == NULL || !name->ask->wanted)
        return;
    name->ask->stamp = delta->stamp;
    xds_delta_set_answer(name->ask, by);
    if (name->in_set)
        xds_delta_dequeue(delta, name->ask);
    delta->handler->on_answered(delta->owner, text, by->text);
}

/* Names that the resource answered and no longer has. */
static void lose_names(struct xds_delta *delta, struct xds_name *by)
{
    struct xds_ask *ask = LIST_FIRST(&by->answers);
    while (ask != NULL) {
        struct xds_ask *next = LIST_NEXT(ask, answer_entry);
        if (ask->stamp != delta->stamp) {
            xds_delta_clear_answer(ask);
            delta->handler->on_unanswered(delta->owner, ask->name->text);
            xds_delta_rejoin(delta, ask);
        }
        ask = next;
    }
}

/* Only addresses have aliases; nobody asks for names in wildcard mode. */
static void answer_names(struct taking *taking, struct xds_wire resource, struct xds_name *by)
{
    struct xds_delta *delta = taking->delta;
    struct xds_wire_field field;
    size_t num_aliases = 0;
    if (taking->answer->type != XDS_ADDRESS || delta->wildcard)
        return;
    delta->stamp++;
    answer_found(delta, by, by->text);
    while (xds_wire_next(&resource, &field) > 0) {
        char alias[XDS_NAME_MAX + 1];
        if (field.number != RESOURCE_ALIASES || num_aliases++ >= XDS_ALIASES_MAX)
            continue;
        if (xds_wire_text(&field, alias, sizeof(alias)))
            answer_found(delta, by, alias);
    }
    lose_names(delta, by);
}

static void doubt_absence(struct xds_delta *delta, const char *text)
{
    struct xds_name *name = xds_names_find(&delta->names[XDS_ADDRESS], text);
    if (name == NULL || name->ask == NULL || !name->ask->answered || name->ask->answered_by != NULL)
        return;
    xds_delta_clear_answer(name->ask);
    delta->handler->on_unanswered(delta->owner, text);
}

/* There is something by these names, though it cannot be used. */
static void doubt_names(struct taking *taking, struct xds_wire resource, const char *text)
{
    struct xds_wire_field field;
    size_t num_aliases = 0;
    if (taking->answer->type != XDS_ADDRESS || taking->delta->wildcard)
        return;
    doubt_absence(taking->delta, text);
    while (xds_wire_next(&resource, &field) > 0) {
        char alias[XDS_NAME_MAX + 1];
        if (field.number == RESOURCE_ALIASES && num_aliases++ < XDS_ALIASES_MAX &&
            xds_wire_text(&field, alias, sizeof(alias)))
            doubt_absence(taking->delta, alias);
    }
}

/* --------------------------------------------------------------------------------- a resource -- */

static void open_body(struct envelope *envelope, const struct xds_wire_field *any,
                      enum xds_type type)
{
    struct xds_wire wire = xds_wire_of(any->bytes, any->len);
    struct xds_wire_field field;
    char url[XDS_TYPE_URL_MAX + 1] = "";
    static const uint8_t empty[1];
    envelope->body = empty;
    envelope->body_len = 0;
    while (xds_wire_next(&wire, &field) > 0) {
        if (field.number == ANY_TYPE_URL && !xds_wire_text(&field, url, sizeof(url)))
            url[0] = '\0';
        if (field.number == ANY_VALUE && field.is_bytes) {
            envelope->body = field.bytes;
            envelope->body_len = field.len;
        }
    }
    if (strcmp(url, xds_type_url(type)) != 0)
        envelope->wrong = "is of another type than the answer";
}

/* The resource is known to be a message: xds_wire_next does not fail. */
static void open_envelope(struct envelope *envelope, struct xds_wire resource, enum xds_type type)
{
    struct xds_wire_field field;
    envelope->name[0] = envelope->version[0] = '\0';
    envelope->body = NULL;
    envelope->wrong = NULL;
    while (xds_wire_next(&resource, &field) > 0) {
        if (field.number == RESOURCE_NAME &&
            !xds_wire_text(&field, envelope->name, sizeof(envelope->name))) {
            strcpy(envelope->name, "?");
            envelope->wrong = "its name is too long or no text";
        } else if (field.number == RESOURCE_VERSION &&
                   !xds_wire_text(&field, envelope->version, sizeof(envelope->version))) {
            envelope->wrong = "its version is too long or no text";
        } else if (field.number == RESOURCE_BODY && field.is_bytes) {
            open_body(envelope, &field, type);
        }
    }
    if (envelope->wrong == NULL && envelope->name[0] == '\0')
        envelope->wrong = "has no name";
    if (envelope->wrong == NULL && envelope->body == NULL)
        envelope->wrong = "has no content";
}

static bool is_unchanged(const struct xds_name *name, const struct envelope *envelope)
{
    return name->version != NULL && envelope->version[0] != '\0' &&
           strcmp(name->version, envelope->version) == 0;
}

/* Hands it to the owner. False: it is not held in this version. */
static bool use(struct taking *taking, struct xds_name *name, const struct envelope *envelope)
{
    struct xds_delta *delta = taking->delta;
    struct xds_names *names = &delta->names[taking->answer->type];
    const struct xds_resource resource = {.type = taking->answer->type,
                                          .name = name->text,
                                          .version = envelope->version,
                                          .is_held = name->version != NULL,
                                          .bytes = envelope->body,
                                          .len = envelope->body_len};
    struct err err = {0};
    if (name->version == NULL && names->num_held >= XDS_HELD_MAX) {
        reject(taking, name->text, "there are too many resources");
        return false;
    }
    int used = delta->handler->on_resource(delta->owner, &resource, &err);
    if (used != 0) {
        taking->out_of_memory = taking->out_of_memory || err.kind == ERR_NOMEM;
        reject(taking, name->text, err.message);
    }
    if (used < 0)
        return false;
    if (xds_names_set_version(names, name, used == 0 ? envelope->version : "") < 0) {
        taking->out_of_memory = true;
        return false;
    }
    taking->answer->num_changed += used == 0;
    return true;
}

static void take_resource(struct taking *taking, const struct xds_wire_field *field)
{
    struct xds_delta *delta = taking->delta;
    enum xds_type type = taking->answer->type;
    struct xds_wire wire = xds_wire_of(field->bytes, field->len);
    struct envelope envelope;
    taking->answer->num_resources++;
    open_envelope(&envelope, wire, type);
    if (envelope.wrong != NULL) {
        reject(taking, envelope.name[0] == '\0' ? "?" : envelope.name, envelope.wrong);
        return;
    }
    struct xds_name *name = xds_names_get(&delta->names[type], envelope.name);
    if (name == NULL) {
        taking->out_of_memory = true;
        return;
    }
    name->in_set = true;
    if (is_unchanged(name, &envelope) || use(taking, name, &envelope)) {
        xds_delta_set_confirmed(delta, type, name);
        answer_names(taking, wire, name);
    } else {
        doubt_names(taking, wire, name->text);
    }
    xds_names_put(&delta->names[type], name);
}

/* --------------------------------------------------------------------------------- the answer -- */

static int malformed(struct err *err, const char *what)
{
    return err_set(err, ERR_PROTOCOL, "its answer is no DeltaDiscoveryResponse: %s", what);
}

static int check_message(const uint8_t *bytes, size_t len)
{
    struct xds_wire wire = xds_wire_of(bytes, len);
    struct xds_wire_field field;
    int more;
    while ((more = xds_wire_next(&wire, &field)) > 0)
        ;
    return more;
}

/* Reads what there is once, and sees that resources can be read: nothing is told of half a message. */
static int read_outside(struct taking *taking, struct xds_wire wire, struct err *err)
{
    struct xds_wire_field field;
    int more;
    while ((more = xds_wire_next(&wire, &field)) > 0) {
        bool ok = true;
        if (field.number == RESPONSE_TYPE_URL)
            ok = xds_wire_text(&field, taking->type_url, sizeof(taking->type_url));
        else if (field.number == RESPONSE_NONCE)
            ok = xds_wire_text(&field, taking->nonce, sizeof(taking->nonce));
        else if (field.number == RESPONSE_VERSION)
            ok = xds_wire_text(&field, taking->version, sizeof(taking->version));
        else if (field.number == RESPONSE_RESOURCES)
            ok = field.is_bytes && check_message(field.bytes, field.len) == 0;
        if (!ok)
            return malformed(err, "a field has a value that it cannot have");
    }
    return more < 0 ? malformed(err, "it is cut off or garbled") : 0;
}

static bool find_type(const char *url, enum xds_type *type)
{
    for (int i = 0; i < XDS_NUM_TYPES; i++) {
        *type = (enum xds_type)i;
        if (strcmp(url, xds_type_url(*type)) == 0)
            return true;
    }
    return false;
}

/* Removals first, so that what is both removed and told is there. */
static void take_inside(struct taking *taking, struct xds_wire wire)
{
    struct xds_wire removed = wire;
    struct xds_wire_field field;
    while (xds_wire_next(&removed, &field) > 0) {
        if (field.number == RESPONSE_REMOVED)
            take_removed(taking, &field);
    }
    while (!taking->out_of_memory && xds_wire_next(&wire, &field) > 0) {
        if (field.number == RESPONSE_RESOURCES)
            take_resource(taking, &field);
    }
}

/* An answer without a nonce cannot be acknowledged: that would be another request. */
static int acknowledge(struct taking *taking)
{
    if (taking->num_left_out > 0 &&
        buf_printf(&taking->reasons, ", and %zu more", taking->num_left_out) < 0)
        return -1;
    if (taking->nonce[0] == '\0')
        return 0;
    size_t len = buf_len(&taking->reasons);
    struct xds_ack *ack = calloc(1, sizeof(*ack) + len + 1);
    if (ack == NULL)
        return -1;
    memcpy(ack->type_url, taking->type_url, sizeof(ack->type_url));
    memcpy(ack->nonce, taking->nonce, sizeof(ack->nonce));
    if (len > 0)
        memcpy(ack->reasons, buf_head(&taking->reasons), len);
    STAILQ_INSERT_TAIL(&taking->delta->acks, ack, entry);
    taking->delta->num_acks++;
    return 0;
}

static int take(struct taking *taking, struct xds_wire wire, struct err *err)
{
    struct xds_delta *delta = taking->delta;
    if (read_outside(taking, wire, err) < 0)
        return -1;
    taking->answer->known = find_type(taking->type_url, &taking->answer->type);
    if (taking->answer->known)
        take_inside(taking, wire);
    if (taking->out_of_memory || acknowledge(taking) < 0)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (taking->answer->known) {
        delta->answered[taking->answer->type] = true;
        memcpy(delta->server_version, taking->version, sizeof(delta->server_version));
    }
    return 0;
}

int xds_delta_receive(struct xds_delta *delta, const uint8_t *bytes, size_t len,
                      struct xds_delta_answer *answer, struct err *err)
{
    struct taking taking = {.delta = delta, .answer = answer};
    *answer = (struct xds_delta_answer){0};
    if (delta->num_acks >= XDS_ACKS_MAX)
        return err_set(err, ERR_PROTOCOL, "it answers and does not take %d acknowledgements",
                       XDS_ACKS_MAX);
    int result = take(&taking, xds_wire_of(bytes, len), err);
    buf_done(&taking.reasons);
    return result;
}
