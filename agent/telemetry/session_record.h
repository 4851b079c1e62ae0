/*
 * What is told of one session when it is opened and when it ends: the values behind its metrics and its access-log line.
 * Plain borrowed values; whoever fills it keeps them alive for the duration of the call.
 */
#ifndef REMORA_SESSION_RECORD_H
#define REMORA_SESSION_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "reason.h"

enum session_direction { SESSION_OUTBOUND, SESSION_INBOUND };

/* One end of a session as discovery knows it. Any text may be NULL or "": not known. */
struct session_party {
    const char *workload; /* the workload's controller name (workloadName), for metrics */
    const char *pod;      /* its own name, for the log */
    const char *namespace_;
    const char *service_account;
    const char *canonical_name;
    const char *canonical_revision;
    const char *cluster;
    const char *identity; /* SPIFFE ID proven by mutual TLS, "spiffe://..."; NULL without */
};

struct session_record {
    enum session_direction direction;
    struct addr source_addr;
    struct addr
        destination_addr; /* the TCP peer on the far side: pod:15008 for a tunnel (Istio's dst.addr) */
    struct addr target_addr; /* where the application listens; the CONNECT authority of a tunnel */
    bool has_target;         /* target_addr is known */
    struct session_party source;
    struct session_party destination;
    const char *service_hostname; /* of the addressed service; NULL: none */
    const char *service_namespace;
    const char *service_name;
    bool mutual_tls;
    const char *sni; /* the server name that the client's TLS asked for; NULL or "": none */

    /* At the end only. */
    uint64_t bytes_sent;     /* from the destination to the source: what the client received */
    uint64_t bytes_received; /* from the source to the destination: what the client sent */
    uint64_t duration_ms;
    enum reason reason;
    const char *detail; /* specifics in words; NULL or "": the reason's sentence says it all */
    const char *policy; /* "namespace/name" of the policy that decided; NULL: none */
};

#endif
