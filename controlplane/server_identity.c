#include "server_identity.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

enum {
    LOOK_MAX_MS =
        30 * 1000, /* a clock that is set, or a machine that slept, is noticed within this */
    LOOK_MIN_MS = 250,
};

struct server_identity {
    struct ca_issuer *issuer;
    struct server_identity_options options;
    char *host;
    struct net_timer *timer;
    struct tls_context *context;
    int64_t not_before_ms;
    int64_t not_after_ms;
};

static int renew(struct server_identity *identity, struct err *err)
{
    struct ca_server_cert cert;
    int64_t lifetime_s = (int64_t)(identity->options.lifetime_ms / 1000);
    if (ca_issuer_issue_server(identity->issuer, identity->host, lifetime_s, clock_wall_ms(), &cert,
                               err) < 0)
        return -1;
    struct tls_context *context = tls_context_new_server(
        cert.key_pem, strlen(cert.key_pem), cert.chain_pem, strlen(cert.chain_pem), err);
    if (context != NULL) {
        tls_context_unref(identity->context);
        identity->context = context;
        identity->not_before_ms = cert.not_before_ms;
        identity->not_after_ms = cert.not_after_ms;
    }
    ca_server_cert_done(&cert);
    return context == NULL ? -1 : 0;
}

static int64_t renew_at_ms(const struct server_identity *identity)
{
    return identity->not_before_ms + (identity->not_after_ms - identity->not_before_ms) / 2;
}

static void schedule(struct server_identity *identity)
{
    int64_t wait_ms = renew_at_ms(identity) - clock_wall_ms();
    if (wait_ms > LOOK_MAX_MS)
        wait_ms = LOOK_MAX_MS;
    if (wait_ms < LOOK_MIN_MS)
        wait_ms = LOOK_MIN_MS;
    net_timer_start(identity->timer, (uint64_t)wait_ms);
}

static void on_timeout(void *owner)
{
    struct server_identity *identity = owner;
    struct err err;
    char not_after[CLOCK_TEXT_MAX];
    int64_t now_ms = clock_wall_ms();
    if (now_ms >= renew_at_ms(identity) || now_ms < identity->not_before_ms) {
        if (renew(identity, &err) < 0) {
            LOG_ERROR("controlplane", "server certificate could not be renewed",
                      LOG_S("error", err.message));
        } else {
            LOG_INFO("controlplane", "server certificate renewed",
                     LOG_S("not_after", clock_format(identity->not_after_ms, not_after)));
            identity->options.on_renewed(identity->options.owner, identity->context);
        }
    }
    schedule(identity);
}

struct server_identity *server_identity_new(struct net_loop *loop, struct ca_issuer *issuer,
                                            const struct server_identity_options *options,
                                            struct err *err)
{
    struct server_identity *identity = calloc(1, sizeof(*identity));
    if (identity == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    identity->issuer = issuer;
    identity->options = *options;
    identity->host = strdup(options->host);
    identity->timer = net_timer_new(loop, on_timeout, identity);
    if (identity->host == NULL || identity->timer == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    if (renew(identity, err) < 0)
        goto fail;
    schedule(identity);
    return identity;

fail:
    server_identity_free(identity);
    return NULL;
}

void server_identity_free(struct server_identity *identity)
{
    if (identity == NULL)
        return;
    net_timer_free(identity->timer);
    tls_context_unref(identity->context);
    free(identity->host);
    free(identity);
}

struct tls_context *server_identity_context(const struct server_identity *identity)
{
    return identity->context;
}
