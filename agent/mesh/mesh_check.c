#include "mesh_check.h"

#include <string.h>

static int check_text(const char *field, const char *text, size_t max, struct err *err)
{
    if (text != NULL && strnlen(text, max + 1) > max)
        return err_set(err, ERR_LIMIT, "%s is longer than %zu bytes", field, max);
    return 0;
}

static int check_name(const char *field, const char *text, struct err *err)
{
    return check_text(field, text, MESH_NAME_MAX, err);
}

static int check_required(const char *field, const char *text, struct err *err)
{
    if (text == NULL || text[0] == '\0')
        return err_set(err, ERR_INVALID, "%s is missing", field);
    return 0;
}

static int check_num(const char *field, size_t num, size_t max, struct err *err)
{
    if (num > max)
        return err_set(err, ERR_LIMIT, "%s has %zu entries, more than %zu", field, num, max);
    return 0;
}

struct named_text {
    const char *field;
    const char *text;
};

static int check_names(const struct named_text *names, size_t num, struct err *err)
{
    for (size_t i = 0; i < num; i++)
        if (check_name(names[i].field, names[i].text, err) < 0)
            return -1;
    return 0;
}

static int check_ip(const char *field, const struct ip *ip, struct err *err)
{
    if (ip->family != IP_V4 && ip->family != IP_V6)
        return err_set(err, ERR_INVALID, "%s is no IP address", field);
    if (ip_is_unspecified(ip))
        return err_set(err, ERR_INVALID, "%s is the unspecified address", field);
    return 0;
}

