/*
 * SPIFFE IDs as text: making Istio's form out of names, and telling whether a text is one. Private to mesh. Whoever checks a
 * peer's certificate uses identity/spiffe_id.h; the two modules stand beside each other, and all that mesh needs is this.
 */
#ifndef REMORA_MESH_SPIFFE_H
#define REMORA_MESH_SPIFFE_H

#include <stdbool.h>

/* True for "spiffe://<trust domain>/<path>" by the rules of SPIFFE-ID 2; the path must not be empty. */
bool mesh_spiffe_valid(const char *text);

#endif
