#include "certificates.h"

#include <stdlib.h>

#include "agent_cert_source.h"
#include "cert_cache.h"
#include "clock.h"
#include "log.h"
#include "trust_config.h"
#include "trust_files.h"
#include "trust_report.h"

enum {
    RENEW_JITTER_PERCENT = 10, /* of half the lifetime: a mesh that started together must not renew
                                  together */
    REPORT_FIRST_MS = 10 * 1000, /* when there should be an identity */
    REPORT_MS = 10 * 60 * 1000,  /* a warning every ten minutes is seen, and drowns nothing */
};

struct certificates {
    struct certificates_options options;
    struct spiffe_id id;
    struct trust_config trust;
    struct trust_files *trust_files;
    struct rotation *rotation;
    struct cert_source *source; /* the rotation's */
    struct private_dir *cache;  /* NULL: none */
    bool rotating;              /* rotation_start was called */
    struct net_timer *report;   /* the next look at revocation lists */
    size_t condition;           /* of readiness */
    bool valid;
    bool from_cache; /* while what is cached is offered */
    struct telemetry_outcome outcomes[NUM_ROTATION_OUTCOMES];
};

/* --------------------------------------------------------------------------------- the cache -- */

/* Without a cache the agent works as well as ever, but for a restart at the wrong time. */
static void open_cache(struct certificates *certificates)
{
    const char *path = certificates->options.config->cache_dir;
    struct err err;
    if (path[0] == '\0')
        return;
    certificates->cache = private_file_open_dir(path, true, &err);
    if (certificates->cache == NULL)
        LOG_WARN("agent", "no cache of certificates", LOG_S("error", err.message));
}

/* What was held before this start, while the source is asked for something newer. */
static void offer_cached(struct certificates *certificates)
{
    struct err err;
    if (certificates->cache == NULL)
        return;
    struct cert_cached *cached = cert_cache_read(certificates->cache, &err);
    if (cached == NULL) {
        if (err.kind != ERR_NOT_FOUND)
            LOG_WARN("agent", "cached certificate ignored", LOG_S("error", err.message));
        return;
    }
    certificates->from_cache = true;
    if (rotation_offer(certificates->rotation, cert_cached_fetched(cached), &err) < 0)
        LOG_WARN("agent", "cached certificate ignored", LOG_S("error", err.message));
    certificates->from_cache = false;
    cert_cached_free(cached);
}

static void save_to_cache(struct certificates *certificates, const struct identity *identity)
{
    struct err err;
    if (certificates->cache == NULL || certificates->from_cache)
        return;
    if (cert_cache_write(certificates->cache, identity, rotation_brought(certificates->rotation),
                         &err) < 0)
        LOG_WARN("agent", "certificate not cached", LOG_S("error", err.message));
}

/* ------------------------------------------------------------------------- what rotation brings -- */

static void log_identity(const struct identity *identity, bool from_cache)
{
    const struct svid *svid = identity_svid(identity);
    const struct trust *trust = identity_trust(identity);
    char not_before[CLOCK_TEXT_MAX], not_after[CLOCK_TEXT_MAX];
    LOG_INFO("agent", "certificate in force", LOG_S("identity", identity_id(identity)->uri),
             LOG_S("serial", svid_serial(svid)),
             LOG_S("not_before", clock_format(svid_not_before_ms(svid), not_before)),
             LOG_S("not_after", clock_format(svid_not_after_ms(svid), not_after)),
             LOG_U("roots", trust_bundle_num_roots(trust->bundles[0])),
             LOG_U("federated", trust->num_bundles - 1),
             LOG_U("revocation_lists", crl_set_num(trust->crls)),
             LOG_U("epoch", identity_epoch(identity)),
             LOG_S("from", from_cache ? "cache" : "source"));
}

static void on_expired(struct certificates *certificates)
{
    certificates->valid = false;
    readiness_set_pending(certificates->options.readiness, certificates->condition,
                          "the last one has expired, and no new one could be had", NULL);
    LOG_ERROR("agent", "certificate expired and no successor: new tunnels are refused",
              LOG_S("identity", rotation_identity_uri(certificates->rotation)));
    certificates->options.on_context(certificates->options.owner, NULL);
}

