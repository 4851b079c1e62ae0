#include "local_policy.h"

/* ------------------------------------------------------------------------ values of lists -- */

/* `!Exact x`, `!Prefix x`, `!Suffix x` or `!Presence []`. */
static struct mesh_pattern read_pattern(struct yaml_reader *reader, const struct yaml_node *node)
{
    static const char *const names[] = {"Exact", "Prefix", "Suffix", "Presence", NULL};
    static const enum mesh_pattern_kind kinds[] = {MESH_EXACT, MESH_PREFIX, MESH_SUFFIX,
                                                   MESH_PRESENCE};
    struct mesh_pattern pattern = {0};
    const struct yaml_node *value;
    int i = yaml_reader_variant(reader, node, names, &value);
    if (i < 0)
        return pattern;
    pattern.kind = kinds[i];
    if (pattern.kind != MESH_PRESENCE)
        pattern.text = yaml_reader_text(reader, value);
    else if (yaml_reader_list(reader, value) && value->num > 0)
        yaml_reader_fail(reader, value, "expected an empty list, as in \"!Presence []\"");
    return pattern;
}

static struct mesh_pattern_list read_patterns(struct yaml_reader *reader,
                                              const struct yaml_node *match, const char *key)
{
    const struct yaml_node *list = yaml_reader_find(match, key);
    if (!yaml_reader_list(reader, list))
        return (struct mesh_pattern_list){0};
    struct mesh_pattern *values = yaml_reader_alloc(reader, list->num, sizeof(*values));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        values[node->index] = read_pattern(reader, node);
    return (struct mesh_pattern_list){.values = values, .num = list->num};
}

static struct mesh_account read_account(struct yaml_reader *reader, const struct yaml_node *node)
{
    static const char *const keys[] = {"namespace", "serviceAccount", NULL};
    struct mesh_account account = {0};
    if (!yaml_reader_map(reader, node, keys))
        return account;
    account.namespace_ = yaml_reader_text(reader, yaml_reader_required(reader, node, "namespace"));
    account.service_account =
        yaml_reader_text(reader, yaml_reader_required(reader, node, "serviceAccount"));
    return account;
}

static struct mesh_account_list read_accounts(struct yaml_reader *reader,
                                              const struct yaml_node *match, const char *key)
{
    const struct yaml_node *list = yaml_reader_find(match, key);
    if (!yaml_reader_list(reader, list))
        return (struct mesh_account_list){0};
    struct mesh_account *values = yaml_reader_alloc(reader, list->num, sizeof(*values));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        values[node->index] = read_account(reader, node);
    return (struct mesh_account_list){.values = values, .num = list->num};
}

static struct mesh_cidr_list read_cidrs(struct yaml_reader *reader, const struct yaml_node *match,
                                        const char *key)
{
    const struct yaml_node *list = yaml_reader_find(match, key);
    if (!yaml_reader_list(reader, list))
        return (struct mesh_cidr_list){0};
    struct cidr *values = yaml_reader_alloc(reader, list->num, sizeof(*values));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        values[node->index] = yaml_reader_cidr(reader, node);
    return (struct mesh_cidr_list){.values = values, .num = list->num};
}

static struct mesh_port_list read_ports(struct yaml_reader *reader, const struct yaml_node *match,
                                        const char *key)
{
    const struct yaml_node *list = yaml_reader_find(match, key);
    if (!yaml_reader_list(reader, list))
        return (struct mesh_port_list){0};
    uint16_t *values = yaml_reader_alloc(reader, list->num, sizeof(*values));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        values[node->index] = (uint16_t)yaml_reader_u32(reader, node, 1, UINT16_MAX, 0);
    return (struct mesh_port_list){.values = values, .num = list->num};
}

/* ----------------------------------------------------------------------------- structures -- */

