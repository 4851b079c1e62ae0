/* The codecs: what is understood, what is refused, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hbone_headers.h"

#define LEN(table) (sizeof(table) / sizeof((table)[0]))

static void authorities_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *formatted; /* NULL: refused */
    } table[] = {
        {"10.0.0.1:80", "10.0.0.1:80"},
        {"10.0.0.1:65535", "10.0.0.1:65535"},
        {"[::1]:1", "[::1]:1"},
        {"[FD00:0::1]:443", "[fd00::1]:443"},
        {"[::ffff:10.0.0.1]:80", "10.0.0.1:80"},
        {"cart.shop.svc.cluster.local:8080", "cart.shop.svc.cluster.local:8080"},
        {"Cart.Shop:80", "cart.shop:80"},
        {"cart.shop.:80", "cart.shop:80"},
        {"a_b-c:80", "a_b-c:80"},
        {"10.0.0.1.example:80", "10.0.0.1.example:80"},
        {"a:00080", "a:80"},
        {"", NULL},
        {":", NULL},
        {":80", NULL},
        {"10.0.0.1", NULL},
        {"10.0.0.1:", NULL},
        {"10.0.0.1:0", NULL},
        {"10.0.0.1:65536", NULL},
        {"10.0.0.1:000080", NULL},
        {"10.0.0.1:-1", NULL},
        {"10.0.0.1:+80", NULL},
        {"10.0.0.1: 80", NULL},
        {"10.0.0.1:80 ", NULL},
        {" 10.0.0.1:80", NULL},
        {"10.0.0.256:80", NULL},
        {"10.0.1:80", NULL},
        {"1:80", NULL},
        {"010.0.0.1:80", NULL},
        {"10.0.0.1.:80", NULL},
        {"::1:80", NULL},
        {"[::1:80", NULL},
        {"::1]:80", NULL},
        {"[]:80", NULL},
        {"[:80", NULL},
        {"[10.0.0.1]:80", NULL},
        {"[fe80::1%eth0]:80", NULL},
        {"[cart]:80", NULL},
        {"a..b:80", NULL},
        {"a..:80", NULL},
        {".a:80", NULL},
        {".:80", NULL},
        {"a b:80", NULL},
        {"me@a:80", NULL},
        {"a/b:80", NULL},
        {"http://a:80", NULL},
        {"a\r\nb:80", NULL},
        {"caf\xc3\xa9:80", NULL},
    };
    for (size_t i = 0; i < LEN(table); i++) {
        struct hbone_authority authority;
        struct err err = {0};
        char out[HBONE_AUTHORITY_TEXT];
        int rc = hbone_authority_parse(&authority, table[i].text, strlen(table[i].text), &err);
        if (rc != (table[i].formatted != NULL ? 0 : -1))
            fail_msg("\"%s\": %d %s", table[i].text, rc, err.message);
        if (rc == 0)
            assert_string_equal(hbone_authority_format(&authority, out), table[i].formatted);
        else
            assert_int_equal(err.kind, ERR_PROTOCOL);
    }
}

static void a_host_may_be_as_long_as_dns_has_it(void **state)
{
    char text[400];
    struct hbone_authority authority;
    struct err err;
    char out[HBONE_AUTHORITY_TEXT];
    memset(text, 'a', sizeof(text));
    strcpy(text + 253, ":65535");
    assert_int_equal(hbone_authority_parse(&authority, text, strlen(text), &err), 0);
    assert_string_equal(hbone_authority_format(&authority, out), text);
    memset(text, 'a', sizeof(text));
    strcpy(text + 254, ":80");
    assert_int_equal(hbone_authority_parse(&authority, text, strlen(text), &err), -1);
}

static void a_nul_in_an_authority_is_refused(void **state)
{
    struct hbone_authority authority;
    struct err err;
    assert_int_equal(hbone_authority_parse(&authority, "a\0b:80", 6, &err), -1);
    assert_int_equal(hbone_authority_parse(&authority, "10.0.0.1\0:80", 12, &err), -1);
}

static void baggage_is_written_in_istios_order(void **state)
{
    char out[HBONE_BAGGAGE_MAX];
    const struct hbone_baggage all = {
        .cluster = "Kubernetes",
        .ns = "shop",
        .workload_type = "deployment",
        .workload = "cart",
        .service = "cart",
        .version = "v1",
        .region = "r",
        .zone = "z",
    };
    assert_int_equal(hbone_baggage_format(&all, out, sizeof(out)), 0);
    assert_string_equal(out, "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,"
                             "k8s.deployment.name=cart,service.name=cart,service.version=v1,"
                             "cloud.region=r,cloud.availability_zone=z");
    const struct hbone_baggage some = {.ns = "shop", .workload = "cart-1", .version = ""};
    assert_int_equal(hbone_baggage_format(&some, out, sizeof(out)), 0);
    assert_string_equal(out, "k8s.namespace.name=shop,k8s.pod.name=cart-1");
    const struct hbone_baggage none = {0};
    assert_int_equal(hbone_baggage_format(&none, out, sizeof(out)), 0);
    assert_string_equal(out, "");
}

