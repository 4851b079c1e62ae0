/*
 * A tunnel inside a tunnel: the way into another network. The outer one, a pooled tunnel as any
 * other, leads to that network's gateway, which forwards its bytes without being able to read them;
 * inside of it are a TLS and an HTTP/2 connection of their own with whoever serves in the other
 * network, and in that one CONNECT.
 *
 * The outer connection is shared, the inner one is not: the gateway chooses an endpoint for each
 * tunnel, and sharing would send everything where the first one went.
 */
#ifndef REMORA_HBONE_NESTED_H
#define REMORA_HBONE_NESTED_H

#include "hbone_pool.h"

struct hbone_nested;

struct hbone_nested_request {
    /* To the gateway. `network` belongs to the inner CONNECT and is sent there alone; authority and
       the other texts are sent in both. */
    struct hbone_pool_request outer;
    const char *const *expected; /* of whom the inner peer must be one; at least one */
    size_t num_expected;
};

/*
 * Asks for the tunnel; copies *request. `done` is called once, never from inside this function,
 * unless it is cancelled; then the answer is the inner peer's, and so is answer->peer. A failure has
 * the reasons that hbone_pool_done names, of the outer or of the inner tunnel; its words say of
 * which. Nothing of the application's has been sent by then. The inner handshake uses the pool's
 * context of that moment. NULL only when out of memory.
 */
struct hbone_nested *hbone_nested_start(struct hbone_pool *pool,
                                        const struct hbone_nested_request *request,
                                        hbone_pool_done *done, void *owner);

/* Not after `done`, which will not be called; what has been made of the way is closed. NULL is ignored. */
void hbone_nested_cancel(struct hbone_nested *nested);

#endif
