#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "crl_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The first byte says how the rest is written. What is read describes itself within its bounds. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    const struct cert_bytes text = {bytes + 1, len - 1, bytes[0] == 'P' ? CERT_PEM : CERT_DER};
    struct err err = {0};
    struct crl_set *set = crl_set_new(&text, 1, &err);
    if (set == NULL) {
        assert(err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < crl_set_num(set); i++) {
        struct crl_info info;
        crl_set_info(set, i, &info);
        assert(info.num_revoked <= len);
    }
    struct crl_set *twice = crl_set_merge(set, set, &err);
    assert(twice == NULL || crl_set_is_same(set, twice));
    crl_set_unref(twice);
    crl_set_unref(set);
    return 0;
}
