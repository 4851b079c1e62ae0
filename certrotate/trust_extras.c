#include "trust_extras.h"

#include <string.h>

#include "spiffe_id.h"

void trust_extras_done(struct trust_extras *extras)
{
    for (size_t i = 0; i < extras->num_bundles; i++)
        trust_bundle_unref(extras->bundles[i]);
    crl_set_unref(extras->crls);
    *extras = (struct trust_extras){0};
}

void trust_extras_copy(struct trust_extras *to, const struct trust_extras *from)
{
    *to = *from;
    for (size_t i = 0; i < to->num_bundles; i++)
        trust_bundle_ref(to->bundles[i]);
    if (to->crls != NULL)
        crl_set_ref(to->crls);
}

struct trust_bundle *trust_extras_find(const struct trust_extras *extras, const char *trust_domain)
{
    for (size_t i = 0; i < extras->num_bundles; i++)
        if (strcmp(trust_bundle_trust_domain(extras->bundles[i]), trust_domain) == 0)
            return extras->bundles[i];
    return NULL;
}

bool trust_extras_is_same(const struct trust_extras *a, const struct trust_extras *b)
{
    if (a->num_bundles != b->num_bundles || !crl_set_is_same(a->crls, b->crls))
        return false;
    for (size_t i = 0; i < a->num_bundles; i++) {
        const struct trust_bundle *other =
            trust_extras_find(b, trust_bundle_trust_domain(a->bundles[i]));
        if (other == NULL || !trust_bundle_is_same(a->bundles[i], other))
            return false;
    }
    return true;
}

/* Takes the reference. */
static int add(struct trust_extras *extras, struct trust_bundle *bundle, struct err *err)
{
    if (extras->num_bundles == TRUST_EXTRAS_MAX) {
        err_set(err, ERR_LIMIT,
                "federated trust domain '%.200s': more than the %d that are allowed",
                trust_bundle_trust_domain(bundle), TRUST_EXTRAS_MAX);
        trust_bundle_unref(bundle);
        return -1;
    }
    extras->bundles[extras->num_bundles++] = bundle;
    return 0;
}

/* ----------------------------------------------------------------------------------- reading -- */

static const char *name_of(const struct cert_federated *federated)
{
    static const char SCHEME[] = "spiffe://";
    const char *name = federated->trust_domain;
    return strncmp(name, SCHEME, sizeof(SCHEME) - 1) == 0 ? name + sizeof(SCHEME) - 1 : name;
}

/* NULL: *err. */
static struct trust_bundle *read_bundle(const struct trust_extras *extras,
                                        const struct cert_federated *federated,
                                        const char *own_domain, struct err *err)
{
    const char *name = name_of(federated);
    if (strcmp(name, own_domain) == 0 || trust_extras_find(extras, name) != NULL) {
        err_set(err, ERR_INVALID, "trust domain '%.200s' is there twice", name);
        return NULL;
    }
    struct trust_bundle *bundle = trust_bundle_new(name, &federated->roots, err);
    if (bundle == NULL)
        err_prefix(err, "federated trust domain '%.200s'", name);
    return bundle;
}

/* Notes the first trouble only. */
static void note(struct err *err, const struct err *trouble, int *num_troubles)
{
    if ((*num_troubles)++ == 0)
        *err = *trouble;
}

static void read_bundles(struct trust_extras *extras, const struct cert_fetched *fetched,
                         const char *own_domain, const struct trust_extras *former,
                         int *num_troubles, struct err *err)
{
    for (size_t i = 0; i < fetched->num_federated; i++) {
        const struct cert_federated *federated = &fetched->federated[i];
        if (federated->roots.len == 0)
            continue; /* without roots nobody is trusted: as if it were not there */
        struct err trouble;
        struct trust_bundle *bundle = read_bundle(extras, federated, own_domain, &trouble);
        if (bundle == NULL) {
            note(err, &trouble, num_troubles);
            struct trust_bundle *kept = trust_extras_find(former, name_of(federated));
            if (kept == NULL || trust_extras_find(extras, name_of(federated)) != NULL)
                continue;
            bundle = trust_bundle_ref(kept);
        }
        if (add(extras, bundle, &trouble) < 0)
            note(err, &trouble, num_troubles);
    }
}