static void on_identity(void *owner, struct identity *identity)
{
    struct certificates *certificates = owner;
    if (identity == NULL) {
        on_expired(certificates);
        return;
    }
    struct err err;
    struct tls_context *context = tls_context_new_mesh(identity, NULL, &err);
    if (context == NULL) {
        /* Rotation has judged the certificate; what is left is our own trouble. The context before
         * stays in force. */
        LOG_ERROR("agent", "certificate cannot be used", LOG_S("error", err.message));
        return;
    }
    log_identity(identity, certificates->from_cache);
    save_to_cache(certificates, identity);
    certificates->valid = true;
    readiness_set_met(certificates->options.readiness, certificates->condition);
    certificates->options.on_context(certificates->options.owner, context);
    tls_context_unref(context);
}

static void on_failure(void *owner, const struct err *err, uint64_t retry_ms)
{
    struct certificates *certificates = owner;
    LOG_WARN("agent", "attempt to get a certificate failed", LOG_S("error", err->message),
             LOG_S("in_force", certificates->valid ? "the one before" : "none"),
             LOG_U("retry_in_ms", retry_ms));
    if (!certificates->valid)
        readiness_set_pending(certificates->options.readiness, certificates->condition,
                              "none valid", err->message);
}

/* What is unusable now may still be used as it was before; each message says which. */
static void on_trouble(void *owner, const struct err *err)
{
    LOG_ERROR("agent", "trust is not what it should be", LOG_S("error", err->message));
}

static const struct rotation_handler rotation_handler = {
    .on_identity = on_identity,
    .on_failure = on_failure,
    .on_trouble = on_trouble,
};

/* --------------------------------------------------------------------------- trust from files -- */

/* Strict means that nothing is decided without the lists. */
static bool may_start(const struct certificates *certificates)
{
    return certificates->options.config->crl_policy == AGENT_CRL_LENIENT ||
           trust_files_has_all_crls(certificates->trust_files);
}

static void on_extras(void *owner, const struct trust_extras *extras)
{
    struct certificates *certificates = owner;
    rotation_set_extras(certificates->rotation, extras);
    if (certificates->rotating)
        return;
    if (may_start(certificates)) {
        certificates->rotating = true;
        offer_cached(certificates);
        rotation_start(certificates->rotation);
        return;
    }
    readiness_set_pending(certificates->options.readiness, certificates->condition,
                          "waits for revocation lists (crl-policy strict)", NULL);
}

static const struct trust_files_handler trust_files_handler = {
    .on_extras = on_extras,
    .on_trouble = on_trouble,
};

static int add_trust_files(struct certificates *certificates, struct err *err)
{
    const struct trust_config *trust = &certificates->trust;
    for (size_t i = 0; i < trust->num_bundles; i++)
        if (trust_files_add_bundle(certificates->trust_files, trust->bundles[i].trust_domain,
                                   trust->bundles[i].path, err) < 0)
            return -1;
    for (size_t i = 0; i < trust->num_crl_files; i++)
        if (trust_files_add_crl(certificates->trust_files, trust->crl_files[i], err) < 0)
            return -1;
    return 0;
}

/* Says again and again what only time makes wrong. */
static void on_report(void *owner)
{
    struct certificates *certificates = owner;
    const struct identity *identity = rotation_identity(certificates->rotation);
    if (identity != NULL)
        trust_report_log(identity_trust(identity), clock_wall_ms());
    net_timer_start(certificates->report, REPORT_MS);
}

