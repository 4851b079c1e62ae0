/* Calls whose sending half stays open, and the channel below them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

/* What happened to a call, in order: one letter each. */
struct seen {
    struct grpc_call *call; /* NULL: ended or cancelled */
    char events[256];
    char cancel_at; /* the event at which the call is cancelled */
    bool ended;
    bool happened; /* the event that a test waits for */
    char wait_for;
    enum grpc_status status;
    struct err err;
    struct buf received;
    unsigned num_messages;
};

static void note(struct seen *seen, char event)
{
    size_t len = strlen(seen->events);
    assert_true(len + 1 < sizeof(seen->events));
    seen->events[len] = event;
    if (event == seen->wait_for)
        seen->happened = true;
    if (event == seen->cancel_at) {
        grpc_call_cancel(seen->call);
        seen->call = NULL;
        seen->ended = true;
    }
}

static void on_open(void *owner)
{
    note(owner, 'o');
}

static void on_answer(void *owner)
{
    note(owner, 'a');
}

static void on_message(void *owner, const uint8_t *message, size_t len)
{
    struct seen *seen = owner;
    assert_int_equal(buf_append(&seen->received, message, len), 0);
    seen->num_messages++;
    note(seen, 'm');
}

static void on_writable(void *owner)
{
    note(owner, 'w');
}

static void on_goaway(void *owner)
{
    note(owner, 'g');
}

static void on_end(void *owner, enum grpc_status status, const struct err *err)
{
    struct seen *seen = owner;
    seen->call = NULL;
    seen->ended = true;
    seen->status = status;
    if (err != NULL)
        seen->err = *err;
    note(seen, 'e');
}

static const struct grpc_call_handler handler = {
    .on_open = on_open,
    .on_answer = on_answer,
    .on_message = on_message,
    .on_writable = on_writable,
    .on_goaway = on_goaway,
    .on_end = on_end,
};

static void start(struct seen *seen, struct grpc_channel *channel,
                  const struct grpc_call_params *more)
{
    struct grpc_call_params params = *more;
    struct err err;
    params.path = "/test.Service/Stream";
    if (params.answer_max == 0)
        params.answer_max = 1024;
    if (params.timeout_ms == 0)
        params.connect_timeout_ms = 5000;
    seen->call = grpc_call_start(channel, &params, &handler, seen, &err);
    assert_non_null(seen->call);
    assert_string_equal(seen->events, "");
}

static void run_until(struct peer *peer, struct seen *seen, char event)
{
    seen->wait_for = event;
    seen->happened = strchr(seen->events, event) != NULL;
    peer_run(peer, &seen->happened);
}

static void forget(struct seen *seen)
{
    grpc_call_cancel(seen->call);
    buf_done(&seen->received);
    memset(seen, 0, sizeof(*seen));
}

static void say(struct seen *seen, const char *text)
{
    struct err err;
    assert_int_equal(grpc_call_send(seen->call, (const uint8_t *)text, strlen(text), &err), 0);
}

static const struct grpc_call_params stream_params = {.keeps_sending = true};

/* ---------------------------------------------------------------------------------- messages -- */

static void respond(struct peer_connection *connection)
{
    peer_respond(connection);
}

static void echo(struct peer_connection *connection, const uint8_t *message, size_t len)
{
    peer_send(connection, message, len);
}

static void finish_well(struct peer_connection *connection)
{
    peer_finish(connection, "0", "");
}

static void messages_go_both_ways_until_both_have_ended(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    peer->script = (struct peer_script){respond, echo, finish_well};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel, &stream_params);
    say(&seen, "said before the connection stands, ");
    run_until(peer, &seen, 'm');
    say(&seen, "and after");
    grpc_call_end_sending(seen.call);
    peer_run(peer, &seen.ended);
    assert_string_equal(seen.events, "oamme");
    assert_int_equal(seen.status, GRPC_STATUS_OK);
    assert_memory_equal(buf_head(&seen.received), "said before the connection stands, and after",
                        44);
    const struct peer_connection *connection = peer_newest(peer);
    assert_string_equal(connection->path, "/test.Service/Stream");
    assert_string_equal(connection->scheme, "http");
    assert_string_equal(connection->authority, peer->address + strlen("tcp://"));
    assert_string_equal(connection->timeout, "");
    forget(&seen);
    grpc_channel_free(channel);
}

