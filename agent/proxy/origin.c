#include "origin.h"

#include <string.h>
#include <strings.h>

#include "net_names.h"
#include "proxy_state.h"

/* ------------------------------------------------------------------------------------------------------------- matching -- */

static bool origin_matches_addr(const struct ports_destination *rule, const struct addr *addr)
{
    return rule->port == addr->port && cidr_contains(&rule->cidr, &addr->ip);
}

static bool origin_is_host(const struct ports_destination *rule, const char *host)
{
    return host != NULL && strcasecmp(rule->host, host) == 0;
}

static enum origin_match origin_match_host(const struct ports_destination *rule,
                                           const struct origin_aim *aim)
{
    if (rule->port == aim->dialled.port && origin_is_host(rule, aim->service_host))
        return ORIGIN_YES;
    if (rule->port == aim->target.port && origin_is_host(rule, aim->workload_host))
        return ORIGIN_YES;
    if (rule->port == aim->dialled.port && aim->service_host == NULL)
        return ORIGIN_LOOK_UP;
    return ORIGIN_NO;
}

enum origin_match origin_match(const struct ports_destination *rule, const struct origin_aim *aim)
{
    if (rule->host != NULL)
        return origin_match_host(rule, aim);
    bool matches =
        origin_matches_addr(rule, &aim->dialled) || origin_matches_addr(rule, &aim->target);
    return matches ? ORIGIN_YES : ORIGIN_NO;
}

static bool origin_is_same(const struct ports_destination *a, const struct ports_destination *b)
{
    if (a->port != b->port || (a->host != NULL) != (b->host != NULL))
        return false;
    if (a->host != NULL)
        return strcmp(a->host, b->host) == 0;
    return a->cidr.prefix_len == b->cidr.prefix_len && ip_equal(&a->cidr.ip, &b->cidr.ip);
}

const struct port_destination *origin_find_same(const struct port_table *ports,
                                                const struct ports_destination *rule)
{
    size_t num = 0;
    const struct port_destination *all =
        ports != NULL ? port_table_destinations(ports, &num) : NULL;
    for (size_t i = 0; i < num; i++)
        if (origin_is_same(all[i].config, rule))
            return &all[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ searching -- */

static void origin_search_on(struct session *session);

static const struct port_destination *origin_rules(const struct session *session, size_t *num)
{
    *num = 0;
    return session->ports != NULL ? port_table_destinations(session->ports, num) : NULL;
}

static void origin_tell_unknown(struct session *session, const char *host, const struct err *err)
{
    session->searching.handler->on_unknown(session, host, err);
}

static void origin_on_names(void *owner, const struct ip *ips, size_t num_ips,
                            const struct err *err)
{
    struct session *session = owner;
    struct origin_search *search = &session->searching;
    size_t num;
    const struct port_destination *rule = &origin_rules(session, &num)[search->next];
    search->wait = NULL;
    if (num_ips == 0) {
        origin_tell_unknown(session, rule->config->host, err);
        return;
    }
    for (size_t i = 0; i < num_ips; i++) {
        if (!ip_equal(&ips[i], &session->original_addr.ip))
            continue;
        search->handler->on_rule(session, rule);
        return;
    }
    search->next++;
    origin_search_on(session);
}

static void origin_look_up(struct session *session, const char *host)
{
    struct proxy *proxy = session->proxy;
    struct err err;
    session->searching.wait = net_names_find(proxy->names, host, proxy->options.connect_timeout_ms,
                                             origin_on_names, session, &err);
    if (session->searching.wait == NULL)
        origin_tell_unknown(session, host, &err);
}

static void origin_search_on(struct session *session)
{
    struct origin_search *search = &session->searching;
    const struct mesh_workload *workload = session->destination;
    const struct origin_aim aim = {
        .dialled = session->original_addr,
        .target = session->target_addr,
        .service_host = session->service != NULL ? session->service->hostname : NULL,
        .workload_host = workload != NULL ? workload->hostname : NULL,
    };
    size_t num;
    const struct port_destination *rules = origin_rules(session, &num);
    for (; search->next < num; search->next++) {
        const struct port_destination *rule = &rules[search->next];
        switch (origin_match(rule->config, &aim)) {
        case ORIGIN_NO:
            break;
        case ORIGIN_YES:
            search->handler->on_rule(session, rule);
            return;
        case ORIGIN_LOOK_UP:
            origin_look_up(session, rule->config->host);
            return;
        }
    }
    search->handler->on_rule(session, NULL);
}

void origin_search_start(struct session *session, const struct origin_handler *handler)
{
    session_set_ports(session, session->proxy->ports);
    session->searching = (struct origin_search){.handler = handler};
    origin_search_on(session);
}

void origin_search_cancel(struct session *session)
{
    net_names_cancel(session->searching.wait);
    session->searching.wait = NULL;
}
