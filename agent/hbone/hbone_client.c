#include "hbone_client.h"

#include <assert.h>
#include <stdlib.h>

#include "clock.h"
#include "tls_stream.h"

static void release(struct hbone_client *client)
{
    peer_cert_unref(client->peer);
    free(client);
}

static void end(struct hbone_client *client, enum reason reason, const struct err *err)
{
    client->handler->on_over(client->owner, client, reason, err);
    release(client);
}

/* ---------------------------------------------------------------------------- the connection -- */

static void on_room(void *owner)
{
    struct hbone_client *client = owner;
    client->handler->on_room(client->owner, client);
}

static void on_over(void *owner, enum reason reason, const struct err *err)
{
    struct hbone_client *client = owner;
    client->conn = NULL;
    end(client, reason, err);
}

static const struct hbone_conn_handler conn_handler = {
    .on_room = on_room,
    .on_over = on_over,
};

static void on_connected(void *owner)
{
    struct hbone_client *client = owner;
    client->state = HBONE_CLIENT_SHAKING_HANDS;
    client->handler->on_connected(client->owner, client);
}

/*
 * Peers renew at the middle of a certificate's life. A connection made in the last quarter of one
 * that was not renewed is not given up for another that would be no better, until it has ended.
 */
static int64_t retire_at_ms(const struct peer_cert *peer, int64_t now_ms)
{
    int64_t left_ms = peer->not_after_ms - now_ms;
    int64_t life_ms = peer->not_after_ms - peer->not_before_ms;
    return left_ms < life_ms / 4 ? peer->not_after_ms : peer->not_after_ms - left_ms / 4;
}

static void on_dialed(void *owner, struct stream *tls, enum reason reason, const struct err *err)
{
    struct hbone_client *client = owner;
    client->dial = NULL;
    if (tls == NULL) {
        end(client, reason, err);
        return;
    }
    struct hbone_conn_params params = {.side = H2_CLIENT, .options = client->options};
    struct err why;
    client->conn = hbone_conn_new(client->io, tls, &params, &conn_handler, client, &why);
    if (client->conn == NULL) {
        stream_close(tls);
        end(client, REASON_NO_MEMORY, &why);
        return;
    }
    client->peer = peer_cert_ref(tls_stream_peer(tls));
    client->retire_at_ms = retire_at_ms(client->peer, clock_wall_ms());
    client->state = HBONE_CLIENT_OPEN;
    client->handler->on_open(client->owner, client);
}

/* -------------------------------------------------------------------------- starting, ending -- */

struct hbone_client *hbone_client_start(struct tls_io *io, const struct hbone_client_params *params,
                                        const struct hbone_client_handler *handler, void *owner,
                                        struct err *err)
{
    struct hbone_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        err_set(err, ERR_NOMEM, "HBONE connection: out of memory");
        return NULL;
    }
    client->io = io;
    client->handler = handler;
    client->owner = owner;
    client->options = params->options;
    client->max_streams = params->max_streams;
    client->assumed_streams = params->assumed_streams;
    struct dial_params dial = params->dial;
    dial.on_connected = on_connected;
    client->dial = dial_start(io, &dial, on_dialed, client, err);
    if (client->dial == NULL) {
        release(client);
        return NULL;
    }
    return client;
}

void hbone_client_free(struct hbone_client *client)
{
    if (client == NULL)
        return;
    dial_cancel(client->dial);
    hbone_conn_free(client->conn);
    release(client);
}

void hbone_client_retire(struct hbone_client *client)
{
    assert(client->conn != NULL);
    hbone_conn_drain(client->conn, REASON_DONE);
}

void hbone_client_close(struct hbone_client *client, enum reason reason, const struct err *err)
{
    assert(client->conn != NULL);
    hbone_conn_close(client->conn, reason, err);
}

/* ---------------------------------------------------------------------------------- requests -- */

static unsigned permitted_streams(const struct hbone_client *client)
{
    unsigned max = h2_session_max_streams(hbone_conn_h2(client->conn));
    if (max > client->max_streams)
        max = client->max_streams;
    if (max > client->assumed_streams && !hbone_conn_was_heard(client->conn))
        max = client->assumed_streams;
    return max;
}

unsigned hbone_client_room(const struct hbone_client *client)
{
    if (client->conn == NULL || !hbone_conn_is_open(client->conn))
        return 0;
    const struct h2_session *h2 = hbone_conn_h2(client->conn);
    if (!h2_session_takes_requests(h2))
        return 0;
    unsigned max = permitted_streams(client);
    unsigned num = h2_session_num_streams(h2);
    return num < max ? max - num : 0;
}

unsigned hbone_client_max_streams(const struct hbone_client *client)
{
    unsigned max = permitted_streams(client);
    return max > 0 ? max : 1;
}

bool hbone_client_is_useless(const struct hbone_client *client)
{
    return client->conn != NULL && permitted_streams(client) == 0 &&
           h2_session_num_streams(hbone_conn_h2(client->conn)) == 0;
}

bool hbone_client_was_heard(const struct hbone_client *client)
{
    return client->conn != NULL && hbone_conn_was_heard(client->conn);
}

void hbone_client_set_full(struct hbone_client *client)
{
    unsigned num = h2_session_num_streams(hbone_conn_h2(client->conn));
    client->max_streams = num > 0 ? num : 1;
}

struct hbone_stream *hbone_client_request(struct hbone_client *client,
                                          const struct h2_header *headers, size_t num_headers,
                                          const struct hbone_opener *opener, void *opener_owner)
{
    struct h2_stream *h2 =
        h2_session_request(hbone_conn_h2(client->conn), headers, num_headers, false, NULL, NULL);
    if (h2 == NULL)
        return NULL;
    struct hbone_stream *stream = hbone_stream_new(client->conn, h2, false, opener, opener_owner);
    if (stream == NULL)
        h2_stream_reset(h2, H2_INTERNAL_ERROR);
    return stream;
}
