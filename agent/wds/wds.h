/*
 * Istio's discovery resources, istio.workload.Address and istio.security.Authorization, from bytes
 * to the values of mesh.h and back. Whoever sends them is not believed: what cannot be read, or
 * cannot mean anything, is an error that says what was wrong with what, so that it can go back in a
 * NACK. Fields that nobody declared are skipped, except where they would be conditions of a policy:
 * a condition that is not understood must not be left out.
 *
 * Limits of mesh.h are checked here as far as they bound the work; the rest is mesh_builder's.
 * Pure: no I/O, no clock, no logging.
 */
#ifndef REMORA_WDS_H
#define REMORA_WDS_H

#include "buf.h"
#include "err.h"
#include "mesh.h"

#define WDS_TYPE_ADDRESS       "type.googleapis.com/istio.workload.Address"
#define WDS_TYPE_AUTHORIZATION "type.googleapis.com/istio.security.Authorization"

enum {
    WDS_RESOURCE_MAX = 1024 * 1024, /* bytes of one resource; a policy with ten thousand addresses
                                       has a quarter of it */
    WDS_MEMORY_MAX = 32 * 1024 * 1024, /* bytes that one resource may take when decoded: repeated
                                          empty messages grow a hundredfold */
};

/* One decoded resource, with the memory of all that it lends. */
struct wds_object;

/*
 * Decode one resource: the value of the Any, without its type URL. The caller frees the object.
 * NULL: *err is ERR_INVALID (names the object by its own name as far as it could be read, then field
 * and value), ERR_LIMIT or ERR_NOMEM.
 *
 * Given where nothing is said: trust domain "cluster.local", service account "default", cluster
 * "Kubernetes", capacity 1, a gateway's port MESH_HBONE_PORT. An unknown visibility is MESH_PUBLIC;
 * any other unknown value of an enumeration is an error. Host bits of a CIDR are cleared. A service
 * address with a prefix shorter than the address is in cidr_vips, any other in vips.
 *
 * Errors besides what is malformed: an address that is neither a workload nor a service; a gateway
 * without destination; ports above 65535; names, keys and lists longer than mesh.h allows; in a
 * policy, an address, a pattern or a condition that is not understood, whatever its list.
 */
struct wds_object *wds_decode_address(const void *bytes, size_t len, struct err *err);
struct wds_object *wds_decode_authorization(const void *bytes, size_t len, struct err *err);

/* NULL is ignored. */
void wds_object_free(struct wds_object *object);

/* What it is; NULL: it is something else. Lent until the object is freed; text is never NULL. What
 * mesh.h says the builder makes is not filled in. */
const struct mesh_workload *wds_object_workload(const struct wds_object *object);
const struct mesh_service *wds_object_service(const struct wds_object *object);
const struct mesh_policy *wds_object_policy(const struct wds_object *object);

/*
 * The name that its resource must have: the uid, "namespace/hostname" or "namespace/name". Lent. A
 * resource of any other name must be refused: a removal by that name would miss it. What a resource
 * is found by besides is its alias "<network>/<ip>" (mesh_name_of_address).
 */
const char *wds_object_name(const struct wds_object *object);

/*
 * Append the resource, the value of an Any. What decoding gives for it equals `workload` and so on,
 * but for what mesh.h says the builder makes. Text may be NULL. 0, or -1 with *err: ERR_NOMEM, and
 * nothing is appended.
 */
int wds_encode_workload(struct buf *out, const struct mesh_workload *workload, struct err *err);
int wds_encode_service(struct buf *out, const struct mesh_service *service, struct err *err);
int wds_encode_policy(struct buf *out, const struct mesh_policy *policy, struct err *err);

#endif
