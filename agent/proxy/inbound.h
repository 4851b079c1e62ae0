/*
 * What the two ways in (plaintext, HBONE) share: who the parties are, whether the peer may enter, and the connection to the
 * application. Private to proxy/.
 */
#ifndef REMORA_INBOUND_H
#define REMORA_INBOUND_H

#include "mesh_authorize.h"
#include "session.h"

/*
 * The session is decided by the present snapshot from now on: fills in source and destination workload from it, for labels and for the
 * decision.
 */
void inbound_identify(struct session *session);

/*
 * What the policies of `snapshot` say of this session, whose target_addr is known, when `local` is this pod in it. Nothing of the
 * session changes.
 */
void inbound_authorize(const struct session *session, const struct mesh_snapshot *snapshot,
                       const struct mesh_workload *local, struct mesh_verdict *verdict);

/*
 * Learns what the port of session->target_addr takes, by the present table. False: there is none yet, and the session is to be refused
 * with REASON_PORTS_UNKNOWN.
 */
bool inbound_find_port(struct session *session);

/*
 * The part of the next function that depends on nobody's identity: not one of the agent's own ports, an address of this pod's (as far as
 * discovery has told these).
 */
enum reason inbound_check_target(const struct session *session, const char **detail);

/*
 * May this session reach session->target_addr? REASON_DONE, or why not, with *detail in words (static, or lent by the session).
 * Sets session->policy.
 */
enum reason inbound_admit(struct session *session, const char **detail);

/* Whether discovery may still give another answer. */
bool inbound_may_change(const struct session *session, enum reason reason);

/*
 * Acts on the answer: connects to the application (see inbound_start_connect for `accept`), ends the session, or, when discovery
 * may still give another answer, lets it wait and calls on_news with its newer snapshot.
 */
void inbound_act(struct session *session, enum reason reason, const char *detail,
                 const struct waiting_handler *waiting, bool (*accept)(struct session *session));

/* Whether the session's port, by the present table, would take a connection that came as this one. True for all that come otherwise. */
bool inbound_direct_may_stay(const struct session *session);

/* The `on_timeout` of an inbound session's waiting_handler: ends it. */
void inbound_on_timeout(struct session *session);

/*
 * Connects to the application at session->dial_addr, then relays; ends the session when that fails. What is sent to an HBONE
 * peer that waits for an answer is decided by `accept`, which is called once the application has accepted: it fills in
 * session->near and returns true, has ended the session, or will relay it later. NULL: near is there already.
 */
void inbound_start_connect(struct session *session, bool (*accept)(struct session *session));

#endif
