/*
 * What the two ways in (plaintext, HBONE) share: who the parties are, whether the peer may enter, and the connection to the
 * application. Private to proxy/.
 */
#ifndef REMORA_INBOUND_H
#define REMORA_INBOUND_H

#include "mesh_authorize.h"
#include "session.h"

/* Fills in source and destination workload from the session's snapshot, for labels and for the decision. */
void inbound_identify(struct session *session);

/*
 * What the policies of `snapshot` say of this session, whose target_addr is known, when `local` is this pod in it. Nothing of the
 * session changes.
 */
void inbound_authorize(const struct session *session, const struct mesh_snapshot *snapshot,
                       const struct mesh_workload *local, struct mesh_verdict *verdict);

/*
 * May this session reach session->target_addr? REASON_DONE, or why not, with *detail in words (static, or lent by the session).
 * Sets session->policy.
 */
enum reason inbound_admit(struct session *session, const char **detail);

/*
 * Acts on the answer: connects to the application (see inbound_start_connect for `accept`), ends the session, or, when discovery
 * may still give another answer, lets it wait and calls on_news with its newer snapshot.
 */
void inbound_act(struct session *session, enum reason reason, const char *detail,
                 const struct waiting_handler *waiting, bool (*accept)(struct session *session));

/* The `on_timeout` of an inbound session's waiting_handler: ends it. */
void inbound_on_timeout(struct session *session);

/*
 * Connects to the application at session->dial_addr, then relays; ends the session when that fails. What is sent to an HBONE
 * peer that waits for an answer is decided by `accept`, which is called once the application has accepted: it fills in
 * session->near and returns true, or has ended the session. NULL: near is there already.
 */
void inbound_start_connect(struct session *session, bool (*accept)(struct session *session));

#endif
