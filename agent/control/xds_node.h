/* Who we are, as the control plane wants to be told (envoy.config.core.v3.Node). Pure. */
#ifndef REMORA_XDS_NODE_H
#define REMORA_XDS_NODE_H

#include <stddef.h>

#include "buf.h"
#include "err.h"

enum { XDS_NODE_FIELDS_MAX = 32 };

struct xds_node_field {
    const char *name;
    const char *value;
};

/*
 * What the id and the metadata are made of; NULL and "" are left out. The token that the stream is
 * opened with has to be of `namespace_` and `service_account`, which istiod compares.
 */
struct xds_node {
    const char *pod_name;
    const char *namespace_;
    const char *service_account;
    const char *ips; /* of the pod, with commas between; the first becomes part of the id */
    const char *cluster_id;
    const char *network;
    /*
     * istiod adds all workloads of this node to each answer on demand, so that the memory of an
     * agent would grow with its node: only for who wants that.
     */
    const char *node_name;
    const struct xds_node_field *more; /* more metadata: at most XDS_NODE_FIELDS_MAX (asserted) */
    size_t num_more;
};

/*
 * Appends the encoded Node: id "ztunnel~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local" (the
 * role makes istiod serve workloads and policies rather than Envoy's configuration), metadata NAME,
 * NAMESPACE, SERVICE_ACCOUNT, INSTANCE_IPS, NODE_NAME, CLUSTER_ID, NETWORK and `more`. 0, or -1 with
 * ERR_NOMEM.
 */
int xds_node_write(struct buf *out, const struct xds_node *node, struct err *err);

#endif