static struct mesh_match read_match(struct yaml_reader *reader, const struct yaml_node *node)
{
    static const char *const keys[] = {"namespaces",
                                       "notNamespaces",
                                       "principals",
                                       "notPrincipals",
                                       "serviceAccounts",
                                       "notServiceAccounts",
                                       "sourceIps",
                                       "notSourceIps",
                                       "destinationIps",
                                       "notDestinationIps",
                                       "destinationPorts",
                                       "notDestinationPorts",
                                       NULL};
    if (!yaml_reader_map(reader, node, keys))
        return (struct mesh_match){0};
    return (struct mesh_match){
        .namespaces = read_patterns(reader, node, "namespaces"),
        .not_namespaces = read_patterns(reader, node, "notNamespaces"),
        .principals = read_patterns(reader, node, "principals"),
        .not_principals = read_patterns(reader, node, "notPrincipals"),
        .service_accounts = read_accounts(reader, node, "serviceAccounts"),
        .not_service_accounts = read_accounts(reader, node, "notServiceAccounts"),
        .source_ips = read_cidrs(reader, node, "sourceIps"),
        .not_source_ips = read_cidrs(reader, node, "notSourceIps"),
        .destination_ips = read_cidrs(reader, node, "destinationIps"),
        .not_destination_ips = read_cidrs(reader, node, "notDestinationIps"),
        .destination_ports = read_ports(reader, node, "destinationPorts"),
        .not_destination_ports = read_ports(reader, node, "notDestinationPorts"),
    };
}

static struct mesh_clause read_clause(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (!yaml_reader_list(reader, node))
        return (struct mesh_clause){0};
    struct mesh_match *matches = yaml_reader_alloc(reader, node->num, sizeof(*matches));
    for (const struct yaml_node *entry = node->first; entry != NULL && !yaml_reader_failed(reader);
         entry = entry->next)
        matches[entry->index] = read_match(reader, entry);
    return (struct mesh_clause){.matches = matches, .num_matches = node->num};
}

static struct mesh_rule read_rule(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (!yaml_reader_list(reader, node))
        return (struct mesh_rule){0};
    struct mesh_clause *clauses = yaml_reader_alloc(reader, node->num, sizeof(*clauses));
    for (const struct yaml_node *entry = node->first; entry != NULL && !yaml_reader_failed(reader);
         entry = entry->next)
        clauses[entry->index] = read_clause(reader, entry);
    return (struct mesh_rule){.clauses = clauses, .num_clauses = node->num};
}

static void read_rules(struct yaml_reader *reader, const struct yaml_node *node,
                       struct mesh_policy *policy)
{
    if (!yaml_reader_list(reader, node))
        return;
    struct mesh_rule *rules = yaml_reader_alloc(reader, node->num, sizeof(*rules));
    for (const struct yaml_node *entry = node->first; entry != NULL && !yaml_reader_failed(reader);
         entry = entry->next)
        rules[entry->index] = read_rule(reader, entry);
    policy->rules = rules;
    policy->num_rules = node->num;
}

void local_policy_read(struct yaml_reader *reader, const struct yaml_node *node,
                       struct mesh_policy *policy)
{
    static const char *const keys[] = {"name",  "namespace", "scope", "action",
                                       "rules", "dryRun",    NULL};
    static const char *const scopes[] = {"Global", "Namespace", "WorkloadSelector", NULL};
    static const char *const actions[] = {"Allow", "Deny", NULL};
    *policy = (struct mesh_policy){0};
    if (!yaml_reader_map(reader, node, keys))
        return;
    policy->name = yaml_reader_text(reader, yaml_reader_required(reader, node, "name"));
    policy->namespace_ = yaml_reader_text(reader, yaml_reader_required(reader, node, "namespace"));
    policy->scope = (enum mesh_policy_scope)yaml_reader_enum(
        reader, yaml_reader_required(reader, node, "scope"), scopes);
    policy->action = (enum mesh_action)yaml_reader_enum(
        reader, yaml_reader_required(reader, node, "action"), actions);
    policy->dry_run = yaml_reader_bool(reader, yaml_reader_required(reader, node, "dryRun"));
    read_rules(reader, yaml_reader_required(reader, node, "rules"), policy);
}
