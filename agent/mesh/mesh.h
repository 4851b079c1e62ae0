/*
 * What the agent knows of the mesh, as plain values: workloads, services and policies with the
 * fields of istio.workload.Address and istio.security.Authorization that decide anything.
 *
 * A source (local file, xDS) fills these structs with borrowed pointers and hands them to a
 * mesh_builder, which copies them. What a snapshot lends is the same structs, in its own memory and
 * never changed. Text is never NULL in a snapshot: what was not given is "". No I/O, no clock, no
 * logging here.
 */
#ifndef REMORA_MESH_H
#define REMORA_MESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

enum {
    /* The port on which a peer's agent (or ztunnel) takes HBONE. */
    MESH_HBONE_PORT = 15008,

    /* Limits on what a source may say. Each is far above what real meshes have, and low enough that
       a mistake is found. */
    MESH_NAME_MAX = 253, /* bytes of a name, namespace, host name or label: the longest DNS name */
    MESH_UID_MAX = 1024, /* bytes: cluster, kind, namespace and name, each at most a DNS name */
    MESH_KEY_MAX = 512,  /* bytes of "namespace/hostname" and "namespace/name" */
    MESH_IDENTITY_MAX = 2048,   /* bytes of a SPIFFE ID (SPIFFE-ID 2.3) */
    MESH_MATCH_TEXT_MAX = 2048, /* bytes of a pattern: a principal is at most a SPIFFE ID */
    MESH_ADDRESSES_MAX = 64,    /* of one workload or one service */
    MESH_PORTS_MAX =
        4096, /* of one service; a headless database with a port a shard has hundreds */
    MESH_MEMBERSHIPS_MAX = 1024, /* services that one workload belongs to */
    MESH_SANS_MAX = 256, /* of one service: its workloads' service accounts, seldom more than one */
    MESH_POLICY_LIST_MAX = 1024, /* policies that one workload lists */
    MESH_RULES_MAX = 4096,       /* rules, clauses or matches at one level of a policy */
    MESH_VALUES_MAX =
        16384, /* values of one list in a match: address lists of firewalls run to thousands */
    MESH_OBJECTS_MAX =
        1000000 /* workloads, services or policies; each; five times the largest known mesh */
};

/* --------------------------------------------------------------------------------- workloads -- */

enum mesh_tunnel { MESH_TUNNEL_NONE, MESH_TUNNEL_HBONE, MESH_TUNNEL_LEGACY_ISTIO_MTLS };
enum mesh_workload_type { MESH_DEPLOYMENT, MESH_CRONJOB, MESH_POD, MESH_JOB };
enum mesh_network_mode { MESH_NETWORK_STANDARD, MESH_NETWORK_HOST };
enum mesh_app_protocol {
    MESH_APP_UNKNOWN,
    MESH_APP_HTTP11,
    MESH_APP_HTTP2,
    MESH_APP_GRPC,
    MESH_APP_TCP,
    MESH_APP_TLS
};
enum mesh_app_tunnel_protocol { MESH_APP_TUNNEL_NONE, MESH_APP_TUNNEL_PROXY };

struct mesh_port {
    uint16_t service_port;
    uint16_t target_port; /* 0: decided by each endpoint's own map */
    enum mesh_app_protocol app_protocol;
};

/* That a workload is an endpoint of a service. */
struct mesh_membership {
    const char *service;           /* "namespace/hostname" */
    const struct mesh_port *ports; /* this endpoint's target ports; beats the service's own */
    size_t num_ports;
};

/* A waypoint or a network gateway. */
enum mesh_gateway_kind { MESH_GATEWAY_NONE, MESH_GATEWAY_HOSTNAME, MESH_GATEWAY_ADDRESS };

struct mesh_gateway {
    enum mesh_gateway_kind kind;
    const char *namespace_; /* of a host name */
    const char *hostname;
    const char *network; /* of an address */
    struct ip ip;
    uint16_t hbone_mtls_port;
};

struct mesh_weighted_waypoint {
    struct mesh_gateway gateway;
    uint32_t weight;
};

struct mesh_locality {
    const char *region;
    const char *zone;
    const char *subzone;
};

struct mesh_workload {
    const char *uid; /* opaque, unique, required */
    const char *name;
    const char *namespace_;
    const char *service_account; /* "" becomes "default" */
    const char *trust_domain;    /* "" becomes "cluster.local" */
    const char *network;
    const char *cluster_id; /* "" becomes "Kubernetes" */
    const char *node;
    const char *hostname; /* of a workload that has no address */
    const char *canonical_name;
    const char *canonical_revision;
    const char *workload_name;
    enum mesh_workload_type workload_type;
    const struct ip *ips;
    size_t num_ips;
    enum mesh_tunnel tunnel;
    bool native_tunnel; /* the workload speaks HBONE itself */
    enum mesh_network_mode network_mode;
    bool unhealthy;
    uint32_t capacity; /* weight among a service's endpoints; 0: never chosen. Sources give 1 where
                          nothing is said */
    struct mesh_locality locality;
    struct mesh_gateway waypoint;
    struct mesh_gateway network_gateway;
    struct {
        bool present;
        enum mesh_app_tunnel_protocol protocol;
        uint16_t port; /* 0: not given */
    } application_tunnel;
    const struct mesh_membership *services;
    size_t num_services;
    const char *const *authorization_policies; /* "namespace/name" */
    size_t num_authorization_policies;

