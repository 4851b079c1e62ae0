#include "waiting.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inbound.h"
#include "mesh_fixture.h"
#include "no_ports.h"
#include "proxy_state.h"
#include "telemetry_hub.h"

enum {
    LONG_MS = 60 * 1000,   /* a wait that never ends by itself within a test */
    SHORT_MS = 20,         /* one that does at once */
    GIVE_UP_MS = 30 * 1000 /* for what has to come; far more than it takes */
};

/*
 * A proxy without listeners of its own; the test's listener hands it the connections. Since nobody redirects, the destination is
 * the listener's own address, so that connections beyond the first `num_clients` are those that the proxy makes: to the
 * application, which sends one byte and ends.
 */
struct world {
    struct net_loop *loop;
    struct telemetry_hub *hub;
    struct telemetry *telemetry;
    struct proxy *proxy;
    struct net_listener *listener;
    void (*on_accept)(void *owner, struct net_tcp *tcp);
    int clients[16];
    size_t num_clients;
    size_t num_accepted;
    size_t num_served;
    bool takes_asks;
    size_t num_asks;
    char asked[MESH_NAME_TEXT_MAX];
    struct mesh_interest *interest;
};

static bool on_ask(void *owner, const char *name)
{
    struct world *world = owner;
    world->num_asks++;
    snprintf(world->asked, sizeof(world->asked), "%s", name);
    return world->takes_asks;
}

static void serve(struct world *world, struct net_tcp *tcp)
{
    static const struct stream_handler nothing = {0};
    struct stream *stream = net_tcp_stream(tcp);
    stream_set_handler(stream, &nothing, NULL);
    stream_write(stream, (const uint8_t *)"!", 1);
    stream_close(stream);
    world->num_served++;
}

static void on_accept(void *owner, struct net_tcp *tcp)
{
    struct world *world = owner;
    if (world->num_accepted++ < world->num_clients)
        world->on_accept(world->proxy, tcp);
    else
        serve(world, tcp);
}

static void on_overload(void *owner)
{
    fail_msg("there are descriptors enough");
}

static const struct proxy_options usual = {
    .pod_name = "me",
    .pod_namespace = "shop",
    .service_account = "sa",
    .network = "",
    .cluster_id = "c",
    .connect_timeout_ms = 5000,
    .tls_timeout_ms = 5000,
    .tunnel_answer_timeout_ms = 5000,
    .http2_ping_interval_ms = 10000,
    .http2_ping_timeout_ms = 10000,
    .http2_stream_window = 65535,
    .http2_connection_window = 65535,
    .http2_frame_size = 16384,
    .http2_max_streams = 100,
    .pool_max_streams = 100,
    .pool_idle_timeout_ms = 1000,
    .max_sessions = 100,
    .discovery_timeout_ms = LONG_MS,
};

static struct world *set_up(const struct proxy_options *options)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    struct err err = {0};
    world->loop = net_loop_new(&err);
    world->hub = telemetry_hub_new(&(struct telemetry_hub_options){.access_log = false}, &err);
    world->telemetry = telemetry_new(world->hub);
    world->takes_asks = true;
    world->on_accept = outbound_on_accept;
    struct proxy_options own = *options;
    own.on_ask = on_ask;
    own.ask_owner = world;
    world->proxy = proxy_new(world->loop, &own, world->telemetry, &err);
    assert_non_null(world->proxy);
    no_ports_set(world->proxy);
    const struct addr at = fixture_addr("127.0.0.1:0");
    world->listener = net_listener_new(world->loop, &at, &(struct net_listener_options){0},
                                       on_accept, on_overload, world, &err);
    assert_non_null(world->listener);
    world->interest = mesh_interest_new("/127.0.0.1");
    return world;
}

