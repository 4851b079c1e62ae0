#include "mesh_digest.h"

#include <stdio.h>
#include <string.h>

#include "mesh_authorize.h"
#include "mesh_balance.h"
#include "mesh_decide.h"
#include "mesh_model.h"

/* FNV-1a. */
static void add_bytes(uint64_t *sum, const void *bytes, size_t len)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < len; i++)
        *sum = (*sum ^ byte[i]) * 0x100000001b3U;
}

static void add_number(uint64_t *sum, uint64_t number)
{
    add_bytes(sum, &number, sizeof(number));
}

static void add_text(uint64_t *sum, const char *text)
{
    if (text == NULL)
        add_number(sum, 0);
    else
        add_bytes(sum, text, strlen(text) + 1);
}

static void add_addr(uint64_t *sum, const struct addr *addr)
{
    add_bytes(sum, addr->ip.bytes, sizeof(addr->ip.bytes));
    add_number(sum, addr->ip.family * 65536U + addr->port);
}

/* Each object of the model has its seed in its text. */
static void add_workload(uint64_t *sum, const struct mesh_workload *workload)
{
    add_text(sum, workload == NULL ? NULL : workload->uid);
    add_text(sum, workload == NULL ? NULL : workload->canonical_revision);
}

static void add_service(uint64_t *sum, const struct mesh_service *service)
{
    add_text(sum, service == NULL ? NULL : service->key);
    add_text(sum, service == NULL ? NULL : service->name);
}

static void add_policy(uint64_t *sum, const struct mesh_policy *policy)
{
    add_text(sum, policy == NULL ? NULL : policy->key);
    if (policy != NULL)
        add_number(sum, policy->scope * 100U + policy->action * 10U + policy->num_rules);
}

/* -------------------------------------------------------------------------------- walks -- */

static bool on_workload(void *owner, const struct mesh_workload *workload)
{
    add_workload(owner, workload);
    return true;
}

static bool on_service(void *owner, const struct mesh_service *service)
{
    add_service(owner, service);
    return true;
}

static bool on_policy(void *owner, const struct mesh_policy *policy)
{
    add_policy(owner, policy);
    return true;
}

static bool on_answered(void *owner, struct mesh_interest *interest)
{
    add_text(owner, mesh_interest_name(interest));
    return true;
}

static void add_everything(uint64_t *sum, const struct mesh_snapshot *snapshot)
{
    struct mesh_counts counts = mesh_snapshot_counts(snapshot);
    add_number(sum, counts.workloads);
    add_number(sum, counts.services);
    add_number(sum, counts.policies);
    add_number(sum, counts.answered);
    add_number(sum, mesh_snapshot_is_on_demand(snapshot));
    mesh_snapshot_each_workload(snapshot, on_workload, sum);
    mesh_snapshot_each_service(snapshot, on_service, sum);
    mesh_snapshot_each_policy(snapshot, on_policy, sum);
    mesh_snapshot_each_answered(snapshot, on_answered, sum);
}

/* ------------------------------------------------------------------------------ lookups -- */

static void add_keys(uint64_t *sum, const struct mesh_snapshot *snapshot)
{
    char key[MODEL_UID_BYTES];
    for (unsigned i = 0; i < MODEL_WORKLOADS; i++)
        add_workload(sum, mesh_snapshot_workload_by_uid(snapshot, mesh_model_uid(i, key)));
    for (unsigned i = 0; i < MODEL_SERVICES; i++)
        add_service(sum, mesh_snapshot_service(snapshot, mesh_model_service_key(i, key)));
    for (unsigned i = 0; i < MODEL_POLICIES; i++)
        add_policy(sum, mesh_snapshot_policy(snapshot, mesh_model_policy_key(i, key)));
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        mesh_model_answered_name(i, key);
        add_number(sum, mesh_snapshot_answered(snapshot, key) != NULL);
    }
}

static void add_names(uint64_t *sum, const struct mesh_snapshot *snapshot)
{
    char name[MODEL_UID_BYTES];
    for (unsigned i = 0; i < 3 * 40 * 2; i++) {
        snprintf(name, sizeof(name), "n%u", i / 6);
        add_workload(sum, mesh_snapshot_workload_by_name(snapshot, mesh_model_namespace(i), name,
                                                         i % 2 == 0 ? "a" : "b"));
    }
    for (unsigned i = 0; i < MODEL_HOSTNAMES * (MODEL_NAMESPACES + 1); i++) {
        const char *from = i % 4 == 3 ? "elsewhere" : mesh_model_namespace(i % 4);
        snprintf(name, sizeof(name), "h%u", i / 4);
        add_service(sum, mesh_snapshot_service_by_hostname(snapshot, name, from));
    }
}

