/* The options of remora-agent: the one place where a name, a default, a range and its reason stand. */
#include "agent_config.h"
#include "options_program.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    DAY = 24 * HOUR,
    KIB = 1024,
    MIB = 1024 * KIB,
    HTTP2_FRAME_MIN = 16384,        /* RFC 9113, 6.5.2 */
    HTTP2_FRAME_MAX = 16 * MIB - 1, /* RFC 9113, 6.5.2 */
    HTTP2_WINDOW_MIN = 65535,       /* RFC 9113, 6.9.2: what a connection starts with */
    HTTP2_WINDOW_MAX = 0x7fffffff,  /* RFC 9113, 6.9.1 */
};

static const char *const access_logs[] = {"off", "text", "json", NULL};
static const char *const inbound_modes[] = {"strict", "permissive", NULL};
static const char *const outbound_policies[] = {"allow-any", "registry-only", NULL};
static const char *const discoveries[] = {"on-demand", "wildcard", NULL};
static const char *const unanswereds[] = {"refuse", "passthrough", NULL};
static const char *const crl_policies[] = {"lenient", "strict", NULL};
static const char *const cert_sources[] = {"istio-ca", "files", "spiffe", NULL};

#define FIELD(name_) .offset = offsetof(struct agent_config, name_)

#define PROGRAM      "Program"
#define IDENTITY     "Who we are"
#define LISTENERS    "Listeners"
#define POLICY       "Policy"
#define DISCOVERY    "Discovery"
#define CERTIFICATES "Certificates"
#define TRUST        "Trust"
#define TIMERS       "Timers"
#define HTTP2        "HTTP/2 and the pool"
#define TCP          "TCP"
#define LIMITS       "Limits"

