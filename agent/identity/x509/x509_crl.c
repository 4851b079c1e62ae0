#include "x509_crl.h"

#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"
#include "x509_cert.h"

enum { KNOWN_KEYS_MAX = 4 }; /* issuers that share a name: keys of a CA that was renewed */

/* Where in the list's bytes a serial number stands, without leading zeros. */
struct serial {
    uint32_t offset;
    uint32_t len;
};

/* Whether a key has signed the list, found out once. */
struct known_key {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    bool signed_it;
};

struct x509_crl {
    struct refcount refs;
    CRYPTO_BUFFER *der;
    X509_NAME *issuer;
    CBS tbs; /* these three point into `der` */
    CBS signature;
    const EVP_MD *digest; /* NULL: Ed25519 */
    int key_type;         /* EVP_PKEY_... */
    int64_t this_update_ms;
    int64_t next_update_ms;
    struct serial *revoked; /* sorted */
    size_t num_revoked;
    pthread_mutex_t lock; /* of what follows */
    struct known_key known[KNOWN_KEYS_MAX];
    size_t num_known; /* ever; the oldest is overwritten */
};

/* ---------------------------------------------------------------------------------- reading -- */

struct algorithm {
    uint8_t oid[9];
    uint8_t oid_len;
    int key_type;
    const EVP_MD *(*digest)(void);
};

/* The ones that certificates may be signed with (x509_cert_check_signature_algorithm). */
static const struct algorithm ALGORITHMS[] = {
    {{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}, 8, EVP_PKEY_EC, EVP_sha256},
    {{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03}, 8, EVP_PKEY_EC, EVP_sha384},
    {{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04}, 8, EVP_PKEY_EC, EVP_sha512},
    {{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b}, 9, EVP_PKEY_RSA, EVP_sha256},
    {{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c}, 9, EVP_PKEY_RSA, EVP_sha384},
    {{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d}, 9, EVP_PKEY_RSA, EVP_sha512},
    {{0x2b, 0x65, 0x70}, 3, EVP_PKEY_ED25519, NULL},
};

static int read_algorithm(struct x509_crl *crl, CBS *from, struct err *err)
{
    CBS sequence, oid;
    if (!CBS_get_asn1(from, &sequence, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&sequence, &oid, CBS_ASN1_OBJECT))
        return err_set(err, ERR_INVALID, "its signature algorithm cannot be read");
    for (size_t i = 0; i < sizeof(ALGORITHMS) / sizeof(ALGORITHMS[0]); i++) {
        if (!CBS_mem_equal(&oid, ALGORITHMS[i].oid, ALGORITHMS[i].oid_len))
            continue;
        crl->key_type = ALGORITHMS[i].key_type;
        crl->digest = ALGORITHMS[i].digest == NULL ? NULL : ALGORITHMS[i].digest();
        return 0;
    }
    return err_set(err, ERR_INVALID, "it is signed with an algorithm that is not accepted");
}

static bool is_time(const CBS *from)
{
    return CBS_peek_asn1_tag(from, CBS_ASN1_UTCTIME) ||
           CBS_peek_asn1_tag(from, CBS_ASN1_GENERALIZEDTIME);
}

static int read_time(CBS *from, int64_t *ms, const char *which, struct err *err)
{
    const uint8_t *bytes = CBS_data(from);
    ASN1_TIME *time = is_time(from) ? d2i_ASN1_TIME(NULL, &bytes, (long)CBS_len(from)) : NULL;
    int result = time == NULL ? -1 : x509_cert_time_ms(time, ms);
    ASN1_TIME_free(time);
    if (result < 0 || !CBS_skip(from, (size_t)(bytes - CBS_data(from))))
        return err_set(err, ERR_INVALID, "its %s cannot be read", which);
    return 0;
}

static int read_issuer(struct x509_crl *crl, CBS *tbs, struct err *err)
{
    CBS name;
    if (CBS_get_asn1_element(tbs, &name, CBS_ASN1_SEQUENCE)) {
        const uint8_t *bytes = CBS_data(&name);
        crl->issuer = d2i_X509_NAME(NULL, &bytes, (long)CBS_len(&name));
    }
    return crl->issuer == NULL ? err_set(err, ERR_INVALID, "its issuer cannot be read") : 0;
}

/* The ones that may be critical and are understood. */
static const uint8_t OID_DISTRIBUTION_POINT[] = {0x55, 0x1d, 0x1c};

/*
 * RFC 5280, 5.2.5. Which certificates the list covers does not matter to who only looks for those
 * that are on it; that it speaks of other issuers' certificates does.
 */
