/* How the rotation goes, in Prometheus' text format, for a file that a collector reads. */
#ifndef REMORA_ROTATION_METRICS_H
#define REMORA_ROTATION_METRICS_H

#include "buf.h"
#include "rotation.h"

/* What rotation itself does not know. */
struct rotation_metrics_extra {
    int64_t written_ms; /* when the files were written last, wall clock; 0: never */
    uint64_t num_write_failures;
    uint64_t num_told; /* hooks or signals that succeeded */
    uint64_t num_not_told;
};

/* Appends all of it. The names are those of the agent where it has the same. 0, or -1 when out of
 * memory. */
int rotation_metrics_write(const struct rotation_status *status,
                           const struct rotation_metrics_extra *extra, struct buf *out);

#endif