static int check_ports(const struct mesh_port *ports, size_t num, struct err *err)
{
    if (check_num("ports", num, MESH_PORTS_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < num; i++)
        if (ports[i].service_port == 0)
            return err_set(err, ERR_INVALID, "a service port is 0");
    return 0;
}

static int check_gateway(const char *field, const struct mesh_gateway *gateway, struct err *err)
{
    switch (gateway->kind) {
    case MESH_GATEWAY_NONE:
        return 0;
    case MESH_GATEWAY_HOSTNAME:
        if (check_required(field, gateway->hostname, err) < 0)
            return -1;
        if (check_name(field, gateway->namespace_, err) < 0)
            return -1;
        return check_name(field, gateway->hostname, err);
    case MESH_GATEWAY_ADDRESS:
        if (check_name(field, gateway->network, err) < 0)
            return -1;
        return check_ip(field, &gateway->ip, err);
    }
    return err_set(err, ERR_INVALID, "%s is of an unknown kind", field);
}

static int check_memberships(const struct mesh_workload *workload, struct err *err)
{
    if (check_num("services", workload->num_services, MESH_MEMBERSHIPS_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < workload->num_services; i++) {
        const struct mesh_membership *membership = &workload->services[i];
        if (check_required("the name of a service", membership->service, err) < 0)
            return -1;
        if (check_text("the name of a service", membership->service, MESH_KEY_MAX, err) < 0)
            return -1;
        if (check_ports(membership->ports, membership->num_ports, err) < 0)
            return err_prefix(err, "service \"%s\"", membership->service);
    }
    return 0;
}

static int check_policy_names(const struct mesh_workload *workload, struct err *err)
{
    size_t num = workload->num_authorization_policies;
    if (check_num("authorization policies", num, MESH_POLICY_LIST_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < num; i++) {
        const char *name = workload->authorization_policies[i];
        if (check_required("the name of a policy", name, err) < 0)
            return -1;
        if (check_text("the name of a policy", name, MESH_KEY_MAX, err) < 0)
            return -1;
    }
    return 0;
}

static int check_workload_names(const struct mesh_workload *workload, struct err *err)
{
    const struct named_text names[] = {
        {"name", workload->name},
        {"namespace", workload->namespace_},
        {"service account", workload->service_account},
        {"trust domain", workload->trust_domain},
        {"network", workload->network},
        {"cluster", workload->cluster_id},
        {"node", workload->node},
        {"host name", workload->hostname},
        {"canonical name", workload->canonical_name},
        {"canonical revision", workload->canonical_revision},
        {"workload name", workload->workload_name},
        {"region", workload->locality.region},
        {"zone", workload->locality.zone},
        {"subzone", workload->locality.subzone},
    };
    return check_names(names, sizeof(names) / sizeof(names[0]), err);
}

static int check_workload_fields(const struct mesh_workload *workload, struct err *err)
{
    if (check_text("uid", workload->uid, MESH_UID_MAX, err) < 0)
        return -1;
    if (check_workload_names(workload, err) < 0)
        return -1;
    if (check_num("addresses", workload->num_ips, MESH_ADDRESSES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < workload->num_ips; i++)
        if (check_ip("an address", &workload->ips[i], err) < 0)
            return -1;
    if (check_gateway("waypoint", &workload->waypoint, err) < 0)
        return -1;
    if (check_gateway("network gateway", &workload->network_gateway, err) < 0)
        return -1;
    if (check_memberships(workload, err) < 0)
        return -1;
    return check_policy_names(workload, err);
}

int mesh_check_workload(const struct mesh_workload *workload, struct err *err)
{
    if (workload->uid == NULL || workload->uid[0] == '\0')
        return err_set(err, ERR_INVALID, "a workload has no uid");
    if (check_workload_fields(workload, err) < 0)
        return err_prefix(err, "workload \"%.*s\"", MESH_NAME_MAX, workload->uid);
    return 0;
}

static int check_network(const struct mesh_network_cidr *vip, struct err *err)
{
    uint8_t family = vip->cidr.ip.family;
    if (family != IP_V4 && family != IP_V6)
        return err_set(err, ERR_INVALID, "a CIDR address is none");
    if (vip->cidr.prefix_len > (family == IP_V4 ? 32 : 128))
        return err_set(err, ERR_INVALID, "a CIDR address has a prefix of %u bits",
                       (unsigned)vip->cidr.prefix_len);
    return check_name("network", vip->network, err);
}

static int check_addresses(const struct mesh_service *service, struct err *err)
{
    if (check_num("addresses", service->num_vips, MESH_ADDRESSES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < service->num_vips; i++) {
        if (check_name("network", service->vips[i].network, err) < 0)
            return -1;
        if (check_ip("an address", &service->vips[i].ip, err) < 0)
            return -1;
    }
    if (check_num("CIDR addresses", service->num_cidr_vips, MESH_ADDRESSES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < service->num_cidr_vips; i++)
        if (check_network(&service->cidr_vips[i], err) < 0)
            return -1;
    return 0;
}

static int check_waypoints(const struct mesh_service *service, struct err *err)
{
    if (check_gateway("waypoint", &service->waypoint, err) < 0)
        return -1;
    size_t num = service->num_weighted_waypoints;
    if (check_num("weighted waypoints", num, MESH_ADDRESSES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < num; i++)
        if (check_gateway("weighted waypoint", &service->weighted_waypoints[i].gateway, err) < 0)
            return -1;
    return 0;
}

static int check_service_fields(const struct mesh_service *service, struct err *err)
{
    const struct named_text names[] = {
        {"name", service->name},
        {"namespace", service->namespace_},
        {"host name", service->hostname},
    };
    if (check_names(names, sizeof(names) / sizeof(names[0]), err) < 0)
        return -1;
    if (check_addresses(service, err) < 0 ||
        check_ports(service->ports, service->num_ports, err) < 0)
        return -1;
    if (check_num("subject alternative names", service->num_subject_alt_names, MESH_SANS_MAX, err) <
        0)
        return -1;
    if (check_num("routing preferences", service->load_balancing.num_preferences, MESH_SCOPES_MAX,
                  err) < 0)
        return -1;
    return check_waypoints(service, err);
}

int mesh_check_service(const struct mesh_service *service, struct err *err)
{
    if (service->hostname == NULL || service->hostname[0] == '\0')
        return err_set(err, ERR_INVALID, "a service has no host name");
    if (check_service_fields(service, err) < 0)
        return err_prefix(err, "service \"%.*s\"", MESH_NAME_MAX, service->hostname);
    return 0;
}

static int check_patterns(const char *field, const struct mesh_pattern_list *list, struct err *err)
{
    if (check_num(field, list->num, MESH_VALUES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < list->num; i++)
        if (check_text(field, list->values[i].text, MESH_MATCH_TEXT_MAX, err) < 0)
            return -1;
    return 0;
}

static int check_accounts(const char *field, const struct mesh_account_list *list, struct err *err)
{
    if (check_num(field, list->num, MESH_VALUES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < list->num; i++) {
        if (check_name(field, list->values[i].namespace_, err) < 0)
            return -1;
        if (check_name(field, list->values[i].service_account, err) < 0)
            return -1;
    }
    return 0;
}

static int check_match(const struct mesh_match *match, struct err *err)
{
    if (check_patterns("namespaces", &match->namespaces, err) < 0 ||
        check_patterns("not namespaces", &match->not_namespaces, err) < 0 ||
        check_patterns("principals", &match->principals, err) < 0 ||
        check_patterns("not principals", &match->not_principals, err) < 0 ||
        check_accounts("service accounts", &match->service_accounts, err) < 0 ||
        check_accounts("not service accounts", &match->not_service_accounts, err) < 0)
        return -1;
    const struct {
        const char *field;
        size_t num;
    } lists[] = {
        {"source addresses", match->source_ips.num},
        {"not source addresses", match->not_source_ips.num},
        {"destination addresses", match->destination_ips.num},
        {"not destination addresses", match->not_destination_ips.num},
        {"destination ports", match->destination_ports.num},
        {"not destination ports", match->not_destination_ports.num},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (check_num(lists[i].field, lists[i].num, MESH_VALUES_MAX, err) < 0)
            return -1;
    return 0;
}

static int check_clause(const struct mesh_clause *clause, struct err *err)
{
    if (check_num("a clause's matches", clause->num_matches, MESH_RULES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < clause->num_matches; i++)
        if (check_match(&clause->matches[i], err) < 0)
            return -1;
    return 0;
}

static int check_rule(const struct mesh_rule *rule, struct err *err)
{
    if (check_num("a rule's clauses", rule->num_clauses, MESH_RULES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < rule->num_clauses; i++)
        if (check_clause(&rule->clauses[i], err) < 0)
            return -1;
    return 0;
}

static int check_policy_fields(const struct mesh_policy *policy, struct err *err)
{
    if (check_name("name", policy->name, err) < 0)
        return -1;
    if (check_name("namespace", policy->namespace_, err) < 0)
        return -1;
    if (check_num("rules", policy->num_rules, MESH_RULES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < policy->num_rules; i++)
        if (check_rule(&policy->rules[i], err) < 0)
            return err_prefix(err, "rule %zu", i + 1);
    return 0;
}

int mesh_check_policy(const struct mesh_policy *policy, struct err *err)
{
    if (policy->name == NULL || policy->name[0] == '\0')
        return err_set(err, ERR_INVALID, "a policy has no name");
    if (check_policy_fields(policy, err) < 0)
        return err_prefix(err, "policy \"%.*s\"", MESH_NAME_MAX, policy->name);
    return 0;
}
