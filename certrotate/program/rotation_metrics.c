#include "rotation_metrics.h"

#include <inttypes.h>

static int add(struct buf *out, const char *name, const char *type, const char *help,
               uint64_t value)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type,
                      name, value);
}

static uint64_t seconds(int64_t wall_ms)
{
    return wall_ms > 0 ? (uint64_t)wall_ms / 1000 : 0;
}

static int add_certificate(const struct rotation_status *status, struct buf *out)
{
    if (add(out, "remora_certificate_expiry_timestamp_seconds", "gauge",
            "When the certificate ends; 0 when there is none.", seconds(status->not_after_ms)) < 0)
        return -1;
    if (add(out, "remora_certificate_start_timestamp_seconds", "gauge",
            "When the certificate begins; 0 when there is none.",
            seconds(status->not_before_ms)) < 0)
        return -1;
    return add(out, "remora_certificate_last_rotation_timestamp_seconds", "gauge",
               "When the source was asked with success the last time.",
               seconds(status->last_success_ms));
}

static int add_attempts(const struct rotation_status *status, struct buf *out)
{
    static const char NAME[] = "remora_certificate_rotation_attempts_total";
    if (buf_printf(out, "# HELP %s Attempts to get a certificate.\n# TYPE %s counter\n", NAME,
                   NAME) < 0)
        return -1;
    for (int i = 0; i < NUM_ROTATION_OUTCOMES; i++)
        if (buf_printf(out, "%s{outcome=\"%s\"} %" PRIu64 "\n", NAME,
                       rotation_outcome_name((enum rotation_outcome)i), status->attempts[i]) < 0)
            return -1;
    return 0;
}

static int add_told(const struct rotation_metrics_extra *extra, struct buf *out)
{
    static const char NAME[] = "remora_certrotate_notifications_total";
    return buf_printf(out,
                      "# HELP %s Hooks run or signals sent.\n# TYPE %s counter\n"
                      "%s{outcome=\"ok\"} %" PRIu64 "\n%s{outcome=\"failed\"} %" PRIu64 "\n",
                      NAME, NAME, NAME, extra->num_told, NAME, extra->num_not_told);
}

int rotation_metrics_write(const struct rotation_status *status,
                           const struct rotation_metrics_extra *extra, struct buf *out)
{
    if (add_certificate(status, out) < 0 || add_attempts(status, out) < 0)
        return -1;
    if (add(out, "remora_certrotate_files_written_timestamp_seconds", "gauge",
            "When the files were replaced the last time; 0 for never.",
            seconds(extra->written_ms)) < 0)
        return -1;
    if (add(out, "remora_certrotate_write_failures_total", "counter",
            "Times that the files could not be replaced.", extra->num_write_failures) < 0)
        return -1;
    return add_told(extra, out);
}
