#include "rotation.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "csr.h"
#include "rng.h"
#include "rotation_plan.h"
#include "rotation_trust.h"
#include "spiffe_id.h"
#include "svid.h"
#include "trust_bundle.h"

/*
 * Every callback of ours ends with at most one call of the owner's handler and touches nothing
 * after it: the owner may have freed the machine. What is left to do then is left to the wake-up
 * timer, which is set before.
 */
struct rotation {
    struct cert_source *source;
    struct rotation_handler handler;
    void *owner;
    struct rotation_options options;
    char *identity_uri; /* NULL: not known yet */

    struct net_timer *wake;
    struct net_timer *fetch_timeout;
    struct csr *csr; /* of the fetch that runs */
    bool is_fetching;
    bool fetch_wanted; /* by the source or the owner, whatever the plan says */

    struct identity *identity;   /* published; NULL: none is valid */
    struct rotation_trust trust; /* what its next one will trust */
    bool set_changed;            /* trust.set, since the identity was made */
    bool set_refused;            /* it cannot be used, which was told */
    int64_t last_wake_ms;
    int64_t retry_at_ms;
    unsigned
        num_retries; /* what the back-off goes by: failures since a success, or since the loss */
    struct rotation_status status;
};

/* What a fetch brought, checked. */
struct candidate {
    struct svid *svid;
    struct trust_bundle *roots;
    struct trust_extras extras;
    int num_troubles; /* parts of `extras` that stayed as they were */
    struct err trouble;
};

static void on_wake(void *owner);
static void on_fetch_timeout(void *owner);

const char *rotation_outcome_name(enum rotation_outcome outcome)
{
    static const char *const NAMES[NUM_ROTATION_OUTCOMES] = {"ok", "unreachable", "denied",
                                                             "rejected", "failed"};
    assert(outcome < NUM_ROTATION_OUTCOMES);
    return NAMES[outcome];
}

/* ----------------------------------------------------------------------------- new and start -- */

static void on_source_changed(void *owner)
{
    rotation_fetch_now(owner);
}

