#include "peer_cert.h"

#include <openssl/pool.h>
#include <stdlib.h>
#include <string.h>

#include "x509_pki.h"
#include "x509_svid.h"

struct peer_cert_chain {
    STACK_OF(CRYPTO_BUFFER) *ders; /* leaf first */
    char *principal;               /* unless it is that of the SPIFFE ID */
    char *common_name;
};

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

/* Without names yet; takes the chain. NULL: out of memory, and it is not taken. */
static struct peer_cert *peer_new(STACK_OF(CRYPTO_BUFFER) *chain)
{
    struct peer_cert *peer = calloc(1, sizeof(*peer));
    struct peer_cert_chain *kept = calloc(1, sizeof(*kept));
    if (peer == NULL || kept == NULL) {
        free(peer);
        free(kept);
        return NULL;
    }
    refcount_init(&peer->refs);
    kept->ders = chain;
    peer->chain = kept;
    return peer;
}

/* Both take what `facts` and `chain` own. NULL: out of memory, and nothing is taken. */
static struct peer_cert *from_svid(const struct x509_svid_facts *facts,
                                   STACK_OF(CRYPTO_BUFFER) *chain)
{
    struct peer_cert *peer = peer_new(chain);
    if (peer == NULL)
        return NULL;
    peer->kind = PRINCIPAL_URI;
    peer->id = facts->id;
    peer->principal = peer->id.principal;
    peer->not_before_ms = facts->not_before_ms;
    peer->not_after_ms = facts->not_after_ms;
    memcpy(peer->serial, facts->serial, sizeof(peer->serial));
    memcpy(peer->fingerprint, facts->fingerprint, sizeof(peer->fingerprint));
    return peer;
}

static int name_peer(struct peer_cert *peer, const struct x509_pki_facts *facts)
{
    const struct x509_principal *principal = &facts->principal;
    struct peer_cert_chain *chain = peer->chain;
    if (facts->common_name[0] != '\0') {
        chain->common_name = strdup(facts->common_name);
        if (chain->common_name == NULL)
            return -1;
        peer->common_name = chain->common_name;
    }
    peer->kind = principal->kind;
    if (principal->kind == PRINCIPAL_URI) {
        peer->id = principal->id;
        peer->principal = peer->id.principal;
        return 0;
    }
    chain->principal = strdup(principal->text);
    peer->principal = chain->principal;
    return chain->principal == NULL ? -1 : 0;
}

static struct peer_cert *from_pki(const struct x509_pki_facts *facts,
                                  STACK_OF(CRYPTO_BUFFER) *chain)
{
    struct peer_cert *peer = peer_new(chain);
    if (peer == NULL)
        return NULL;
    if (name_peer(peer, facts) < 0) {
        peer->chain->ders = NULL; /* still the caller's */
        peer_cert_unref(peer);
        return NULL;
    }
    peer->not_before_ms = facts->not_before_ms;
    peer->not_after_ms = facts->not_after_ms;
    memcpy(peer->serial, facts->serial, sizeof(peer->serial));
    memcpy(peer->fingerprint, facts->fingerprint, sizeof(peer->fingerprint));
    return peer;
}

/* Both take `chain` on success. */
static struct peer_cert *verify_svid(const struct peer_cert_check *check,
                                     STACK_OF(CRYPTO_BUFFER) *chain, enum reason *reason,
                                     struct err *err)
{
    const struct x509_svid_check svid_check = {
        .chain = chain,
        .trust = check->trust,
        .rules = &check->rules,
        .now_ms = check->now_ms,
    };
    struct x509_svid_facts facts;
    if (x509_svid_verify(&svid_check, &facts, reason, err) < 0)
        return NULL;
    struct peer_cert *peer = from_svid(&facts, chain);
    if (peer != NULL)
        return peer;
    spiffe_id_done(&facts.id);
    return out_of_memory(reason, err);
}

static struct peer_cert *verify_pki(const struct peer_cert_check *check,
                                    STACK_OF(CRYPTO_BUFFER) *chain, enum reason *reason,
                                    struct err *err)
{
    const struct x509_pki_check pki_check = {
        .chain = chain,
        .pki = check->pki,
        .trust = check->trust,
        .now_ms = check->now_ms,
    };
    struct x509_pki_facts facts;
    if (x509_pki_verify(&pki_check, &facts, reason, err) < 0)
        return NULL;
    struct peer_cert *peer = from_pki(&facts, chain);
    if (peer != NULL)
        return peer;
    spiffe_id_done(&facts.principal.id);
    return out_of_memory(reason, err);
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
    struct peer_cert *peer = check->pki == NULL ? verify_svid(check, chain, reason, err)
                                                : verify_pki(check, chain, reason, err);
    if (peer == NULL)
        sk_CRYPTO_BUFFER_pop_free(chain, CRYPTO_BUFFER_free);
    return peer;
}

/* ------------------------------------------------------------------------------- again, later -- */

