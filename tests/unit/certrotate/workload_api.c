#include "workload_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_grpc.h"
#include "fake_timer.h"
#include "workload_answer.h"

#define BYTES(text)                                                                                \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

enum { S = 1000 };

/* A source, and what it told. */
struct world {
    struct cert_source *source;
    unsigned num_changes, num_fetched, num_failed;
    char chain[64];
    struct err err;
    bool free_in_done;
};

static void on_changed(void *owner)
{
    struct world *world = owner;
    world->num_changes++;
}

static void on_done(void *owner, const struct cert_fetched *fetched, const struct err *err)
{
    struct world *world = owner;
    assert_int_equal(fetched == NULL, err != NULL);
    world->num_fetched += fetched != NULL;
    world->num_failed += err != NULL;
    if (err != NULL)
        world->err = *err;
    if (world->free_in_done) {
        cert_source_free(world->source);
        world->source = NULL;
    }
    /* After the source is gone, too: what is lent is not the source's. */
    if (fetched != NULL)
        snprintf(world->chain, sizeof(world->chain), "%.*s", (int)fetched->chain.len,
                 (const char *)fetched->chain.bytes);
}

static uint64_t no_jitter(void)
{
    return 0;
}

static int make_world(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct workload_api_options options = {.endpoint = "unix:///agent.sock",
                                                 .random = no_jitter};
    struct err err;
    fake_timer_wall_ms = 0;
    fake_grpc_num_calls = 0;
    fake_grpc_refuses_to_start = false;
    world->source = workload_api_new(NULL, &options, &err);
    if (world->source == NULL)
        return -1;
    world->source->on_changed = on_changed;
    world->source->owner = world;
    *state = world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_source_free(world->source);
    fake_grpc_run_tasks();
    free(world);
    return fake_timer_num() == 0 && fake_grpc_num_channels == 0 && !fake_grpc_is_open() ? 0 : -1;
}

static void fetch(struct world *world)
{
    struct err err;
    unsigned before = world->num_fetched + world->num_failed;
    assert_int_equal(cert_source_start_fetch(world->source, NULL, on_done, world, &err), 0);
    assert_int_equal(world->num_fetched + world->num_failed, before); /* never from inside */
    fake_grpc_run_tasks();
}

/* The state with this certificate chain. */
static void say(const char *chain)
{
    const struct workload_answer answer = {
        .svids = {{.spiffe_id = "spiffe://td/a",
                   .chain = {chain, strlen(chain)},
                   .key = BYTES("key"),
                   .bundle = BYTES("roots")}},
        .num_svids = 1,
    };
    size_t len;
    uint8_t *bytes = workload_answer_pack(&answer, &len);
    fake_grpc_answer(bytes, len);
    free(bytes);
    fake_grpc_run_tasks();
}

static void end_with(enum grpc_status status, enum err_kind kind, const char *words)
{
    fake_grpc_end(status, kind, words);
    fake_grpc_run_tasks();
}

/* With a first message taken. */
static void settle(struct world *world)
{
    fetch(world);
    say("first");
    assert_int_equal(world->num_fetched, 1);
    assert_int_equal(world->num_changes, 0);
}

/* --------------------------------------------------------------------------------- the good way -- */

static void the_first_fetch_opens_the_stream_as_the_specification_says(void **state)
{
    struct world *world = *state;
    assert_int_equal(fake_grpc_num_calls, 0);
    fetch(world);
    assert_int_equal(fake_grpc_num_calls, 1);
    assert_string_equal(fake_grpc_path, "/SpiffeWorkloadAPI/FetchX509SVID");
    assert_string_equal(fake_grpc_metadata, "workload.spiffe.io: true\n");
    say("first");
    assert_int_equal(world->num_fetched, 1);
    assert_string_equal(world->chain, "first");
    assert_true(fake_grpc_is_open());
}

static void a_later_message_is_told_and_fetched(void **state)
{
    struct world *world = *state;
    settle(world);
    say("second");
    say("third");
    assert_int_equal(world->num_changes, 2);
    assert_int_equal(world->num_fetched, 1);
    fetch(world);
    assert_string_equal(world->chain, "third"); /* the newest, by the same stream */
    assert_int_equal(fake_grpc_num_calls, 1);
}

static void what_was_fetched_already_is_asked_for_anew(void **state)
{
    struct world *world = *state;
    settle(world);
    fetch(world);
    assert_int_equal(fake_grpc_num_calls, 2);
    assert_int_equal(world->num_fetched, 1);
    say("again");
    assert_int_equal(world->num_fetched, 2);
    assert_string_equal(world->chain, "again");
}

static void a_stream_that_has_not_spoken_yet_is_waited_for(void **state)
{
    struct world *world = *state;
    fetch(world);
    cert_source_cancel(world->source);
    fetch(world);
    assert_int_equal(fake_grpc_num_calls, 1);
    say("first");
    assert_int_equal(world->num_fetched, 1);
}

static void a_message_after_a_cancelled_fetch_is_told(void **state)
{
    struct world *world = *state;
    fetch(world);
    cert_source_cancel(world->source);
    say("late");
    assert_int_equal(world->num_fetched, 0);
    assert_int_equal(world->num_changes, 1);
    fetch(world);
    assert_string_equal(world->chain, "late");
}

