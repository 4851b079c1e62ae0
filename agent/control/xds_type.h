/* The two kinds of resources that the control plane tells us about. */
#ifndef REMORA_XDS_TYPE_H
#define REMORA_XDS_TYPE_H

enum xds_type {
    XDS_ADDRESS,       /* istio.workload.Address: a workload or a service */
    XDS_AUTHORIZATION, /* istio.security.Authorization: a policy */
    XDS_NUM_TYPES
};

/* "type.googleapis.com/istio.workload.Address" and so on. */
const char *xds_type_url(enum xds_type type);

/* "address", "authorization": for logs and metrics. */
const char *xds_type_name(enum xds_type type);

#endif