static const struct option_spec specs[] = {
    OPTIONS_PROGRAM(struct agent_config, PROGRAM),
    {.name = "check-config",
     .type = OPTION_BOOL,
     FIELD(check_config),
     .default_value = "false",
     .command_only = true,
     .section = PROGRAM,
     .help =
         "Say what is wrong with the configuration, or print what is in force and where it comes "
         "from, and exit."},
    {.name = "allow-root",
     .type = OPTION_BOOL,
     FIELD(allow_root),
     .default_value = "false",
     .section = PROGRAM,
     .help = "Start although the user is root. The agent needs no privilege, and the capture rules "
             "tell "
             "its traffic from the application's by its user."},
    {.name = "workers",
     .type = OPTION_U32,
     FIELD(workers),
     .default_value = "1",
     .min = 1,
     .max = 256,
     .section = PROGRAM,
     .help = "Threads that carry traffic. A second one helps only where the pod has a core to "
             "spare for it."},
    {.name = "access-log",
     .type = OPTION_ENUM,
     FIELD(access_log),
     .default_value = "text",
     .choices = access_logs,
     .section = PROGRAM,
     .help = "Form of the access log (stdout): one line a connection."},

    {.name = "pod-name",
     .type = OPTION_TEXT,
     FIELD(pod_name),
     .default_value = "",
     .aliases = {"POD_NAME"},
     .section = IDENTITY,
     .help = "This pod's name. Required: discovery knows the pod by name, namespace and service "
             "account."},
    {.name = "pod-namespace",
     .type = OPTION_TEXT,
     FIELD(pod_namespace),
     .default_value = "",
     .aliases = {"POD_NAMESPACE"},
     .section = IDENTITY,
     .help = "This pod's namespace. Required."},
    {.name = "service-account",
     .type = OPTION_TEXT,
     FIELD(service_account),
     .default_value = "default",
     .aliases = {"SERVICE_ACCOUNT"},
     .section = IDENTITY,
     .help = "This pod's service account; Kubernetes gives pods "
             "\"default\" where nothing is said."},
    {.name = "trust-domain",
     .type = OPTION_TEXT,
     FIELD(trust_domain),
     .default_value = "cluster.local",
     .aliases = {"TRUST_DOMAIN"},
     .section = IDENTITY,
     .help = "The mesh's trust domain; peers of any other are refused. "
             "Istio's default."},
    {.name = "cluster-id",
     .type = OPTION_TEXT,
     FIELD(cluster_id),
     .default_value = "Kubernetes",
     .aliases = {"CLUSTER_ID", "ISTIO_META_CLUSTER_ID"},
     .section = IDENTITY,
     .help = "The cluster's name, told to the control plane and to peers. Istio's default."},
    {.name = "network",
     .type = OPTION_TEXT,
     FIELD(network),
     .default_value = "",
     .aliases = {"NETWORK"},
     .section = IDENTITY,
     .help =
         "The network that this pod is in; addresses are looked up in it. Meshes of one network "
         "leave it empty."},
    {.name = "node-name",
     .type = OPTION_TEXT,
     FIELD(node_name),
     .default_value = "",
     .aliases = {"NODE_NAME"},
     .section = IDENTITY,
     .help = "The node that this pod is on, told to the control plane."},
    {.name = "instance-ip",
     .type = OPTION_TEXT,
     FIELD(instance_ip),
     .default_value = "",
     .aliases = {"INSTANCE_IP"},
     .section = IDENTITY,
     .help = "This pod's address, told to the control plane."},

    {.name = "ipv6",
     .type = OPTION_BOOL,
     FIELD(ipv6),
     .default_value = "true",
     .aliases = {"IPV6_ENABLED"},
     .section = LISTENERS,
     .help =
         "Listen on IPv6 as well. Where the kernel has no IPv6 this falls back to IPv4 by itself."},
    {.name = "outbound-port",
     .type = OPTION_PORT,
     FIELD(outbound_port),
     .default_value = "15001",
     .section = LISTENERS,
     .help = "Loopback port to which the application's outgoing connections are redirected."},
    {.name = "inbound-port",
     .type = OPTION_PORT,
     FIELD(inbound_port),
     .default_value = "15006",
     .section = LISTENERS,
     .help = "Port to which plaintext connections to the application are redirected."},
    {.name = "hbone-port",
     .type = OPTION_PORT,
     FIELD(hbone_port),
     .default_value = "15008",
     .section = LISTENERS,
     .help = "Port for tunnels (HBONE) from other agents. Peers expect 15008."},
    {.name = "readiness-port",
     .type = OPTION_PORT,
     FIELD(readiness_port),
     .default_value = "15021",
     .section = LISTENERS,
     .help = "Port for /healthz/ready."},
    {.name = "metrics-port",
     .type = OPTION_PORT,
     FIELD(metrics_port),
     .default_value = "15020",
     .section = LISTENERS,
     .help = "Port for /metrics and /stats/prometheus."},

    {.name = "inbound-mode",
     .type = OPTION_ENUM,
     FIELD(inbound_mode),
     .default_value = "strict",
     .choices = inbound_modes,
     .section = POLICY,
     .help = "What happens to plaintext connections to the application: refused, "
             "or subject to the policies like any other."},
    {.name = "outbound-policy",
     .type = OPTION_ENUM,
     FIELD(outbound_policy),
     .default_value = "allow-any",
     .choices = outbound_policies,
     .section = POLICY,
     .help = "What happens to connections to addresses that discovery does "
             "not know: passed through in clear, or refused."},

    {.name = "ports-file",
     .type = OPTION_PATH,
     FIELD(ports_file),
     .default_value = "",
     .section = POLICY,
     .help = "YAML file that says what ports of the application take at their own door (the mesh's "
             "mutual TLS, mutual TLS by rules of the port, the application's own TLS, plaintext), "
             "and to which destinations mutual TLS is originated; see PORTS.md. Read anew whenever "
             "it, or a file that it names, changes. Ports without an entry: inbound-mode."},

    {.name = "local-file",
     .type = OPTION_PATH,
     FIELD(local_file),
     .default_value = "",
     .aliases = {"LOCAL_XDS_PATH"},
     .section = DISCOVERY,
     .help = "YAML file of workloads, services and policies; reloaded when it changes. Where it is "
             "given, it is the source of discovery, and the control plane is not asked."},
    {.name = "xds-address",
     .type = OPTION_TEXT,
     FIELD(xds_address),
     .default_value = "istiod.istio-system.svc:15012",
     .aliases = {"XDS_ADDRESS"},
     .section = DISCOVERY,
     .help = "host:port of the control plane's discovery (delta xDS); https:// in front is "
             "accepted. Not together with local-file."},
    {.name = "xds-root-file",
     .type = OPTION_PATH,
     FIELD(xds_root_file),
     .default_value = "/var/run/secrets/istio/root-cert.pem",
     .aliases = {"XDS_ROOT_CA"},
     .section = DISCOVERY,
     .help = "PEM file of the roots by which the control plane's server certificate is verified; "
             "read anew for each connection. The control plane knows this pod by token-file."},
    {.name = "xds-server-name",
     .type = OPTION_TEXT,
     FIELD(xds_server_name),
     .default_value = "",
     .aliases = {"ALT_XDS_HOSTNAME"},
     .section = DISCOVERY,
     .help = "DNS name that the control plane's server certificate has to carry. Where nothing is "
             "said: the host of xds-address."},
    {.name = "discovery",
     .type = OPTION_ENUM,
     FIELD(discovery),
     .default_value = "on-demand",
     .choices = discoveries,
     .section = DISCOVERY,
     .help = "What the control plane is asked for: what this pod talks to and this pod itself, so "
             "that memory does not grow with the mesh; or everything, so that no first connection "
             "waits for an answer. Policies are always all asked for."},
    {.name = "discovery-timeout",
     .type = OPTION_DURATION,
     FIELD(discovery_timeout_ms),
     .default_value = "5s",
     .min = 0,
     .max = 5 * MINUTE,
     .section = DISCOVERY,
     .help = "How long a connection waits for what discovery has yet to say: who this pod is, what "
             "is at the destination, a policy that is named. An answer takes milliseconds; this is "
             "how long ztunnel waits, and less than what applications usually give a connect."},
    {.name = "unanswered-destination",
     .type = OPTION_ENUM,
     FIELD(unanswered_destination),
     .default_value = "refuse",
     .choices = unanswereds,
     .section = DISCOVERY,
     .help =
         "What happens to connections to an address of which the control plane has said nothing "
         "in time: refused, for it may be one that only mutual TLS may reach; or passed through "
         "in clear. What is known to take tunnels is never dialled in clear."},
    {.name = "subscription-expiry",
     .type = OPTION_DURATION,
     FIELD(subscription_expiry_ms),
     .default_value = "10m",
     .min = 1 * SECOND,
     .max = (uint64_t)1 * DAY,
     .section = DISCOVERY,
     .help = "With discovery on-demand: what no connection has used for this long is forgotten. "
             "Twice the pool's idle timeout, so that whoever calls every few minutes is not asked "
             "for each time."},
    {.name = "cache-dir",
     .type = OPTION_PATH,
     FIELD(cache_dir),
     .default_value = "",
     .section = DISCOVERY,
     .help = "Folder, best in memory (emptyDir with medium Memory), in which the agent keeps what "
             "it was last told, so that it starts again while the control plane is down. Read as "
             "suspiciously as a fresh answer. The certificate is kept only if it is in memory "
             "(tmpfs), for its key is with it. Empty: nothing is kept."},

    {.name = "cert-source",
     .type = OPTION_ENUM,
     FIELD(cert_source),
     .default_value = "istio-ca",
     .choices = cert_sources,
     .section = CERTIFICATES,
     .help = "Where this pod's certificate comes from: Istio's CA (or any that speaks its "
             "CreateCertificate), files that somebody else keeps fresh, or the SPIFFE Workload API "
             "(SPIRE)."},
    {.name = "ca-address",
     .type = OPTION_TEXT,
     FIELD(ca_address),
     .default_value = "istiod.istio-system.svc:15012",
     .aliases = {"CA_ADDRESS"},
     .section = CERTIFICATES,
     .help = "host:port of the CA; https:// in front is accepted."},
    {.name = "ca-root-file",
     .type = OPTION_PATH,
     FIELD(ca_root_file),
     .default_value = "/var/run/secrets/istio/root-cert.pem",
     .aliases = {"CA_ROOT_CA"},
     .section = CERTIFICATES,
     .help = "PEM file of the roots by which the CA's own server certificate is verified."},
    {.name = "ca-server-name",
     .type = OPTION_TEXT,
     FIELD(ca_server_name),
     .default_value = "",
     .section = CERTIFICATES,
     .help =
         "DNS name that the CA's server certificate has to carry. Where nothing is said: the host "
         "of ca-address."},
    {.name = "token-file",
     .type = OPTION_PATH,
     FIELD(token_file),
     .default_value = "/var/run/secrets/tokens/istio-token",
     .section = CERTIFICATES,
     .help = "Bearer token by which the CA knows this pod; read anew for each call, for Kubernetes "
             "replaces it."},
    {.name = "cert-ttl",
     .type = OPTION_DURATION,
     FIELD(cert_ttl_ms),
     .default_value = "24h",
     .min = 10 * SECOND,
     .max = (uint64_t)90 * DAY,
     .aliases = {"SECRET_TTL"},
     .section = CERTIFICATES,
     .help = "Lifetime asked of the CA, which "
             "may give less. Renewed at about half of it. Istio's default."},
    {.name = "cert-file",
     .type = OPTION_PATH,
     FIELD(cert_file),
     .default_value = "",
     .section = CERTIFICATES,
     .help = "PEM file of the certificate chain, leaf first. Required with cert-source files."},
    {.name = "key-file",
     .type = OPTION_PATH,
     FIELD(key_file),
     .default_value = "",
     .section = CERTIFICATES,
     .help = "PEM file of the private key. Required with cert-source files."},
    {.name = "trust-bundle-file",
     .type = OPTION_PATH,
     FIELD(trust_bundle_file),
     .default_value = "",
     .section = CERTIFICATES,
     .help =
         "PEM file of the roots by which peers are verified, all of them: a root that is taken out "
         "of it is trusted no more. Required with cert-source files."},
    {.name = "spiffe-endpoint",
     .type = OPTION_TEXT,
     FIELD(spiffe_endpoint),
     .default_value = "",
     .aliases = {"SPIFFE_ENDPOINT_SOCKET"},
     .section = CERTIFICATES,
     .help = "The Workload API: unix:///path of its socket, or tcp://ip:port. Required with "
             "cert-source spiffe."},
    {.name = "spiffe-hint",
     .type = OPTION_TEXT,
     FIELD(spiffe_hint),
     .default_value = "",
     .section = CERTIFICATES,
     .help =
         "Of several identities that the Workload API has for this pod, the one with this hint. "
         "Where nothing is said: the one that the pod's names make, else the first."},

    {.name = "trust-domain-aliases",
     .type = OPTION_TEXT,
     FIELD(trust_domain_aliases),
     .default_value = "",
     .section = TRUST,
     .help =
         "Other names of our own trust domain, separated by commas: certificates that claim one "
         "are verified by our own roots, and count as ours for expected identities and in "
         "policies. For a trust domain that is being renamed."},
    {.name = "federated-bundle-files",
     .type = OPTION_TEXT,
     FIELD(federated_bundle_files),
     .default_value = "",
     .section = TRUST,
     .help =
         "Trust domains whose workloads are trusted, too, each verified by its own roots and by "
         "no others: domain=path of a PEM file, separated by commas. Read anew whenever a file "
         "changes. Policies name such peers by their principal; expected identities literally."},
    {.name = "crl-file",
     .type = OPTION_TEXT,
     FIELD(crl_file),
     .default_value = "",
     .aliases = {"CRL_PATH"},
     .section = TRUST,
     .help =
         "Files of certificate revocation lists, PEM or DER, of any issuers, separated by commas. "
         "Read anew whenever one changes; then live connections are judged by them, too."},
    {.name = "crl-policy",
     .type = OPTION_ENUM,
     FIELD(crl_policy),
     .default_value = "lenient",
     .choices = crl_policies,
     .section = TRUST,
     .help =
         "What a revocation list that has expired or cannot be read does. lenient: the one that "
         "is there goes on being used, and log and metrics say so, as in the field, for a list "
         "that nobody renews must not stop a mesh. strict: who was issued by the owner of an "
         "expired list is refused, and without a readable list the agent does not start to "
         "serve."},
    {.name = "peer-expiry-grace",
     .type = OPTION_DURATION,
     FIELD(peer_expiry_grace_ms),
     .default_value = "5m",
     .min = 0,
     .max = (uint64_t)3650 * DAY,
     .section = TRUST,
     .help =
         "How long a tunnel may outlast the certificate that its peer presented, before it is "
         "closed. Five minutes are more than clocks differ and than a peer needs to renew after "
         "a failure. Connections that must live longer than certificates need a larger value."},

    {.name = "connect-timeout",
     .type = OPTION_DURATION,
     FIELD(connect_timeout_ms),
     .default_value = "10s",
     .min = 100,
     .max = 5 * MINUTE,
     .section = TIMERS,
     .help = "For a TCP connection to the application or to a peer. ztunnel's."},
    {.name = "tls-timeout",
     .type = OPTION_DURATION,
     FIELD(tls_timeout_ms),
     .default_value = "10s",
     .min = 100,
     .max = 5 * MINUTE,
     .section = TIMERS,
     .help = "For a TLS handshake, on both sides. A handshake takes milliseconds; what "
             "takes longer is stuck or hostile."},
    {.name = "tunnel-answer-timeout",
     .type = OPTION_DURATION,
     FIELD(tunnel_answer_timeout_ms),
     .default_value = "15s",
     .min = 100,
     .max = 10 * MINUTE,
     .section = TIMERS,
     .help = "For the peer's answer to a tunnel request. The peer first "
             "connects to its application, for which it has 10s, so this has to be more."},
    {.name = "idle-timeout",
     .type = OPTION_DURATION,
     FIELD(idle_timeout_ms),
     .default_value = "1h",
     .min = 0,
     .max = (uint64_t)30 * DAY,
     .section = TIMERS,
     .help = "A connection without a byte in either direction for this long is "
             "closed. As long as Envoy's, since applications pool connections; peers that are gone "
             "are found by keepalive much "
             "earlier."},
    {.name = "drain-timeout",
     .type = OPTION_DURATION,
     FIELD(drain_timeout_ms),
     .default_value = "5s",
     .min = 0,
     .max = 1 * HOUR,
     .aliases = {"CONNECTION_TERMINATION_DEADLINE"},
     .section = TIMERS,
     .help = "How long live connections "
             "may go on after SIGTERM. Derived from termination-grace-period where that is known "
             "and this is not set."},
    {.name = "termination-grace-period",
     .type = OPTION_U32,
     FIELD(termination_grace_s),
     .default_value = "0",
     .min = 0,
     .max = 86400,
     .aliases = {"TERMINATION_GRACE_PERIOD_SECONDS"},
     .section = TIMERS,
     .help = "The pod's "
             "terminationGracePeriodSeconds; 0 where it is not known. Of g seconds, draining gets "
             "g-5 when g is above 10, else g-1, "
             "so that the agent ends by itself before it is killed."},

    {.name = "http2-ping-interval",
     .type = OPTION_DURATION,
     FIELD(http2_ping_interval_ms),
     .default_value = "10s",
     .min = 1 * SECOND,
     .max = 1 * HOUR,
     .section = HTTP2,
     .help = "Between PINGs on a tunnel connection. ztunnel's."},
    {.name = "http2-ping-timeout",
     .type = OPTION_DURATION,
     FIELD(http2_ping_timeout_ms),
     .default_value = "20s",
     .min = 1 * SECOND,
     .max = 1 * HOUR,
     .section = HTTP2,
     .help = "For the answer to a PING; then the peer is given up. "
             "ztunnel's."},
    {.name = "http2-stream-window",
     .type = OPTION_SIZE,
     FIELD(http2_stream_window),
     .default_value = "4MiB",
     .min = HTTP2_WINDOW_MIN,
     .max = HTTP2_WINDOW_MAX,
     .aliases = {"HTTP2_STREAM_WINDOW_SIZE"},
     .section = HTTP2,
     .help =
         "Bytes that a peer may send on one stream before the application takes them, at most: "
         "a stream starts with 256KiB and gets more while its application keeps up. ztunnel's."},
    {.name = "http2-connection-window",
     .type = OPTION_SIZE,
     FIELD(http2_connection_window),
     .default_value = "16MiB",
     .min = HTTP2_WINDOW_MIN,
     .max = HTTP2_WINDOW_MAX,
     .aliases = {"HTTP2_CONNECTION_WINDOW_SIZE"},
     .section = HTTP2,
     .help = "The same for all streams of one connection together; several times the stream "
             "window, so that a few slow "
             "applications do not stop the others. ztunnel's."},
    {.name = "http2-frame-size",
     .type = OPTION_SIZE,
     FIELD(http2_frame_size),
     .default_value = "64KiB",
     .min = HTTP2_FRAME_MIN,
     .max = HTTP2_FRAME_MAX,
     .aliases = {"HTTP2_FRAME_SIZE"},
     .section = HTTP2,
     .help = "Largest DATA frame that a peer may send: four TLS records, the most that is read "
             "from a socket at once."},
    {.name = "http2-max-streams",
     .type = OPTION_U32,
     FIELD(http2_max_streams),
     .default_value = "200",
     .min = 1,
     .max = 100000,
     .section = HTTP2,
     .help = "Streams that a peer may have open on one connection. ztunnel's."},
    {.name = "pool-max-streams",
     .type = OPTION_U32,
     FIELD(pool_max_streams),
     .default_value = "100",
     .min = 1,
     .max = 100000,
     .aliases = {"POOL_MAX_STREAMS_PER_CONNECTION"},
     .section = HTTP2,
     .help =
         "Streams that this agent opens "
         "on one connection before it makes another; never more than the peer permits. ztunnel's."},
    {.name = "pool-idle-timeout",
     .type = OPTION_DURATION,
     FIELD(pool_idle_timeout_ms),
     .default_value = "5m",
     .min = 1 * SECOND,
     .max = (uint64_t)1 * DAY,
     .aliases = {"POOL_UNUSED_RELEASE_TIMEOUT"},
     .section = HTTP2,
     .help = "A pooled connection without streams for this long is closed. ztunnel's."},

    {.name = "keepalive-time",
     .type = OPTION_DURATION,
     FIELD(keepalive_time_ms),
     .default_value = "60s",
     .min = 0,
     .max = (uint64_t)1 * DAY,
     .aliases = {"KEEPALIVE_TIME"},
     .section = TCP,
     .help = "Silence after which TCP probes the other end. Shorter than the idle limits of common "
             "NAT gateways and load balancers, which begin at 4 minutes."},
    {.name = "keepalive-interval",
     .type = OPTION_DURATION,
     FIELD(keepalive_interval_ms),
     .default_value = "20s",
     .min = 1 * SECOND,
     .max = 1 * HOUR,
     .aliases = {"KEEPALIVE_INTERVAL"},
     .section = TCP,
     .help = "Between two probes."},
    {.name = "keepalive-count",
     .type = OPTION_U32,
     FIELD(keepalive_count),
     .default_value = "4",
     .min = 1,
     .max = 100,
     .aliases = {"KEEPALIVE_RETRIES"},
     .section = TCP,
     .help = "Probes without answer after which the other end is given up."},
    {.name = "tcp-user-timeout",
     .type = OPTION_DURATION,
     FIELD(tcp_user_timeout_ms),
     .default_value = "0",
     .min = 0,
     .max = 1 * HOUR,
     .section = TCP,
     .help = "How long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT). Off: the "
             "kernel decides, after about 15 minutes."},

    {.name = "max-connections",
     .type = OPTION_U32,
     FIELD(max_connections),
     .default_value = "32768",
     .min = 16,
     .max = 1000000,
     .section = LIMITS,
     .help = "Connections that the agent carries at once, both ways together; more are refused. "
             "Each takes two descriptors. At most half as many, at the application's ports and at "
             "the one for tunnels each, are handshakes of clients that have not shown yet who they "
             "are: when more come, the oldest of them make room."},
};

const struct option_table agent_config_table = {
    .program = "remora-agent",
    .description =
        "carries a pod's TCP connections through mutual TLS and lets in whom policy allows",
    .env_prefix = "REMORA_",
    .config_name = "config",
    .specs = specs,
    .num_specs = sizeof(specs) / sizeof(specs[0]),
};
