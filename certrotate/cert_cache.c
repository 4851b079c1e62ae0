#include "cert_cache.h"

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "svid_key.h"

/*
 * The file: MAGIC, then records, of which the last is of kind END. A record is its kind (one byte), a
 * name (one byte of length), and bytes (three bytes of length, in network order).
 */
static const char FILE_NAME[] = "certificate";
static const char MAGIC[] = "remora certificate 1\n";

enum record_kind {
    RECORD_END,
    RECORD_KEY,       /* PKCS#8 */
    RECORD_CHAIN,     /* concatenated DER, like all that follow */
    RECORD_ROOTS,     /* of our trust domain */
    RECORD_FEDERATED, /* its name is the trust domain's */
    RECORD_CRL,
};

enum { NAME_MAX_LEN = 255 };

struct cert_cached {
    uint8_t *bytes;
    size_t len;
    struct cert_fetched fetched; /* points into the bytes */
    struct cert_federated federated[TRUST_EXTRAS_MAX];
    char names[TRUST_EXTRAS_MAX][NAME_MAX_LEN + 1];
    struct cert_bytes crls[CRL_SET_MAX];
};

/* ----------------------------------------------------------------------------------- writing -- */

/* Begins a record, whose bytes are then added to *body. */
static bool begin(CBB *out, enum record_kind kind, const char *name, CBB *body)
{
    CBB text;
    return CBB_add_u8(out, (uint8_t)kind) && CBB_add_u8_length_prefixed(out, &text) &&
           CBB_add_bytes(&text, (const uint8_t *)name, strlen(name)) &&
           CBB_add_u24_length_prefixed(out, body);
}

static bool add_key(CBB *out, const struct svid *svid)
{
    CBB body;
    return begin(out, RECORD_KEY, "", &body) &&
           EVP_marshal_private_key(&body, svid_key_get(svid)) && CBB_flush(out);
}

static bool add_chain(CBB *out, const struct svid *svid)
{
    CBB body;
    if (!begin(out, RECORD_CHAIN, "", &body))
        return false;
    for (size_t i = 0; i < svid_num_certs(svid); i++) {
        size_t len;
        const uint8_t *der = svid_der(svid, i, &len);
        if (!CBB_add_bytes(&body, der, len))
            return false;
    }
    return CBB_flush(out);
}

static bool add_bundle(CBB *out, enum record_kind kind, const struct trust_bundle *bundle)
{
    CBB body;
    if (!begin(out, kind, trust_bundle_trust_domain(bundle), &body))
        return false;
    for (size_t i = 0; i < trust_bundle_num_roots(bundle); i++) {
        size_t len;
        const uint8_t *der = trust_bundle_der(bundle, i, &len);
        if (!CBB_add_bytes(&body, der, len))
            return false;
    }
    return CBB_flush(out);
}

static bool add_extras(CBB *out, const struct trust_extras *extras)
{
    for (size_t i = 0; i < extras->num_bundles; i++)
        if (!add_bundle(out, RECORD_FEDERATED, extras->bundles[i]))
            return false;
    for (size_t i = 0; i < crl_set_num(extras->crls); i++) {
        CBB body;
        size_t len;
        const uint8_t *der = crl_set_der(extras->crls, i, &len);
        if (!begin(out, RECORD_CRL, "", &body) || !CBB_add_bytes(&body, der, len) ||
            !CBB_flush(out))
            return false;
    }
    return true;
}

static bool add_all(CBB *out, const struct identity *identity, const struct trust_extras *brought)
{
    const struct svid *svid = identity_svid(identity);
    CBB end;
    return CBB_add_bytes(out, (const uint8_t *)MAGIC, sizeof(MAGIC) - 1) && add_key(out, svid) &&
           add_chain(out, svid) &&
           add_bundle(out, RECORD_ROOTS, identity_trust(identity)->bundles[0]) &&
           add_extras(out, brought) && begin(out, RECORD_END, "", &end) && CBB_flush(out);
}

int cert_cache_write(struct private_dir *dir, const struct identity *identity,
                     const struct trust_extras *brought, struct err *err)
{
    static const struct private_file_rights OURS = {.mode = 0600};
    CBB out;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int result = -1;
    if (!CBB_init(&out, 4096) || !add_all(&out, identity, brought) ||
        !CBB_finish(&out, &bytes, &len)) {
        CBB_cleanup(&out);
        err_set(err, ERR_LIMIT, "certificate cache: out of memory, or a list of over 16 MiB");
    } else if (len > CERT_CACHE_MAX) {
        err_set(err, ERR_LIMIT, "certificate cache: it would have more than %d bytes",
                CERT_CACHE_MAX);
    } else {
        result = private_file_write(dir, FILE_NAME, &OURS, bytes, len, err);
    }
    OPENSSL_free(bytes); /* BoringSSL clears all memory that it frees */
    ERR_clear_error();
    return result;
}

