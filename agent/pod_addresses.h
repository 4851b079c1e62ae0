/* The addresses of this pod, by which the control plane knows it. */
#ifndef REMORA_POD_ADDRESSES_H
#define REMORA_POD_ADDRESSES_H

#include <stddef.h>

#include "addr.h"
#include "err.h"

enum { POD_ADDRESSES_MAX = 16 }; /* a pod has one or two; more are not looked at */

struct pod_addresses {
    struct ip ips[POD_ADDRESSES_MAX];
    size_t num;                                   /* at least 1 */
    char text[POD_ADDRESSES_MAX * ADDR_TEXT_MAX]; /* all of them, with commas between */
};

/*
 * Reads `given`, addresses with commas between. "": those of the machine's interfaces instead, other
 * than loopback and link-local ones. 0, or -1 with *err: there is none, or one that is none.
 */
int pod_addresses_get(struct pod_addresses *addresses, const char *given, struct err *err);

#endif
