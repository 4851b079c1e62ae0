#include "mesh_copy.h"

#include "mesh_spiffe.h"
#include "mesh_warnings.h"

static const char *text_or(struct mesh_arena *arena, const char *text, const char *otherwise)
{
    return text == NULL || text[0] == '\0' ? otherwise : mesh_arena_text(arena, text);
}

static struct mesh_gateway copy_gateway(struct mesh_arena *arena, const struct mesh_gateway *from)
{
    struct mesh_gateway to = *from;
    to.namespace_ = mesh_arena_text(arena, from->namespace_);
    to.hostname = mesh_arena_text(arena, from->hostname);
    to.network = mesh_arena_text(arena, from->network);
    return to;
}

static const char *const *copy_texts(struct mesh_arena *arena, const char *const *from, size_t num)
{
    const char **to = mesh_arena_array(arena, num, sizeof(*to));
    for (size_t i = 0; to != NULL && i < num; i++)
        to[i] = mesh_arena_text(arena, from[i]);
    return to;
}

/* ---------------------------------------------------------------------------- workloads -- */

static const struct mesh_membership *
copy_memberships(struct mesh_arena *arena, const struct mesh_membership *from, size_t num)
{
    struct mesh_membership *to = mesh_arena_copy(arena, from, num, sizeof(*to));
    for (size_t i = 0; to != NULL && i < num; i++) {
        to[i].service = mesh_arena_text(arena, from[i].service);
        to[i].ports =
            mesh_arena_copy(arena, from[i].ports, from[i].num_ports, sizeof(*from[i].ports));
    }
    return to;
}

/* A workload whose names make no SPIFFE ID can never prove who it is; tunnels to it are refused when they are decided. */
static const char *make_identity(struct mesh_arena *arena, const struct mesh_workload *workload,
                                 struct mesh_warnings *warnings)
{
    const char *identity =
        mesh_arena_join(arena, "spiffe://", workload->trust_domain, "/ns/", workload->namespace_,
                        "/sa/", workload->service_account, (const char *)NULL);
    if (mesh_spiffe_valid(identity))
        return identity;
    if (!mesh_arena_failed(arena) && workload->tunnel != MESH_TUNNEL_NONE)
        mesh_warnings_add(warnings, "workload \"%s\" has no valid identity: \"%s\" is no SPIFFE ID",
                          workload->uid, identity);
    return NULL;
}

static void copy_labels(struct mesh_arena *arena, const struct mesh_workload *from,
                        struct mesh_workload *to)
{
    to->uid = mesh_arena_text(arena, from->uid);
    to->name = mesh_arena_text(arena, from->name);
    to->namespace_ = mesh_arena_text(arena, from->namespace_);
    to->service_account = text_or(arena, from->service_account, "default");
    to->trust_domain = text_or(arena, from->trust_domain, "cluster.local");
    to->network = mesh_arena_text(arena, from->network);
    to->cluster_id = text_or(arena, from->cluster_id, "Kubernetes");
    to->node = mesh_arena_text(arena, from->node);
    to->hostname = mesh_arena_text(arena, from->hostname);
    to->canonical_name = mesh_arena_text(arena, from->canonical_name);
    to->canonical_revision = mesh_arena_text(arena, from->canonical_revision);
    to->workload_name = mesh_arena_text(arena, from->workload_name);
    to->locality.region = mesh_arena_text(arena, from->locality.region);
    to->locality.zone = mesh_arena_text(arena, from->locality.zone);
    to->locality.subzone = mesh_arena_text(arena, from->locality.subzone);
}

void mesh_copy_workload(struct mesh_arena *arena, const struct mesh_workload *from,
                        struct mesh_workload *to, struct mesh_warnings *warnings)
{
    *to = *from;
    copy_labels(arena, from, to);
    to->ips = mesh_arena_copy(arena, from->ips, from->num_ips, sizeof(*from->ips));
    to->waypoint = copy_gateway(arena, &from->waypoint);
    to->network_gateway = copy_gateway(arena, &from->network_gateway);
    to->services = copy_memberships(arena, from->services, from->num_services);
    to->authorization_policies =
        copy_texts(arena, from->authorization_policies, from->num_authorization_policies);
    to->identity = make_identity(arena, to, warnings);
}

