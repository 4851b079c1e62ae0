#include <stdint.h>

#include "istio/security/authorization.pb-c.h"
#include "wds_message.h"

/* -------------------------------------------------------------------------------- values -- */

static void set_pattern(struct protobuf_memory *memory, const struct mesh_pattern *from,
                        Istio__Security__StringMatch *to)
{
    istio__security__string_match__init(to);
    switch (from->kind) {
    case MESH_PATTERN_UNSET:
        break;
    case MESH_EXACT:
        to->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_EXACT;
        to->exact = wds_message_text(from->text);
        break;
    case MESH_PREFIX:
        to->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX;
        to->prefix = wds_message_text(from->text);
        break;
    case MESH_SUFFIX:
        to->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_SUFFIX;
        to->suffix = wds_message_text(from->text);
        break;
    case MESH_PRESENCE:
        to->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PRESENCE;
        to->presence = protobuf_memory_array(memory, 1, sizeof(*to->presence));
        if (to->presence != NULL)
            istio__security__presence__init(to->presence);
        break;
    }
}

static Istio__Security__StringMatch **
patterns(struct protobuf_memory *memory, const struct mesh_pattern_list *from, size_t *num_out)
{
    Istio__Security__StringMatch **list = wds_message_list(memory, from->num, sizeof(**list));
    *num_out = list == NULL ? 0 : from->num;
    for (size_t i = 0; i < *num_out; i++)
        set_pattern(memory, &from->values[i], list[i]);
    return list;
}

static Istio__Security__Address **cidrs(struct protobuf_memory *memory,
                                        const struct mesh_cidr_list *from, size_t *num_out)
{
    Istio__Security__Address **list = wds_message_list(memory, from->num, sizeof(**list));
    *num_out = list == NULL ? 0 : from->num;
    for (size_t i = 0; i < *num_out; i++) {
        union {
            const uint8_t *in;
            uint8_t *out;
        } bytes = {.in = from->values[i].ip.bytes};
        istio__security__address__init(list[i]);
        list[i]->address.data = bytes.out;
        list[i]->address.len = from->values[i].ip.family == IP_V4 ? 4 : 16;
        list[i]->length = from->values[i].prefix_len;
    }
    return list;
}

static uint32_t *ports(struct protobuf_memory *memory, const struct mesh_port_list *from,
                       size_t *num_out)
{
    uint32_t *list = protobuf_memory_array(memory, from->num, sizeof(*list));
    *num_out = list == NULL ? 0 : from->num;
    for (size_t i = 0; i < *num_out; i++)
        list[i] = from->values[i];
    return list;
}

static Istio__Security__ServiceAccountMatch **
accounts(struct protobuf_memory *memory, const struct mesh_account_list *from, size_t *num_out)
{
    Istio__Security__ServiceAccountMatch **list =
        wds_message_list(memory, from->num, sizeof(**list));
    *num_out = list == NULL ? 0 : from->num;
    for (size_t i = 0; i < *num_out; i++) {
        istio__security__service_account_match__init(list[i]);
        list[i]->namespace_ = wds_message_text(from->values[i].namespace_);
        list[i]->service_account = wds_message_text(from->values[i].service_account);
    }
    return list;
}

/* ----------------------------------------------------------------------------- structures -- */

static void set_match(struct protobuf_memory *memory, const struct mesh_match *from,
                      Istio__Security__Match *to)
{
    istio__security__match__init(to);
    to->namespaces = patterns(memory, &from->namespaces, &to->n_namespaces);
    to->not_namespaces = patterns(memory, &from->not_namespaces, &to->n_not_namespaces);
    to->principals = patterns(memory, &from->principals, &to->n_principals);
    to->not_principals = patterns(memory, &from->not_principals, &to->n_not_principals);
    to->source_ips = cidrs(memory, &from->source_ips, &to->n_source_ips);
    to->not_source_ips = cidrs(memory, &from->not_source_ips, &to->n_not_source_ips);
    to->destination_ips = cidrs(memory, &from->destination_ips, &to->n_destination_ips);
    to->not_destination_ips = cidrs(memory, &from->not_destination_ips, &to->n_not_destination_ips);
    to->destination_ports = ports(memory, &from->destination_ports, &to->n_destination_ports);
    to->not_destination_ports =
        ports(memory, &from->not_destination_ports, &to->n_not_destination_ports);
    to->service_accounts = accounts(memory, &from->service_accounts, &to->n_service_accounts);
    to->not_service_accounts =
        accounts(memory, &from->not_service_accounts, &to->n_not_service_accounts);
}

static void set_clause(struct protobuf_memory *memory, const struct mesh_clause *from,
                       Istio__Security__Clause *to)
{
    istio__security__clause__init(to);
    to->matches = wds_message_list(memory, from->num_matches, sizeof(**to->matches));
    to->n_matches = to->matches == NULL ? 0 : from->num_matches;
    for (size_t i = 0; i < to->n_matches; i++)
        set_match(memory, &from->matches[i], to->matches[i]);
}

static void set_rule(struct protobuf_memory *memory, const struct mesh_rule *from,
                     Istio__Security__Rule *to)
{
    istio__security__rule__init(to);
    to->clauses = wds_message_list(memory, from->num_clauses, sizeof(**to->clauses));
    to->n_clauses = to->clauses == NULL ? 0 : from->num_clauses;
    for (size_t i = 0; i < to->n_clauses; i++)
        set_clause(memory, &from->clauses[i], to->clauses[i]);
}

int wds_encode_policy(struct buf *out, const struct mesh_policy *policy, struct err *err)
{
    struct protobuf_memory *memory = protobuf_memory_new(SIZE_MAX, PROTOBUF_PLAIN);
    if (memory == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    Istio__Security__Authorization to;
    istio__security__authorization__init(&to);
    to.name = wds_message_text(policy->name);
    to.namespace_ = wds_message_text(policy->namespace_);
    to.scope = (Istio__Security__Scope)policy->scope;
    to.action = (Istio__Security__Action)policy->action;
    to.dry_run = policy->dry_run;
    to.rules = wds_message_list(memory, policy->num_rules, sizeof(*to.rules[0]));
    to.n_rules = to.rules == NULL ? 0 : policy->num_rules;
    for (size_t i = 0; i < to.n_rules; i++)
        set_rule(memory, &policy->rules[i], to.rules[i]);
    return wds_message_pack(out, &to.base, memory, err);
}
