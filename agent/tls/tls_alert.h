/*
 * Between BoringSSL's errors and TLS alerts on one side, and reasons in words on the other. Private
 * to tls.
 */
#ifndef REMORA_TLS_ALERT_H
#define REMORA_TLS_ALERT_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "reason.h"

/*
 * What BoringSSL's error queue says went wrong; empties the queue. Returns the reason and fills
 * *err: alerts of the peer by their name, our own findings by the library's text.
 */
enum reason tls_alert_explain(struct err *err);

/*
 * Whether the error queue holds BoringSSL's own refusal of the peer's leaf, made before
 * verification was asked: it may not sign.
 */
bool tls_alert_is_leaf_refused(void);

/*
 * The alert (RFC 8446, 6.2) by which a peer is told that its certificate was refused for `reason`.
 */
uint8_t tls_alert_for(enum reason reason);

#endif