static int check_distribution_point(CBS *value, struct err *err)
{
    CBS sequence, skipped;
    int has_indirect = 0;
    if (!CBS_get_asn1(value, &sequence, CBS_ASN1_SEQUENCE))
        return err_set(err, ERR_INVALID, "its issuingDistributionPoint cannot be read");
    for (unsigned i = 0; i <= 3; i++) {
        unsigned tag = CBS_ASN1_CONTEXT_SPECIFIC | i | (i == 0 ? CBS_ASN1_CONSTRUCTED : 0);
        if (!CBS_get_optional_asn1(&sequence, &skipped, NULL, tag))
            return err_set(err, ERR_INVALID, "its issuingDistributionPoint cannot be read");
    }
    if (!CBS_get_optional_asn1(&sequence, &skipped, &has_indirect, CBS_ASN1_CONTEXT_SPECIFIC | 4))
        return err_set(err, ERR_INVALID, "its issuingDistributionPoint cannot be read");
    if (has_indirect && (CBS_len(&skipped) != 1 || CBS_data(&skipped)[0] != 0))
        return err_set(err, ERR_INVALID, "it is an indirect list, which is not supported");
    return 0;
}

/* Of the list (RFC 5280, 5.2) or of an entry (5.3): what is critical must be understood. */
static int check_extensions(CBS *extensions, bool of_list, struct err *err)
{
    while (CBS_len(extensions) > 0) {
        CBS extension, oid, critical, value;
        int has_critical;
        if (!CBS_get_asn1(extensions, &extension, CBS_ASN1_SEQUENCE) ||
            !CBS_get_asn1(&extension, &oid, CBS_ASN1_OBJECT) ||
            !CBS_get_optional_asn1(&extension, &critical, &has_critical, CBS_ASN1_BOOLEAN) ||
            (has_critical && CBS_len(&critical) != 1) ||
            !CBS_get_asn1(&extension, &value, CBS_ASN1_OCTETSTRING))
            return err_set(err, ERR_INVALID, "an extension of it cannot be read");
        if (of_list &&
            CBS_mem_equal(&oid, OID_DISTRIBUTION_POINT, sizeof(OID_DISTRIBUTION_POINT))) {
            if (check_distribution_point(&value, err) < 0)
                return -1;
        } else if (has_critical && CBS_data(&critical)[0] != 0) {
            return err_set(
                err, ERR_INVALID,
                "it has a critical extension that is not supported; is it a delta list?");
        }
    }
    return 0;
}

static int read_entry(struct x509_crl *crl, CBS *entries, struct err *err)
{
    CBS entry, serial, extensions;
    int64_t when_ms;
    if (!CBS_get_asn1(entries, &entry, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&entry, &serial, CBS_ASN1_INTEGER))
        return err_set(err, ERR_INVALID, "entry %zu of it cannot be read", crl->num_revoked + 1);
    if (read_time(&entry, &when_ms, "revocation date", err) < 0)
        return -1;
    if (CBS_len(&entry) > 0) {
        if (!CBS_get_asn1(&entry, &extensions, CBS_ASN1_SEQUENCE))
            return err_set(err, ERR_INVALID, "entry %zu of it cannot be read",
                           crl->num_revoked + 1);
        if (check_extensions(&extensions, false, err) < 0)
            return -1;
    }
    while (CBS_len(&serial) > 0 && CBS_data(&serial)[0] == 0)
        CBS_skip(&serial, 1);
    crl->revoked[crl->num_revoked++] = (struct serial){
        .offset = (uint32_t)(CBS_data(&serial) - CRYPTO_BUFFER_data(crl->der)),
        .len = (uint32_t)CBS_len(&serial),
    };
    return 0;
}

static size_t count_elements(CBS entries)
{
    CBS skipped;
    size_t num = 0;
    while (CBS_get_asn1_element(&entries, &skipped, CBS_ASN1_SEQUENCE))
        num++;
    return num;
}

static int compare_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a, b, a_len);
}

static int compare_serials(const void *a, const void *b, void *bytes)
{
    const struct serial *left = a, *right = b;
    const uint8_t *base = bytes;
    return compare_bytes(base + left->offset, left->len, base + right->offset, right->len);
}

/* qsort_r wants a pointer that may be written through; it is not. */
static void *unconst(const void *bytes)
{
    return (void *)(uintptr_t)bytes;
}

