#include "mesh_authorize.h"

#include "mesh_index.h"
#include "mesh_match.h"

/* What is known after looking at some of the policies. */
struct tally {
    const struct mesh_access *access;
    const char *unknown; /* a listed policy that nothing describes */
    const struct mesh_policy *deny;
    const struct mesh_policy *dry_run_deny;
    const struct mesh_policy *allow;
    const struct mesh_policy *dry_run_allow;
    bool any_allow; /* there is one, whether it matches or not */
    bool any_dry_run_allow;
};

static void try_policy(struct tally *tally, const struct mesh_policy *policy,
                       const struct mesh_policy **first)
{
    if (*first == NULL && mesh_match_policy(policy, tally->access))
        *first = policy;
}

static void count(struct tally *tally, const struct mesh_policy *policy)
{
    if (policy->action == MESH_DENY) {
        try_policy(tally, policy, policy->dry_run ? &tally->dry_run_deny : &tally->deny);
    } else if (policy->dry_run) {
        tally->any_dry_run_allow = true;
        try_policy(tally, policy, &tally->dry_run_allow);
    } else {
        tally->any_allow = true;
        try_policy(tally, policy, &tally->allow);
    }
}

/* NULL: the policies for all. */
static void count_namespace(struct tally *tally, const struct mesh_snapshot *snapshot,
                            const char *namespace_)
{
    struct mesh_policies_walk walk;
    const struct mesh_policy *policy = mesh_policies_first(&walk, &snapshot->policies, namespace_);
    for (; policy != NULL; policy = mesh_policies_next(&walk))
        count(tally, policy);
}

/* A policy that is listed although it applies anyway is counted twice, which changes nothing. */
static void count_listed(struct tally *tally, const struct mesh_snapshot *snapshot,
                         const struct mesh_workload *workload)
{
    for (size_t i = 0; i < workload->num_authorization_policies; i++) {
        const char *key = workload->authorization_policies[i];
        const struct mesh_policy *policy = mesh_snapshot_policy(snapshot, key);
        if (policy != NULL)
            count(tally, policy);
        else if (tally->unknown == NULL)
            tally->unknown = key;
    }
}

/* The order of Istio: DENY first; without ALLOW policies everybody; else whom one of them allows. */
static void conclude(const struct tally *tally, struct mesh_verdict *verdict)
{
    if (tally->dry_run_deny != NULL)
        verdict->dry_run_deny = tally->dry_run_deny->key;
    if (tally->any_dry_run_allow)
        verdict->dry_run_not_allowed = tally->dry_run_allow == NULL && tally->allow == NULL;

    if (tally->deny != NULL) {
        verdict->reason = REASON_DENIED_BY_POLICY;
        verdict->policy = tally->deny->key;
    } else if (tally->unknown != NULL) {
        verdict->reason = REASON_POLICY_UNKNOWN;
        verdict->policy = tally->unknown;
    } else if (tally->allow != NULL) {
        verdict->allowed = true;
        verdict->policy = tally->allow->key;
    } else if (tally->any_allow) {
        verdict->reason = REASON_NOT_ALLOWED;
    } else {
        verdict->allowed = true;
    }
}

void mesh_authorize(const struct mesh_snapshot *snapshot, const struct mesh_access *access,
                    struct mesh_verdict *verdict)
{
    *verdict = (struct mesh_verdict){.reason = REASON_DONE};
    if (access->destination == NULL) {
        verdict->reason = REASON_UNKNOWN_LOCAL_WORKLOAD;
        return;
    }
    if (access->strict && access->peer == NULL) {
        verdict->reason = REASON_PLAINTEXT_REFUSED;
        return;
    }
    struct tally tally = {.access = access};
    count_namespace(&tally, snapshot, NULL);
    count_namespace(&tally, snapshot, access->destination->namespace_);
    count_listed(&tally, snapshot, access->destination);
    conclude(&tally, verdict);
}
