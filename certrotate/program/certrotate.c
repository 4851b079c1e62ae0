#include "certrotate.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "action.h"
#include "ca_client.h"
#include "cert_output.h"
#include "clock.h"
#include "log.h"
#include "private_file.h"
#include "rotation.h"
#include "rotation_metrics.h"
#include "tls_io.h"
#include "workload_api.h"

enum {
    RENEW_JITTER_PERCENT = 10,      /* as the agent */
    WRITE_RETRY_FIRST_MS = 1000,    /* doubling ... */
    WRITE_RETRY_MAX_MS = 60 * 1000, /* ... to this */
    VARIABLE_MAX = 4200,            /* bytes of one of the hook's variables; a path */
    NUM_SIGNALS = 3,
};

static const int signal_numbers[NUM_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

struct certrotate {
    const struct certrotate_config *config;
    struct net_loop *loop;
    struct tls_io *io;
    struct rotation *rotation;
    struct cert_source *spiffe; /* the rotation's, when it is the Workload API */
    struct cert_output *output;
    struct action *action;
    struct private_dir *metrics_dir; /* NULL: no metrics */
    struct net_signal *signals[NUM_SIGNALS];

    struct identity *identity; /* to be written, or written; NULL: none valid */
    struct net_timer *write_retry;
    unsigned num_write_failures; /* in a row */
    struct rotation_metrics_extra counts;

    struct net_timer *once_timer;
    enum certrotate_exit exit; /* with once: what the latest attempt came to */
};

static void end(struct certrotate *certrotate, enum certrotate_exit exit)
{
    certrotate->exit = exit;
    net_loop_stop(certrotate->loop);
}

/* ------------------------------------------------------------------------------------- metrics -- */

static void write_metrics(struct certrotate *certrotate)
{
    if (certrotate->metrics_dir == NULL)
        return;
    /* For collectors, which run as another user; there is no secret in it. */
    static const struct private_file_rights RIGHTS = {.mode = 0644};
    struct rotation_status status;
    struct buf text = {0};
    struct err err;
    rotation_status_get(certrotate->rotation, &status);
    if (rotation_metrics_write(&status, &certrotate->counts, &text) == 0 &&
        private_file_write(certrotate->metrics_dir, certrotate->config->metrics_name, &RIGHTS,
                           buf_head(&text), buf_len(&text), &err) < 0)
        LOG_WARN("certrotate", "metrics not written", LOG_S("error", err.message));
    buf_done(&text);
}

/* -------------------------------------------------------------------- telling the other program -- */

static void start_action(struct certrotate *certrotate)
{
    const struct identity *identity = certrotate->identity;
    const struct svid *svid = identity_svid(identity);
    char dir[VARIABLE_MAX], id[VARIABLE_MAX], serial[VARIABLE_MAX], not_after[VARIABLE_MAX];
    char time[CLOCK_TEXT_MAX];
    snprintf(dir, sizeof(dir), "REMORA_CERTROTATE_DIR=%s", certrotate->config->output_dir);
    snprintf(id, sizeof(id), "REMORA_CERTROTATE_IDENTITY=%s", identity_id(identity)->uri);
    snprintf(serial, sizeof(serial), "REMORA_CERTROTATE_SERIAL=%s", svid_serial(svid));
    snprintf(not_after, sizeof(not_after), "REMORA_CERTROTATE_NOT_AFTER=%s",
             clock_format(svid_not_after_ms(svid), time));
    action_start(certrotate->action, (const char *const[]){dir, id, serial, not_after, NULL});
}

static void on_action_done(void *owner, const struct err *err, uint64_t retry_ms)
{
    struct certrotate *certrotate = owner;
    const struct certrotate_config *config = certrotate->config;
    bool has_action = config->hook[0] != '\0' || config->signum != 0;
    if (err != NULL) {
        certrotate->counts.num_not_told++;
        LOG_WARN("certrotate", "files are in place, but the program could not be told",
                 LOG_S("error", err->message), LOG_U("retry_in_ms", retry_ms));
    } else if (has_action) {
        certrotate->counts.num_told++;
        LOG_INFO("certrotate", "program told",
                 LOG_S("by", config->signum != 0 ? "signal" : "hook"));
    }
    write_metrics(certrotate);
    if (config->once)
        end(certrotate, err == NULL ? CERTROTATE_DONE : CERTROTATE_NOT_TOLD);
}

/* ------------------------------------------------------------------------------- writing files -- */

static void log_written(const struct certrotate *certrotate)
{
    const struct identity *identity = certrotate->identity;
    const struct svid *svid = identity_svid(identity);
    char not_before[CLOCK_TEXT_MAX], not_after[CLOCK_TEXT_MAX];
    LOG_INFO("certrotate", "files written", LOG_S("dir", certrotate->config->output_dir),
             LOG_S("identity", identity_id(identity)->uri), LOG_S("serial", svid_serial(svid)),
             LOG_S("not_before", clock_format(svid_not_before_ms(svid), not_before)),
             LOG_S("not_after", clock_format(svid_not_after_ms(svid), not_after)),
             LOG_U("epoch", identity_epoch(identity)));
}

static void on_write_failed(struct certrotate *certrotate, const struct err *err)
{
    uint64_t retry_ms = WRITE_RETRY_FIRST_MS;
    for (unsigned i = 0; i < certrotate->num_write_failures && retry_ms < WRITE_RETRY_MAX_MS; i++)
        retry_ms *= 2;
    if (retry_ms > WRITE_RETRY_MAX_MS)
        retry_ms = WRITE_RETRY_MAX_MS;
    certrotate->num_write_failures++;
    certrotate->counts.num_write_failures++;
    LOG_ERROR("certrotate", "files not written; those before are as they were",
              LOG_S("error", err->message), LOG_U("retry_in_ms", retry_ms));
    net_timer_start(certrotate->write_retry, retry_ms);
    if (certrotate->config->once)
        end(certrotate, CERTROTATE_NOT_WRITTEN);
}

static void write_files(void *owner)
{
    struct certrotate *certrotate = owner;
    struct err err;
    if (certrotate->identity == NULL)
        return;
    net_timer_stop(certrotate->write_retry);
    if (cert_output_write(certrotate->output, certrotate->identity, &err) < 0) {
        on_write_failed(certrotate, &err);
    } else {
        certrotate->num_write_failures = 0;
        certrotate->counts.written_ms = clock_wall_ms();
        log_written(certrotate);
        start_action(certrotate);
    }
    write_metrics(certrotate);
}

/* ----------------------------------------------------------------------------- what rotation says -- */

static void on_identity(void *owner, struct identity *identity)
{
    struct certrotate *certrotate = owner;
    identity_unref(certrotate->identity);
    certrotate->identity = identity == NULL ? NULL : identity_ref(identity);
    if (identity == NULL) {
        /* The files stay: the program that uses them says best what it does with an expired one. */
        LOG_ERROR("certrotate", "certificate expired and no successor: the files are out of date",
                  LOG_S("dir", certrotate->config->output_dir));
        write_metrics(certrotate);
        return;
    }
    write_files(certrotate);
}

static enum certrotate_exit exit_of(const struct err *err)
{
    if (err->kind == ERR_DENIED)
        return CERTROTATE_DENIED;
    bool is_bad = err->kind == ERR_INVALID || err->kind == ERR_PROTOCOL || err->kind == ERR_LIMIT;
    return is_bad ? CERTROTATE_REJECTED : CERTROTATE_UNAVAILABLE;
}

static void on_failure(void *owner, const struct err *err, uint64_t retry_ms)
{
    struct certrotate *certrotate = owner;
    LOG_WARN("certrotate", "attempt to get a certificate failed", LOG_S("error", err->message),
             LOG_S("in_force", certrotate->identity != NULL ? "the one before" : "none"),
             LOG_U("retry_in_ms", retry_ms));
    certrotate->exit = exit_of(err);
    write_metrics(certrotate);
}

static void on_trouble(void *owner, const struct err *err)
{
    (void)owner;
    LOG_WARN("certrotate", "not all is well with the certificate", LOG_S("error", err->message));
}

static const struct rotation_handler rotation_handler = {
    .on_identity = on_identity,
    .on_failure = on_failure,
    .on_trouble = on_trouble,
};

/* ------------------------------------------------------------------------------------- signals -- */

static void on_signal(void *owner, int signum)
{
    struct certrotate *certrotate = owner;
    if (signum == SIGHUP) {
        LOG_INFO("certrotate", "renewing now", LOG_S("signal", "HUP"));
        if (certrotate->spiffe != NULL)
            workload_api_retry(certrotate->spiffe);
        rotation_fetch_now(certrotate->rotation);
        return;
    }
    LOG_INFO("certrotate", "ending", LOG_S("signal", sigabbrev_np(signum)));
    /* With once the work was not done, whatever ended it. */
    end(certrotate, certrotate->config->once ? certrotate->exit : CERTROTATE_DONE);
}

static void on_once_timeout(void *owner)
{
    struct certrotate *certrotate = owner;
    LOG_ERROR("certrotate", "no certificate in time",
              LOG_U("once_timeout_ms", certrotate->config->once_timeout_ms));
    end(certrotate, certrotate->exit);
}

/* ----------------------------------------------------------------------------- making, ending -- */

static struct cert_source *
make_spiffe_source(struct tls_io *io, const struct certrotate_config *config, struct err *err)
{
    const struct workload_api_options options = {
        .endpoint = config->spiffe_endpoint,
        .hint = config->spiffe_hint,
        .spiffe_id = config->identity,
    };
    return workload_api_new(io, &options, err);
}

static struct cert_source *make_ca_source(struct tls_io *io, const struct certrotate_config *config,
                                          struct err *err)
{
    const struct ca_client_options options = {
        .address = config->ca_address,
        .server_name = config->ca_server_name,
        .roots_file = config->ca_root_file,
        .token_file = config->token_file,
        .cluster_id = config->cluster_id,
        .validity_s = (int64_t)(config->cert_ttl_ms / 1000),
    };
    return ca_client_new(io, &options, err);
}

static int make_rotation(struct certrotate *certrotate, struct err *err)
{
    const struct certrotate_config *config = certrotate->config;
    certrotate->io = tls_io_new(certrotate->loop);
    if (certrotate->io == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct cert_source *source = config->source == CERTROTATE_SPIFFE
                                     ? make_spiffe_source(certrotate->io, config, err)
                                     : make_ca_source(certrotate->io, config, err);
    if (source == NULL)
        return err_prefix(err, "certificate source");
    certrotate->spiffe = config->source == CERTROTATE_SPIFFE ? source : NULL;
    const struct rotation_options options = {
        .identity_uri = config->identity[0] != '\0' ? config->identity : NULL,
        .jitter_percent = RENEW_JITTER_PERCENT,
    };
    certrotate->rotation =
        rotation_new(certrotate->loop, source, &options, &rotation_handler, certrotate, err);
    if (certrotate->rotation == NULL) {
        cert_source_free(source);
        return -1;
    }
    return 0;
}

static int make_output(struct certrotate *certrotate, struct err *err)
{
    const struct certrotate_config *config = certrotate->config;
    const struct cert_output_options options = {
        .dir = config->output_dir,
        .memory_only = config->memory_only,
        .names = {.chain = config->cert_name,
                  .key = config->key_name,
                  .bundle = config->bundle_name,
                  .combined = config->combined_name,
                  .federated = config->federated_name,
                  .crl = config->crl_name},
        .mode = config->mode,
        .key_mode = config->key_mode,
        .has_uid = config->has_uid,
        .has_gid = config->has_gid,
        .uid = config->uid,
        .gid = config->gid,
    };
    certrotate->output = cert_output_new(&options, err);
    if (certrotate->output == NULL)
        return -1;
    if (config->metrics_name[0] == '\0')
        return 0;
    certrotate->metrics_dir = private_file_open_dir(config->output_dir, false, err);
    return certrotate->metrics_dir == NULL ? -1 : 0;
}

static int make_action(struct certrotate *certrotate, struct err *err)
{
    const struct certrotate_config *config = certrotate->config;
    const struct action_options options = {
        .hook = config->hook,
        .hook_timeout_ms = config->hook_timeout_ms,
        .signum = config->signum,
        .pid = (pid_t)config->pid,
        .pid_file = config->pid_file,
    };
    certrotate->action = action_new(certrotate->loop, &options, on_action_done, certrotate, err);
    return certrotate->action == NULL ? -1 : 0;
}

static int make_signals(struct certrotate *certrotate, struct err *err)
{
    for (int i = 0; i < NUM_SIGNALS; i++) {
        certrotate->signals[i] =
            net_signal_new(certrotate->loop, signal_numbers[i], on_signal, certrotate, err);
        if (certrotate->signals[i] == NULL)
            return -1;
    }
    return 0;
}

static int make(struct certrotate *certrotate, struct err *err)
{
    certrotate->loop = net_loop_new(err);
    if (certrotate->loop == NULL)
        return -1;
    certrotate->write_retry = net_timer_new(certrotate->loop, write_files, certrotate);
    certrotate->once_timer = net_timer_new(certrotate->loop, on_once_timeout, certrotate);
    if (certrotate->write_retry == NULL || certrotate->once_timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (make_output(certrotate, err) < 0 || make_action(certrotate, err) < 0)
        return -1;
    if (make_rotation(certrotate, err) < 0)
        return -1;
    return make_signals(certrotate, err);
}

static void done(struct certrotate *certrotate)
{
    for (int i = 0; i < NUM_SIGNALS; i++)
        net_signal_free(certrotate->signals[i]);
    rotation_free(certrotate->rotation);
    tls_io_free(certrotate->io);
    action_free(certrotate->action);
    cert_output_free(certrotate->output);
    private_file_close_dir(certrotate->metrics_dir);
    identity_unref(certrotate->identity);
    net_timer_free(certrotate->write_retry);
    net_timer_free(certrotate->once_timer);
    int num_left = net_loop_free(certrotate->loop);
    if (num_left != 0)
        LOG_ERROR("certrotate", "the loop left handles open", LOG_I("handles", num_left));
}

enum certrotate_exit certrotate_run(const struct certrotate_config *config, struct err *err)
{
    struct certrotate certrotate = {
        .config = config,
        .exit = config->once ? CERTROTATE_UNAVAILABLE : CERTROTATE_DONE,
    };
    if (make(&certrotate, err) < 0) {
        certrotate.exit = CERTROTATE_FAILED;
    } else {
        if (config->once)
            net_timer_start(certrotate.once_timer, config->once_timeout_ms);
        rotation_start(certrotate.rotation);
        net_loop_run(certrotate.loop);
    }
    done(&certrotate);
    return certrotate.exit;
}
