#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* However the bytes are cut, they mean the same; and what is read keeps its promises. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct client_hello whole, cut;
    client_hello_init(&whole);
    client_hello_init(&cut);
    client_hello_feed(&whole, bytes, len);
    for (size_t at = 0; at < len; at++)
        client_hello_feed(&cut, bytes + at, 1);
    assert(whole.status == cut.status);
    assert(whole.status != CLIENT_HELLO_DONE || whole.fed_len == cut.fed_len);
    assert((whole.status == CLIENT_HELLO_BAD) == (whole.problem != NULL));
    assert(whole.status != CLIENT_HELLO_MORE || len <= CLIENT_HELLO_MAX);
    if (whole.status == CLIENT_HELLO_DONE) {
        const char *sni = client_hello_sni(&whole);
        assert(strcmp(sni, client_hello_sni(&cut)) == 0);
        assert(strspn(sni, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(sni));
        assert(client_hello_offers_alpn(&whole, "istio") ==
               client_hello_offers_alpn(&cut, "istio"));
        for (uint16_t version = 0x0301; version <= 0x0304; version++)
            assert(client_hello_offers_version(&whole, version) ==
                   client_hello_offers_version(&cut, version));
        assert(client_hello_has_alpn(&whole) || !client_hello_offers_alpn(&whole, "istio"));
    }
    client_hello_done(&whole);
    client_hello_done(&cut);
    return 0;
}
