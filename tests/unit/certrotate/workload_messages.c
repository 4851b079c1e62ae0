#include "workload_messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workload_answer.h"

#define BYTES(text)                                                                                \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

static const struct workload_messages_choice ANY = {0};

/* Two identities, two federated trust domains, two lists. */
static const struct workload_answer GOOD = {
    .svids = {{.spiffe_id = "spiffe://td/first",
               .hint = "internal",
               .chain = BYTES("chain 1"),
               .key = BYTES("secret 1"),
               .bundle = BYTES("roots 1")},
              {.spiffe_id = "spiffe://other/second",
               .hint = "external",
               .chain = BYTES("chain 2"),
               .key = BYTES("secret 2"),
               .bundle = BYTES("roots 2")}},
    .num_svids = 2,
    .federated = {{"spiffe://fed-1", BYTES("roots of fed-1")},
                  {"spiffe://fed-2", BYTES("roots of fed-2")}},
    .num_federated = 2,
    .crls = {BYTES("list 1"), BYTES("list 2")},
    .num_crls = 2,
};

static struct workload_messages_answer *read_packed(const struct workload_answer *answer,
                                                    const struct workload_messages_choice *choice,
                                                    struct err *err)
{
    size_t len;
    uint8_t *bytes = workload_answer_pack(answer, &len);
    *err = (struct err){0};
    struct workload_messages_answer *read = workload_messages_read_answer(bytes, len, choice, err);
    memset(bytes, 0xff, len); /* it keeps nothing of the message's own memory */
    free(bytes);
    return read;
}

static struct workload_messages_answer *must_read(const struct workload_answer *answer,
                                                  const struct workload_messages_choice *choice)
{
    struct err err;
    struct workload_messages_answer *read = read_packed(answer, choice, &err);
    if (read == NULL)
        fail_msg("%s", err.message);
    return read;
}

static void expect_refused(const struct workload_answer *answer,
                           const struct workload_messages_choice *choice, enum err_kind kind,
                           const char *words)
{
    struct err err;
    assert_null(read_packed(answer, choice, &err));
    assert_int_equal(err.kind, kind);
    if (strstr(err.message, words) == NULL)
        fail_msg("expected %s, found %s", words, err.message);
    assert_null(strstr(err.message, "secret"));
}

static void expect_bytes(const struct cert_bytes *bytes, const char *expected)
{
    assert_int_equal(bytes->encoding, CERT_DER);
    assert_int_equal(bytes->len, strlen(expected));
    assert_memory_equal(bytes->bytes, expected, bytes->len);
}

static void all_of_a_message_is_taken(void **state)
{
    struct workload_messages_answer *answer = must_read(&GOOD, &ANY);
    const struct cert_fetched *fetched = workload_messages_fetched(answer);
    assert_int_equal(workload_messages_num_svids(answer), 2);
    assert_string_equal(workload_messages_spiffe_id(answer), "spiffe://td/first");
    expect_bytes(&fetched->chain, "chain 1");
    expect_bytes(&fetched->key, "secret 1");
    expect_bytes(&fetched->roots, "roots 1");
    assert_int_equal(fetched->num_federated, 2);
    assert_string_equal(fetched->federated[1].trust_domain, "spiffe://fed-2");
    expect_bytes(&fetched->federated[1].roots, "roots of fed-2");
    assert_int_equal(fetched->num_crls, 2);
    expect_bytes(&fetched->crls[1], "list 2");
    workload_messages_answer_free(answer);
}

static void what_a_message_does_not_name_is_not_there(void **state)
{
    struct workload_answer small = GOOD;
    small.num_federated = small.num_crls = 0;
    struct workload_messages_answer *answer = must_read(&small, &ANY);
    assert_int_equal(workload_messages_fetched(answer)->num_federated, 0);
    assert_int_equal(workload_messages_fetched(answer)->num_crls, 0);
    workload_messages_answer_free(answer);
}

