/* The workers' handle and the hub together: what a session leaves behind in the exposition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "telemetry.h"
#include "telemetry_hub.h"

struct fixture {
    struct telemetry_hub *hub;
    struct telemetry *telemetry;
    int log_fds[2];
};

static void set_up(struct fixture *fixture, bool access_log)
{
    assert_int_equal(pipe(fixture->log_fds), 0);
    struct telemetry_hub_options options = {
        .access_log = access_log,
        .access_log_format = LOG_TEXT,
        .access_log_fd = fixture->log_fds[1],
    };
    struct err err;
    fixture->hub = telemetry_hub_new(&options, &err);
    assert_non_null(fixture->hub);
    fixture->telemetry = telemetry_new(fixture->hub);
    assert_non_null(fixture->telemetry);
}

/* Returns what was written to the access log; the caller frees. */
static char *tear_down(struct fixture *fixture)
{
    telemetry_free(fixture->telemetry);
    telemetry_hub_free(fixture->hub, 5000);
    close(fixture->log_fds[1]);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    size_t len = 0;
    for (ssize_t got; (got = read(fixture->log_fds[0], text + len, 65535 - len)) > 0;)
        len += (size_t)got;
    close(fixture->log_fds[0]);
    return text;
}

static char *scrape_with(struct fixture *fixture, const struct telemetry_xds *xds)
{
    static const struct telemetry_outcome outcomes[] = {{"ok", 7}, {"denied", 2}};
    struct telemetry_control control = {
        .ready = true,
        .certificate_not_after_ms = 1800000000999,
        .certificate_last_rotation_ms = 1700000000000,
        .rotation_outcomes = outcomes,
        .num_rotation_outcomes = 2,
        .discovery_loads_ok = 3,
        .discovery_loads_failed = 1,
        .num_workloads = 4,
        .xds = xds,
        .log_lines_dropped = 6,
    };
    struct buf out = {0};
    assert_int_equal(telemetry_hub_write(fixture->hub, &control, METRICS_PROMETHEUS, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    char *text = strdup((const char *)buf_head(&out));
    buf_done(&out);
    assert_non_null(text);
    return text;
}

static char *scrape(struct fixture *fixture)
{
    return scrape_with(fixture, NULL);
}

static void assert_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    if (at == NULL || (at != text && at[-1] != '\n'))
        fail_msg("no line \"%s\" in:\n%s", line, text);
}

static struct session_record inbound(void)
{
    return (struct session_record){
        .direction = SESSION_INBOUND,
        .source = {.workload = "frontend",
                   .namespace_ = "shop",
                   .canonical_name = "front",
                   .canonical_revision = "v1",
                   .identity = "spiffe://cluster.local/ns/shop/sa/frontend",
                   .cluster = "c1"},
        .destination = {.workload = "backend",
                        .namespace_ = "shop",
                        .identity = "spiffe://cluster.local/ns/shop/sa/backend"},
        .service_hostname = "backend.shop.svc.cluster.local",
        .service_namespace = "shop",
        .service_name = "backend",
        .mutual_tls = true,
        .bytes_sent = 500,
        .bytes_received = 20,
        .reason = REASON_DONE,
    };
}

#define INBOUND_LABELS                                                                             \
    "reporter=\"destination\",source_workload=\"frontend\",source_canonical_service=\"front\","    \
    "source_canonical_revision=\"v1\",source_workload_namespace=\"shop\","                         \
    "source_principal=\"spiffe://cluster.local/ns/shop/sa/frontend\",source_app=\"front\","        \
    "source_version=\"v1\",source_cluster=\"c1\","                                                 \
    "destination_service=\"backend.shop.svc.cluster.local\","                                      \
    "destination_service_namespace=\"shop\",destination_service_name=\"backend\","                 \
    "destination_workload=\"backend\",destination_canonical_service=\"unknown\","                  \
    "destination_canonical_revision=\"unknown\",destination_workload_namespace=\"shop\","          \
    "destination_principal=\"spiffe://cluster.local/ns/shop/sa/backend\","                         \
    "destination_app=\"unknown\",destination_version=\"unknown\","                                 \
    "destination_cluster=\"unknown\",request_protocol=\"tcp\",response_flags="

static void session_is_counted_with_istios_names_and_labels(void **state)
{
    struct fixture fixture;
    set_up(&fixture, false);
    struct session_record record = inbound();
    telemetry_session_opened(fixture.telemetry, &record);
    telemetry_session_closed(fixture.telemetry, &record);
    char *text = scrape(&fixture);
    static const char labels[] =
        "{" INBOUND_LABELS "\"-\",connection_security_policy=\"mutual_tls\"} ";
    static const struct {
        const char *name;
        int value;
    } samples[] = {
        {"istio_tcp_connections_opened_total", 1}, {"istio_tcp_connections_closed_total", 1},
        {"istio_tcp_connections_failed_total", 0}, {"istio_tcp_received_bytes_total", 20},
        {"istio_tcp_sent_bytes_total", 500},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        char line[2048];
        snprintf(line, sizeof(line), "%s%s%d\n", samples[i].name, labels, samples[i].value);
        assert_line(text, line);
    }
    assert_line(text, "remora_session_ends_total{direction=\"inbound\",reason=\"done\"} 1\n");
    free(text);
    free(tear_down(&fixture));
}

static void refused_session_opens_without_and_closes_with_its_flag(void **state)
{
    struct fixture fixture;
    set_up(&fixture, false);
    struct session_record record = inbound();
    record.reason = REASON_NOT_ALLOWED;
    telemetry_session_opened(fixture.telemetry, &record);
    telemetry_session_closed(fixture.telemetry, &record);
    char *text = scrape(&fixture);
    assert_line(text, "istio_tcp_connections_opened_total{" INBOUND_LABELS
                      "\"-\",connection_security_policy=\"mutual_tls\"} 1\n");
    assert_line(text, "istio_tcp_connections_closed_total{" INBOUND_LABELS
                      "\"DENY\",connection_security_policy=\"mutual_tls\"} 1\n");
    assert_line(text, "istio_tcp_connections_failed_total{" INBOUND_LABELS
                      "\"DENY\",connection_security_policy=\"mutual_tls\"} 1\n");
    free(text);
    free(tear_down(&fixture));
}

static void bytes_are_those_of_the_client_on_both_sides(void **state)
{
    struct fixture fixture;
    set_up(&fixture, false);
    struct session_record record = {
        .direction = SESSION_OUTBOUND, .bytes_sent = 500, .bytes_received = 20};
    telemetry_session_closed(fixture.telemetry, &record);
    char *text = scrape(&fixture);
    const char *received = strstr(text, "\nistio_tcp_received_bytes_total{reporter=\"source\"");
    assert_non_null(received);
    assert_non_null(strstr(received, "connection_security_policy=\"unknown\"} 20\n"));
    free(text);
    free(tear_down(&fixture));
}

static void gauges_and_counters_below_sessions(void **state)
{
    struct fixture fixture;
    set_up(&fixture, false);
    struct telemetry *telemetry = fixture.telemetry;
    telemetry_tunnel_opened(telemetry, SESSION_OUTBOUND);
    telemetry_tunnel_opened(telemetry, SESSION_OUTBOUND);
    telemetry_tunnel_closed(telemetry, SESSION_OUTBOUND, REASON_IDLE);
    telemetry_stream_opened(telemetry, SESSION_INBOUND);
    telemetry_socket_opened(telemetry, SESSION_INBOUND);
    telemetry_socket_opened(telemetry, SESSION_INBOUND);
    telemetry_socket_closed(telemetry, SESSION_INBOUND);
    telemetry_accept_overload(telemetry, SESSION_INBOUND);
    telemetry_connect_done(telemetry, SESSION_OUTBOUND, REASON_DONE, 4);
    telemetry_connect_done(telemetry, SESSION_OUTBOUND, REASON_CONNECT_TIMEOUT, 20000);
    struct telemetry_handshake handshake = {
        .direction = SESSION_OUTBOUND, .reason = REASON_DONE, .duration_ms = 3};
    telemetry_handshake_done(telemetry, &handshake);
    handshake.reason = REASON_IDENTITY_MISMATCH;
    telemetry_handshake_done(telemetry, &handshake);

    char *text = scrape(&fixture);
    assert_line(text, "remora_tunnels_open{direction=\"outbound\"} 1\n");
    assert_line(text, "remora_tunnel_ends_total{direction=\"outbound\",reason=\"idle\"} 1\n");
    assert_line(text, "remora_tunnel_streams_open{direction=\"inbound\"} 1\n");
    assert_line(text, "istio_tcp_sockets_open{reporter=\"destination\"} 1\n");
    assert_line(text, "remora_accept_overloads_total{direction=\"inbound\"} 1\n");
    assert_line(text, "remora_connect_duration_seconds_bucket{direction=\"outbound\","
                      "outcome=\"ok\",le=\"0.005\"} 1\n");
    assert_line(text, "remora_connect_duration_seconds_sum{direction=\"outbound\","
                      "outcome=\"connect_timeout\"} 20.000\n");
    assert_line(text, "remora_tls_handshake_duration_seconds_count{direction=\"outbound\"} 1\n");
    assert_line(text, "remora_tls_handshake_failures_total{direction=\"outbound\","
                      "reason=\"identity_mismatch\"} 1\n");
    free(text);
    free(tear_down(&fixture));
}

static void control_threads_part_is_exposed(void **state)
{
    struct fixture fixture;
    set_up(&fixture, false);
    char *text = scrape(&fixture);
    assert_line(text, "istio_build{component=\"remora\",tag=\"" REMORA_VERSION "\"} 1\n");
    assert_line(text, "remora_ready 1\n");
    assert_line(text, "remora_certificate_expiry_timestamp_seconds 1800000000\n");
    assert_line(text, "remora_certificate_last_rotation_timestamp_seconds 1700000000\n");
    assert_line(text, "remora_certificate_rotation_attempts_total{outcome=\"ok\"} 7\n");
    assert_line(text, "remora_certificate_rotation_attempts_total{outcome=\"denied\"} 2\n");
    assert_line(text, "remora_discovery_loads_total{outcome=\"failed\"} 1\n");
    assert_line(text, "remora_discovery_workloads 4\n");
    assert_line(text, "remora_log_lines_dropped_total{log=\"program\"} 6\n");
    const char *fds = strstr(text, "\nprocess_open_fds ");
    assert_non_null(fds);
    assert_in_range(strtol(fds + strlen("\nprocess_open_fds "), NULL, 10), 5, 100);
    free(text);
    free(tear_down(&fixture));
}

static void the_control_planes_part_is_exposed_where_there_is_one(void **state)
{
    static const struct telemetry_outcome ends[] = {{"connect", 3}, {"refused", 1}};
    static const struct telemetry_outcome terminations[] = {{"ConnectionError", 3}};
    const struct telemetry_xds xds = {
        .connected = true,
        .num_nacks = 2,
        .num_asked = 5,
        .num_expired = 4,
        .num_subscribed = 6,
        .types = {{.name = "address",
                   .url = "type.example/A",
                   .num_messages = 7,
                   .num_bytes = 800,
                   .num_updates = 9,
                   .num_rejected = 1,
                   .num_held = 10}},
        .num_types = 1,
        .ends = ends,
        .num_ends = 2,
        .terminations = terminations,
        .num_terminations = 1,
    };
    struct fixture fixture;
    set_up(&fixture, false);
    char *text = scrape(&fixture);
    assert_null(strstr(text, "\nremora_xds_connected "));
    free(text);
    text = scrape_with(&fixture, &xds);
    assert_line(text, "remora_xds_connected 1\n");
    assert_line(text, "remora_xds_subscriptions 6\n");
    assert_line(text, "remora_xds_nacks_total 2\n");
    assert_line(text, "remora_xds_asked_total 5\n");
    assert_line(text, "remora_xds_expired_total 4\n");
    assert_line(text, "remora_xds_stream_ends_total{reason=\"refused\"} 1\n");
    assert_line(text, "istio_xds_connection_terminations_total{reason=\"ConnectionError\"} 3\n");
    assert_line(text, "istio_xds_message_total{url=\"type.example/A\"} 7\n");
    assert_line(text, "istio_xds_message_bytes_total{url=\"type.example/A\"} 800\n");
    assert_line(text, "remora_xds_updates_total{type=\"address\"} 9\n");
    assert_line(text, "remora_xds_rejected_total{type=\"address\"} 1\n");
    assert_line(text, "remora_xds_resources{type=\"address\"} 10\n");
    free(text);
    free(tear_down(&fixture));
}

static void each_session_has_one_line(void **state)
{
    struct fixture fixture;
    set_up(&fixture, true);
    struct session_record record = inbound();
    telemetry_session_opened(fixture.telemetry, &record);
    telemetry_session_closed(fixture.telemetry, &record);
    char *lines = tear_down(&fixture);
    assert_non_null(strstr(lines, "\"connection complete\""));
    assert_ptr_equal(strchr(lines, '\n'), lines + strlen(lines) - 1);
    free(lines);
}

static size_t num_lines_of(const char *lines)
{
    size_t num = 0;
    for (const char *at = lines; *at != '\0'; at++)
        num += *at == '\n';
    return num;
}

/* One of them is ordinary; many say nothing that one does not. */
static void flood_of_clients_that_leave_is_cut(void **state)
{
    struct fixture fixture;
    set_up(&fixture, true);
    const struct session_record gone = {.direction = SESSION_INBOUND, .reason = REASON_CLIENT_GONE};
    for (int i = 0; i < 500; i++)
        telemetry_session_closed(fixture.telemetry, &gone);
    char *lines = tear_down(&fixture);
    assert_in_range(num_lines_of(lines), 1, 300);
    free(lines);
}

static void flood_of_refused_peers_is_cut_and_counted(void **state)
{
    struct fixture fixture;
    set_up(&fixture, true);
    struct telemetry_handshake handshake = {.direction = SESSION_INBOUND,
                                            .reason = REASON_TLS_NO_CLIENT_CERT};
    struct session_record plaintext = {.direction = SESSION_INBOUND,
                                       .reason = REASON_PLAINTEXT_REFUSED};
    for (int i = 0; i < 500; i++) {
        telemetry_handshake_done(fixture.telemetry, &handshake);
        telemetry_session_closed(fixture.telemetry, &plaintext);
    }
    char *text = scrape(&fixture);
    assert_line(text, "remora_tls_handshake_failures_total{direction=\"inbound\","
                      "reason=\"tls_no_client_cert\"} 500\n");
    assert_line(text, "remora_session_ends_total{direction=\"inbound\","
                      "reason=\"plaintext_refused\"} 500\n");
    const char *suppressed = strstr(text, "\nremora_access_log_suppressed_total ");
    assert_non_null(suppressed);
    long num = strtol(suppressed + strlen("\nremora_access_log_suppressed_total "), NULL, 10);
    assert_in_range(num, 1, 800);
    free(text);

    /* Who has proven an identity is told in full. */
    struct session_record proven = inbound();
    proven.reason = REASON_NOT_ALLOWED;
    telemetry_session_closed(fixture.telemetry, &proven);
    char *lines = tear_down(&fixture);
    long num_lines = (long)num_lines_of(lines);
    assert_int_equal(num_lines, 1000 - num + 1);
    assert_non_null(strstr(lines, "not_allowed"));
    free(lines);
}

/* ------------------------------------------------------------------------------------ threads -- */

enum { NUM_WORKERS = 3, NUM_SESSIONS = 3000 };

static void *work(void *arg)
{
    struct telemetry_hub *hub = arg;
    struct telemetry *telemetry = telemetry_new(hub);
    for (unsigned i = 0; i < NUM_SESSIONS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "workload-%u", i % 50);
        struct session_record record = inbound();
        record.source.workload = name;
        telemetry_session_opened(telemetry, &record);
        telemetry_session_closed(telemetry, &record);
    }
    telemetry_free(telemetry);
    return NULL;
}

