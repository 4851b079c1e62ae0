/*
 * Inbound without a tunnel: a connection to the application that came in clear and was redirected here. Nothing is read before
 * the decision, so a server that speaks first is served at once.
 */
#include "inbound.h"
#include "proxy_state.h"

void inbound_plain_on_accept(void *owner, struct net_tcp *tcp)
{
    struct session *session = session_accept(owner, SESSION_INBOUND, tcp);
    if (session == NULL)
        return;
    inbound_identify(session);
    session->target_addr = session->original_addr;
    session->has_target = true;
    const char *detail;
    enum reason reason = inbound_admit(session, &detail);
    if (reason != REASON_DONE)
        session_close(session, reason, detail);
    else
        inbound_start_connect(session, NULL);
}