static void a_call_may_end_sending_before_it_has_a_connection(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    peer->script = (struct peer_script){respond, echo, finish_well};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel, &stream_params);
    grpc_call_end_sending(seen.call);
    peer_run(peer, &seen.ended);
    assert_string_equal(seen.events, "oae");
    forget(&seen);
    grpc_channel_free(channel);
}

static void stream_three(struct peer_connection *connection)
{
    peer_respond(connection);
    for (int i = 0; i < 3; i++)
        peer_send(connection, "x", 1);
}

static void a_stream_of_answers_to_one_request_stays_open(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    peer->script = (struct peer_script){.on_end = stream_three};
    peer_listen_unix(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel, &(struct grpc_call_params){0});
    while (seen.num_messages < 3)
        run_until(peer, &seen, 'm');
    assert_false(seen.ended);
    assert_string_equal(peer_newest(peer)->authority, "localhost");
    assert_int_equal(peer->num_connections, 1);
    forget(&seen);
    grpc_channel_free(channel);
}

static void send_large(struct peer_connection *connection)
{
    size_t len = 8 * 1024 * 1024;
    uint8_t *bytes = malloc(len);
    memset(bytes, 'x', len);
    peer_respond(connection);
    peer_send(connection, bytes, len);
    free(bytes);
}

static void a_large_message_comes_whole_and_one_too_large_ends_the_call(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    peer->script = (struct peer_script){.on_request = send_large};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel,
          &(struct grpc_call_params){.keeps_sending = true, .answer_max = 8 * 1024 * 1024});
    run_until(peer, &seen, 'm');
    assert_int_equal(buf_len(&seen.received), 8 * 1024 * 1024);
    forget(&seen);
    start(&seen, channel,
          &(struct grpc_call_params){.keeps_sending = true, .answer_max = 8 * 1024 * 1024 - 1});
    peer_run(peer, &seen.ended);
    assert_int_equal(seen.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(seen.err.kind, ERR_LIMIT);
    forget(&seen);
    grpc_channel_free(channel);
}

static void a_server_that_does_not_read_holds_the_sender_back(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    static uint8_t bytes[64 * 1024];
    struct err err = {0};
    size_t num_sent = 0;
    peer->script = (struct peer_script){.on_request = respond};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel, &stream_params);
    run_until(peer, &seen, 'a');
    stream_read_stop(peer_newest(peer)->link.stream);
    while (grpc_call_send(seen.call, bytes, sizeof(bytes), &err) == 0)
        num_sent++;
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_true(num_sent >= GRPC_CALL_QUEUE_HIGH / sizeof(bytes));
    assert_true(num_sent < 1024);
    assert_string_equal(seen.events, "oa");
    stream_read_start(peer_newest(peer)->link.stream);
    run_until(peer, &seen, 'w');
    assert_int_equal(grpc_call_send(seen.call, bytes, sizeof(bytes), &err), 0);
    forget(&seen);
    grpc_channel_free(channel);
}

static void what_waits_for_the_connection_is_bounded_too(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    static uint8_t bytes[64 * 1024];
    struct err err = {0};
    peer->script = (struct peer_script){.on_request = respond};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel, &stream_params);
    while (grpc_call_send(seen.call, bytes, sizeof(bytes), &err) == 0)
        ;
    assert_int_equal(err.kind, ERR_LIMIT);
    run_until(peer, &seen, 'w');
    forget(&seen);
    grpc_channel_free(channel);
}

/* ----------------------------------------------------------------------------- how calls end -- */

static void refuse_token(struct peer_connection *connection)
{
    static const struct h2_header headers[] = {
        {.name = ":status", .value = "200"},
        {.name = "content-type", .value = "application/grpc"},
        {.name = "grpc-status", .value = "16"},
        {.name = "grpc-message", .value = "no%20such"}};
    assert_int_equal(h2_stream_respond(connection->stream, headers, 4, true), 0);
}

