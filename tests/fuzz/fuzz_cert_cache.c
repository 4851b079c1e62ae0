/* The file in which an agent keeps its certificate, as whoever could write to its disk may leave it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct cert_fetched *fetched)
{
    struct err err;
    assert(fetched->key.len > 0 && fetched->chain.len > 0 && fetched->roots.len > 0);
    svid_unref(svid_new(&fetched->key, &fetched->chain, &err));
    trust_bundle_unref(trust_bundle_new("td", &fetched->roots, &err));
    for (size_t i = 0; i < fetched->num_federated; i++)
        trust_bundle_unref(trust_bundle_new(fetched->federated[i].trust_domain,
                                            &fetched->federated[i].roots, &err));
    crl_set_unref(crl_set_new(fetched->crls, fetched->num_crls, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct cert_cached *cached = cert_cache_parse(data, size, &err);
    if (cached == NULL) {
        assert(err.kind != ERR_NONE);
        return 0;
    }
    look(cert_cached_fetched(cached));
    cert_cached_free(cached);
    return 0;
}
