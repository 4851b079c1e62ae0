#include "rotation_trust.h"

#include <stdlib.h>
#include <string.h>

#include "rotation.h"

int rotation_trust_init(struct rotation_trust *trust, const char *const *aliases,
                        size_t num_aliases, bool crl_strict, struct err *err)
{
    *trust = (struct rotation_trust){.crl_strict = crl_strict};
    trust->aliases = calloc(num_aliases + 1, sizeof(char *));
    for (size_t i = 0; trust->aliases != NULL && i < num_aliases; i++) {
        trust->aliases[i] = strdup(aliases[i]);
        if (trust->aliases[i] == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        trust->num_aliases++;
    }
    return trust->aliases == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

void rotation_trust_done(struct rotation_trust *trust)
{
    trust_bundle_unref(trust->roots);
    trust_bundle_unref(trust->overlap.former);
    trust_extras_done(&trust->brought);
    trust_extras_done(&trust->set);
    crl_set_unref(trust->crls);
    for (size_t i = 0; i < trust->num_aliases; i++)
        free(trust->aliases[i]);
    free(trust->aliases);
    *trust = (struct rotation_trust){0};
}

struct rotation_overlap rotation_trust_overlap(const struct rotation_trust *trust,
                                               const struct trust_bundle *roots,
                                               int64_t held_until_ms, int64_t now_ms)
{
    struct rotation_overlap overlap = trust->overlap;
    if (trust->roots != NULL && !trust_bundle_is_same(trust->roots, roots)) {
        int64_t at_most_ms = now_ms + ROTATION_OVERLAP_MAX_MS;
        overlap.former = trust->roots;
        overlap.until_ms = held_until_ms < at_most_ms ? held_until_ms : at_most_ms;
    }
    if (now_ms >= overlap.until_ms)
        overlap = (struct rotation_overlap){0};
    return overlap;
}

void rotation_trust_set_roots(struct rotation_trust *trust, struct trust_bundle *roots,
                              const struct rotation_overlap *overlap)
{
    struct trust_bundle *old_roots = trust->roots;
    struct trust_bundle *old_former = trust->overlap.former;
    trust->roots = trust_bundle_ref(roots);
    trust->overlap = *overlap;
    if (overlap->former != NULL)
        trust_bundle_ref(overlap->former);
    trust_bundle_unref(old_roots);
    trust_bundle_unref(old_former);
}

void rotation_trust_set_crls(struct rotation_trust *trust, struct crl_set *crls)
{
    struct crl_set *old_crls = trust->crls;
    trust->crls = crls == NULL ? NULL : crl_set_ref(crls);
    crl_set_unref(old_crls);
}

static bool is_alias(const struct rotation_trust *trust, const struct trust_bundle *bundle)
{
    for (size_t i = 0; i < trust->num_aliases; i++)
        if (strcmp(trust->aliases[i], trust_bundle_trust_domain(bundle)) == 0)
            return true;
    return false;
}

static struct identity *make_with(const struct rotation_trust *rotation, struct svid *svid,
                                  struct trust_bundle *own, const struct trust_extras *extras,
                                  uint64_t epoch, struct err *err)
{
    struct trust_bundle *bundles[1 + TRUST_EXTRAS_MAX] = {own};
    size_t num_bundles = 1;
    for (size_t i = 0; i < extras->num_bundles; i++)
        if (!is_alias(rotation, extras->bundles[i]))
            bundles[num_bundles++] = extras->bundles[i];
    const struct trust trust = {
        .bundles = bundles,
        .num_bundles = num_bundles,
        .aliases = (const char *const *)rotation->aliases,
        .num_aliases = rotation->num_aliases,
        .crls = extras->crls,
        .crl_strict = rotation->crl_strict,
    };
    return identity_new(svid, &trust, epoch, err);
}

static int merge_extras(const struct rotation_trust *trust, const struct trust_extras *brought,
                        const char *own_domain, struct trust_extras *extras, struct err *trouble,
                        struct err *err)
{
    static const char WHERE[] = "what files and the source of certificates bring together";
    if (trouble == NULL)
        return trust_extras_merge(extras, &trust->set, brought, own_domain, err) < 0
                   ? err_prefix(err, "%s", WHERE)
                   : 0;
    struct err why;
    int result = trust_extras_merge_fitting(extras, &trust->set, brought, own_domain, trust->crls,
                                            trust->crl_strict, &why);
    if (result > 0) {
        *trouble = why;
        err_prefix(trouble, "not used in full is %s", WHERE);
    } else if (result < 0) {
        *err = why;
        err_prefix(err, "%s", WHERE);
    }
    return result < 0 ? -1 : 0;
}

struct identity *rotation_trust_make_identity(const struct rotation_trust *trust,
                                              const struct rotation_parts *parts, uint64_t epoch,
                                              int64_t now_ms, struct err *trouble, struct err *err)
{
    struct trust_bundle *former = parts->overlap->former;
    struct trust_extras extras;
    if (merge_extras(trust, parts->brought, svid_id(parts->svid)->trust_domain, &extras, trouble,
                     err) < 0)
        return NULL;
    struct trust_bundle *own = former == NULL
                                   ? trust_bundle_ref(parts->roots)
                                   : trust_bundle_merge(parts->roots, former, now_ms, err);
    struct identity *identity =
        own == NULL ? NULL : make_with(trust, parts->svid, own, &extras, epoch, err);
    trust_bundle_unref(own);
    trust_extras_done(&extras);
    return identity;
}
