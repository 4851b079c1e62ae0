/* What is to be said of the trust in force: numbers for metrics, warnings for the log. */
#ifndef REMORA_TRUST_REPORT_H
#define REMORA_TRUST_REPORT_H

#include <stdint.h>

#include "telemetry_hub.h"
#include "trust.h"

/* Fills in what can be seen of *trust (NULL: nothing is trusted) at now_ms, wall clock. */
void trust_report_fill(struct telemetry_trust *out, const struct trust *trust, int64_t now_ms);

/* Warns of each revocation list that is not of now, with what that means by *trust. */
void trust_report_log(const struct trust *trust, int64_t now_ms);

#endif
