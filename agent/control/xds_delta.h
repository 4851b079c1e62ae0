/*
 * The delta variant of xDS, the client's side, as a machine: requests come out as bytes, answers go
 * in as bytes. Pure: no socket, no clock, no log, no knowledge of what the resources say. It keeps
 * what the protocol needs: which names are held in which version, which are subscribed, and what
 * has been answered; over reconnects, too.
 *
 * Addresses are subscribed by name (on demand) or all of them (wildcard), policies always all.
 *
 * How the other side is known to behave (istiod), and what follows from it:
 *  - A request whose nonce is not the last one is ignored with all that is in it: subscriptions go
 *    out in requests of their own, without a nonce, and never in an ACK.
 *  - Subscribing to a name that is subscribed gets no answer: to ask anew is to unsubscribe and
 *    then to subscribe, in two requests.
 *  - A request that unsubscribes and subscribes nothing (or only names that it unsubscribes too) is
 *    answered with the removal of EVERY name that stays subscribed, though istiod keeps them. So a
 *    request that unsubscribes always subscribes something as well that stays: a name that was
 *    subscribed before will do, and is answered again.
 *  - What has been told under its name counts as subscribed under that name: subscribing to a service
 *    by name after its VIP gets no answer, either.
 *  - Of one push, addresses come first and the policies that they name after it.
 *  - Names of addresses ("<network>/<ip>") are resolved once, when they are asked for. Whatever is
 *    pushed later is pushed for the names of the resources. When the resource behind an address goes
 *    or loses the address, the address is asked for anew; that something has come to be where
 *    nothing was, or has become an endpoint, is only found by asking anew (xds_delta_ask_again).
 *  - Whoever is sent a resource is subscribed to it: to be rid of a service means to unsubscribe
 *    from it, its endpoints, and the name that brought them (xds_delta_drop, xds_delta_unsubscribe).
 */
#ifndef REMORA_XDS_DELTA_H
#define REMORA_XDS_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "xds_node.h"
#include "xds_type.h"

enum {
    XDS_NAME_MAX = 1024,        /* bytes of a resource's name: a workload's uid */
    XDS_VERSION_MAX = 256,      /* bytes; istiod's is the decimal text of a hash */
    XDS_NONCE_MAX = 512,        /* bytes; istiod's has about seventy */
    XDS_ALIASES_MAX = 1024,     /* of one resource; more are not looked at */
    XDS_HELD_MAX = 2000000,     /* resources of one type, workloads and services together */
    XDS_SUBSCRIBED_MAX = 65536, /* names that we ask for: what one pod talks to within minutes */
    XDS_REASONS_MAX = 4096,     /* bytes of a NACK's message; what does not fit is counted */
    XDS_ACKS_MAX = 4096,        /* that wait to be sent; servers wait for each before they go on */
    /* Bytes of names and versions in one request: istiod takes no message above 4 MiB. What does not
     * fit: see xds_delta_start. */
    XDS_REQUEST_MAX = 3 * 1024 * 1024,
};

/* A resource as it came; all lent for the call. */
struct xds_resource {
    enum xds_type type;
    const char *name;     /* valid UTF-8 without control characters, 1 to XDS_NAME_MAX bytes */
    const char *version;  /* may be "" */
    bool is_held;         /* in another version */
    const uint8_t *bytes; /* of the message that the type is */
    size_t len;
};

/* None may be NULL; each is called from inside xds_delta_receive and xds_delta_remove_unconfirmed
 * only, with the machine's owner. Inside, no xds_delta function may be called. */
struct xds_delta_handler {
    /*
     * New, or changed: a resource that is held already in this version is not told again. 0; or -1
     * with *err, the reason why it cannot be used: it is then rejected, and what was held by that
     * name before stays held. Or 1 with *err: it is rejected, but the owner has put something in its
     * place, so that its name counts as held, in no version, and its removal is told.
     */
    int (*on_resource)(void *owner, const struct xds_resource *resource, struct err *err);
    /* What is held by this name is no more. */
    void (*on_removed)(void *owner, enum xds_type type, const char *name);
    /* A subscribed name of an address has an answer: the resource `by`, which on_resource has told,
     * or `by` NULL: there is no such thing. May come again. */
    void (*on_answered)(void *owner, const char *name, const char *by);
    /* What a subscribed name had been answered holds no more; it is asked for anew. Or it had been
     * told to be absent and is there, in a form that is rejected. */
    void (*on_unanswered)(void *owner, const char *name);
    /* A resource is rejected: by on_resource, or because what is around it is wrong. For the log. */
    void (*on_rejected)(void *owner, enum xds_type type, const char *name, const char *reason);
};

struct xds_delta_options {
    const struct xds_node *node; /* read during xds_delta_new */
    bool wildcard;               /* all addresses, rather than on demand */
};

