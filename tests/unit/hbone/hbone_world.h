/*
 * Two agents in one loop: a pool on one side, a listener whose connections are hbone_servers on the
 * other, with real TLS over loopback. What happens is written down; the test decides what each side
 * does.
 */
#ifndef TEST_HBONE_WORLD_H
#define TEST_HBONE_WORLD_H

#include <stdbool.h>

#include "buf.h"
#include "cert_builder.h"
#include "hbone_pool.h"
#include "hbone_server.h"
#include "net_tcp.h"

#define CLIENT_ID   "spiffe://cluster.local/ns/shop/sa/frontend"
#define SERVER_ID   "spiffe://cluster.local/ns/shop/sa/backend"
#define STRANGER_ID "spiffe://cluster.local/ns/other/sa/stranger"

enum { CALLS_MAX = 512, SERVERS_MAX = 64 };

/* One end of a tunnel. */
struct end {
    struct stream *stream; /* NULL: none, or closed */
    struct buf data;
    bool eof;
    bool shutdown;
    bool failed;
    enum stream_fault fault;
    unsigned num_writable;
    char error[200];
    void (*on_read)(struct end *end); /* a test's own reaction; may be NULL */
    bool is_tolerant;                 /* as the world's */
};

/* A request of the client. */
struct call {
    struct hbone_pool_wait *wait;
    bool done;
    enum reason reason;
    unsigned status;
    char baggage[200];
    char peer[200];
    char error[512];
    struct end end;
};

/* A request as the server saw it. */
struct got {
    struct hbone_request *request; /* NULL once answered or gone */
    unsigned server;               /* index of the connection */
    bool gone;
    struct hbone_authority authority;
    char baggage[200];
    char forwarded[200];
    char traceparent[80];
    char network[80];
    struct end end;
};

struct served {
    struct hbone_server *server; /* NULL once closed */
    bool handshaken;
    bool closed;
    enum reason reason;
    char error[512];
};

enum world_mode { WORLD_ACCEPT, WORLD_HOLD, WORLD_REFUSE };

struct world {
    struct net_loop *loop;
    struct net_timer *watchdog;
    struct tls_io *io;
    struct cert_built *root;
    struct cert_built *leaf_client, *leaf_server;
    struct tls_context *client_tls, *server_tls;
    struct net_listener *listener;
    struct addr addr;
    struct hbone_pool *pool;
    struct hbone_pool_options pool_options; /* a test may change these two before world_open */
    struct hbone_server_options server_options;
    bool is_tolerant; /* out of memory is part of the test */
    enum world_mode mode;
    unsigned refuse_status;
    const char *accept_baggage;
    struct call calls[CALLS_MAX];
    unsigned num_calls;
    struct got gots[CALLS_MAX];
    unsigned num_gots;
    struct served servers[SERVERS_MAX];
    unsigned num_servers;
    unsigned num_malformed;
    char malformed[200];
};

/* Contexts and default options; no connection yet. */
void world_init(struct world *world);
/* The listener and the pool. */
void world_open(struct world *world);
/* Closes everything that is open and asserts that nothing is left in the loop. */
void world_done(struct world *world);

struct tls_context *world_context(struct world *world, struct cert_built *leaf, uint64_t epoch);

/* Asks the pool for a tunnel to the world's server. */
struct call *world_call(struct world *world);
struct call *world_call_as(struct world *world, const struct hbone_pool_request *request);

/* Runs the loop until `is_so` says yes; fails the test after 20 s. */
void world_until(struct world *world, bool (*is_so)(struct world *world));

/*
 * Runs `rounds` rounds of the loop: enough for what is under way on loopback to settle, where
 * nothing is expected to come.
 */
void world_settle(struct world *world);

/* Common conditions. */
bool all_calls_done(struct world *world);
bool all_servers_closed(struct world *world);

/* The open connections of the pool and at the server. */
unsigned world_num_connections(struct world *world);

void end_attach(struct end *end, struct stream *stream);
void end_write(struct end *end, const char *text);
void end_close(struct end *end);
bool end_has(const struct end *end, const char *text);

#endif