static int read_entries(struct x509_crl *crl, CBS *entries, struct err *err)
{
    size_t num = count_elements(*entries);
    crl->revoked = calloc(num == 0 ? 1 : num, sizeof(*crl->revoked));
    if (crl->revoked == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    while (CBS_len(entries) > 0) {
        if (crl->num_revoked == num)
            return err_set(err, ERR_INVALID, "entry %zu of it cannot be read", num + 1);
        if (read_entry(crl, entries, err) < 0)
            return -1;
    }
    qsort_r(crl->revoked, num, sizeof(*crl->revoked), compare_serials,
            unconst(CRYPTO_BUFFER_data(crl->der)));
    return 0;
}

/* What follows the issuer: RFC 5280, 5.1.2. */
static int read_rest(struct x509_crl *crl, CBS *tbs, struct err *err)
{
    crl->next_update_ms = INT64_MAX;
    if (read_time(tbs, &crl->this_update_ms, "thisUpdate", err) < 0 ||
        (is_time(tbs) && read_time(tbs, &crl->next_update_ms, "nextUpdate", err) < 0))
        return -1;
    CBS entries, extensions, list;
    int has_entries = 0, has_extensions = 0;
    if (!CBS_get_optional_asn1(tbs, &entries, &has_entries, CBS_ASN1_SEQUENCE) ||
        !CBS_get_optional_asn1(tbs, &extensions, &has_extensions,
                               CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) ||
        CBS_len(tbs) > 0)
        return err_set(err, ERR_INVALID, "it cannot be read");
    if (has_extensions) {
        if (!CBS_get_asn1(&extensions, &list, CBS_ASN1_SEQUENCE))
            return err_set(err, ERR_INVALID, "its extensions cannot be read");
        if (check_extensions(&list, true, err) < 0)
            return -1;
    }
    if (!has_entries)
        CBS_init(&entries, NULL, 0);
    return read_entries(crl, &entries, err);
}

static int read_list(struct x509_crl *crl, struct err *err)
{
    CBS whole, list, tbs, inner;
    CBS_init(&whole, CRYPTO_BUFFER_data(crl->der), CRYPTO_BUFFER_len(crl->der));
    if (!CBS_get_asn1(&whole, &list, CBS_ASN1_SEQUENCE) || CBS_len(&whole) > 0 ||
        !CBS_get_asn1_element(&list, &crl->tbs, CBS_ASN1_SEQUENCE))
        return err_set(err, ERR_INVALID, "it is not a revocation list");
    if (read_algorithm(crl, &list, err) < 0)
        return -1;
    uint8_t unused_bits;
    if (!CBS_get_asn1(&list, &crl->signature, CBS_ASN1_BITSTRING) || CBS_len(&list) > 0 ||
        !CBS_get_u8(&crl->signature, &unused_bits) || unused_bits != 0)
        return err_set(err, ERR_INVALID, "its signature cannot be read");

    tbs = crl->tbs;
    if (!CBS_get_asn1(&tbs, &inner, CBS_ASN1_SEQUENCE))
        return err_set(err, ERR_INVALID, "it cannot be read");
    CBS skipped;
    if (!CBS_get_optional_asn1(&inner, &skipped, NULL, CBS_ASN1_INTEGER) ||
        !CBS_get_asn1(&inner, &skipped, CBS_ASN1_SEQUENCE))
        return err_set(err, ERR_INVALID, "it cannot be read");
    if (read_issuer(crl, &inner, err) < 0)
        return -1;
    return read_rest(crl, &inner, err);
}

struct x509_crl *x509_crl_new(CRYPTO_BUFFER *der, struct err *err)
{
    struct x509_crl *crl = calloc(1, sizeof(*crl));
    if (crl == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&crl->refs);
    pthread_mutex_init(&crl->lock, NULL);
    CRYPTO_BUFFER_up_ref(der);
    crl->der = der;
    int result = read_list(crl, err);
    ERR_clear_error();
    if (result == 0)
        return crl;
    x509_crl_unref(crl);
    return NULL;
}

/* --------------------------------------------------------------------------- sharing, asking -- */

struct x509_crl *x509_crl_ref(struct x509_crl *crl)
{
    refcount_get(&crl->refs);
    return crl;
}

void x509_crl_unref(struct x509_crl *crl)
{
    if (crl == NULL || !refcount_put(&crl->refs))
        return;
    pthread_mutex_destroy(&crl->lock);
    X509_NAME_free(crl->issuer);
    CRYPTO_BUFFER_free(crl->der);
    free(crl->revoked);
    free(crl);
}

const uint8_t *x509_crl_der(const struct x509_crl *crl, size_t *len)
{
    *len = CRYPTO_BUFFER_len(crl->der);
    return CRYPTO_BUFFER_data(crl->der);
}

bool x509_crl_is_same(const struct x509_crl *a, const struct x509_crl *b)
{
    return a == b || compare_bytes(CRYPTO_BUFFER_data(a->der), CRYPTO_BUFFER_len(a->der),
                                   CRYPTO_BUFFER_data(b->der), CRYPTO_BUFFER_len(b->der)) == 0;
}

void x509_crl_info(const struct x509_crl *crl, struct crl_info *info)
{
    *info = (struct crl_info){
        .this_update_ms = crl->this_update_ms,
        .next_update_ms = crl->next_update_ms,
        .num_revoked = crl->num_revoked,
    };
    X509_NAME_oneline(crl->issuer, info->issuer, sizeof(info->issuer));
    ERR_clear_error();
}

void x509_crl_times(const struct x509_crl *crl, int64_t *this_update_ms, int64_t *next_update_ms)
{
    *this_update_ms = crl->this_update_ms;
    *next_update_ms = crl->next_update_ms;
}

/* ------------------------------------------------------------------------------- its issuer -- */

/* 1, 0, or -1: out of memory, of which nothing may be remembered. */
static int verify_signature(const struct x509_crl *crl, EVP_PKEY *key)
{
    if (EVP_PKEY_id(key) != crl->key_type)
        return 0;
    int result = -1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ERR_clear_error();
    if (ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, crl->digest, NULL, key) == 1) {
        result = EVP_DigestVerify(ctx, CBS_data(&crl->signature), CBS_len(&crl->signature),
                                  CBS_data(&crl->tbs), CBS_len(&crl->tbs)) == 1;
        if (result == 0 && ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE)
            result = -1;
    }
    EVP_MD_CTX_free(ctx);
    return result;
}

