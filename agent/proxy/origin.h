/*
 * Which rule of the ports-file a connection of the application is for that would go in clear: mutual TLS is then originated to its
 * destination. Private to proxy/.
 *
 * The first rule that matches counts. One by address matches the address that the application has dialled, and the endpoint's that was
 * chosen for it. One by host name matches what discovery calls so, a service or a workload that has that host name; where discovery
 * knows no service at the dialled address, the name is looked up, and matches if the dialled address is among its addresses. Whether
 * it is cannot be said when the lookup fails: then the connection is not made, for it might be in clear by mistake.
 */
#ifndef REMORA_ORIGIN_H
#define REMORA_ORIGIN_H

#include "err.h"
#include "port_table.h"

struct net_names_wait;
struct session;

/* Where a connection goes, as a rule sees it. */
struct origin_aim {
    struct addr dialled;       /* by the application */
    struct addr target;        /* the endpoint's, as known */
    const char *service_host;  /* of the service at `dialled`; NULL: discovery knows none */
    const char *workload_host; /* of the workload at `target`; NULL or "": none */
};

enum origin_match {
    ORIGIN_NO,
    ORIGIN_YES,
    ORIGIN_LOOK_UP, /* yes if `dialled` is an address of the rule's host */
};

/* Pure. */
enum origin_match origin_match(const struct ports_destination *rule, const struct origin_aim *aim);

struct origin_handler {
    /* The rule, lent by session->ports; NULL: none matches. */
    void (*on_rule)(struct session *session, const struct port_destination *rule);
    /* Whether the rule for `host` matches cannot be said. */
    void (*on_unknown)(struct session *session, const char *host, const struct err *err);
};

/* A session's part; zeroed: no search. */
struct origin_search {
    size_t next; /* the rule that is asked */
    struct net_names_wait *wait;
    const struct origin_handler *handler;
};

/*
 * Searches among the rules in force, which the session keeps, for its original_addr, target_addr, service and destination. One of the
 * handler's functions is called once, at once or later, unless the session ends before; it may end the session.
 */
void origin_search_start(struct session *session, const struct origin_handler *handler);

/* Whatever ends a session ends its search. Nothing when there is none. */
void origin_search_cancel(struct session *session);

/* The rule of `ports` (NULL: none) for the same host or addresses and port; NULL: there is none any more. */
const struct port_destination *origin_find_same(const struct port_table *ports,
                                                const struct ports_destination *rule);

#endif
