/* What the files of xds_delta share. For xds_delta*.c alone. */
#ifndef REMORA_XDS_DELTA_IMPL_H
#define REMORA_XDS_DELTA_IMPL_H

#include "xds_delta.h"
#include "xds_names.h"

enum { XDS_TYPE_URL_MAX = 512 /* bytes, of types that we do not know, too */ };

/* An acknowledgement that is due. */
struct xds_ack {
    STAILQ_ENTRY(xds_ack) entry;
    char type_url[XDS_TYPE_URL_MAX + 1];
    char nonce[XDS_NONCE_MAX + 1];
    char reasons[]; /* "": an ACK */
};

struct xds_delta {
    const struct xds_delta_handler *handler;
    void *owner;
    bool wildcard;
    struct buf node; /* encoded */

    struct xds_names names[XDS_NUM_TYPES];
    size_t num_unconfirmed[XDS_NUM_TYPES];
    bool answered[XDS_NUM_TYPES];
    char server_version[XDS_VERSION_MAX + 1];
    uint64_t stamp;

    /* Of addresses, on demand. `wanted` is in the order in which names were first asked for. */
    struct xds_ask_queue wanted;
    size_t num_wanted;

    /* On the present stream. */
    bool is_started;
    bool first_due[XDS_NUM_TYPES];
    STAILQ_HEAD(, xds_ack) acks;
    size_t num_acks;
    struct xds_ask_queue leaving;
    struct xds_ask_queue joining;
};

/* ----------------------------------------------------------------------------- of xds_delta.c -- */

void xds_delta_join(struct xds_delta *delta, struct xds_ask *ask);
void xds_delta_leave(struct xds_delta *delta, struct xds_ask *ask);
void xds_delta_dequeue(struct xds_delta *delta, struct xds_ask *ask);
void xds_delta_rejoin(struct xds_delta *delta, struct xds_ask *ask); /* leave, then join */

/* The wanted name is answered by `by`, or (NULL) there is no such thing; or has no answer. */
void xds_delta_set_answer(struct xds_ask *ask, struct xds_name *by);
void xds_delta_clear_answer(struct xds_ask *ask);

void xds_delta_set_confirmed(struct xds_delta *delta, enum xds_type type, struct xds_name *name);
void xds_delta_set_unconfirmed(struct xds_delta *delta, enum xds_type type, struct xds_name *name);

/* ------------------------------------------------------------------------------ of xds_answer.c -- */

/* A held resource is gone: tells so, and asks for the names that it had answered. */
void xds_delta_remove(struct xds_delta *delta, enum xds_type type, struct xds_name *name);

#endif
