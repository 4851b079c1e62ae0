/*
 * Inbound without a tunnel: a connection to the application that came in clear and was redirected here. Nothing is read before
 * the decision, so a server that speaks first is served at once.
 */
#include "inbound.h"
#include "proxy_state.h"

static void inbound_plain_decide(struct session *session);

static const struct waiting_handler inbound_plain_waiting = {
    .on_news = inbound_plain_decide,
    .on_timeout = inbound_on_timeout,
};

static void inbound_plain_decide(struct session *session)
{
    const char *detail;
    inbound_identify(session);
    enum reason reason = inbound_admit(session, &detail);
    inbound_act(session, reason, detail, &inbound_plain_waiting, NULL);
}

void inbound_plain_on_accept(void *owner, struct net_tcp *tcp)
{
    struct session *session = session_accept(owner, SESSION_INBOUND, tcp);
    if (session == NULL)
        return;
    session->target_addr = session->original_addr;
    session->dial_addr = session->original_addr;
    session->has_target = true;
    inbound_plain_decide(session);
}
