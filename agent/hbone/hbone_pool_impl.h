/*
 * What the pool's files share: the pool, a group for each destination, a wait for each request.
 *
 *   hbone_pool_connect -> wait in group->waiting
 *     -> (end of the round) the group serves it: onto a client with room, or it dials
 *     -> wait in pool->answers
 *     -> answer: done; lost: back to group->waiting, or done
 *
 * What happens on connections only marks groups as dirty; they are served by one task at the end of
 * the round, outside of HTTP/2.
 */
#ifndef REMORA_HBONE_POOL_IMPL_H
#define REMORA_HBONE_POOL_IMPL_H

#include <sys/queue.h>

#include "hbone_client.h"
#include "hbone_connect.h"
#include "hbone_pool.h"

enum {
    HBONE_GROUP_BUCKETS = 256,
    HBONE_ATTEMPTS_MAX = 3, /* connections that one request may be sent on */
};

TAILQ_HEAD(hbone_wait_list, hbone_pool_wait);
TAILQ_HEAD(hbone_client_list, hbone_client);
TAILQ_HEAD(hbone_group_list, hbone_group);
TAILQ_HEAD(hbone_nested_list, hbone_nested);

struct hbone_pool_wait {
    TAILQ_ENTRY(hbone_pool_wait) entry;
    struct hbone_wait_list *list; /* that it is in; NULL: none */
    struct hbone_group *group;
    struct hbone_client *client; /* that it was sent on */
    struct hbone_stream *stream; /* NULL: not sent */
    hbone_pool_done *done;
    void *owner;
    uint64_t answer_until_ms; /* once sent */
    unsigned num_attempts;
    bool on_used_client; /* sent on a connection that had proved itself */
    struct hbone_connect connect;
    char text[]; /* of connect */
};

/* One destination: an address, and who is expected there. */
struct hbone_group {
    struct hbone_pool *pool;
    struct hbone_group *next_in_bucket;
    TAILQ_ENTRY(hbone_group) dirty_entry; /* in pool->dirty when is_dirty */
    bool is_dirty;
    struct addr peer;
    char **expected;
    size_t num_expected;
    uint32_t hash;
    unsigned num_waits; /* in whatever list, and those sent */
    unsigned num_connecting;
    unsigned assumed_streams; /* how many a new connection will carry: what the last one taught */
    struct hbone_wait_list waiting;
    struct hbone_client_list clients;
};

struct hbone_pool {
    struct tls_io *io;
    struct net_loop *loop;
    struct hbone_pool_options options;
    struct tls_context *context;
    struct net_task later;
    struct net_timer *answer_timer;
    struct hbone_group *buckets[HBONE_GROUP_BUCKETS];
    struct hbone_group_list dirty;
    struct hbone_wait_list answers;  /* sent; in the order of their deadlines */
    struct hbone_nested_list nested; /* inside tunnels of the pool's own */
    struct hbone_pool_stats stats;
    bool draining;
};

/* -------------------------------------------------------------------------------- hbone_wait -- */

/* Copies the request. NULL: out of memory. */
struct hbone_pool_wait *hbone_wait_new(struct hbone_group *group,
                                       const struct hbone_pool_request *request,
                                       hbone_pool_done *done, void *owner);

/* Gives it up without a word: its stream is reset. */
void hbone_wait_free(struct hbone_pool_wait *wait);

/* Puts it at the end (or the front) of a list, out of the one it was in. */
void hbone_wait_move(struct hbone_pool_wait *wait, struct hbone_wait_list *list);
void hbone_wait_move_first(struct hbone_pool_wait *wait, struct hbone_wait_list *list);

/* Sends it on a client that has room. */
void hbone_wait_send(struct hbone_pool_wait *wait, struct hbone_client *client);

/* Frees it and tells its owner. *err may be NULL. */
void hbone_wait_fail(struct hbone_pool_wait *wait, enum reason reason, const struct err *err);

/* Fails all of a list that nobody else adds to. */
void hbone_wait_fail_all(struct hbone_wait_list *list, enum reason reason, const struct err *err);

/* ------------------------------------------------------------------------------- hbone_group -- */

/* The group of the request's destination, made when there is none. NULL: out of memory. */
struct hbone_group *hbone_group_get(struct hbone_pool *pool,
                                    const struct hbone_pool_request *request);

/* Frees what nobody waits for and no client belongs to. */
void hbone_group_release_unused(struct hbone_group *group);

/* Sends what waits, and dials for the rest. */
void hbone_group_serve(struct hbone_group *group);

/* The certificate has changed: what is being dialed is dropped, what is open is retired. */
void hbone_group_renew(struct hbone_group *group);
void hbone_group_drain(struct hbone_group *group);

unsigned hbone_group_num_streams(const struct hbone_group *group);

/* Ends its open clients at the end of the round. */
void hbone_group_close(struct hbone_group *group);

/* Ends all its clients now. */
void hbone_group_drop(struct hbone_group *group);

/* ------------------------------------------------------------------------------ hbone_nested -- */

/* Ends all that are nested, without a word to anybody: their tunnels have been closed. */
void hbone_nested_free_all(struct hbone_nested_list *list);

/* The part of hbone_pool_review that concerns them: at most `max` are judged; returns how many. */
unsigned hbone_nested_review(struct hbone_nested_list *list, const struct hbone_pool_review *review,
                             unsigned max);

/* -------------------------------------------------------------------------------- hbone_pool -- */

/* Sees to it that the group is served at the end of the round. */
void hbone_pool_mark(struct hbone_group *group);

/* A request was sent: its answer is awaited. */
void hbone_pool_await_answer(struct hbone_pool *pool, struct hbone_pool_wait *wait);

#endif
