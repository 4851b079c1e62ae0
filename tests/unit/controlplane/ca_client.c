/* The client against the real control plane. */
#include "ca_client.h"

#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "control_fixture.h"
#include "csr.h"
#include "log.h"
#include "svid.h"
#include "trust_bundle.h"

/* Judges a fetched chain as the rotation machine does. */
static int check(const struct csr *csr, const struct control_fetch *fetch, const char *expected,
                 struct err *err)
{
    struct trust_bundle *bundle =
        trust_bundle_new_pem("cluster.local", fetch->roots_pem, strlen(fetch->roots_pem), err);
    assert_non_null(bundle);
    const struct cert_bytes chain = {.bytes = fetch->chain_pem, .len = strlen(fetch->chain_pem)};
    struct svid *svid = csr_combine(csr, &chain, err);
    int result = svid == NULL ? -1 : svid_check(svid, bundle, expected, NULL, clock_wall_ms(), err);
    svid_unref(svid);
    trust_bundle_unref(bundle);
    return result;
}

static void fetch_and_check(struct control_fixture *fixture)
{
    struct err err = {0};
    struct control_fetch fetch;
    struct ca_client_options options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    struct csr *csr = csr_new(CONTROL_FIXTURE_IDENTITY, &err);
    assert_true(source != NULL && csr != NULL);
    control_fixture_fetch_on(fixture, source, csr_pem(csr), &fetch);
    if (fetch.chain_pem == NULL)
        fail_msg("%s", fetch.err.message);
    if (check(csr, &fetch, CONTROL_FIXTURE_IDENTITY, &err) < 0)
        fail_msg("%s", err.message);
    control_fetch_done(&fetch);
    csr_free(csr);
    cert_source_free(source);
}

static void a_certificate_for_the_tokens_identity_is_had(void **state)
{
    struct control_fixture *fixture = *state;
    control_fixture_start(fixture);
    fetch_and_check(fixture);
}

static void a_certificate_by_an_intermediate_is_had(void **state)
{
    struct control_fixture *fixture = *state;
    fixture->config.intermediate = true;
    control_fixture_start(fixture);
    fetch_and_check(fixture);
}

/* Not where there is no hosts file, and so no name: in a bare root file system. */
static void the_control_planes_name_is_looked_up(void **state)
{
    struct control_fixture *fixture = *state;
    struct addrinfo *found = NULL;
    control_fixture_start(fixture);
    if (getaddrinfo("localhost", NULL, NULL, &found) != 0)
        skip();
    freeaddrinfo(found);
    snprintf(fixture->address, sizeof(fixture->address), "localhost:%u",
             controlplane_addr(fixture->controlplane)->port);
    fetch_and_check(fixture);
}

static void several_fetches_follow_each_other_on_one_source(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    for (int i = 0; i < 3; i++) {
        struct control_fetch fetch;
        control_fixture_fetch_on(fixture, source, NULL, &fetch);
        assert_non_null(fetch.chain_pem);
        control_fetch_done(&fetch);
    }
    cert_source_free(source);
}

static void a_request_for_another_identity_gets_our_own_and_is_seen_through(void **state)
{
    struct control_fixture *fixture = *state;
    static const char admin[] = "spiffe://cluster.local/ns/shop/sa/admin";
    struct err err;
    struct control_fetch fetch;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    struct csr *csr = csr_new(admin, &err);
    control_fixture_fetch_on(fixture, source, csr_pem(csr), &fetch);
    assert_non_null(fetch.chain_pem);
    assert_int_equal(check(csr, &fetch, CONTROL_FIXTURE_IDENTITY, &err), 0);
    assert_int_equal(check(csr, &fetch, admin, &err), -1);
    control_fetch_done(&fetch);
    csr_free(csr);
    cert_source_free(source);
}

/* ----------------------------------------------------------------------------------- refusals -- */

static void fetch_expecting(struct control_fixture *fixture,
                            const struct ca_client_options *options, enum err_kind kind,
                            const char *words)
{
    struct control_fetch fetch;
    control_fixture_fetch(fixture, options, &fetch);
    control_fetch_expect_error(&fetch, kind, words);
    control_fetch_done(&fetch);
}

static void an_unknown_token_is_refused_in_words(void **state)
{
    struct control_fixture *fixture = *state;
    char words[512];
    control_fixture_start(fixture);
    control_fixture_write(fixture->token_file, "some-other-token");
    struct ca_client_options options = control_fixture_options(fixture);
    snprintf(words, sizeof(words),
             "token of %s|control plane %s|refused the token|UNAUTHENTICATED|unknown token",
             fixture->token_file, fixture->address);
    fetch_expecting(fixture, &options, ERR_DENIED, words);
}

