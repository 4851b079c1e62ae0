/*
 * The embedded control plane as one object on a loop: the CA, the tokens, discovery, its own
 * certificate and the server. remora-controlplane is this and a signal handler.
 */
#ifndef REMORA_CONTROLPLANE_H
#define REMORA_CONTROLPLANE_H

#include "addr.h"
#include "controlplane_config.h"
#include "err.h"
#include "net_loop.h"

struct controlplane;

/* Opens the CA (making it if it is missing), reads the tokens and discovery's files, and listens. `config` outlives it.
 * NULL: see *err. */
struct controlplane *controlplane_new(struct net_loop *loop,
                                      const struct controlplane_config *config, struct err *err);

/* Takes no more connections, lets calls finish, and calls on_drained when none is left, or when a
 * few seconds have passed; controlplane_free may be called inside. Once. */
void controlplane_start_drain(struct controlplane *controlplane, void (*on_drained)(void *owner),
                              void *owner);

/* Closes everything at once. NULL is ignored. */
void controlplane_free(struct controlplane *controlplane);

/* Where it listens (port 0 resolved). */
const struct addr *controlplane_addr(const struct controlplane *controlplane);

#endif