static void reset(struct peer_connection *connection)
{
    h2_stream_reset(connection->stream, H2_REFUSED_STREAM);
    connection->stream = NULL;
}

static void cut(struct peer_connection *connection)
{
    stream_shutdown(connection->link.stream);
    stream_read_stop(connection->link.stream);
}

static void ends_are_told_in_words(void **state)
{
    static const struct {
        struct peer_script script;
        enum grpc_status status;
        enum err_kind kind;
        const char *words;
    } cases[] = {
        {{.on_request = refuse_token},
         GRPC_STATUS_UNAUTHENTICATED,
         ERR_DENIED,
         "it refused the token (UNAUTHENTICATED): no such"},
        {{.on_request = reset}, GRPC_STATUS_UNAVAILABLE, ERR_PROTOCOL, "it reset the call"},
        {{.on_request = cut}, GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "closed the connection"},
    };
    struct peer *peer = *state;
    peer_listen(peer);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = {0};
        struct grpc_channel *channel =
            peer_channel(peer, &(struct grpc_channel_options){.peer = "oracle"});
        peer->script = cases[i].script;
        start(&seen, channel, &stream_params);
        peer_run(peer, &seen.ended);
        assert_int_equal(seen.status, cases[i].status);
        assert_int_equal(seen.err.kind, cases[i].kind);
        if (strstr(seen.err.message, cases[i].words) == NULL ||
            strncmp(seen.err.message, "oracle tcp://", 13) != 0)
            fail_msg("%s", seen.err.message);
        forget(&seen);
        grpc_channel_free(channel);
    }
}

static void refuse_first(struct peer_connection *connection)
{
    if (connection->num_streams == 1)
        reset(connection);
    else
        stream_three(connection);
}

static void a_unary_call_that_was_not_seen_is_opened_again(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    peer->script = (struct peer_script){.on_request = refuse_first};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel, &(struct grpc_call_params){.timeout_ms = 5000});
    run_until(peer, &seen, 'm');
    assert_int_equal(strncmp(seen.events, "ooam", 4), 0);
    assert_string_not_equal(peer_newest(peer)->timeout, "");
    forget(&seen);
    grpc_channel_free(channel);
}

static void where_nobody_listens_is_named(void **state)
{
    static const struct {
        const char *address;
        enum err_kind kind;
        const char *words;
    } cases[] = {
        {"unix:///tmp/remora-no-such.sock", ERR_NOT_FOUND, "there is no such socket"},
        {"unix:///dev/null", ERR_SYSTEM, "cannot connect to /dev/null"},
        {"unix:///"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaa"
         "aaaaaaaaaaaaaaaaa",
         ERR_LIMIT, "at most 107 bytes"},
        {"tcp://127.0.0.1:1", ERR_SYSTEM, "cannot connect to 127.0.0.1:1: "},
    };
    struct peer *peer = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = {0};
        snprintf(peer->address, sizeof(peer->address), "%s", cases[i].address);
        struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
        start(&seen, channel, &stream_params);
        peer_run(peer, &seen.ended);
        assert_string_equal(seen.events, "e");
        assert_int_equal(seen.err.kind, cases[i].kind);
        if (strstr(seen.err.message, cases[i].words) == NULL)
            fail_msg("%s", seen.err.message);
        forget(&seen);
        grpc_channel_free(channel);
    }
}

static void a_call_may_be_cancelled_in_each_of_its_handlers(void **state)
{
    struct peer *peer = *state;
    peer->script = (struct peer_script){.on_request = stream_three};
    peer_listen(peer);
    for (const char *event = "oam"; *event != '\0'; event++) {
        struct seen seen = {.cancel_at = *event};
        struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
        start(&seen, channel, &stream_params);
        peer_run(peer, &seen.ended);
        assert_int_equal(seen.events[strlen(seen.events) - 1], *event);
        buf_done(&seen.received);
        grpc_channel_free(channel);
    }
}

/* ------------------------------------------------------------------------------------ goaway -- */