static void the_token_file_is_read_again_for_each_call(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    struct control_fetch fetch;
    control_fixture_start(fixture);
    control_fixture_write(fixture->token_file, "expired");
    struct ca_client_options options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    control_fixture_fetch_on(fixture, source, NULL, &fetch);
    assert_int_equal(fetch.err.kind, ERR_DENIED);
    control_fixture_write(fixture->token_file, "\n " CONTROL_FIXTURE_TOKEN " \r\n");
    control_fixture_fetch_on(fixture, source, NULL, &fetch);
    assert_non_null(fetch.chain_pem);
    control_fetch_done(&fetch);
    cert_source_free(source);
}

static void a_token_file_that_cannot_be_used_is_named(void **state)
{
    struct control_fixture *fixture = *state;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    control_fixture_write(fixture->token_file, "");
    fetch_expecting(fixture, &options, ERR_INVALID, "token file|/token is empty");
    control_fixture_write(fixture->token_file, " \n\n");
    fetch_expecting(fixture, &options, ERR_INVALID, "token file|/token is empty");
    control_fixture_write(fixture->token_file, CONTROL_FIXTURE_TOKEN "\nx: y");
    fetch_expecting(fixture, &options, ERR_INVALID, "token file|more than one word");
    unlink(fixture->token_file);
    fetch_expecting(fixture, &options, ERR_NOT_FOUND, "token file|/token does not exist");
}

static void a_bad_request_is_refused_in_words(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    struct control_fetch fetch;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    control_fixture_fetch_on(fixture, source, "no request", &fetch);
    control_fetch_expect_error(&fetch, ERR_DENIED,
                               "refused the request (INVALID_ARGUMENT)|signing request|not PEM");
    control_fetch_done(&fetch);
    cert_source_free(source);
}

static void a_server_of_another_root_is_refused(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    control_fixture_start(fixture);
    /* Another control plane's root. */
    struct controlplane_config other = fixture->config;
    char state_dir[128], root_file[256];
    snprintf(state_dir, sizeof(state_dir), "%s/other", fixture->dir);
    snprintf(root_file, sizeof(root_file), "%s/root.pem", state_dir);
    other.state_dir = state_dir;
    struct controlplane *another = controlplane_new(fixture->loop, &other, &err);
    assert_non_null(another);
    struct ca_client_options options = control_fixture_options(fixture);
    options.roots_file = root_file;
    fetch_expecting(fixture, &options, ERR_TLS, "control plane 127.0.0.1:");
    controlplane_free(another);
}

static void a_server_of_another_name_is_refused(void **state)
{
    struct control_fixture *fixture = *state;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    options.server_name = "istiod.istio-system.svc";
    fetch_expecting(fixture, &options, ERR_TLS, "control plane 127.0.0.1:|istiod.istio-system.svc");
    options.server_name = NULL;
    fetch_expecting(fixture, &options, ERR_TLS, "control plane 127.0.0.1:|127.0.0.1");
}

static void a_closed_port_is_named(void **state)
{
    struct control_fixture *fixture = *state;
    control_fixture_start(fixture);
    controlplane_free(fixture->controlplane);
    fixture->controlplane = NULL;
    struct ca_client_options options = control_fixture_options(fixture);
    char words[128];
    snprintf(words, sizeof(words), "control plane %s|refused", fixture->address);
    fetch_expecting(fixture, &options, ERR_SYSTEM, words);
}

static void a_roots_file_that_cannot_be_used_is_named(void **state)
{
    struct control_fixture *fixture = *state;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    options.roots_file = fixture->tokens_file;
    fetch_expecting(fixture, &options, ERR_INVALID, "tokens.yaml");
    options.roots_file = "/nonexistent/root.pem";
    fetch_expecting(fixture, &options, ERR_NOT_FOUND, "/nonexistent/root.pem");
}