static void an_identity_is_chosen_by_hint_or_by_id_or_is_the_first(void **state)
{
    static const struct {
        struct workload_messages_choice choice;
        const char *chosen;
    } CASES[] = {
        {{.hint = "external"}, "spiffe://other/second"},
        {{.hint = "internal", .spiffe_id = "spiffe://other/second"}, "spiffe://td/first"},
        {{.spiffe_id = "spiffe://other/second"}, "spiffe://other/second"},
        {{.spiffe_id = "spiffe://td/unknown"}, "spiffe://td/first"},
        {{.hint = "", .spiffe_id = ""}, "spiffe://td/first"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct workload_messages_answer *answer = must_read(&GOOD, &CASES[i].choice);
        assert_string_equal(workload_messages_spiffe_id(answer), CASES[i].chosen);
        workload_messages_answer_free(answer);
    }
    const struct workload_messages_choice unknown = {.hint = "intrenal"};
    expect_refused(&GOOD, &unknown, ERR_INVALID,
                   "none of the 2 identities has the hint \"intrenal\"; there are: "
                   "\"internal\", \"external\"");
    struct workload_answer unnamed = GOOD;
    unnamed.svids[0].hint = unnamed.svids[1].hint = NULL;
    expect_refused(&unnamed, &unknown, ERR_INVALID, "there are: none");
}

static void of_two_with_one_hint_the_first_counts(void **state)
{
    struct workload_answer twice = GOOD;
    twice.svids[1].hint = "internal";
    const struct workload_messages_choice choice = {.hint = "internal"};
    struct workload_messages_answer *answer = must_read(&twice, &choice);
    assert_string_equal(workload_messages_spiffe_id(answer), "spiffe://td/first");
    workload_messages_answer_free(answer);
}

static void a_bundle_that_comes_twice_has_its_last_value_and_our_own_is_the_svid_s(void **state)
{
    struct workload_answer twice = GOOD;
    twice.federated[1].trust_domain = "spiffe://fed-1";
    twice.federated[2].trust_domain = "spiffe://td";
    twice.federated[2].bundle = twice.federated[1].bundle;
    twice.num_federated = 3;
    struct workload_messages_answer *answer = must_read(&twice, &ANY);
    const struct cert_fetched *fetched = workload_messages_fetched(answer);
    assert_int_equal(fetched->num_federated, 1);
    assert_string_equal(fetched->federated[0].trust_domain, "spiffe://fed-1");
    expect_bytes(&fetched->federated[0].roots, "roots of fed-2");
    workload_messages_answer_free(answer);
}

/* A partner that has no X.509 authority now is a partner whom nobody trusts, not a reason to let our
 * own certificate end. */
static void an_empty_federated_bundle_is_as_none_and_holds_up_nothing(void **state)
{
    struct workload_answer empty = GOOD;
    empty.federated[0].bundle = (struct workload_answer_bytes){0};
    struct workload_messages_answer *answer = must_read(&empty, &ANY);
    const struct cert_fetched *fetched = workload_messages_fetched(answer);
    assert_int_equal(fetched->num_federated, 1);
    assert_string_equal(fetched->federated[0].trust_domain, "spiffe://fed-2");
    workload_messages_answer_free(answer);
}

static void what_is_missing_is_named(void **state)
{
    struct workload_answer bad = GOOD;
    bad.num_svids = 0;
    expect_refused(&bad, &ANY, ERR_PROTOCOL, "no identity at all");

    const struct workload_answer_bytes none = {0};
    bad = GOOD;
    bad.svids[0].spiffe_id = NULL;
    expect_refused(&bad, &ANY, ERR_PROTOCOL, "without a SPIFFE ID");
    bad = GOOD;
    bad.svids[0].chain = none;
    expect_refused(&bad, &ANY, ERR_PROTOCOL, "\"spiffe://td/first\" comes without a certificate");
    bad = GOOD;
    bad.svids[0].key = none;
    expect_refused(&bad, &ANY, ERR_PROTOCOL, "without a private key");
    bad = GOOD;
    bad.svids[0].bundle = none;
    expect_refused(&bad, &ANY, ERR_PROTOCOL, "without a trust bundle");

    /* Another identity's faults are not ours. */
    bad = GOOD;
    bad.svids[1].key = none;
    workload_messages_answer_free(must_read(&bad, &ANY));
}

static void what_is_no_message_is_refused(void **state)
{
    struct err err = {0};
    size_t len;
    uint8_t *bytes = workload_answer_pack(&GOOD, &len);
    for (size_t cut = 1; cut < len; cut++) {
        struct workload_messages_answer *answer =
            workload_messages_read_answer(bytes, cut, &ANY, &err);
        /* A cut between two fields is a message of fewer of them. */
        workload_messages_answer_free(answer);
    }
    assert_null(workload_messages_read_answer((const uint8_t *)"\xff\xff", 2, &ANY, &err));
    assert_non_null(strstr(err.message, "not an X509SVIDResponse"));
    assert_null(workload_messages_read_answer(bytes, 0, &ANY, &err));
    assert_non_null(strstr(err.message, "no identity at all"));
    assert_null(workload_messages_read_answer(bytes, WORKLOAD_MESSAGES_MAX + 1, &ANY, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    free(bytes);
}

static void too_many_of_anything_is_refused(void **state)
{
    enum { NUM = 100 * 1000 };
    struct err err = {0};
    uint8_t *bytes = malloc(2 * NUM);
    assert_non_null(bytes);
    static const char FIELDS[] = {0x0a, 0x12, 0x1a};
    for (size_t field = 0; field < sizeof(FIELDS); field++) {
        for (size_t i = 0; i < NUM; i++) {
            bytes[2 * i] = (uint8_t)FIELDS[field];
            bytes[2 * i + 1] = 0;
        }
        assert_null(workload_messages_read_answer(bytes, 2 * NUM, &ANY, &err));
        assert_int_equal(err.kind, ERR_LIMIT);
    }
    free(bytes);
}

static void more_lists_than_are_used_hold_up_no_message(void **state)
{
    (void)state;
    enum { MORE = 100 };
    static const uint8_t LIST[] = {0x12, 1, 'x'};
    struct err err = {0};
    size_t len;
    uint8_t *packed = workload_answer_pack(&GOOD, &len);
    uint8_t *bytes = malloc(len + MORE * sizeof(LIST));
    assert_non_null(bytes);
    memcpy(bytes, packed, len);
    for (size_t i = 0; i < MORE; i++)
        memcpy(bytes + len + i * sizeof(LIST), LIST, sizeof(LIST));
    struct workload_messages_answer *answer =
        workload_messages_read_answer(bytes, len + MORE * sizeof(LIST), &ANY, &err);
    assert_non_null(answer);
    assert_int_equal(workload_messages_fetched(answer)->num_crls, GOOD.num_crls + MORE);
    workload_messages_answer_free(answer);
    free(bytes);
    free(packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_message_is_taken),
        cmocka_unit_test(what_a_message_does_not_name_is_not_there),
        cmocka_unit_test(an_identity_is_chosen_by_hint_or_by_id_or_is_the_first),
        cmocka_unit_test(of_two_with_one_hint_the_first_counts),
        cmocka_unit_test(a_bundle_that_comes_twice_has_its_last_value_and_our_own_is_the_svid_s),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(an_empty_federated_bundle_is_as_none_and_holds_up_nothing),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(too_many_of_anything_is_refused),
        cmocka_unit_test(more_lists_than_are_used_hold_up_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
