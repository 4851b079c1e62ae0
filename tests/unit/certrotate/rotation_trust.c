/* Whom the published identity trusts: what comes with certificates, and beside them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_timer.h"
#include "world.h"

static struct cert_bytes pem(const char *text)
{
    return (struct cert_bytes){text, text == NULL ? 0 : strlen(text), CERT_PEM};
}

static struct cert_bytes der(const struct cert_built *cert)
{
    struct cert_bytes bytes = {.encoding = CERT_DER};
    bytes.bytes = cert_builder_der(cert, &bytes.len);
    return bytes;
}

/* A store's answer for `leaf`, with these roots; the caller adds to it. */
static struct cert_fetched fetched_for(const struct cert_built *leaf, const char *roots)
{
    return (struct cert_fetched){
        .chain = pem(cert_builder_chain_pem(leaf)),
        .roots = pem(roots),
        .key = pem(cert_builder_key_pem(leaf)),
    };
}

static void answer(struct world *world, const struct cert_fetched *fetched)
{
    if (world->source->done == NULL) {
        world->source->base.on_changed(world->source->base.owner);
        world_run_to_fetch(world);
    }
    scripted_answer(world->source, fetched);
}

static const struct trust *trust_of(const struct world *world)
{
    return identity_trust(world->identity);
}

static void open_store(struct world *world)
{
    world->speaks_for_trust_domain = true;
    world_open(world, false, WORLD_ID);
    world_run_to_fetch(world);
}

static void every_message_is_the_complete_state(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    struct crl_built *crl = cert_builder_crl(world->root, &(struct crl_spec){0});
    const struct cert_federated federated[] = {{"spiffe://partner", der(world->next_root)},
                                               {"other", pem(cert_builder_pem(world->root))}};
    const struct cert_bytes crls[] = {{crl->der, crl->der_len, CERT_DER}};
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    fetched.federated = federated;
    fetched.num_federated = 2;
    fetched.crls = crls;
    fetched.num_crls = 1;

    open_store(world);
    answer(world, &fetched);
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(trust_of(world)->num_bundles, 3);
    assert_non_null(trust_find_bundle(trust_of(world), "partner"));
    assert_int_equal(crl_set_num(trust_of(world)->crls), 1);
    answer(world, &fetched); /* the same again */
    assert_int_equal(world->num_identities, 1);

    fetched.num_federated = 1;
    answer(world, &fetched);
    assert_int_equal(world->num_identities, 2);
    assert_null(trust_find_bundle(trust_of(world), "other"));
    fetched.num_federated = 0;
    fetched.num_crls = 0;
    answer(world, &fetched);
    assert_int_equal(trust_of(world)->num_bundles, 1);
    assert_int_equal(crl_set_num(trust_of(world)->crls), 0);
    assert_int_equal(world->num_troubles, 0);
    cert_builder_free_crl(crl);
    cert_builder_free(leaf);
}

static void what_a_store_that_speaks_for_its_domain_withdraws_is_withdrawn_at_once(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    struct cert_built *next_leaf = cert_builder_leaf(world->next_root, WORLD_ID);
    char both[8192];
    snprintf(both, sizeof(both), "%s%s", cert_builder_pem(world->root),
             cert_builder_pem(world->next_root));
    open_store(world);
    const struct cert_fetched steps[] = {
        fetched_for(leaf, cert_builder_pem(world->root)),
        fetched_for(leaf, both),
        fetched_for(next_leaf, both),
        fetched_for(next_leaf, cert_builder_pem(world->next_root)),
    };
    const size_t num_roots[] = {1, 2, 2, 1};
    for (size_t i = 0; i < 4; i++) {
        answer(world, &steps[i]);
        assert_int_equal(world->num_identities, i + 1);
        assert_int_equal(trust_bundle_num_roots(trust_of(world)->bundles[0]), num_roots[i]);
    }
    /* A bundle that does not verify the certificate is refused, the old state kept. */
    const struct cert_fetched wrong = fetched_for(next_leaf, cert_builder_pem(world->root));
    answer(world, &wrong);
    assert_int_equal(world->num_identities, 4);
    assert_int_equal(world->num_failures, 1);
    cert_builder_free(leaf);
    cert_builder_free(next_leaf);
}