static void an_address_that_is_none_is_refused_at_once(void **state)
{
    static const char *const addresses[] = {"",          "localhost", ":1",          "a:0",
                                            "a:65536",   "a:1x",      "::1:80",      "[::1:80",
                                            "[name]:80", "a b:80",    "https://a:80"};
    struct control_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct err err = {0};
        struct ca_client_options options = control_fixture_options(fixture);
        options.address = addresses[i];
        if (ca_client_new(fixture->io, &options, &err) != NULL)
            fail_msg("accepted: \"%s\"", addresses[i]);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

struct cancellation {
    struct net_loop *loop;
    bool cancelled;
    bool done;
};

static void on_done_before_cancel(void *owner, const struct cert_fetched *fetched,
                                  const struct err *err)
{
    struct cancellation *cancellation = owner;
    assert_false(cancellation->cancelled);
    cancellation->done = true;
}

static void stop(void *owner)
{
    net_loop_stop(owner);
}

static void run_for(struct net_loop *loop, uint64_t ms)
{
    struct net_timer *timer = net_timer_new(loop, stop, loop);
    net_timer_start(timer, ms);
    net_loop_run(loop);
    net_timer_free(timer);
}

/* How far a fetch has come after so many milliseconds is chance; it is right in every state. */
static void a_cancelled_fetch_calls_nobody(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    struct csr *csr = csr_new(CONTROL_FIXTURE_IDENTITY, &err);
    for (uint64_t ms = 0; ms < 10; ms++) {
        struct cancellation cancellation = {.loop = fixture->loop};
        struct cert_source *source = ca_client_new(fixture->io, &options, &err);
        assert_int_equal(cert_source_start_fetch(source, csr_pem(csr), on_done_before_cancel,
                                                 &cancellation, &err),
                         0);
        if (ms > 0)
            run_for(fixture->loop, ms - 1);
        cert_source_cancel(source);
        cancellation.cancelled = true;
        run_for(fixture->loop, 5);
        cert_source_free(source);
    }
    csr_free(csr);
}

static void free_source(void *owner, const struct cert_fetched *fetched, const struct err *err)
{
    struct cert_source **source = owner;
    cert_source_free(*source);
    *source = NULL;
}

static void the_source_may_be_freed_when_it_has_answered(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    struct csr *csr = csr_new(CONTROL_FIXTURE_IDENTITY, &err);
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    for (int i = 0; i < 2; i++) {
        struct cert_source *source = ca_client_new(fixture->io, &options, &err);
        assert_int_equal(cert_source_start_fetch(source, csr_pem(csr), free_source, &source, &err),
                         0);
        for (int tries = 0; source != NULL && tries < 1000; tries++)
            run_for(fixture->loop, 5);
        assert_null(source);
        options.server_name = "someone-else.test";
    }
    csr_free(csr);
}

/* ------------------------------------------------------------------------------------- changes -- */

struct attempts {
    struct control_fixture *fixture;
    struct cert_source *source;
    struct csr *csr;
    bool want_success;
    bool done;
};

static void on_attempt(void *owner, const struct cert_fetched *fetched, const struct err *err)
{
    struct attempts *attempts = owner;
    struct err why;
    attempts->done = (fetched != NULL) == attempts->want_success;
    if (!attempts->done)
        assert_int_equal(cert_source_start_fetch(attempts->source, csr_pem(attempts->csr),
                                                 on_attempt, attempts, &why),
                         0);
}

/* Fetches until it succeeds, or until it fails. */
static void fetch_until(struct control_fixture *fixture, bool want_success)
{
    struct err err;
    struct ca_client_options options = control_fixture_options(fixture);
    struct attempts attempts = {.fixture = fixture,
                                .source = ca_client_new(fixture->io, &options, &err),
                                .csr = csr_new(CONTROL_FIXTURE_IDENTITY, &err),
                                .want_success = want_success};
    assert_int_equal(cert_source_start_fetch(attempts.source, csr_pem(attempts.csr), on_attempt,
                                             &attempts, &err),
                     0);
    control_fixture_run(fixture, &attempts.done);
    cert_source_free(attempts.source);
    csr_free(attempts.csr);
}

static void changed_tokens_are_in_force_without_a_restart(void **state)
{
    struct control_fixture *fixture = *state;
    control_fixture_start(fixture);
    fetch_until(fixture, true);
    control_fixture_write(fixture->tokens_file, "tokens: []\n");
    fetch_until(fixture, false);
    control_fixture_write(fixture->tokens_file, "tokens:\n- {token: " CONTROL_FIXTURE_TOKEN
                                                ", namespace: shop, serviceAccount: frontend}\n");
    fetch_until(fixture, true);
}

static void a_token_file_of_the_table_is_watched_too(void **state)
{
    struct control_fixture *fixture = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/theirs", fixture->dir);
    control_fixture_write(path, CONTROL_FIXTURE_TOKEN);
    control_fixture_write(fixture->tokens_file,
                          "tokens:\n- {tokenFile: theirs, namespace: shop, serviceAccount: "
                          "frontend}\n");
    control_fixture_start(fixture);
    fetch_until(fixture, true);
    control_fixture_write(path, "another-one");
    fetch_until(fixture, false);
    control_fixture_write(path, CONTROL_FIXTURE_TOKEN "\n");
    fetch_until(fixture, true);
}

struct pause {
    struct net_timer *timer;
    bool done;
};

static void on_pause_over(void *owner)
{
    struct pause *pause = owner;
    pause->done = true;
}

static void a_bad_tokens_file_leaves_the_old_tokens_in_force(void **state)
{
    struct control_fixture *fixture = *state;
    struct pause pause = {0};
    control_fixture_start(fixture);
    fetch_and_check(fixture);
    control_fixture_write(fixture->tokens_file, "tokens: [{token: x}]\n");
    /* Long enough for the change to be noticed; should it come later, the test cannot fail. */
    pause.timer = net_timer_new(fixture->loop, on_pause_over, &pause);
    net_timer_start(pause.timer, 400);
    control_fixture_run(fixture, &pause.done);
    net_timer_free(pause.timer);
    fetch_and_check(fixture);
}

static void the_server_renews_its_own_certificate(void **state)
{
    struct control_fixture *fixture = *state;
    struct pause pause = {0};
    fixture->config.server_cert_ttl_ms = 2000;
    control_fixture_start(fixture);
    /* Past the end of the first certificate. */
    pause.timer = net_timer_new(fixture->loop, on_pause_over, &pause);
    net_timer_start(pause.timer, 2600);
    control_fixture_run(fixture, &pause.done);
    net_timer_free(pause.timer);
    fetch_and_check(fixture);
}

static void a_restarted_control_plane_is_found_again(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    struct control_fetch fetch;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    control_fixture_fetch_on(fixture, source, NULL, &fetch);
    assert_non_null(fetch.chain_pem);
    control_fetch_done(&fetch);
    fixture->config.listen.port = controlplane_addr(fixture->controlplane)->port;
    controlplane_free(fixture->controlplane);
    control_fixture_start(fixture);
    /* The first may be lost with the old connection; rotation would come again. */
    control_fixture_fetch_on(fixture, source, NULL, &fetch);
    if (fetch.chain_pem == NULL)
        control_fixture_fetch_on(fixture, source, NULL, &fetch);
    assert_non_null(fetch.chain_pem);
    control_fetch_done(&fetch);
    cert_source_free(source);
}

static void on_drained(void *owner)
{
    bool *drained = owner;
    *drained = true;
}

static void a_draining_server_lets_its_clients_go(void **state)
{
    struct control_fixture *fixture = *state;
    struct err err;
    struct control_fetch fetch;
    bool drained = false;
    control_fixture_start(fixture);
    struct ca_client_options options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    control_fixture_fetch_on(fixture, source, NULL, &fetch);
    assert_non_null(fetch.chain_pem);
    control_fetch_done(&fetch);
    controlplane_start_drain(fixture->controlplane, on_drained, &drained);
    control_fixture_run(fixture, &drained);
    cert_source_free(source);
}

#define CONTROL_TEST(f)                                                                            \
    cmocka_unit_test_setup_teardown(f, control_fixture_setup, control_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(a_certificate_for_the_tokens_identity_is_had),
        CONTROL_TEST(a_certificate_by_an_intermediate_is_had),
        CONTROL_TEST(the_control_planes_name_is_looked_up),
        CONTROL_TEST(several_fetches_follow_each_other_on_one_source),
        CONTROL_TEST(a_request_for_another_identity_gets_our_own_and_is_seen_through),
        CONTROL_TEST(an_unknown_token_is_refused_in_words),
        CONTROL_TEST(the_token_file_is_read_again_for_each_call),
        CONTROL_TEST(a_token_file_that_cannot_be_used_is_named),
        CONTROL_TEST(a_bad_request_is_refused_in_words),
        CONTROL_TEST(a_server_of_another_root_is_refused),
        CONTROL_TEST(a_server_of_another_name_is_refused),
        CONTROL_TEST(a_closed_port_is_named),
        CONTROL_TEST(a_roots_file_that_cannot_be_used_is_named),
        CONTROL_TEST(an_address_that_is_none_is_refused_at_once),
        CONTROL_TEST(a_cancelled_fetch_calls_nobody),
        CONTROL_TEST(the_source_may_be_freed_when_it_has_answered),
        CONTROL_TEST(changed_tokens_are_in_force_without_a_restart),
        CONTROL_TEST(a_token_file_of_the_table_is_watched_too),
        CONTROL_TEST(a_bad_tokens_file_leaves_the_old_tokens_in_force),
        CONTROL_TEST(the_server_renews_its_own_certificate),
        CONTROL_TEST(a_restarted_control_plane_is_found_again),
        CONTROL_TEST(a_draining_server_lets_its_clients_go),
    };
    struct err err;
    if (log_init(LOG_LEVEL_ERROR, LOG_TEXT, &err) < 0)
        return 1;
    int num_failed = cmocka_run_group_tests(tests, NULL, NULL);
    log_done();
    return num_failed;
}
