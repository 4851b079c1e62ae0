#include "capture_ruleset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct setting {
    const char *name, *text;
};

static const struct setting everything_set[] = {
    {"agent-uids", "1337,1400"},
    {"agent-gids", "1338"},
    {"include-inbound-ports", "80,8000-8999"},
    {"exclude-inbound-ports", "8080,22"},
    {"include-outbound-ports", "443"},
    {"exclude-outbound-ports", "25,6000-6010"},
    {"include-outbound-cidrs", "10.0.0.0/8,fd00::/8"},
    {"exclude-outbound-cidrs", "10.96.0.1,fd00:1::/32"},
    {"exclude-interfaces", "net1,tun.0"},
};

/* The ruleset of the settings, NUL-terminated, in `out`. */
static const char *write_ruleset(struct buf *out, const struct setting *settings, size_t num,
                                 bool drop_invalid)
{
    struct capture_options options;
    struct err err = {0};
    capture_options_init(&options);
    options.drop_invalid = drop_invalid;
    for (size_t i = 0; i < num; i++)
        assert_int_equal(capture_options_set(&options, settings[i].name, settings[i].text, &err),
                         0);
    assert_int_equal(capture_options_check(&options, &err), 0);
    buf_clear(out, 0);
    assert_int_equal(capture_ruleset_write(&options, out, &err), 0);
    assert_int_equal(buf_append(out, "", 1), 0);
    return (const char *)buf_head(out);
}

static void defaults_give_these_rules(void **state)
{
    static const char expected[] =
        "table inet remora {\n"
        "\tset agent_uids {\n"
        "\t\ttypeof meta skuid\n"
        "\t\telements = {\n"
        "\t\t\t1337\n"
        "\t\t}\n"
        "\t}\n"
        "\n"
        "\tchain prerouting {\n"
        "\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
        "\t\tmeta l4proto != tcp counter accept comment \"inbound: not TCP\"\n"
        "\t\tiifname \"lo\" counter accept comment \"inbound: from this pod to itself\"\n"
        "\t\ttcp dport { 15008,15020-15021 } counter accept comment \"inbound: the agent's own "
        "ports\"\n"
        "\t\tmeta l4proto tcp counter redirect to :15006 comment \"inbound: to the agent\"\n"
        "\t}\n"
        "\n"
        "\tchain output {\n"
        "\t\ttype nat hook output priority -100; policy accept;\n"
        "\t\tmeta skuid @agent_uids counter accept comment \"outbound: the agent's own\"\n"
        "\t\tmeta l4proto != tcp counter accept comment \"outbound: not TCP\"\n"
        "\t\toifname \"lo\" counter accept comment \"outbound: between the pod's containers\"\n"
        "\t\tip daddr 127.0.0.0/8 counter accept comment \"outbound: loopback\"\n"
        "\t\tip6 daddr ::1 counter accept comment \"outbound: loopback\"\n"
        "\t\tip6 daddr fe80::/10 counter accept comment \"outbound: link-local\"\n"
        "\t\tmeta l4proto tcp counter redirect to :15001 comment \"outbound: to the agent\"\n"
        "\t}\n"
        "}\n";
    struct buf text = {0};
    assert_string_equal(write_ruleset(&text, NULL, 0, false), expected);
    buf_done(&text);
}

/* Calls `check` with each rule's line. */
static void each_rule(const char *text, void (*check)(const char *line))
{
    bool in_chain = false;
    size_t num_rules = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        char line[512];
        assert_true(len < sizeof(line));
        memcpy(line, text, len);
        line[len] = '\0';
        text += len + (text[len] == '\n');
        if (strstr(line, "\tchain "))
            in_chain = true;
        else if (strcmp(line, "\t}") == 0)
            in_chain = false;
        else if (in_chain && !strstr(line, "\t\ttype ")) {
            check(line);
            num_rules++;
        }
    }
    assert_true(num_rules >= 11);
}

static void check_rule(const char *line)
{
    assert_non_null(strstr(line, " counter "));
    const char *comment = strstr(line, " comment \"");
    assert_non_null(comment);
    comment += strlen(" comment \"");
    size_t len = strcspn(comment, "\"");
    assert_in_range(len, 5, 128); /* nft's limit */
    assert_string_equal(comment + len, "\"");
}

static void every_rule_has_a_counter_and_a_comment(void **state)
{
    struct buf text = {0};
    each_rule(write_ruleset(&text, NULL, 0, false), check_rule);
    each_rule(write_ruleset(&text, everything_set, COUNT(everything_set), true), check_rule);
    buf_done(&text);
}

