/*
 * What was allowed once and lives on: connections are judged again when trust changes (bundles,
 * revocation lists), when their peers' certificates have ended, and when policies change. What may
 * not go on is closed with the reason, as a new connection would be refused with it.
 *
 * Judged in batches, a batch in each round of the loop, so that a change costs no live connection
 * its turn. Private to proxy/.
 */
#ifndef REMORA_RECHECK_H
#define REMORA_RECHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "mesh_snapshot.h"
#include "net_loop.h"
#include "port_table.h"
#include "tls_context.h"

struct proxy;
struct session;

/* The proxy's part. */
struct recheck {
    struct net_timer *timer;
    struct net_timer *touch_timer; /* see proxy_options.touch_ms */
    struct tls_context
        *judged_by; /* counted; whose trust the generation stands for; NULL: none yet */
    uint64_t
        trust_generation; /* grows with each change of trust; what was judged by it is marked */
    uint64_t policy_generation; /* likewise, with each change of policies */
    uint64_t ports_generation;  /* likewise, with each change of proxy->ports */
    bool trust_pending;         /* somebody is not judged yet */
    bool policy_pending;
    bool ports_pending;
    bool time_pending;
};

int recheck_init(struct proxy *proxy, struct err *err);
void recheck_done(struct proxy *proxy);

/* proxy->tls is another one, or NULL. */
void recheck_on_trust(struct proxy *proxy);

/*
 * An inbound connection's handshake was judged by `context`: for which generation it counts. Sees to
 * it that it is judged again when that is not what is trusted now.
 */
uint64_t recheck_generation_of(struct proxy *proxy, const struct tls_context *context);

/* proxy->ports is another one. */
void recheck_on_ports(struct proxy *proxy);

/*
 * The session stands, by session->ports: how it came, and its peer, where its TLS ends on its own connection. From now on it is judged
 * again like the others, at once when that table is not in force any more.
 */
void recheck_add(struct session *session);

/* proxy->mesh and proxy->local have just taken the place of these, which still live; NULL: there were none. */
void recheck_on_mesh(struct proxy *proxy, const struct mesh_snapshot *former,
                     const struct mesh_workload *former_local);

#endif