enum reason peer_cert_recheck_time(const struct peer_cert *peer, int64_t now_ms, int64_t grace_ms,
                                   struct err *err)
{
    /* notAfter has whole seconds and is itself still inside. */
    int64_t late_ms = now_ms - (peer->not_after_ms + 1000);
    if (late_ms < grace_ms)
        return REASON_DONE;
    err_set(err, ERR_TLS,
            "the certificate of '%.160s' expired %lld s ago while connected; more than the %lld s "
            "of peer-expiry-grace",
            peer_cert_name(peer), (long long)(late_ms / 1000), (long long)(grace_ms / 1000));
    return REASON_CERT_EXPIRED;
}

/*
 * The moment nearest to now at which the path was valid when it was verified. A path that has ended
 * may not be the only one: a root that is renewed keeps its name and its key, and the former one
 * ends first. Whether there is another is judged by the time of now.
 */
static int64_t clamp_to_validity(const struct peer_cert *peer, int64_t now_ms)
{
    if (now_ms < peer->not_before_ms)
        return peer->not_before_ms;
    return now_ms > peer->not_after_ms ? peer->not_after_ms : now_ms;
}

enum reason peer_cert_recheck(const struct peer_cert *peer, const struct trust *trust,
                              const struct cert_rules *rules, int64_t now_ms, int64_t grace_ms,
                              struct err *err)
{
    enum reason late = peer_cert_recheck_time(peer, now_ms, grace_ms, err), reason;
    struct err why;
    struct trust mild = *trust;
    mild.crl_strict = false;
    const struct x509_svid_check check = {
        .chain = peer->chain->ders,
        .trust = &mild,
        .rules = rules,
        .now_ms = late == REASON_DONE ? clamp_to_validity(peer, now_ms) : now_ms,
    };
    struct x509_svid_facts facts;
    if (x509_svid_verify(&check, &facts, &reason, &why) < 0) {
        if (late != REASON_DONE)
            return late;
        if (err != NULL)
            *err = why;
        return reason;
    }
    spiffe_id_done(&facts.id);
    return REASON_DONE;
}

enum reason peer_cert_recheck_pki(const struct peer_cert *peer, const struct trust *trust,
                                  const struct pki *pki, int64_t now_ms, int64_t grace_ms,
                                  struct err *err)
{
    enum reason late = peer_cert_recheck_time(peer, now_ms, grace_ms, err), reason;
    struct err why;
    struct trust mild = *trust;
    mild.crl_strict = false;
    const struct x509_pki_check check = {
        .chain = peer->chain->ders,
        .pki = pki,
        .trust = &mild,
        .now_ms = late == REASON_DONE ? clamp_to_validity(peer, now_ms) : now_ms,
    };
    struct x509_pki_facts facts;
    if (x509_pki_verify(&check, &facts, &reason, &why) < 0) {
        if (late != REASON_DONE)
            return late;
        if (err != NULL)
            *err = why;
        return reason;
    }
    const struct x509_principal *principal = &facts.principal;
    const char *now = principal->kind == PRINCIPAL_URI ? principal->id.principal : principal->text;
    reason = strcmp(now, peer->principal) == 0 ? REASON_DONE : REASON_IDENTITY_MISMATCH;
    if (reason != REASON_DONE)
        err_set(err, ERR_TLS, "'%.160s' is called '%.160s' by the rules of now", peer->principal,
                now);
    spiffe_id_done(&facts.principal.id);
    return reason;
}

struct peer_cert *peer_cert_verify_again(const struct peer_cert *peer,
                                         const struct peer_cert_check *by)
{
    enum reason reason;
    struct trust mild = *by->trust;
    mild.crl_strict = false;
    struct peer_cert_der ders[CERT_CHAIN_MAX];
    struct peer_cert_check check = *by;
    check.trust = &mild;
    check.chain = ders;
    check.num_certs = sk_CRYPTO_BUFFER_num(peer->chain->ders);
    for (size_t i = 0; i < check.num_certs; i++) {
        const CRYPTO_BUFFER *der = sk_CRYPTO_BUFFER_value(peer->chain->ders, i);
        ders[i] = (struct peer_cert_der){CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der)};
    }
    struct peer_cert *again = peer_cert_verify(&check, &reason, NULL);
    if (again == NULL || strcmp(again->principal, peer->principal) == 0)
        return again;
    peer_cert_unref(again);
    return NULL;
}

const char *peer_cert_name(const struct peer_cert *peer)
{
    return peer->kind == PRINCIPAL_URI ? peer->id.uri : peer->principal;
}

/* ----------------------------------------------------------------------------------- sharing -- */

struct peer_cert *peer_cert_ref(struct peer_cert *peer)
{
    refcount_get(&peer->refs);
    return peer;
}

void peer_cert_unref(struct peer_cert *peer)
{
    if (peer == NULL || !refcount_put(&peer->refs))
        return;
    sk_CRYPTO_BUFFER_pop_free(peer->chain->ders, CRYPTO_BUFFER_free);
    free(peer->chain->principal);
    free(peer->chain->common_name);
    free(peer->chain);
    spiffe_id_done(&peer->id);
    free(peer);
}
