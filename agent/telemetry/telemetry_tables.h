/* The metric families of the agent: names, labels, limits. Private to telemetry. */
#ifndef REMORA_TELEMETRY_TABLES_H
#define REMORA_TELEMETRY_TABLES_H

#include "metrics.h"

/* Columns of TABLE_TRAFFIC. */
enum {
    TRAFFIC_OPENED,
    TRAFFIC_CLOSED,
    TRAFFIC_FAILED,
    TRAFFIC_RECEIVED,
    TRAFFIC_SENT,
};

/* Columns of TABLE_CERTIFICATE and of TABLE_DISCOVERY, seconds since 1970. */
enum { CERTIFICATE_NOT_AFTER, CERTIFICATE_NOT_BEFORE, CERTIFICATE_LAST_ROTATION };
enum {
    DISCOVERY_LAST_SUCCESS,
    DISCOVERY_WORKLOADS,
    DISCOVERY_SERVICES,
    DISCOVERY_POLICIES,
};
/* Columns of TABLE_XDS, of TABLE_XDS_COUNTS and of the tables by type. */
enum { XDS_CONNECTED, XDS_FROM_CACHE, XDS_SUBSCRIPTIONS, XDS_LAST_ANSWER };
enum { XDS_ACKS, XDS_NACKS, XDS_SNAPSHOTS, XDS_ASKED, XDS_EXPIRED };
enum { XDS_MESSAGES, XDS_BYTES };
enum { XDS_UPDATES, XDS_REJECTED };
/* Columns of TABLE_TRUST. */
enum {
    TRUST_DOMAINS,
    TRUST_BUNDLE_END,
    TRUST_CRLS,
    TRUST_CRLS_UNTIMELY,
    TRUST_CRL_END,
    TRUST_OWN_REVOKED,
    TRUST_UNUSABLE_FILES,
};
/* Columns of TABLE_PROCESS. */
enum { PROCESS_OPEN_FDS, PROCESS_MAX_FDS, PROCESS_RESIDENT_BYTES };

enum telemetry_table {
    TABLE_TRAFFIC,
    TABLE_SOCKETS, /* reporter */
    TABLE_BUILD,   /* component, tag */
    TABLE_PROCESS,
    TABLE_READY,
    TABLE_SESSION_ENDS,       /* direction, reason */
    TABLE_HANDSHAKE_FAILURES, /* direction, reason */
    TABLE_HANDSHAKES,         /* direction; of those that succeeded */
    TABLE_CONNECTS,           /* direction, outcome */
    TABLE_OVERLOADS,          /* direction */
    TABLE_POOL,               /* direction; columns: tunnels, streams */
    TABLE_TUNNEL_ENDS,        /* direction, reason */
    TABLE_RECHECKS,           /* direction, reason */
    TABLE_WAITS,              /* direction */
    TABLE_CERTIFICATE,
    TABLE_ROTATIONS, /* outcome */
    TABLE_TRUST,
    TABLE_TRUST_TROUBLES,
    TABLE_DISCOVERY,
    TABLE_DISCOVERY_LOADS, /* outcome */
    TABLE_XDS,
    TABLE_XDS_COUNTS,
    TABLE_XDS_ENDS,        /* reason, as Istio's proxies have it */
    TABLE_XDS_STREAM_ENDS, /* reason */
    TABLE_XDS_MESSAGES,    /* url */
    TABLE_XDS_UPDATES,     /* type */
    TABLE_XDS_RESOURCES,   /* type */
    TABLE_LOG_DROPPED,     /* log */
    TABLE_LOG_SUPPRESSED,
    TABLE_SERIES_OVERFLOWS,
    NUM_TELEMETRY_TABLES
};

enum { POOL_TUNNELS, POOL_STREAMS };

extern const struct metrics_spec telemetry_tables[NUM_TELEMETRY_TABLES];

#endif
