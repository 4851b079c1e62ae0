/*
 * A model of how istiod answers, quirks included, so that the client is tested against what it will
 * meet: what is in its source and was seen on its wire, not what the protocol's document says.
 *  - names of addresses are resolved when they are asked for; pushes go by the resources' names;
 *  - a request with a nonce that is not the last is ignored, one that changes no set is not answered;
 *  - a request that unsubscribes only is answered with the removal of all that stays subscribed.
 */
#ifndef REMORA_TEST_ISTIOD_H
#define REMORA_TEST_ISTIOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "xds_type.h"

struct istiod;
struct istiod_stream;

struct istiod *istiod_new(void);
void istiod_free(struct istiod *istiod);

/* Resources in one message; 0: all in one, as istiod does. */
void istiod_set_chunk(struct istiod *istiod, size_t num);

/* Puts or changes; each gets a version of its own. `service` NULL: of none. */
void istiod_put_workload(struct istiod *istiod, const char *uid, const char *ip,
                         const char *service);
void istiod_put_service(struct istiod *istiod, const char *key, const char *vip);
void istiod_put_policy(struct istiod *istiod, const char *key, bool deny);
/* A resource with any content. */
void istiod_put_raw(struct istiod *istiod, enum xds_type type, const char *name, const void *bytes,
                    size_t len);
void istiod_remove(struct istiod *istiod, enum xds_type type, const char *name);

/* The version of what is there; NULL: nothing is. */
const char *istiod_version(const struct istiod *istiod, enum xds_type type, const char *name);

/* Of a name; names are compared by it first, because there are ten thousand in some tests. */
uint32_t istiod_hash(const char *name);

/* Whether a name, alias or not, means anything. */
bool istiod_resolves(const struct istiod *istiod, const char *name);

struct istiod_stream *istiod_stream_new(struct istiod *istiod);
void istiod_stream_free(struct istiod_stream *stream);

/* Takes a request; answers go to the stream's queue. */
void istiod_receive(struct istiod_stream *stream, const uint8_t *bytes, size_t len);

/* Queues what has changed since the last push. */
void istiod_push(struct istiod_stream *stream);

/* The next message for the client, into `out`. False: there is none. */
bool istiod_next(struct istiod_stream *stream, struct buf *out);

/* What tests look at. */
struct istiod_seen {
    size_t num_requests;
    size_t num_acks;
    size_t num_nacks;
    size_t num_stale;        /* with an old nonce */
    size_t num_useless;      /* that changed nothing and acknowledged nothing */
    size_t num_without_node; /* first ones of a stream */
    size_t num_subscribed;   /* names in all requests */
    char nack[8192];         /* the last one's message */
    char last[8192];         /* the last request's names: "+a +b -c =d:1" */
};
const struct istiod_seen *istiod_seen(const struct istiod_stream *stream);

/* The names that the server believes to be subscribed. */
bool istiod_has_subscribed(const struct istiod_stream *stream, enum xds_type type,
                           const char *name);

#endif
