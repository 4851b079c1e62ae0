/*
 * TCP connections and listeners. A connection is a struct stream; what only TCP has (addresses,
 * options) is here. All connections have TCP_NODELAY and, unless options say otherwise, keepalive.
 */
#ifndef REMORA_NET_TCP_H
#define REMORA_NET_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "net_loop.h"
#include "stream.h"

enum {
    NET_READ_LIMIT = 256 * 1024,  /* what net_tcp_set_read_size can ask for */
    NET_READ_MAX = 4 * 16384 - 9, /* bytes read at once: with an HTTP/2 frame header in front,
                                     exactly four full TLS records */
};

struct net_tcp_options {
    uint32_t keepalive_idle_s; /* 0: no keepalive */
    uint32_t keepalive_interval_s;
    uint32_t keepalive_count;
    uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT; 0: the kernel's */
};

/*
 * A stream with these properties of its own:
 *  - A reset or timeout is noticed by reading and by writing. While reading is stopped and nothing
 *    is queued nobody looks at the socket, and it is noticed by whichever comes next; the same
 *    holds after on_eof, when only a write can tell.
 *  - When a write fails while received bytes wait to be read, on_failed comes after them. Where
 *    reading is stopped it thus comes only once the owner reads on; the owner's idle timer covers
 *    the rest. Meanwhile what is written is dropped.
 */
struct net_tcp; /* its first member is the struct stream: net_tcp_stream() is free */

struct stream *net_tcp_stream(struct net_tcp *tcp);
const struct addr *net_tcp_peer(const struct net_tcp *tcp);
const struct addr *net_tcp_local(const struct net_tcp *tcp);

/*
 * Where the client meant to go before it was redirected: SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST,
 * else the local address (TPROXY, or a direct connection). 0, or -1 with *err.
 */
int net_tcp_original_destination(const struct net_tcp *tcp, struct addr *out, struct err *err);

/*
 * Whether the connection is broken: reset by the peer, or given up by the kernel. For an owner who does not read at present, whom
 * nobody tells. A peer that has only ended its direction has not broken it. A system call.
 */
bool net_tcp_is_broken(const struct net_tcp *tcp);

/*
 * Bytes that one read may take from now on, 1 to NET_READ_LIMIT; NET_READ_MAX unless set. All
 * connections of a loop read into one buffer, so that a larger size costs no memory.
 */
void net_tcp_set_read_size(struct net_tcp *tcp, size_t len);

/*
 * Puts back bytes that were read, copied: they are the next that on_read brings, once reading is started again, before what comes after
 * them, and before on_eof, which comes again if it has come (also when `len` is 0). Once in a connection's life; reading is stopped (asserted
 * both). What was looked at thus goes to whom it is for as if nobody had. 0, or -1 when out of memory: the bytes are lost, so the
 * connection is of no more use.
 */
int net_tcp_unread(struct net_tcp *tcp, const uint8_t *bytes, size_t len);

/* The TCP connection that a stream is, lent; NULL: it is something else. */
const struct net_tcp *net_tcp_of(const struct stream *stream);

/*
 * Bytes that were written and that the other end's kernel has not acknowledged, whether they are on their way or were never sent because
 * the connection broke before; our end (FIN) counts as one, unless it is acknowledged. Also after on_failed. SIZE_MAX: the kernel does not
 * say. A system call.
 */
size_t net_tcp_undelivered(const struct net_tcp *tcp);

/* Makes a connected socket pair's end or any connected descriptor a stream (tests). Takes `fd` on
 * success. NULL: see *err. */
struct net_tcp *net_tcp_from_fd(struct net_loop *loop, int fd,
                                const struct net_tcp_options *options, struct err *err);

/* -------------------------------------------------------------------------------- connecting -- */

struct net_connect;

/* How an attempt ended. On success `tcp` is the callback's to keep and err is NULL; else tcp is
 * NULL and *err lent: ERR_TIMEOUT, or ERR_SYSTEM with ECONNREFUSED, EHOSTUNREACH, EMFILE ... */
typedef void net_connect_done(void *owner, struct net_tcp *tcp, const struct err *err);

/*
 * Starts to connect; gives up after timeout_ms. `options` is read during the call. Returns NULL
 * (with *err) when it could not even start (no descriptor); `done` is then not called. Else `done`
 * is called once, later, and the attempt frees itself.
 */
struct net_connect *net_connect_start(struct net_loop *loop, const struct addr *to,
                                      const struct net_tcp_options *options, uint64_t timeout_ms,
                                      net_connect_done *done, void *owner, struct err *err);

/* Not after `done`. `done` will not be called. NULL is ignored. */
void net_connect_cancel(struct net_connect *connect);

/* --------------------------------------------------------------------------------- listening -- */

struct net_listener;

struct net_listener_options {
    bool reuse_port;            /* several loops listen on one port (SO_REUSEPORT) */
    int backlog;                /* 0: SOMAXCONN */
    struct net_tcp_options tcp; /* for accepted connections */
};

/*
 * Listens. `options` is read during the call. [::] takes IPv4 too (dual stack) and falls back to
 * 0.0.0.0 where the kernel has no IPv6. Accepted connections are handed to on_accept, whose they
 * are. Running out of descriptors drops the connection that waits (a reserve descriptor is spent on
 * accepting it), calls on_overload at most once a second, and goes on. NULL: see *err.
 */
struct net_listener *net_listener_new(struct net_loop *loop, const struct addr *at,
                                      const struct net_listener_options *options,
                                      void (*on_accept)(void *owner, struct net_tcp *tcp),
                                      void (*on_overload)(void *owner), void *owner,
                                      struct err *err);

/* The bound address (port 0 resolved). */
const struct addr *net_listener_addr(const struct net_listener *listener);

/* Stops listening at once; connections that nobody accepted are reset. May be called inside
 * on_accept and on_overload. NULL is ignored. */
void net_listener_free(struct net_listener *listener);

#endif
