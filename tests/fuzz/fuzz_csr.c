/* Certificate signing requests as the embedded CA reads them. What passes is a key that it accepts. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "ca_key.h"
#include "ca_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct err err = {0};
    EVP_PKEY *key = ca_request_read_key((const char *)bytes, len, &err);
    if (key == NULL) {
        assert(err.message[0] != '\0');
        return 0;
    }
    assert(ca_key_check(key, &err) == 0);
    EVP_PKEY_free(key);
    return 0;
}
