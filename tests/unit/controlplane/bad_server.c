/* The client against servers that misbehave, each in its own way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control_fixture.h"
#include "fake_server.h"
#include "grpc_timeout.h"
#include "log.h"

/* An IstioCertificateResponse by hand: field 1, length-delimited, for each element. */
static size_t write_response(uint8_t *out, const char *const *elements, size_t num)
{
    uint8_t *at = out;
    for (size_t i = 0; i < num; i++) {
        size_t len = strlen(elements[i]);
        *at++ = 0x0a;
        for (size_t rest = len;; rest >>= 7) {
            *at++ = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
            if (rest <= 0x7f)
                break;
        }
        memcpy(at, elements[i], len);
        at += len;
    }
    return (size_t)(at - out);
}

static void answer_elements(struct h2_stream *stream, const char *const *elements, size_t num)
{
    uint8_t message[64 * 1024];
    fake_server_answer(stream, message, write_response(message, elements, num));
}

static void start_answer(struct h2_stream *stream, const char *status, const char *content_type)
{
    const struct h2_header headers[] = {{.name = ":status", .value = status},
                                        {.name = "content-type", .value = content_type}};
    h2_stream_respond(stream, headers, 2, false);
}

static void end_with_status(struct h2_stream *stream, const char *status, const char *message)
{
    const struct h2_header trailers[] = {{.name = "grpc-status", .value = status},
                                         {.name = "grpc-message", .value = message}};
    h2_stream_trailers(stream, trailers, 2);
}

/* ------------------------------------------------------------------------------ bad answers -- */

static void one_element(struct fake_server *server, struct h2_stream *stream)
{
    const char *const elements[] = {ca_issuer_roots_pem(fake_server_issuer(server))};
    answer_elements(stream, elements, 1);
}

static void no_element(struct fake_server *server, struct h2_stream *stream)
{
    fake_server_answer(stream, "", 0);
}

static void empty_root(struct fake_server *server, struct h2_stream *stream)
{
    const char *const elements[] = {ca_issuer_roots_pem(fake_server_issuer(server)), ""};
    answer_elements(stream, elements, 2);
}

static void leaf_is_no_pem(struct fake_server *server, struct h2_stream *stream)
{
    const char *const elements[] = {"leaf", ca_issuer_roots_pem(fake_server_issuer(server))};
    answer_elements(stream, elements, 2);
}

static void endless_chain(struct fake_server *server, struct h2_stream *stream)
{
    const char *elements[17];
    for (size_t i = 0; i < 17; i++)
        elements[i] = ca_issuer_roots_pem(fake_server_issuer(server));
    answer_elements(stream, elements, 17);
}

static void no_protobuf(struct fake_server *server, struct h2_stream *stream)
{
    fake_server_answer(stream, "\x0a\xff\xff\xff\xff", 5);
}

static void two_messages(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    h2_stream_write(stream, (const uint8_t *)"\0\0\0\0\0\0\0\0\0\0", 10);
    end_with_status(stream, "0", "");
}

static void no_message(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    end_with_status(stream, "0", "");
}

static void compressed(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    h2_stream_write(stream, (const uint8_t *)"\1\0\0\0\1x", 6);
    end_with_status(stream, "0", "");
}

static void compressed_by_header(struct fake_server *server, struct h2_stream *stream)
{
    const struct h2_header headers[] = {{.name = ":status", .value = "200"},
                                        {.name = "content-type", .value = "application/grpc"},
                                        {.name = "grpc-encoding", .value = "gzip"}};
    h2_stream_respond(stream, headers, 3, false);
    end_with_status(stream, "0", "");
}

static void too_long(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    h2_stream_write(stream, (const uint8_t *)"\0\xff\xff\xff\xff", 5);
}

static void cut_off(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    h2_stream_write(stream, (const uint8_t *)"\0\0\0\0\5x", 6);
    end_with_status(stream, "0", "");
}

