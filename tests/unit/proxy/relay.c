#include "relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A stream that records what is done to it and lets the test be the other end. */
struct fake {
    struct stream stream;
    uint8_t written[64];
    size_t written_len;
    size_t queued;
    bool reading;
    bool shut;
};

static void fake_read_start(struct stream *stream)
{
    ((struct fake *)stream)->reading = true;
}

static void fake_read_stop(struct stream *stream)
{
    ((struct fake *)stream)->reading = false;
}

static void fake_write(struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct fake *fake = (struct fake *)stream;
    assert_true(fake->written_len + len <= sizeof(fake->written));
    assert_false(fake->shut);
    memcpy(fake->written + fake->written_len, bytes, len);
    fake->written_len += len;
}

static size_t fake_queued(const struct stream *stream)
{
    return ((const struct fake *)stream)->queued;
}

static void fake_shutdown(struct stream *stream)
{
    struct fake *fake = (struct fake *)stream;
    assert_false(fake->shut);
    fake->shut = true;
}

static void fake_close(struct stream *stream)
{
    fail_msg("the relay does not own the stream");
}

static const struct stream_ops fake_ops = {
    .read_start = fake_read_start,
    .read_stop = fake_read_stop,
    .write = fake_write,
    .queued = fake_queued,
    .shutdown = fake_shutdown,
    .close = fake_close,
    .abort = fake_close,
};

struct pair {
    struct net_loop *loop;
    struct fake near;
    struct fake far;
    struct relay relay;
    unsigned num_done;
    unsigned num_failed;
    enum relay_side side;
    enum stream_fault fault;
};

static void pair_on_done(void *owner)
{
    ((struct pair *)owner)->num_done++;
}

static void pair_on_failed(void *owner, enum relay_side side, enum stream_fault fault,
                           const struct err *err)
{
    struct pair *pair = owner;
    pair->num_failed++;
    pair->side = side;
    pair->fault = fault;
}

static const struct relay_handler pair_handler = {.on_done = pair_on_done,
                                                  .on_failed = pair_on_failed};

static int set_up(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct err err = {0};
    pair->loop = net_loop_new(&err);
    assert_non_null(pair->loop);
    pair->near.stream.ops = &fake_ops;
    pair->far.stream.ops = &fake_ops;
    relay_start(&pair->relay, pair->loop, &pair->near.stream, &pair->far.stream, &pair_handler,
                pair);
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(net_loop_free(pair->loop), 0);
    free(pair);
    return 0;
}

static void receives(struct fake *fake, const char *text)
{
    fake->stream.handler->on_read(fake->stream.owner, (const uint8_t *)text, strlen(text));
}

static void ends(struct fake *fake)
{
    fake->stream.handler->on_eof(fake->stream.owner);
}

static void has_shut(struct fake *fake)
{
    assert_true(fake->shut);
    fake->stream.handler->on_shutdown(fake->stream.owner);
}

static void bytes_go_both_ways_and_are_counted(void **state)
{
    struct pair *pair = *state;
    assert_true(pair->near.reading);
    assert_true(pair->far.reading);
    receives(&pair->near, "question");
    receives(&pair->far, "an");
    receives(&pair->far, "swer");
    assert_memory_equal(pair->far.written, "question", 8);
    assert_memory_equal(pair->near.written, "answer", 6);
    assert_int_equal(pair->relay.from_near.num_bytes, 8);
    assert_int_equal(pair->relay.from_far.num_bytes, 6);
}

static void a_full_queue_stops_the_other_side_until_it_has_drained(void **state)
{
    struct pair *pair = *state;
    pair->far.queued = STREAM_HIGH_WATER;
    receives(&pair->near, "more");
    assert_false(pair->near.reading);
    assert_true(pair->far.reading);
    pair->far.queued = 0;
    pair->far.stream.handler->on_writable(pair->far.stream.owner);
    assert_true(pair->near.reading);
}

static void a_queue_below_the_mark_does_not_stop_the_other_side(void **state)
{
    struct pair *pair = *state;
    pair->far.queued = STREAM_HIGH_WATER - 1;
    receives(&pair->near, "more");
    assert_true(pair->near.reading);
}

static void one_end_is_handed_on_while_the_other_direction_goes_on(void **state)
{
    struct pair *pair = *state;
    ends(&pair->near);
    has_shut(&pair->far);
    assert_int_equal(pair->num_done, 0);
    receives(&pair->far, "late answer");
    assert_memory_equal(pair->near.written, "late answer", 11);
    assert_false(pair->near.shut);
}

static void it_is_done_when_both_ends_were_handed_on(void **state)
{
    struct pair *pair = *state;
    ends(&pair->far);
    ends(&pair->near);
    has_shut(&pair->near);
    assert_int_equal(pair->num_done, 0);
    has_shut(&pair->far);
    assert_int_equal(pair->num_done, 1);
    assert_int_equal(pair->num_failed, 0);
}

static void a_failure_names_its_side(void **state)
{
    struct pair *pair = *state;
    const struct err err = {.message = "connection reset"};
    pair->far.stream.handler->on_failed(pair->far.stream.owner, STREAM_FAULT_RESET, &err);
    assert_int_equal(pair->num_failed, 1);
    assert_int_equal(pair->side, RELAY_FAR);
    assert_int_equal(pair->fault, STREAM_FAULT_RESET);
    pair->near.stream.handler->on_failed(pair->near.stream.owner, STREAM_FAULT_IO, &err);
    assert_int_equal(pair->side, RELAY_NEAR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_go_both_ways_and_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_queue_stops_the_other_side_until_it_has_drained,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_below_the_mark_does_not_stop_the_other_side, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_end_is_handed_on_while_the_other_direction_goes_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_done_when_both_ends_were_handed_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failure_names_its_side, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
