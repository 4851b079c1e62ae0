/* The agent's configuration: that its table is sound, what it derives, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent_config.h"

enum { ARGS_MAX = 16 };

static struct options *load(struct agent_config *config, const char *const *args,
                            const char *const *env, struct err *err)
{
    static char *envp[ARGS_MAX + 1];
    char *argv[ARGS_MAX + 2] = {(char *)(uintptr_t) "remora-agent"};
    int argc = 1;
    memset(envp, 0, sizeof(envp));
    for (; args != NULL && args[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        envp[i] = (char *)(uintptr_t)env[i];
    *err = (struct err){0};
    return agent_config_load(config, argc, argv, envp, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What a pod of Istio has in its environment. */
#define POD "POD_NAME=web-1", "POD_NAMESPACE=shop", "LOCAL_XDS_PATH=/etc/mesh.yaml"

static void the_environment_of_an_istio_pod_is_enough(void **state)
{
    (void)state;
    struct agent_config config;
    struct err err;
    struct options *options =
        load(&config, NULL,
             WORDS(POD, "SERVICE_ACCOUNT=web", "TRUST_DOMAIN=td", "CLUSTER_ID=c1",
                   "NETWORK=", "INSTANCE_IP=10.0.0.1", "NODE_NAME=n1",
                   "CA_ADDRESS=https://istiod.istio-system.svc:15012",
                   "TERMINATION_GRACE_PERIOD_SECONDS=30"),
             &err);
    if (options == NULL)
        fail_msg("%s", err.message);
    assert_string_equal(config.pod_name, "web-1");
    assert_string_equal(config.pod_namespace, "shop");
    assert_string_equal(config.service_account, "web");
    assert_string_equal(config.trust_domain, "td");
    assert_string_equal(config.cluster_id, "c1");
    assert_string_equal(config.network, "");
    assert_string_equal(config.node_name, "n1");
    assert_string_equal(config.ca_address, "istiod.istio-system.svc:15012");
    assert_string_equal(config.ca_server_name, "istiod.istio-system.svc");
    assert_int_equal(config.drain_timeout_ms, 25000);
    assert_int_equal(config.outbound_port, 15001);
    assert_int_equal(config.inbound_mode, AGENT_INBOUND_STRICT);
    assert_int_equal(config.outbound_policy, AGENT_OUTBOUND_ALLOW_ANY);
    assert_int_equal(config.log_level, LOG_LEVEL_INFO);
    assert_int_equal(config.access_log, AGENT_ACCESS_LOG_TEXT);
    options_free(options);
}

static void the_drain_timeout_follows_from_the_grace_period_unless_it_is_given(void **state)
{
    (void)state;
    static const struct {
        uint32_t grace_s;
        uint64_t drain_ms;
    } rows[] = {{1, 1000}, {2, 1000}, {3, 2000}, {10, 9000}, {11, 6000}, {30, 25000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(agent_config_drain_ms(rows[i].grace_s), rows[i].drain_ms);

    struct agent_config config;
    struct err err;
    struct options *options = load(&config, WORDS("--drain-timeout=3s"),
                                   WORDS(POD, "TERMINATION_GRACE_PERIOD_SECONDS=30"), &err);
    assert_int_equal(config.drain_timeout_ms, 3000);
    options_free(options);
    options = load(&config, NULL, WORDS(POD), &err);
    assert_int_equal(config.drain_timeout_ms, 5000);
    options_free(options);
    options = load(&config, NULL, WORDS(POD, "TERMINATION_GRACE_PERIOD_SECONDS=86400"), &err);
    assert_int_equal(config.drain_timeout_ms, 3600000);
    options_free(options);
}

static void what_several_options_decide_together_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *args[5];
        const char *env[5];
        const char *message;
    } rows[] = {
        {{NULL}, {"POD_NAMESPACE=a", "LOCAL_XDS_PATH=/f"}, "pod-name: required"},
        {{NULL}, {"POD_NAME=a", "LOCAL_XDS_PATH=/f"}, "pod-namespace: required"},
        {{"--xds-address=istiod", "--local-file="},
         {POD},
         "--xds-address: expected host:port, found \"istiod\""},
        {{"--xds-address=tcp://127.0.0.1:15010", "--local-file="},
         {POD},
         "--xds-address: expected host:port, found \"tcp://127.0.0.1:15010\""},
        {{"--xds-root-file=", "--local-file="},
         {POD},
         "--xds-root-file: required where discovery comes from the control plane (no local-file)"},
        {{"--token-file=", "--cert-source=files", "--local-file="},
         {POD},
         "--token-file: required where discovery comes from the control plane (no local-file)"},
        {{"--unanswered-destination=passthrough", "--outbound-policy=registry-only",
          "--local-file="},
         {POD},
         "--unanswered-destination: passthrough contradicts outbound-policy registry-only"},
        {{"--xds-address=istiod:1"},
         {POD},
         "--xds-address: does not go with local-file, which is the source of discovery"},
        {{"--cert-source=spiffe"}, {POD}, "spiffe-endpoint: required with cert-source spiffe"},
        {{"--trust-domain="}, {POD}, "--trust-domain: required"},
        {{"--token-file="}, {POD}, "--token-file: required with cert-source istio-ca"},
        {{"--cert-source=files"}, {POD}, "cert-file: required with cert-source files"},
        {{"--cert-source=files", "--cert-file=a", "--key-file=b"},
         {POD},
         "trust-bundle-file: required with cert-source files"},
        {{"--ca-address=istiod"}, {POD}, "--ca-address: expected host:port, found \"istiod\""},
        {{"--ca-address=:15012"}, {POD}, "--ca-address: expected host:port, found \":15012\""},
        {{"--ca-address=::1:15012"},
         {POD},
         "--ca-address: expected host:port, found \"::1:15012\""},
        {{"--ca-address=a:123456"}, {POD}, "--ca-address: expected host:port, found \"a:123456\""},
        {{"--ca-address=a:0x1"}, {POD}, "--ca-address: expected host:port, found \"a:0x1\""},
        {{"--ca-address=http://a:1"},
         {POD},
         "--ca-address: expected host:port, found \"http://a:1\""},
        {{"--hbone-port=15001"}, {POD}, "--hbone-port: 15001 is also outbound-port"},
        {{"--http2-connection-window=64KiB"},
         {POD},
         "--http2-connection-window: is less than http2-stream-window"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct agent_config config;
        struct err err;
        assert_null(load(&config, rows[i].args, rows[i].env, &err));
        assert_string_equal(err.message, rows[i].message);
    }
}

static void the_ca_may_be_an_address(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"--ca-address=[fd00::1]:15012", "fd00::1"},
                                          {"--ca-address=10.0.0.1:15012", "10.0.0.1"},
                                          {"--ca-address=ca:1", "ca"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct agent_config config;
        struct err err;
        struct options *options = load(&config, WORDS(rows[i][0]), WORDS(POD), &err);
        assert_non_null(options);
        assert_string_equal(config.ca_server_name, rows[i][1]);
        options_free(options);
    }
    struct agent_config config;
    struct err err;
    struct options *options = load(
        &config, WORDS("--ca-address=10.0.0.1:1", "--ca-server-name=ca.local"), WORDS(POD), &err);
    assert_string_equal(config.ca_server_name, "ca.local");
    options_free(options);
}

