/* mesh_authorize: what matches, what nothing means, and the order in which policies decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mesh_authorize.h"
#include "mesh_builder.h"

#define COUNT(type, ...) (sizeof((type[]){__VA_ARGS__}) / sizeof(type))
#define LIST(type, ...)                                                                            \
    {                                                                                              \
        (type[]){__VA_ARGS__}, COUNT(type, __VA_ARGS__)                                            \
    }
#define MATCHES(...) LIST(struct mesh_match, __VA_ARGS__)  /* a clause */
#define CLAUSES(...) LIST(struct mesh_clause, __VA_ARGS__) /* a rule */
#define RULES(...)                                                                                 \
    .rules = (struct mesh_rule[]){__VA_ARGS__}, .num_rules = COUNT(struct mesh_rule, __VA_ARGS__)
#define ONE_MATCH(...) RULES(CLAUSES(MATCHES({__VA_ARGS__})))
#define EMPTY          .principals = {0}
#define PATTERNS(...)  LIST(struct mesh_pattern, __VA_ARGS__)

static const struct mesh_peer frontend = {
    .principal = "cluster.local/ns/shop/sa/frontend",
    .trust_domain = "cluster.local",
    .namespace_ = "shop",
    .service_account = "frontend",
};

/* Of another PKI, by its common name. */
static const struct mesh_peer named = {.principal = "cn:x/sa/frontend"};

/* SPIRE's paths are free: an identity without namespace and service account. */
static const struct mesh_peer spire_peer = {
    .principal = "cluster.local/build/runner",
    .trust_domain = "cluster.local",
};

static struct ip ip(const char *text)
{
    struct ip out;
    assert_int_equal(ip_parse(&out, text, NULL), 0);
    return out;
}

static struct cidr cidr(const char *text)
{
    struct cidr out;
    assert_int_equal(cidr_parse(&out, text, NULL), 0);
    return out;
}

/* A mesh of one workload, shop/backend, and the policies. */
static struct mesh_snapshot *mesh_of(const struct mesh_policy *policies, size_t num,
                                     const char *const *listed, size_t num_listed)
{
    struct err err = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    assert_non_null(builder);
    struct mesh_workload workload = {.uid = "backend",
                                     .name = "backend",
                                     .namespace_ = "shop",
                                     .authorization_policies = listed,
                                     .num_authorization_policies = num_listed};
    assert_int_equal(mesh_builder_add_workload(builder, &workload, &err), 0);
    for (size_t i = 0; i < num; i++)
        assert_int_equal(mesh_builder_add_policy(builder, &policies[i], &err), 0);
    struct mesh_snapshot *snapshot = mesh_builder_build(builder, NULL, &err);
    mesh_builder_free(builder);
    assert_non_null(snapshot);
    return snapshot;
}

static struct mesh_access access_from(const struct mesh_snapshot *snapshot,
                                      const struct mesh_peer *peer)
{
    return (struct mesh_access){
        .destination = mesh_snapshot_workload_by_uid(snapshot, "backend"),
        .peer = peer,
        .source_ip = ip("10.0.0.7"),
        .target = {.ip = ip("10.0.0.9"), .port = 8080},
    };
}

/* Whether a match lets a peer through: the policy is the only one, and allows. */
static bool allows(const struct mesh_policy *policy, const struct mesh_peer *peer)
{
    struct mesh_verdict verdict;
    struct mesh_snapshot *snapshot = mesh_of(policy, 1, NULL, 0);
    struct mesh_access access = access_from(snapshot, peer);
    mesh_authorize(snapshot, &access, &verdict);
    assert_int_equal(verdict.reason, verdict.allowed ? REASON_DONE : REASON_NOT_ALLOWED);
    mesh_snapshot_unref(snapshot);
    return verdict.allowed;
}

/* --------------------------------------------------------------------- empty structures -- */