struct xds_delta;

/* `handler` is kept by pointer. NULL: *err is ERR_NOMEM. */
struct xds_delta *xds_delta_new(const struct xds_delta_options *options,
                                const struct xds_delta_handler *handler, void *owner,
                                struct err *err);

/* NULL is ignored. */
void xds_delta_free(struct xds_delta *delta);

/*
 * A new stream stands: what was due on the old one is forgotten, and a first request for each type is
 * due, which tells what is held, so that the server sends only what differs, and removals. What was
 * subscribed is subscribed again; what had no answer yet is asked for in a request of its own,
 * because a server says nothing of what it believes to be held.
 *
 * Held names that do not fit the first request are asked for by name on demand. In wildcard mode
 * they are unconfirmed: the server sends them as if they were new, or not at all when they are gone,
 * so that after a while those that did not come are to be removed (xds_delta_remove_unconfirmed).
 */
void xds_delta_start(struct xds_delta *delta);

/*
 * Appends the next request that is due to `out`. 1, 0 when there is none, or -1 with ERR_NOMEM. What
 * is subscribed and unsubscribed between two calls becomes few requests with many names.
 */
int xds_delta_next_request(struct xds_delta *delta, struct buf *out, struct err *err);

/* What an answer was. */
struct xds_delta_answer {
    bool known; /* of a type of ours; others are acknowledged and ignored */
    enum xds_type type;
    size_t num_resources; /* in the message */
    size_t num_changed;   /* told by on_resource and taken */
    size_t num_removed;   /* told by on_removed */
    size_t num_rejected;  /* > 0: a NACK is due, else an ACK */
};

/*
 * Takes one DeltaDiscoveryResponse, at the cost of its size. 0; or -1 with ERR_PROTOCOL (the bytes
 * are no such message: nothing was told, and the stream is of no use any more), or ERR_NOMEM (parts
 * may have been told; nothing is acknowledged, so that a new stream gets the rest).
 */
int xds_delta_receive(struct xds_delta *delta, const uint8_t *bytes, size_t len,
                      struct xds_delta_answer *answer, struct err *err);

/*
 * On demand: asks for a name of an address, once, however often it is called. 1: it is answered
 * already, without on_answered: a resource of that name is held. 0: it is asked for. -1:
 * ERR_INVALID (no name can be like that), ERR_LIMIT, ERR_NOMEM. In wildcard mode nothing happens.
 */
int xds_delta_subscribe(struct xds_delta *delta, const char *name, struct err *err);

/* No on_answered for it any more. A resource of that name stays held. */
void xds_delta_unsubscribe(struct xds_delta *delta, const char *name);

/* Asks for a subscribed name anew; its present answer holds meanwhile. Nothing for others. */
void xds_delta_ask_again(struct xds_delta *delta, const char *name);

/* As if all names that the address `by` has answered were asked for anew. */
void xds_delta_ask_again_by(struct xds_delta *delta, const char *by);

/* On demand: lets go of an address that is held, without on_removed. */
void xds_delta_drop(struct xds_delta *delta, const char *name);

/* Whether the address that is held by this name is subscribed to, or has answered a name that is. */
bool xds_delta_is_needed(const struct xds_delta *delta, const char *name);

/* Names that are held, but of which the present stream was told nothing and has told nothing. */
size_t xds_delta_num_unconfirmed(const struct xds_delta *delta, enum xds_type type);

/* Removes these, calling on_removed. To be called when answers have ceased to pour in. */
void xds_delta_remove_unconfirmed(struct xds_delta *delta, enum xds_type type);

/*
 * Holds a resource of another life (the cache), as if it had come in an answer. 0, or -1 (ERR_INVALID,
 * ERR_LIMIT, ERR_NOMEM).
 */
int xds_delta_restore(struct xds_delta *delta, enum xds_type type, const char *name,
                      const char *version, struct err *err);

/* The same for a name that was subscribed: it is, and `by`, which is held, has answered it. */
int xds_delta_restore_answer(struct xds_delta *delta, const char *name, const char *by,
                             struct err *err);

/* The version in which a resource is held; NULL: it is not. Lent until the next call. */
const char *xds_delta_version(const struct xds_delta *delta, enum xds_type type, const char *name);

/* The first answer for the type has come since xds_delta_new. */
bool xds_delta_is_answered(const struct xds_delta *delta, enum xds_type type);

size_t xds_delta_num_held(const struct xds_delta *delta, enum xds_type type);
size_t xds_delta_num_subscribed(const struct xds_delta *delta);

/* What the last answer called the server's version; "" before the first. Lent until the next call. */
const char *xds_delta_server_version(const struct xds_delta *delta);

#endif
