#include "capture_options.h"

#include <assert.h>
#include <string.h>

#include "capture_list.h"

enum list_type {
    LIST_IDS,
    LIST_PORTS,
    LIST_EXCLUDED_PORTS,
    LIST_CIDRS,
    LIST_EXCLUDED_CIDRS,
    LIST_INTERFACES
};

static const struct list_option {
    const char *name;
    enum list_type type;
    size_t offset;
} lists[] = {
    {"agent-uids", LIST_IDS, offsetof(struct capture_options, agent_uids)},
    {"agent-gids", LIST_IDS, offsetof(struct capture_options, agent_gids)},
    {"include-inbound-ports", LIST_PORTS, offsetof(struct capture_options, include_inbound_ports)},
    {"exclude-inbound-ports", LIST_EXCLUDED_PORTS,
     offsetof(struct capture_options, exclude_inbound_ports)},
    {"include-outbound-ports", LIST_PORTS,
     offsetof(struct capture_options, include_outbound_ports)},
    {"exclude-outbound-ports", LIST_EXCLUDED_PORTS,
     offsetof(struct capture_options, exclude_outbound_ports)},
    {"include-outbound-cidrs", LIST_CIDRS,
     offsetof(struct capture_options, include_outbound_cidrs)},
    {"exclude-outbound-cidrs", LIST_EXCLUDED_CIDRS,
     offsetof(struct capture_options, exclude_outbound_cidrs)},
    {"exclude-interfaces", LIST_INTERFACES, offsetof(struct capture_options, exclude_interfaces)},
};

enum { NUM_LISTS = sizeof(lists) / sizeof(lists[0]) };

void capture_options_init(struct capture_options *options)
{
    memset(options, 0, sizeof(*options));
    options->outbound_port = CAPTURE_OUTBOUND_PORT;
    options->inbound_port = CAPTURE_INBOUND_PORT;
    options->agent_uids.num = 1;
    options->agent_uids.ids[0] = CAPTURE_AGENT_ID;
}

/* ----------------------------------------------------------------------------------- from text */

/* The highest value is the kernel's "no identifier". */
static int parse_id(uint32_t *id, const char *text, struct err *err)
{
    uint64_t value = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || text[len] != '\0' || len > 10 || (len > 1 && text[0] == '0'))
        return err_set(err, ERR_INVALID, "\"%s\" is not a numeric user or group", text);
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    if (value >= UINT32_MAX)
        return err_set(err, ERR_INVALID, "\"%s\" is not a numeric user or group", text);
    if (value == 0)
        return err_set(err, ERR_INVALID,
                       "\"0\" would let every process of root in the pod go around the agent");
    *id = (uint32_t)value;
    return 0;
}

static int parse_ids(struct capture_ids *ids, const char *text, struct err *err)
{
    memset(ids, 0, sizeof(*ids));
    char entry[CAPTURE_ENTRY_MAX];
    int more;
    while ((more = capture_list_next(&text, entry, err)) > 0) {
        uint32_t id = 0;
        if (parse_id(&id, entry, err) < 0)
            return -1;
        for (size_t i = 0; i < ids->num; i++) {
            if (ids->ids[i] == id)
                return err_set(err, ERR_INVALID, "\"%s\" is named twice", entry);
        }
        if (ids->num == CAPTURE_IDS_MAX)
            return err_set(err, ERR_INVALID, "more than %d entries", CAPTURE_IDS_MAX);
        ids->ids[ids->num++] = id;
    }
    return more;
}

/*
 * Names go into the ruleset's text, so only letters that mean nothing there are taken ('*' would be
 * a wildcard, '"' would end the name). lo cannot be excluded: it never is captured.
 */
static int check_interface(const char *name, struct err *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(name);
    if (len >= IF_NAMESIZE || strspn(name, allowed) != len)
        return err_set(err, ERR_INVALID,
                       "\"%s\" is not an interface name (up to %d letters, digits, '_', '.', '-')",
                       name, IF_NAMESIZE - 1);
    if (strcmp(name, "lo") == 0)
        return err_set(err, ERR_INVALID, "\"lo\" is never captured and cannot be excluded");
    return 0;
}

static int parse_interfaces(struct capture_interfaces *interfaces, const char *text,
                            struct err *err)
{
    memset(interfaces, 0, sizeof(*interfaces));
    char entry[CAPTURE_ENTRY_MAX];
    int more;
    while ((more = capture_list_next(&text, entry, err)) > 0) {
        if (check_interface(entry, err) < 0)
            return -1;
        for (size_t i = 0; i < interfaces->num; i++) {
            if (strcmp(interfaces->names[i], entry) == 0)
                return err_set(err, ERR_INVALID, "\"%s\" is named twice", entry);
        }
        if (interfaces->num == CAPTURE_INTERFACES_MAX)
            return err_set(err, ERR_INVALID, "more than %d entries", CAPTURE_INTERFACES_MAX);
        memcpy(interfaces->names[interfaces->num++], entry, strlen(entry) + 1);
    }
    return more;
}

static int refuse_all(bool all, struct err *err)
{
    if (!all)
        return 0;
    return err_set(err, ERR_INVALID, "\"*\" would exclude everything; remove the rules instead");
}

