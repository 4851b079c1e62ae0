/* Runs in a network namespace of its own, made without root where the kernel permits it; else it is skipped. */
#include "capture_apply.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "capture_options.h"
#include "capture_ruleset.h"

static bool have_namespace;

static void write_ruleset(struct buf *out, const char *excluded_ports)
{
    struct capture_options options;
    capture_options_init(&options);
    assert_int_equal(capture_options_set(&options, "exclude-outbound-ports", excluded_ports, NULL),
                     0);
    assert_int_equal(capture_ruleset_write(&options, out, NULL), 0);
}

static void replace(const char *excluded_ports)
{
    struct buf rules = {0};
    struct err err = {0};
    write_ruleset(&rules, excluded_ports);
    if (capture_apply_replace(&rules, &err) < 0)
        fail_msg("%s", err.message);
    buf_done(&rules);
}

static char *list(struct buf *out)
{
    struct err err = {0};
    buf_clear(out, 0);
    if (capture_apply_list(out, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(buf_append(out, "", 1), 0);
    return (char *)out->bytes + out->head;
}

static int need_namespace(void **state)
{
    if (!have_namespace)
        skip();
    assert_int_equal(capture_apply_remove(NULL), 0);
    return 0;
}

static void applying_twice_gives_the_same_table_as_once(void **state)
{
    struct buf once = {0}, twice = {0};
    replace("25");
    list(&once);
    replace("25");
    assert_string_equal(list(&twice), (const char *)buf_head(&once));
    assert_non_null(strstr((const char *)buf_head(&once), "redirect to :15001"));
    buf_done(&once);
    buf_done(&twice);
}

static void applying_replaces_what_was_there(void **state)
{
    struct buf text = {0};
    replace("25");
    replace("26");
    assert_non_null(strstr(list(&text), "elements = { 26 }"));
    assert_null(strstr(list(&text), "elements = { 25 }"));
    buf_done(&text);
}

static void a_ruleset_that_fails_half_way_leaves_the_old_one(void **state)
{
    struct buf before = {0}, after = {0}, broken = {0};
    struct err err = {0};
    replace("25");
    list(&before);
    /* Only the kernel notices, after it has taken all the rest. */
    write_ruleset(&broken, "26");
    assert_int_equal(buf_append_str(&broken, "add rule inet remora_absent x accept\n"), 0);
    assert_int_equal(capture_apply_replace(&broken, &err), -1);
    assert_int_equal(err.kind, ERR_SYSTEM);
    assert_non_null(strstr(err.message, "No such file or directory"));
    assert_string_equal(list(&after), (const char *)buf_head(&before));
    buf_done(&before);
    buf_done(&after);
    buf_done(&broken);
}

static void a_ruleset_that_fails_half_way_leaves_none_where_there_was_none(void **state)
{
    struct buf broken = {0}, text = {0};
    struct err err = {0};
    write_ruleset(&broken, "26");
    assert_int_equal(buf_append_str(&broken, "add rule inet remora output jump absent\n"), 0);
    assert_int_equal(capture_apply_replace(&broken, &err), -1);
    assert_int_equal(capture_apply_list(&text, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    buf_done(&broken);
    buf_done(&text);
}

static void removing_leaves_no_table_and_may_be_repeated(void **state)
{
    struct buf text = {0};
    struct err err = {0};
    replace("");
    assert_int_equal(capture_apply_remove(&err), 0);
    assert_int_equal(capture_apply_list(&text, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(capture_apply_remove(&err), 0);
    buf_done(&text);
}

static void a_full_set_of_options_is_taken_by_the_kernel(void **state)
{
    static const struct {
        const char *name, *text;
    } settings[] = {
        {"agent-uids", "1337,1400"},
        {"agent-gids", "1338"},
        {"include-inbound-ports", "80,8000-8999"},
        {"exclude-inbound-ports", "8080,15020"},
        {"include-outbound-ports", "443"},
        {"exclude-outbound-ports", "25,6000-6010"},
        {"include-outbound-cidrs", "10.0.0.0/8,128.0.0.0/1,fd00::/8,::/1"},
        {"exclude-outbound-cidrs", "10.96.0.1,fd00:1::/32"},
        {"exclude-interfaces", "net1,tun.0,a-b_c"},
    };
    struct capture_options options;
    capture_options_init(&options);
    options.drop_invalid = true;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        assert_int_equal(capture_options_set(&options, settings[i].name, settings[i].text, NULL),
                         0);
    }
    struct buf rules = {0};
    struct err err = {0};
    assert_int_equal(capture_ruleset_write(&options, &rules, NULL), 0);
    if (capture_apply_replace(&rules, &err) < 0)
        fail_msg("%s", err.message);
    buf_done(&rules);
}

static void networks_of_all_addresses_are_taken_by_the_kernel(void **state)
{
    struct capture_options options;
    capture_options_init(&options);
    assert_int_equal(
        capture_options_set(&options, "include-outbound-cidrs", "0.0.0.0/0,::/0", NULL), 0);
    struct buf rules = {0};
    struct err err = {0};
    assert_int_equal(capture_ruleset_write(&options, &rules, NULL), 0);
    if (capture_apply_replace(&rules, &err) < 0)
        fail_msg("%s", err.message);
    buf_done(&rules);
}

int main(void)
{
    have_namespace = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(applying_twice_gives_the_same_table_as_once, need_namespace),
        cmocka_unit_test_setup(applying_replaces_what_was_there, need_namespace),
        cmocka_unit_test_setup(a_ruleset_that_fails_half_way_leaves_the_old_one, need_namespace),
        cmocka_unit_test_setup(a_ruleset_that_fails_half_way_leaves_none_where_there_was_none,
                               need_namespace),
        cmocka_unit_test_setup(removing_leaves_no_table_and_may_be_repeated, need_namespace),
        cmocka_unit_test_setup(a_full_set_of_options_is_taken_by_the_kernel, need_namespace),
        cmocka_unit_test_setup(networks_of_all_addresses_are_taken_by_the_kernel, need_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
