#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spiffe_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/*
 * What is accepted must be exactly the input, must be accepted again, and must be the sum of its
 * parts.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct spiffe_id id, again;
    struct err err;
    if (spiffe_id_parse(&id, (const char *)bytes, len, &err) < 0) {
        assert(id.uri == NULL);
        return 0;
    }
    assert(len <= SPIFFE_ID_MAX && strlen(id.uri) == len && memcmp(id.uri, bytes, len) == 0);
    assert(strlen(id.trust_domain) + strlen(id.path) == strlen(id.principal));
    if (id.ns != NULL) {
        assert(spiffe_id_format(&again, id.trust_domain, id.ns, id.sa, &err) == 0);
        assert(spiffe_id_equal(&id, &again));
        spiffe_id_done(&again);
    }
    spiffe_id_done(&id);
    return 0;
}
