/*
 * The values that travel in HBONE's CONNECT request and answer, as pure functions: `:authority`,
 * `baggage`, `forwarded` and `traceparent`. Parsers take whatever a peer sent. What baggage and
 * forwarded say is for labels only, never for authorization.
 */
#ifndef REMORA_HBONE_HEADERS_H
#define REMORA_HBONE_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"

enum {
    HBONE_HOST_MAX = 253,       /* bytes of a host name (RFC 1035 2.3.4, without the final dot) */
    HBONE_AUTHORITY_TEXT = 272, /* host, colon, port, NUL; an address needs less */
    HBONE_BAGGAGE_MAX = 2048, /* bytes of baggage that are looked at or made; more is no baggage */
    HBONE_FORWARDED_TEXT = 384,  /* for="[...]:65535";host=..., NUL */
    HBONE_TRACEPARENT_TEXT = 56, /* 00-32-16-02 and NUL */
    HBONE_TRACE_RANDOM = 24,     /* random bytes that make a traceparent */
};

/* -------------------------------------------------------------------------------- :authority -- */

/* Where a tunnel is to lead: an address, or a host name. */
struct hbone_authority {
    struct ip ip;                  /* family IP_NONE: see host */
    uint16_t port;                 /* never 0 */
    char host[HBONE_HOST_MAX + 1]; /* lower case; "" when ip says it */
};

/*
 * "1.2.3.4:80", "[::1]:80", "name.ns.svc:80". No user part, no path, the port in decimal and
 * required. -1: ERR_PROTOCOL.
 */
int hbone_authority_parse(struct hbone_authority *authority, const char *text, size_t len,
                          struct err *err);

/* `out` has HBONE_AUTHORITY_TEXT bytes. Returns `out`. */
const char *hbone_authority_format(const struct hbone_authority *authority, char *out);

/* ----------------------------------------------------------------------------------- baggage -- */

/* Members that are NULL or "" are not set. */
struct hbone_baggage {
    const char *cluster;       /* k8s.cluster.name */
    const char *ns;            /* k8s.namespace.name */
    const char *workload_type; /* "deployment", "cronjob", "pod" or "job": k8s.<type>.name */
    const char *workload;
    const char *service; /* service.name: the canonical name */
    const char *version; /* service.version: the canonical revision */
    const char *region;  /* cloud.region */
    const char *zone;    /* cloud.availability_zone */
};

/*
 * Writes the members that are set, in Istio's order, and NUL. -1 when it does not fit, or a value
 * holds a character that baggage cannot carry as it is (control, space, quote, comma, semicolon,
 * backslash, equals sign, not ASCII); `out` is then "".
 */
int hbone_baggage_format(const struct hbone_baggage *baggage, char *out, size_t out_len);

/* A parsed one with the storage of its members. */
struct hbone_baggage_store {
    struct hbone_baggage members;
    char text[HBONE_BAGGAGE_MAX];
};

/*
 * Tolerant: unknown keys, members without "=" and properties after ";" are skipped, the last of
 * equal keys counts, spaces around are cut. -1: not ASCII or too long; all members are then unset.
 */
int hbone_baggage_parse(struct hbone_baggage_store *store, const char *text, size_t len);

/* --------------------------------------------------------------------------------- forwarded -- */

struct hbone_forwarded {
    struct addr client;            /* ip.family IP_NONE when not given or not an address */
    char host[HBONE_HOST_MAX + 1]; /* "" when not given */
};

/*
 * for="ip:port", and ;host=<host> unless host is NULL, "" or longer than HBONE_HOST_MAX. `out` has
 * HBONE_FORWARDED_TEXT bytes. Returns `out`.
 */
const char *hbone_forwarded_format(const struct addr *client, const char *host, char *out);

/* The first element (RFC 7239), tolerant: what cannot be read stays unset. */
void hbone_forwarded_parse(struct hbone_forwarded *forwarded, const char *text, size_t len);

/* ------------------------------------------------------------------------------- traceparent -- */

struct hbone_traceparent {
    uint8_t trace_id[16]; /* not all zero */
    uint8_t parent_id[8]; /* not all zero */
    uint8_t flags;
};

/* From HBONE_TRACE_RANDOM random bytes; flags 0 (not sampled). */
void hbone_traceparent_make(struct hbone_traceparent *trace, const uint8_t *random);

/* W3C Trace Context, version 00; a higher version is read as far as 00 goes. -1: not one. */
int hbone_traceparent_parse(struct hbone_traceparent *trace, const char *text, size_t len);

/* `out` has HBONE_TRACEPARENT_TEXT bytes. Returns `out`. */
const char *hbone_traceparent_format(const struct hbone_traceparent *trace, char *out);

#endif
