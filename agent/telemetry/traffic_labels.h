/*
 * The labels that Istio's TCP metrics carry, from a session's record: names, order and values as
 * ztunnel has them, so that dashboards made for one fit the other. Pure.
 */
#ifndef REMORA_TRAFFIC_LABELS_H
#define REMORA_TRAFFIC_LABELS_H

#include "session_record.h"

enum { TRAFFIC_NUM_LABELS = 23 };

extern const char *const traffic_labels_names[TRAFFIC_NUM_LABELS];

/*
 * Fills `values`, each borrowed from the record or static. What is not known is "unknown".
 * `response_flags` is a session's at its end, "-" when it opens.
 */
void traffic_labels_fill(const struct session_record *record, const char *response_flags,
                         const char *values[TRAFFIC_NUM_LABELS]);

/* "source" or "destination": which side of the session reports. */
const char *traffic_labels_reporter(enum session_direction direction);

#endif
