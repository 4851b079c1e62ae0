#include "pkcs12.h"

#include <openssl/asn1.h>
#include <openssl/bytestring.h>
#include <openssl/cipher.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <string.h>

#include "rng.h"

/* Contents of OBJECT IDENTIFIERs. */
#define PKCS7       0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07
#define PKCS5       0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05
#define PKCS9       0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09
#define PKCS12_BAGS 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01

struct oid {
    uint8_t len;
    uint8_t bytes[11];
};

static const struct oid oid_data = {9, {PKCS7, 1}};
static const struct oid oid_encrypted_data = {9, {PKCS7, 6}};
static const struct oid oid_pbkdf2 = {9, {PKCS5, 12}};
static const struct oid oid_pbes2 = {9, {PKCS5, 13}};
static const struct oid oid_friendly_name = {9, {PKCS9, 20}};
static const struct oid oid_local_key_id = {9, {PKCS9, 21}};
static const struct oid oid_x509_certificate = {10, {PKCS9, 22, 1}};
static const struct oid oid_shrouded_key_bag = {11, {PKCS12_BAGS, 2}};
static const struct oid oid_cert_bag = {11, {PKCS12_BAGS, 3}};
static const struct oid oid_hmac_sha256 = {8, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9}};
static const struct oid oid_sha256 = {9, {0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1}};
static const struct oid oid_aes_256_cbc = {9, {0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42}};

enum {
    VERSION = 3,
    SALT_LEN = 16,
    IV_LEN = 16,
    KEY_LEN = 32,
    BLOCK_LEN = 64, /* of SHA-256: the "v" of RFC 7292, B.2 */
    MAC_ID = 3,     /* of a key for a MAC; B.3 */
    LOCAL_KEY_ID_LEN = 20,
    /* BMPString with its end, in whole blocks */
    WIDE_MAX = (2 * (PKCS12_PASSWORD_MAX + 1) + BLOCK_LEN - 1) / BLOCK_LEN * BLOCK_LEN,
};

#define EXPLICIT_0 (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0)
#define IMPLICIT_0 (CBS_ASN1_CONTEXT_SPECIFIC | 0)

int pkcs12_check_password(const char *password, struct err *err)
{
    size_t len = strlen(password);
    if (len < PKCS12_PASSWORD_MIN || len > PKCS12_PASSWORD_MAX)
        return err_set(err, ERR_INVALID, "the password has %zu characters; %d to %d are expected",
                       len, PKCS12_PASSWORD_MIN, PKCS12_PASSWORD_MAX);
    for (size_t i = 0; i < len; i++)
        if (password[i] < ' ' || password[i] > '~')
            return err_set(err, ERR_INVALID,
                           "character %zu of the password is not of ASCII; programs do not agree "
                           "what to make of others",
                           i + 1);
    return 0;
}

/* ---------------------------------------------------------------------------------- encryption -- */

/* Something encrypted, and what is needed to get it back with the password. */
struct sealed {
    uint8_t salt[SALT_LEN];
    uint8_t iv[IV_LEN];
    uint8_t *bytes;
    size_t len;
};

static void sealed_done(struct sealed *sealed)
{
    OPENSSL_free(sealed->bytes);
}

static bool encrypt(struct sealed *sealed, const uint8_t *key, const uint8_t *plain, size_t len)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int part = 0, rest = 0;
    bool ok = cipher != NULL && sealed->bytes != NULL &&
              EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key, sealed->iv) &&
              EVP_EncryptUpdate(cipher, sealed->bytes, &part, plain, (int)len) &&
              EVP_EncryptFinal_ex(cipher, sealed->bytes + part, &rest);
    EVP_CIPHER_CTX_free(cipher);
    sealed->len = (size_t)part + (size_t)rest;
    return ok;
}