    /*
     * Made by the builder, ignored on the way in: "spiffe://<trust
     * domain>/ns/<namespace>/sa/<service account>", or NULL where the names give no valid SPIFFE
     * ID.
     */
    const char *identity;
};

/* ---------------------------------------------------------------------------------- services -- */

enum mesh_scope {
    MESH_SCOPE_UNSPECIFIED,
    MESH_SCOPE_REGION,
    MESH_SCOPE_ZONE,
    MESH_SCOPE_SUBZONE,
    MESH_SCOPE_NODE,
    MESH_SCOPE_CLUSTER,
    MESH_SCOPE_NETWORK
};
enum {
    MESH_SCOPES_MAX = 16
}; /* there are seven; a list that repeats them is a mistake, but not ours to judge */

enum mesh_lb_mode { MESH_LB_UNSPECIFIED, MESH_LB_STRICT, MESH_LB_FAILOVER, MESH_LB_PASSTHROUGH };
enum mesh_health_policy { MESH_ONLY_HEALTHY, MESH_ALLOW_ALL };
enum mesh_ip_families {
    MESH_FAMILIES_AUTOMATIC,
    MESH_FAMILIES_IPV4,
    MESH_FAMILIES_IPV6,
    MESH_FAMILIES_DUAL
};
enum mesh_visibility { MESH_PUBLIC, MESH_NAMESPACE };

struct mesh_network_address {
    const char *network;
    struct ip ip;
};

struct mesh_network_cidr {
    const char *network;
    struct cidr cidr;
};

struct mesh_service {
    const char *name;
    const char *namespace_;
    const char *hostname;
    const struct mesh_network_address *vips;
    size_t num_vips;
    const struct mesh_network_cidr *cidr_vips;
    size_t num_cidr_vips;
    const struct mesh_port *ports;
    size_t num_ports;
    const char *const *subject_alt_names; /* SPIFFE IDs that any endpoint may have; the builder
                                             drops what is none */
    size_t num_subject_alt_names;
    struct mesh_gateway waypoint;
    const struct mesh_weighted_waypoint *weighted_waypoints;
    size_t num_weighted_waypoints;
    struct {
        enum mesh_scope preferences[MESH_SCOPES_MAX];
        size_t num_preferences;
        enum mesh_lb_mode mode;
        enum mesh_health_policy health_policy;
    } load_balancing;
    enum mesh_ip_families ip_families;
    enum mesh_visibility visibility;
    bool canonical;
    bool ingress_use_waypoint;

    const char *key; /* made by the builder: "namespace/hostname" */
};

/* ---------------------------------------------------------------------------------- policies -- */

enum mesh_policy_scope { MESH_POLICY_GLOBAL, MESH_POLICY_NAMESPACE, MESH_POLICY_WORKLOAD_SELECTOR };
enum mesh_action { MESH_ALLOW, MESH_DENY };

/* UNSET is how a pattern arrives whose kind the source does not know; the builder drops it, as the
 * field does, and warns. */
enum mesh_pattern_kind { MESH_PATTERN_UNSET, MESH_EXACT, MESH_PREFIX, MESH_SUFFIX, MESH_PRESENCE };

struct mesh_pattern {
    enum mesh_pattern_kind kind;
    const char *text; /* not for PRESENCE */
};

struct mesh_account {
    const char *namespace_;
    const char *service_account;
};

struct mesh_pattern_list {
    const struct mesh_pattern *values;
    size_t num;
};

struct mesh_cidr_list {
    const struct cidr *values;
    size_t num;
};

struct mesh_port_list {
    const uint16_t *values;
    size_t num;
};

struct mesh_account_list {
    const struct mesh_account *values;
    size_t num;
};

/* Every list that is not empty must pass: a positive list when any value matches, a negative one
 * when none does. */
struct mesh_match {
    struct mesh_pattern_list namespaces, not_namespaces;
    struct mesh_pattern_list principals,
        not_principals; /* against "td/ns/x/sa/y", without the scheme */
    struct mesh_account_list service_accounts, not_service_accounts;
    struct mesh_cidr_list source_ips, not_source_ips;
    struct mesh_cidr_list destination_ips, not_destination_ips;
    struct mesh_port_list destination_ports, not_destination_ports;
};

struct mesh_clause { /* any of its matches */
    const struct mesh_match *matches;
    size_t num_matches;
};

struct mesh_rule { /* all of its clauses */
    const struct mesh_clause *clauses;
    size_t num_clauses;
};

struct mesh_policy { /* any of its rules */
    const char *name;
    const char *namespace_;
    enum mesh_policy_scope scope;
    enum mesh_action action;
    bool dry_run; /* evaluated and reported, never enforced */
    const struct mesh_rule *rules;
    size_t num_rules;

    const char *key; /* made by the builder: "namespace/name" */
};

#endif
