/* What decoding gives, and its parts. Private to wds. */
#ifndef REMORA_WDS_OBJECT_H
#define REMORA_WDS_OBJECT_H

#include "istio/security/authorization.pb-c.h"
#include "istio/workload/workload.pb-c.h"
#include "protobuf_read.h"
#include "wds.h"

enum wds_kind { WDS_WORKLOAD, WDS_SERVICE, WDS_POLICY };

struct wds_object {
    struct protobuf_memory *memory;
    const char *name;
    enum wds_kind kind;
    union {
        struct mesh_workload workload;
        struct mesh_service service;
        struct mesh_policy policy;
    };
};

/*
 * Fill the zeroed struct with pointers into `from` and into `memory`. 0, or -1 with *err: the field
 * and what is wrong with it, without the name of the object; and ERR_NOMEM.
 */
int wds_decode_workload(const Istio__Workload__Workload *from, struct protobuf_memory *memory,
                        struct mesh_workload *workload, struct err *err);
int wds_decode_service(const Istio__Workload__Service *from, struct protobuf_memory *memory,
                       struct mesh_service *service, struct err *err);
int wds_decode_policy(const Istio__Security__Authorization *from, struct protobuf_memory *memory,
                      struct mesh_policy *policy, struct err *err);

#endif
