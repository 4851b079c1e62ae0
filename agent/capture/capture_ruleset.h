/*
 * The pod's capture rules as nftables text: one table `inet remora` for both families. A pure
 * function; capture_apply.h brings the text into the kernel.
 *
 * Inbound (nat prerouting): TCP is redirected to the inbound port, except the agent's own ports and
 * what options exclude. Outbound (nat output): TCP is redirected to the outbound port, except the
 * agent's own connections, whatever leaves by lo (containers of the pod among themselves; the agent
 * to its own application), loopback and IPv6 link-local destinations (a redirect loses the
 * interface that such an address needs), and what options exclude. Every rule has a counter and a
 * comment.
 *
 * What was decided, and why:
 * - The agent's own connections come first: that an application can call its own service address
 *   depends on it (the agent dials its own pod through lo), and so does that the agent never calls
 *   itself.
 * - Inbound IPv6 link-local is captured: neighbours on the link must not get around the agent.
 * - nat chains see the first packet of what conntrack takes for a new connection, and no rule here
 *   asks for SYN. With that, a peer could race a stray ACK, for which conntrack would make an entry
 *   that is not redirected, against a SYN that then uses the entry. Hence a connection that is
 *   older than the rules and unknown to conntrack is reset at its next packet, and comes back
 *   captured.
 * - Packets that conntrack calls INVALID pass, as with every peer by default; drop_invalid drops
 *   them. They are not translated, so that a late one can reach the client from the agent's port and
 *   make it reset the connection; but where a connection's packets take two ways, dropping breaks it.
 * - UDP, ICMP and the rest are not touched. No sysctl (route_localnet, say) is needed: redirected
 *   packets of the pod itself travel over lo, those that come in go to their interface's address.
 */
#ifndef REMORA_CAPTURE_RULESET_H
#define REMORA_CAPTURE_RULESET_H

#include "buf.h"
#include "capture_options.h"
#include "err.h"

#define CAPTURE_RULESET_TABLE "inet remora" /* family and name */

/*
 * Appends the table's definition, ending in a newline, to `out`. `options` have passed
 * capture_options_check. The same options give the same bytes. -1: ERR_NOMEM.
 */
int capture_ruleset_write(const struct capture_options *options, struct buf *out, struct err *err);

#endif
