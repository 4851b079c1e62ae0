/*
 * Fields that several of Istio's messages share, from protobuf-c's structs to the values of mesh.h.
 * Private to wds.
 *
 * Each returns 0, or -1 with *err: ERR_INVALID or ERR_LIMIT begins with `field`, ERR_NOMEM does not.
 */
#ifndef REMORA_WDS_FIELD_H
#define REMORA_WDS_FIELD_H

#include "err.h"
#include "istio/workload/workload.pb-c.h"
#include "mesh.h"
#include "protobuf_read.h"

/* That `value` is 0 to `max`; protobuf-c hands on what a newer peer may mean something by. */
int wds_field_enum(const char *field, int value, int max, struct err *err);

int wds_field_port(const char *field, uint32_t value, uint16_t *port, struct err *err);

int wds_field_ip(const char *field, const ProtobufCBinaryData *bytes, struct ip *ip,
                 struct err *err);

/* Host bits are cleared. A length of 0 is refused with an address other than the unspecified one:
 * nobody can say whether it means all addresses or was left out. */
int wds_field_cidr(const char *field, const ProtobufCBinaryData *bytes, uint32_t prefix_len,
                   struct cidr *cidr, struct err *err);

/* `from` may be NULL: MESH_GATEWAY_NONE. */
int wds_field_gateway(const char *field, const Istio__Workload__GatewayAddress *from,
                      struct mesh_gateway *gateway, struct err *err);

int wds_field_ports(const char *field, struct protobuf_memory *memory,
                    Istio__Workload__Port *const *from, size_t num, const struct mesh_port **ports,
                    struct err *err);

/* A list that has more than `max` entries is refused before anything is done for it. */
int wds_field_num(const char *field, size_t num, size_t max, struct err *err);

#endif
