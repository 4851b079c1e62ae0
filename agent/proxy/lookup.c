#include "lookup.h"

#include <stdlib.h>

#include "net_names.h"
#include "proxy_state.h"

struct lookup {
    struct session *session;
    struct net_names_wait *wait;
    struct addr destination; /* of the request, and its randomness: what the choice depends on */
    uint64_t random;
    struct mesh_decision decision;
    void (*on_found)(struct session *session, const struct mesh_decision *decision);
    void (*on_failed)(struct session *session, const struct err *err);
};

static void lookup_fail(struct lookup *lookup, const struct err *err)
{
    struct err why = *err;
    err_prefix(&why, "\"%.*s\"", MESH_NAME_MAX, lookup->decision.resolve);
    lookup->on_failed(lookup->session, &why);
}

static void lookup_choose(struct lookup *lookup, const struct ip *ips, size_t num_ips)
{
    struct err err;
    const struct mesh_request request = {
        .destination = lookup->destination,
        .random = lookup->random,
    };
    if (mesh_decide_resolved(&lookup->decision, &request, ips, num_ips)) {
        lookup->decision.resolve = NULL;
        lookup->on_found(lookup->session, &lookup->decision);
        return;
    }
    err_set(&err, ERR_NOT_FOUND, "none of its addresses can be used");
    lookup_fail(lookup, &err);
}

static void lookup_on_names(void *owner, const struct ip *ips, size_t num_ips,
                            const struct err *err)
{
    struct lookup *lookup = owner;
    lookup->session->lookup = NULL;
    lookup->wait = NULL;
    if (num_ips > 0)
        lookup_choose(lookup, ips, num_ips);
    else
        lookup_fail(lookup, err);
    free(lookup);
}

void lookup_start(struct session *session, const struct mesh_request *request,
                  const struct mesh_decision *decision,
                  void (*on_found)(struct session *session, const struct mesh_decision *decision),
                  void (*on_failed)(struct session *session, const struct err *err))
{
    struct proxy *proxy = session->proxy;
    struct err err;
    struct lookup *lookup = malloc(sizeof(*lookup));
    if (lookup == NULL) {
        session_close(session, REASON_NO_MEMORY, NULL);
        return;
    }
    *lookup = (struct lookup){
        .session = session,
        .destination = request->destination,
        .random = request->random,
        .decision = *decision,
        .on_found = on_found,
        .on_failed = on_failed,
    };
    lookup->wait = net_names_find(proxy->names, decision->resolve,
                                  proxy->options.connect_timeout_ms, lookup_on_names, lookup, &err);
    if (lookup->wait == NULL) {
        free(lookup);
        session_close(session, err.kind == ERR_LIMIT ? REASON_LIMIT : REASON_NO_MEMORY,
                      err.message);
        return;
    }
    session->lookup = lookup;
}

void lookup_cancel(struct session *session)
{
    struct lookup *lookup = session->lookup;
    if (lookup == NULL)
        return;
    session->lookup = NULL;
    net_names_cancel(lookup->wait);
    free(lookup);
}
