/*
 * Where a CONNECT that came in leads. Always to this pod; the request's :authority decides to which
 * port, and whether it is for this pod to take at all: because it names the pod's address or a
 * service that the pod serves, because the pod is the waypoint of what it names, or because the
 * application takes whatever comes (an application tunnel). Pure. Whether the peer may enter is
 * mesh_authorize's to say.
 */
#ifndef REMORA_MESH_INBOUND_H
#define REMORA_MESH_INBOUND_H

#include "mesh_snapshot.h"
#include "reason.h"

struct mesh_arrival {
    const struct mesh_workload
        *local;          /* the agent's own workload, of the same snapshot; NULL: not known yet */
    const char *network; /* the agent's own */
    struct ip address;   /* of this pod, to which the tunnel's connection was opened */
    struct ip ip;        /* of the :authority; family IP_NONE: see host */
    const char *host;
    uint16_t port; /* of the :authority */
};

/* What is borrowed lives as long as the snapshot. */
struct mesh_landing {
    enum reason reason;                 /* DONE, or why it leads nowhere; see below */
    const char *detail;                 /* static text that says more, or NULL */
    const struct mesh_service *service; /* that was asked for, or NULL */
    struct addr target; /* `address` and the application's port: what policies are asked about */
    struct addr dial;   /* where the application takes the connection */
    bool is_proxied;    /* it begins with a PROXY header (proxy_v2.h) that names `original` */
    struct addr
        original; /* what the :authority asked for; of a host name an address of the service,
                             or `target` where it has none */
};

/*
 * `*landing` is filled completely. Reasons: UNKNOWN_LOCAL_WORKLOAD; WRONG_DESTINATION, an address
 * that is not for this pod to take; UNKNOWN_DESTINATION, a host name or a port that it does not
 * serve.
 */
void mesh_inbound_land(const struct mesh_snapshot *snapshot, const struct mesh_arrival *arrival,
                       struct mesh_landing *landing);

#endif