static void tear_down(struct world *world)
{
    for (size_t i = 0; i < world->num_clients; i++)
        close(world->clients[i]);
    proxy_free(world->proxy);
    net_listener_free(world->listener);
    telemetry_free(world->telemetry);
    telemetry_hub_free(world->hub, 0);
    mesh_interest_unref(world->interest);
    assert_int_equal(net_loop_free(world->loop), 0);
    free(world);
}

static void connect_clients(struct world *world, size_t num)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(net_listener_addr(world->listener), &to);
    for (size_t i = 0; i < num; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&to, len), 0);
        world->clients[world->num_clients++] = fd;
    }
}

static void stop(void *owner)
{
    net_loop_stop(owner);
}

/* Lets the loop run until the predicate holds. */
static void run_until(struct world *world, bool (*holds)(const struct world *world))
{
    struct net_timer *timer = net_timer_new(world->loop, stop, world->loop);
    for (unsigned i = 0; i < GIVE_UP_MS && !holds(world); i++) {
        net_timer_start(timer, 1);
        net_loop_run(world->loop);
    }
    net_timer_free(timer);
    assert_true(holds(world));
}

static bool all_were_accepted(const struct world *world)
{
    return world->num_accepted >= world->num_clients;
}

static bool all_were_served(const struct world *world)
{
    return world->num_served == world->num_clients;
}

static bool asked_three_times(const struct world *world)
{
    return world->num_asks >= 3;
}

static bool one_is_left(const struct world *world)
{
    return all_were_accepted(world) && proxy_num_sessions(world->proxy) == 1;
}

static bool nobody_is_left(const struct world *world)
{
    return all_were_accepted(world) && proxy_num_sessions(world->proxy) == 0;
}

static void assert_metric(struct world *world, const char *line)
{
    struct buf page = {0};
    const struct telemetry_control control = {0};
    assert_int_equal(telemetry_hub_write(world->hub, &control, METRICS_PROMETHEUS, &page), 0);
    assert_int_equal(buf_append(&page, "", 1), 0);
    if (strstr((const char *)buf_head(&page), line) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, buf_head(&page));
    buf_done(&page);
}

/* ------------------------------------------------------------------------------------------- what discovery says -- */

struct knows {
    bool me;
    bool answered; /* for the destination: there is nothing */
};

static void publish(struct world *world, const struct knows *knows)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    mesh_builder_set_on_demand(builder, true);
    if (knows->me)
        fixture_add_workload(builder, &(struct mesh_workload){.uid = "me",
                                                              .name = "me",
                                                              .namespace_ = "shop",
                                                              .service_account = "sa",
                                                              .trust_domain = "td",
                                                              .network = "",
                                                              .tunnel = MESH_TUNNEL_HBONE,
                                                              IPS(fixture_ip("10.9.9.9"))});
    if (knows->answered)
        mesh_builder_put_answered(builder, world->interest);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    proxy_set_mesh(world->proxy, snapshot);
    mesh_snapshot_unref(snapshot);
}

/* ---------------------------------------------------------------------------------------------------------- outbound -- */

static void ten_connections_to_one_unknown_address_ask_once_and_go_on_together(void **state)
{
    struct world *world = set_up(&usual);
    publish(world, &(struct knows){.me = true});
    connect_clients(world, 10);
    run_until(world, all_were_accepted);
    assert_int_equal(world->num_asks, 1);
    assert_string_equal(world->asked, "/127.0.0.1");
    assert_metric(world, "remora_sessions_waiting{direction=\"outbound\"} 10\n");
    assert_int_equal(mesh_interest_last_used(world->interest), 0);
    publish(world, &(struct knows){.me = true, .answered = true});
    run_until(world, all_were_served);
    assert_int_equal(world->num_asks, 1);
    assert_int_not_equal(mesh_interest_last_used(world->interest), 0);
    assert_metric(world, "remora_sessions_waiting{direction=\"outbound\"} 0\n");
    tear_down(world);
}

