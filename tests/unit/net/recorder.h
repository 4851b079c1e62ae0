/* A stream's owner that remembers what happened to it, and the two ends of connections for
 * tests. */
#ifndef REMORA_TESTS_RECORDER_H
#define REMORA_TESTS_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "net_tcp.h"

struct recorder {
    struct net_loop *loop;
    struct stream *stream; /* NULL once closed */
    struct net_tcp *tcp;

    struct buf got;
    size_t num_got; /* bytes, also those that on_read has taken out of `got` */
    unsigned num_eof, num_writable, num_shutdown, num_failed;
    enum stream_fault fault;
    struct err err;
    bool in_call; /* inside a stream_* call, where no handler may come */

    /* Looked at after each event: true stops the loop. */
    bool (*is_done)(struct recorder *recorder);
    /* Called first in each handler, when set. May close the stream. */
    void (*before)(struct recorder *recorder, const char *event);
    void *test; /* whatever the test wants there */
};

/* Makes `fd` a stream with `recorder` as its owner. */
void recorder_init(struct recorder *recorder, struct net_loop *loop, int fd);

/* The same for a connection that exists. */
void recorder_attach(struct recorder *recorder, struct net_loop *loop, struct net_tcp *tcp);

/* The stream's calls, with in_call set meanwhile. */
void recorder_write(struct recorder *recorder, const void *bytes, size_t len);
void recorder_shutdown(struct recorder *recorder);
void recorder_read_start(struct recorder *recorder);

void recorder_close(struct recorder *recorder);
void recorder_abort(struct recorder *recorder);

/* Closes what is open and frees what was read. */
void recorder_done(struct recorder *recorder);

/* Conditions for is_done. */
bool recorder_has_eof(struct recorder *recorder);
bool recorder_has_shutdown(struct recorder *recorder);
bool recorder_has_failed(struct recorder *recorder);
bool recorder_has_bytes(struct recorder *recorder);

/* Blocking sockets connected to each other: over loopback, and as a UNIX pair. */
void recorder_tcp_pair(int fds[2]);
void recorder_unix_pair(int fds[2]);

/* Closes with RST. */
void recorder_reset(int fd);

#endif
