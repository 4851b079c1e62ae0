#include "mesh_match.h"

#include <stdio.h>
#include <string.h>

/* A SPIFFE ID is at most 2048 bytes, and another name of its trust domain 255. */
enum { PRINCIPAL_MAX = 2048 + 256 };

/* ------------------------------------------------------------------------------- values -- */

static bool pattern_matches(const struct mesh_pattern *pattern, const char *text)
{
    size_t text_len = strlen(text);
    size_t pattern_len = strlen(pattern->text);
    switch (pattern->kind) {
    case MESH_EXACT:
        return strcmp(pattern->text, text) == 0;
    case MESH_PREFIX:
        return strncmp(text, pattern->text, pattern_len) == 0;
    case MESH_SUFFIX:
        return text_len >= pattern_len && strcmp(text + text_len - pattern_len, pattern->text) == 0;
    case MESH_PRESENCE:
        return text_len > 0;
    case MESH_PATTERN_UNSET: /* never in a snapshot */
        break;
    }
    return false;
}

/* `text` is NULL where the peer has no such attribute: then no pattern matches, whatever it is. */
static bool any_pattern(const struct mesh_pattern_list *list, const char *text)
{
    for (size_t i = 0; text != NULL && i < list->num; i++)
        if (pattern_matches(&list->values[i], text))
            return true;
    return false;
}

static bool matches_under(const struct mesh_pattern_list *list, const struct mesh_peer *peer,
                          const char *trust_domain)
{
    char principal[PRINCIPAL_MAX];
    const char *path = peer->principal + strcspn(peer->principal, "/");
    int len = snprintf(principal, sizeof(principal), "%s%s", trust_domain, path);
    return len < PRINCIPAL_MAX && any_pattern(list, principal);
}

/*
 * A principal that is no SPIFFE ID ("dns:...", "cn:...") is matched only by patterns that name its kind, and by "any": an ending that is
 * meant for the path of a SPIFFE ID, or an empty beginning, must not be met by what somebody has had written into a common name.
 */
static bool any_pattern_of_kind(const struct mesh_pattern_list *list, const char *principal)
{
    size_t kind_len = strcspn(principal, ":") + 1;
    for (size_t i = 0; i < list->num; i++) {
        const struct mesh_pattern *pattern = &list->values[i];
        bool names_kind = (pattern->kind == MESH_EXACT || pattern->kind == MESH_PREFIX) &&
                          strncmp(pattern->text, principal, kind_len) == 0;
        if ((names_kind || pattern->kind == MESH_PRESENCE) && pattern_matches(pattern, principal))
            return true;
    }
    return false;
}

/*
 * Some of the patterns match the principal, with the trust domain that the certificate claims or any
 * other name of it.
 */
static bool any_principal(const struct mesh_pattern_list *list, const struct mesh_peer *peer)
{
    if (peer == NULL || peer->principal == NULL || list->num == 0)
        return false;
    if (peer->trust_domain == NULL)
        return any_pattern_of_kind(list, peer->principal);
    if (any_pattern(list, peer->principal))
        return true;
    if (peer->num_aliases == 0)
        return false;
    bool found = matches_under(list, peer, peer->own_trust_domain);
    for (size_t i = 0; i < peer->num_aliases && !found; i++)
        found = matches_under(list, peer, peer->aliases[i]);
    return found;
}

/* The trust domain is not looked at, as in the field. */
static bool any_account(const struct mesh_account_list *list, const struct mesh_peer *peer)
{
    if (peer == NULL || peer->namespace_ == NULL || peer->service_account == NULL)
        return false;
    for (size_t i = 0; i < list->num; i++)
        if (strcmp(list->values[i].namespace_, peer->namespace_) == 0 &&
            strcmp(list->values[i].service_account, peer->service_account) == 0)
            return true;
    return false;
}

static bool any_cidr(const struct mesh_cidr_list *list, const struct ip *ip)
{
    for (size_t i = 0; i < list->num; i++)
        if (cidr_contains(&list->values[i], ip))
            return true;
    return false;
}

static bool any_port(const struct mesh_port_list *list, uint16_t port)
{
    for (size_t i = 0; i < list->num; i++)
        if (list->values[i] == port)
            return true;
    return false;
}

/* -------------------------------------------------------------------------------- lists -- */

/* A list that is absent passes. Else the positive one needs a hit and the negative one none. */
static bool patterns_pass(const struct mesh_pattern_list *positive,
                          const struct mesh_pattern_list *negative, const char *text)
{
    return (positive->num == 0 || any_pattern(positive, text)) && !any_pattern(negative, text);
}

static bool principals_pass(const struct mesh_pattern_list *positive,
                            const struct mesh_pattern_list *negative, const struct mesh_peer *peer)
{
    return (positive->num == 0 || any_principal(positive, peer)) && !any_principal(negative, peer);
}

static bool accounts_pass(const struct mesh_account_list *positive,
                          const struct mesh_account_list *negative, const struct mesh_peer *peer)
{
    return (positive->num == 0 || any_account(positive, peer)) && !any_account(negative, peer);
}

static bool cidrs_pass(const struct mesh_cidr_list *positive, const struct mesh_cidr_list *negative,
                       const struct ip *ip)
{
    return (positive->num == 0 || any_cidr(positive, ip)) && !any_cidr(negative, ip);
}

static bool ports_pass(const struct mesh_port_list *positive, const struct mesh_port_list *negative,
                       uint16_t port)
{
    return (positive->num == 0 || any_port(positive, port)) && !any_port(negative, port);
}

/* --------------------------------------------------------------------------- structures -- */

static bool is_empty(const struct mesh_match *match)
{
    size_t num = match->namespaces.num + match->not_namespaces.num;
    num += match->principals.num + match->not_principals.num;
    num += match->service_accounts.num + match->not_service_accounts.num;
    num += match->source_ips.num + match->not_source_ips.num;
    num += match->destination_ips.num + match->not_destination_ips.num;
    num += match->destination_ports.num + match->not_destination_ports.num;
    return num == 0;
}

static bool match_passes(const struct mesh_match *match, const struct mesh_access *access)
{
    const struct mesh_peer *peer = access->peer;
    if (is_empty(match))
        return false;
    return ports_pass(&match->destination_ports, &match->not_destination_ports,
                      access->target.port) &&
           cidrs_pass(&match->source_ips, &match->not_source_ips, &access->source_ip) &&
           cidrs_pass(&match->destination_ips, &match->not_destination_ips, &access->target.ip) &&
           patterns_pass(&match->namespaces, &match->not_namespaces,
                         peer == NULL ? NULL : peer->namespace_) &&
           principals_pass(&match->principals, &match->not_principals, peer) &&
           accounts_pass(&match->service_accounts, &match->not_service_accounts, peer);
}

static bool clause_passes(const struct mesh_clause *clause, const struct mesh_access *access)
{
    if (clause->num_matches == 0)
        return true;
    for (size_t i = 0; i < clause->num_matches; i++)
        if (match_passes(&clause->matches[i], access))
            return true;
    return false;
}

static bool rule_passes(const struct mesh_rule *rule, const struct mesh_access *access)
{
    for (size_t i = 0; i < rule->num_clauses; i++)
        if (!clause_passes(&rule->clauses[i], access))
            return false;
    return true;
}

bool mesh_match_policy(const struct mesh_policy *policy, const struct mesh_access *access)
{
    for (size_t i = 0; i < policy->num_rules; i++)
        if (rule_passes(&policy->rules[i], access))
            return true;
    return false;
}
