#include "control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "csr.h"

enum { WATCHDOG_MS = 10 * 1000 };

void control_fixture_write(const char *path, const char *text)
{
    char draft[160];
    snprintf(draft, sizeof(draft), "%s.new", path);
    FILE *file = fopen(draft, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(draft, path), 0);
}

static void set_config(struct control_fixture *fixture)
{
    fixture->config = (struct controlplane_config){
        .discovery_dir = "",
        .server_name = "controlplane.test",
        .state_dir = fixture->state_dir,
        .ca_cert_file = "",
        .ca_key_file = "",
        .tokens_file = fixture->tokens_file,
        .trust_domain = "cluster.local",
        .cert_ttl_ms = 3600 * 1000,
        .max_cert_ttl_ms = 7200 * 1000,
        .server_cert_ttl_ms = 3600 * 1000,
        .max_connections = 10,
        .handshake_timeout_ms = 5000,
        .idle_timeout_ms = 5000,
    };
    assert_int_equal(addr_parse(&fixture->config.listen, "127.0.0.1:1", NULL), 0);
    fixture->config.listen.port = 0;
}

int control_fixture_setup(void **state)
{
    struct control_fixture *fixture = calloc(1, sizeof(*fixture));
    struct err err;
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/remora-control-XXXXXX");
    if (mkdtemp(fixture->dir) == NULL)
        return -1;
    snprintf(fixture->state_dir, sizeof(fixture->state_dir), "%s/state", fixture->dir);
    snprintf(fixture->tokens_file, sizeof(fixture->tokens_file), "%s/tokens.yaml", fixture->dir);
    snprintf(fixture->token_file, sizeof(fixture->token_file), "%s/token", fixture->dir);
    snprintf(fixture->root_file, sizeof(fixture->root_file), "%s/state/root.pem", fixture->dir);
    control_fixture_write(fixture->tokens_file, "tokens:\n- {token: " CONTROL_FIXTURE_TOKEN
                                                ", namespace: shop, serviceAccount: frontend}\n");
    control_fixture_write(fixture->token_file, CONTROL_FIXTURE_TOKEN "\n");
    fixture->loop = net_loop_new(&err);
    fixture->io = tls_io_new(fixture->loop);
    set_config(fixture);
    *state = fixture;
    return 0;
}

int control_fixture_teardown(void **state)
{
    struct control_fixture *fixture = *state;
    char command[128];
    controlplane_free(fixture->controlplane);
    tls_io_free(fixture->io);
    assert_int_equal(net_loop_free(fixture->loop), 0);
    snprintf(command, sizeof(command), "rm -rf %s", fixture->dir);
    int rc = system(command);
    free(fixture);
    return rc;
}

void control_fixture_set_port(struct control_fixture *fixture, uint16_t port)
{
    snprintf(fixture->address, sizeof(fixture->address), "127.0.0.1:%u", port);
}

void control_fixture_start(struct control_fixture *fixture)
{
    struct err err;
    fixture->controlplane = controlplane_new(fixture->loop, &fixture->config, &err);
    if (fixture->controlplane == NULL)
        fail_msg("%s", err.message);
    control_fixture_set_port(fixture, controlplane_addr(fixture->controlplane)->port);
}

struct ca_client_options control_fixture_options(const struct control_fixture *fixture)
{
    return (struct ca_client_options){.address = fixture->address,
                                      .server_name = "controlplane.test",
                                      .roots_file = fixture->root_file,
                                      .token_file = fixture->token_file,
                                      .cluster_id = "Kubernetes",
                                      .validity_s = 600};
}

static void on_watchdog(void *owner)
{
    struct control_fixture *fixture = owner;
    fixture->timed_out = true;
    net_loop_stop(fixture->loop);
}

struct waiting {
    struct control_fixture *fixture;
    const bool *done;
    struct net_timer *look;
};

static void on_look(void *owner)
{
    struct waiting *waiting = owner;
    if (*waiting->done)
        net_loop_stop(waiting->fixture->loop);
    else
        net_timer_start(waiting->look, 1);
}

void control_fixture_run(struct control_fixture *fixture, const bool *done)
{
    struct net_timer *watchdog = net_timer_new(fixture->loop, on_watchdog, fixture);
    struct waiting waiting = {.fixture = fixture, .done = done};
    waiting.look = net_timer_new(fixture->loop, on_look, &waiting);
    net_timer_start(watchdog, WATCHDOG_MS);
    net_timer_start(waiting.look, 0);
    net_loop_run(fixture->loop);
    net_timer_free(watchdog);
    net_timer_free(waiting.look);
    if (fixture->timed_out)
        fail_msg("nothing happened for %d ms", WATCHDOG_MS);
}

static void on_fetched(void *owner, const struct cert_fetched *fetched, const struct err *err)
{
    struct control_fetch *fetch = owner;
    assert_false(fetch->done);
    fetch->done = true;
    if (fetched == NULL) {
        fetch->err = *err;
        return;
    }
    assert_null(fetched->key.bytes);
    fetch->chain_pem = strndup(fetched->chain.bytes, fetched->chain.len);
    fetch->roots_pem = strndup(fetched->roots.bytes, fetched->roots.len);
}

void control_fetch_done(struct control_fetch *fetch)
{
    free(fetch->chain_pem);
    free(fetch->roots_pem);
    *fetch = (struct control_fetch){0};
}

void control_fixture_fetch_on(struct control_fixture *fixture, struct cert_source *source,
                              const char *pem, struct control_fetch *fetch)
{
    struct csr *made = NULL;
    *fetch = (struct control_fetch){0};
    if (pem == NULL) {
        made = csr_new(CONTROL_FIXTURE_IDENTITY, &fetch->err);
        assert_non_null(made);
        pem = csr_pem(made);
    }
    if (cert_source_start_fetch(source, pem, on_fetched, fetch, &fetch->err) == 0)
        control_fixture_run(fixture, &fetch->done);
    csr_free(made);
}

void control_fixture_fetch(struct control_fixture *fixture, const struct ca_client_options *options,
                           struct control_fetch *fetch)
{
    struct err err;
    struct cert_source *source = ca_client_new(fixture->io, options, &err);
    if (source == NULL)
        fail_msg("%s", err.message);
    control_fixture_fetch_on(fixture, source, NULL, fetch);
    cert_source_free(source);
}

void control_fetch_expect_error(const struct control_fetch *fetch, enum err_kind kind,
                                const char *words)
{
    char copy[512];
    const char *at = fetch->err.message;
    if (fetch->chain_pem != NULL)
        fail_msg("succeeded");
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *rest, *word = strtok_r(copy, "|", &rest); word != NULL;
         word = strtok_r(NULL, "|", &rest)) {
        at = strstr(at, word);
        if (at == NULL)
            fail_msg("expected \"%s\" in \"%s\"", word, fetch->err.message);
    }
    if (fetch->err.kind != kind)
        fail_msg("expected kind %d, is %d: %s", kind, fetch->err.kind, fetch->err.message);
    assert_null(strstr(fetch->err.message, CONTROL_FIXTURE_TOKEN));
}