static void scraping_while_workers_count_is_safe(void **state)
{
    struct fixture fixture;
    set_up(&fixture, false);
    pthread_t workers[NUM_WORKERS];
    for (size_t i = 0; i < NUM_WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, work, fixture.hub), 0);
    for (int i = 0; i < 20; i++)
        free(scrape(&fixture));
    for (size_t i = 0; i < NUM_WORKERS; i++)
        pthread_join(workers[i], NULL);
    char *text = scrape(&fixture);
    char line[128];
    snprintf(line, sizeof(line),
             "remora_session_ends_total{direction=\"inbound\",reason=\"done\"} %d\n",
             NUM_WORKERS * NUM_SESSIONS);
    assert_line(text, line);
    free(text);
    free(tear_down(&fixture));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_is_counted_with_istios_names_and_labels),
        cmocka_unit_test(refused_session_opens_without_and_closes_with_its_flag),
        cmocka_unit_test(bytes_are_those_of_the_client_on_both_sides),
        cmocka_unit_test(gauges_and_counters_below_sessions),
        cmocka_unit_test(control_threads_part_is_exposed),
        cmocka_unit_test(the_control_planes_part_is_exposed_where_there_is_one),
        cmocka_unit_test(each_session_has_one_line),
        cmocka_unit_test(flood_of_clients_that_leave_is_cut),
        cmocka_unit_test(flood_of_refused_peers_is_cut_and_counted),
        cmocka_unit_test(scraping_while_workers_count_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
