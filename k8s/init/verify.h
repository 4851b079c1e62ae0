/*
 * Proves that a pod's rules redirect, by a connection that they have to redirect. Needs no
 * capability; with NET_ADMIN it can also read the rules. Not for the agent's own user, whose
 * connections are let through.
 *
 * Outbound, for one family: a listener takes the outbound port on loopback, and a connection to a
 * destination that the options capture has to arrive there, with that destination as its original
 * one, and carry bytes both ways. When the agent (or whoever) already listens on the port, the
 * connection being accepted is the proof: it is made with a hop limit of 1, so that nothing beyond
 * the first router can answer. For the same reason no packet gets farther than that when the rules
 * do not work.
 *
 * Inbound: no packet of the pod itself takes the way that a packet from outside takes, so the rule
 * is read back from the kernel instead, where that is allowed.
 */
#ifndef REMORA_VERIFY_H
#define REMORA_VERIFY_H

#include <stdint.h>

#include "addr.h"
#include "capture_options.h"

enum verify_result {
    VERIFY_REDIRECTED,
    VERIFY_NOT_REDIRECTED,
    VERIFY_SKIPPED,    /* there is nothing to verify, or no way to */
    VERIFY_IMPOSSIBLE, /* this process cannot tell */
};

struct verify_report {
    enum verify_result result;
    char sentence[1024]; /* what was found, with the likely cause when it is not well */
};

/* Blocks for at most timeout_ms. */
void verify_outbound(const struct capture_options *options, enum ip_family family,
                     uint64_t timeout_ms, struct verify_report *report);

void verify_inbound(const struct capture_options *options, struct verify_report *report);

#endif