static bool seal(struct sealed *sealed, const char *password, const uint8_t *plain, size_t len)
{
    uint8_t key[KEY_LEN];
    rng_bytes(sealed->salt, SALT_LEN);
    rng_bytes(sealed->iv, IV_LEN);
    sealed->bytes = OPENSSL_malloc(len + IV_LEN);
    bool ok = PKCS5_PBKDF2_HMAC(password, strlen(password), sealed->salt, SALT_LEN,
                                PKCS12_ITERATIONS, EVP_sha256(), KEY_LEN, key) &&
              encrypt(sealed, key, plain, len);
    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

/* ------------------------------------------------------------------------------------ the parts -- */

static bool add_oid(CBB *out, const struct oid *oid)
{
    CBB contents;
    return CBB_add_asn1(out, &contents, CBS_ASN1_OBJECT) &&
           CBB_add_bytes(&contents, oid->bytes, oid->len) && CBB_flush(out);
}

static bool add_octets(CBB *out, const uint8_t *bytes, size_t len)
{
    return CBB_add_asn1_octet_string(out, bytes, len);
}

/* AlgorithmIdentifier of an algorithm whose parameters are NULL. */
static bool add_plain_algorithm(CBB *out, const struct oid *oid)
{
    CBB algorithm, null;
    return CBB_add_asn1(out, &algorithm, CBS_ASN1_SEQUENCE) && add_oid(&algorithm, oid) &&
           CBB_add_asn1(&algorithm, &null, CBS_ASN1_NULL) && CBB_flush(out);
}

static bool add_pbkdf2(CBB *out, const struct sealed *sealed)
{
    CBB algorithm, parameters;
    return CBB_add_asn1(out, &algorithm, CBS_ASN1_SEQUENCE) && add_oid(&algorithm, &oid_pbkdf2) &&
           CBB_add_asn1(&algorithm, &parameters, CBS_ASN1_SEQUENCE) &&
           add_octets(&parameters, sealed->salt, SALT_LEN) &&
           CBB_add_asn1_uint64(&parameters, PKCS12_ITERATIONS) &&
           add_plain_algorithm(&parameters, &oid_hmac_sha256) && CBB_flush(out);
}

static bool add_aes(CBB *out, const struct sealed *sealed)
{
    CBB algorithm;
    return CBB_add_asn1(out, &algorithm, CBS_ASN1_SEQUENCE) &&
           add_oid(&algorithm, &oid_aes_256_cbc) && add_octets(&algorithm, sealed->iv, IV_LEN) &&
           CBB_flush(out);
}

/* PBES2-params (RFC 8018, A.4) in their AlgorithmIdentifier. */
static bool add_pbes2(CBB *out, const struct sealed *sealed)
{
    CBB algorithm, parameters;
    return CBB_add_asn1(out, &algorithm, CBS_ASN1_SEQUENCE) && add_oid(&algorithm, &oid_pbes2) &&
           CBB_add_asn1(&algorithm, &parameters, CBS_ASN1_SEQUENCE) &&
           add_pbkdf2(&parameters, sealed) && add_aes(&parameters, sealed) && CBB_flush(out);
}

/* By which a reader finds the certificate to the key. */
static bool add_local_key_id(CBB *set, const struct peer_cert_der *leaf)
{
    CBB attribute, values;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(leaf->bytes, leaf->len, digest);
    return CBB_add_asn1(set, &attribute, CBS_ASN1_SEQUENCE) &&
           add_oid(&attribute, &oid_local_key_id) &&
           CBB_add_asn1(&attribute, &values, CBS_ASN1_SET) &&
           add_octets(&values, digest, LOCAL_KEY_ID_LEN) && CBB_flush(set);
}

static bool add_friendly_name(CBB *set, const ASN1_STRING *name)
{
    CBB attribute, values, text;
    return CBB_add_asn1(set, &attribute, CBS_ASN1_SEQUENCE) &&
           add_oid(&attribute, &oid_friendly_name) &&
           CBB_add_asn1(&attribute, &values, CBS_ASN1_SET) &&
           CBB_add_asn1(&values, &text, CBS_ASN1_BMPSTRING) &&
           CBB_add_bytes(&text, ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name)) &&
           CBB_flush(set);
}

/* Of the key and of its certificate. */
static bool add_attributes(CBB *bag, const struct pkcs12_plan *plan, const ASN1_STRING *name)
{
    CBB set;
    return CBB_add_asn1(bag, &set, CBS_ASN1_SET) && add_friendly_name(&set, name) &&
           add_local_key_id(&set, &plan->certs[0]) && CBB_flush_asn1_set_of(&set) && CBB_flush(bag);
}

static bool add_cert_bag(CBB *contents, const struct pkcs12_plan *plan, size_t index,
                         const ASN1_STRING *name)
{
    const struct peer_cert_der *der = &plan->certs[index];
    CBB bag, value, cert_bag, wrapped;
    if (!CBB_add_asn1(contents, &bag, CBS_ASN1_SEQUENCE) || !add_oid(&bag, &oid_cert_bag) ||
        !CBB_add_asn1(&bag, &value, EXPLICIT_0) ||
        !CBB_add_asn1(&value, &cert_bag, CBS_ASN1_SEQUENCE) ||
        !add_oid(&cert_bag, &oid_x509_certificate) ||
        !CBB_add_asn1(&cert_bag, &wrapped, EXPLICIT_0) ||
        !add_octets(&wrapped, der->bytes, der->len))
        return false;
    return CBB_flush(&bag) && (index > 0 || add_attributes(&bag, plan, name)) &&
           CBB_flush(contents);
}

