/*
 * A small HTTP/1.1 server on a loop, for probes and scrapers: GET and HEAD of a few fixed paths, one
 * request a connection. libmicrohttpd parses; it runs on the loop's thread. For peers that are not
 * trusted: connections, their memory, their time and the memory of answers are bounded, and when all
 * places are taken the oldest connection makes room.
 */
#ifndef REMORA_HTTP_SERVER_H
#define REMORA_HTTP_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "buf.h"
#include "err.h"
#include "net_loop.h"

enum {
    HTTP_SERVER_CONNECTIONS_MAX = 32, /* probes and scrapers of one pod are two or three */
    HTTP_SERVER_CONNECTION_MEMORY =
        8 * 1024,            /* request line and headers; what is more is refused */
    HTTP_SERVER_IDLE_S = 10, /* without a byte in either direction */
    HTTP_SERVER_ANSWERS_MAX = 32 * 1024 * 1024, /* bytes of answers under way; then 503 */
};

struct http_request {
    const char *accept; /* the Accept header; NULL: none */
};

/* Filled by the handler. */
struct http_response {
    unsigned status;          /* 200 unless changed */
    const char *content_type; /* static storage; text/plain unless changed */
    struct buf body;          /* taken */
};

struct http_route {
    const char *path;
    /* May not free the server. */
    void (*on_get)(void *owner, const struct http_request *request, struct http_response *response);
    void *owner;
};

struct http_server;

/*
 * Listens. [::] takes IPv4 too and falls back to 0.0.0.0 where the kernel has no IPv6. `routes` is
 * borrowed until http_server_free. Paths that are not there get 404, methods 405. NULL: *err names
 * the address.
 */
struct http_server *http_server_new(struct net_loop *loop, const struct addr *at,
                                    const struct http_route *routes, size_t num_routes,
                                    struct err *err);

/* The bound address (port 0 resolved). */
const struct addr *http_server_addr(const struct http_server *server);

/* Closes what is open. NULL is ignored. */
void http_server_free(struct http_server *server);

#endif
