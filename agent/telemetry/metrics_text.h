/* Metrics as text: Prometheus' format 0.0.4 and OpenMetrics 1.0. */
#ifndef REMORA_METRICS_TEXT_H
#define REMORA_METRICS_TEXT_H

#include "buf.h"
#include "metrics.h"

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

/* What an HTTP Accept header asks for; NULL, or neither of the two named: Prometheus. Of both named
 * the one with the higher q, OpenMetrics when equal. */
enum metrics_format metrics_text_format(const char *accept);

/* Static storage. */
const char *metrics_text_content_type(enum metrics_format format);

/*
 * Appends everything to `out`. Takes no lock: what is counted meanwhile is in this text or in the
 * next. A table without rows is left out. Bytes of a label value that are not UTF-8 appear as
 * "\xNN": one of them as it is would make a scraper refuse all. 0, or -1 when out of memory.
 */
int metrics_text_write(struct metrics *metrics, enum metrics_format format, struct buf *out);

#endif
