#include "trust.h"

#include <string.h>

struct trust_bundle *trust_find_bundle(const struct trust *trust, const char *trust_domain)
{
    for (size_t i = 0; i < trust->num_bundles; i++)
        if (strcmp(trust_bundle_trust_domain(trust->bundles[i]), trust_domain) == 0)
            return trust->bundles[i];
    for (size_t i = 0; i < trust->num_aliases && trust->num_bundles > 0; i++)
        if (strcmp(trust->aliases[i], trust_domain) == 0)
            return trust->bundles[0];
    return NULL;
}

bool trust_is_own_domain(const struct trust *trust, const char *trust_domain)
{
    return trust->num_bundles > 0 && trust_find_bundle(trust, trust_domain) == trust->bundles[0];
}

static const char SCHEME[] = "spiffe://";

/* The path of a SPIFFE ID if it is of our own trust domain, else NULL. */
static const char *own_path(const struct trust *trust, const char *uri)
{
    if (strncmp(uri, SCHEME, sizeof(SCHEME) - 1) != 0)
        return NULL;
    const char *domain = uri + sizeof(SCHEME) - 1;
    size_t len = strcspn(domain, "/");
    const char *own = trust_bundle_trust_domain(trust->bundles[0]);
    bool found = strlen(own) == len && memcmp(own, domain, len) == 0;
    for (size_t i = 0; i < trust->num_aliases && !found; i++)
        found = strlen(trust->aliases[i]) == len && memcmp(trust->aliases[i], domain, len) == 0;
    return found ? domain + len : NULL;
}

bool trust_is_same_id(const struct trust *trust, const char *uri, const char *other_uri)
{
    if (strcmp(uri, other_uri) == 0)
        return true;
    if (trust->num_aliases == 0 || trust->num_bundles == 0)
        return false;
    const char *path = own_path(trust, uri);
    const char *other_path = own_path(trust, other_uri);
    return path != NULL && other_path != NULL && strcmp(path, other_path) == 0;
}

static bool has_aliases_of(const struct trust *whole, const struct trust *part)
{
    for (size_t i = 0; i < part->num_aliases; i++) {
        bool found = false;
        for (size_t j = 0; j < whole->num_aliases && !found; j++)
            found = strcmp(whole->aliases[j], part->aliases[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool has_bundles_of(const struct trust *whole, const struct trust *part)
{
    for (size_t i = 0; i < part->num_bundles; i++) {
        const struct trust_bundle *wanted = part->bundles[i];
        const struct trust_bundle *found =
            trust_find_bundle(whole, trust_bundle_trust_domain(wanted));
        if (found == NULL || !trust_bundle_is_same(found, wanted))
            return false;
    }
    return true;
}

bool trust_is_same(const struct trust *a, const struct trust *b)
{
    return a->num_bundles == b->num_bundles && a->num_aliases == b->num_aliases &&
           a->crl_strict == b->crl_strict && has_bundles_of(a, b) && has_aliases_of(a, b) &&
           has_aliases_of(b, a) && crl_set_is_same(a->crls, b->crls);
}
