/*
 * Certificate signing requests as the embedded CA reads them. What passes is a key that it accepts,
 * and with names, if they are read too, names that nobody is allowed by empty lists.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "ca_key.h"
#include "ca_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void read_names(const uint8_t *bytes, size_t len)
{
    static const struct ca_name_rules NOTHING = {.allowed = {"", "", "", "", ""}};
    struct err err = {0};
    struct ca_request request;
    if (ca_request_read((const char *)bytes, len, &request, &err) < 0) {
        assert(err.message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < request.num_names; i++) {
        assert(request.names[i].text[0] != '\0');
        assert(!ca_name_is_allowed(&NOTHING, &request.names[i]));
    }
    if (request.common_name.text != NULL)
        assert(!ca_name_is_allowed_cn(&NOTHING, request.common_name.text, NULL));
    ca_request_done(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct err err = {0};
    read_names(bytes, len);
    EVP_PKEY *key = ca_request_read_key((const char *)bytes, len, &err);
    if (key == NULL) {
        assert(err.message[0] != '\0');
        return 0;
    }
    assert(ca_key_check(key, &err) == 0);
    EVP_PKEY_free(key);
    return 0;
}
