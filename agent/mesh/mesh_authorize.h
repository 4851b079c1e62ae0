/*
 * May this peer connect to this workload? The inbound decision, at layer 4, with the semantics of
 * istio.security.Authorization as ztunnel evaluates it. Pure.
 *
 * Stricter than the field in one point: a policy that the workload lists and discovery has not
 * described denies everything, for nobody can say what it would have forbidden.
 */
#ifndef REMORA_MESH_AUTHORIZE_H
#define REMORA_MESH_AUTHORIZE_H

#include "mesh_snapshot.h"
#include "reason.h"

/* Who the peer's certificate says it is. */
struct mesh_peer {
    const char *
        principal; /* SPIFFE ID without its scheme, "td/ns/x/sa/y"; whatever the form of its path */
    const char *
        trust_domain; /* NULL: it has no SPIFFE ID, and the principal is of another kind ("dns:", "email:", "cn:"), which only
                                 patterns match that begin with the same; the rest is NULL then, too */
    /* When the peer is of our own trust domain, by whatever name: its name and its aliases. A
     * policy's pattern of principals matches when it matches under any of them. Else NULL and 0. */
    const char *own_trust_domain;
    const char *const *aliases;
    size_t num_aliases;
    /* NULL where the path does not have Istio's form, and for peers of other trust domains: a
     * namespace of theirs is not ours, so policies name such peers by their principal only. */
    const char *namespace_;
    const char *service_account; /* NULL likewise */
};

struct mesh_access {
    const struct mesh_workload
        *destination; /* the agent's own workload, of the same snapshot; NULL: not known yet */
    const struct mesh_peer *peer; /* NULL: plaintext, no identity */
    struct ip source_ip;          /* the TCP peer */
    struct addr target;           /* the pod's address and the application's port, never 15008 */
    bool strict;                  /* inbound mode: plaintext is refused whatever the policies say */
};

struct mesh_verdict {
    bool allowed;
    enum reason reason; /* when refused: PLAINTEXT_REFUSED, DENIED_BY_POLICY, NOT_ALLOWED,
                           POLICY_UNKNOWN, UNKNOWN_LOCAL_WORKLOAD; else DONE */
    const char *policy; /* "namespace/name" of the policy that decided; NULL: none did alone */
    const char *dry_run_deny; /* first dry-run DENY policy that matches, or NULL */
    bool dry_run_not_allowed; /* dry-run ALLOW policies exist and no ALLOW policy, dry-run or not,
                                 matches */
};

/* `*verdict` is filled completely; its text lives as long as the snapshot. */
void mesh_authorize(const struct mesh_snapshot *snapshot, const struct mesh_access *access,
                    struct mesh_verdict *verdict);

#endif
