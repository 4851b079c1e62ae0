/* Live connections whose peers are judged again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "hbone_world.h"

static struct world world;

static struct {
    unsigned num_judged;
    enum reason verdict;
    unsigned num_closed;
    enum reason closed;
} seen;

static enum reason judge(void *owner, const struct peer_cert *peer, struct err *err)
{
    assert_string_equal(peer->id.uri, SERVER_ID);
    seen.num_judged++;
    if (seen.verdict != REASON_DONE)
        err_set(err, ERR_TLS, "not any more");
    return seen.verdict;
}

static void on_closed(void *owner, enum reason reason)
{
    seen.num_closed++;
    seen.closed = reason;
}

static const struct hbone_pool_observer OBSERVER = {.on_closed = on_closed};

static int open_world(void **state)
{
    memset(&seen, 0, sizeof(seen));
    world_init(&world);
    world.pool_options.max_streams = 1; /* a connection for each tunnel */
    world.pool_options.observer = &OBSERVER;
    world_open(&world);
    for (int i = 0; i < 3; i++)
        world_call(&world);
    world_until(&world, all_calls_done);
    assert_int_equal(world_num_connections(&world), 3);
    return 0;
}

static int close_world(void **state)
{
    world_done(&world);
    return 0;
}

static unsigned review(uint64_t generation, unsigned max, int64_t now_ms)
{
    const struct hbone_pool_review review = {
        .generation = generation, .max = max, .now_ms = now_ms, .judge = judge};
    return hbone_pool_review(world.pool, &review);
}

static bool all_are_gone(struct world *self)
{
    return seen.num_closed == 3 && all_servers_closed(self);
}

static void each_peer_is_judged_once_for_a_generation_in_batches(void **state)
{
    int64_t now_ms = clock_wall_ms();
    assert_int_equal(review(1, 2, now_ms), 2);
    assert_int_equal(review(1, 2, now_ms), 1);
    assert_int_equal(review(1, 2, now_ms), 0);
    assert_int_equal(seen.num_judged, 3);
    assert_int_equal(review(2, 10, now_ms), 3);
    assert_int_equal(review(0, 10, now_ms), 3); /* no generation: everybody, */
    assert_int_equal(review(2, 10, now_ms), 0); /* and nothing is noted */
    world_settle(&world);
    assert_int_equal(world_num_connections(&world), 3);
}

static void who_may_not_stay_is_closed_with_the_reason_tunnels_and_all(void **state)
{
    seen.verdict = REASON_CERT_REVOKED;
    assert_int_equal(review(1, 10, clock_wall_ms()), 3);
    assert_int_equal(review(2, 10, clock_wall_ms()), 0); /* they are closing already */
    world_until(&world, all_are_gone);
    assert_int_equal(seen.closed, REASON_CERT_REVOKED);
    for (unsigned i = 0; i < world.num_calls; i++)
        assert_true(world.calls[i].end.failed);
}

static bool two_tunnels_more(struct world *self)
{
    return all_calls_done(self) && self->num_servers == 4;
}

static void a_peer_whose_certificate_nears_its_end_gets_no_new_tunnel(void **state)
{
    /* The leaf has an hour: in its last quarter of an hour. */
    int64_t late_ms = clock_wall_ms() + 50 * 60 * 1000;
    assert_int_equal(review(1, 10, late_ms), 3);
    world_settle(&world);
    for (unsigned i = 0; i < world.num_calls; i++)
        assert_false(world.calls[i].end.failed); /* what lives goes on */
    end_close(&world.calls[0].end);
    world_call(&world);
    world_until(&world, two_tunnels_more); /* on a connection of its own */
    assert_int_equal(world.calls[3].reason, REASON_DONE);
}

#define REVIEW_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REVIEW_TEST(each_peer_is_judged_once_for_a_generation_in_batches),
        REVIEW_TEST(who_may_not_stay_is_closed_with_the_reason_tunnels_and_all),
        REVIEW_TEST(a_peer_whose_certificate_nears_its_end_gets_no_new_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
