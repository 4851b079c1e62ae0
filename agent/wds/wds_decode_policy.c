/*
 * Policies. Nothing that could be a condition is skipped: a DENY would forbid less than its author
 * meant, an ALLOW permit more.
 */
#include <inttypes.h>

#include "wds_field.h"
#include "wds_object.h"

/* Both count alike; see authorization.proto. */
_Static_assert((int)MESH_POLICY_WORKLOAD_SELECTOR == (int)ISTIO__SECURITY__SCOPE__WORKLOAD_SELECTOR,
               "scopes");
_Static_assert((int)MESH_DENY == (int)ISTIO__SECURITY__ACTION__DENY, "actions");

/* A field that a newer Istio has and that we have not. */
static int check_known(const char *what, const ProtobufCMessage *message, struct err *err)
{
    if (message->n_unknown_fields > 0)
        return err_set(err, ERR_INVALID,
                       "%s has a condition that is not understood (field %" PRIu32 ")", what,
                       message->unknown_fields[0].tag);
    return 0;
}

/* -------------------------------------------------------------------------------- values -- */

static int read_pattern(const Istio__Security__StringMatch *from, struct mesh_pattern *pattern,
                        struct err *err)
{
    pattern->text = "";
    switch ((int)from->match_type_case) {
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_EXACT:
        pattern->kind = MESH_EXACT;
        pattern->text = from->exact;
        return 0;
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX:
        pattern->kind = MESH_PREFIX;
        pattern->text = from->prefix;
        return 0;
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_SUFFIX:
        pattern->kind = MESH_SUFFIX;
        pattern->text = from->suffix;
        return 0;
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PRESENCE:
        pattern->kind = MESH_PRESENCE;
        return 0;
    default:
        return err_set(err, ERR_INVALID, "a pattern is of a kind that is not understood");
    }
}

static int read_patterns(const char *field, Istio__Security__StringMatch *const *from, size_t num,
                         struct protobuf_memory *memory, struct mesh_pattern_list *list,
                         struct err *err)
{
    if (num == 0)
        return 0;
    if (wds_field_num(field, num, MESH_VALUES_MAX, err) < 0)
        return -1;
    struct mesh_pattern *values = protobuf_memory_array(memory, num, sizeof(*values));
    if (values == NULL)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++) {
        if (read_pattern(from[i], &values[i], err) < 0)
            return err_prefix(err, "%s", field);
        if (check_known(field, &from[i]->base, err) < 0)
            return -1;
    }
    *list = (struct mesh_pattern_list){.values = values, .num = num};
    return 0;
}

static int read_cidrs(const char *field, Istio__Security__Address *const *from, size_t num,
                      struct protobuf_memory *memory, struct mesh_cidr_list *list, struct err *err)
{
    if (num == 0)
        return 0;
    if (wds_field_num(field, num, MESH_VALUES_MAX, err) < 0)
        return -1;
    struct cidr *values = protobuf_memory_array(memory, num, sizeof(*values));
    if (values == NULL)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++) {
        if (wds_field_cidr("an address", &from[i]->address, from[i]->length, &values[i], err) < 0)
            return err_prefix(err, "%s", field);
        if (check_known(field, &from[i]->base, err) < 0)
            return -1;
    }
    *list = (struct mesh_cidr_list){.values = values, .num = num};
    return 0;
}

static int read_ports(const char *field, const uint32_t *from, size_t num,
                      struct protobuf_memory *memory, struct mesh_port_list *list, struct err *err)
{
    if (num == 0)
        return 0;
    if (wds_field_num(field, num, MESH_VALUES_MAX, err) < 0)
        return -1;
    uint16_t *values = protobuf_memory_array(memory, num, sizeof(*values));
    if (values == NULL)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++) {
        if (wds_field_port("a port", from[i], &values[i], err) < 0)
            return err_prefix(err, "%s", field);
        if (values[i] == 0)
            return err_set(err, ERR_INVALID, "%s: a port is 0", field);
    }
    *list = (struct mesh_port_list){.values = values, .num = num};
    return 0;
}

static int read_accounts(const char *field, Istio__Security__ServiceAccountMatch *const *from,
                         size_t num, struct protobuf_memory *memory, struct mesh_account_list *list,
                         struct err *err)
{
    if (num == 0)
        return 0;
    if (wds_field_num(field, num, MESH_VALUES_MAX, err) < 0)
        return -1;
    struct mesh_account *values = protobuf_memory_array(memory, num, sizeof(*values));
    if (values == NULL)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++) {
        if (check_known(field, &from[i]->base, err) < 0)
            return -1;
        values[i] = (struct mesh_account){.namespace_ = from[i]->namespace_,
                                          .service_account = from[i]->service_account};
    }
    *list = (struct mesh_account_list){.values = values, .num = num};
    return 0;
}

