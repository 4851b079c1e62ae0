/*
 * Why a session ended: the closed list. Every session ends with exactly one of these.
 *
 * Each row: identifier, metric label (Istio's response_flags where Istio has a name for it),
 * severity of the access-log line, and the sentence for the operator, which names the likely cause.
 * A session's own detail (which peer, which certificate) is added by whoever ends it; see
 * proxy/session.h.
 */
#ifndef REMORA_REASON_H
#define REMORA_REASON_H

enum reason_severity { REASON_OK, REASON_QUIET, REASON_REFUSED, REASON_FAULT };

#define REASON_MAP(X)                                                                              \
    /* The way a session should end. */                                                            \
    X(DONE, "-", OK, "both sides finished")                                                        \
    X(APP_RESET, "-", QUIET, "the application reset the connection")                               \
    X(PEER_RESET, "-", QUIET, "the peer reset the connection")                                     \
    X(CLIENT_GONE, "-", QUIET, "the client closed before the connection was established")          \
    X(IDLE, "IDLE", QUIET, "no byte in either direction for the idle timeout")                     \
    X(DRAINED, "DRAIN", QUIET, "the agent is shutting down and the drain deadline passed")         \
    /* Refused by decision, before a byte was relayed. */                                          \
    X(DENIED_BY_POLICY, "DENY", REFUSED, "a DENY policy matches this peer")                        \
    X(NOT_ALLOWED, "DENY", REFUSED,                                                                \
      "ALLOW policies apply to this workload and none of them allows this peer")                   \
    X(POLICY_UNKNOWN, "DENY", REFUSED,                                                             \
      "discovery names a policy for this workload that it has not described")                      \
    X(PLAINTEXT_REFUSED, "DENY", REFUSED,                                                          \
      "plaintext is refused in strict mode; the client is not in the mesh, or its traffic is not " \
      "captured")                                                                                  \
    X(UNKNOWN_DESTINATION, "NR", REFUSED,                                                          \
      "discovery knows no workload or service at this address")                                    \
    X(UNKNOWN_LOCAL_WORKLOAD, "NR", REFUSED, "discovery does not know this pod yet")               \
    X(PORTS_UNKNOWN, "NR", REFUSED,                                                                \
      "the ports-file could not be loaded yet, so what ports take and what destinations need is "  \
      "not known")                                                                                 \
    X(TLS_EXPECTED, "DENY", REFUSED,                                                               \
      "the port takes TLS only, and the client speaks something else")                             \
    X(PORT_CHANGED, "DENY", REFUSED,                                                               \
      "the ports-file has changed, and the port takes no such connections any more")               \
    X(DISCOVERY_TIMEOUT, "NR", REFUSED,                                                            \
      "the control plane did not say in time what is at the destination; is it reachable, does "   \
      "it "                                                                                        \
      "take our token?")                                                                           \
    X(NO_HEALTHY_ENDPOINT, "UH", REFUSED, "the service has no healthy endpoint for this port")     \
    X(NO_EXPECTED_IDENTITY, "IDENTITY_ERROR", REFUSED,                                             \
      "discovery gives no valid identity for the destination")                                     \
    X(WAYPOINT_UNKNOWN, "NR", REFUSED,                                                             \
      "discovery does not know the waypoint that the destination is to be reached through")        \
    X(GATEWAY_UNKNOWN, "NR", REFUSED,                                                              \
      "the destination is in another network, and discovery knows no gateway to it")               \
    X(UNSUPPORTED_DESTINATION, "NR", REFUSED,                                                      \
      "discovery asks for a way to the destination that this agent does not have")                 \
    X(SELF_CALL, "SELF", REFUSED, "the destination is one of the agent's own ports")               \
    X(WRONG_DESTINATION, "NR", REFUSED, "the tunnel asks for an address that is not this pod's")   \
    X(BAD_REQUEST, "BAD_REQUEST", REFUSED, "the tunnel request is malformed")                      \
    X(DRAINING, "DRAIN", REFUSED, "the agent is shutting down and takes no new connection")        \
    X(LIMIT, "LIMIT", REFUSED, "a limit of the agent was reached")                                 \
    X(CROWDED_OUT, "LIMIT", REFUSED,                                                               \
      "too many connections had not shown yet who they are, and this one had to make room; does "  \
      "somebody flood the port?")                                                                  \
    X(NO_IDENTITY, "IDENTITY_ERROR", REFUSED, "the agent has no valid certificate of its own")     \
    /* The way to the other side failed. */                                                        \
    X(CONNECT_REFUSED, "CONNECT", FAULT, "nothing listens at the destination")                     \
    X(CONNECT_TIMEOUT, "CONNECT", FAULT,                                                           \
      "no answer from the destination; is it up, is a NetworkPolicy in the way?")                  \
    X(TUNNEL_TIMEOUT, "NETWORK_POLICY", FAULT,                                                     \
      "no answer from the peer agent's port; is a NetworkPolicy blocking it, is the peer's agent " \
      "running?")                                                                                  \
    X(TUNNEL_CONNECT_REFUSED, "CONNECT", FAULT,                                                    \
      "the peer agent's port is closed; is the peer's agent running?")                             \
    X(CONNECT_FAILED, "CONNECT", FAULT, "the connection to the destination could not be made")     \
    X(NAME_NOT_RESOLVED, "DF", FAULT,                                                              \
      "the destination has a host name instead of an address, and that name cannot be resolved")   \
    X(OUT_OF_DESCRIPTORS, "LIMIT", FAULT,                                                          \
      "the agent ran out of file descriptors; raise its limit")                                    \
    /* The tunnel's trust failed. */                                                               \
    X(TLS_FAILED, "TLS_FAILURE", FAULT, "the TLS handshake failed")                                \
    X(TLS_TIMEOUT, "TLS_FAILURE", FAULT, "the peer did not finish the TLS handshake in time")      \
    X(TLS_VERSION, "TLS_FAILURE", FAULT,                                                           \
      "the peer speaks no version of TLS that is accepted here")                                   \
    X(TLS_NO_CLIENT_CERT, "TLS_FAILURE", FAULT, "the peer presented no certificate")               \
    X(TLS_ALPN, "TLS_FAILURE", FAULT,                                                              \
      "the peer does not offer the protocol that is spoken here (ALPN)")                           \
    X(TLS_PEER_REFUSED_US, "TLS_FAILURE", FAULT,                                                   \
      "the peer refused our certificate; do both sides trust the same root?")                      \
    X(CERT_UNTRUSTED, "TLS_FAILURE", FAULT,                                                        \
      "the peer's certificate does not chain to our trust bundle")                                 \
    X(CERT_EXPIRED, "TLS_FAILURE", FAULT,                                                          \
      "the peer's certificate has expired; did its rotation stop, is a clock wrong?")              \
    X(CERT_NOT_YET_VALID, "TLS_FAILURE", FAULT,                                                    \
      "the peer's certificate is not valid yet; is a clock wrong?")                                \
    X(CERT_NO_SPIFFE_ID, "TLS_FAILURE", FAULT, "the peer's certificate has no SPIFFE ID")          \
    X(CERT_TWO_URI_SANS, "TLS_FAILURE", FAULT, "the peer's certificate has more than one URI SAN") \
    X(CERT_BAD_SPIFFE_ID, "TLS_FAILURE", FAULT,                                                    \
      "the URI SAN of the peer's certificate is not a valid SPIFFE ID")                            \
    X(CERT_WRONG_TRUST_DOMAIN, "TLS_FAILURE", FAULT,                                               \
      "the peer's trust domain is not one that we trust")                                          \
    X(CERT_IS_CA, "TLS_FAILURE", FAULT, "the peer presented a CA certificate as its own")          \
    X(CERT_KEY_USAGE, "TLS_FAILURE", FAULT,                                                        \
      "the key usage of the peer's certificate does not permit this use")                          \
    X(CERT_WEAK, "TLS_FAILURE", FAULT,                                                             \
      "the peer's certificate uses a key or a signature that is too weak")                         \
    X(CERT_REVOKED, "CERT_REVOKED", FAULT, "the peer's certificate was revoked by its issuer")     \
    X(CRL_EXPIRED, "TLS_FAILURE", FAULT,                                                           \
      "the revocation list of the peer's issuer has expired, and crl-policy is strict")            \
    X(CERT_MALFORMED, "TLS_FAILURE", FAULT, "the peer's certificate cannot be read")               \
    X(CERT_TOO_DEEP, "TLS_FAILURE", FAULT,                                                         \
      "more CA certificates stand between the peer's certificate and the root than verify-depth "  \
      "allows")                                                                                    \
    X(CERT_NO_PRINCIPAL, "TLS_FAILURE", FAULT,                                                     \
      "the peer's certificate has no name of the kinds that principal-from names")                 \
    X(CERT_BAD_PRINCIPAL, "TLS_FAILURE", FAULT,                                                    \
      "the name in the peer's certificate is ambiguous or malformed")                              \
    X(IDENTITY_MISMATCH, "TLS_FAILURE", FAULT,                                                     \
      "the peer is not who is expected at this address; has the address moved to another pod, "    \
      "does a rule name another server?")                                                          \
    /* The tunnel itself failed. */                                                                \
    X(HTTP2_FAILED, "H2_HANDSHAKE_FAILURE", FAULT, "the peer broke HTTP/2")                        \
    X(PEER_REFUSED, "PEER_REFUSED", FAULT,                                                         \
      "the peer agent's policy refused this connection (HTTP 401)")                                \
    X(PEER_UNREACHABLE, "PEER_UNREACHABLE", FAULT,                                                 \
      "the peer agent could not reach its application (HTTP 503); is it listening?")               \
    X(PEER_STATUS, "PEER_STATUS", FAULT, "the peer agent answered with an unexpected HTTP status") \
    X(PEER_SILENT, "PEER_SILENT", FAULT,                                                           \
      "the peer agent did not answer the tunnel request in time")                                  \
    X(TUNNEL_LOST, "TUNNEL_LOST", FAULT, "the connection to the peer agent broke")                 \
    X(PEER_TIMEOUT, "PEER_TIMEOUT", FAULT, "the peer stopped answering")                           \
    X(IO_FAILED, "IO", FAULT, "a connection broke")                                                \
    X(NO_MEMORY, "LIMIT", FAULT, "out of memory")

enum reason {
#define REASON_ID(id, label, severity, sentence) REASON_##id,
    REASON_MAP(REASON_ID)
#undef REASON_ID
        NUM_REASONS
};

/* The identifier in lower case with underscores ("denied_by_policy"): a metric label and log value
 * that never changes. */
const char *reason_name(enum reason reason);

/* Istio's response_flags value. */
const char *reason_flag(enum reason reason);

enum reason_severity reason_severity(enum reason reason);

/* The sentence for the operator, without a full stop. */
const char *reason_sentence(enum reason reason);

#endif
