/*
 * Which destination to dial in order to see whether outbound connections are captured. A pure
 * function of the capture options.
 */
#ifndef REMORA_PROBE_H
#define REMORA_PROBE_H

#include <stdbool.h>

#include "addr.h"
#include "capture_options.h"

/*
 * Picks a destination of the family that rules made from `options` redirect: an address of the
 * documentation networks, behind which nobody is, unless the options leave only others. False when
 * the options capture nothing in this family that could be found.
 */
bool probe_pick(const struct capture_options *options, enum ip_family family, struct addr *to);

#endif
