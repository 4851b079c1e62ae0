#include "capture_ruleset.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appending stops at the first failure and remembers it, so that the rules below read as rules. */
struct writer {
    struct buf *out;
    bool failed;
};

static void put(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct writer *writer, const char *format, ...)
{
    char text[256]; /* no line of a ruleset comes near */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text) || buf_append(writer->out, text, (size_t)len) < 0)
        writer->failed = true;
}

/* ---------------------------------------------------------------------------------------- sets */

/* Starts a set; elements follow, each by put_element(), then end_set(). */
static void begin_set(struct writer *writer, const char *name, const char *type)
{
    put(writer, "\tset %s {\n\t\t%s\n\t\telements = {", name, type);
}

static void put_element(struct writer *writer, size_t index, const char *element)
{
    put(writer, "%s\n\t\t\t%s", index == 0 ? "" : ",", element);
}

static void end_set(struct writer *writer)
{
    put(writer, "\n\t\t}\n\t}\n\n");
}

#define INTERVALS "\n\t\tflags interval\n\t\tauto-merge"

static void put_id_set(struct writer *writer, const char *name, const char *type,
                       const struct capture_ids *ids)
{
    if (ids->num == 0)
        return;
    begin_set(writer, name, type);
    for (size_t i = 0; i < ids->num; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", ids->ids[i]);
        put_element(writer, i, text);
    }
    end_set(writer);
}

static void put_interface_set(struct writer *writer, const struct capture_interfaces *interfaces)
{
    if (interfaces->num == 0)
        return;
    begin_set(writer, "excluded_interfaces", "type ifname");
    for (size_t i = 0; i < interfaces->num; i++) {
        char text[IF_NAMESIZE + 2];
        snprintf(text, sizeof(text), "\"%s\"", interfaces->names[i]);
        put_element(writer, i, text);
    }
    end_set(writer);
}

static void put_port_set(struct writer *writer, const char *name, const struct capture_ports *ports)
{
    if (ports->num == 0)
        return;
    begin_set(writer, name, "type inet_service" INTERVALS);
    for (size_t i = 0; i < ports->num; i++) {
        char text[CAPTURE_PORTS_TEXT_MAX];
        put_element(writer, i, capture_ports_format(ports->ranges[i], text));
    }
    end_set(writer);
}

static void put_cidr_set(struct writer *writer, const char *name, const char *type,
                         const struct capture_cidrs *cidrs, enum ip_family family)
{
    if (!capture_cidrs_has_family(cidrs, family))
        return;
    begin_set(writer, name, type);
    size_t index = 0;
    for (size_t i = 0; i < cidrs->num; i++) {
        char text[ADDR_TEXT_MAX];
        if (cidrs->items[i].ip.family == family)
            put_element(writer, index++, cidr_format(&cidrs->items[i], text));
    }
    end_set(writer);
}

static void put_cidr_sets(struct writer *writer, const char *name,
                          const struct capture_cidrs *cidrs)
{
    char full_name[64];
    snprintf(full_name, sizeof(full_name), "%s_ipv4", name);
    put_cidr_set(writer, full_name, "type ipv4_addr" INTERVALS, cidrs, IP_V4);
    snprintf(full_name, sizeof(full_name), "%s_ipv6", name);
    put_cidr_set(writer, full_name, "type ipv6_addr" INTERVALS, cidrs, IP_V6);
}

static void put_sets(struct writer *writer, const struct capture_options *options)
{
    put_id_set(writer, "agent_uids", "typeof meta skuid", &options->agent_uids);
    put_id_set(writer, "agent_gids", "typeof meta skgid", &options->agent_gids);
    put_interface_set(writer, &options->exclude_interfaces);
    put_port_set(writer, "inbound_excluded_ports", &options->exclude_inbound_ports);
    put_port_set(writer, "inbound_included_ports", &options->include_inbound_ports);
    put_port_set(writer, "outbound_excluded_ports", &options->exclude_outbound_ports);
    put_cidr_sets(writer, "outbound_excluded", &options->exclude_outbound_cidrs);
    if (capture_options_include_all_outbound(options))
        return;
    put_port_set(writer, "outbound_included_ports", &options->include_outbound_ports);
    put_cidr_sets(writer, "outbound_included", &options->include_outbound_cidrs);
}

/* -------------------------------------------------------------------------------------- chains */

static void put_rule(struct writer *writer, const char *match, const char *verdict,
                     const char *comment)
{
    put(writer, "\t\t%s counter %s comment \"%s\"\n", match, verdict, comment);
}

static void put_accept(struct writer *writer, const char *match, const char *comment)
{
    put_rule(writer, match, "accept", comment);
}

