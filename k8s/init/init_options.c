#include "init_options.h"

#include <string.h>

#include "options.h"

/* As the engine reads them; the lists still as text. */
struct given {
    uint16_t outbound_port, inbound_port;
    bool drop_invalid;
    const char *agent_uids, *agent_gids;
    const char *include_inbound_ports, *exclude_inbound_ports;
    const char *include_outbound_ports, *exclude_outbound_ports;
    const char *include_outbound_cidrs, *exclude_outbound_cidrs;
    const char *exclude_interfaces;
    enum init_families families;
    uint64_t timeout_ms;
};

static const char *const families[] = {"auto", "ipv4", "ipv6", "both", NULL};

#define OPTION(name_, field_, type_, default_, ...)                                                \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct given, field_),                \
        .default_value = (default_), __VA_ARGS__                                                   \
    }

/* Every OPTION_TEXT is a list of struct capture_options by the same name. */
static const struct option_spec specs[] = {
    OPTION("outbound-port", outbound_port, OPTION_PORT, "15001", .section = "Agent",
           .help = "Port of the agent to which outbound connections are redirected."),
    OPTION("inbound-port", inbound_port, OPTION_PORT, "15006", .section = "Agent",
           .help = "Port of the agent to which inbound connections are redirected."),
    OPTION("agent-uids", agent_uids, OPTION_TEXT, "1337", .section = "Agent",
           .help = "Numeric users whose connections are the agent's own and never captured."),
    OPTION("agent-gids", agent_gids, OPTION_TEXT, "", .section = "Agent",
           .help =
               "Numeric groups whose connections are never captured. None by default: a group is "
               "easily shared with an application."),
    OPTION("include-inbound-ports", include_inbound_ports, OPTION_TEXT, "*", .section = "Inbound",
           .help = "Ports and ranges (80,8000-8999) to capture, or * for all. Connections to other "
                   "ports reach the application without the agent."),
    OPTION("exclude-inbound-ports", exclude_inbound_ports, OPTION_TEXT, "", .section = "Inbound",
           .help =
               "Ports and ranges not to capture. 15008, 15020 and 15021, the agent's own, never "
               "are."),
    OPTION("include-outbound-ports", include_outbound_ports, OPTION_TEXT, "", .section = "Outbound",
           .help = "Ports and ranges to capture, whatever the destination. With this list or "
                   "include-outbound-cidrs, what neither names is not captured; with neither, "
                   "everything is."),
    OPTION("exclude-outbound-ports", exclude_outbound_ports, OPTION_TEXT, "", .section = "Outbound",
           .help = "Ports and ranges not to capture; they win over both include lists."),
    OPTION("include-outbound-cidrs", include_outbound_cidrs, OPTION_TEXT, "", .section = "Outbound",
           .help =
               "Destinations to capture (10.0.0.0/8,fd00::/8), whatever the port, or * for all."),
    OPTION("exclude-outbound-cidrs", exclude_outbound_cidrs, OPTION_TEXT, "", .section = "Outbound",
           .help =
               "Destinations not to capture; they win over both include lists. Loopback and IPv6 "
               "link-local destinations never are."),
    OPTION("exclude-interfaces", exclude_interfaces, OPTION_TEXT, "", .section = "Both directions",
           .help = "Interfaces whose traffic is not captured: of a second network, say."),
    OPTION("drop-invalid", drop_invalid, OPTION_BOOL, "false", .section = "Both directions",
           .help =
               "Drop incoming TCP packets that belong to no known connection. Off by default: they "
               "are rare, and dropping breaks connections whose packets take two ways."),
    OPTION(
        "verify-families", families, OPTION_ENUM, "auto", .choices = families,
        .section = "Verification",
        .help =
            "Address families to verify; auto takes those in which the pod has a route. A family "
            "that is named here and has no route is a failure."),
    OPTION("verify-timeout", timeout_ms, OPTION_DURATION, "5s", .min = 100, .max = 60000,
           .section = "Verification",
           .help = "How long to wait for the connection in each family."),
};

enum { NUM_SPECS = sizeof(specs) / sizeof(specs[0]) };

static const struct option_table table = {
    .program = "remora-init COMMAND",
    .description = "Redirects a pod's TCP connections to its agent, by nftables rules.",
    .env_prefix = "REMORA_",
    .specs = specs,
    .num_specs = NUM_SPECS,
};

/* The text of each list, with the place where it was given in front of what is wrong with it. */
static int set_lists(struct capture_options *capture, const struct given *given,
                     const struct options *parsed, struct err *err)
{
    for (size_t i = 0; i < NUM_SPECS; i++) {
        if (specs[i].type != OPTION_TEXT)
            continue;
        const char *text;
        memcpy(&text, (const char *)given + specs[i].offset, sizeof(text));
        struct err cause = {0};
        if (capture_options_set(capture, specs[i].name, text, &cause) < 0)
            return options_error(parsed, specs[i].name, err, "%s", cause.message);
    }
    return 0;
}

int init_options_load(struct init_options *options, int argc, char *const *argv, char *const *envp,
                      struct err *err)
{
    struct given given = {0};
    struct options *parsed = options_parse(&table, argc, argv, envp, &given, err);
    if (!parsed)
        return -1;
    capture_options_init(&options->capture);
    options->capture.outbound_port = given.outbound_port;
    options->capture.inbound_port = given.inbound_port;
    options->capture.drop_invalid = given.drop_invalid;
    options->families = given.families;
    options->timeout_ms = given.timeout_ms;
    int result = set_lists(&options->capture, &given, parsed, err);
    options_free(parsed);
    return result < 0 ? -1 : capture_options_check(&options->capture, err);
}

int init_options_help(struct buf *out)
{
    return options_help(&table, out);
}
