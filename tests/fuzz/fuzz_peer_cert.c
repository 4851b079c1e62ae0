#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fuzz_peer_cert_root.h"
#include "peer_cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { NUM_CERTS_MAX = CERT_CHAIN_MAX + 2 };

/* In the validity of the corpus' certificates. */
static const int64_t NOW_MS = 1800000000000;

/* The input: certificates, each after its length in two bytes. */
static size_t split(const uint8_t *bytes, size_t len, struct peer_cert_der *ders)
{
    size_t num = 0;
    while (len >= 2 && num < NUM_CERTS_MAX) {
        size_t der_len = (size_t)bytes[0] << 8 | bytes[1];
        bytes += 2;
        len -= 2;
        if (der_len > len)
            der_len = len;
        ders[num++] = (struct peer_cert_der){bytes, der_len};
        bytes += der_len;
        len -= der_len;
    }
    return num;
}

/* Whoever is accepted has a valid SPIFFE ID of our trust domain; whoever is not, a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct trust_bundle *bundle;
    if (bundle == NULL)
        bundle = trust_bundle_new_pem("td", FUZZ_ROOT_PEM, strlen(FUZZ_ROOT_PEM), NULL);
    assert(bundle != NULL);

    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct peer_cert_der ders[NUM_CERTS_MAX];
    const struct peer_cert_check check = {
        .chain = ders,
        .num_certs = split(bytes, len, ders),
        .trust = &trust,
        .rules = {.legacy_key_usage = len % 3 == 0},
        .now_ms = NOW_MS,
    };
    enum reason reason = REASON_DONE;
    struct err err = {0};
    struct peer_cert *peer = peer_cert_verify(&check, &reason, &err);
    if (peer == NULL) {
        assert(reason != REASON_DONE && err.message[0] != '\0');
        return 0;
    }
    assert(strcmp(peer->id.trust_domain, "td") == 0 && peer->id.path[0] == '/');
    assert(peer->not_before_ms <= NOW_MS && NOW_MS < peer->not_after_ms + 1000);
    peer_cert_unref(peer);
    return 0;
}