static void baggage_that_does_not_fit_or_cannot_be_carried_is_refused(void **state)
{
    static const char *const bad[] = {"a,b",  "a;b",  "a=b",  "a b",     "a\"b",
                                      "a\\b", "a\nb", "\x7f", "\xc3\xa9"};
    char out[64];
    for (size_t i = 0; i < LEN(bad); i++) {
        const struct hbone_baggage baggage = {.ns = "fine", .service = bad[i]};
        assert_int_equal(hbone_baggage_format(&baggage, out, sizeof(out)), -1);
        assert_string_equal(out, "");
    }
    const struct hbone_baggage fits = {.ns = "shop", .service = "01234567890123456789012345"};
    assert_int_equal(hbone_baggage_format(&fits, out, sizeof(out)), 0);
    assert_int_equal(strlen(out), sizeof(out) - 1);
    const struct hbone_baggage more = {.ns = "shop", .service = "012345678901234567890123456"};
    assert_int_equal(hbone_baggage_format(&more, out, sizeof(out)), -1);
    assert_string_equal(out, "");
}

static const char *text_of(const char *member)
{
    return member != NULL ? member : "-";
}

static void baggage_is_read_with_tolerance(void **state)
{
    static const struct {
        const char *text;
        const char
            *members; /* cluster/ns/type/workload/service/version/region/zone, or NULL: refused */
    } table[] = {
        {"", "-/-/-/-/-/-/-/-"},
        {"k8s.cluster.name=K,k8s.namespace.name=shop,k8s.deployment.name=cart,service.name=c,"
         "service.version=v1,cloud.region=r,cloud.availability_zone=z",
         "K/shop/deployment/cart/c/v1/r/z"},
        {"k8s.cronjob.name=nightly", "-/-/cronjob/nightly/-/-/-/-"},
        {"k8s.pod.name=p", "-/-/pod/p/-/-/-/-"},
        {"k8s.job.name=j", "-/-/job/j/-/-/-/-"},
        {"k8s.statefulset.name=s", "-/-/-/-/-/-/-/-"},
        {" service.name = cart , k8s.namespace.name=\tshop", "-/shop/-/-/cart/-/-/-"},
        {"service.name=a,service.name=b", "-/-/-/-/b/-/-/-"},
        {"service.name=", "-/-/-/-/-/-/-/-"},
        {"service.name", "-/-/-/-/-/-/-/-"},
        {"service.name=a;property=1", "-/-/-/-/a/-/-/-"},
        {"service.name=a=b", "-/-/-/-/a=b/-/-/-"},
        {",,=,unknown=x,service.version=v2,", "-/-/-/-/-/v2/-/-"},
        {"service.name=caf\xc3\xa9", NULL},
        {"service.name=a\x01", NULL},
    };
    for (size_t i = 0; i < LEN(table); i++) {
        static struct hbone_baggage_store store;
        char found[200];
        int rc = hbone_baggage_parse(&store, table[i].text, strlen(table[i].text));
        const struct hbone_baggage *m = &store.members;
        snprintf(found, sizeof(found), "%s/%s/%s/%s/%s/%s/%s/%s", text_of(m->cluster),
                 text_of(m->ns), text_of(m->workload_type), text_of(m->workload),
                 text_of(m->service), text_of(m->version), text_of(m->region), text_of(m->zone));
        assert_int_equal(rc, table[i].members != NULL ? 0 : -1);
        assert_string_equal(found, rc == 0 ? table[i].members : "-/-/-/-/-/-/-/-");
    }
}

static void baggage_beyond_the_limit_is_no_baggage(void **state)
{
    static struct hbone_baggage_store store;
    static char text[HBONE_BAGGAGE_MAX + 1];
    memset(text, 'a', sizeof(text));
    memcpy(text, "service.name=", 13);
    assert_int_equal(hbone_baggage_parse(&store, text, HBONE_BAGGAGE_MAX - 1), 0);
    assert_non_null(store.members.service);
    assert_int_equal(hbone_baggage_parse(&store, text, HBONE_BAGGAGE_MAX), -1);
    assert_null(store.members.service);
}

static void forwarded_is_written(void **state)
{
    struct addr v4, v6;
    char out[HBONE_FORWARDED_TEXT];
    char host[HBONE_HOST_MAX + 2];
    assert_int_equal(addr_parse(&v4, "10.0.0.1:4000", NULL), 0);
    assert_int_equal(addr_parse(&v6, "[fd00::1]:4000", NULL), 0);
    assert_string_equal(hbone_forwarded_format(&v4, NULL, out), "for=\"10.0.0.1:4000\"");
    assert_string_equal(hbone_forwarded_format(&v4, "", out), "for=\"10.0.0.1:4000\"");
    assert_string_equal(hbone_forwarded_format(&v6, "cart.shop", out),
                        "for=\"[fd00::1]:4000\";host=cart.shop");
    memset(host, 'a', sizeof(host));
    host[HBONE_HOST_MAX + 1] = '\0';
    assert_string_equal(hbone_forwarded_format(&v4, host, out), "for=\"10.0.0.1:4000\"");
    host[HBONE_HOST_MAX] = '\0';
    assert_int_equal(strlen(hbone_forwarded_format(&v6, host, out)), 20 + 6 + HBONE_HOST_MAX);
}