static int make_trust(struct certificates *certificates, struct net_loop *loop, struct err *err)
{
    if (trust_config_parse(&certificates->trust, certificates->options.config, err) < 0)
        return -1;
    certificates->report = net_timer_new(loop, on_report, certificates);
    if (certificates->report == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    certificates->trust_files = trust_files_new(loop, &trust_files_handler, certificates, err);
    return certificates->trust_files == NULL ? -1 : add_trust_files(certificates, err);
}

/* ----------------------------------------------------------------------------- making, ending -- */

static int make_id(struct spiffe_id *id, const struct agent_config *config, struct err *err)
{
    if (spiffe_id_format(id, config->trust_domain, config->pod_namespace, config->service_account,
                         err) < 0)
        return err_prefix(err,
                          "trust-domain \"%.100s\", pod-namespace \"%.100s\" and "
                          "service-account \"%.100s\" make no identity",
                          config->trust_domain, config->pod_namespace, config->service_account);
    return 0;
}

int certificates_check_names(const struct agent_config *config, struct err *err)
{
    struct spiffe_id id = {0};
    struct trust_config trust = {0};
    int rc = make_id(&id, config, err);
    if (rc == 0)
        rc = agent_cert_source_check(config, err);
    if (rc == 0)
        rc = trust_config_parse(&trust, config, err);
    trust_config_done(&trust);
    spiffe_id_done(&id);
    return rc;
}

static int make_rotation(struct certificates *certificates, struct net_loop *loop,
                         struct tls_io *io, struct err *err)
{
    const struct agent_config *config = certificates->options.config;
    if (make_id(&certificates->id, config, err) < 0)
        return -1;
    struct cert_source *source = agent_cert_source_new(io, config, certificates->id.uri, err);
    if (source == NULL)
        return -1;
    /* Whom SPIRE takes us for is SPIRE's to say: its paths are free. */
    bool is_free = config->cert_source == AGENT_CERT_SPIFFE;
    const struct rotation_options options = {
        .identity_uri = is_free ? NULL : certificates->id.uri,
        .jitter_percent = RENEW_JITTER_PERCENT,
        .aliases = certificates->trust.aliases,
        .num_aliases = certificates->trust.num_aliases,
        .crl_strict = config->crl_policy == AGENT_CRL_STRICT,
    };
    certificates->rotation =
        rotation_new(loop, source, &options, &rotation_handler, certificates, err);
    if (certificates->rotation == NULL) {
        cert_source_free(source);
        return -1;
    }
    certificates->source = source;
    return 0;
}

struct certificates *certificates_new(struct net_loop *loop, struct tls_io *io,
                                      const struct certificates_options *options, struct err *err)
{
    struct certificates *certificates = calloc(1, sizeof(*certificates));
    if (certificates == NULL) {
        err_set(err, ERR_NOMEM, "certificates: out of memory");
        return NULL;
    }
    certificates->options = *options;
    if (make_trust(certificates, loop, err) < 0 || make_rotation(certificates, loop, io, err) < 0) {
        certificates_free(certificates);
        return NULL;
    }
    open_cache(certificates);
    certificates->condition = readiness_add(options->readiness, "certificate", "none yet");
    return certificates;
}

void certificates_start(struct certificates *certificates)
{
    trust_files_start(certificates->trust_files);
    net_timer_start(certificates->report, REPORT_FIRST_MS);
}

void certificates_reload(struct certificates *certificates)
{
    agent_cert_source_retry(certificates->source, certificates->options.config);
    if (certificates->rotating)
        rotation_fetch_now(certificates->rotation);
}

const char *certificates_identity(const struct certificates *certificates)
{
    return certificates->id.uri;
}

void certificates_collect(struct certificates *certificates, struct telemetry_control *control)
{
    struct rotation_status status;
    rotation_status_get(certificates->rotation, &status);
    control->certificate_not_before_ms = status.valid ? status.not_before_ms : 0;
    control->certificate_not_after_ms = status.valid ? status.not_after_ms : 0;
    control->certificate_last_rotation_ms = status.last_success_ms;
    for (size_t i = 0; i < NUM_ROTATION_OUTCOMES; i++) {
        certificates->outcomes[i] = (struct telemetry_outcome){
            .name = rotation_outcome_name((enum rotation_outcome)i),
            .count = status.attempts[i],
        };
    }
    const struct identity *identity = rotation_identity(certificates->rotation);
    trust_report_fill(&control->trust, identity == NULL ? NULL : identity_trust(identity),
                      clock_wall_ms());
    control->trust.certificate_revoked = status.is_revoked;
    control->trust.num_unusable_files = trust_files_num_unusable(certificates->trust_files);
    control->trust.num_troubles = status.num_troubles;
    control->rotation_outcomes = certificates->outcomes;
    control->num_rotation_outcomes = NUM_ROTATION_OUTCOMES;
}

void certificates_free(struct certificates *certificates)
{
    if (certificates == NULL)
        return;
    trust_files_free(certificates->trust_files);
    rotation_free(certificates->rotation);
    private_file_close_dir(certificates->cache);
    net_timer_free(certificates->report);
    trust_config_done(&certificates->trust);
    spiffe_id_done(&certificates->id);
    free(certificates);
}
