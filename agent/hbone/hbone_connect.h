/*
 * A CONNECT as a client sends it and what its answer means, whether the connection below is a pooled
 * one or inside another tunnel. Internal to hbone.
 */
#ifndef REMORA_HBONE_CONNECT_H
#define REMORA_HBONE_CONNECT_H

#include <stddef.h>

#include "h2_session.h"
#include "hbone_pool.h"
#include "hbone_stream.h"

enum { HBONE_CONNECT_HEADERS = 6 }; /* at most that many fields */

/* The texts of a request; NULL where there is none. */
struct hbone_connect {
    const char *authority;
    const char *baggage;
    const char *forwarded;
    const char *traceparent;
    const char *network;
};

/* Lends the request's texts; empty ones become NULL. */
struct hbone_connect hbone_connect_of(const struct hbone_pool_request *request);

/* Bytes that hbone_connect_copy needs for the texts. */
size_t hbone_connect_size(const struct hbone_connect *connect);

/* Copies the texts to `text` and lets `to` point there. Returns where the texts end. */
char *hbone_connect_copy(struct hbone_connect *to, const struct hbone_connect *from, char *text);

/* Fills in `headers` (HBONE_CONNECT_HEADERS of them) and returns how many there are. */
size_t hbone_connect_headers(const struct hbone_connect *connect, struct h2_header *headers);

/*
 * Sets reason, status, baggage and err of the answer. `err` is where that is written; the baggage is
 * lent by the headers.
 */
void hbone_connect_read_answer(struct hbone_pool_answer *answer, struct err *err,
                               const struct h2_header *headers, size_t num_headers);

/*
 * The reason of a request that came to nothing. *why is what the loss says in words, or `store`, or
 * NULL.
 */
enum reason hbone_connect_reason_of_loss(const struct hbone_loss *loss, const struct err **why,
                                         struct err *store);

#endif
