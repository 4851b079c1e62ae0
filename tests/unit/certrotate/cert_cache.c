#include "cert_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "cert_builder.h"
#include "clock.h"

#define ID "spiffe://td/ns/a/sa/b"

struct place {
    char path[64];
    struct private_dir *dir;
    struct cert_built *root, *federated, *leaf;
    struct identity *identity;
    struct trust_extras brought;
};

static struct trust_bundle *bundle_of(const char *trust_domain, const struct cert_built *root)
{
    struct err err;
    const char *pem = cert_builder_pem(root);
    struct trust_bundle *bundle = trust_bundle_new_pem(trust_domain, pem, strlen(pem), &err);
    assert_non_null(bundle);
    return bundle;
}

static void make_identity(struct place *place)
{
    struct err err;
    const char *key = cert_builder_key_pem(place->leaf);
    const char *chain = cert_builder_chain_pem(place->leaf);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    struct trust_bundle *bundle = bundle_of("td", place->root);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    assert_non_null(svid);
    place->identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(place->identity);
    svid_unref(svid);
    trust_bundle_unref(bundle);
}

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct err err;
    strcpy(place->path, "/tmp/remora-cache-XXXXXX");
    if (mkdtemp(place->path) == NULL)
        return -1;
    place->dir = private_file_open_dir(place->path, false, &err);
    place->root = cert_builder_root("root");
    place->federated = cert_builder_root("federated");
    place->leaf = cert_builder_leaf(place->root, ID);
    make_identity(place);
    place->brought.bundles[0] = bundle_of("other", place->federated);
    place->brought.num_bundles = 1;
    *state = place;
    return place->dir == NULL ? -1 : 0;
}

static int free_place(void **state)
{
    struct place *place = *state;
    trust_extras_done(&place->brought);
    identity_unref(place->identity);
    cert_builder_free(place->leaf);
    cert_builder_free(place->federated);
    cert_builder_free(place->root);
    private_file_close_dir(place->dir);
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", place->path);
    int result = system(command);
    free(place);
    return result;
}

static void must_write(const struct place *place)
{
    struct err err;
    if (cert_cache_write(place->dir, place->identity, &place->brought, &err) < 0)
        fail_msg("%s", err.message);
}

static void what_is_written_is_read_and_passes_all_checks(void **state)
{
    struct place *place = *state;
    struct err err;
    must_write(place);
    struct cert_cached *cached = cert_cache_read(place->dir, &err);
    if (cached == NULL)
        fail_msg("%s", err.message);
    const struct cert_fetched *fetched = cert_cached_fetched(cached);
    struct svid *svid = svid_new(&fetched->key, &fetched->chain, &err);
    struct trust_bundle *bundle = trust_bundle_new("td", &fetched->roots, &err);
    assert_non_null(svid);
    assert_non_null(bundle);
    assert_int_equal(svid_check(svid, bundle, ID, NULL, clock_wall_ms(), &err), 0);
    assert_string_equal(svid_serial(svid), svid_serial(identity_svid(place->identity)));
    assert_int_equal(fetched->num_federated, 1);
    assert_string_equal(fetched->federated[0].trust_domain, "other");
    struct trust_bundle *federated = trust_bundle_new("other", &fetched->federated[0].roots, &err);
    assert_non_null(federated);
    assert_true(trust_bundle_is_same(federated, place->brought.bundles[0]));
    assert_int_equal(fetched->num_crls, 0);
    trust_bundle_unref(federated);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    cert_cached_free(cached);
}

static void nothing_is_there_before_the_first_write(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    assert_null(cert_cache_read(place->dir, &err));
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static uint8_t *read_file(const struct place *place, size_t *len)
{
    struct err err;
    uint8_t *bytes = private_file_read(place->dir, "certificate", CERT_CACHE_MAX, len, &err);
    assert_non_null(bytes);
    return bytes;
}

static void a_file_that_is_cut_or_longer_is_damaged(void **state)
{
    struct place *place = *state;
    struct err err;
    size_t len;
    must_write(place);
    uint8_t *bytes = read_file(place, &len);
    for (size_t cut = 0; cut < len; cut++) {
        assert_null(cert_cache_parse(bytes, cut, &err));
        assert_int_equal(err.kind, ERR_INVALID);
    }
    uint8_t *longer = malloc(len + 1);
    assert_non_null(longer);
    memcpy(longer, bytes, len);
    longer[len] = 0;
    assert_null(cert_cache_parse(longer, len + 1, &err));
    free(longer);
    struct cert_cached *cached = cert_cache_parse(bytes, len, &err);
    assert_non_null(cached);
    cert_cached_free(cached);
    private_file_free(bytes, len);
}

static void a_file_of_another_version_is_not_read(void **state)
{
    struct place *place = *state;
    struct err err;
    size_t len;
    must_write(place);
    uint8_t *bytes = read_file(place, &len);
    bytes[19]++; /* the version */
    assert_null(cert_cache_parse(bytes, len, &err));
    assert_non_null(strstr(err.message, "not of this version"));
    private_file_free(bytes, len);
}

static void records_that_make_no_sense_are_damage(void **state)
{
    static const char *const CASES[][2] = {
        {"unknown kind", "\x09\x00\x00\x00\x00"},
        {"empty key", "\x01\x00\x00\x00\x00"},
        {"two keys", "\x01\x00\x00\x00\x01k\x01\x00\x00\x00\x01k"},
        {"end without a key", "\x00\x00\x00\x00\x00"},
    };
    static const size_t LENS[] = {5, 5, 12, 5};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint8_t bytes[64] = "remora certificate 1\n";
        struct err err;
        memcpy(bytes + 21, CASES[i][1], LENS[i]);
        if (cert_cache_parse(bytes, 21 + LENS[i], &err) != NULL)
            fail_msg("%s", CASES[i][0]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, free_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_and_passes_all_checks),
        TEST(nothing_is_there_before_the_first_write),
        TEST(a_file_that_is_cut_or_longer_is_damaged),
        TEST(a_file_of_another_version_is_not_read),
        TEST(records_that_make_no_sense_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