static void a_part_that_cannot_be_read_stays_as_it_was_and_holds_up_no_certificate(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    struct cert_built *next = cert_builder_leaf(world->root, WORLD_ID);
    struct crl_built *crl = cert_builder_crl(world->root, &(struct crl_spec){0});
    struct cert_federated federated = {"partner", der(world->next_root)};
    struct cert_bytes list = {crl->der, crl->der_len, CERT_DER};
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    fetched.federated = &federated;
    fetched.num_federated = 1;
    fetched.crls = &list;
    fetched.num_crls = 1;
    open_store(world);
    answer(world, &fetched);

    fetched.chain = pem(cert_builder_chain_pem(next));
    fetched.key = pem(cert_builder_key_pem(next));
    federated.roots.len--;
    list.len--;
    answer(world, &fetched);
    assert_int_equal(world->num_identities, 2);
    assert_int_equal(world->num_troubles, 1);
    assert_non_null(strstr(world->last_trouble.message, "partner"));
    assert_non_null(trust_find_bundle(trust_of(world), "partner"));
    assert_int_equal(crl_set_num(trust_of(world)->crls), 1);
    cert_builder_free_crl(crl);
    cert_builder_free(leaf);
    cert_builder_free(next);
}

static void unreadable_lists_are_ignored_or_refuse_the_first_certificate_as_configured(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    const struct cert_bytes garbage = {"garbage", 7, CERT_DER};
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    fetched.crls = &garbage;
    fetched.num_crls = 1;
    for (int strict = 0; strict < 2; strict++) {
        world->crl_strict = strict;
        open_store(world);
        answer(world, &fetched);
        assert_int_equal(world->num_identities, 1); /* the lenient one */
        assert_int_equal(world->num_failures, strict);
        rotation_free(world->rotation);
        world->rotation = NULL;
    }
    cert_builder_free(leaf);
}

static void what_the_owner_sets_is_published_with_the_same_certificate(void **state)
{
    struct world *world = *state;
    struct crl_built *crl = cert_builder_crl(world->root, &(struct crl_spec){0});
    const struct cert_bytes list = {crl->der, crl->der_len, CERT_DER};
    struct cert_bytes roots = der(world->next_root);
    struct trust_extras extras = {
        .bundles = {trust_bundle_new("partner", &roots, NULL)},
        .num_bundles = 1,
        .crls = crl_set_new(&list, 1, NULL),
    };
    world_open(world, true, WORLD_ID);
    rotation_set_extras(world->rotation, &extras); /* before there is anything */
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(trust_of(world)->num_bundles, 2);
    assert_int_equal(crl_set_num(trust_of(world)->crls), 1);

    trust_extras_done(&extras);
    rotation_set_extras(world->rotation, &extras);
    assert_int_equal(world->num_identities, 1); /* later, on the loop */
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->num_identities, 2);
    assert_int_equal(trust_of(world)->num_bundles, 1);
    assert_int_equal(world->source->num_fetches, 1); /* nobody was asked for that */
    assert_int_equal(world_status(world).renew_at_ms, fake_timer_wall_ms + HOUR / 2);
    rotation_set_extras(world->rotation, &extras); /* nothing new */
    assert_int_equal(world->num_identities, 2);
    cert_builder_free_crl(crl);
}

