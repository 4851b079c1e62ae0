/*
 * What a connection's first bytes are: a ClientHello, or something else. The bytes are looked at and put back, for whoever the connection
 * is given to then. Private to proxy/.
 */
#ifndef REMORA_SNIFF_H
#define REMORA_SNIFF_H

#include <stdbool.h>
#include <stdint.h>

#include "client_hello.h"
#include "net_tcp.h"

struct session;
struct sniff;

enum sniff_verdict {
    SNIFF_TLS,    /* a whole ClientHello, which may be asked (sniff_hello) */
    SNIFF_OTHER,  /* not TLS */
    SNIFF_BAD,    /* begins as a ClientHello and breaks its rules */
    SNIFF_ENDED,  /* the client's direction ended before that was clear */
    SNIFF_SILENT, /* not a byte came in silent_ms */
    SNIFF_SLOW,   /* a ClientHello that has begun was not whole in time */
};

struct sniff_options {
    uint64_t silent_ms; /* 0: a client may say nothing for ever */
    uint64_t hello_ms;  /* from a ClientHello's first byte; 0: it has to be whole in silent_ms */
    /* Once, later. Reading is stopped, what was read is put back. The sniff may be freed inside. */
    void (*on_verdict)(struct session *session, enum sniff_verdict verdict);
    /* Instead: the connection failed, or (STREAM_FAULT_IO, ERR_NOMEM) there is no memory for it. */
    void (*on_failed)(struct session *session, enum stream_fault fault, const struct err *err);
};

/* Becomes the handler of the connection, which stays the session's, and starts reading. NULL: out of memory. */
struct sniff *sniff_start(struct session *session, struct net_tcp *tcp,
                          const struct sniff_options *options);

/* Stops before there is a verdict, and puts back what was read. 0, or -1 without memory for that. */
int sniff_give_up(struct sniff *sniff);

/* When a ClientHello has begun, and when the time for it ends; in the loop's time. */
uint64_t sniff_since_ms(const struct sniff *sniff);
uint64_t sniff_until_ms(const struct sniff *sniff);

/* After SNIFF_TLS. */
const struct client_hello *sniff_hello(const struct sniff *sniff);

/* After SNIFF_BAD: what is wrong with it; static. */
const char *sniff_problem(const struct sniff *sniff);

/* Does not close the connection. NULL is ignored. */
void sniff_free(struct sniff *sniff);

#endif