static bool seal_certs(struct sealed *sealed, const struct pkcs12_plan *plan,
                       const ASN1_STRING *name)
{
    CBB out, contents;
    bool ok = CBB_init(&out, 4096) && CBB_add_asn1(&out, &contents, CBS_ASN1_SEQUENCE);
    for (size_t i = 0; ok && i < plan->num_certs; i++)
        ok = add_cert_bag(&contents, plan, i, name);
    ok = ok && CBB_flush(&out) && seal(sealed, plan->password, CBB_data(&out), CBB_len(&out));
    CBB_cleanup(&out);
    return ok;
}

/* What was the key's DER is cleared when it is freed: BoringSSL's allocator does that. */
static bool seal_key(struct sealed *sealed, const struct pkcs12_plan *plan)
{
    CBB out;
    bool ok = CBB_init(&out, 4096) && EVP_marshal_private_key(&out, plan->key) &&
              seal(sealed, plan->password, CBB_data(&out), CBB_len(&out));
    CBB_cleanup(&out);
    return ok;
}

/* ----------------------------------------------------------------------------------- the contents -- */

/* ContentInfo of encrypted certificates. */
static bool add_certs(CBB *safes, const struct sealed *sealed)
{
    CBB info, wrapped, data, content, bytes;
    return CBB_add_asn1(safes, &info, CBS_ASN1_SEQUENCE) && add_oid(&info, &oid_encrypted_data) &&
           CBB_add_asn1(&info, &wrapped, EXPLICIT_0) &&
           CBB_add_asn1(&wrapped, &data, CBS_ASN1_SEQUENCE) && CBB_add_asn1_uint64(&data, 0) &&
           CBB_add_asn1(&data, &content, CBS_ASN1_SEQUENCE) && add_oid(&content, &oid_data) &&
           add_pbes2(&content, sealed) && CBB_add_asn1(&content, &bytes, IMPLICIT_0) &&
           CBB_add_bytes(&bytes, sealed->bytes, sealed->len) && CBB_flush(safes);
}

/* EncryptedPrivateKeyInfo in its bag. */
static bool add_key_bag(CBB *contents, const struct sealed *sealed, const struct pkcs12_plan *plan,
                        const ASN1_STRING *name)
{
    CBB bag, value, info;
    return CBB_add_asn1(contents, &bag, CBS_ASN1_SEQUENCE) &&
           add_oid(&bag, &oid_shrouded_key_bag) && CBB_add_asn1(&bag, &value, EXPLICIT_0) &&
           CBB_add_asn1(&value, &info, CBS_ASN1_SEQUENCE) && add_pbes2(&info, sealed) &&
           add_octets(&info, sealed->bytes, sealed->len) && CBB_flush(&bag) &&
           add_attributes(&bag, plan, name) && CBB_flush(contents);
}

/* ContentInfo of the key, which is encrypted by itself. */
static bool add_key(CBB *safes, const struct sealed *sealed, const struct pkcs12_plan *plan,
                    const ASN1_STRING *name)
{
    CBB info, wrapped, octets, contents;
    return CBB_add_asn1(safes, &info, CBS_ASN1_SEQUENCE) && add_oid(&info, &oid_data) &&
           CBB_add_asn1(&info, &wrapped, EXPLICIT_0) &&
           CBB_add_asn1(&wrapped, &octets, CBS_ASN1_OCTETSTRING) &&
           CBB_add_asn1(&octets, &contents, CBS_ASN1_SEQUENCE) &&
           add_key_bag(&contents, sealed, plan, name) && CBB_flush(safes);
}

/* AuthenticatedSafe. */
static bool add_safes(CBB *out, const struct pkcs12_plan *plan, const ASN1_STRING *name)
{
    struct sealed certs = {0}, key = {0};
    CBB safes;
    bool ok = seal_certs(&certs, plan, name) && seal_key(&key, plan) &&
              CBB_add_asn1(out, &safes, CBS_ASN1_SEQUENCE) && add_certs(&safes, &certs) &&
              add_key(&safes, &key, plan, name) && CBB_flush(out);
    sealed_done(&certs);
    sealed_done(&key);
    return ok;
}

/* ----------------------------------------------------------------------------------------- the MAC -- */