static int copy_uri(struct rotation *rotation, const char *uri, struct err *err)
{
    if (uri == NULL)
        return rotation->source->wants_csr
                   ? err_set(err, ERR_INVALID, "a CA needs to be told which identity to issue")
                   : 0;
    struct spiffe_id id;
    if (spiffe_id_parse(&id, uri, strlen(uri), err) < 0)
        return err_prefix(err, "our identity '%.100s'", uri);
    spiffe_id_done(&id);
    rotation->identity_uri = strdup(uri);
    return rotation->identity_uri == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static void take_options(struct rotation *rotation, const struct rotation_options *options)
{
    rotation->options = *options;
    rotation->options.identity_uri = NULL; /* the copies count */
    rotation->options.aliases = NULL;
    rotation->options.num_aliases = 0;
    if (options->fetch_timeout_ms == 0)
        rotation->options.fetch_timeout_ms = ROTATION_FETCH_TIMEOUT_MS;
    if (options->wall_ms == NULL)
        rotation->options.wall_ms = clock_wall_ms;
    if (options->random == NULL)
        rotation->options.random = rng_u64;
}

struct rotation *rotation_new(struct net_loop *loop, struct cert_source *source,
                              const struct rotation_options *options,
                              const struct rotation_handler *handler, void *owner, struct err *err)
{
    struct rotation *rotation = calloc(1, sizeof(*rotation));
    if (rotation == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    rotation->source = source;
    rotation->handler = *handler;
    rotation->owner = owner;
    take_options(rotation, options);
    if (copy_uri(rotation, options->identity_uri, err) < 0 ||
        rotation_trust_init(&rotation->trust, options->aliases, options->num_aliases,
                            options->crl_strict, err) < 0)
        goto fail;
    rotation->wake = net_timer_new(loop, on_wake, rotation);
    rotation->fetch_timeout = net_timer_new(loop, on_fetch_timeout, rotation);
    if (rotation->wake == NULL || rotation->fetch_timeout == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    source->on_changed = on_source_changed;
    source->owner = rotation;
    return rotation;

fail:
    rotation->source = NULL; /* taken only on success */
    rotation_free(rotation);
    return NULL;
}

void rotation_start(struct rotation *rotation)
{
    rotation_fetch_now(rotation);
}

void rotation_set_extras(struct rotation *rotation, const struct trust_extras *extras)
{
    if (trust_extras_is_same(&rotation->trust.set, extras))
        return;
    trust_extras_done(&rotation->trust.set);
    trust_extras_copy(&rotation->trust.set, extras);
    rotation->set_changed = true;
    rotation->set_refused = false;
    if (rotation->identity != NULL)
        net_timer_start(rotation->wake, 0);
}

const struct trust_extras *rotation_brought(const struct rotation *rotation)
{
    return &rotation->trust.brought;
}

struct identity *rotation_identity(const struct rotation *rotation)
{
    return rotation->identity;
}

const char *rotation_identity_uri(const struct rotation *rotation)
{
    return rotation->identity_uri;
}

void rotation_fetch_now(struct rotation *rotation)
{
    /* While an attempt runs the wish is kept: it may have read what has just been replaced. */
    rotation->fetch_wanted = true;
    if (!rotation->is_fetching)
        net_timer_start(rotation->wake, 0);
}

/* ---------------------------------------------------------------------------------- planning -- */

static struct rotation_view view_at(const struct rotation *rotation, int64_t now_ms)
{
    return (struct rotation_view){
        .now_ms = now_ms,
        .last_wake_ms = rotation->last_wake_ms,
        .not_before_ms = rotation->status.not_before_ms,
        .not_after_ms = rotation->status.not_after_ms,
        .renew_at_ms = rotation->status.renew_at_ms,
        .retry_at_ms = rotation->retry_at_ms,
        .is_fetching = rotation->is_fetching,
    };
}

/* Sets the timer for the next decision. */
static void plan_wake(struct rotation *rotation)
{
    struct rotation_view view = view_at(rotation, rotation->options.wall_ms());
    struct rotation_step step = rotation_plan_next(&view);
    bool is_due =
        step.action != ROTATION_WAIT || (rotation->fetch_wanted && !rotation->is_fetching);
    net_timer_start(rotation->wake, is_due ? 0 : step.wait_ms);
}

/* ----------------------------------------------------------------------- how an attempt ends -- */

static enum rotation_outcome outcome_of(const struct err *err)
{
    switch (err->kind) {
    case ERR_SYSTEM:
    case ERR_TLS:
    case ERR_NOT_FOUND:
    case ERR_TIMEOUT:
        return ROTATION_UNREACHABLE;
    case ERR_DENIED:
        return ROTATION_DENIED;
    case ERR_NONE:
    case ERR_INVALID:
    case ERR_PROTOCOL:
    case ERR_LIMIT:
    case ERR_NOMEM:
    default:
        return ROTATION_FAILED;
    }
}

static void end_attempt(struct rotation *rotation)
{
    rotation->is_fetching = false;
    net_timer_stop(rotation->fetch_timeout);
    csr_free(rotation->csr);
    rotation->csr = NULL;
}

static void fail_attempt(struct rotation *rotation, enum rotation_outcome outcome,
                         const struct err *err)
{
    end_attempt(rotation);
    int64_t now_ms = rotation->options.wall_ms();
    struct rotation_status *status = &rotation->status;
    status->attempts[outcome]++;
    status->num_failures++;
    rotation->num_retries++;
    uint64_t retry_ms = rotation_plan_retry_ms(rotation->num_retries, status->not_after_ms, now_ms,
                                               rotation->options.random());
    rotation->retry_at_ms = now_ms + (int64_t)retry_ms;
    plan_wake(rotation);
    if (rotation->handler.on_failure != NULL)
        rotation->handler.on_failure(rotation->owner, err, retry_ms);
}

/* A source that speaks for its trust domain has old and new ones in it for as long as both count. */
static struct rotation_overlap overlap_with(const struct rotation *rotation,
                                            const struct trust_bundle *roots, int64_t now_ms)
{
    if (rotation->source->speaks_for_trust_domain)
        return (struct rotation_overlap){0};
    return rotation_trust_overlap(&rotation->trust, roots, rotation->status.not_after_ms, now_ms);
}

/* -------------------------------------------------------------------------------- publishing -- */

static void tell_trouble(struct rotation *rotation, const struct err *err)
{
    rotation->status.num_troubles++;
    if (rotation->handler.on_trouble != NULL)
        rotation->handler.on_trouble(rotation->owner, err);
}

/* A CA may be asked for another one; whoever else has brought it is told by the log. */
static void check_revoked(struct rotation *rotation, int64_t now_ms)
{
    struct err err;
    bool was_revoked = rotation->status.is_revoked;
    rotation->status.is_revoked =
        svid_is_revoked(identity_svid(rotation->identity), identity_trust(rotation->identity),
                        &rotation->options.rules, now_ms, &err);
    if (!rotation->status.is_revoked || was_revoked)
        return;
    /* Only ever set here: that the source has something new may have been told a moment ago. */
    if (rotation->source->wants_csr)
        rotation->fetch_wanted = true;
    err_prefix(&err, "our own certificate will be refused by peers");
    tell_trouble(rotation, &err);
}

/* Makes `identity` (taken) the one held. */
static void hold(struct rotation *rotation, struct identity *identity, int64_t now_ms)
{
    const struct svid *svid = identity_svid(identity);
    struct rotation_status *status = &rotation->status;
    identity_unref(rotation->identity);
    rotation->identity = identity;
    rotation->set_changed = rotation->set_refused = false;
    rotation_trust_set_crls(&rotation->trust, identity_trust(identity)->crls);
    status->valid = true;
    status->epoch = identity_epoch(identity);
    status->not_before_ms = svid_not_before_ms(svid);
    status->not_after_ms = svid_not_after_ms(svid);
    check_revoked(rotation, now_ms);
}

static void drop_identity(struct rotation *rotation)
{
    rotation->status.is_revoked = false;
    identity_unref(rotation->identity);
    rotation->identity = NULL;
    rotation->status.valid = false;
    rotation->status.not_before_ms = 0;
    rotation->status.not_after_ms = 0;
    rotation->status.renew_at_ms = 0;
    /* Without an identity the pod is cut off. The many failures that came before say nothing about
     * how long, so it is asked at once, and then as after a start. */
    rotation->retry_at_ms = 0;
    rotation->num_retries = 0;
}

/* ----------------------------------------------------------------------------------- success -- */

static bool is_same_svid(const struct svid *a, const struct svid *b)
{
    size_t num = svid_num_certs(a);
    if (num != svid_num_certs(b))
        return false;
    for (size_t i = 0; i < num; i++) {
        size_t a_len, b_len;
        const uint8_t *a_der = svid_der(a, i, &a_len);
        const uint8_t *b_der = svid_der(b, i, &b_len);
        if (a_len != b_len || memcmp(a_der, b_der, a_len) != 0)
            return false;
    }
    return true;
}

static bool is_held(const struct rotation *rotation, const struct candidate *candidate)
{
    return rotation->identity != NULL &&
           is_same_svid(identity_svid(rotation->identity), candidate->svid) &&
           trust_bundle_is_same(rotation->trust.roots, candidate->roots) &&
           trust_extras_is_same(&rotation->trust.brought, &candidate->extras);
}

static void note_success(struct rotation *rotation, int64_t now_ms)
{
    struct rotation_status *status = &rotation->status;
    status->attempts[ROTATION_OK]++;
    status->num_failures = 0;
    rotation->num_retries = 0;
    status->last_success_ms = now_ms;
    rotation->retry_at_ms = 0;
    /*
     * What a store holds does not get younger by asking for it; the store says when there is
     * something new.
     */
    status->renew_at_ms = rotation->source->wants_csr
                              ? rotation_plan_renew_at_ms(
                                    now_ms, status->not_before_ms, status->not_after_ms,
                                    rotation->options.jitter_percent, rotation->options.random())
                              : 0;
}

static int keep_to_identity(struct rotation *rotation, const struct svid *svid, struct err *err)
{
    if (rotation->identity_uri != NULL)
        return 0;
    rotation->identity_uri = strdup(svid_id(svid)->uri);
    return rotation->identity_uri == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

/*
 * Makes a candidate that has passed the identity held. That what comes beside it is too much, together
 * with what the owner has set, is told and holds up no certificate. 0, or -1 with *err and nothing
 * changed.
 */
static int hold_candidate(struct rotation *rotation, const struct candidate *candidate,
                          int64_t now_ms, struct err *err)
{
    struct rotation_overlap overlap = overlap_with(rotation, candidate->roots, now_ms);
    struct err trouble = {0};
    const struct rotation_parts parts = {candidate->svid, candidate->roots, &overlap,
                                         &candidate->extras};
    struct identity *identity = rotation_trust_make_identity(
        &rotation->trust, &parts, rotation->status.epoch + 1, now_ms, &trouble, err);
    if (identity == NULL)
        return -1;
    rotation_trust_set_roots(&rotation->trust, candidate->roots, &overlap);
    trust_extras_done(&rotation->trust.brought);
    trust_extras_copy(&rotation->trust.brought, &candidate->extras);
    if (trouble.kind != ERR_NONE)
        tell_trouble(rotation, &trouble);
    hold(rotation, identity, now_ms);
    return 0;
}

/* Ends the attempt with a candidate that has passed. */
static void accept_candidate(struct rotation *rotation, const struct candidate *candidate,
                             int64_t now_ms)
{
    struct err err;
    bool is_new = !is_held(rotation, candidate);
    if (keep_to_identity(rotation, candidate->svid, &err) < 0 ||
        (is_new && hold_candidate(rotation, candidate, now_ms, &err) < 0)) {
        fail_attempt(rotation, ROTATION_FAILED, &err);
        return;
    }
    end_attempt(rotation);
    note_success(rotation, now_ms);
    plan_wake(rotation);
    if (is_new)
        rotation->handler.on_identity(rotation->owner, rotation->identity);
}

/* ------------------------------------------------------------------------ judging candidates -- */

static void candidate_done(struct candidate *candidate)
{
    trust_extras_done(&candidate->extras);
    svid_unref(candidate->svid);
    trust_bundle_unref(candidate->roots);
}

static int check_candidate(const struct rotation *rotation, const struct cert_fetched *fetched,
                           int64_t now_ms, struct candidate *candidate, struct err *err)
{
    *candidate = (struct candidate){0};
    if (fetched->key.bytes == NULL && rotation->csr == NULL)
        return err_set(err, ERR_INVALID, "there is no private key");
    candidate->svid = fetched->key.bytes != NULL ? svid_new(&fetched->key, &fetched->chain, err)
                                                 : csr_combine(rotation->csr, &fetched->chain, err);
    if (candidate->svid == NULL)
        return -1;
    candidate->roots =
        trust_bundle_new(svid_id(candidate->svid)->trust_domain, &fetched->roots, err);
    if (candidate->roots == NULL)
        return -1;
    candidate->num_troubles = trust_extras_read(
        &candidate->extras, fetched, svid_id(candidate->svid)->trust_domain,
        &rotation->trust.brought, rotation->options.crl_strict, &candidate->trouble);
    if (candidate->num_troubles < 0) {
        *err = candidate->trouble;
        return -1;
    }
    return svid_check(candidate->svid, candidate->roots, rotation->identity_uri,
                      &rotation->options.rules, now_ms, err);
}

int rotation_offer(struct rotation *rotation, const struct cert_fetched *fetched, struct err *err)
{
    assert(rotation->identity == NULL && !rotation->is_fetching);
    int64_t now_ms = rotation->options.wall_ms();
    struct candidate candidate;
    int result = check_candidate(rotation, fetched, now_ms, &candidate, err);
    if (result == 0)
        result = hold_candidate(rotation, &candidate, now_ms, err);
    candidate_done(&candidate);
    if (result == 0)
        rotation->handler.on_identity(rotation->owner, rotation->identity);
    return result;
}

static void on_fetched(void *owner, const struct cert_fetched *fetched, const struct err *err)
{
    struct rotation *rotation = owner;
    if (fetched == NULL) {
        fail_attempt(rotation, outcome_of(err), err);
        return;
    }
    int64_t now_ms = rotation->options.wall_ms();
    struct candidate candidate;
    struct err why;
    if (check_candidate(rotation, fetched, now_ms, &candidate, &why) < 0) {
        err_prefix(&why, "the certificate from %s is not usable", rotation->source->name);
        fail_attempt(rotation, ROTATION_REJECTED, &why);
    } else {
        if (candidate.num_troubles > 0)
            tell_trouble(rotation, &candidate.trouble);
        accept_candidate(rotation, &candidate, now_ms);
    }
    candidate_done(&candidate);
}

static void on_fetch_timeout(void *owner)
{
    struct rotation *rotation = owner;
    cert_source_cancel(rotation->source);
    struct err err;
    err_set(&err, ERR_TIMEOUT, "no certificate from %s within %llu ms", rotation->source->name,
            (unsigned long long)rotation->options.fetch_timeout_ms);
    fail_attempt(rotation, ROTATION_UNREACHABLE, &err);
}

/* ---------------------------------------------------------------------------------- fetching -- */

static void start_fetch(struct rotation *rotation, int64_t now_ms)
{
    struct err err;
    rotation->fetch_wanted = false;
    rotation->is_fetching = true;
    rotation->status.last_attempt_ms = now_ms;
    net_timer_start(rotation->fetch_timeout, rotation->options.fetch_timeout_ms);
    if (rotation->source->wants_csr) {
        rotation->csr = csr_new(rotation->identity_uri, &err);
        if (rotation->csr == NULL) {
            fail_attempt(rotation, ROTATION_FAILED, &err);
            return;
        }
    }
    const char *csr = rotation->csr == NULL ? NULL : csr_pem(rotation->csr);
    if (cert_source_start_fetch(rotation->source, csr, on_fetched, rotation, &err) < 0) {
        fail_attempt(rotation, outcome_of(&err), &err);
        return;
    }
    plan_wake(rotation);
}

/* Each wake-up tries again: the source may bring less, and memory comes back. */
static void refuse_set(struct rotation *rotation, struct err *err)
{
    if (rotation->set_refused)
        return;
    rotation->set_refused = true;
    err_prefix(err, "changed trust cannot be used; the one before counts");
    tell_trouble(rotation, err);
}

/*
 * The same certificate with other trust: the former roots' time is over, or the owner has set
 * something. True when the owner was called.
 */
static bool republish(struct rotation *rotation, int64_t now_ms)
{
    static const struct rotation_overlap NONE = {0};
    bool is_over =
        rotation->trust.overlap.former != NULL && now_ms >= rotation->trust.overlap.until_ms;
    if (!is_over && !rotation->set_changed)
        return false;
    struct rotation_overlap overlap = is_over ? NONE : rotation->trust.overlap;
    struct identity *identity = NULL;
    struct err err;
    if (rotation->identity != NULL) {
        const struct rotation_parts parts = {identity_svid(rotation->identity),
                                             rotation->trust.roots, &overlap,
                                             &rotation->trust.brought};
        identity = rotation_trust_make_identity(&rotation->trust, &parts,
                                                rotation->status.epoch + 1, now_ms, NULL, &err);
        if (identity == NULL) {
            refuse_set(rotation, &err);
            return false;
        }
    }
    rotation->set_changed = false;
    if (is_over)
        rotation_trust_set_roots(&rotation->trust, rotation->trust.roots, &NONE);
    if (identity == NULL)
        return false;
    hold(rotation, identity, now_ms);
    plan_wake(rotation);
    rotation->handler.on_identity(rotation->owner, identity);
    return true;
}

static void on_wake(void *owner)
{
    struct rotation *rotation = owner;
    int64_t now_ms = rotation->options.wall_ms();
    struct rotation_view view = view_at(rotation, now_ms);
    struct rotation_step step = rotation_plan_next(&view);
    rotation->last_wake_ms = now_ms;
    if (step.action == ROTATION_DROP) {
        drop_identity(rotation);
        plan_wake(rotation);
        rotation->handler.on_identity(rotation->owner, NULL);
        return;
    }
    if (republish(rotation, now_ms))
        return;
    bool is_due = step.action == ROTATION_RENEW || rotation->fetch_wanted;
    if (is_due && !rotation->is_fetching)
        start_fetch(rotation, now_ms);
    else
        plan_wake(rotation);
}

/* --------------------------------------------------------------------------- asking, freeing -- */

void rotation_status_get(const struct rotation *rotation, struct rotation_status *out)
{
    *out = rotation->status;
    out->next_attempt_ms =
        rotation->retry_at_ms != 0 ? rotation->retry_at_ms : rotation->status.renew_at_ms;
}

void rotation_free(struct rotation *rotation)
{
    if (rotation == NULL)
        return;
    cert_source_free(rotation->source);
    net_timer_free(rotation->wake);
    net_timer_free(rotation->fetch_timeout);
    csr_free(rotation->csr);
    identity_unref(rotation->identity);
    rotation_trust_done(&rotation->trust);
    free(rotation->identity_uri);
    free(rotation);
}