/* ----------------------------------------------------------------------------------- reading -- */

static struct cert_bytes der_of(const CBS *bytes)
{
    return (struct cert_bytes){
        .bytes = CBS_data(bytes), .len = CBS_len(bytes), .encoding = CERT_DER};
}

static bool set_once(struct cert_bytes *to, const CBS *bytes)
{
    if (to->bytes != NULL || CBS_len(bytes) == 0)
        return false;
    *to = der_of(bytes);
    return true;
}

static bool take_federated(struct cert_cached *cached, const CBS *name, const CBS *bytes)
{
    size_t num = cached->fetched.num_federated;
    if (num == TRUST_EXTRAS_MAX || CBS_contains_zero_byte(name) || CBS_len(bytes) == 0)
        return false;
    memcpy(cached->names[num], CBS_data(name), CBS_len(name));
    cached->federated[num] =
        (struct cert_federated){.trust_domain = cached->names[num], .roots = der_of(bytes)};
    cached->fetched.num_federated++;
    return true;
}

static bool take_crl(struct cert_cached *cached, const CBS *bytes)
{
    if (cached->fetched.num_crls == CRL_SET_MAX)
        return false;
    cached->crls[cached->fetched.num_crls++] = der_of(bytes);
    return true;
}

static bool take_record(struct cert_cached *cached, uint8_t kind, const CBS *name, const CBS *bytes)
{
    switch (kind) {
    case RECORD_KEY:
        return set_once(&cached->fetched.key, bytes);
    case RECORD_CHAIN:
        return set_once(&cached->fetched.chain, bytes);
    case RECORD_ROOTS:
        return set_once(&cached->fetched.roots, bytes);
    case RECORD_FEDERATED:
        return take_federated(cached, name, bytes);
    case RECORD_CRL:
        return take_crl(cached, bytes);
    default:
        return false;
    }
}

/* True when all of it is as it was written. */
static bool take_records(struct cert_cached *cached)
{
    CBS rest, name, bytes;
    uint8_t kind;
    CBS_init(&rest, cached->bytes, cached->len);
    if (!CBS_get_bytes(&rest, &bytes, sizeof(MAGIC) - 1) ||
        !CBS_mem_equal(&bytes, (const uint8_t *)MAGIC, sizeof(MAGIC) - 1))
        return false;
    for (;;) {
        if (!CBS_get_u8(&rest, &kind) || !CBS_get_u8_length_prefixed(&rest, &name) ||
            !CBS_get_u24_length_prefixed(&rest, &bytes))
            return false;
        if (kind == RECORD_END)
            break;
        if (!take_record(cached, kind, &name, &bytes))
            return false;
    }
    const struct cert_fetched *fetched = &cached->fetched;
    return CBS_len(&rest) == 0 && fetched->key.bytes != NULL && fetched->chain.bytes != NULL &&
           fetched->roots.bytes != NULL;
}

/* Takes `bytes`, also on failure. */
static struct cert_cached *read_taken(uint8_t *bytes, size_t len, struct err *err)
{
    struct cert_cached *cached = calloc(1, sizeof(*cached));
    if (cached == NULL) {
        private_file_free(bytes, len);
        err_set(err, ERR_NOMEM, "certificate cache: out of memory");
        return NULL;
    }
    cached->bytes = bytes;
    cached->len = len;
    cached->fetched.federated = cached->federated;
    cached->fetched.crls = cached->crls;
    if (!take_records(cached)) {
        err_set(err, ERR_INVALID, "certificate cache: not of this version, or damaged");
        cert_cached_free(cached);
        return NULL;
    }
    return cached;
}

struct cert_cached *cert_cache_parse(const uint8_t *bytes, size_t len, struct err *err)
{
    uint8_t *copy = malloc(len + 1);
    if (copy == NULL) {
        err_set(err, ERR_NOMEM, "certificate cache: out of memory");
        return NULL;
    }
    memcpy(copy, bytes, len);
    return read_taken(copy, len, err);
}

struct cert_cached *cert_cache_read(struct private_dir *dir, struct err *err)
{
    size_t len;
    uint8_t *bytes = private_file_read(dir, FILE_NAME, CERT_CACHE_MAX, &len, err);
    return bytes == NULL ? NULL : read_taken(bytes, len, err);
}

const struct cert_fetched *cert_cached_fetched(const struct cert_cached *cached)
{
    return &cached->fetched;
}

void cert_cached_free(struct cert_cached *cached)
{
    if (cached == NULL)
        return;
    private_file_free(cached->bytes, cached->len);
    free(cached);
}