static void our_own_revoked_certificate_is_told_and_a_ca_asked_for_another_once(void **state)
{
    struct world *world = *state;
    struct cert_built *middle = cert_builder_make(
        world->root, &(struct cert_spec){.common_name = "middle",
                                         .is_ca = true,
                                         .not_after_ms = fake_timer_wall_ms + 100 * (int64_t)HOUR});
    struct crl_built *crl = cert_builder_crl(world->root, &(struct crl_spec){.revoked = {middle}});
    const struct cert_bytes list = {crl->der, crl->der_len, CERT_DER};
    struct trust_extras extras = {.crls = crl_set_new(&list, 1, NULL)};
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr_by(world, middle, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
    assert_false(world_status(world).is_revoked);

    rotation_set_extras(world->rotation, &extras);
    world_run_to_fetch(world);
    assert_true(world_status(world).is_revoked);
    assert_int_equal(world->num_troubles, 1);
    assert_non_null(strstr(world->last_trouble.message, "will be refused by peers"));
    world_answer_csr_by(world, middle, world->root, HOUR); /* no better */
    assert_true(world_status(world).valid && world_status(world).is_revoked);
    fake_timer_pass(60 * S);
    assert_int_equal(world->source->num_fetches, 2);
    trust_extras_done(&extras);
    cert_builder_free_crl(crl);
    cert_builder_free(middle);
}

enum { MANY = 40 }; /* lists, of which twice as many are too many */

static void make_lists(const struct cert_built *issuer, struct crl_built *crls[MANY],
                       struct cert_bytes lists[MANY])
{
    for (size_t i = 0; i < MANY; i++) {
        crls[i] = cert_builder_crl(
            issuer, &(struct crl_spec){.this_update_ms = 1700000000000 + (int64_t)i * 1000});
        lists[i] = (struct cert_bytes){crls[i]->der, crls[i]->der_len, CERT_DER};
    }
}

static void lists_that_are_too_many_together_are_told_once_and_the_trust_before_counts(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    struct crl_built *brought[MANY], *set[MANY];
    struct cert_bytes brought_lists[MANY], set_lists[MANY];
    make_lists(world->root, brought, brought_lists);
    make_lists(world->next_root, set, set_lists);
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    fetched.crls = brought_lists;
    fetched.num_crls = MANY;
    struct trust_extras many = {.crls = crl_set_new(set_lists, MANY, NULL)};
    struct trust_extras few = {.crls = crl_set_new(set_lists, 2, NULL)};
    open_store(world);
    answer(world, &fetched);

    rotation_set_extras(world->rotation, &many);
    for (unsigned i = 0; i < 3; i++)
        assert_true(fake_timer_fire_next());
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(crl_set_num(trust_of(world)->crls), MANY);
    assert_int_equal(world->num_troubles, 1);
    assert_non_null(strstr(world->last_trouble.message, "more than the 64 revocation lists"));

    rotation_set_extras(world->rotation, &few);
    assert_true(fake_timer_fire_next());
    assert_int_equal(crl_set_num(trust_of(world)->crls), MANY + 2);
    assert_int_equal(world->num_troubles, 1);
    trust_extras_done(&many);
    trust_extras_done(&few);
    for (size_t i = 0; i < MANY; i++) {
        cert_builder_free_crl(brought[i]);
        cert_builder_free_crl(set[i]);
    }
    cert_builder_free(leaf);
}

/* Lists of two issuers, each half of them alone within what is allowed. */
struct many {
    struct crl_built *brought[MANY], *set[MANY];
    struct cert_bytes brought_lists[MANY], set_lists[MANY];
};

static void many_make(struct many *many, const struct world *world)
{
    make_lists(world->root, many->brought, many->brought_lists);
    make_lists(world->next_root, many->set, many->set_lists);
}

static void many_done(struct many *many)
{
    for (size_t i = 0; i < MANY; i++) {
        cert_builder_free_crl(many->brought[i]);
        cert_builder_free_crl(many->set[i]);
    }
}

static void too_many_lists_hold_up_no_renewal_and_what_was_known_as_revoked_stays_so(void **state)
{
    struct world *world = *state;
    struct cert_built *first = cert_builder_leaf(world->root, WORLD_ID);
    struct cert_built *second = cert_builder_leaf(world->root, WORLD_ID);
    struct many many;
    many_make(&many, world);
    struct trust_extras extras = {.crls = crl_set_new(many.set_lists, MANY, NULL)};
    struct cert_fetched fetched = fetched_for(first, cert_builder_pem(world->root));
    fetched.crls = many.brought_lists;
    fetched.num_crls = 2;
    world->crl_strict = true;
    open_store(world);
    rotation_set_extras(world->rotation, &extras);
    answer(world, &fetched);
    assert_int_equal(crl_set_num(trust_of(world)->crls), MANY + 2);
    struct crl_set *before = crl_set_ref(trust_of(world)->crls);

    fetched = fetched_for(second, cert_builder_pem(world->root));
    fetched.crls = many.brought_lists;
    fetched.num_crls = MANY;
    answer(world, &fetched);
    assert_int_equal(world->num_identities, 2);
    assert_int_equal(world->num_failures, 0);
    assert_true(crl_set_is_same(trust_of(world)->crls, before));
    assert_int_equal(world->num_troubles, 1);
    assert_non_null(strstr(world->last_trouble.message, "more than the 64 revocation lists"));
    answer(world, &fetched); /* the same is no news */
    assert_int_equal(world->num_identities, 2);
    assert_int_equal(world->num_troubles, 1);

    fetched.num_crls = 3;
    answer(world, &fetched);
    assert_int_equal(crl_set_num(trust_of(world)->crls), MANY + 3);
    assert_int_equal(world->num_troubles, 1);
    crl_set_unref(before);
    trust_extras_done(&extras);
    many_done(&many);
    cert_builder_free(second);
    cert_builder_free(first);
}

static void too_many_lists_of_the_source_alone_hold_up_no_certificate(void **state)
{
    enum { TOO_MANY = CRL_SET_MAX + 1 };
    struct world *world = *state;
    struct cert_built *first = cert_builder_leaf(world->root, WORLD_ID);
    struct cert_built *second = cert_builder_leaf(world->root, WORLD_ID);
    struct many many;
    struct cert_bytes lists[2 * MANY];
    many_make(&many, world);
    memcpy(lists, many.brought_lists, sizeof(many.brought_lists));
    memcpy(lists + MANY, many.set_lists, sizeof(many.set_lists));
    struct cert_fetched fetched = fetched_for(first, cert_builder_pem(world->root));
    fetched.crls = lists;
    fetched.num_crls = TOO_MANY;
    open_store(world);
    answer(world, &fetched);
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(crl_set_num(trust_of(world)->crls), CRL_SET_MAX);
    assert_int_equal(world->num_troubles, 1);
    assert_non_null(strstr(world->last_trouble.message, "more than the 64 revocation lists"));

    fetched.num_crls = 3;
    answer(world, &fetched);
    fetched = fetched_for(second, cert_builder_pem(world->root));
    fetched.crls = lists;
    fetched.num_crls = TOO_MANY;
    answer(world, &fetched);
    assert_int_equal(world->num_identities, 3);
    assert_int_equal(world->num_failures, 0);
    assert_int_equal(crl_set_num(trust_of(world)->crls), 3);
    assert_int_equal(world->num_troubles, 2);
    many_done(&many);
    cert_builder_free(second);
    cert_builder_free(first);
}

static void
too_many_lists_at_first_are_taken_as_there_is_room_or_refused_as_configured(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    struct many many;
    many_make(&many, world);
    struct trust_extras extras = {.crls = crl_set_new(many.set_lists, MANY, NULL)};
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    fetched.crls = many.brought_lists;
    fetched.num_crls = MANY;
    for (int strict = 0; strict <= 1; strict++) {
        world->crl_strict = strict;
        world->source_freed = false;
        open_store(world);
        rotation_set_extras(world->rotation, &extras);
        answer(world, &fetched);
        assert_int_equal(world->num_identities, 1);
        assert_int_equal(world->num_failures, strict);
        assert_int_equal(world->num_troubles, 1);
        if (!strict)
            assert_int_equal(crl_set_num(trust_of(world)->crls), CRL_SET_MAX);
        rotation_free(world->rotation);
        world->rotation = NULL;
    }
    assert_non_null(strstr(world->last_err.message, "more than the 64 revocation lists"));
    trust_extras_done(&extras);
    many_done(&many);
    cert_builder_free(leaf);
}

enum { DOMAINS = TRUST_EXTRAS_MAX + 1 };

static void federated_domains_beyond_what_is_allowed_hold_up_no_certificate(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    static char names[DOMAINS][16];
    struct cert_federated federated[DOMAINS];
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    for (size_t i = 0; i < DOMAINS; i++) {
        snprintf(names[i], sizeof(names[i]), "td-%zu", i);
        federated[i] = (struct cert_federated){names[i], der(world->next_root)};
    }
    fetched.federated = federated;
    fetched.num_federated = DOMAINS;
    open_store(world);
    answer(world, &fetched);
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(trust_of(world)->num_bundles, 1 + TRUST_EXTRAS_MAX);
    assert_null(trust_find_bundle(trust_of(world), names[DOMAINS - 1]));
    assert_int_equal(world->num_troubles, 1);
    assert_non_null(strstr(world->last_trouble.message, "'td-64'"));
    cert_builder_free(leaf);
}

/* Whoever withdraws a certificate replaces it in the same minute: neither news may hide the other. */
static void a_change_told_while_our_certificate_is_found_revoked_is_fetched(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    struct crl_built *crl = cert_builder_crl(world->root, &(struct crl_spec){.revoked = {leaf}});
    const struct cert_bytes list = {crl->der, crl->der_len, CERT_DER};
    struct trust_extras extras = {.crls = crl_set_new(&list, 1, NULL)};
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    open_store(world);
    answer(world, &fetched);

    rotation_set_extras(world->rotation, &extras);
    world->source->base.on_changed(world->source->base.owner);
    assert_true(fake_timer_fire_next());
    assert_true(world_status(world).is_revoked);
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->source->num_fetches, 2);
    scripted_answer(world->source, &fetched);
    trust_extras_done(&extras);
    cert_builder_free_crl(crl);
    cert_builder_free(leaf);
}

