/*
 * What a pod's capture rules are made from, as a plain value, and how it is read from text:
 * remora-init has the texts from flags and environment, a CNI plugin from annotations. Not the
 * rules: see capture_ruleset.h.
 *
 * Captured is TCP, in IPv4 and IPv6 alike; there is no switch to leave a family out, because the
 * family left out would be a way around the mesh that nobody sees.
 */
#ifndef REMORA_CAPTURE_OPTIONS_H
#define REMORA_CAPTURE_OPTIONS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "capture_cidrs.h"
#include "capture_ports.h"
#include "err.h"

enum {
    CAPTURE_IDS_MAX = 16,
    CAPTURE_INTERFACES_MAX = 16,
    CAPTURE_OUTBOUND_PORT = 15001,
    CAPTURE_INBOUND_PORT = 15006,
    CAPTURE_AGENT_ID = 1337, /* user and group of the agent */
};

/* The agent's ports that speak to the network themselves, never redirected: HBONE, metrics,
 * readiness. */
#define CAPTURE_AGENT_PORTS "15008,15020-15021"

/* Users or groups of the agent. */
struct capture_ids {
    size_t num;
    uint32_t ids[CAPTURE_IDS_MAX];
};

struct capture_interfaces {
    size_t num;
    char names[CAPTURE_INTERFACES_MAX][IF_NAMESIZE];
};

struct capture_options {
    uint16_t outbound_port;        /* where the agent takes what the application sends out */
    uint16_t inbound_port;         /* where it takes plaintext that comes in */
    bool drop_invalid;             /* drop TCP packets that conntrack cannot place */
    struct capture_ids agent_uids; /* whose connections are never captured; at least one */
    struct capture_ids agent_gids; /* the same by group */

    /* Inbound: included ports (none given: all) less excluded ports and the agent's own. */
    struct capture_ports include_inbound_ports;
    struct capture_ports exclude_inbound_ports;

    /*
     * Outbound: when neither include list is given, everything; else what at least one of them
     * names, as Istio's includeOutboundPorts adds to its includeOutboundIPRanges. Exclusions win
     * over both.
     */
    struct capture_ports include_outbound_ports;
    struct capture_ports exclude_outbound_ports;
    struct capture_cidrs include_outbound_cidrs;
    struct capture_cidrs exclude_outbound_cidrs;

    struct capture_interfaces exclude_interfaces; /* both directions */
};

/* The defaults: everything, except the connections of user 1337. */
void capture_options_init(struct capture_options *options);

/*
 * Sets a list: `name` is its field with dashes ("exclude-outbound-cidrs"), `text` its value,
 * see capture_ports.h and capture_cidrs.h; identifiers and interfaces are comma-separated too. -1
 * with ERR_INVALID when the text is malformed, without the option's name: the caller says where it
 * was given.
 */
int capture_options_set(struct capture_options *options, const char *name, const char *text,
                        struct err *err);

/* Checks what several options decide together. -1 with ERR_INVALID that names the options and
 * values. */
int capture_options_check(const struct capture_options *options, struct err *err);

/* Whether the two include lists let everything out through the agent (before exclusions). */
bool capture_options_include_all_outbound(const struct capture_options *options);

/*
 * Whether the rules redirect a connection of the application to `to`, when it leaves by an
 * interface that is neither lo nor excluded.
 */
bool capture_options_capture_outbound(const struct capture_options *options, const struct addr *to);

#endif
