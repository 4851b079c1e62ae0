#include "telemetry_hub.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "telemetry_impl.h"
#include "traffic_labels.h"

static const char *const build_labels[] = {"remora", REMORA_VERSION};

static struct metrics_row *row_of(struct telemetry_hub *hub, enum telemetry_table table)
{
    return metrics_row_get(hub->tables[table], NULL);
}

static int make_tables(struct telemetry_hub *hub)
{
    hub->metrics = metrics_new();
    if (hub->metrics == NULL)
        return -1;
    for (size_t i = 0; i < NUM_TELEMETRY_TABLES; i++) {
        hub->tables[i] = metrics_table_new(hub->metrics, &telemetry_tables[i]);
        if (hub->tables[i] == NULL)
            return -1;
    }
    metrics_row_set(metrics_row_get(hub->tables[TABLE_BUILD], build_labels), 0, 1);
    hub->suppressed = row_of(hub, TABLE_LOG_SUPPRESSED);
    return 0;
}

struct telemetry_hub *telemetry_hub_new(const struct telemetry_hub_options *options,
                                        struct err *err)
{
    struct telemetry_hub *hub = calloc(1, sizeof(*hub));
    if (hub == NULL || make_tables(hub) < 0) {
        err_set(err, ERR_NOMEM, "telemetry: out of memory");
        goto fail;
    }
    if (options->access_log) {
        hub->access_log = access_log_new(options->access_log_fd, options->access_log_format, err);
        if (hub->access_log == NULL)
            goto fail;
    }
    return hub;

fail:
    telemetry_hub_free(hub, 0);
    return NULL;
}

void telemetry_hub_free(struct telemetry_hub *hub, uint64_t flush_ms)
{
    if (hub == NULL)
        return;
    access_log_free(hub->access_log, flush_ms);
    metrics_free(hub->metrics);
    free(hub);
}

/* -------------------------------------------------------------------- what is read for a scrape -- */

/* -1 when /proc is not there. The descriptor that reads the folder does not count. */
static int64_t count_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return -1;
    int64_t num = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        num += entry->d_name[0] != '.';
    closedir(dir);
    return num - 1;
}

static int64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return -1;
    long long size, resident;
    int num_read = fscanf(file, "%lld %lld", &size, &resident);
    fclose(file);
    return num_read == 2 ? resident * sysconf(_SC_PAGESIZE) : -1;
}

static void set_process(struct telemetry_hub *hub)
{
    struct metrics_row *row = row_of(hub, TABLE_PROCESS);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_row_set(row, PROCESS_MAX_FDS, (int64_t)limit.rlim_cur);
    metrics_row_set(row, PROCESS_OPEN_FDS, count_open_fds());
    metrics_row_set(row, PROCESS_RESIDENT_BYTES, resident_bytes());
}

static void set_labelled(struct telemetry_hub *hub, enum telemetry_table table, const char *label,
                         uint64_t value)
{
    metrics_row_set(metrics_row_get(hub->tables[table], &label), 0, (int64_t)value);
}

static void set_certificate(struct telemetry_hub *hub, const struct telemetry_control *control)
{
    struct metrics_row *row = row_of(hub, TABLE_CERTIFICATE);
    metrics_row_set(row, CERTIFICATE_NOT_AFTER, control->certificate_not_after_ms / 1000);
    metrics_row_set(row, CERTIFICATE_NOT_BEFORE, control->certificate_not_before_ms / 1000);
    metrics_row_set(row, CERTIFICATE_LAST_ROTATION, control->certificate_last_rotation_ms / 1000);
    for (size_t i = 0; i < control->num_rotation_outcomes; i++)
        set_labelled(hub, TABLE_ROTATIONS, control->rotation_outcomes[i].name,
                     control->rotation_outcomes[i].count);
}

static void set_trust(struct telemetry_hub *hub, const struct telemetry_trust *trust)
{
    struct metrics_row *row = row_of(hub, TABLE_TRUST);
    metrics_row_set(row, TRUST_DOMAINS, (int64_t)trust->num_domains);
    metrics_row_set(row, TRUST_BUNDLE_END, trust->bundle_first_end_ms / 1000);
    metrics_row_set(row, TRUST_CRLS, (int64_t)trust->num_crls);
    metrics_row_set(row, TRUST_CRLS_UNTIMELY, (int64_t)trust->num_crls_untimely);
    metrics_row_set(row, TRUST_CRL_END, trust->crl_first_end_ms / 1000);
    metrics_row_set(row, TRUST_OWN_REVOKED, trust->certificate_revoked);
    metrics_row_set(row, TRUST_UNUSABLE_FILES, (int64_t)trust->num_unusable_files);
    metrics_row_set(row_of(hub, TABLE_TRUST_TROUBLES), 0, (int64_t)trust->num_troubles);
}