static void no_status(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    h2_stream_write(stream, (const uint8_t *)"\0\0\0\0\0", 5);
    h2_stream_end(stream);
}

static void status_is_no_number(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    end_with_status(stream, "OK", "");
}

static void web_page(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "503", "text/html");
    h2_stream_write(stream, (const uint8_t *)"<html>", 6);
    h2_stream_end(stream);
}

static void web_page_with_200(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "text/html");
    h2_stream_write(stream, (const uint8_t *)"<html>", 6);
    h2_stream_end(stream);
}

static void unauthenticated(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    end_with_status(stream, "16", "token%20has expired%0a");
}

static void trailers_only(struct fake_server *server, struct h2_stream *stream)
{
    const struct h2_header headers[] = {{.name = ":status", .value = "200"},
                                        {.name = "content-type", .value = "application/grpc"},
                                        {.name = "grpc-status", .value = "7"},
                                        {.name = "grpc-message", .value = "not you"}};
    h2_stream_respond(stream, headers, 4, true);
}

static void unavailable(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    end_with_status(stream, "14", "starting");
}

static void unimplemented(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    end_with_status(stream, "12", "");
}

static void reset(struct fake_server *server, struct h2_stream *stream)
{
    h2_stream_reset(stream, H2_INTERNAL_ERROR);
}

static void reset_in_the_middle(struct fake_server *server, struct h2_stream *stream)
{
    start_answer(stream, "200", "application/grpc");
    h2_stream_write(stream, (const uint8_t *)"\0\0\0\0\5x", 6);
    h2_stream_reset(stream, H2_CANCEL);
}

static void always_refused(struct fake_server *server, struct h2_stream *stream)
{
    h2_stream_reset(stream, H2_REFUSED_STREAM);
}

static void silent(struct fake_server *server, struct h2_stream *stream)
{
}

static void goaway_and_nothing(struct fake_server *server, struct h2_stream *stream)
{
    h2_session_goaway(h2_stream_session(stream), H2_NO_ERROR);
}

struct misbehaviour {
    fake_server_respond *respond;
    enum err_kind kind;
    const char *words;
};

static void expect_failure(struct control_fixture *fixture, const struct misbehaviour *row)
{
    struct control_fetch fetch;
    struct fake_server *server = fake_server_new(fixture, row->respond);
    struct ca_client_options options = control_fixture_options(fixture);
    options.timeout_ms = row->kind == ERR_TIMEOUT ? 1000 : 0;
    control_fixture_fetch(fixture, &options, &fetch);
    control_fetch_expect_error(&fetch, row->kind, row->words);
    assert_non_null(strstr(fetch.err.message, fixture->address));
    control_fetch_done(&fetch);
    fake_server_free(server);
}

