/* Who is turned away when too many have not shown yet who they are. */
#include "doorstep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { MAX = 3 };

static struct doorstep doorstep;
static struct doorstep_guest guests[512];
static struct doorstep_guest *turned_away;
static unsigned num_turned_away;

static void turn_away(void *owner)
{
    turned_away = owner;
    num_turned_away++;
    assert_null(turned_away->doorstep);
}

static struct ip ip(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(&ip, text, NULL), 0);
    return ip;
}

static void enter(unsigned i, const char *source)
{
    const struct ip from = ip(source);
    doorstep_enter(&doorstep, &guests[i], &from, &guests[i]);
}

static int setup_for(size_t max)
{
    for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
        guests[i] = (struct doorstep_guest){0};
    turned_away = NULL;
    num_turned_away = 0;
    doorstep_init(&doorstep, max, turn_away);
    return 0;
}

static int setup(void **state)
{
    return setup_for(MAX);
}

static void nobody_is_turned_away_while_there_is_room(void **state)
{
    enter(0, "10.0.0.1");
    enter(1, "10.0.0.1");
    enter(2, "10.0.0.1");
    enter(2, "10.0.0.1");
    assert_int_equal(doorstep.num, 3);
    assert_int_equal(num_turned_away, 0);
}

static void who_leaves_makes_room(void **state)
{
    for (unsigned i = 0; i < 10; i++) {
        enter(i, "10.0.0.1");
        doorstep_leave(&guests[i]);
        doorstep_leave(&guests[i]);
    }
    assert_int_equal(doorstep.num, 0);
    assert_int_equal(num_turned_away, 0);
}

static void a_flood_turns_its_own_away_and_the_oldest_first(void **state)
{
    enter(0, "10.0.0.9");
    for (unsigned i = 1; i < 100; i++)
        enter(i, "10.0.0.1");
    assert_int_equal(doorstep.num, MAX);
    assert_ptr_equal(turned_away, &guests[97]);
    assert_non_null(guests[0].doorstep);
}

static void for_somebody_else_the_oldest_goes(void **state)
{
    enter(0, "10.0.0.1");
    enter(1, "10.0.0.2");
    enter(2, "10.0.0.3");
    enter(3, "10.0.0.4");
    assert_ptr_equal(turned_away, &guests[0]);
}

static void a_network_of_ipv6_is_one_source(void **state)
{
    enter(0, "fd00:1::1");
    enter(1, "fd00:0:0:1::1");
    enter(2, "fd00::1");
    enter(3, "fd00::ffff:0:0:1");
    assert_ptr_equal(turned_away, &guests[2]);
}

static void an_address_of_ipv4_is_none_of_ipv6(void **state)
{
    enter(0, "::");
    enter(1, "0.0.0.0");
    enter(2, "::");
    enter(3, "0.0.0.0");
    assert_ptr_equal(turned_away, &guests[1]);
}

static void not_all_are_looked_at(void **state)
{
    setup_for(400);
    for (unsigned i = 0; i < 399; i++)
        enter(i, "10.0.0.1");
    enter(399, "10.0.0.2");
    enter(400, "10.0.0.2");
    assert_ptr_equal(turned_away, &guests[0]);
}

static void room_is_made_only_where_somebody_is(void **state)
{
    const struct ip from = ip("10.0.0.1");
    assert_false(doorstep_make_room(&doorstep, &from));
    enter(0, "10.0.0.2");
    assert_true(doorstep_make_room(&doorstep, &from));
    assert_ptr_equal(turned_away, &guests[0]);
    assert_false(doorstep_make_room(&doorstep, &from));
}

static void there_is_always_room_for_one(void **state)
{
    setup_for(0);
    enter(0, "10.0.0.1");
    assert_int_equal(doorstep.num, 1);
    enter(1, "10.0.0.1");
    assert_ptr_equal(turned_away, &guests[0]);
    assert_int_equal(doorstep.num, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nobody_is_turned_away_while_there_is_room, setup),
        cmocka_unit_test_setup(who_leaves_makes_room, setup),
        cmocka_unit_test_setup(a_flood_turns_its_own_away_and_the_oldest_first, setup),
        cmocka_unit_test_setup(for_somebody_else_the_oldest_goes, setup),
        cmocka_unit_test_setup(a_network_of_ipv6_is_one_source, setup),
        cmocka_unit_test_setup(an_address_of_ipv4_is_none_of_ipv6, setup),
        cmocka_unit_test_setup(not_all_are_looked_at, setup),
        cmocka_unit_test_setup(room_is_made_only_where_somebody_is, setup),
        cmocka_unit_test_setup(there_is_always_room_for_one, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