static void set_discovery(struct telemetry_hub *hub, const struct telemetry_control *control)
{
    struct metrics_row *row = row_of(hub, TABLE_DISCOVERY);
    metrics_row_set(row, DISCOVERY_LAST_SUCCESS, control->discovery_last_success_ms / 1000);
    metrics_row_set(row, DISCOVERY_WORKLOADS, (int64_t)control->num_workloads);
    metrics_row_set(row, DISCOVERY_SERVICES, (int64_t)control->num_services);
    metrics_row_set(row, DISCOVERY_POLICIES, (int64_t)control->num_policies);
    set_labelled(hub, TABLE_DISCOVERY_LOADS, "ok", control->discovery_loads_ok);
    set_labelled(hub, TABLE_DISCOVERY_LOADS, "failed", control->discovery_loads_failed);
}

static void set_xds_type(struct telemetry_hub *hub, const struct telemetry_xds_type *type)
{
    struct metrics_row *messages = metrics_row_get(hub->tables[TABLE_XDS_MESSAGES], &type->url);
    metrics_row_set(messages, XDS_MESSAGES, (int64_t)type->num_messages);
    metrics_row_set(messages, XDS_BYTES, (int64_t)type->num_bytes);
    struct metrics_row *updates = metrics_row_get(hub->tables[TABLE_XDS_UPDATES], &type->name);
    metrics_row_set(updates, XDS_UPDATES, (int64_t)type->num_updates);
    metrics_row_set(updates, XDS_REJECTED, (int64_t)type->num_rejected);
    set_labelled(hub, TABLE_XDS_RESOURCES, type->name, type->num_held);
}

static void set_xds_ends(struct telemetry_hub *hub, const struct telemetry_xds *xds)
{
    for (size_t i = 0; i < xds->num_ends; i++)
        set_labelled(hub, TABLE_XDS_STREAM_ENDS, xds->ends[i].name, xds->ends[i].count);
    for (size_t i = 0; i < xds->num_terminations; i++)
        set_labelled(hub, TABLE_XDS_ENDS, xds->terminations[i].name, xds->terminations[i].count);
}

static void set_xds(struct telemetry_hub *hub, const struct telemetry_xds *xds)
{
    if (xds == NULL)
        return;
    struct metrics_row *row = row_of(hub, TABLE_XDS);
    metrics_row_set(row, XDS_CONNECTED, xds->connected);
    metrics_row_set(row, XDS_FROM_CACHE, xds->from_cache);
    metrics_row_set(row, XDS_SUBSCRIPTIONS, (int64_t)xds->num_subscribed);
    metrics_row_set(row, XDS_LAST_ANSWER, xds->last_answer_ms / 1000);
    struct metrics_row *counts = row_of(hub, TABLE_XDS_COUNTS);
    metrics_row_set(counts, XDS_ACKS, (int64_t)xds->num_acks);
    metrics_row_set(counts, XDS_NACKS, (int64_t)xds->num_nacks);
    metrics_row_set(counts, XDS_SNAPSHOTS, (int64_t)xds->num_snapshots);
    metrics_row_set(counts, XDS_ASKED, (int64_t)xds->num_asked);
    metrics_row_set(counts, XDS_EXPIRED, (int64_t)xds->num_expired);
    set_xds_ends(hub, xds);
    for (size_t i = 0; i < xds->num_types; i++)
        set_xds_type(hub, &xds->types[i]);
}

static void set_logs(struct telemetry_hub *hub, const struct telemetry_control *control)
{
    uint64_t dropped = hub->access_log == NULL ? 0 : access_log_dropped(hub->access_log);
    set_labelled(hub, TABLE_LOG_DROPPED, "access", dropped);
    set_labelled(hub, TABLE_LOG_DROPPED, "program", control->log_lines_dropped);
}

static void set_overflows(struct telemetry_hub *hub)
{
    uint64_t overflows = 0;
    for (size_t i = 0; i < NUM_TELEMETRY_TABLES; i++)
        overflows += metrics_table_overflows(hub->tables[i]);
    metrics_row_set(row_of(hub, TABLE_SERIES_OVERFLOWS), 0, (int64_t)overflows);
}

int telemetry_hub_write(struct telemetry_hub *hub, const struct telemetry_control *control,
                        enum metrics_format format, struct buf *out)
{
    metrics_row_set(row_of(hub, TABLE_READY), 0, control->ready);
    set_process(hub);
    set_certificate(hub, control);
    set_trust(hub, &control->trust);
    set_discovery(hub, control);
    set_xds(hub, control->xds);
    set_logs(hub, control);
    set_overflows(hub);
    return metrics_text_write(hub->metrics, format, out);
}
