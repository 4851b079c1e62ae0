#include "trust_report.h"

#include "clock.h"
#include "log.h"

static bool is_timely(const struct crl_info *info, int64_t now_ms)
{
    return info->this_update_ms <= now_ms && now_ms <= info->next_update_ms;
}

static void sooner(int64_t *first_ms, int64_t ms)
{
    if (ms != INT64_MAX && (*first_ms == 0 || ms < *first_ms))
        *first_ms = ms;
}

void trust_report_fill(struct telemetry_trust *out, const struct trust *trust, int64_t now_ms)
{
    *out = (struct telemetry_trust){0};
    if (trust == NULL)
        return;
    out->num_domains = trust->num_bundles;
    for (size_t i = 0; i < trust->num_bundles; i++)
        sooner(&out->bundle_first_end_ms, trust_bundle_first_end_ms(trust->bundles[i]));
    out->num_crls = crl_set_num(trust->crls);
    for (size_t i = 0; i < out->num_crls; i++) {
        struct crl_info info;
        crl_set_info(trust->crls, i, &info);
        sooner(&out->crl_first_end_ms, info.next_update_ms);
        out->num_crls_untimely += !is_timely(&info, now_ms);
    }
}

void trust_report_log(const struct trust *trust, int64_t now_ms)
{
    for (size_t i = 0; i < crl_set_num(trust->crls); i++) {
        struct crl_info info;
        char from[CLOCK_TEXT_MAX], to[CLOCK_TEXT_MAX];
        crl_set_info(trust->crls, i, &info);
        if (is_timely(&info, now_ms))
            continue;
        LOG_WARN("agent", "revocation list is not of now; is it still renewed, is a clock wrong?",
                 LOG_S("issuer", info.issuer),
                 LOG_S("this_update", clock_format(info.this_update_ms, from)),
                 LOG_S("next_update", info.next_update_ms == INT64_MAX
                                          ? "never"
                                          : clock_format(info.next_update_ms, to)),
                 LOG_S("effect", trust->crl_strict
                                     ? "peers of this issuer are refused (crl-policy strict)"
                                     : "it goes on being used (crl-policy lenient)"));
    }
}
