#include "peer_cert.h"

#include <openssl/pool.h>
#include <stdlib.h>
#include <string.h>

#include "x509_svid.h"

/* NULL when out of memory. */
static STACK_OF(CRYPTO_BUFFER) *copy_chain(const struct peer_cert_check *check)
{
    STACK_OF(CRYPTO_BUFFER) *chain = sk_CRYPTO_BUFFER_new_null();
    if (chain == NULL)
        return NULL;
    /* One more than allowed is enough to be refused for it. */
    for (size_t i = 0; i < check->num_certs && i <= CERT_CHAIN_MAX; i++) {
        CRYPTO_BUFFER *der = CRYPTO_BUFFER_new(check->chain[i].bytes, check->chain[i].len, NULL);
        if (der == NULL || sk_CRYPTO_BUFFER_push(chain, der) == 0) {
            CRYPTO_BUFFER_free(der);
            sk_CRYPTO_BUFFER_pop_free(chain, CRYPTO_BUFFER_free);
            return NULL;
        }
    }
    return chain;
}

static struct peer_cert *out_of_memory(enum reason *reason, struct err *err)
{
    err_set(err, ERR_NOMEM, "out of memory");
    *reason = REASON_NO_MEMORY;
    return NULL;
}

static struct peer_cert *from_facts(const struct x509_svid_facts *facts)
{
    struct peer_cert *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    refcount_init(&peer->refs);
    peer->id = facts->id;
    peer->not_before_ms = facts->not_before_ms;
    peer->not_after_ms = facts->not_after_ms;
    memcpy(peer->serial, facts->serial, sizeof(peer->serial));
    memcpy(peer->fingerprint, facts->fingerprint, sizeof(peer->fingerprint));
    return peer;
}

struct peer_cert *peer_cert_verify(const struct peer_cert_check *check, enum reason *reason,
                                   struct err *err)
{
    struct err unwanted;
    if (err == NULL)
        err = &unwanted;
    STACK_OF(CRYPTO_BUFFER) *chain = copy_chain(check);
    if (chain == NULL)
        return out_of_memory(reason, err);
    const struct x509_svid_check svid_check = {
        .chain = chain,
        .bundles = check->bundles,
        .num_bundles = check->num_bundles,
        .rules = &check->rules,
        .now_ms = check->now_ms,
    };
    struct x509_svid_facts facts;
    int result = x509_svid_verify(&svid_check, &facts, reason, err);
    sk_CRYPTO_BUFFER_pop_free(chain, CRYPTO_BUFFER_free);
    if (result < 0)
        return NULL;
    struct peer_cert *peer = from_facts(&facts);
    if (peer == NULL) {
        spiffe_id_done(&facts.id);
        return out_of_memory(reason, err);
    }
    return peer;
}

struct peer_cert *peer_cert_ref(struct peer_cert *peer)
{
    refcount_get(&peer->refs);
    return peer;
}

void peer_cert_unref(struct peer_cert *peer)
{
    if (peer == NULL || !refcount_put(&peer->refs))
        return;
    spiffe_id_done(&peer->id);
    free(peer);
}