static void news_of_something_else_leave_it_waiting(void **state)
{
    struct world *world = set_up(&usual);
    publish(world, &(struct knows){.me = true});
    connect_clients(world, 1);
    run_until(world, all_were_accepted);
    for (unsigned i = 0; i < 100; i++)
        publish(world, &(struct knows){.me = true});
    assert_metric(world, "remora_sessions_waiting{direction=\"outbound\"} 1\n");
    assert_int_equal(world->num_asks, 1);
    publish(world, &(struct knows){.me = true, .answered = true});
    run_until(world, all_were_served);
    tear_down(world);
}

static void publish_own(struct world *world, bool policy_listed, const struct mesh_policy *told);

static void reset_client(const struct world *world, size_t at)
{
    const struct linger at_once = {.l_onoff = 1};
    assert_int_equal(
        setsockopt(world->clients[at], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    /* Its place is kept, so that the descriptor is not used for another. */
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup3(nothing, world->clients[at], O_CLOEXEC), world->clients[at]);
    close(nothing);
}

static void who_resets_while_waiting_is_let_go_and_who_ends_a_direction_is_served(void **state)
{
    static void (*const ways_in[])(void *owner, struct net_tcp *tcp) = {outbound_on_accept,
                                                                        inbound_direct_on_accept};
    for (size_t i = 0; i < sizeof(ways_in) / sizeof(ways_in[0]); i++) {
        struct world *world = set_up(&usual);
        world->on_accept = ways_in[i];
        connect_clients(world, 2);
        run_until(world, all_were_accepted);
        shutdown(world->clients[1], SHUT_WR);
        assert_int_equal(write(world->clients[0], "question", 8), 8);
        reset_client(world, 0);
        run_until(world, one_is_left);
        if (i == 0)
            publish(world, &(struct knows){.me = true, .answered = true});
        else
            publish_own(world, false, NULL);
        run_until(world, nobody_is_left);
        assert_int_equal(world->num_served, 1);
        char metric[128];
        snprintf(metric, sizeof(metric),
                 "remora_session_ends_total{direction=\"%s\",reason=\"client_gone\"} 1\n",
                 i == 0 ? "outbound" : "inbound");
        assert_metric(world, metric);
        char answer[2];
        assert_int_equal(read(world->clients[1], answer, sizeof(answer)), 1);
        assert_int_equal(read(world->clients[1], answer, sizeof(answer)), 0);
        tear_down(world);
    }
}

static bool destination_is_of_use(const struct world *world)
{
    return mesh_interest_last_kept(world->interest) != 0;
}

static void what_a_live_connection_goes_to_stays_of_use(void **state)
{
    struct proxy_options options = usual;
    options.touch_ms = SHORT_MS;
    struct world *world = set_up(&options);
    publish(world, &(struct knows){.me = true, .answered = true});
    connect_clients(world, 1);
    run_until(world, all_were_served);
    for (unsigned i = 0; i < 3; i++) {
        mesh_interest_keep(world->interest, 0);
        run_until(world, destination_is_of_use);
    }
    tear_down(world);
}

static void what_is_unanswered_in_time_is_refused_with_its_own_reason(void **state)
{
    struct proxy_options options = usual;
    options.discovery_timeout_ms = SHORT_MS;
    struct world *world = set_up(&options);
    publish(world, &(struct knows){.me = true});
    connect_clients(world, 1);
    run_until(world, nobody_is_left);
    assert_int_equal(world->num_served, 0);
    assert_metric(world, "remora_session_ends_total{direction=\"outbound\","
                         "reason=\"discovery_timeout\"} 1\n");
    tear_down(world);
}

static void what_is_unanswered_in_time_passes_through_where_that_is_wanted(void **state)
{
    struct proxy_options options = usual;
    options.discovery_timeout_ms = SHORT_MS;
    options.pass_unanswered = true;
    struct world *world = set_up(&options);
    publish(world, &(struct knows){.me = true});
    connect_clients(world, 1);
    run_until(world, all_were_served);
    tear_down(world);
}

static void a_name_that_nobody_could_take_is_told_again(void **state)
{
    struct world *world = set_up(&usual);
    world->takes_asks = false;
    publish(world, &(struct knows){.me = true});
    connect_clients(world, 3);
    run_until(world, asked_three_times);
    tear_down(world); /* with sessions that wait: the leak checker has the last word */
}

static void before_the_first_word_of_discovery_it_waits(void **state)
{
    struct world *world = set_up(&usual);
    connect_clients(world, 1);
    run_until(world, all_were_accepted);
    for (unsigned i = 0; i < 100; i++)
        publish(world, &(struct knows){.me = false, .answered = true});
    assert_int_equal(world->num_served, 0);
    publish(world, &(struct knows){.me = true, .answered = true});
    run_until(world, all_were_served);
    assert_int_equal(world->num_asks, 0);
    tear_down(world);
}

static void a_pod_that_stays_unknown_is_refused(void **state)
{
    struct proxy_options options = usual;
    options.discovery_timeout_ms = SHORT_MS;
    struct world *world = set_up(&options);
    connect_clients(world, 1);
    run_until(world, nobody_is_left);
    assert_metric(world, "remora_session_ends_total{direction=\"outbound\","
                         "reason=\"unknown_local_workload\"} 1\n");
    tear_down(world);
}

static void with_no_time_at_all_nothing_waits(void **state)
{
    struct proxy_options options = usual;
    options.discovery_timeout_ms = 0;
    struct world *world = set_up(&options);
    publish(world, &(struct knows){.me = true});
    connect_clients(world, 1);
    run_until(world, nobody_is_left);
    assert_int_equal(world->num_asks, 0);
    tear_down(world);
}

/* ----------------------------------------------------------------------------------------------------------- the wait -- */

static unsigned num_given_up;

static void give_up(struct session *session)
{
    num_given_up++;
    session_close(session, REASON_DISCOVERY_TIMEOUT, NULL);
}

static void ask_for_another(struct session *session);

static const struct waiting_handler led_on = {.on_news = ask_for_another, .on_timeout = give_up};

static void ask_for_another(struct session *session)
{
    char name[32];
    snprintf(name, sizeof(name), "name-%u", session->waiting.num_names);
    waiting_start(session, name, &led_on);
}

static void who_is_led_from_name_to_name_is_given_up(void **state)
{
    struct world *world = set_up(&usual);
    publish(world, &(struct knows){.me = true});
    const struct addr somebody = fixture_addr("10.0.0.1:1");
    struct session *session = session_new(world->proxy, SESSION_INBOUND, &somebody, &somebody);
    assert_non_null(session);
    num_given_up = 0;
    ask_for_another(session);
    for (unsigned i = 0; i < 100 && num_given_up == 0; i++)
        publish(world, &(struct knows){.me = true});
    assert_int_equal(num_given_up, 1);
    assert_int_equal(world->num_asks, 8);
    assert_int_equal(proxy_num_sessions(world->proxy), 0);
    tear_down(world);
}

static bool malloc_fails;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return malloc_fails ? NULL : __real_malloc(size);
}