int capture_options_set(struct capture_options *options, const char *name, const char *text,
                        struct err *err)
{
    const struct list_option *list = lists;
    while (list < lists + NUM_LISTS && strcmp(list->name, name) != 0)
        list++;
    assert(list < lists + NUM_LISTS);

    void *field = (char *)options + list->offset;
    switch (list->type) {
    case LIST_IDS:
        return parse_ids(field, text, err);
    case LIST_PORTS:
        return capture_ports_parse(field, text, err);
    case LIST_EXCLUDED_PORTS:
        if (capture_ports_parse(field, text, err) < 0)
            return -1;
        return refuse_all(((struct capture_ports *)field)->all, err);
    case LIST_CIDRS:
        return capture_cidrs_parse(field, text, err);
    case LIST_EXCLUDED_CIDRS:
        if (capture_cidrs_parse(field, text, err) < 0)
            return -1;
        return refuse_all(((struct capture_cidrs *)field)->all, err);
    case LIST_INTERFACES:
        return parse_interfaces(field, text, err);
    }
    return -1;
}

/* ---------------------------------------------------------------- what several decide together */

static int check_ports(const char *include_name, const struct capture_ports *include,
                       const char *exclude_name, const struct capture_ports *exclude,
                       struct err *err)
{
    struct capture_port_range included, excluded;
    if (capture_ports_exclusion_fits(include, exclude, &included, &excluded))
        return 0;
    char a[CAPTURE_PORTS_TEXT_MAX], b[CAPTURE_PORTS_TEXT_MAX];
    return err_set(err, ERR_INVALID,
                   "%s \"%s\" and %s \"%s\" overlap; an exclusion may only cut a hole into an "
                   "included range",
                   include_name, capture_ports_format(included, a), exclude_name,
                   capture_ports_format(excluded, b));
}

static int check_cidrs(const struct capture_options *options, struct err *err)
{
    const struct cidr *included, *excluded;
    if (capture_cidrs_exclusion_fits(&options->include_outbound_cidrs,
                                     &options->exclude_outbound_cidrs, &included, &excluded))
        return 0;
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];
    return err_set(
        err, ERR_INVALID,
        "include-outbound-cidrs \"%s\" lies in exclude-outbound-cidrs \"%s\"; an exclusion "
        "may only cut a hole into an included network",
        cidr_format(included, a), cidr_format(excluded, b));
}

/* The ports that rules redirect to: apart from each other, and not among those never redirected. */
static int check_agent_ports(const struct capture_options *options,
                             const struct capture_ports *agent_ports, struct err *err)
{
    if (options->outbound_port == options->inbound_port)
        return err_set(err, ERR_INVALID, "outbound-port and inbound-port are both %u",
                       (unsigned)options->outbound_port);
    if (capture_ports_contain(agent_ports, options->outbound_port))
        return err_set(err, ERR_INVALID, "outbound-port %u is another port of the agent",
                       (unsigned)options->outbound_port);
    if (capture_ports_contain(agent_ports, options->inbound_port))
        return err_set(err, ERR_INVALID, "inbound-port %u is another port of the agent",
                       (unsigned)options->inbound_port);
    return 0;
}

int capture_options_check(const struct capture_options *options, struct err *err)
{
    struct capture_ports agent_ports;
    if (capture_ports_parse(&agent_ports, CAPTURE_AGENT_PORTS, err) < 0)
        return -1;
    if (options->agent_uids.num == 0)
        return err_set(err, ERR_INVALID,
                       "agent-uids names no user: the agent's own connections would "
                       "be sent back to it for ever");
    if (check_agent_ports(options, &agent_ports, err) < 0)
        return -1;
    if (check_ports("include-inbound-ports", &options->include_inbound_ports,
                    "the agent's own ports", &agent_ports, err) < 0)
        return -1;
    if (check_ports("include-inbound-ports", &options->include_inbound_ports,
                    "exclude-inbound-ports", &options->exclude_inbound_ports, err) < 0)
        return -1;
    if (check_ports("include-outbound-ports", &options->include_outbound_ports,
                    "exclude-outbound-ports", &options->exclude_outbound_ports, err) < 0)
        return -1;
    return check_cidrs(options, err);
}

/* -------------------------------------------------------------------------------------- asking */

bool capture_options_include_all_outbound(const struct capture_options *options)
{
    const struct capture_ports *ports = &options->include_outbound_ports;
    const struct capture_cidrs *cidrs = &options->include_outbound_cidrs;
    return ports->all || cidrs->all || (ports->num == 0 && cidrs->num == 0);
}

bool capture_options_capture_outbound(const struct capture_options *options, const struct addr *to)
{
    bool link_local =
        to->ip.family == IP_V6 && to->ip.bytes[0] == 0xfe && (to->ip.bytes[1] & 0xc0) == 0x80;
    if (ip_is_loopback(&to->ip) || link_local)
        return false;
    if (capture_ports_contain(&options->exclude_outbound_ports, to->port) ||
        capture_cidrs_contain(&options->exclude_outbound_cidrs, &to->ip))
        return false;
    return capture_options_include_all_outbound(options) ||
           capture_ports_contain(&options->include_outbound_ports, to->port) ||
           capture_cidrs_contain(&options->include_outbound_cidrs, &to->ip);
}
