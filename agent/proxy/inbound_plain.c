/*
 * Inbound without a tunnel: a connection to the application that came in clear and was redirected here. Nothing is read before
 * the decision, so a server that speaks first is served at once.
 */
#include "inbound.h"
#include "proxy_state.h"

void inbound_plain_on_accept(void *owner, struct net_tcp *tcp)
{
    struct proxy *proxy = owner;
    struct addr to;
    struct err err = {0};
    int found = net_tcp_original_destination(tcp, &to, &err);
    if (found < 0)
        to = *net_tcp_local(tcp);
    struct session *session = session_new(proxy, SESSION_INBOUND, net_tcp_peer(tcp), &to);
    if (session == NULL) {
        stream_abort(net_tcp_stream(tcp));
        return;
    }
    session_take_near(session, tcp);
    inbound_identify(session);
    session->target_addr = to;
    session->has_target = true;
    if (found < 0) {
        session_close(session, REASON_IO_FAILED, err.message);
        return;
    }
    const char *detail;
    enum reason reason = inbound_admit(session, &detail);
    if (reason != REASON_DONE)
        session_close(session, reason, detail);
    else
        inbound_start_connect(session, NULL);
}