static bool digest_key(EVP_PKEY *key, uint8_t digest[SHA256_DIGEST_LENGTH])
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    if (len <= 0)
        return false;
    SHA256(der, (size_t)len, digest);
    OPENSSL_free(der);
    return true;
}

/* 1: it signed the list; 0: it did not; -1: not known yet. */
static int look_up_key(struct x509_crl *crl, const uint8_t digest[SHA256_DIGEST_LENGTH])
{
    int result = -1;
    pthread_mutex_lock(&crl->lock);
    for (size_t i = 0; i < crl->num_known && i < KNOWN_KEYS_MAX; i++)
        if (memcmp(crl->known[i].digest, digest, SHA256_DIGEST_LENGTH) == 0)
            result = crl->known[i].signed_it;
    pthread_mutex_unlock(&crl->lock);
    return result;
}

static void remember_key(struct x509_crl *crl, const uint8_t digest[SHA256_DIGEST_LENGTH],
                         bool signed_it)
{
    pthread_mutex_lock(&crl->lock);
    struct known_key *known = &crl->known[crl->num_known++ % KNOWN_KEYS_MAX];
    memcpy(known->digest, digest, SHA256_DIGEST_LENGTH);
    known->signed_it = signed_it;
    pthread_mutex_unlock(&crl->lock);
}

int x509_crl_is_issued_by(struct x509_crl *crl, X509 *issuer)
{
    if (X509_NAME_cmp(crl->issuer, X509_get_subject_name(issuer)) != 0)
        return 0;
    EVP_PKEY *key = X509_get_pubkey(issuer); /* there is one: it has signed a certificate */
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int signed_it = -1;
    if (key != NULL && digest_key(key, digest)) {
        signed_it = look_up_key(crl, digest);
        if (signed_it < 0) {
            signed_it = verify_signature(crl, key);
            if (signed_it >= 0)
                remember_key(crl, digest, signed_it == 1);
        }
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return signed_it;
}

/* Where there are no leading zeros. */
static bool has_serial(const struct x509_crl *crl, const CBS *serial)
{
    const uint8_t *base = CRYPTO_BUFFER_data(crl->der);
    size_t low = 0, high = crl->num_revoked;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct serial *at = &crl->revoked[middle];
        int order = compare_bytes(base + at->offset, at->len, CBS_data(serial), CBS_len(serial));
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

int x509_crl_has(const struct x509_crl *crl, const X509 *cert)
{
    uint8_t *der = NULL;
    int der_len = i2d_ASN1_INTEGER(X509_get0_serialNumber(cert), &der);
    CBS element, serial;
    CBS_init(&element, der, der_len < 0 ? 0 : (size_t)der_len);
    int result = -1;
    if (CBS_get_asn1(&element, &serial, CBS_ASN1_INTEGER)) {
        while (CBS_len(&serial) > 0 && CBS_data(&serial)[0] == 0)
            CBS_skip(&serial, 1);
        result = has_serial(crl, &serial);
    }
    OPENSSL_free(der);
    ERR_clear_error();
    return result;
}