static void aliases_are_part_of_the_identity(void **state)
{
    struct world *world = *state;
    world->aliases[0] = "old-td";
    world->num_aliases = 1;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    const struct trust *trust = trust_of(world);
    assert_ptr_equal(trust_find_bundle(trust, "old-td"), trust->bundles[0]);
    assert_true(trust_is_same_id(trust, "spiffe://old-td/ns/a/sa/b", WORLD_ID));
    assert_false(trust_is_same_id(trust, "spiffe://old-td/ns/a/sa/c", WORLD_ID));
    assert_false(trust_is_same_id(trust, "spiffe://third/ns/a/sa/b", WORLD_ID));
}

static void an_alias_is_ours_though_a_bundle_of_that_name_is_brought(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    const struct cert_federated federated = {"spiffe://old-td", der(world->next_root)};
    struct cert_fetched fetched = fetched_for(leaf, cert_builder_pem(world->root));
    fetched.federated = &federated;
    fetched.num_federated = 1;
    world->aliases[0] = "old-td";
    world->num_aliases = 1;
    open_store(world);
    answer(world, &fetched);
    assert_int_equal(trust_of(world)->num_bundles, 1);
    assert_ptr_equal(trust_find_bundle(trust_of(world), "old-td"), trust_of(world)->bundles[0]);
    cert_builder_free(leaf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_message_is_the_complete_state),
        TEST(what_a_store_that_speaks_for_its_domain_withdraws_is_withdrawn_at_once),
        TEST(a_part_that_cannot_be_read_stays_as_it_was_and_holds_up_no_certificate),
        TEST(unreadable_lists_are_ignored_or_refuse_the_first_certificate_as_configured),
        TEST(what_the_owner_sets_is_published_with_the_same_certificate),
        TEST(lists_that_are_too_many_together_are_told_once_and_the_trust_before_counts),
        TEST(too_many_lists_hold_up_no_renewal_and_what_was_known_as_revoked_stays_so),
        TEST(too_many_lists_of_the_source_alone_hold_up_no_certificate),
        TEST(too_many_lists_at_first_are_taken_as_there_is_room_or_refused_as_configured),
        TEST(federated_domains_beyond_what_is_allowed_hold_up_no_certificate),
        TEST(our_own_revoked_certificate_is_told_and_a_ca_asked_for_another_once),
        TEST(a_change_told_while_our_certificate_is_found_revoked_is_fetched),
        TEST(aliases_are_part_of_the_identity),
        TEST(an_alias_is_ours_though_a_bundle_of_that_name_is_brought),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