static void without_memory_for_a_name_the_session_ends(void **state)
{
    struct world *world = set_up(&usual);
    publish(world, &(struct knows){.me = true});
    const struct addr somebody = fixture_addr("10.0.0.1:1");
    struct session *session = session_new(world->proxy, SESSION_INBOUND, &somebody, &somebody);
    assert_non_null(session);
    malloc_fails = true;
    ask_for_another(session);
    malloc_fails = false;
    assert_int_equal(proxy_num_sessions(world->proxy), 0);
    assert_int_equal(world->num_asks, 0);
    assert_metric(world, "remora_session_ends_total{direction=\"inbound\","
                         "reason=\"no_memory\"} 1\n");
    tear_down(world);
}

/* ------------------------------------------------------------------------------------------------------------ inbound -- */

/* The application is at 127.0.0.1, which has to be the pod's own address. */
static void publish_own(struct world *world, bool policy_listed, const struct mesh_policy *told)
{
    struct err err = {0};
    const char *listed = "shop/p";
    struct mesh_builder *builder = mesh_builder_new(NULL);
    fixture_add_workload(builder,
                         &(struct mesh_workload){.uid = "me",
                                                 .name = "me",
                                                 .namespace_ = "shop",
                                                 .service_account = "sa",
                                                 .trust_domain = "td",
                                                 .network = "",
                                                 IPS(fixture_ip("127.0.0.1")),
                                                 .authorization_policies = &listed,
                                                 .num_authorization_policies = policy_listed});
    if (told != NULL)
        assert_int_equal(mesh_builder_add_policy(builder, told, &err), 0);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    proxy_set_mesh(world->proxy, snapshot);
    mesh_snapshot_unref(snapshot);
}

