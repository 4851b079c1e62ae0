#include "identity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"

struct identity {
    struct refcount refs;
    struct svid *svid;
    uint64_t epoch;
    size_t num_bundles;
    struct trust_bundle *bundles[];
};

static size_t count_trust_domain(struct trust_bundle *const *bundles, size_t num_bundles,
                                 const char *trust_domain)
{
    size_t num = 0;
    for (size_t i = 0; i < num_bundles; i++)
        if (strcmp(trust_bundle_trust_domain(bundles[i]), trust_domain) == 0)
            num++;
    return num;
}

struct identity *identity_new(struct svid *svid, struct trust_bundle *const *bundles,
                              size_t num_bundles, uint64_t epoch, struct err *err)
{
    assert(count_trust_domain(bundles, num_bundles, svid_id(svid)->trust_domain) == 1);
    struct identity *identity =
        calloc(1, sizeof(*identity) + num_bundles * sizeof(struct trust_bundle *));
    if (identity == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&identity->refs);
    identity->svid = svid_ref(svid);
    identity->epoch = epoch;
    identity->num_bundles = num_bundles;
    for (size_t i = 0; i < num_bundles; i++) {
        const char *trust_domain = trust_bundle_trust_domain(bundles[i]);
        assert(count_trust_domain(bundles, num_bundles, trust_domain) == 1);
        identity->bundles[i] = trust_bundle_ref(bundles[i]);
    }
    return identity;
}

struct identity *identity_ref(struct identity *identity)
{
    refcount_get(&identity->refs);
    return identity;
}

void identity_unref(struct identity *identity)
{
    if (identity == NULL || !refcount_put(&identity->refs))
        return;
    svid_unref(identity->svid);
    for (size_t i = 0; i < identity->num_bundles; i++)
        trust_bundle_unref(identity->bundles[i]);
    free(identity);
}

struct svid *identity_svid(const struct identity *identity)
{
    return identity->svid;
}

const struct spiffe_id *identity_id(const struct identity *identity)
{
    return svid_id(identity->svid);
}

struct trust_bundle *const *identity_bundles(const struct identity *identity, size_t *num_bundles)
{
    *num_bundles = identity->num_bundles;
    return identity->bundles;
}

uint64_t identity_epoch(const struct identity *identity)
{
    return identity->epoch;
}
