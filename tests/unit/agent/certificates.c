#include "certificates.h"

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

#include "cert_builder.h"

static const char ID[] = "spiffe://td/ns/shop/sa/web";

struct fixture {
    char folder[40];
    char cert[64], key[64], roots[64];
    char cache[64];
    struct cert_built *root;
    struct agent_config config;
    struct readiness readiness;
    struct net_loop *loop;
    struct tls_io *io;
    struct certificates *certificates;
    unsigned num_contexts;
    char serial[64]; /* of the last */
};

static void on_context(void *owner, struct tls_context *context)
{
    struct fixture *fixture = owner;
    assert_non_null(context);
    fixture->num_contexts++;
    const struct svid *svid = identity_svid(tls_context_identity(context));
    snprintf(fixture->serial, sizeof(fixture->serial), "%s", svid_serial(svid));
    net_loop_stop(fixture->loop);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static void place(const struct fixture *fixture, const char *identity)
{
    struct cert_built *leaf = cert_builder_leaf(fixture->root, identity);
    write_file(fixture->cert, cert_builder_chain_pem(leaf));
    write_file(fixture->key, cert_builder_key_pem(leaf));
    write_file(fixture->roots, cert_builder_pem(fixture->root));
    cert_builder_free(leaf);
}

static void make_config(struct fixture *fixture)
{
    fixture->config = (struct agent_config){
        .trust_domain = "td",
        .pod_namespace = "shop",
        .service_account = "web",
        .trust_domain_aliases = "",
        .federated_bundle_files = "",
        .crl_file = "",
        .cache_dir = "",
        .cert_source = AGENT_CERT_FILES,
    };
    fixture->config.cert_file = fixture->cert;
    fixture->config.key_file = fixture->key;
    fixture->config.trust_bundle_file = fixture->roots;
}

static struct fixture *set_up(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->folder, "/tmp/remora_certificates.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->cert, sizeof(fixture->cert), "%s/cert", fixture->folder);
    snprintf(fixture->key, sizeof(fixture->key), "%s/key", fixture->folder);
    snprintf(fixture->roots, sizeof(fixture->roots), "%s/roots", fixture->folder);
    fixture->root = cert_builder_root("root");
    make_config(fixture);
    struct err err;
    fixture->loop = net_loop_new(&err);
    fixture->io = tls_io_new(fixture->loop);
    return fixture;
}

static void start(struct fixture *fixture)
{
    const struct certificates_options options = {.config = &fixture->config,
                                                 .readiness = &fixture->readiness,
                                                 .on_context = on_context,
                                                 .owner = fixture};
    struct err err;
    fixture->certificates = certificates_new(fixture->loop, fixture->io, &options, &err);
    if (fixture->certificates == NULL)
        fail_msg("%s", err.message);
    certificates_start(fixture->certificates);
}

static void tear_down(struct fixture *fixture)
{
    certificates_free(fixture->certificates);
    tls_io_free(fixture->io);
    assert_int_equal(net_loop_free(fixture->loop), 0);
    cert_builder_free(fixture->root);
    unlink(fixture->cert);
    unlink(fixture->key);
    unlink(fixture->roots);
    rmdir(fixture->folder);
    free(fixture);
}

static void stop(void *owner)
{
    net_loop_stop(owner);
}

/* Runs until a context came, or until what is scheduled now has run: a failed attempt calls nobody. */
static void run(struct fixture *fixture)
{
    struct net_timer *timer = net_timer_new(fixture->loop, stop, fixture->loop);
    net_timer_start(timer, 100);
    net_loop_run(fixture->loop);
    net_timer_free(timer);
}

static void assert_readiness(const struct fixture *fixture, const char *contains)
{
    struct buf text = {0};
    assert_int_equal(readiness_write(&fixture->readiness, &text), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    if (strstr((const char *)buf_head(&text), contains) == NULL)
        fail_msg("\"%s\" is not in:\n%s", contains, buf_head(&text));
    buf_done(&text);
}

static uint64_t num_attempts(struct fixture *fixture, const char *outcome)
{
    struct telemetry_control control = {0};
    certificates_collect(fixture->certificates, &control);
    for (size_t i = 0; i < control.num_rotation_outcomes; i++) {
        if (strcmp(control.rotation_outcomes[i].name, outcome) == 0)
            return control.rotation_outcomes[i].count;
    }
    fail_msg("no outcome %s", outcome);
    return 0;
}

static void good_files_make_a_context_and_readiness(void **state)
{
    struct fixture *fixture = set_up();
    place(fixture, ID);
    start(fixture);
    assert_string_equal(certificates_identity(fixture->certificates), ID);
    assert_readiness(fixture, "certificate: none yet\n");
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    assert_true(readiness_is_ready(&fixture->readiness));
    assert_int_equal(num_attempts(fixture, "ok"), 1);

    struct telemetry_control control = {0};
    certificates_collect(fixture->certificates, &control);
    assert_true(control.certificate_not_after_ms > control.certificate_not_before_ms);
    assert_true(control.certificate_last_rotation_ms > 0);
    tear_down(fixture);
}

static void missing_file_is_named_by_readiness(void **state)
{
    struct fixture *fixture = set_up();
    start(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 0);
    assert_false(readiness_is_ready(&fixture->readiness));
    assert_readiness(fixture, fixture->cert);
    struct telemetry_control control = {0};
    certificates_collect(fixture->certificates, &control);
    assert_int_equal(control.certificate_not_after_ms, 0);

    place(fixture, ID);
    certificates_reload(fixture->certificates);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    assert_true(readiness_is_ready(&fixture->readiness));
    tear_down(fixture);
}

static void somebody_elses_certificate_is_refused(void **state)
{
    struct fixture *fixture = set_up();
    place(fixture, "spiffe://td/ns/shop/sa/other");
    start(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 0);
    assert_readiness(fixture, "spiffe://td/ns/shop/sa/other");
    assert_int_equal(num_attempts(fixture, "rejected"), 1);
    tear_down(fixture);
}

static void bad_successor_leaves_the_certificate_in_force(void **state)
{
    struct fixture *fixture = set_up();
    place(fixture, ID);
    start(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    char first[sizeof(fixture->serial)];
    strcpy(first, fixture->serial);
    write_file(fixture->cert, "not a certificate");
    certificates_reload(fixture->certificates);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    assert_true(readiness_is_ready(&fixture->readiness));

    place(fixture, ID);
    certificates_reload(fixture->certificates);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 2);
    assert_string_not_equal(fixture->serial, first);
    tear_down(fixture);
}

/* A folder in memory for the cache, inside which the certificate's file is. */
static void use_cache(struct fixture *fixture)
{
    strcpy(fixture->cache, "/dev/shm/remora_cache.XXXXXX");
    if (mkdtemp(fixture->cache) == NULL)
        skip();
    fixture->config.cache_dir = fixture->cache;
}

static void remove_cache(const struct fixture *fixture)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/certificate", fixture->cache);
    unlink(path);
    rmdir(fixture->cache);
}

static void restart(struct fixture *fixture)
{
    certificates_free(fixture->certificates);
    fixture->readiness = (struct readiness){0};
    start(fixture);
}

static void after_a_restart_the_cached_certificate_is_used_until_there_is_another(void **state)
{
    struct fixture *fixture = set_up();
    use_cache(fixture);
    place(fixture, ID);
    start(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    char first[sizeof(fixture->serial)];
    strcpy(first, fixture->serial);

    unlink(fixture->key); /* the source cannot be read now */
    restart(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 2);
    assert_string_equal(fixture->serial, first);
    assert_true(readiness_is_ready(&fixture->readiness));
    run(fixture);
    assert_int_equal(num_attempts(fixture, "ok"), 0);
    assert_int_equal(num_attempts(fixture, "unreachable"), 1);

    place(fixture, ID);
    certificates_reload(fixture->certificates);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 3);
    assert_string_not_equal(fixture->serial, first);
    remove_cache(fixture);
    tear_down(fixture);
}

static void a_cached_certificate_of_another_identity_is_not_used(void **state)
{
    struct fixture *fixture = set_up();
    use_cache(fixture);
    place(fixture, ID);
    start(fixture);
    run(fixture);
    unlink(fixture->cert);
    fixture->config.service_account = "other";
    restart(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    assert_false(readiness_is_ready(&fixture->readiness));
    remove_cache(fixture);
    tear_down(fixture);
}

static void a_cache_that_others_could_write_is_not_used(void **state)
{
    struct fixture *fixture = set_up();
    use_cache(fixture);
    place(fixture, ID);
    assert_int_equal(chmod(fixture->cache, 0777), 0);
    start(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    unlink(fixture->cert);
    restart(fixture);
    run(fixture);
    assert_int_equal(fixture->num_contexts, 1);
    remove_cache(fixture);
    tear_down(fixture);
}

static void an_endpoint_of_the_workload_api_is_checked(void **state)
{
    struct fixture *fixture = set_up();
    fixture->config.cert_source = AGENT_CERT_SPIFFE;
    fixture->config.spiffe_hint = "";
    fixture->config.spiffe_endpoint = "/run/agent.sock";
    struct err err;
    assert_int_equal(certificates_check_names(&fixture->config, &err), -1);
    assert_non_null(strstr(err.message, "spiffe-endpoint: "));
    fixture->config.spiffe_endpoint = "unix:///nowhere/agent.sock";
    assert_int_equal(certificates_check_names(&fixture->config, &err), 0);
    start(fixture);
    run(fixture);
    assert_readiness(fixture, "/nowhere/agent.sock");
    tear_down(fixture);
}

static void names_that_make_no_identity_are_an_error(void **state)
{
    struct fixture *fixture = set_up();
    fixture->config.pod_namespace = "no/namespace";
    const struct certificates_options options = {.config = &fixture->config,
                                                 .readiness = &fixture->readiness};
    struct err err;
    assert_null(certificates_new(fixture->loop, fixture->io, &options, &err));
    assert_non_null(strstr(err.message, "no/namespace"));
    assert_int_equal(certificates_check_names(&fixture->config, &err), -1);
    fixture->config.pod_namespace = "namespace";
    assert_int_equal(certificates_check_names(&fixture->config, &err), 0);
    tear_down(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_make_a_context_and_readiness),
        cmocka_unit_test(missing_file_is_named_by_readiness),
        cmocka_unit_test(somebody_elses_certificate_is_refused),
        cmocka_unit_test(bad_successor_leaves_the_certificate_in_force),
        cmocka_unit_test(after_a_restart_the_cached_certificate_is_used_until_there_is_another),
        cmocka_unit_test(a_cached_certificate_of_another_identity_is_not_used),
        cmocka_unit_test(a_cache_that_others_could_write_is_not_used),
        cmocka_unit_test(an_endpoint_of_the_workload_api_is_checked),
        cmocka_unit_test(names_that_make_no_identity_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
