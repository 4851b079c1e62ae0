/* remora-certrotate's configuration: that its table is sound, what it derives, and what it refuses. */
#include "certrotate_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "certrotate_texts.h"

enum { ARGS_MAX = 16 };

static struct options *load(struct certrotate_config *config, const char *const *args,
                            const char *const *env, struct err *err)
{
    static char *envp[ARGS_MAX + 1];
    char *argv[ARGS_MAX + 2] = {(char *)(uintptr_t) "remora-certrotate"};
    int argc = 1;
    memset(envp, 0, sizeof(envp));
    for (; args != NULL && args[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        envp[i] = (char *)(uintptr_t)env[i];
    *err = (struct err){0};
    return certrotate_config_load(config, argc, argv, envp, err);
}

static struct options *must_load(struct certrotate_config *config, const char *const *args,
                                 const char *const *env)
{
    struct err err;
    struct options *options = load(config, args, env, &err);
    if (options == NULL)
        fail_msg("%s", err.message);
    return options;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define BASE       "--output-dir=/run/tls", "--pod-namespace=shop"

static void the_environment_of_an_istio_pod_and_a_directory_are_enough(void **state)
{
    struct certrotate_config config;
    struct options *options =
        must_load(&config, WORDS("--output-dir=/run/tls"),
                  WORDS("POD_NAMESPACE=shop", "SERVICE_ACCOUNT=db", "TRUST_DOMAIN=td",
                        "CA_ADDRESS=https://istiod.istio-system.svc:15012"));
    assert_string_equal(config.identity, "spiffe://td/ns/shop/sa/db");
    assert_string_equal(config.ca_address, "istiod.istio-system.svc:15012");
    assert_string_equal(config.ca_server_name, "istiod.istio-system.svc");
    assert_int_equal(config.mode, 0644);
    assert_int_equal(config.key_mode, 0600);
    assert_false(config.has_uid);
    assert_false(config.has_gid);
    assert_int_equal(config.signum, 0);
    options_free(options);
}

static void an_identity_that_is_given_is_asked_for(void **state)
{
    struct certrotate_config config;
    struct options *options =
        must_load(&config, WORDS("--output-dir=/run/tls", "--identity=spiffe://td/db/main"), NULL);
    assert_string_equal(config.identity, "spiffe://td/db/main");
    options_free(options);
}

static void with_the_workload_api_no_identity_is_needed(void **state)
{
    struct certrotate_config config;
    struct options *options =
        must_load(&config, WORDS("--output-dir=/run/tls", "--cert-source=spiffe"),
                  WORDS("SPIFFE_ENDPOINT_SOCKET=unix:///run/spire/agent.sock"));
    assert_string_equal(config.identity, "");
    assert_string_equal(config.spiffe_endpoint, "unix:///run/spire/agent.sock");
    options_free(options);
}

static void owner_group_modes_and_signal_are_read(void **state)
{
    struct certrotate_config config;
    struct options *options =
        must_load(&config,
                  WORDS(BASE, "--owner=root", "--group=12", "--mode=0440", "--key-mode=640",
                        "--signal=USR1", "--pid-file=/run/db.pid"),
                  NULL);
    assert_true(config.has_uid && config.uid == 0);
    assert_true(config.has_gid && config.gid == 12);
    assert_int_equal(config.mode, 0440);
    assert_int_equal(config.key_mode, 0640);
    assert_int_equal(config.signum, SIGUSR1);
    options_free(options);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *args[6];
        const char *words;
    } CASES[] = {
        {{"--pod-namespace=shop"}, "output-dir: required"},
        {{"--output-dir=/run/tls"}, "pod-namespace: required"},
        {{BASE, "--identity=https://td/a"}, "--identity: "},
        {{BASE, "--identity=spiffe://td"}, "has no path"},
        {{BASE, "--ca-address=nowhere"}, "--ca-address: expected host:port"},
        {{BASE, "--token-file="}, "--token-file: required"},
        {{BASE, "--cert-source=spiffe"}, "spiffe-endpoint: required with cert-source spiffe"},
        {{BASE, "--cert-source=spiffe", "--spiffe-endpoint=unix:agent.sock"},
         "--spiffe-endpoint: "},
        {{BASE, "--owner=nobody-of-this-name"}, "--owner: there is no user"},
        {{BASE, "--group=no-group-of-this-name"}, "--group: there is no group"},
        {{BASE, "--mode=0666"}, "--mode: expected permissions out of 0644"},
        {{BASE, "--mode=0044"}, "--mode: "},
        {{BASE, "--mode=rw"}, "--mode: "},
        {{BASE, "--key-mode=0644"}, "--key-mode: expected permissions out of 0640"},
        {{BASE, "--hook=a 'b"}, "--hook: a ' is not closed"},
        {{BASE, "--signal=HUP"}, "--signal: to whom?"},
        {{BASE, "--signal=HUP", "--pid=7", "--pid-file=/run/x"}, "--signal: to whom?"},
        {{BASE, "--signal=HUP", "--pid=7", "--hook=x"}, "--signal: there is a hook"},
        {{BASE, "--metrics-name=a/b"}, "--metrics-name: "},
        {{BASE, "--metrics-name=.hidden"}, "--metrics-name: "},
        {{BASE, "--metrics-name=tls.key"}, "--metrics-name: "},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct certrotate_config config;
        struct err err;
        assert_null(load(&config, CASES[i].args, NULL, &err));
        assert_int_equal(err.kind, ERR_INVALID);
        if (strstr(err.message, CASES[i].words) == NULL)
            fail_msg("expected %s, found %s", CASES[i].words, err.message);
    }
}

static void help_needs_nothing_else(void **state)
{
    struct certrotate_config config;
    options_free(must_load(&config, WORDS("--help"), NULL));
    assert_true(config.help);
    struct buf text = {0};
    assert_int_equal(certrotate_texts_help(&text), 0);
    assert_true(buf_len(&text) > 1000);
    buf_done(&text);
}

static void every_option_says_what_it_is_for(void **state)
{
    for (size_t i = 0; i < certrotate_config_table.num_specs; i++)
        assert_true(strlen(certrotate_config_table.specs[i].help) > 10);
}

static void the_page_in_docs_is_the_table(void **state)
{
    struct buf page = {0};
    assert_int_equal(certrotate_texts_markdown(&page), 0);
    FILE *file = fopen(CERTROTATE_PAGE, "re");
    assert_non_null(file);
    char *written = calloc(1, buf_len(&page) + 2);
    assert_non_null(written);
    size_t len = fread(written, 1, buf_len(&page) + 1, file);
    fclose(file);
    if (len != buf_len(&page) || memcmp(written, buf_head(&page), len) != 0)
        fail_msg("write it anew: remora-certrotate --help-markdown >docs/CERTROTATE.md");
    free(written);
    buf_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_of_an_istio_pod_and_a_directory_are_enough),
        cmocka_unit_test(an_identity_that_is_given_is_asked_for),
        cmocka_unit_test(with_the_workload_api_no_identity_is_needed),
        cmocka_unit_test(owner_group_modes_and_signal_are_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(help_needs_nothing_else),
        cmocka_unit_test(every_option_says_what_it_is_for),
        cmocka_unit_test(the_page_in_docs_is_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