/* ----------------------------------------------------------------------------- services -- */

/* Names that are no SPIFFE IDs could never equal a peer's; as in the field they are ignored. */
static void copy_sans(struct mesh_arena *arena, const struct mesh_service *from,
                      struct mesh_service *to, struct mesh_warnings *warnings)
{
    to->num_subject_alt_names = 0;
    const char **sans = mesh_arena_array(arena, from->num_subject_alt_names, sizeof(*sans));
    for (size_t i = 0; sans != NULL && i < from->num_subject_alt_names; i++) {
        const char *san = from->subject_alt_names[i];
        if (san != NULL && mesh_spiffe_valid(san))
            sans[to->num_subject_alt_names++] = mesh_arena_text(arena, san);
        else
            mesh_warnings_add(
                warnings, "service \"%s\": the subject alternative name \"%.80s\" is no SPIFFE ID",
                to->key, san == NULL ? "" : san);
    }
    to->subject_alt_names = sans;
}

static void copy_vips(struct mesh_arena *arena, const struct mesh_service *from,
                      struct mesh_service *to)
{
    struct mesh_network_address *vips =
        mesh_arena_copy(arena, from->vips, from->num_vips, sizeof(*vips));
    for (size_t i = 0; vips != NULL && i < from->num_vips; i++)
        vips[i].network = mesh_arena_text(arena, from->vips[i].network);
    to->vips = vips;

    struct mesh_network_cidr *cidrs =
        mesh_arena_copy(arena, from->cidr_vips, from->num_cidr_vips, sizeof(*cidrs));
    for (size_t i = 0; cidrs != NULL && i < from->num_cidr_vips; i++) {
        const struct cidr *cidr = &from->cidr_vips[i].cidr;
        cidrs[i].network = mesh_arena_text(arena, from->cidr_vips[i].network);
        cidrs[i].cidr = cidr_around(&cidr->ip, cidr->prefix_len);
    }
    to->cidr_vips = cidrs;
}

void mesh_copy_service(struct mesh_arena *arena, const struct mesh_service *from,
                       struct mesh_service *to, struct mesh_warnings *warnings)
{
    *to = *from;
    to->name = mesh_arena_text(arena, from->name);
    to->namespace_ = mesh_arena_text(arena, from->namespace_);
    to->hostname = mesh_arena_text(arena, from->hostname);
    to->key = mesh_arena_join(arena, to->namespace_, "/", to->hostname, (const char *)NULL);
    copy_vips(arena, from, to);
    to->ports = mesh_arena_copy(arena, from->ports, from->num_ports, sizeof(*from->ports));
    copy_sans(arena, from, to, warnings);
    to->waypoint = copy_gateway(arena, &from->waypoint);

    struct mesh_weighted_waypoint *waypoints = mesh_arena_copy(
        arena, from->weighted_waypoints, from->num_weighted_waypoints, sizeof(*waypoints));
    for (size_t i = 0; waypoints != NULL && i < from->num_weighted_waypoints; i++)
        waypoints[i].gateway = copy_gateway(arena, &from->weighted_waypoints[i].gateway);
    to->weighted_waypoints = waypoints;
}

/* ----------------------------------------------------------------------------- policies -- */

static struct mesh_pattern_list copy_patterns(struct mesh_arena *arena,
                                              const struct mesh_pattern_list *from, bool *dropped)
{
    struct mesh_pattern_list to = {0};
    struct mesh_pattern *values = mesh_arena_array(arena, from->num, sizeof(*values));
    for (size_t i = 0; values != NULL && i < from->num; i++) {
        if (from->values[i].kind == MESH_PATTERN_UNSET) {
            *dropped = true;
            continue;
        }
        values[to.num].kind = from->values[i].kind;
        values[to.num].text = mesh_arena_text(arena, from->values[i].text);
        to.num++;
    }
    to.values = values;
    return to;
}