/* The password as PKCS#12 has it (RFC 7292, B.1), again and again up to a whole number of blocks. */
static size_t widen(const char *password, uint8_t out[WIDE_MAX])
{
    size_t len = 2 * (strlen(password) + 1);
    size_t total = (len + BLOCK_LEN - 1) / BLOCK_LEN * BLOCK_LEN;
    for (size_t i = 0; i < total; i++) {
        size_t at = i % len;
        out[i] = at % 2 == 0 ? 0 : (uint8_t)password[at / 2];
    }
    return total;
}

/* RFC 7292, B.2. One round of its loop is enough: the key is as long as the hash. */
static void derive_mac_key(const char *password, const uint8_t *salt, uint8_t key[KEY_LEN])
{
    uint8_t wide[WIDE_MAX], block[BLOCK_LEN];
    SHA256_CTX hash;
    size_t wide_len = widen(password, wide);
    SHA256_Init(&hash);
    memset(block, MAC_ID, BLOCK_LEN);
    SHA256_Update(&hash, block, BLOCK_LEN);
    for (size_t i = 0; i < BLOCK_LEN; i++)
        block[i] = salt[i % SALT_LEN];
    SHA256_Update(&hash, block, BLOCK_LEN);
    SHA256_Update(&hash, wide, wide_len);
    SHA256_Final(key, &hash);
    for (unsigned i = 1; i < PKCS12_ITERATIONS; i++)
        SHA256(key, KEY_LEN, key);
    OPENSSL_cleanse(wide, sizeof(wide));
    OPENSSL_cleanse(&hash, sizeof(hash));
}

static bool add_mac(CBB *out, const char *password, const uint8_t *bytes, size_t len)
{
    uint8_t salt[SALT_LEN], key[KEY_LEN], mac[SHA256_DIGEST_LENGTH];
    unsigned mac_len;
    CBB data, digest;
    rng_bytes(salt, SALT_LEN);
    derive_mac_key(password, salt, key);
    bool ok = HMAC(EVP_sha256(), key, KEY_LEN, bytes, len, mac, &mac_len) != NULL;
    OPENSSL_cleanse(key, sizeof(key));
    return ok && CBB_add_asn1(out, &data, CBS_ASN1_SEQUENCE) &&
           CBB_add_asn1(&data, &digest, CBS_ASN1_SEQUENCE) &&
           add_plain_algorithm(&digest, &oid_sha256) && add_octets(&digest, mac, mac_len) &&
           add_octets(&data, salt, SALT_LEN) && CBB_add_asn1_uint64(&data, PKCS12_ITERATIONS) &&
           CBB_flush(out);
}

/* --------------------------------------------------------------------------------------- the whole -- */

static bool add_pfx(CBB *out, const struct pkcs12_plan *plan, const uint8_t *safes, size_t len)
{
    CBB pfx, info, wrapped;
    return CBB_add_asn1(out, &pfx, CBS_ASN1_SEQUENCE) && CBB_add_asn1_uint64(&pfx, VERSION) &&
           CBB_add_asn1(&pfx, &info, CBS_ASN1_SEQUENCE) && add_oid(&info, &oid_data) &&
           CBB_add_asn1(&info, &wrapped, EXPLICIT_0) && add_octets(&wrapped, safes, len) &&
           CBB_flush(&pfx) && add_mac(&pfx, plan->password, safes, len) && CBB_flush(out);
}

bool pkcs12_may_be(const uint8_t *bytes, size_t len)
{
    CBS whole, contents;
    uint64_t version;
    CBS_init(&whole, bytes, len);
    return CBS_get_asn1(&whole, &contents, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1_uint64(&contents, &version) && version == VERSION;
}

int pkcs12_write(const struct pkcs12_plan *plan, struct buf *out, struct err *err)
{
    CBB safes, pfx;
    ASN1_STRING *name = NULL;
    if (ASN1_mbstring_copy(&name, (const uint8_t *)plan->name, (int)strlen(plan->name),
                           MBSTRING_UTF8, B_ASN1_BMPSTRING) < 0) {
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "the name \"%.100s\" has characters that PKCS#12 has not",
                       plan->name);
    }
    CBB_zero(&safes);
    CBB_zero(&pfx);
    bool ok = CBB_init(&safes, 8192) && add_safes(&safes, plan, name) && CBB_init(&pfx, 8192) &&
              add_pfx(&pfx, plan, CBB_data(&safes), CBB_len(&safes)) &&
              buf_append(out, CBB_data(&pfx), CBB_len(&pfx)) == 0;
    CBB_cleanup(&safes);
    CBB_cleanup(&pfx);
    ASN1_STRING_free(name);
    ERR_clear_error();
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}
