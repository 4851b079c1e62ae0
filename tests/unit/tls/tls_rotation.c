/*
 * Two agents while the root of their trust domain is rotated, in every order of who learns what
 * first: each step is a real handshake. And other names of a trust domain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "pair.h"

enum { CLIENT, SERVER, NUM_SIDES };
enum { OLD, NEW, NUM_ROOTS };

struct world {
    struct cert_built *roots[NUM_ROOTS];
    struct cert_built *middles[NUM_ROOTS]; /* certificates come through intermediates */
    struct cert_built *leaves[NUM_SIDES][NUM_ROOTS];
    char both[8192]; /* the roots as PEM */
};

static int make_world(void **state)
{
    static const char *const IDS[] = {PAIR_CLIENT_ID, PAIR_SERVER_ID};
    static struct world world;
    for (int root = 0; root < NUM_ROOTS; root++) {
        /* A rotated root keeps its name. */
        world.roots[root] = cert_builder_root("root");
        world.middles[root] = cert_builder_make(
            world.roots[root], &(struct cert_spec){.common_name = "middle", .is_ca = true});
        for (int side = 0; side < NUM_SIDES; side++)
            world.leaves[side][root] = cert_builder_leaf(world.middles[root], IDS[side]);
    }
    snprintf(world.both, sizeof(world.both), "%s%s", cert_builder_pem(world.roots[OLD]),
             cert_builder_pem(world.roots[NEW]));
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    for (int root = 0; root < NUM_ROOTS; root++) {
        for (int side = 0; side < NUM_SIDES; side++)
            cert_builder_free(world->leaves[side][root]);
        cert_builder_free(world->middles[root]);
        cert_builder_free(world->roots[root]);
    }
    return 0;
}

/* What one side has learnt: it trusts the new root too, has a certificate of it, distrusts the old. */
enum progress { NOTHING, TRUSTS_BOTH, CHANGED, DONE };

static bool trusts(enum progress progress, int root)
{
    return root == OLD ? progress != DONE : progress != NOTHING;
}

static int cert_of(enum progress progress)
{
    return progress >= CHANGED ? NEW : OLD;
}

static struct tls_context *context_of(const struct world *world, int side, enum progress progress)
{
    const char *roots = world->both;
    if (progress == NOTHING || progress == DONE)
        roots = cert_builder_pem(world->roots[progress == NOTHING ? OLD : NEW]);
    return pair_context(world->leaves[side][cert_of(progress)], roots);
}

/* Whether both are satisfied with each other, and if not, that the right one says why. */
static bool shake_hands(const struct world *world, const enum progress progress[NUM_SIDES])
{
    struct tls_context *client = context_of(world, CLIENT, progress[CLIENT]);
    struct tls_context *server = context_of(world, SERVER, progress[SERVER]);
    struct pair pair;
    pair_open(&pair, client, server, PAIR_SERVER_ID);
    pair_pump(&pair, SIZE_MAX);
    bool server_accepted = trusts(progress[CLIENT], cert_of(progress[SERVER]));
    bool client_accepted = trusts(progress[SERVER], cert_of(progress[CLIENT]));
    if (!server_accepted)
        assert_int_equal(tls_conn_reason(pair.client), REASON_CERT_UNTRUSTED);
    else if (!client_accepted)
        assert_int_equal(tls_conn_reason(pair.server), REASON_CERT_UNTRUSTED);
    bool is_open =
        tls_conn_status(pair.client) == TLS_OPEN && tls_conn_status(pair.server) == TLS_OPEN;
    assert_int_equal(is_open, server_accepted && client_accepted);
    pair_done(&pair);
    tls_context_unref(client);
    tls_context_unref(server);
    return is_open;
}

/* Who learns next, from the lowest bit on: 1 is the server. Of six steps each side has three. */
static bool is_order(unsigned order)
{
    return __builtin_popcount(order) == 3;
}

static void who_trusts_first_and_changes_later_never_fails_in_any_order(void **state)
{
    const struct world *world = *state;
    unsigned num_smooth = 0, num_orders = 0;
    for (unsigned order = 0; order < 64; order++) {
        if (!is_order(order))
            continue;
        enum progress progress[NUM_SIDES] = {NOTHING, NOTHING};
        bool in_phases = true, never_failed = true;
        for (unsigned step = 0; step < 6; step++) {
            progress[order >> step & 1]++;
            int ahead = abs((int)progress[CLIENT] - (int)progress[SERVER]);
            in_phases = in_phases && ahead <= 1;
            never_failed = shake_hands(world, progress) && never_failed;
        }
        assert_int_equal(progress[CLIENT] + progress[SERVER], DONE + DONE);
        /* Each phase may be begun by either side, as long as both end it before the next. */
        assert_true(never_failed || !in_phases);
        num_smooth += never_failed;
        num_orders++;
    }
    assert_int_equal(num_orders, 20);
    assert_true(num_smooth >= 8);
}

static void an_alias_is_expected_and_accepted_as_our_own_trust_domain(void **state)
{
    const struct world *world = *state;
    struct err err = {0};
    struct cert_built *renamed =
        cert_builder_leaf(world->middles[OLD], "spiffe://old-td/ns/a/sa/server");
    const char *roots = cert_builder_pem(world->roots[OLD]);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    const struct cert_built *leaf = world->leaves[CLIENT][OLD];
    struct svid *svid =
        svid_new_pem(cert_builder_key_pem(leaf), strlen(cert_builder_key_pem(leaf)),
                     cert_builder_chain_pem(leaf), strlen(cert_builder_chain_pem(leaf)), &err);
    struct tls_context *server = pair_context(renamed, roots);
    static const char *const ALIASES[] = {"old-td"};
    for (size_t num_aliases = 0; num_aliases < 2; num_aliases++) {
        const struct trust trust = {
            .bundles = &bundle, .num_bundles = 1, .aliases = ALIASES, .num_aliases = num_aliases};
        struct identity *identity = identity_new(svid, &trust, 1, &err);
        struct tls_context *client = tls_context_new_mesh(identity, NULL, &err);
        assert_non_null(client);
        struct pair pair;
        pair_open(&pair, client, server, PAIR_SERVER_ID); /* by the present name */
        pair_pump(&pair, SIZE_MAX);
        if (num_aliases == 0) {
            assert_int_equal(tls_conn_reason(pair.client), REASON_CERT_WRONG_TRUST_DOMAIN);
        } else {
            assert_int_equal(tls_conn_status(pair.client), TLS_OPEN);
            assert_string_equal(tls_conn_peer(pair.client)->id.trust_domain, "old-td");
        }
        pair_done(&pair);
        tls_context_unref(client);
        identity_unref(identity);
    }
    tls_context_unref(server);
    svid_unref(svid);
    trust_bundle_unref(bundle);
    cert_builder_free(renamed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_trusts_first_and_changes_later_never_fails_in_any_order),
        cmocka_unit_test(an_alias_is_expected_and_accepted_as_our_own_trust_domain),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