/* ----------------------------------------------------------------------------- structures -- */

static int read_peer_lists(const Istio__Security__Match *from, struct protobuf_memory *memory,
                           struct mesh_match *match, struct err *err)
{
    if (read_patterns("namespaces", from->namespaces, from->n_namespaces, memory,
                      &match->namespaces, err) < 0 ||
        read_patterns("not namespaces", from->not_namespaces, from->n_not_namespaces, memory,
                      &match->not_namespaces, err) < 0 ||
        read_patterns("principals", from->principals, from->n_principals, memory,
                      &match->principals, err) < 0 ||
        read_patterns("not principals", from->not_principals, from->n_not_principals, memory,
                      &match->not_principals, err) < 0 ||
        read_accounts("service accounts", from->service_accounts, from->n_service_accounts, memory,
                      &match->service_accounts, err) < 0)
        return -1;
    return read_accounts("not service accounts", from->not_service_accounts,
                         from->n_not_service_accounts, memory, &match->not_service_accounts, err);
}

static int read_address_lists(const Istio__Security__Match *from, struct protobuf_memory *memory,
                              struct mesh_match *match, struct err *err)
{
    if (read_cidrs("source addresses", from->source_ips, from->n_source_ips, memory,
                   &match->source_ips, err) < 0 ||
        read_cidrs("not source addresses", from->not_source_ips, from->n_not_source_ips, memory,
                   &match->not_source_ips, err) < 0 ||
        read_cidrs("destination addresses", from->destination_ips, from->n_destination_ips, memory,
                   &match->destination_ips, err) < 0 ||
        read_cidrs("not destination addresses", from->not_destination_ips,
                   from->n_not_destination_ips, memory, &match->not_destination_ips, err) < 0 ||
        read_ports("destination ports", from->destination_ports, from->n_destination_ports, memory,
                   &match->destination_ports, err) < 0)
        return -1;
    return read_ports("not destination ports", from->not_destination_ports,
                      from->n_not_destination_ports, memory, &match->not_destination_ports, err);
}

static int read_match(const Istio__Security__Match *from, struct protobuf_memory *memory,
                      struct mesh_match *match, struct err *err)
{
    if (check_known("a match", &from->base, err) < 0 ||
        read_peer_lists(from, memory, match, err) < 0)
        return -1;
    return read_address_lists(from, memory, match, err);
}

static int read_clause(const Istio__Security__Clause *from, struct protobuf_memory *memory,
                       struct mesh_clause *clause, struct err *err)
{
    size_t num = from->n_matches;
    if (check_known("a clause", &from->base, err) < 0 ||
        wds_field_num("a clause's matches", num, MESH_RULES_MAX, err) < 0)
        return -1;
    struct mesh_match *matches = protobuf_memory_array(memory, num, sizeof(*matches));
    if (matches == NULL && num > 0)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++)
        if (read_match(from->matches[i], memory, &matches[i], err) < 0)
            return -1;
    *clause = (struct mesh_clause){.matches = matches, .num_matches = num};
    return 0;
}

static int read_rule(const Istio__Security__Rule *from, struct protobuf_memory *memory,
                     struct mesh_rule *rule, struct err *err)
{
    size_t num = from->n_clauses;
    if (check_known("a rule", &from->base, err) < 0 ||
        wds_field_num("a rule's clauses", num, MESH_RULES_MAX, err) < 0)
        return -1;
    struct mesh_clause *clauses = protobuf_memory_array(memory, num, sizeof(*clauses));
    if (clauses == NULL && num > 0)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++)
        if (read_clause(from->clauses[i], memory, &clauses[i], err) < 0)
            return -1;
    *rule = (struct mesh_rule){.clauses = clauses, .num_clauses = num};
    return 0;
}

int wds_decode_policy(const Istio__Security__Authorization *from, struct protobuf_memory *memory,
                      struct mesh_policy *policy, struct err *err)
{
    size_t num = from->n_rules;
    if (wds_field_enum("scope", from->scope, MESH_POLICY_WORKLOAD_SELECTOR, err) < 0 ||
        wds_field_enum("action", from->action, MESH_DENY, err) < 0 ||
        wds_field_num("rules", num, MESH_RULES_MAX, err) < 0)
        return -1;
    struct mesh_rule *rules = protobuf_memory_array(memory, num, sizeof(*rules));
    if (rules == NULL && num > 0)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++)
        if (read_rule(from->rules[i], memory, &rules[i], err) < 0)
            return err_prefix(err, "rule %zu", i + 1);
    policy->name = from->name;
    policy->namespace_ = from->namespace_;
    policy->scope = (enum mesh_policy_scope)from->scope;
    policy->action = (enum mesh_action)from->action;
    policy->dry_run = from->dry_run;
    policy->rules = rules;
    policy->num_rules = num;
    return 0;
}