static void without_a_file_the_control_plane_is_asked(void **state)
{
    (void)state;
    struct agent_config config;
    struct err err;
    struct options *options =
        load(&config, NULL,
             WORDS("POD_NAME=a", "POD_NAMESPACE=b", "XDS_ADDRESS=https://istiod.example:1"), &err);
    assert_non_null(options);
    assert_string_equal(config.local_file, "");
    assert_string_equal(config.xds_address, "istiod.example:1");
    assert_string_equal(config.xds_server_name, "istiod.example");
    assert_int_equal(config.discovery, AGENT_DISCOVERY_ON_DEMAND);
    assert_int_equal(config.unanswered_destination, AGENT_UNANSWERED_REFUSE);
    options_free(options);
    options = load(&config, WORDS("--local-file=/f"),
                   WORDS("POD_NAME=a", "POD_NAMESPACE=b", "XDS_ADDRESS=not one at all"), &err);
    assert_non_null(options);
    options_free(options);
}

static void files_need_no_ca(void **state)
{
    (void)state;
    struct agent_config config;
    struct err err;
    struct options *options = load(&config,
                                   WORDS("--cert-source=files", "--cert-file=a", "--key-file=b",
                                         "--trust-bundle-file=c", "--ca-address=x"),
                                   WORDS(POD), &err);
    assert_non_null(options);
    assert_int_equal(config.cert_source, AGENT_CERT_FILES);
    options_free(options);
}

static void help_needs_nothing_else(void **state)
{
    (void)state;
    struct agent_config config;
    struct err err;
    struct options *options = load(&config, WORDS("--help"), NULL, &err);
    assert_non_null(options);
    assert_true(config.help);
    options_free(options);
}

static void every_option_says_what_it_is_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < agent_config_table.num_specs; i++) {
        const struct option_spec *spec = &agent_config_table.specs[i];
        if (spec->help == NULL || spec->section == NULL ||
            spec->help[strlen(spec->help) - 1] != '.')
            fail_msg("%s has no proper help", spec->name);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(spec->name, agent_config_table.specs[j].name);
    }
}

/* docs/CONFIGURATION.md is `remora-agent --help-markdown`. */
static void the_page_in_docs_is_the_table(void **state)
{
    (void)state;
    struct buf page = {0};
    assert_int_equal(options_markdown(&agent_config_table, &page), 0);
    FILE *file = fopen(CONFIGURATION_PAGE, "re");
    assert_non_null(file);
    char *written = calloc(1, buf_len(&page) + 2);
    assert_non_null(written);
    size_t len = fread(written, 1, buf_len(&page) + 1, file);
    fclose(file);
    if (len != buf_len(&page) || memcmp(written, buf_head(&page), len) != 0)
        fail_msg("write it anew: remora-agent --help-markdown >docs/CONFIGURATION.md");
    free(written);
    buf_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_of_an_istio_pod_is_enough),
        cmocka_unit_test(the_drain_timeout_follows_from_the_grace_period_unless_it_is_given),
        cmocka_unit_test(what_several_options_decide_together_is_checked),
        cmocka_unit_test(the_ca_may_be_an_address),
        cmocka_unit_test(without_a_file_the_control_plane_is_asked),
        cmocka_unit_test(files_need_no_ca),
        cmocka_unit_test(help_needs_nothing_else),
        cmocka_unit_test(every_option_says_what_it_is_for),
        cmocka_unit_test(the_page_in_docs_is_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