static int read_crls(struct trust_extras *extras, const struct cert_fetched *fetched,
                     const struct trust_extras *former, bool strict, int *num_troubles,
                     struct err *err)
{
    if (fetched->num_crls == 0)
        return 0;
    struct err trouble;
    extras->crls = crl_set_new(fetched->crls, fetched->num_crls, &trouble);
    if (extras->crls != NULL)
        return 0;
    if (former->crls == NULL && strict) {
        *err = trouble;
        return -1;
    }
    note(err, &trouble, num_troubles);
    if (former->crls != NULL)
        extras->crls = crl_set_ref(former->crls);
    else if (trouble.kind == ERR_LIMIT && fetched->num_crls > CRL_SET_MAX)
        extras->crls = crl_set_new(fetched->crls, CRL_SET_MAX, &trouble);
    return 0;
}

int trust_extras_read(struct trust_extras *extras, const struct cert_fetched *fetched,
                      const char *own_domain, const struct trust_extras *former, bool crl_strict,
                      struct err *err)
{
    int num_troubles = 0;
    *extras = (struct trust_extras){0};
    read_bundles(extras, fetched, own_domain, former, &num_troubles, err);
    if (read_crls(extras, fetched, former, crl_strict, &num_troubles, err) == 0)
        return num_troubles;
    trust_extras_done(extras);
    return -1;
}

/* ---------------------------------------------------------------------------------- merging -- */

/* As many as there is room for; returns how many there is none for, with *err about the first. */
static int merge_bundles(struct trust_extras *extras, const struct trust_extras *first,
                         const struct trust_extras *second, const char *own_domain, struct err *err)
{
    const struct trust_extras *const parts[] = {first, second};
    struct err trouble;
    int num_troubles = 0;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < parts[i]->num_bundles; j++) {
            struct trust_bundle *bundle = parts[i]->bundles[j];
            const char *name = trust_bundle_trust_domain(bundle);
            if (strcmp(name, own_domain) != 0 && trust_extras_find(extras, name) == NULL &&
                add(extras, trust_bundle_ref(bundle), &trouble) < 0)
                note(err, &trouble, &num_troubles);
        }
    }
    return num_troubles;
}

static int merge_crls(struct trust_extras *extras, const struct trust_extras *first,
                      const struct trust_extras *second, struct err *err)
{
    if (first->crls == NULL && second->crls == NULL)
        return 0;
    extras->crls = crl_set_merge(first->crls, second->crls, err);
    return extras->crls == NULL ? -1 : 0;
}

int trust_extras_merge(struct trust_extras *extras, const struct trust_extras *first,
                       const struct trust_extras *second, const char *own_domain, struct err *err)
{
    *extras = (struct trust_extras){0};
    if (merge_bundles(extras, first, second, own_domain, err) == 0 &&
        merge_crls(extras, first, second, err) == 0)
        return 0;
    trust_extras_done(extras);
    return -1;
}

/* In place of lists that are too many. */
static struct crl_set *find_crls(const struct trust_extras *first,
                                 const struct trust_extras *second, struct crl_set *former,
                                 bool strict, struct err *err)
{
    if (former != NULL)
        return crl_set_ref(former);
    return strict ? NULL : crl_set_merge_fitting(first->crls, second->crls, err);
}

int trust_extras_merge_fitting(struct trust_extras *extras, const struct trust_extras *first,
                               const struct trust_extras *second, const char *own_domain,
                               struct crl_set *former_crls, bool crl_strict, struct err *err)
{
    struct err trouble;
    *extras = (struct trust_extras){0};
    int num_troubles = merge_bundles(extras, first, second, own_domain, err);
    if (merge_crls(extras, first, second, &trouble) == 0)
        return num_troubles;
    note(err, &trouble, &num_troubles);
    if (trouble.kind == ERR_LIMIT)
        extras->crls = find_crls(first, second, former_crls, crl_strict, &trouble);
    if (extras->crls != NULL)
        return num_troubles;
    *err = trouble;
    trust_extras_done(extras);
    return -1;
}