static struct mesh_account_list copy_accounts(struct mesh_arena *arena,
                                              const struct mesh_account_list *from)
{
    struct mesh_account *values = mesh_arena_array(arena, from->num, sizeof(*values));
    if (values == NULL)
        return (struct mesh_account_list){0};
    for (size_t i = 0; i < from->num; i++) {
        values[i].namespace_ = mesh_arena_text(arena, from->values[i].namespace_);
        values[i].service_account = mesh_arena_text(arena, from->values[i].service_account);
    }
    return (struct mesh_account_list){.values = values, .num = from->num};
}

static struct mesh_cidr_list copy_cidrs(struct mesh_arena *arena, const struct mesh_cidr_list *from)
{
    return (struct mesh_cidr_list){
        .values = mesh_arena_copy(arena, from->values, from->num, sizeof(*from->values)),
        .num = from->num};
}

static struct mesh_port_list copy_ports(struct mesh_arena *arena, const struct mesh_port_list *from)
{
    return (struct mesh_port_list){
        .values = mesh_arena_copy(arena, from->values, from->num, sizeof(*from->values)),
        .num = from->num};
}

static void copy_match(struct mesh_arena *arena, const struct mesh_match *from,
                       struct mesh_match *to, bool *dropped)
{
    to->namespaces = copy_patterns(arena, &from->namespaces, dropped);
    to->not_namespaces = copy_patterns(arena, &from->not_namespaces, dropped);
    to->principals = copy_patterns(arena, &from->principals, dropped);
    to->not_principals = copy_patterns(arena, &from->not_principals, dropped);
    to->service_accounts = copy_accounts(arena, &from->service_accounts);
    to->not_service_accounts = copy_accounts(arena, &from->not_service_accounts);
    to->source_ips = copy_cidrs(arena, &from->source_ips);
    to->not_source_ips = copy_cidrs(arena, &from->not_source_ips);
    to->destination_ips = copy_cidrs(arena, &from->destination_ips);
    to->not_destination_ips = copy_cidrs(arena, &from->not_destination_ips);
    to->destination_ports = copy_ports(arena, &from->destination_ports);
    to->not_destination_ports = copy_ports(arena, &from->not_destination_ports);
}

static struct mesh_clause copy_clause(struct mesh_arena *arena, const struct mesh_clause *from,
                                      bool *dropped)
{
    struct mesh_match *matches = mesh_arena_array(arena, from->num_matches, sizeof(*matches));
    for (size_t i = 0; matches != NULL && i < from->num_matches; i++)
        copy_match(arena, &from->matches[i], &matches[i], dropped);
    return (struct mesh_clause){.matches = matches, .num_matches = from->num_matches};
}

static struct mesh_rule copy_rule(struct mesh_arena *arena, const struct mesh_rule *from,
                                  bool *dropped)
{
    struct mesh_clause *clauses = mesh_arena_array(arena, from->num_clauses, sizeof(*clauses));
    for (size_t i = 0; clauses != NULL && i < from->num_clauses; i++)
        clauses[i] = copy_clause(arena, &from->clauses[i], dropped);
    return (struct mesh_rule){.clauses = clauses, .num_clauses = from->num_clauses};
}

void mesh_copy_policy(struct mesh_arena *arena, const struct mesh_policy *from,
                      struct mesh_policy *to, struct mesh_warnings *warnings)
{
    *to = *from;
    to->name = mesh_arena_text(arena, from->name);
    to->namespace_ = mesh_arena_text(arena, from->namespace_);
    to->key = mesh_arena_join(arena, to->namespace_, "/", to->name, (const char *)NULL);

    bool dropped = false;
    struct mesh_rule *rules = mesh_arena_array(arena, from->num_rules, sizeof(*rules));
    for (size_t i = 0; rules != NULL && i < from->num_rules; i++)
        rules[i] = copy_rule(arena, &from->rules[i], &dropped);
    to->rules = rules;
    if (dropped)
        mesh_warnings_add(
            warnings, "policy \"%s\" has patterns of an unknown kind; they are ignored", to->key);
}