static void inbound_waits_for_this_pod_to_be_known(void **state)
{
    struct world *world = set_up(&usual);
    world->on_accept = inbound_direct_on_accept;
    connect_clients(world, 2);
    run_until(world, all_were_accepted);
    assert_metric(world, "remora_sessions_waiting{direction=\"inbound\"} 2\n");
    publish_own(world, false, NULL);
    run_until(world, all_were_served);
    tear_down(world);
}

static const struct mesh_policy harmless = {
    .namespace_ = "shop", .name = "p", .scope = MESH_POLICY_WORKLOAD_SELECTOR, .action = MESH_DENY};

static void inbound_waits_for_a_policy_that_has_not_come_yet(void **state)
{
    struct proxy_options options = usual;
    options.await_policies = true;
    struct world *world = set_up(&options);
    world->on_accept = inbound_direct_on_accept;
    publish_own(world, true, NULL);
    connect_clients(world, 1);
    run_until(world, all_were_accepted);
    assert_int_equal(world->num_served, 0);
    publish_own(world, true, &harmless);
    run_until(world, all_were_served);
    tear_down(world);
}

static void a_policy_that_does_not_come_denies(void **state)
{
    static const bool await[] = {true, false}; /* in the end; at once */
    for (size_t i = 0; i < 2; i++) {
        struct proxy_options options = usual;
        options.await_policies = await[i];
        options.discovery_timeout_ms = await[i] ? SHORT_MS : LONG_MS;
        struct world *world = set_up(&options);
        world->on_accept = inbound_direct_on_accept;
        publish_own(world, true, NULL);
        connect_clients(world, 1);
        run_until(world, nobody_is_left);
        assert_metric(world, "remora_session_ends_total{direction=\"inbound\","
                             "reason=\"policy_unknown\"} 1\n");
        tear_down(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_connections_to_one_unknown_address_ask_once_and_go_on_together),
        cmocka_unit_test(news_of_something_else_leave_it_waiting),
        cmocka_unit_test(who_resets_while_waiting_is_let_go_and_who_ends_a_direction_is_served),
        cmocka_unit_test(what_a_live_connection_goes_to_stays_of_use),
        cmocka_unit_test(what_is_unanswered_in_time_is_refused_with_its_own_reason),
        cmocka_unit_test(what_is_unanswered_in_time_passes_through_where_that_is_wanted),
        cmocka_unit_test(a_name_that_nobody_could_take_is_told_again),
        cmocka_unit_test(before_the_first_word_of_discovery_it_waits),
        cmocka_unit_test(a_pod_that_stays_unknown_is_refused),
        cmocka_unit_test(with_no_time_at_all_nothing_waits),
        cmocka_unit_test(who_is_led_from_name_to_name_is_given_up),
        cmocka_unit_test(without_memory_for_a_name_the_session_ends),
        cmocka_unit_test(inbound_waits_for_this_pod_to_be_known),
        cmocka_unit_test(inbound_waits_for_a_policy_that_has_not_come_yet),
        cmocka_unit_test(a_policy_that_does_not_come_denies),
    };
    return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