static void nothing_in_a_structure_means_what_the_table_says(void **state)
{
    (void)state;
    const struct mesh_clause none = {0};
    const struct mesh_rule no_clauses = {0};
    const struct mesh_pattern unset = {.kind = MESH_PATTERN_UNSET};
    const struct {
        const char *name;
        struct mesh_policy policy;
        bool matches;
    } rows[] = {
        {"a policy without rules never matches", {.num_rules = 0}, false},
        {"a rule without clauses matches everything", {RULES(no_clauses)}, true},
        {"a clause without matches is true", {RULES(CLAUSES(none))}, true},
        {"a clause of one empty match is false", {RULES(CLAUSES(MATCHES({EMPTY})))}, false},
        {"a clause of empty matches only is false",
         {RULES(CLAUSES(MATCHES({EMPTY}, {EMPTY})))},
         false},
        {"an empty match beside one that passes changes nothing",
         {RULES(CLAUSES(MATCHES({EMPTY}, {.principals = PATTERNS({MESH_PRESENCE, NULL})})))},
         true},
        {"a true clause and a false one make a false rule",
         {RULES(CLAUSES(none, MATCHES({EMPTY})))},
         false},
        {"a pattern of no kind is dropped from its list",
         {ONE_MATCH(.principals = PATTERNS(unset, {MESH_PREFIX, "cluster.local/"}))},
         true},
        {"a dropped pattern does not match by itself",
         {ONE_MATCH(.principals = PATTERNS(unset, {MESH_PREFIX, "other/"}))},
         false},
        {"a list that dropping leaves empty is absent: the match is empty",
         {ONE_MATCH(.principals = PATTERNS(unset))},
         false},
        {"a list that dropping leaves empty is absent: the rest of the match decides",
         {ONE_MATCH(.principals = PATTERNS(unset), .destination_ports = LIST(uint16_t, 8080))},
         true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mesh_policy policy = rows[i].policy;
        policy.name = "p";
        policy.namespace_ = "shop";
        policy.scope = MESH_POLICY_NAMESPACE;
        policy.action = MESH_ALLOW;
        if (allows(&policy, &frontend) != rows[i].matches)
            fail_msg("row %zu: %s", i, rows[i].name);
    }
}

static void a_deny_policy_without_rules_does_nothing(void **state)
{
    (void)state;
    const struct mesh_policy policy = {
        .name = "p", .namespace_ = "shop", .scope = MESH_POLICY_NAMESPACE, .action = MESH_DENY};
    struct mesh_verdict verdict;
    struct mesh_snapshot *snapshot = mesh_of(&policy, 1, NULL, 0);
    struct mesh_access access = access_from(snapshot, &frontend);
    mesh_authorize(snapshot, &access, &verdict);
    assert_true(verdict.allowed);
    mesh_snapshot_unref(snapshot);
}

/* ----------------------------------------------------------------------------- matching -- */

static void each_attribute_matches_as_the_field_matches_it(void **state)
{
    (void)state;
    const struct mesh_peer *none = NULL;
    const struct {
        const char *name;
        struct mesh_policy policy;
        const struct mesh_peer *peer;
        bool matches;
    } rows[] = {
        {"exact principal",
         {ONE_MATCH(.principals = PATTERNS({MESH_EXACT, "cluster.local/ns/shop/sa/frontend"}))},
         &frontend,
         true},
        {"the scheme is no part of a principal",
         {ONE_MATCH(.principals =
                        PATTERNS({MESH_EXACT, "spiffe://cluster.local/ns/shop/sa/frontend"}))},
         &frontend,
         false},
        {"principals are case-sensitive",
         {ONE_MATCH(.principals = PATTERNS({MESH_EXACT, "cluster.local/ns/shop/sa/Frontend"}))},
         &frontend,
         false},
        {"prefix",
         {ONE_MATCH(.principals = PATTERNS({MESH_PREFIX, "cluster.local/ns/shop/"}))},
         &frontend,
         true},
        {"prefix of another",
         {ONE_MATCH(.principals = PATTERNS({MESH_PREFIX, "cluster.local/ns/shops"}))},
         &frontend,
         false},
        {"suffix",
         {ONE_MATCH(.principals = PATTERNS({MESH_SUFFIX, "/sa/frontend"}))},
         &frontend,
         true},
        {"suffix longer than the text",
         {ONE_MATCH(.namespaces = PATTERNS({MESH_SUFFIX, "web-shop"}))},
         &frontend,
         false},
        {"presence", {ONE_MATCH(.principals = PATTERNS({MESH_PRESENCE, NULL}))}, &frontend, true},
        {"any of several",
         {ONE_MATCH(.namespaces = PATTERNS({MESH_EXACT, "a"}, {MESH_EXACT, "shop"}))},
         &frontend,
         true},
        {"not: hit",
         {ONE_MATCH(.not_namespaces = PATTERNS({MESH_EXACT, "a"}, {MESH_EXACT, "shop"}))},
         &frontend,
         false},
        {"not: miss", {ONE_MATCH(.not_namespaces = PATTERNS({MESH_EXACT, "a"}))}, &frontend, true},
        {"positive and negative of one attribute both apply",
         {ONE_MATCH(.principals = PATTERNS({MESH_PRESENCE, NULL}),
                    .not_principals = PATTERNS({MESH_SUFFIX, "/frontend"}))},
         &frontend,
         false},
        {"lists of one match are all needed",
         {ONE_MATCH(.namespaces = PATTERNS({MESH_EXACT, "shop"}),
                    .destination_ports = LIST(uint16_t, 9090))},
         &frontend,
         false},

        {"service account",
         {ONE_MATCH(.service_accounts = LIST(struct mesh_account, {"shop", "frontend"}))},
         &frontend,
         true},
        {"service account of another namespace",
         {ONE_MATCH(.service_accounts = LIST(struct mesh_account, {"pay", "frontend"}))},
         &frontend,
         false},
        {"not service account",
         {ONE_MATCH(.not_service_accounts = LIST(struct mesh_account, {"shop", "frontend"}))},
         &frontend,
         false},

        {"no identity: exact", {ONE_MATCH(.principals = PATTERNS({MESH_EXACT, ""}))}, none, false},
        {"no identity: prefix of nothing",
         {ONE_MATCH(.principals = PATTERNS({MESH_PREFIX, ""}))},
         none,
         false},
        {"no identity: suffix of nothing",
         {ONE_MATCH(.principals = PATTERNS({MESH_SUFFIX, ""}))},
         none,
         false},
        {"no identity: presence",
         {ONE_MATCH(.principals = PATTERNS({MESH_PRESENCE, NULL}))},
         none,
         false},
        {"no identity: not presence",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_PRESENCE, NULL}))},
         none,
         true},
        {"no identity: namespace prefix of nothing",
         {ONE_MATCH(.namespaces = PATTERNS({MESH_PREFIX, ""}))},
         none,
         false},
        {"no identity: service account",
         {ONE_MATCH(.service_accounts = LIST(struct mesh_account, {"", ""}))},
         none,
         false},
        {"no identity: not service account",
         {ONE_MATCH(.not_service_accounts = LIST(struct mesh_account, {"a", "b"}))},
         none,
         true},
        {"no identity: not exact",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_EXACT, "cluster.local/ns/shop/sa/frontend"}))},
         none,
         true},
        {"no identity: not namespace",
         {ONE_MATCH(.not_namespaces = PATTERNS({MESH_EXACT, "shop"}))},
         none,
         true},
        {"no identity: not namespace presence",
         {ONE_MATCH(.not_namespaces = PATTERNS({MESH_PRESENCE, NULL}))},
         none,
         true},
        {"no identity: not a namespace, but somebody",
         {ONE_MATCH(.principals = PATTERNS({MESH_PRESENCE, NULL}),
                    .not_namespaces = PATTERNS({MESH_EXACT, "shop"}))},
         none,
         false},
        {"identity: not presence",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_PRESENCE, NULL}))},
         &frontend,
         false},
        {"identity: not namespace presence",
         {ONE_MATCH(.not_namespaces = PATTERNS({MESH_PRESENCE, NULL}))},
         &frontend,
         false},

        {"another kind: exact",
         {ONE_MATCH(.principals = PATTERNS({MESH_EXACT, "cn:x/sa/frontend"}))},
         &named,
         true},
        {"another kind: prefix",
         {ONE_MATCH(.principals = PATTERNS({MESH_PREFIX, "cn:x"}))},
         &named,
         true},
        {"another kind: any",
         {ONE_MATCH(.principals = PATTERNS({MESH_PRESENCE, NULL}))},
         &named,
         true},
        {"another kind: an ending is one of a SPIFFE ID",
         {ONE_MATCH(.principals = PATTERNS({MESH_SUFFIX, "/sa/frontend"}))},
         &named,
         false},
        {"another kind: a beginning that does not say which",
         {ONE_MATCH(.principals = PATTERNS({MESH_PREFIX, "c"}, {MESH_PREFIX, ""}))},
         &named,
         false},
        {"another kind: no namespace",
         {ONE_MATCH(.namespaces = PATTERNS({MESH_PRESENCE, NULL}))},
         &named,
         false},
        {"another kind: not exact",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_EXACT, "cn:x/sa/frontend"}))},
         &named,
         false},
        {"another kind: not prefix",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_PREFIX, "cn:"}))},
         &named,
         false},
        {"another kind: not presence",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_PRESENCE, NULL}))},
         &named,
         false},
        {"another kind: not another name",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_EXACT, "cn:y"}, {MESH_PREFIX, "dns:"}))},
         &named,
         true},
        {"another kind: not an ending, which is one of a SPIFFE ID",
         {ONE_MATCH(.not_principals = PATTERNS({MESH_SUFFIX, "/sa/frontend"}))},
         &named,
         true},
        {"another kind: not namespace presence",
         {ONE_MATCH(.not_namespaces = PATTERNS({MESH_PRESENCE, NULL}))},
         &named,
         true},
        {"another kind: not service account",
         {ONE_MATCH(.not_service_accounts = LIST(struct mesh_account, {"shop", "frontend"}))},
         &named,
         true},
        {"free path: principal",
         {ONE_MATCH(.principals = PATTERNS({MESH_EXACT, "cluster.local/build/runner"}))},
         &spire_peer,
         true},
        {"free path: namespace presence",
         {ONE_MATCH(.namespaces = PATTERNS({MESH_PRESENCE, NULL}))},
         &spire_peer,
         false},
        {"free path: not namespace",
         {ONE_MATCH(.not_namespaces = PATTERNS({MESH_PRESENCE, NULL}))},
         &spire_peer,
         true},
        {"free path: service account",
         {ONE_MATCH(.service_accounts = LIST(struct mesh_account, {"", ""}))},
         &spire_peer,
         false},

        {"source address",
         {ONE_MATCH(.source_ips = LIST(struct cidr, cidr("10.0.0.0/24")))},
         none,
         true},
        {"source address outside",
         {ONE_MATCH(.source_ips = LIST(struct cidr, cidr("10.0.1.0/24")))},
         none,
         false},
        {"source address of the other family",
         {ONE_MATCH(.source_ips = LIST(struct cidr, cidr("::/0")))},
         none,
         false},
        {"source address, v4 mapped",
         {ONE_MATCH(.source_ips = LIST(struct cidr, cidr("::ffff:10.0.0.7")))},
         none,
         true},
        {"not source address",
         {ONE_MATCH(.not_source_ips = LIST(struct cidr, cidr("10.0.0.7/32")))},
         none,
         false},
        {"destination address",
         {ONE_MATCH(.destination_ips = LIST(struct cidr, cidr("10.0.0.9")))},
         none,
         true},
        {"not destination address",
         {ONE_MATCH(.not_destination_ips = LIST(struct cidr, cidr("10.0.0.9")))},
         none,
         false},
        {"destination port",
         {ONE_MATCH(.destination_ports = LIST(uint16_t, 80, 8080))},
         none,
         true},
        {"destination port of another",
         {ONE_MATCH(.destination_ports = LIST(uint16_t, 80))},
         none,
         false},
        {"not destination port",
         {ONE_MATCH(.not_destination_ports = LIST(uint16_t, 8080))},
         none,
         false},

        {"any match of a clause",
         {RULES(CLAUSES(MATCHES({.destination_ports = LIST(uint16_t, 1)},
                                {.destination_ports = LIST(uint16_t, 8080)})))},
         none,
         true},
        {"all clauses of a rule",
         {RULES(CLAUSES(MATCHES({.destination_ports = LIST(uint16_t, 1)}),
                        MATCHES({.destination_ports = LIST(uint16_t, 8080)})))},
         none,
         false},
        {"any rule",
         {RULES(CLAUSES(MATCHES({.destination_ports = LIST(uint16_t, 1)})),
                CLAUSES(MATCHES({.destination_ports = LIST(uint16_t, 8080)})))},
         none,
         true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mesh_policy policy = rows[i].policy;
        policy.name = "p";
        policy.namespace_ = "shop";
        policy.scope = MESH_POLICY_NAMESPACE;
        if (allows(&policy, rows[i].peer) != rows[i].matches)
            fail_msg("row %zu: %s", i, rows[i].name);
    }
}

