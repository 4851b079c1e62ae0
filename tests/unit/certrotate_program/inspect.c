#include "inspect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cert_builder.h"
#include "clock.h"
#include "inspect_text.h"

#define ID "spiffe://td/ns/a/sa/b"

enum { S = 1000, HOUR = 3600 * S };

/* Certificates in files of a folder. */
struct place {
    char folder[64];
    struct cert_built *root, *other_root, *intermediate, *leaf, *expired;
    struct buf out;
    struct err err;
};

static const char *in(const struct place *place, const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", place->folder, name);
    return path;
}

static void put(const struct place *place, const char *name, const void *bytes, size_t len)
{
    int fd = open(in(place, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void put_text(const struct place *place, const char *name, const char *text)
{
    put(place, name, text, strlen(text));
}

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    int64_t now_ms = clock_wall_ms();
    strcpy(place->folder, "/tmp/remora-inspect-XXXXXX");
    if (mkdtemp(place->folder) == NULL)
        return -1;
    place->root = cert_builder_root("root");
    place->other_root = cert_builder_root("other");
    place->intermediate = cert_builder_make(
        place->root, &(struct cert_spec){.common_name = "intermediate", .is_ca = true});
    place->leaf = cert_builder_leaf(place->intermediate, ID);
    place->expired =
        cert_builder_make(place->root, &(struct cert_spec){.uris = {ID},
                                                           .not_before_ms = now_ms - 3 * HOUR,
                                                           .not_after_ms = now_ms - 2 * HOUR});
    put_text(place, "chain.pem", cert_builder_chain_pem(place->leaf));
    put_text(place, "key.pem", cert_builder_key_pem(place->leaf));
    put_text(place, "root.pem", cert_builder_pem(place->root));
    put_text(place, "other.pem", cert_builder_pem(place->other_root));
    put_text(place, "expired.pem", cert_builder_chain_pem(place->expired));
    *state = place;
    return 0;
}

static int free_place(void **state)
{
    struct place *place = *state;
    buf_done(&place->out);
    cert_builder_free(place->expired);
    cert_builder_free(place->leaf);
    cert_builder_free(place->intermediate);
    cert_builder_free(place->other_root);
    cert_builder_free(place->root);
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", place->folder);
    int result = system(command);
    free(place);
    return result;
}

static enum inspect_exit run(struct place *place, const char *const *args)
{
    char *argv[12] = {(char *)(uintptr_t) "inspect"};
    struct inspect_config config;
    int argc = 1;
    for (; args[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    buf_done(&place->out);
    place->err = (struct err){0};
    struct options *options = inspect_config_load(&config, argc, argv, &place->err);
    if (options == NULL)
        return INSPECT_USAGE;
    enum inspect_exit exit = inspect_run(&config, &place->out, &place->err);
    options_free(options);
    assert_int_equal(buf_append(&place->out, "", 1), 0);
    return exit;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect(const struct place *place, const char *words)
{
    const char *text = (const char *)buf_head(&place->out);
    if (strstr(text, words) == NULL)
        fail_msg("expected \"%s\" in:\n%s", words, text);
}

static void a_good_chain_is_described_and_judged(void **state)
{
    struct place *place = *state;
    enum inspect_exit exit =
        run(place, WORDS(in(place, "chain.pem"), "--trust-bundle", in(place, "root.pem"), "--key",
                         in(place, "key.pem")));
    assert_int_equal(exit, INSPECT_GOOD);
    expect(place, "certificate 1 of 2\n  identity       " ID "\n");
    expect(place, "certificate 2 of 2, of a CA\n");
    expect(place, "  issuer         CN=intermediate\n");
    expect(place, "  key            prime256v1, 256 bits\n");
    expect(place, "  key usage      digitalSignature  (critical)\n");
    expect(place, "TLS Web Server Authentication");
    expect(place, "(1 h ago)");
    expect(place, "key.pem belongs to the certificate\n");
    expect(place, "verdict: good: peers that trust these roots take it for " ID " until ");
}

static void without_roots_nothing_is_judged(void **state)
{
    struct place *place = *state;
    assert_int_equal(run(place, WORDS("--file", in(place, "expired.pem"))), INSPECT_GOOD);
    expect(place, "verdict: none");
    expect(place, "(2 h ago)");
}

static void what_peers_would_refuse_is_refused_with_the_reason(void **state)
{
    struct place *place = *state;
    const char *chain = in(place, "chain.pem");
    assert_int_equal(run(place, WORDS(chain, "--trust-bundle", in(place, "other.pem"))),
                     INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_untrusted): ");
    chain = in(place, "chain.pem");
    assert_int_equal(run(place, WORDS(chain, "--trust-bundle", in(place, "root.pem"),
                                      "--trust-domain", "elsewhere")),
                     INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_wrong_trust_domain): ");
    chain = in(place, "chain.pem");
    assert_int_equal(run(place, WORDS(chain, "--trust-bundle", in(place, "root.pem"), "--identity",
                                      "spiffe://td/ns/a/sa/other")),
                     INSPECT_REFUSED);
    expect(place, "verdict: refused (identity_mismatch): it is " ID);
    chain = in(place, "expired.pem");
    assert_int_equal(run(place, WORDS(chain, "--trust-bundle", in(place, "root.pem"))),
                     INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_expired): ");
}

static void a_key_of_another_certificate_is_called_so(void **state)
{
    struct place *place = *state;
    const char *chain = in(place, "expired.pem");
    assert_int_equal(run(place, WORDS(chain, "--key", in(place, "key.pem"))), INSPECT_REFUSED);
    expect(place, "key.pem does not belong to the certificate\n");
}

static void der_and_files_with_a_key_are_read(void **state)
{
    struct place *place = *state;
    size_t len;
    const uint8_t *der = cert_builder_der(place->leaf, &len);
    put(place, "leaf.der", der, len);
    assert_int_equal(run(place, WORDS(in(place, "leaf.der"))), INSPECT_GOOD);
    expect(place, "certificate 1 of 1\n  identity       " ID "\n");
    char *combined;
    assert_true(asprintf(&combined, "%s%s", cert_builder_key_pem(place->leaf),
                         cert_builder_chain_pem(place->leaf)) > 0);
    put_text(place, "combined.pem", combined);
    free(combined);
    assert_int_equal(run(place, WORDS(in(place, "combined.pem"))), INSPECT_GOOD);
    expect(place, "certificate 1 of 2\n");
    assert_null(strstr((const char *)buf_head(&place->out), "PRIVATE"));
}

static void what_cannot_be_read_is_named(void **state)
{
    struct place *place = *state;
    static const uint8_t BROKEN_DER[] = {0x30, 0x82, 0xff, 0xff, 0};
    put(place, "broken.der", BROKEN_DER, sizeof(BROKEN_DER));
    put_text(place, "empty", "");
    put_text(place, "text", "hello, world\n");
    put_text(place, "broken.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    static const char *const NAMES[] = {"broken.der", "empty", "text", "broken.pem", "missing"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        assert_int_equal(run(place, WORDS(in(place, NAMES[i]))), INSPECT_NOT_READ);
        assert_non_null(strstr(place->err.message, in(place, NAMES[i])));
    }
    const char *chain = in(place, "chain.pem");
    assert_int_equal(run(place, WORDS(chain, "--trust-bundle", in(place, "text"))),
                     INSPECT_NOT_READ);
    assert_non_null(strstr(place->err.message, in(place, "text")));
}

static void a_certificate_that_is_none_is_shown_as_that(void **state)
{
    struct place *place = *state;
    static const uint8_t NO_CERT[] = {0x30, 0x03, 0x02, 0x01, 0x00};
    put(place, "none.der", NO_CERT, sizeof(NO_CERT));
    const char *none = in(place, "none.der");
    assert_int_equal(run(place, WORDS(none, "--trust-bundle", in(place, "root.pem"))),
                     INSPECT_REFUSED);
    expect(place, "certificate 1 of 1\n  cannot be read\n");
    expect(place, "verdict: refused (cert_malformed): ");
    assert_int_equal(run(place, WORDS(none)), INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_malformed): certificate 1 of 1 is none");
}

/* What is written by somebody else into a pipe, as standard input. */
static enum inspect_exit run_piped(struct place *place, const char *text, size_t times)
{
    int ends[2], former = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    pid_t writer = fork();
    if (writer == 0) {
        bool written = true;
        signal(SIGPIPE, SIG_IGN);
        close(ends[0]);
        for (size_t i = 0; written && i < times; i++)
            written = write(ends[1], text, strlen(text)) > 0;
        _exit(0);
    }
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    enum inspect_exit exit = run(place, WORDS("-", "--trust-bundle", in(place, "root.pem")));
    dup2(former, STDIN_FILENO);
    close(former);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    return exit;
}

static void a_certificate_comes_by_standard_input(void **state)
{
    struct place *place = *state;
    struct buf text = {0};
    assert_int_equal(buf_append_str(&text, "CONNECTED(00000003)\n---\nCertificate chain\n"), 0);
    assert_int_equal(buf_append_str(&text, cert_builder_chain_pem(place->leaf)), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    assert_int_equal(run_piped(place, (const char *)buf_head(&text), 1), INSPECT_GOOD);
    expect(place, "certificate 2 of 2, of a CA\n");
    assert_int_equal(run_piped(place, "nothing", 1), INSPECT_NOT_READ);
    assert_non_null(strstr(place->err.message, "standard input: there is no certificate in it"));
    assert_int_equal(run_piped(place, (const char *)buf_head(&text), 100 * 1000), INSPECT_NOT_READ);
    assert_non_null(strstr(place->err.message, "standard input: more than the 1048576 bytes"));
    buf_done(&text);
}

/* What the tutorials make: a common name, and an extended key usage or none. */
static void a_callers_certificate_is_judged_as_an_mtls_port_does(void **state)
{
    struct place *place = *state;
    struct cert_built *caller = cert_builder_make(
        place->root, &(struct cert_spec){.common_name = "client", .eku = CERT_EKU_CLIENT});
    put_text(place, "caller.pem", cert_builder_chain_pem(caller));
    cert_builder_free(caller);
    const char *file = in(place, "caller.pem");
    assert_int_equal(run(place, WORDS(file, "--client-ca", in(place, "root.pem"))), INSPECT_GOOD);
    expect(place, "  cert_no_spiffe_id: ");
    expect(place, "  cert_key_usage: the certificate's extended key usage lacks serverAuth\n");
    expect(place, "an mtls port: nothing against it but, maybe, its issuer\n");
    expect(place,
           "verdict: good: an mtls port with this client-ca takes the caller for cn:client ");
    file = in(place, "caller.pem");
    assert_int_equal(run(place, WORDS(file, "--client-ca", in(place, "root.pem"),
                                      "--principal-from", "uri,dns")),
                     INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_no_principal): ");
    file = in(place, "caller.pem");
    assert_int_equal(run(place, WORDS(file, "--client-ca", in(place, "other.pem"))),
                     INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_untrusted): ");
    file = in(place, "chain.pem");
    assert_int_equal(
        run(place, WORDS(file, "--client-ca", in(place, "root.pem"), "--verify-depth", "0")),
        INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_too_deep): ");
    file = in(place, "chain.pem");
    assert_int_equal(run(place, WORDS(file, "--client-ca", in(place, "root.pem"))), INSPECT_GOOD);
    expect(place, "takes the caller for td/ns/a/sa/b until ");
    file = in(place, "chain.pem");
    assert_int_equal(run(place, WORDS(file, "--client-ca", in(place, "root.pem"), "--trust-bundle",
                                      in(place, "other.pem"))),
                     INSPECT_REFUSED);
    expect(place, "verdict: refused (cert_wrong_trust_domain): ");
}

static void a_servers_certificate_is_judged_as_a_destination_does(void **state)
{
    struct place *place = *state;
    struct cert_built *server = cert_builder_make(
        place->root, &(struct cert_spec){.dns = {"db.example"}, .eku = CERT_EKU_SERVER});
    put_text(place, "server.pem", cert_builder_chain_pem(server));
    cert_builder_free(server);
    static const struct {
        const char *name, *roots, *words;
        enum inspect_exit exit;
    } CASES[] = {
        {"DB.example", "root.pem",
         "verdict: good: destinations with this ca take the server for dns:db.example",
         INSPECT_GOOD},
        {"other.example", "root.pem", "verdict: refused (identity_mismatch): ", INSPECT_REFUSED},
        {"db.example", "other.pem", "verdict: refused (cert_untrusted): ", INSPECT_REFUSED},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_int_equal(
            run(place, WORDS(in(place, "server.pem"), "--server-ca", in(place, CASES[i].roots),
                             "--server-name", CASES[i].name)),
            CASES[i].exit);
        expect(place, CASES[i].words);
    }
    assert_int_equal(run(place, WORDS("x", "--server-ca", "y")), INSPECT_USAGE);
    assert_int_equal(
        run(place, WORDS("x", "--server-ca", "y", "--server-name", "z", "--client-ca", "w")),
        INSPECT_USAGE);
}

static void all_that_is_wrong_is_said_whoever_the_issuer_is(void **state)
{
    struct place *place = *state;
    int64_t now_ms = clock_wall_ms();
    struct cert_built *cert =
        cert_builder_make(NULL, &(struct cert_spec){.dns = {"a.example", "b.example"},
                                                    .emails = {"jo@shop.example"},
                                                    .ip = "10.0.0.1",
                                                    .key = CERT_KEY_RSA_1024,
                                                    .usage = CERT_USAGE_ENCIPHER_ONLY,
                                                    .not_before_ms = now_ms - 3 * HOUR,
                                                    .not_after_ms = now_ms - 2 * HOUR});
    put_text(place, "wrong.pem", cert_builder_pem(cert));
    cert_builder_free(cert);
    assert_int_equal(run(place, WORDS(in(place, "wrong.pem"))), INSPECT_GOOD);
    expect(place, "  self-signed    ");
    expect(place, "  e-mail         jo@shop.example\n");
    expect(place, "  address        10.0.0.1\n");
    static const char *const REASONS[] = {"cert_no_spiffe_id", "cert_bad_principal", "cert_weak",
                                          "cert_key_usage", "cert_expired"};
    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++)
        expect(place, REASONS[i]);
    assert_int_equal(run(place, WORDS(in(place, "root.pem"))), INSPECT_GOOD);
    expect(place, "who presents it is refused");
}

static void a_file_in_the_wrong_order_is_told_of(void **state)
{
    struct place *place = *state;
    char text[8192];
    snprintf(text, sizeof(text), "%s%s", cert_builder_pem(place->intermediate),
             cert_builder_pem(place->leaf));
    put_text(place, "turned.pem", text);
    assert_int_equal(
        run(place, WORDS(in(place, "turned.pem"), "--trust-bundle", in(place, "root.pem"))),
        INSPECT_REFUSED);
    expect(place, "the order is wrong: certificate 2 is no CA's and has to come first");
    assert_int_equal(run(place, WORDS(in(place, "root.pem"))), INSPECT_GOOD);
    assert_null(strstr((const char *)buf_head(&place->out), "order"));
}

static void more_certificates_than_a_peer_takes_are_told_of(void **state)
{
    struct place *place = *state;
    char *text = calloc(1000, strlen(cert_builder_pem(place->leaf)) + 1);
    assert_non_null(text);
    for (int i = 0; i < 1000; i++)
        strcat(text, cert_builder_pem(place->leaf));
    put_text(place, "many.pem", text);
    free(text);
    assert_int_equal(run(place, WORDS(in(place, "many.pem"))), INSPECT_NOT_READ);
    assert_non_null(strstr(place->err.message, "peers take a chain of"));
}

static void files_of_other_things_are_called_by_their_name(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *text, *words;
    } CASES[] = {
        {"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
         "remora-controlplane sign"},
        {"-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n-----END TRUSTED CERTIFICATE-----\n",
         "form of openssl's own"},
        {"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "it is a key"},
        {"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", "--crl"},
        {"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n", "PKCS#7"},
        {"0\x06\x02\x01\x03\x04\x01x", "PKCS#12"},
        {"hello", "no certificate"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        put_text(place, "other", CASES[i].text);
        assert_int_equal(run(place, WORDS(in(place, "other"))), INSPECT_NOT_READ);
        if (strstr(place->err.message, CASES[i].words) == NULL)
            fail_msg("expected \"%s\" in: %s", CASES[i].words, place->err.message);
    }
}

static void the_command_line_is_checked(void **state)
{
    struct place *place = *state;
    assert_int_equal(run(place, WORDS("--identity", "spiffe://td/a")), INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--address", "127.0.0.1:1")), INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--crl", "y")), INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--identity", "http://td/a")), INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--trust-domain", "TD")), INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--principal-from", "ip")), INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--principal-from", "")), INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--principal-from", "dns,cn,dns,cn,dns,cn,dns")),
                     INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("x", "--client-ca", "y", "--identity", "spiffe://td/a")),
                     INSPECT_USAGE);
    assert_int_equal(run(place, WORDS("--address", "nowhere")), INSPECT_UNREACHABLE);
}

static void durations_have_two_units(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } CASES[] = {
        {0, "0 s"},
        {999, "0 s"},
        {59 * S, "59 s"},
        {61 * S, "1 min 1 s"},
        {HOUR, "1 h"},
        {HOUR + 59 * S, "1 h"},
        {25 * HOUR, "1 day 1 h"},
        {240 * (int64_t)HOUR + 1, "10 days"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char text[INSPECT_TEXT_DURATION_MAX];
        assert_string_equal(inspect_text_duration(CASES[i].ms, text), CASES[i].text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, free_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_chain_is_described_and_judged),
        TEST(without_roots_nothing_is_judged),
        TEST(what_peers_would_refuse_is_refused_with_the_reason),
        TEST(a_key_of_another_certificate_is_called_so),
        TEST(der_and_files_with_a_key_are_read),
        TEST(what_cannot_be_read_is_named),
        TEST(a_certificate_that_is_none_is_shown_as_that),
        TEST(a_certificate_comes_by_standard_input),
        TEST(a_callers_certificate_is_judged_as_an_mtls_port_does),
        TEST(all_that_is_wrong_is_said_whoever_the_issuer_is),
        TEST(a_servers_certificate_is_judged_as_a_destination_does),
        TEST(a_file_in_the_wrong_order_is_told_of),
        TEST(more_certificates_than_a_peer_takes_are_told_of),
        TEST(files_of_other_things_are_called_by_their_name),
        TEST(the_command_line_is_checked),
        cmocka_unit_test(durations_have_two_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
