#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "access_log.h"

enum { WALL_MS = 1700000000 };

static struct addr addr_of(const char *text)
{
    struct addr addr;
    struct err err;
    assert_int_equal(addr_parse(&addr, text, &err), 0);
    return addr;
}

static struct session_record tunnelled(void)
{
    return (struct session_record){
        .direction = SESSION_OUTBOUND,
        .source_addr = addr_of("10.0.0.1:40000"),
        .destination_addr = addr_of("10.0.0.2:15008"),
        .target_addr = addr_of("10.0.0.2:8080"),
        .has_target = true,
        .source =
            {
                .pod = "frontend-1",
                .workload = "frontend",
                .namespace_ = "shop",
                .identity = "spiffe://cluster.local/ns/shop/sa/frontend",
                .cluster = "Kubernetes",
            },
        .destination =
            {
                .pod = "backend-1",
                .namespace_ = "shop",
                .identity = "spiffe://cluster.local/ns/shop/sa/backend",
                .cluster = "Kubernetes",
            },
        .service_hostname = "backend.shop.svc.cluster.local",
        .mutual_tls = true,
        .bytes_sent = 2000,
        .bytes_received = 100,
        .duration_ms = 12,
        .reason = REASON_DONE,
    };
}

static void assert_line(const struct session_record *record, enum log_format format,
                        uint64_t suppressed, const char *expected)
{
    struct buf line = {0};
    assert_int_equal(access_log_format_session(&line, format, record, WALL_MS, suppressed), 0);
    assert_int_equal(buf_append(&line, "", 1), 0);
    assert_string_equal((const char *)buf_head(&line), expected);
    buf_done(&line);
}

static void finished_session_as_text(void **state)
{
    struct session_record record = tunnelled();
    assert_line(&record, LOG_TEXT, 0,
                "1970-01-20T16:13:20.000Z info access \"connection complete\" "
                "src.addr=\"10.0.0.1:40000\" src.workload=\"frontend-1\" src.namespace=\"shop\" "
                "src.identity=\"spiffe://cluster.local/ns/shop/sa/frontend\" "
                "src.cluster=\"Kubernetes\" dst.addr=\"10.0.0.2:15008\" "
                "dst.hbone_addr=\"10.0.0.2:8080\" dst.service=\"backend.shop.svc.cluster.local\" "
                "dst.workload=\"backend-1\" dst.namespace=\"shop\" "
                "dst.identity=\"spiffe://cluster.local/ns/shop/sa/backend\" "
                "dst.cluster=\"Kubernetes\" direction=\"outbound\" bytes_sent=100 bytes_recv=2000 "
                "duration=\"12ms\" reason=\"done\" response_flags=\"-\"\n");
}

static void finished_session_as_json(void **state)
{
    struct session_record record = tunnelled();
    assert_line(
        &record, LOG_JSON, 0,
        "{\"time\":\"1970-01-20T16:13:20.000Z\",\"level\":\"info\",\"module\":\"access\","
        "\"message\":\"connection complete\",\"src.addr\":\"10.0.0.1:40000\","
        "\"src.workload\":\"frontend-1\",\"src.namespace\":\"shop\","
        "\"src.identity\":\"spiffe://cluster.local/ns/shop/sa/frontend\","
        "\"src.cluster\":\"Kubernetes\",\"dst.addr\":\"10.0.0.2:15008\","
        "\"dst.hbone_addr\":\"10.0.0.2:8080\",\"dst.service\":\"backend.shop.svc.cluster.local\","
        "\"dst.workload\":\"backend-1\",\"dst.namespace\":\"shop\","
        "\"dst.identity\":\"spiffe://cluster.local/ns/shop/sa/backend\","
        "\"dst.cluster\":\"Kubernetes\",\"direction\":\"outbound\",\"bytes_sent\":100,"
        "\"bytes_recv\":2000,\"duration\":\"12ms\",\"reason\":\"done\",\"response_flags\":\"-\"}"
        "\n");
}

static void refused_session_names_policy_and_cause(void **state)
{
    struct session_record record = {
        .direction = SESSION_INBOUND,
        .source_addr = addr_of("[fd00::1]:1"),
        .destination_addr = addr_of("[fd00::2]:80"),
        .target_addr = addr_of("[fd00::2]:80"), /* plaintext: the same, and not said twice */
        .has_target = true,
        .bytes_sent = 7,
        .bytes_received = 8,
        .reason = REASON_DENIED_BY_POLICY,
        .policy = "shop/no-strangers",
        .detail = "rule 2 of 3",
    };
    assert_line(&record, LOG_TEXT, 5,
                "1970-01-20T16:13:20.000Z warn access \"connection refused\" "
                "src.addr=\"[fd00::1]:1\" dst.addr=\"[fd00::2]:80\" direction=\"inbound\" "
                "bytes_sent=7 bytes_recv=8 duration=\"0ms\" reason=\"denied_by_policy\" "
                "response_flags=\"DENY\" policy=\"shop/no-strangers\" "
                "error=\"a DENY policy matches this peer: rule 2 of 3\" suppressed=5\n");
}