/* ------------------------------------------------------------------------------------- troubles -- */

static void a_stream_that_ends_is_told_once_and_opened_again_with_growing_pauses(void **state)
{
    struct world *world = *state;
    static const uint64_t PAUSES[] = {80,   160,   320,   640,   1280, 2560,
                                      5120, 10240, 20480, 24000, 24000};
    settle(world);
    fake_timer_pass(60 * S);
    end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "connection refused");
    assert_int_equal(world->num_changes, 1);
    for (size_t i = 0; i < sizeof(PAUSES) / sizeof(PAUSES[0]); i++) {
        assert_int_equal(fake_timer_next_ms(), PAUSES[i]);
        fake_timer_fire_next();
        end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "connection refused");
    }
    assert_int_equal(world->num_changes, 1);
    fake_timer_fire_next();
    say("back");
    assert_int_equal(world->num_changes, 2);
    fetch(world);
    assert_string_equal(world->chain, "back");
}

static void a_fetch_during_an_outage_tries_at_once_and_says_why_it_failed(void **state)
{
    struct world *world = *state;
    settle(world);
    end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "connection refused");
    fetch(world);
    assert_int_equal(fake_grpc_num_calls, 2);
    assert_int_equal(world->num_failed, 0);
    end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "no such file");
    assert_int_equal(world->num_failed, 1);
    assert_int_equal(world->err.kind, ERR_SYSTEM);
    assert_non_null(strstr(world->err.message, "unix:///agent.sock: no such file"));
    /* It goes on by itself all the same. */
    assert_true(fake_timer_fire_next());
    assert_int_equal(fake_grpc_num_calls, 3);
}

static void a_stream_that_ends_in_order_is_opened_again(void **state)
{
    struct world *world = *state;
    settle(world);
    end_with(GRPC_STATUS_OK, ERR_NONE, "");
    assert_int_equal(world->num_changes, 1);
    assert_true(fake_timer_fire_next());
    assert_true(fake_grpc_is_open());
}

static void a_server_that_speaks_and_ends_at_once_is_not_asked_in_a_loop(void **state)
{
    struct world *world = *state;
    settle(world);
    uint64_t before = 0;
    for (int i = 0; i < 5; i++) {
        end_with(GRPC_STATUS_OK, ERR_NONE, "");
        assert_true(fake_timer_next_ms() > before);
        before = fake_timer_next_ms();
        fake_timer_fire_next();
        say("again");
    }
}

/* Whatever came before: the certificate that it brought may last for less than the longest pause. */
static void a_server_that_has_spoken_is_asked_again_soon(void **state)
{
    struct world *world = *state;
    settle(world);
    for (int i = 0; i < 10; i++) {
        end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "connection refused");
        fake_timer_fire_next();
    }
    say("back");
    end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "connection reset");
    assert_int_equal(fake_timer_next_ms(), WORKLOAD_API_RETRY_SPOKEN_MAX_MS / 100 * 80);
    fake_timer_fire_next();
    end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "connection refused");
    assert_int_equal(fake_timer_next_ms(), WORKLOAD_API_RETRY_MAX_MS / 100 * 80);
}

/* Each end is told, and the machine then fetches at once: that must be no loop, either. */
static void a_fetch_does_not_outrun_the_pauses_of_a_server_that_speaks_and_ends(void **state)
{
    struct world *world = *state;
    settle(world);
    end_with(GRPC_STATUS_OK, ERR_NONE, "");
    fetch(world);
    assert_int_equal(fake_grpc_num_calls, 2);
    say("again");
    assert_int_equal(world->num_fetched, 2);
    for (unsigned i = 0; i < 5; i++) {
        end_with(GRPC_STATUS_OK, ERR_NONE, "");
        fetch(world);
        assert_int_equal(fake_grpc_num_calls, 2 + i);
        assert_int_equal(world->num_failed, 1 + i);
        assert_non_null(strstr(world->err.message, "it ended the stream"));
        assert_true(fake_timer_fire_next());
        assert_int_equal(fake_grpc_num_calls, 3 + i);
        say("again");
        fetch(world);
        assert_int_equal(world->num_fetched, 3 + i);
    }
    end_with(GRPC_STATUS_OK, ERR_NONE, "");
    workload_api_retry(world->source); /* SIGHUP */
    fetch(world);
    assert_true(fake_grpc_is_open());
}

static void permission_denied_is_named_and_tried_again(void **state)
{
    struct world *world = *state;
    fetch(world);
    end_with(GRPC_STATUS_PERMISSION_DENIED, ERR_DENIED, "no identity issued");
    assert_int_equal(world->num_failed, 1);
    assert_int_equal(world->err.kind, ERR_DENIED);
    assert_non_null(strstr(world->err.message, "no identity is registered for this workload"));
    assert_true(fake_timer_fire_next());
    say("registered");
    assert_int_equal(world->num_changes, 1);
    fetch(world);
    assert_string_equal(world->chain, "registered");
}