static void the_successor_of_a_stream_stands_before_the_stream_ends(void **state)
{
    struct peer *peer = *state;
    struct seen first = {0};
    struct seen second = {0};
    peer->script = (struct peer_script){respond, echo, finish_well};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&first, channel, &stream_params);
    run_until(peer, &first, 'a');
    h2_session_start_drain(peer->connections[0]->link.session);
    run_until(peer, &first, 'g');
    start(&second, channel, &stream_params);
    run_until(peer, &second, 'a');
    assert_int_equal(peer->num_connections, 2);
    say(&first, "still here");
    run_until(peer, &first, 'm');
    grpc_call_end_sending(first.call);
    peer_run(peer, &first.ended);
    assert_string_equal(first.events, "oagme");
    say(&second, "and here");
    run_until(peer, &second, 'm');
    assert_string_equal(second.events, "oam");
    forget(&first);
    forget(&second);
    grpc_channel_free(channel);
}

static void a_call_may_be_cancelled_when_its_connection_is_going_away(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {.cancel_at = 'g'};
    peer->script = (struct peer_script){.on_request = respond};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(peer, &(struct grpc_channel_options){0});
    start(&seen, channel, &stream_params);
    run_until(peer, &seen, 'a');
    h2_session_start_drain(peer->connections[0]->link.session);
    peer_run(peer, &seen.ended);
    assert_string_equal(seen.events, "oag");
    grpc_channel_free(channel);
}

/* --------------------------------------------------------------------------------- keepalive -- */

static void a_server_without_a_sign_of_life_is_given_up(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    peer->silent = true;
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(
        peer, &(struct grpc_channel_options){.keepalive_ms = 5, .keepalive_timeout_ms = 20});
    start(&seen, channel, &stream_params);
    peer_run(peer, &seen.ended);
    assert_string_equal(seen.events, "oe");
    assert_int_equal(seen.err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(seen.err.message, "no sign of life for 20 ms"));
    forget(&seen);
    grpc_channel_free(channel);
}

static bool enough_pings(const struct peer *peer, uint64_t before)
{
    return peer->connections[0]->link.num_received >= before + 5 * 17; /* bytes of a PING */
}

static void an_idle_stream_is_asked_for_signs_of_life_and_goes_on(void **state)
{
    struct peer *peer = *state;
    struct seen seen = {0};
    peer->script = (struct peer_script){respond, echo, finish_well};
    peer_listen(peer);
    struct grpc_channel *channel = peer_channel(
        peer, &(struct grpc_channel_options){.keepalive_ms = 2, .keepalive_timeout_ms = 5000});
    start(&seen, channel, &stream_params);
    run_until(peer, &seen, 'a');
    uint64_t before = peer->connections[0]->link.num_received;
    while (!enough_pings(peer, before)) {
        bool now = true;
        peer_run(peer, &now);
    }
    say(&seen, "alive");
    run_until(peer, &seen, 'm');
    forget(&seen);
    grpc_channel_free(channel);
}

#define PEER_TEST(f) cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(messages_go_both_ways_until_both_have_ended),
        PEER_TEST(a_call_may_end_sending_before_it_has_a_connection),
        PEER_TEST(a_stream_of_answers_to_one_request_stays_open),
        PEER_TEST(a_large_message_comes_whole_and_one_too_large_ends_the_call),
        PEER_TEST(a_server_that_does_not_read_holds_the_sender_back),
        PEER_TEST(what_waits_for_the_connection_is_bounded_too),
        PEER_TEST(ends_are_told_in_words),
        PEER_TEST(a_unary_call_that_was_not_seen_is_opened_again),
        PEER_TEST(where_nobody_listens_is_named),
        PEER_TEST(a_call_may_be_cancelled_in_each_of_its_handlers),
        PEER_TEST(the_successor_of_a_stream_stands_before_the_stream_ends),
        PEER_TEST(a_call_may_be_cancelled_when_its_connection_is_going_away),
        PEER_TEST(a_server_without_a_sign_of_life_is_given_up),
        PEER_TEST(an_idle_stream_is_asked_for_signs_of_life_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
