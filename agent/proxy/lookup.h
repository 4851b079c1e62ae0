/*
 * A decision that waits for the address of a host name: some destinations have nothing else.
 * Private to proxy/.
 */
#ifndef REMORA_LOOKUP_H
#define REMORA_LOOKUP_H

#include "err.h"
#include "mesh_decide.h"

struct session;

/*
 * Looks up decision->resolve and completes the decision, which is copied, within the session's connect timeout. Either
 * `on_found` gets the decision, its `resolve` now NULL, or `on_failed` is told why not; once, later, unless the session ends
 * before. Without memory the session is ended.
 */
void lookup_start(struct session *session, const struct mesh_request *request,
                  const struct mesh_decision *decision,
                  void (*on_found)(struct session *session, const struct mesh_decision *decision),
                  void (*on_failed)(struct session *session, const struct err *err));

/* Whatever ends a session ends its lookup. Nothing when there is none. */
void lookup_cancel(struct session *session);

#endif
