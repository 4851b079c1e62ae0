/* Whether a node may speak for the identity that its token stands for. Pure. */
#ifndef REMORA_DISCOVERY_NODE_H
#define REMORA_DISCOVERY_NODE_H

#include "discovery_message.h"

/*
 * The id must be "ztunnel~<ip>~<name>~<domain>", the role for which workloads and policies are
 * served; the metadata's NAMESPACE must be the identity's namespace, and SERVICE_ACCOUNT, if it is
 * there, its service account. `ns` and `sa` may be NULL (an identity that is not of Istio's form):
 * that node is nobody. 0, or -1 with *err: ERR_INVALID (no such node can be), ERR_DENIED.
 */
int discovery_node_check(const struct discovery_node *node, const char *ns, const char *sa,
                         struct err *err);

#endif