static void put_invalid_chain(struct writer *writer, const struct capture_options *options)
{
    if (!options->drop_invalid)
        return;
    put(writer, "\tchain invalid {\n"
                "\t\ttype filter hook prerouting priority mangle; policy accept;\n");
    put_rule(writer, "meta l4proto tcp ct state invalid", "drop",
             "packets that belong to no connection");
    put(writer, "\t}\n\n");
}

static void put_inbound_chain(struct writer *writer, const struct capture_options *options)
{
    char redirect[32];
    snprintf(redirect, sizeof(redirect), "redirect to :%u", (unsigned)options->inbound_port);

    put(writer, "\tchain prerouting {\n"
                "\t\ttype nat hook prerouting priority dstnat; policy accept;\n");
    put_accept(writer, "meta l4proto != tcp", "inbound: not TCP");
    put_accept(writer, "iifname \"lo\"", "inbound: from this pod to itself");
    if (options->exclude_interfaces.num > 0)
        put_accept(writer, "iifname @excluded_interfaces", "inbound: excluded interface");
    put_accept(writer, "tcp dport { " CAPTURE_AGENT_PORTS " }", "inbound: the agent's own ports");
    if (options->exclude_inbound_ports.num > 0)
        put_accept(writer, "tcp dport @inbound_excluded_ports", "inbound: excluded port");
    if (options->include_inbound_ports.num > 0)
        put_accept(writer, "tcp dport != @inbound_included_ports", "inbound: port not included");
    put_rule(writer, "meta l4proto tcp", redirect, "inbound: to the agent");
    put(writer, "\t}\n\n");
}

static void put_outbound_exclusions(struct writer *writer, const struct capture_options *options)
{
    const struct capture_cidrs *cidrs = &options->exclude_outbound_cidrs;
    put_accept(writer, "oifname \"lo\"", "outbound: between the pod's containers");
    put_accept(writer, "ip daddr 127.0.0.0/8", "outbound: loopback");
    put_accept(writer, "ip6 daddr ::1", "outbound: loopback");
    put_accept(writer, "ip6 daddr fe80::/10", "outbound: link-local");
    if (options->exclude_interfaces.num > 0)
        put_accept(writer, "oifname @excluded_interfaces", "outbound: excluded interface");
    if (options->exclude_outbound_ports.num > 0)
        put_accept(writer, "tcp dport @outbound_excluded_ports", "outbound: excluded port");
    if (capture_cidrs_has_family(cidrs, IP_V4))
        put_accept(writer, "ip daddr @outbound_excluded_ipv4", "outbound: excluded destination");
    if (capture_cidrs_has_family(cidrs, IP_V6))
        put_accept(writer, "ip6 daddr @outbound_excluded_ipv6", "outbound: excluded destination");
}

static void put_outbound_redirects(struct writer *writer, const struct capture_options *options)
{
    const struct capture_cidrs *cidrs = &options->include_outbound_cidrs;
    char redirect[32];
    snprintf(redirect, sizeof(redirect), "redirect to :%u", (unsigned)options->outbound_port);

    if (capture_options_include_all_outbound(options)) {
        put_rule(writer, "meta l4proto tcp", redirect, "outbound: to the agent");
        return;
    }
    if (options->include_outbound_ports.num > 0)
        put_rule(writer, "tcp dport @outbound_included_ports", redirect, "outbound: included port");
    if (capture_cidrs_has_family(cidrs, IP_V4))
        put_rule(writer, "ip daddr @outbound_included_ipv4 meta l4proto tcp", redirect,
                 "outbound: included destination");
    if (capture_cidrs_has_family(cidrs, IP_V6))
        put_rule(writer, "ip6 daddr @outbound_included_ipv6 meta l4proto tcp", redirect,
                 "outbound: included destination");
    put_accept(writer, "meta l4proto tcp", "outbound: not included");
}

static void put_outbound_chain(struct writer *writer, const struct capture_options *options)
{
    /* -100 is dstnat; nft's parser takes the name only at prerouting. */
    put(writer, "\tchain output {\n"
                "\t\ttype nat hook output priority -100; policy accept;\n");
    put_accept(writer, "meta skuid @agent_uids", "outbound: the agent's own");
    if (options->agent_gids.num > 0)
        put_accept(writer, "meta skgid @agent_gids", "outbound: the agent's own");
    put_accept(writer, "meta l4proto != tcp", "outbound: not TCP");
    put_outbound_exclusions(writer, options);
    put_outbound_redirects(writer, options);
    put(writer, "\t}\n");
}

int capture_ruleset_write(const struct capture_options *options, struct buf *out, struct err *err)
{
    struct writer writer = {.out = out};
    put(&writer, "table " CAPTURE_RULESET_TABLE " {\n");
    put_sets(&writer, options);
    put_invalid_chain(&writer, options);
    put_inbound_chain(&writer, options);
    put_outbound_chain(&writer, options);
    put(&writer, "}\n");
    return writer.failed ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