static void every_bad_answer_has_its_own_error(void **state)
{
    static const struct misbehaviour rows[] = {
        {one_element, ERR_PROTOCOL, "no roots"},
        {no_element, ERR_PROTOCOL, "no certificate"},
        {empty_root, ERR_PROTOCOL, "element 2 of 2|the roots"},
        {leaf_is_no_pem, ERR_PROTOCOL, "element 1 of 2"},
        {endless_chain, ERR_LIMIT, "17 elements"},
        {no_protobuf, ERR_PROTOCOL, "not an IstioCertificateResponse"},
        {two_messages, ERR_PROTOCOL, "more than once"},
        {no_message, ERR_PROTOCOL, "without a certificate"},
        {compressed, ERR_PROTOCOL, "compressed"},
        {compressed_by_header, ERR_PROTOCOL, "compressed"},
        {too_long, ERR_LIMIT, "4294967295 bytes"},
        {cut_off, ERR_PROTOCOL, "cut off"},
        {no_status, ERR_PROTOCOL, "without a gRPC status"},
        {status_is_no_number, ERR_PROTOCOL, "without a gRPC status"},
        {web_page, ERR_SYSTEM, "not available|HTTP status 503"},
        {web_page_with_200, ERR_PROTOCOL, "HTTP status 200 without gRPC"},
        {unauthenticated, ERR_DENIED,
         "/token: control plane|refused the token (UNAUTHENTICATED): token has expired"},
        {trailers_only, ERR_DENIED, "does not permit this (PERMISSION_DENIED): not you"},
        {unavailable, ERR_SYSTEM, "not available (UNAVAILABLE): starting"},
        {unimplemented, ERR_PROTOCOL, "does not offer this service (UNIMPLEMENTED)"},
        {reset, ERR_PROTOCOL, "reset the call (HTTP/2 code 2)"},
        {reset_in_the_middle, ERR_PROTOCOL, "reset the call (HTTP/2 code 8)"},
        {always_refused, ERR_PROTOCOL, "reset the call (HTTP/2 code 7)"},
        {silent, ERR_TIMEOUT, "no answer within 1000 ms"},
        {goaway_and_nothing, ERR_SYSTEM, "closed the connection"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_failure(*state, &rows[i]);
}

/* ---------------------------------------------------------------------------- bad connections -- */

static void expect_connection_failure(struct control_fixture *fixture, const char *bytes,
                                      bool close, enum err_kind kind, const char *words)
{
    struct control_fetch fetch;
    struct fake_server *server = fake_server_new_raw(fixture, bytes, close);
    struct ca_client_options options = control_fixture_options(fixture);
    options.timeout_ms = kind == ERR_TIMEOUT ? 1000 : 0;
    control_fixture_fetch(fixture, &options, &fetch);
    control_fetch_expect_error(&fetch, kind, words);
    assert_non_null(strstr(fetch.err.message, fixture->address));
    control_fetch_done(&fetch);
    fake_server_free(server);
}

static void what_is_no_tls_is_an_error_of_tls(void **state)
{
    expect_connection_failure(*state, "HTTP/1.1 400 Bad Request\r\n\r\n", false, ERR_TLS, "");
    expect_connection_failure(*state, "", true, ERR_TLS, "");
}

static void a_server_that_says_nothing_at_all_runs_into_the_deadline(void **state)
{
    expect_connection_failure(*state, "", false, ERR_TIMEOUT, "no connection within 1000 ms");
}

/* --------------------------------------------------------------------------- what goes on well -- */

static void answer_well(struct fake_server *server, struct h2_stream *stream)
{
    const char *root = ca_issuer_roots_pem(fake_server_issuer(server));
    char roots[16 * 1024];
    snprintf(roots, sizeof(roots), "%s%s", root, root);
    /* The element in the middle ends without a newline, as some CAs write it. */
    char *trimmed = strndup(root, strlen(root) - 1);
    const char *const elements[] = {root, trimmed, roots};
    answer_elements(stream, elements, 3);
    free(trimmed);
}

static void refuse_the_first(struct fake_server *server, struct h2_stream *stream)
{
    if (fake_server_num_requests(server) == 1)
        h2_stream_reset(stream, H2_REFUSED_STREAM);
    else
        answer_well(server, stream);
}

static void answer_and_go_away(struct fake_server *server, struct h2_stream *stream)
{
    answer_well(server, stream);
    h2_session_start_drain(h2_stream_session(stream));
}

static void expect_success(struct control_fixture *fixture, struct cert_source *source)
{
    struct control_fetch fetch;
    control_fixture_fetch_on(fixture, source, NULL, &fetch);
    if (fetch.chain_pem == NULL)
        fail_msg("%s", fetch.err.message);
    control_fetch_done(&fetch);
}

static void the_chain_and_a_bundle_of_several_roots_are_told_apart(void **state)
{
    struct control_fixture *fixture = *state;
    struct fake_server *server = fake_server_new(fixture, answer_well);
    struct ca_client_options options = control_fixture_options(fixture);
    struct control_fetch fetch;
    const char *root = ca_issuer_roots_pem(fake_server_issuer(server));
    char twice[16 * 1024];
    control_fixture_fetch(fixture, &options, &fetch);
    snprintf(twice, sizeof(twice), "%s%s", root, root);
    assert_string_equal(fetch.chain_pem, twice);
    assert_string_equal(fetch.roots_pem, twice);
    control_fetch_done(&fetch);
    fake_server_free(server);
}

static void the_headers_are_those_of_grpc_and_istio(void **state)
{
    struct control_fixture *fixture = *state;
    struct fake_server *server = fake_server_new(fixture, answer_well);
    struct ca_client_options options = control_fixture_options(fixture);
    struct control_fetch fetch;
    uint64_t timeout_ms;
    control_fixture_fetch(fixture, &options, &fetch);
    assert_non_null(fetch.chain_pem);
    control_fetch_done(&fetch);
    assert_string_equal(fake_server_header(server, ":method"), "POST");
    assert_string_equal(fake_server_header(server, ":scheme"), "https");
    assert_string_equal(fake_server_header(server, ":path"),
                        "/istio.v1.auth.IstioCertificateService/CreateCertificate");
    assert_string_equal(fake_server_header(server, "te"), "trailers");
    assert_string_equal(fake_server_header(server, "content-type"), "application/grpc");
    assert_string_equal(fake_server_header(server, "authorization"),
                        "Bearer " CONTROL_FIXTURE_TOKEN);
    assert_string_equal(fake_server_header(server, "clusterid"), "Kubernetes");
    const char *timeout = fake_server_header(server, "grpc-timeout");
    assert_int_equal(grpc_timeout_parse(timeout, strlen(timeout), &timeout_ms), 0);
    assert_true(timeout_ms > 0 && timeout_ms <= 10000);
    fake_server_free(server);
}

static void a_request_that_was_certainly_not_seen_is_sent_again(void **state)
{
    struct control_fixture *fixture = *state;
    struct fake_server *server = fake_server_new(fixture, refuse_the_first);
    struct ca_client_options options = control_fixture_options(fixture);
    struct err err;
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    expect_success(fixture, source);
    assert_int_equal(fake_server_num_requests(server), 2);
    cert_source_free(source);
    fake_server_free(server);
}

static void calls_share_a_connection_until_the_server_says_goaway(void **state)
{
    struct control_fixture *fixture = *state;
    struct ca_client_options options;
    struct err err;
    struct fake_server *server = fake_server_new(fixture, answer_well);
    options = control_fixture_options(fixture);
    struct cert_source *source = ca_client_new(fixture->io, &options, &err);
    for (int i = 0; i < 3; i++)
        expect_success(fixture, source);
    assert_int_equal(fake_server_num_connections(server), 1);
    cert_source_free(source);
    fake_server_free(server);

    server = fake_server_new(fixture, answer_and_go_away);
    options = control_fixture_options(fixture);
    source = ca_client_new(fixture->io, &options, &err);
    for (int i = 0; i < 3; i++)
        expect_success(fixture, source);
    assert_int_equal(fake_server_num_requests(server), 3);
    assert_true(fake_server_num_connections(server) > 1);
    cert_source_free(source);
    fake_server_free(server);
}

#define CONTROL_TEST(f)                                                                            \
    cmocka_unit_test_setup_teardown(f, control_fixture_setup, control_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(every_bad_answer_has_its_own_error),
        CONTROL_TEST(what_is_no_tls_is_an_error_of_tls),
        CONTROL_TEST(a_server_that_says_nothing_at_all_runs_into_the_deadline),
        CONTROL_TEST(the_chain_and_a_bundle_of_several_roots_are_told_apart),
        CONTROL_TEST(the_headers_are_those_of_grpc_and_istio),
        CONTROL_TEST(a_request_that_was_certainly_not_seen_is_sent_again),
        CONTROL_TEST(calls_share_a_connection_until_the_server_says_goaway),
    };
    struct err err;
    if (log_init(LOG_LEVEL_ERROR, LOG_TEXT, &err) < 0)
        return 1;
    int num_failed = cmocka_run_group_tests(tests, NULL, NULL);
    log_done();
    return num_failed;
}
