#include "identity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"

struct identity {
    struct refcount refs;
    struct svid *svid;
    uint64_t epoch;
    struct trust trust; /* of what is below */
    struct trust_bundle **bundles;
    char **aliases;
};

static bool is_of_one_each(const struct trust *trust, const char *own_domain)
{
    if (trust->num_bundles == 0 ||
        strcmp(trust_bundle_trust_domain(trust->bundles[0]), own_domain) != 0)
        return false;
    for (size_t i = 0; i < trust->num_bundles; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(trust_bundle_trust_domain(trust->bundles[i]),
                       trust_bundle_trust_domain(trust->bundles[j])) == 0)
                return false;
    return true;
}

static int copy_trust(struct identity *identity, const struct trust *from)
{
    identity->bundles = calloc(from->num_bundles, sizeof(struct trust_bundle *));
    identity->aliases = calloc(from->num_aliases + 1, sizeof(char *));
    if (identity->bundles == NULL || identity->aliases == NULL)
        return -1;
    struct trust *trust = &identity->trust;
    *trust = (struct trust){
        .bundles = identity->bundles,
        .aliases = (const char *const *)identity->aliases,
        .crls = from->crls == NULL ? NULL : crl_set_ref(from->crls),
        .crl_strict = from->crl_strict,
    };
    for (; trust->num_bundles < from->num_bundles; trust->num_bundles++)
        identity->bundles[trust->num_bundles] = trust_bundle_ref(from->bundles[trust->num_bundles]);
    for (; trust->num_aliases < from->num_aliases; trust->num_aliases++) {
        char *alias = strdup(from->aliases[trust->num_aliases]);
        if (alias == NULL)
            return -1;
        identity->aliases[trust->num_aliases] = alias;
    }
    return 0;
}

struct identity *identity_new(struct svid *svid, const struct trust *trust, uint64_t epoch,
                              struct err *err)
{
    assert(is_of_one_each(trust, svid_id(svid)->trust_domain));
    struct identity *identity = calloc(1, sizeof(*identity));
    if (identity == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&identity->refs);
    identity->svid = svid_ref(svid);
    identity->epoch = epoch;
    if (copy_trust(identity, trust) == 0)
        return identity;
    identity_unref(identity);
    err_set(err, ERR_NOMEM, "out of memory");
    return NULL;
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
    for (size_t i = 0; i < identity->trust.num_bundles; i++)
        trust_bundle_unref(identity->bundles[i]);
    for (size_t i = 0; i < identity->trust.num_aliases; i++)
        free(identity->aliases[i]);
    crl_set_unref(identity->trust.crls);
    free(identity->bundles);
    free(identity->aliases);
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

const struct trust *identity_trust(const struct identity *identity)
{
    return &identity->trust;
}

uint64_t identity_epoch(const struct identity *identity)
{
    return identity->epoch;
}
