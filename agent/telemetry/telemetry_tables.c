#include "telemetry_tables.h"

#include "traffic_labels.h"

enum {
    /* Sets of labels, of which each pair of workloads makes some (identity, service, flags). A pod
     * has tens of peers; a thousand sets are a text of four megabytes, past which scraping each pod
     * is no longer sensible. */
    TRAFFIC_ROWS_MAX = 1000,
    DIRECTIONS = 2,
    REASON_ROWS_MAX = 256, /* both directions of each reason */
    FEW = 8,               /* labels whose values are a short closed list of ours */
};

static const char *const by_reporter[] = {"reporter"};
static const char *const by_direction[] = {"direction"};
static const char *const by_direction_and_reason[] = {"direction", "reason"};
static const char *const by_direction_and_outcome[] = {"direction", "outcome"};
static const char *const by_reason[] = {"reason"};
static const char *const by_url[] = {"url"};
static const char *const by_type[] = {"type"};
static const char *const by_outcome[] = {"outcome"};
static const char *const by_log[] = {"log"};
static const char *const by_build[] = {"component", "tag"};

#define LABELS(names) .labels = (names), .num_labels = sizeof(names) / sizeof((names)[0])

const struct metrics_spec telemetry_tables[NUM_TELEMETRY_TABLES] = {
    [TABLE_TRAFFIC] =
        {
            .type = METRICS_COUNTER,
            .columns =
                {
                    [TRAFFIC_OPENED] = {"istio_tcp_connections_opened",
                                        "Connections that were opened"},
                    [TRAFFIC_CLOSED] = {"istio_tcp_connections_closed",
                                        "Connections that have ended"},
                    [TRAFFIC_FAILED] = {"istio_tcp_connections_failed",
                                        "Connections that ended because of a failure or a refusal"},
                    [TRAFFIC_RECEIVED] = {"istio_tcp_received_bytes",
                                          "Bytes from the source to the destination"},
                    [TRAFFIC_SENT] = {"istio_tcp_sent_bytes",
                                      "Bytes from the destination to the source"},
                },
            .num_columns = 5,
            LABELS(traffic_labels_names),
            .max_rows = TRAFFIC_ROWS_MAX,
        },
    [TABLE_SOCKETS] =
        {
            .type = METRICS_GAUGE,
            .columns = {{"istio_tcp_sockets_open", "TCP sockets that the data path holds"}},
            .num_columns = 1,
            LABELS(by_reporter),
            .max_rows = DIRECTIONS,
        },
    [TABLE_BUILD] =
        {
            .type = METRICS_GAUGE,
            .columns = {{"istio_build", "Which program this is, and its version"}},
            .num_columns = 1,
            LABELS(by_build),
            .max_rows = 1,
        },
    [TABLE_PROCESS] =
        {
            .type = METRICS_GAUGE,
            .columns =
                {
                    [PROCESS_OPEN_FDS] = {"process_open_fds", "Open file descriptors"},
                    [PROCESS_MAX_FDS] = {"process_max_fds", "Limit of open file descriptors"},
                    [PROCESS_RESIDENT_BYTES] = {"process_resident_memory_bytes", "Resident memory"},
                },
            .num_columns = 3,
            .max_rows = 1,
        },
    [TABLE_READY] =
        {
            .type = METRICS_GAUGE,
            .columns = {{"remora_ready", "1 when the readiness port says ready"}},
            .num_columns = 1,
            .max_rows = 1,
        },
    [TABLE_SESSION_ENDS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_session_ends", "Sessions that have ended, by reason"}},
            .num_columns = 1,
            LABELS(by_direction_and_reason),
            .max_rows = REASON_ROWS_MAX,
        },
    [TABLE_HANDSHAKE_FAILURES] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_tls_handshake_failures",
                         "TLS handshakes of tunnels that failed, by reason"}},
            .num_columns = 1,
            LABELS(by_direction_and_reason),
            .max_rows = REASON_ROWS_MAX,
        },
    [TABLE_HANDSHAKES] =
        {
            .type = METRICS_DURATIONS,
            .columns = {{"remora_tls_handshake_duration_seconds",
                         "Time of TLS handshakes: from the TCP connection on, at the application's "
                         "ports from the client's first byte on"}},
            .num_columns = 1,
            LABELS(by_direction),
            .max_rows = DIRECTIONS,
        },
    [TABLE_CONNECTS] =
        {
            .type = METRICS_DURATIONS,
            .columns = {{"remora_connect_duration_seconds",
                         "Time that TCP connects took, inbound to the application, outbound to "
                         "the peer's agent or the destination"}},
            .num_columns = 1,
            LABELS(by_direction_and_outcome),
            .max_rows = REASON_ROWS_MAX,
        },
    [TABLE_OVERLOADS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_accept_overloads",
                         "Seconds in which accepted connections were dropped for want of file "
                         "descriptors"}},
            .num_columns = 1,
            LABELS(by_direction),
            .max_rows = DIRECTIONS,
        },
    [TABLE_POOL] =
        {
            .type = METRICS_GAUGE,
            .columns =
                {
                    [POOL_TUNNELS] = {"remora_tunnels_open", "HTTP/2 connections with peer agents"},
                    [POOL_STREAMS] = {"remora_tunnel_streams_open",
                                      "Sessions that live inside tunnels"},
                },
            .num_columns = 2,
            LABELS(by_direction),
            .max_rows = DIRECTIONS,
        },
    [TABLE_RECHECKS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_recheck_closed",
                         "Live sessions that were ended because trust or policy changed, or the "
                         "peer's certificate ended"}},
            .num_columns = 1,
            LABELS(by_direction_and_reason),
            .max_rows = REASON_ROWS_MAX,
        },
    [TABLE_TUNNEL_ENDS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_tunnel_ends", "Tunnels that have ended, by reason"}},
            .num_columns = 1,
            LABELS(by_direction_and_reason),
            .max_rows = REASON_ROWS_MAX,
        },
    [TABLE_WAITS] =
        {
            .type = METRICS_GAUGE,
            .columns = {{"remora_sessions_waiting", "Sessions that wait for discovery"}},
            .num_columns = 1,
            LABELS(by_direction),
            .max_rows = DIRECTIONS,
        },
    [TABLE_CERTIFICATE] =
        {
            .type = METRICS_GAUGE,
            .columns =
                {
                    [CERTIFICATE_NOT_AFTER] = {"remora_certificate_expiry_timestamp_seconds",
                                               "When the certificate in use expires; 0: there is "
                                               "none"},
                    [CERTIFICATE_NOT_BEFORE] = {"remora_certificate_start_timestamp_seconds",
                                                "Since when the certificate in use is valid; 0: "
                                                "there is none"},
                    [CERTIFICATE_LAST_ROTATION] =
                        {"remora_certificate_last_rotation_timestamp_seconds",
                         "When an attempt to get a certificate last succeeded; 0: never"},
                },
            .num_columns = 3,
            .max_rows = 1,
        },
    [TABLE_TRUST] =
        {
            .type = METRICS_GAUGE,
            .columns =
                {
                    [TRUST_DOMAINS] = {"remora_trust_domains",
                                       "Trust domains that have a bundle of roots"},
                    [TRUST_BUNDLE_END] = {"remora_trust_bundle_expiry_timestamp_seconds",
                                          "When the first of all trusted roots ends"},
                    [TRUST_CRLS] = {"remora_crl_lists", "Certificate revocation lists in force"},
                    [TRUST_CRLS_UNTIMELY] =
                        {"remora_crl_lists_expired",
                         "Revocation lists that have expired, or are not "
                         "valid yet"},
                    [TRUST_CRL_END] = {"remora_crl_next_update_timestamp_seconds",
                                       "The earliest nextUpdate of a revocation list"},
                    [TRUST_OWN_REVOKED] = {"remora_certificate_revoked",
                                           "1 when our own certificate is on a revocation list"},
                    [TRUST_UNUSABLE_FILES] = {"remora_trust_files_unusable",
                                              "Files of bundles and revocation lists that could "
                                              "not be used when they were last read"},
                },
            .num_columns = 7,
            .max_rows = 1,
        },
    [TABLE_TRUST_TROUBLES] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_trust_troubles",
                         "Parts of what a certificate source brought that could not be used"}},
            .num_columns = 1,
            .max_rows = 1,
        },
    [TABLE_ROTATIONS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_certificate_rotation_attempts",
                         "Attempts to get a certificate, by outcome"}},
            .num_columns = 1,
            LABELS(by_outcome),
            .max_rows = FEW,
        },
    [TABLE_DISCOVERY] =
        {
            .type = METRICS_GAUGE,
            .columns =
                {
                    [DISCOVERY_LAST_SUCCESS] = {"remora_discovery_last_success_timestamp_seconds",
                                                "When discovery was last loaded; 0: never"},
                    [DISCOVERY_WORKLOADS] = {"remora_discovery_workloads",
                                             "Workloads that discovery knows"},
                    [DISCOVERY_SERVICES] = {"remora_discovery_services",
                                            "Services that discovery knows"},
                    [DISCOVERY_POLICIES] = {"remora_discovery_policies",
                                            "Authorization policies that discovery knows"},
                },
            .num_columns = 4,
            .max_rows = 1,
        },
    [TABLE_DISCOVERY_LOADS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_discovery_loads",
                         "Attempts to load discovery; after a failed one the state before it stays "
                         "in force"}},
            .num_columns = 1,
            LABELS(by_outcome),
            .max_rows = FEW,
        },
    [TABLE_XDS] =
        {
            .type = METRICS_GAUGE,
            .columns =
                {
                    [XDS_CONNECTED] = {"remora_xds_connected",
                                       "1 while a stream to the control plane stands"},
                    [XDS_FROM_CACHE] = {"remora_xds_from_cache",
                                        "1 while what is in force is the cache's and no control "
                                        "plane has confirmed it"},
                    [XDS_SUBSCRIPTIONS] = {"remora_xds_subscriptions",
                                           "Names that the control plane is asked for"},
                    [XDS_LAST_ANSWER] = {"remora_xds_last_answer_timestamp_seconds",
                                         "When the control plane last sent anything; 0: never"},
                },
            .num_columns = 4,
            .max_rows = 1,
        },
    [TABLE_XDS_COUNTS] =
        {
            .type = METRICS_COUNTER,
            .columns =
                {
                    [XDS_ACKS] = {"remora_xds_acks", "Answers that were taken as a whole"},
                    [XDS_NACKS] = {"remora_xds_nacks",
                                   "Answers of which something was rejected; the rest was taken"},
                    [XDS_SNAPSHOTS] = {"remora_xds_snapshots",
                                       "Versions of the mesh that came into force"},
                    [XDS_ASKED] = {"remora_xds_asked",
                                   "Destinations that connections made it necessary to ask for"},
                    [XDS_EXPIRED] = {"remora_xds_expired",
                                     "Subscriptions that ended because nothing used them"},
                },
            .num_columns = 5,
            .max_rows = 1,
        },
    [TABLE_XDS_ENDS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"istio_xds_connection_terminations",
                         "Streams to the control plane that ended, by ztunnel's reasons"}},
            .num_columns = 1,
            LABELS(by_reason),
            .max_rows = FEW,
        },
    [TABLE_XDS_STREAM_ENDS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_xds_stream_ends",
                         "Streams to the control plane that ended, by reason"}},
            .num_columns = 1,
            LABELS(by_reason),
            .max_rows = FEW,
        },
    [TABLE_XDS_MESSAGES] =
        {
            .type = METRICS_COUNTER,
            .columns = {[XDS_MESSAGES] = {"istio_xds_message", "Messages from the control plane"},
                        [XDS_BYTES] = {"istio_xds_message_bytes", "Bytes of these messages"}},
            .num_columns = 2,
            LABELS(by_url),
            .max_rows = FEW,
        },
    [TABLE_XDS_UPDATES] =
        {
            .type = METRICS_COUNTER,
            .columns = {[XDS_UPDATES] = {"remora_xds_updates",
                                         "Resources that were taken from the control plane, and "
                                         "removals"},
                        [XDS_REJECTED] = {"remora_xds_rejected",
                                          "Resources that could not be used; what was known "
                                          "before them stays"}},
            .num_columns = 2,
            LABELS(by_type),
            .max_rows = FEW,
        },
    [TABLE_XDS_RESOURCES] =
        {
            .type = METRICS_GAUGE,
            .columns = {{"remora_xds_resources", "Resources of the control plane that are held"}},
            .num_columns = 1,
            LABELS(by_type),
            .max_rows = FEW,
        },
    [TABLE_LOG_DROPPED] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_log_lines_dropped",
                         "Lines dropped because the reader of stdout (access) or stderr (program) "
                         "was too slow"}},
            .num_columns = 1,
            LABELS(by_log),
            .max_rows = FEW,
        },
    [TABLE_LOG_SUPPRESSED] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_access_log_suppressed",
                         "Lines about refused peers without identity that the rate limit left "
                         "out"}},
            .num_columns = 1,
            .max_rows = 1,
        },
    [TABLE_SERIES_OVERFLOWS] =
        {
            .type = METRICS_COUNTER,
            .columns = {{"remora_metrics_overflows",
                         "Events counted under \"overflow\" because there were too many sets of "
                         "labels"}},
            .num_columns = 1,
            .max_rows = 1,
        },
};