static void failed_session_is_an_error_with_the_reasons_sentence(void **state)
{
    struct session_record record = {
        .direction = SESSION_INBOUND, .reason = REASON_CONNECT_REFUSED, .detail = ""};
    assert_line(&record, LOG_TEXT, 0,
                "1970-01-20T16:13:20.000Z error access \"connection failed\" "
                "direction=\"inbound\" bytes_sent=0 bytes_recv=0 duration=\"0ms\" "
                "reason=\"connect_refused\" response_flags=\"CONNECT\" "
                "error=\"nothing listens at the destination\"\n");
}

static void peers_cannot_forge_lines(void **state)
{
    struct session_record record = {.direction = SESSION_INBOUND,
                                    .reason = REASON_BAD_REQUEST,
                                    .detail = "authority \"x\"\n1970 info access \xff"};
    assert_line(&record, LOG_TEXT, 0,
                "1970-01-20T16:13:20.000Z warn access \"connection refused\" "
                "direction=\"inbound\" bytes_sent=0 bytes_recv=0 duration=\"0ms\" "
                "reason=\"bad_request\" response_flags=\"BAD_REQUEST\" "
                "error=\"the tunnel request is malformed: authority \\\"x\\\"\\n1970 info access "
                "\\xff\"\n");
}

static void long_details_are_cut_and_the_line_stays_whole(void **state)
{
    char detail[4096];
    memset(detail, 'd', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = '\0';
    struct session_record record = tunnelled();
    record.reason = REASON_TLS_FAILED;
    record.detail = detail;
    struct buf line = {0};
    assert_int_equal(access_log_format_session(&line, LOG_JSON, &record, WALL_MS, 0), 0);
    assert_in_range(buf_len(&line), 1000, 3000);
    assert_memory_equal(buf_head(&line) + buf_len(&line) - 4, "d\"}\n", 4);
    buf_done(&line);
}

static void refused_handshake_says_who_and_why(void **state)
{
    struct access_log_refusal refusal = {
        .direction = SESSION_INBOUND,
        .peer = addr_of("10.0.0.9:5000"),
        .local = addr_of("10.0.0.2:15008"),
        .reason = REASON_CERT_EXPIRED,
        .detail = "ended 3 h ago",
    };
    struct buf line = {0};
    assert_int_equal(access_log_format_refusal(&line, LOG_TEXT, &refusal, WALL_MS, 2), 0);
    assert_int_equal(buf_append(&line, "", 1), 0);
    assert_string_equal(
        (const char *)buf_head(&line),
        "1970-01-20T16:13:20.000Z error access \"connection failed\" src.addr=\"10.0.0.9:5000\" "
        "dst.addr=\"10.0.0.2:15008\" direction=\"inbound\" reason=\"cert_expired\" "
        "response_flags=\"TLS_FAILURE\" error=\"the peer's certificate has expired; did its "
        "rotation stop, is a clock wrong?: ended 3 h ago\" suppressed=2\n");
    buf_done(&line);
}

/* ----------------------------------------------------------------------------------- writing -- */

static void lines_reach_the_descriptor(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct err err;
    struct access_log *access_log = access_log_new(fds[1], LOG_TEXT, &err);
    assert_non_null(access_log);
    struct session_record record = tunnelled();
    access_log_session(access_log, &record, WALL_MS, 0);
    access_log_free(access_log, 5000);
    char line[4096];
    ssize_t len = read(fds[0], line, sizeof(line));
    assert_true(len > 100 && line[len - 1] == '\n');
    close(fds[0]);
    close(fds[1]);
}

static void reader_that_stopped_costs_lines_only(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0); /* nobody reads */
    struct err err;
    struct access_log *access_log = access_log_new(fds[1], LOG_JSON, &err);
    assert_non_null(access_log);
    struct session_record record = tunnelled();
    for (int i = 0; i < 5000; i++)
        access_log_session(access_log, &record, WALL_MS, 0);
    uint64_t dropped = access_log_dropped(access_log);
    assert_in_range(dropped, 1, 4999);
    access_log_free(access_log, 0);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finished_session_as_text),
        cmocka_unit_test(finished_session_as_json),
        cmocka_unit_test(refused_session_names_policy_and_cause),
        cmocka_unit_test(failed_session_is_an_error_with_the_reasons_sentence),
        cmocka_unit_test(peers_cannot_forge_lines),
        cmocka_unit_test(long_details_are_cut_and_the_line_stays_whole),
        cmocka_unit_test(refused_handshake_says_who_and_why),
        cmocka_unit_test(lines_reach_the_descriptor),
        cmocka_unit_test(reader_that_stopped_costs_lines_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
