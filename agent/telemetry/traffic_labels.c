#include "traffic_labels.h"

#include <stddef.h>

/* In the order of traffic_labels_fill. */
const char *const traffic_labels_names[TRAFFIC_NUM_LABELS] = {
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_service",
    "destination_service_namespace",
    "destination_service_name",
    "destination_workload",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
};

static const char *known(const char *text)
{
    return text == NULL || *text == '\0' ? "unknown" : text;
}

const char *traffic_labels_reporter(enum session_direction direction)
{
    return direction == SESSION_OUTBOUND ? "source" : "destination";
}

void traffic_labels_fill(const struct session_record *record, const char *response_flags,
                         const char *values[TRAFFIC_NUM_LABELS])
{
    const struct session_party *source = &record->source;
    const struct session_party *destination = &record->destination;
    size_t i = 0;
    values[i++] = traffic_labels_reporter(record->direction);
    values[i++] = known(source->workload);
    values[i++] = known(source->canonical_name);
    values[i++] = known(source->canonical_revision);
    values[i++] = known(source->namespace_);
    values[i++] = known(source->identity);
    values[i++] = known(source->canonical_name);
    values[i++] = known(source->canonical_revision);
    values[i++] = known(source->cluster);
    values[i++] = known(record->service_hostname);
    values[i++] = known(record->service_namespace);
    values[i++] = known(record->service_name);
    values[i++] = known(destination->workload);
    values[i++] = known(destination->canonical_name);
    values[i++] = known(destination->canonical_revision);
    values[i++] = known(destination->namespace_);
    values[i++] = known(destination->identity);
    values[i++] = known(destination->canonical_name);
    values[i++] = known(destination->canonical_revision);
    values[i++] = known(destination->cluster);
    values[i++] = "tcp";
    values[i++] = response_flags;
    values[i++] = record->mutual_tls ? "mutual_tls" : "unknown";
}
