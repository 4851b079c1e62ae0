#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "trust_bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/*
 * A bundle that is accepted has roots, contains itself, and grows by nothing when merged with
 * itself.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct err err;
    struct trust_bundle *bundle = trust_bundle_new_pem("td", (const char *)bytes, len, &err);
    if (bundle == NULL) {
        assert(err.message[0] != '\0');
        return 0;
    }
    assert(trust_bundle_num_roots(bundle) > 0);
    assert(trust_bundle_num_roots(bundle) <= TRUST_BUNDLE_ROOTS_MAX);
    struct trust_bundle *merged = trust_bundle_merge(bundle, bundle, INT64_MIN, &err);
    assert(merged == bundle);
    trust_bundle_unref(merged);
    trust_bundle_unref(bundle);
    return 0;
}
