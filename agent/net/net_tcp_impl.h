/* The inside of struct net_tcp, for the files of net alone: connecting and listening make
 * connections. */
#ifndef REMORA_NET_TCP_IMPL_H
#define REMORA_NET_TCP_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "net_loop_impl.h"
#include "net_tcp.h"

struct net_chunk;

/* Bytes that were put back, until they are read again. */
struct net_unread {
    struct net_task again;
    size_t len;
    uint8_t bytes[];
};

struct net_tcp {
    struct stream stream;
    struct net_loop *loop;
    uv_tcp_t uv;
    struct net_task
        later; /* on_shutdown and on_failed, which may not come inside a stream_* call */

    /* Bytes wait in chunks: those handed to libuv, one write each, and one that is being filled. It
     * is handed on when it is full or when nothing is in flight, so that many small writes become
     * few large ones. */
    struct net_chunk *filling;
    uint32_t num_in_flight;
    size_t num_untaken; /* bytes that were written and that the kernel has not taken */

    uint32_t read_len; /* bytes that one read may take */
    /* libuv's status when sending failed. Nothing is sent any more; what was received can be
     * read. */
    int broken;

    struct net_unread *unread; /* NULL: nothing was put back */

    bool reading;
    bool eof_seen;
    bool was_high; /* the queue was at the high mark: on_writable is owed */
    bool shutdown_asked;
    bool end_sent; /* and done: the kernel has our end, after everything else */
    bool failed;   /* on_failed was called */
    bool closed;

    struct addr local;
    struct addr peer;
};

/*
 * Makes a connection of a descriptor whose options are set and which is connected or about to be.
 * Takes `fd` on success. NULL: see *err.
 */
struct net_tcp *net_tcp_new(struct net_loop *loop, int fd, const struct addr *peer,
                            struct err *err);

/* Asks the kernel for the local address; once the socket is connected. */
void net_tcp_learn_local(struct net_tcp *tcp);

#endif