static void add_places(uint64_t *sum, const struct mesh_snapshot *snapshot)
{
    for (unsigned i = 0; i < (MODEL_IPS + 1) * MODEL_NETWORKS; i++) {
        const char *network = mesh_model_network(i);
        struct ip ip = mesh_model_ip(i / MODEL_NETWORKS);
        add_workload(sum, mesh_snapshot_workload_by_ip(snapshot, network, &ip));
        add_number(sum, mesh_snapshot_knows_address(snapshot, network, &ip));
        for (unsigned j = 0; j < MODEL_NAMESPACES; j++)
            add_service(
                sum, mesh_snapshot_service_by_vip(snapshot, network, &ip, mesh_model_namespace(j)));
    }
}

/* ---------------------------------------------------------------------------- decisions -- */

static const struct mesh_workload client = {.uid = "client",
                                            .name = "client",
                                            .namespace_ = "shop",
                                            .service_account = "a",
                                            .trust_domain = "td",
                                            .network = "",
                                            .node = "n1",
                                            .cluster_id = "",
                                            .locality = {"r", "z1", ""}};

static void add_decision(uint64_t *sum, const struct mesh_decision *decision)
{
    add_number(sum, decision->kind * 1000U + decision->reason);
    add_service(sum, decision->service);
    add_workload(sum, decision->workload);
    add_addr(sum, &decision->target);
    add_addr(sum, &decision->tunnel);
    for (size_t i = 0; i < decision->num_identities; i++)
        add_text(sum, decision->identities[i]);
    add_text(sum, decision->ask);
}

static void add_decisions(uint64_t *sum, const struct mesh_snapshot *snapshot)
{
    for (unsigned i = 0; i < MODEL_IPS * 4; i++) {
        struct mesh_decision decision;
        const struct mesh_request request = {
            .source = &client,
            .network = "",
            .destination = {mesh_model_ip(i / 4), i % 2 == 0 ? 80 : 81},
            .refuse_unknown = i % 3 == 0,
            .random = i * 7};
        mesh_decide(snapshot, &request, &decision);
        add_decision(sum, &decision);
    }
}

/* Every point of the share of each service: equal sums are equal probabilities. */
static void add_draws(uint64_t *sum, const struct mesh_snapshot *snapshot)
{
    char key[MODEL_UID_BYTES];
    for (unsigned i = 0; i < MODEL_SERVICES; i++) {
        const struct mesh_service *service =
            mesh_snapshot_service(snapshot, mesh_model_service_key(i, key));
        for (uint64_t random = 0; service != NULL && random < 120; random++) {
            const struct mesh_request request = {.source = &client,
                                                 .network = "",
                                                 .destination = {mesh_model_ip(0), 80},
                                                 .random = random};
            struct mesh_pick pick = mesh_balance_pick(snapshot, service, &request);
            add_workload(sum, pick.endpoint == NULL ? NULL : pick.endpoint->workload);
            add_addr(sum, &pick.target);
        }
    }
}

static void add_verdicts(uint64_t *sum, const struct mesh_snapshot *snapshot)
{
    static const struct mesh_peer peer = {.principal = "td/a/b", .trust_domain = "td"};
    char key[MODEL_UID_BYTES];
    for (unsigned i = 0; i < MODEL_WORKLOADS * 4; i++) {
        struct mesh_verdict verdict;
        const struct mesh_access access = {
            .destination = mesh_snapshot_workload_by_uid(snapshot, mesh_model_uid(i / 4, key)),
            .peer = i % 2 == 0 ? &peer : NULL,
            .source_ip = mesh_model_ip(0),
            .target = {mesh_model_ip(1), i % 4 < 2 ? 80 : 81}};
        mesh_authorize(snapshot, &access, &verdict);
        add_number(sum, verdict.allowed * 1000U + verdict.reason);
        add_text(sum, verdict.policy);
        add_text(sum, verdict.dry_run_deny);
        add_number(sum, verdict.dry_run_not_allowed);
    }
}

/* ---------------------------------------------------------------------------- the whole -- */

static const struct {
    const char *name;
    void (*add)(uint64_t *sum, const struct mesh_snapshot *snapshot);
} aspects[DIGEST_ASPECTS] = {
    {"everything in turn", add_everything},
    {"by key", add_keys},
    {"by name", add_names},
    {"by address", add_places},
    {"decisions", add_decisions},
    {"draws", add_draws},
    {"verdicts", add_verdicts},
};

struct mesh_digest mesh_digest_of(const struct mesh_snapshot *snapshot)
{
    struct mesh_digest digest = {0};
    for (size_t i = 0; i < DIGEST_ASPECTS; i++)
        aspects[i].add(&digest.of[i], snapshot);
    return digest;
}

const char *mesh_digest_aspect(unsigned i)
{
    return aspects[i].name;
}

uint64_t mesh_digest_quick(const struct mesh_snapshot *snapshot)
{
    uint64_t sum = 0;
    add_places(&sum, snapshot);
    add_decisions(&sum, snapshot);
    return sum;
}