/* --------------------------------------------------------------------- order and choice -- */

#define EVERYBODY .rules = (struct mesh_rule[]){{0}}, .num_rules = 1

#define NS(name_, action_, ...)                                                                    \
    {                                                                                              \
        .name = name_, .namespace_ = "shop", .scope = MESH_POLICY_NAMESPACE, .action = action_,    \
        __VA_ARGS__                                                                                \
    }

static void policies_decide_in_istios_order(void **state)
{
    (void)state;
    const struct {
        const char *name;
        struct mesh_policy policies[3];
        size_t num;
        enum reason reason; /* DONE: allowed */
        const char *policy;
        const char *dry_run_deny;
        bool dry_run_not_allowed;
    } rows[] = {
        {"no policy at all", {{0}}, 0, REASON_DONE, NULL, NULL, false},
        {"DENY beats ALLOW",
         {NS("a", MESH_ALLOW, EVERYBODY), NS("d", MESH_DENY, EVERYBODY)},
         2,
         REASON_DENIED_BY_POLICY,
         "shop/d",
         NULL,
         false},
        {"an ALLOW that matches",
         {NS("n", MESH_ALLOW, .num_rules = 0), NS("a", MESH_ALLOW, EVERYBODY)},
         2,
         REASON_DONE,
         "shop/a",
         NULL,
         false},
        {"an ALLOW that does not",
         {NS("n", MESH_ALLOW, .num_rules = 0)},
         1,
         REASON_NOT_ALLOWED,
         NULL,
         NULL,
         false},
        {"a DENY that does not match leaves everybody in",
         {NS("n", MESH_DENY, .num_rules = 0)},
         1,
         REASON_DONE,
         NULL,
         NULL,
         false},
        {"a dry-run DENY is told and not enforced",
         {NS("d", MESH_DENY, EVERYBODY, .dry_run = true)},
         1,
         REASON_DONE,
         NULL,
         "shop/d",
         false},
        {"a dry-run DENY beside a real one",
         {NS("x", MESH_DENY, EVERYBODY, .dry_run = true), NS("d", MESH_DENY, EVERYBODY)},
         2,
         REASON_DENIED_BY_POLICY,
         "shop/d",
         "shop/x",
         false},
        {"a dry-run ALLOW does not turn on default deny",
         {NS("a", MESH_ALLOW, .dry_run = true)},
         1,
         REASON_DONE,
         NULL,
         NULL,
         true},
        {"a dry-run ALLOW allows nobody",
         {NS("a", MESH_ALLOW, EVERYBODY, .dry_run = true), NS("n", MESH_ALLOW, .num_rules = 0)},
         2,
         REASON_NOT_ALLOWED,
         NULL,
         NULL,
         false},
        {"a dry-run ALLOW that misses where a real one hits",
         {NS("n", MESH_ALLOW, .dry_run = true), NS("a", MESH_ALLOW, EVERYBODY)},
         2,
         REASON_DONE,
         "shop/a",
         NULL,
         false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mesh_verdict verdict;
        struct mesh_snapshot *snapshot = mesh_of(rows[i].policies, rows[i].num, NULL, 0);
        struct mesh_access access = access_from(snapshot, &frontend);
        mesh_authorize(snapshot, &access, &verdict);
        print_message("%s\n", rows[i].name);
        assert_int_equal(verdict.reason, rows[i].reason);
        assert_int_equal(verdict.allowed, rows[i].reason == REASON_DONE);
        assert_string_equal(verdict.policy == NULL ? "" : verdict.policy,
                            rows[i].policy == NULL ? "" : rows[i].policy);
        assert_string_equal(verdict.dry_run_deny == NULL ? "" : verdict.dry_run_deny,
                            rows[i].dry_run_deny == NULL ? "" : rows[i].dry_run_deny);
        assert_int_equal(verdict.dry_run_not_allowed, rows[i].dry_run_not_allowed);
        mesh_snapshot_unref(snapshot);
    }
}

static void scope_and_listing_choose_the_policies(void **state)
{
    (void)state;
    const struct {
        const char *name;
        const char *namespace_;
        enum mesh_policy_scope scope;
        bool listed;
        bool applies;
    } rows[] = {
        {"global, whatever its namespace", "istio-system", MESH_POLICY_GLOBAL, false, true},
        {"the workload's namespace", "shop", MESH_POLICY_NAMESPACE, false, true},
        {"another namespace", "pay", MESH_POLICY_NAMESPACE, false, false},
        {"a namespace that begins alike", "shop2", MESH_POLICY_NAMESPACE, false, false},
        {"a selector that is not listed", "shop", MESH_POLICY_WORKLOAD_SELECTOR, false, false},
        {"a selector that is listed", "shop", MESH_POLICY_WORKLOAD_SELECTOR, true, true},
        {"a selector of another namespace that is listed", "istio-system",
         MESH_POLICY_WORKLOAD_SELECTOR, true, true},
        {"another namespace's, listed", "pay", MESH_POLICY_NAMESPACE, true, true},
        {"listed although it applies anyway", "shop", MESH_POLICY_NAMESPACE, true, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char key[64];
        snprintf(key, sizeof(key), "%s/d", rows[i].namespace_);
        const char *listed[] = {key};
        const struct mesh_policy policy = {.name = "d",
                                           .namespace_ = rows[i].namespace_,
                                           .scope = rows[i].scope,
                                           .action = MESH_DENY,
                                           EVERYBODY};
        struct mesh_verdict verdict;
        struct mesh_snapshot *snapshot = mesh_of(&policy, 1, listed, rows[i].listed ? 1 : 0);
        struct mesh_access access = access_from(snapshot, &frontend);
        mesh_authorize(snapshot, &access, &verdict);
        if (verdict.allowed == rows[i].applies)
            fail_msg("row %zu: %s", i, rows[i].name);
        mesh_snapshot_unref(snapshot);
    }
}

static void a_listed_policy_that_nobody_described_refuses_everybody(void **state)
{
    (void)state;
    const struct mesh_policy allow = NS("a", MESH_ALLOW, EVERYBODY);
    const char *listed[] = {"shop/a", "istio-system/gone"};
    struct mesh_verdict verdict;
    struct mesh_snapshot *snapshot = mesh_of(&allow, 1, listed, 2);
    struct mesh_access access = access_from(snapshot, &frontend);
    mesh_authorize(snapshot, &access, &verdict);
    assert_false(verdict.allowed);
    assert_int_equal(verdict.reason, REASON_POLICY_UNKNOWN);
    assert_string_equal(verdict.policy, "istio-system/gone");
    mesh_snapshot_unref(snapshot);
}

static void strict_mode_refuses_plaintext_whatever_the_policies_say(void **state)
{
    (void)state;
    const struct mesh_policy allow = NS("a", MESH_ALLOW, EVERYBODY);
    struct mesh_verdict verdict;
    struct mesh_snapshot *snapshot = mesh_of(&allow, 1, NULL, 0);
    struct mesh_access access = access_from(snapshot, NULL);
    access.strict = true;
    mesh_authorize(snapshot, &access, &verdict);
    assert_false(verdict.allowed);
    assert_int_equal(verdict.reason, REASON_PLAINTEXT_REFUSED);

    access.strict = false;
    mesh_authorize(snapshot, &access, &verdict);
    assert_true(verdict.allowed);

    access.strict = true;
    access.peer = &frontend;
    mesh_authorize(snapshot, &access, &verdict);
    assert_true(verdict.allowed);
    mesh_snapshot_unref(snapshot);
}

/* How istiod writes STRICT: DENY whoever has no principal. */
static void istiods_strict_policy_refuses_only_plaintext(void **state)
{
    (void)state;
    const struct mesh_policy strict = {
        .name = "istio_converted_static_strict",
        .namespace_ = "istio-system",
        .scope = MESH_POLICY_WORKLOAD_SELECTOR,
        .action = MESH_DENY,
        ONE_MATCH(.not_principals = PATTERNS({MESH_PRESENCE, NULL}))};
    const char *listed[] = {"istio-system/istio_converted_static_strict"};
    struct mesh_verdict verdict;
    struct mesh_snapshot *snapshot = mesh_of(&strict, 1, listed, 1);
    struct mesh_access access = access_from(snapshot, NULL);
    mesh_authorize(snapshot, &access, &verdict);
    assert_int_equal(verdict.reason, REASON_DENIED_BY_POLICY);
    access.peer = &frontend;
    mesh_authorize(snapshot, &access, &verdict);
    assert_true(verdict.allowed);
    mesh_snapshot_unref(snapshot);
}

static void nobody_is_let_in_before_the_workload_is_known(void **state)
{
    (void)state;
    struct mesh_verdict verdict;
    struct mesh_snapshot *snapshot = mesh_of(NULL, 0, NULL, 0);
    struct mesh_access access = access_from(snapshot, &frontend);
    access.destination = NULL;
    mesh_authorize(snapshot, &access, &verdict);
    assert_false(verdict.allowed);
    assert_int_equal(verdict.reason, REASON_UNKNOWN_LOCAL_WORKLOAD);
    mesh_snapshot_unref(snapshot);
}

/* Policies written before, during and after a trust domain was renamed all mean the same workload. */
static void a_principal_matches_under_any_name_of_our_trust_domain(void **state)
{
    static const char *const ALIASES[] = {"old.example", "older.example"};
    struct mesh_peer renamed = {
        .principal = "old.example/ns/shop/sa/frontend",
        .trust_domain = "old.example",
        .own_trust_domain = "cluster.local",
        .aliases = ALIASES,
        .num_aliases = 2,
        .namespace_ = "shop",
        .service_account = "frontend",
    };
    const struct mesh_peer federated = {
        .principal = "partner.example/ns/shop/sa/frontend",
        .trust_domain = "partner.example",
    };
    static const struct {
        struct mesh_pattern pattern;
        bool of_renamed, of_federated;
    } ROWS[] = {
        {{MESH_EXACT, "cluster.local/ns/shop/sa/frontend"}, true, false},
        {{MESH_EXACT, "old.example/ns/shop/sa/frontend"}, true, false},
        {{MESH_EXACT, "older.example/ns/shop/sa/frontend"}, true, false},
        {{MESH_EXACT, "cluster.local/ns/shop/sa/other"}, false, false},
        {{MESH_EXACT, "partner.example/ns/shop/sa/frontend"}, false, true},
        {{MESH_PREFIX, "cluster.local/"}, true, false},
        {{MESH_SUFFIX, "/sa/frontend"}, true, true},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct mesh_pattern pattern = ROWS[i].pattern;
        const struct mesh_policy positive = {.name = "p",
                                             .namespace_ = "shop",
                                             .scope = MESH_POLICY_NAMESPACE,
                                             .action = MESH_ALLOW,
                                             ONE_MATCH(.principals = {&pattern, 1})};
        const struct mesh_policy negative = {.name = "p",
                                             .namespace_ = "shop",
                                             .scope = MESH_POLICY_NAMESPACE,
                                             .action = MESH_ALLOW,
                                             ONE_MATCH(.not_principals = {&pattern, 1})};
        assert_int_equal(allows(&positive, &renamed), ROWS[i].of_renamed);
        assert_int_equal(allows(&negative, &renamed), !ROWS[i].of_renamed);
        assert_int_equal(allows(&positive, &federated), ROWS[i].of_federated);
        assert_int_equal(allows(&negative, &federated), !ROWS[i].of_federated);
    }
    /* Its namespace is not the one that a policy of ours means. */
    struct mesh_pattern shop = {MESH_EXACT, "shop"};
    const struct mesh_policy by_namespace = {.name = "p",
                                             .namespace_ = "shop",
                                             .scope = MESH_POLICY_NAMESPACE,
                                             .action = MESH_ALLOW,
                                             ONE_MATCH(.namespaces = {&shop, 1})};
    const struct mesh_policy by_no_namespace = {.name = "p",
                                                .namespace_ = "shop",
                                                .scope = MESH_POLICY_NAMESPACE,
                                                .action = MESH_ALLOW,
                                                ONE_MATCH(.not_namespaces = {&shop, 1})};
    assert_true(allows(&by_namespace, &renamed));
    assert_false(allows(&by_namespace, &federated));
    assert_false(allows(&by_no_namespace, &renamed));
    assert_true(allows(&by_no_namespace, &federated));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_in_a_structure_means_what_the_table_says),
        cmocka_unit_test(a_deny_policy_without_rules_does_nothing),
        cmocka_unit_test(each_attribute_matches_as_the_field_matches_it),
        cmocka_unit_test(policies_decide_in_istios_order),
        cmocka_unit_test(scope_and_listing_choose_the_policies),
        cmocka_unit_test(a_listed_policy_that_nobody_described_refuses_everybody),
        cmocka_unit_test(strict_mode_refuses_plaintext_whatever_the_policies_say),
        cmocka_unit_test(istiods_strict_policy_refuses_only_plaintext),
        cmocka_unit_test(a_principal_matches_under_any_name_of_our_trust_domain),
        cmocka_unit_test(nobody_is_let_in_before_the_workload_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