static void invalid_argument_is_not_tried_again_before_somebody_asks(void **state)
{
    struct world *world = *state;
    fetch(world);
    end_with(GRPC_STATUS_INVALID_ARGUMENT, ERR_DENIED, "security header missing");
    assert_int_equal(world->num_failed, 1);
    assert_non_null(strstr(world->err.message, "security header missing"));
    assert_int_equal(fake_timer_next_ms(), UINT64_MAX);
    fetch(world);
    fetch(world);
    assert_int_equal(world->num_failed, 3);
    assert_int_equal(fake_grpc_num_calls, 1);
    workload_api_retry(world->source);
    fetch(world);
    assert_int_equal(fake_grpc_num_calls, 2);
    say("after all");
    assert_string_equal(world->chain, "after all");
}

static void a_message_that_is_none_is_told_and_the_stream_stays(void **state)
{
    struct world *world = *state;
    settle(world);
    fake_grpc_answer("\xff\xff", 2);
    fake_grpc_answer("\xff\xff", 2);
    assert_int_equal(world->num_changes, 1);
    fetch(world); /* which asks for the state anew */
    assert_int_equal(fake_grpc_num_calls, 2);
    fake_grpc_answer("\xff\xff", 2);
    fake_grpc_run_tasks();
    assert_int_equal(world->num_failed, 1);
    assert_non_null(
        strstr(world->err.message, "Workload API unix:///agent.sock: its message is not"));
    say("right");
    assert_int_equal(world->num_changes, 2);
    fetch(world);
    assert_string_equal(world->chain, "right");
}

static void a_call_that_cannot_start_fails_the_fetch_and_is_tried_again(void **state)
{
    struct world *world = *state;
    fake_grpc_refuses_to_start = true;
    fetch(world);
    assert_int_equal(world->num_failed, 1);
    assert_int_equal(world->err.kind, ERR_NOMEM);
    fake_grpc_refuses_to_start = false;
    assert_true(fake_timer_fire_next());
    assert_true(fake_grpc_is_open());
}

/* ------------------------------------------------------------------------------ life, endpoints -- */

static void the_source_may_be_freed_inside_done(void **state)
{
    struct world *world = *state;
    world->free_in_done = true;
    fetch(world);
    say("last");
    assert_null(world->source);
    assert_string_equal(world->chain, "last");
}

static void the_source_may_be_freed_inside_done_of_a_failure(void **state)
{
    struct world *world = *state;
    world->free_in_done = true;
    fetch(world);
    end_with(GRPC_STATUS_UNAVAILABLE, ERR_SYSTEM, "connection refused");
    assert_null(world->source);
}

static void endpoints_are_checked_as_the_specification_says(void **state)
{
    static const char *const GOOD[] = {"unix:///run/spire/agent.sock", "unix:/run/agent.sock",
                                       "tcp://127.0.0.1:8081", "tcp://[::1]:8081"};
    static const char *const BAD[] = {
        "",
        "/run/agent.sock",
        "unix:",
        "unix://",
        "unix:agent.sock",
        "unix://run/agent.sock",
        "unix:///run/agent.sock?x=1",
        "unix:///run/agent.sock#x",
        "tcp://localhost:8081",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:8081/path",
        "tcp://user@127.0.0.1:8081",
        "tcp://127.0.0.1:8081?x",
        "tcp:127.0.0.1:8081",
        "http://127.0.0.1:8081",
        "127.0.0.1:8081",
        "UNIX:///run/agent.sock",
    };
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        struct err err = {0};
        if (workload_api_check_endpoint(GOOD[i], &err) < 0)
            fail_msg("%s: %s", GOOD[i], err.message);
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct err err = {0};
        if (workload_api_check_endpoint(BAD[i], &err) == 0)
            fail_msg("%s is taken", BAD[i]);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, free_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_fetch_opens_the_stream_as_the_specification_says),
        TEST(a_later_message_is_told_and_fetched),
        TEST(what_was_fetched_already_is_asked_for_anew),
        TEST(a_stream_that_has_not_spoken_yet_is_waited_for),
        TEST(a_message_after_a_cancelled_fetch_is_told),
        TEST(a_stream_that_ends_is_told_once_and_opened_again_with_growing_pauses),
        TEST(a_fetch_during_an_outage_tries_at_once_and_says_why_it_failed),
        TEST(a_stream_that_ends_in_order_is_opened_again),
        TEST(a_server_that_speaks_and_ends_at_once_is_not_asked_in_a_loop),
        TEST(a_server_that_has_spoken_is_asked_again_soon),
        TEST(a_fetch_does_not_outrun_the_pauses_of_a_server_that_speaks_and_ends),
        TEST(permission_denied_is_named_and_tried_again),
        TEST(invalid_argument_is_not_tried_again_before_somebody_asks),
        TEST(a_message_that_is_none_is_told_and_the_stream_stays),
        TEST(a_call_that_cannot_start_fails_the_fetch_and_is_tried_again),
        TEST(the_source_may_be_freed_inside_done),
        TEST(the_source_may_be_freed_inside_done_of_a_failure),
        cmocka_unit_test(endpoints_are_checked_as_the_specification_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