static void the_agents_own_connections_match_first_and_the_redirects_last(void **state)
{
    static const char *const in_order[] = {
        "hook prerouting priority mangle",
        "ct state invalid counter drop",
        "hook prerouting priority dstnat",
        "iifname \"lo\"",
        "iifname @excluded_interfaces",
        "tcp dport { 15008,15020-15021 }",
        "tcp dport @inbound_excluded_ports",
        "tcp dport != @inbound_included_ports",
        "redirect to :15006",
        "hook output",
        "meta skuid @agent_uids",
        "meta skgid @agent_gids",
        "oifname \"lo\"",
        "ip daddr 127.0.0.0/8",
        "ip6 daddr ::1",
        "ip6 daddr fe80::/10",
        "oifname @excluded_interfaces",
        "tcp dport @outbound_excluded_ports",
        "ip daddr @outbound_excluded_ipv4",
        "ip6 daddr @outbound_excluded_ipv6",
        "tcp dport @outbound_included_ports counter redirect",
        "ip daddr @outbound_included_ipv4 meta l4proto tcp counter redirect",
        "ip6 daddr @outbound_included_ipv6 meta l4proto tcp counter redirect",
        "accept comment \"outbound: not included\""};
    struct buf text = {0};
    const char *at = write_ruleset(&text, everything_set, COUNT(everything_set), true);
    for (size_t i = 0; i < COUNT(in_order); i++) {
        const char *found = strstr(at, in_order[i]);
        if (!found)
            fail_msg("%s is missing or not in its place", in_order[i]);
        at = found + 1;
    }
    assert_null(strstr(at, "redirect"));
    buf_done(&text);
}

static void every_set_that_is_used_is_defined_and_every_other_is_not(void **state)
{
    static const char *const names[] = {
        "agent_uids",
        "agent_gids",
        "excluded_interfaces",
        "inbound_excluded_ports",
        "inbound_included_ports",
        "outbound_excluded_ports",
        "outbound_included_ports",
        "outbound_excluded_ipv4",
        "outbound_excluded_ipv6",
        "outbound_included_ipv4",
        "outbound_included_ipv6",
    };
    struct buf text = {0};
    /* Each setting alone, all of them, and none. */
    for (size_t i = 0; i <= COUNT(everything_set) + 1; i++) {
        const struct setting *settings =
            i < COUNT(everything_set) ? &everything_set[i] : everything_set;
        size_t num = i < COUNT(everything_set) ? 1 : i == COUNT(everything_set) ? i : 0;
        const char *rules = write_ruleset(&text, settings, num, false);
        for (size_t j = 0; j < COUNT(names); j++) {
            char defined[64], used[64];
            snprintf(defined, sizeof(defined), "\tset %s {", names[j]);
            snprintf(used, sizeof(used), "@%s ", names[j]);
            assert_int_equal(strstr(rules, defined) != NULL, strstr(rules, used) != NULL);
        }
    }
    buf_done(&text);
}

static void values_stand_in_their_sets(void **state)
{
    static const char *const wanted[] = {
        "set agent_uids {\n\t\ttypeof meta skuid\n\t\telements = {\n\t\t\t1337,\n\t\t\t1400\n",
        "\t\ttype ifname\n\t\telements = {\n\t\t\t\"net1\",\n\t\t\t\"tun.0\"\n",
        "\t\t\t80,\n\t\t\t8000-8999\n",
        "\t\t\t10.0.0.0/8\n",
        "\t\t\tfd00::/8\n",
        "\t\t\t10.96.0.1/32\n",
        "\t\t\tfd00:1::/32\n",
    };
    struct buf text = {0};
    const char *rules = write_ruleset(&text, everything_set, COUNT(everything_set), false);
    for (size_t i = 0; i < COUNT(wanted); i++) {
        if (!strstr(rules, wanted[i]))
            fail_msg("missing: %s", wanted[i]);
    }
    buf_done(&text);
}

static void an_include_list_with_a_star_captures_everything(void **state)
{
    static const struct setting rows[][2] = {
        {{"include-outbound-cidrs", "*"}, {"include-outbound-ports", "80"}},
        {{"include-outbound-ports", "*"}, {"include-outbound-cidrs", "10.0.0.0/8"}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf text = {0};
        const char *rules = write_ruleset(&text, rows[i], 2, false);
        assert_null(strstr(rules, "outbound_included"));
        assert_non_null(strstr(rules, "meta l4proto tcp counter redirect to :15001"));
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_give_these_rules),
        cmocka_unit_test(every_rule_has_a_counter_and_a_comment),
        cmocka_unit_test(the_agents_own_connections_match_first_and_the_redirects_last),
        cmocka_unit_test(every_set_that_is_used_is_defined_and_every_other_is_not),
        cmocka_unit_test(values_stand_in_their_sets),
        cmocka_unit_test(an_include_list_with_a_star_captures_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