static void forwarded_is_read_with_tolerance(void **state)
{
    static const struct {
        const char *text;
        const char *client; /* "": unset */
        const char *host;
    } table[] = {
        {"", "", ""},
        {"for=\"10.0.0.1:4000\"", "10.0.0.1:4000", ""},
        {"for=\"[fd00::1]:4000\";host=cart.shop", "[fd00::1]:4000", "cart.shop"},
        {"host=\"cart\" ; For=\"10.0.0.1:1\"", "10.0.0.1:1", "cart"},
        {"for=10.0.0.1:4000;proto=http;by=x;host=h", "10.0.0.1:4000", "h"},
        {"for=unknown;host=h", "", "h"},
        {"for=10.0.0.1;host=h", "", "h"},
        {"for=\"10.0.0.1:1\", for=\"10.0.0.2:2\";host=other", "10.0.0.1:1", ""},
        {"for=\"10.0.0.1:1", "", ""},
        {"for=\"a\\\"b\";host=h", "", "h"},
        {"for=", "", ""},
        {"for", "", ""},
        {";;;", "", ""},
        {"host=a b", "", "a"},
    };
    for (size_t i = 0; i < LEN(table); i++) {
        struct hbone_forwarded forwarded;
        char out[ADDR_TEXT_MAX] = "";
        hbone_forwarded_parse(&forwarded, table[i].text, strlen(table[i].text));
        if (forwarded.client.ip.family != IP_NONE)
            addr_format(&forwarded.client, out);
        assert_string_equal(out, table[i].client);
        assert_string_equal(forwarded.host, table[i].host);
    }
}

static void traceparents_are_made_written_and_read(void **state)
{
    uint8_t random[HBONE_TRACE_RANDOM];
    struct hbone_traceparent made, read;
    char out[HBONE_TRACEPARENT_TEXT];
    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)(i * 11 + 1);
    hbone_traceparent_make(&made, random);
    assert_string_equal(hbone_traceparent_format(&made, out),
                        "00-010c17222d38434e59646f7a85909ba6-b1bcc7d2dde8f3fe-00");
    assert_int_equal(hbone_traceparent_parse(&read, out, strlen(out)), 0);
    assert_memory_equal(read.trace_id, made.trace_id, 16);
    assert_memory_equal(read.parent_id, made.parent_id, 8);
    assert_int_equal(read.flags, 0);
    memset(random, 0, sizeof(random));
    hbone_traceparent_make(&made, random);
    hbone_traceparent_format(&made, out);
    assert_int_equal(hbone_traceparent_parse(&read, out, strlen(out)), 0);
}

#define TRACE_ID  "0af7651916cd43dd8448eb211c80319c"
#define PARENT_ID "b7ad6b7169203331"

static void only_traceparents_are_read(void **state)
{
    static const struct {
        const char *text;
        int result;
    } table[] = {
        {"00-" TRACE_ID "-" PARENT_ID "-01", 0},
        {"01-" TRACE_ID "-" PARENT_ID "-01", 0},
        {"01-" TRACE_ID "-" PARENT_ID "-01-more", 0},
        {"01-" TRACE_ID "-" PARENT_ID "-01more", -1},
        {"00-" TRACE_ID "-" PARENT_ID "-01-more", -1},
        {"ff-" TRACE_ID "-" PARENT_ID "-01", -1},
        {"00-" TRACE_ID "-" PARENT_ID "-0", -1},
        {"00-" TRACE_ID "-" PARENT_ID "-0g", -1},
        {"00-0AF7651916CD43DD8448EB211C80319C-" PARENT_ID "-01", -1},
        {"00-00000000000000000000000000000000-" PARENT_ID "-01", -1},
        {"00-" TRACE_ID "-0000000000000000-01", -1},
        {"00_" TRACE_ID "-" PARENT_ID "-01", -1},
        {"", -1},
    };
    for (size_t i = 0; i < LEN(table); i++) {
        struct hbone_traceparent trace;
        assert_int_equal(hbone_traceparent_parse(&trace, table[i].text, strlen(table[i].text)),
                         table[i].result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authorities_are_read),
        cmocka_unit_test(a_host_may_be_as_long_as_dns_has_it),
        cmocka_unit_test(a_nul_in_an_authority_is_refused),
        cmocka_unit_test(baggage_is_written_in_istios_order),
        cmocka_unit_test(baggage_that_does_not_fit_or_cannot_be_carried_is_refused),
        cmocka_unit_test(baggage_is_read_with_tolerance),
        cmocka_unit_test(baggage_beyond_the_limit_is_no_baggage),
        cmocka_unit_test(forwarded_is_written),
        cmocka_unit_test(forwarded_is_read_with_tolerance),
        cmocka_unit_test(traceparents_are_made_written_and_read),
        cmocka_unit_test(only_traceparents_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
