#include "cert_builder.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "rng.h"

struct cert_built {
    X509 *cert;
    EVP_PKEY *key;
    char *pem;
    char *chain_pem;
    char *key_pem;
    uint8_t *der;
    size_t der_len;
};

/* Test code: what cannot be made ends the test. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "cert_builder.c:%d: %s\n", __LINE__, #condition);                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* -------------------------------------------------------------------------------------- keys -- */

static EVP_PKEY *make_ec(int curve)
{
    EVP_PKEY *key = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(curve);
    MUST(key != NULL && ec != NULL && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec));
    EC_KEY_free(ec);
    return key;
}

static EVP_PKEY *make_rsa(int bits)
{
    EVP_PKEY *key = EVP_PKEY_new();
    RSA *rsa = RSA_new();
    BIGNUM *exponent = BN_new();
    MUST(key != NULL && rsa != NULL && exponent != NULL && BN_set_word(exponent, RSA_F4));
    MUST(RSA_generate_key_ex(rsa, bits, exponent, NULL) && EVP_PKEY_set1_RSA(key, rsa));
    BN_free(exponent);
    RSA_free(rsa);
    return key;
}

static EVP_PKEY *make_ed25519(void)
{
    uint8_t seed[32];
    rng_bytes(seed, sizeof(seed));
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
    MUST(key != NULL);
    return key;
}

static EVP_PKEY *make_key(enum cert_builder_key kind)
{
    switch (kind) {
    case CERT_KEY_P256:
        return make_ec(NID_X9_62_prime256v1);
    case CERT_KEY_P384:
        return make_ec(NID_secp384r1);
    case CERT_KEY_P224:
        return make_ec(NID_secp224r1);
    case CERT_KEY_ED25519:
        return make_ed25519();
    case CERT_KEY_RSA_1024:
        return make_rsa(1024);
    case CERT_KEY_RSA_2048:
        return make_rsa(2048);
    case CERT_KEY_RSA_4096:
        return make_rsa(4096);
    }
    abort();
}

/* -------------------------------------------------------------------------------- extensions -- */

static void add_extension(X509 *cert, int nid, bool is_critical, void *value)
{
    X509_EXTENSION *extension = X509V3_EXT_i2d(nid, is_critical, value);
    MUST(extension != NULL && X509_add_ext(cert, extension, -1));
    X509_EXTENSION_free(extension);
}

static void add_basic_constraints(X509 *cert, const struct cert_spec *spec)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    MUST(constraints != NULL);
    constraints->ca = spec->is_ca ? 0xff : 0;
    if (spec->path_len > 0) {
        constraints->pathlen = ASN1_INTEGER_new();
        MUST(constraints->pathlen != NULL &&
             ASN1_INTEGER_set_uint64(constraints->pathlen, (uint64_t)spec->path_len - 1));
    }
    add_extension(cert, NID_basic_constraints, true, constraints);
    BASIC_CONSTRAINTS_free(constraints);
}

/* Bit numbers of KeyUsage (RFC 5280, 4.2.1.3). */
enum { BIT_SIGNATURE = 0, BIT_ENCIPHER = 2, BIT_CERT_SIGN = 5, BIT_CRL_SIGN = 6 };

static void add_key_usage(X509 *cert, const struct cert_spec *spec)
{
    if (spec->usage == CERT_USAGE_NONE)
        return;
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    MUST(bits != NULL);
    if (spec->usage == CERT_USAGE_ENCIPHER_ONLY)
        MUST(ASN1_BIT_STRING_set_bit(bits, BIT_ENCIPHER, 1));
    else if (!spec->is_ca)
        MUST(ASN1_BIT_STRING_set_bit(bits, BIT_SIGNATURE, 1));
    if (spec->usage == CERT_USAGE_WITH_CERT_SIGN || spec->is_ca)
        MUST(ASN1_BIT_STRING_set_bit(bits, BIT_CERT_SIGN, 1));
    if (spec->usage == CERT_USAGE_WITH_CRL_SIGN || spec->is_ca)
        MUST(ASN1_BIT_STRING_set_bit(bits, BIT_CRL_SIGN, 1));
    add_extension(cert, NID_key_usage, spec->usage != CERT_USAGE_NOT_CRITICAL, bits);
    ASN1_BIT_STRING_free(bits);
}

static void add_eku(X509 *cert, const struct cert_spec *spec)
{
    bool is_for_tls = spec->eku != CERT_EKU_CODE_SIGNING && spec->eku != CERT_EKU_ANY;
    if (spec->eku == CERT_EKU_NONE || (spec->is_ca && spec->eku == CERT_EKU_BOTH))
        return;
    EXTENDED_KEY_USAGE *usages = sk_ASN1_OBJECT_new_null();
    MUST(usages != NULL);
    if (spec->eku == CERT_EKU_CODE_SIGNING)
        MUST(sk_ASN1_OBJECT_push(usages, OBJ_nid2obj(NID_code_sign)));
    if (spec->eku == CERT_EKU_ANY)
        MUST(sk_ASN1_OBJECT_push(usages, OBJ_nid2obj(NID_anyExtendedKeyUsage)));
    if (is_for_tls && spec->eku != CERT_EKU_CLIENT)
        MUST(sk_ASN1_OBJECT_push(usages, OBJ_nid2obj(NID_server_auth)));
    if (is_for_tls && spec->eku != CERT_EKU_SERVER)
        MUST(sk_ASN1_OBJECT_push(usages, OBJ_nid2obj(NID_client_auth)));
    add_extension(cert, NID_ext_key_usage, false, usages);
    sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
}

static void push_name(GENERAL_NAMES *names, int type, const void *bytes, size_t len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *text =
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    MUST(name != NULL && text != NULL && ASN1_STRING_set(text, bytes, (int)len));
    GENERAL_NAME_set0_value(name, type, text);
    MUST(sk_GENERAL_NAME_push(names, name));
}

static void push_name_with_nul(GENERAL_NAMES *names, const char *text)
{
    char *name = strdup(text);
    MUST(name != NULL);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (name[i] == '0')
            name[i] = '\0';
    push_name(names, GEN_DNS, name, len);
    free(name);
}

static void add_name_constraint(X509 *cert, const struct cert_spec *spec)
{
    if (spec->permitted_dns == NULL)
        return;
    NAME_CONSTRAINTS *constraints = NAME_CONSTRAINTS_new();
    GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
    ASN1_STRING *name = ASN1_STRING_type_new(V_ASN1_IA5STRING);
    MUST(constraints != NULL && tree != NULL && name != NULL);
    MUST(ASN1_STRING_set(name, spec->permitted_dns, (int)strlen(spec->permitted_dns)));
    GENERAL_NAME_set0_value(tree->base, GEN_DNS, name);
    constraints->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
    MUST(constraints->permittedSubtrees != NULL &&
         sk_GENERAL_SUBTREE_push(constraints->permittedSubtrees, tree));
    add_extension(cert, NID_name_constraints, true, constraints);
    NAME_CONSTRAINTS_free(constraints);
}

static void add_san(X509 *cert, const struct cert_spec *spec)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    MUST(names != NULL);
    for (int i = 0; i < CERT_BUILDER_NAMES_MAX && spec->uris[i] != NULL; i++)
        push_name(names, GEN_URI, spec->uris[i], strlen(spec->uris[i]));
    for (int i = 0; i < CERT_BUILDER_NAMES_MAX && spec->dns[i] != NULL; i++)
        push_name(names, GEN_DNS, spec->dns[i], strlen(spec->dns[i]));
    for (int i = 0; i < CERT_BUILDER_NAMES_MAX && spec->emails[i] != NULL; i++)
        push_name(names, GEN_EMAIL, spec->emails[i], strlen(spec->emails[i]));
    if (spec->dns_with_nul != NULL)
        push_name_with_nul(names, spec->dns_with_nul);
    struct in_addr address;
    if (spec->ip != NULL && inet_pton(AF_INET, spec->ip, &address) == 1)
        push_name(names, GEN_IPADD, &address, sizeof(address));
    if (sk_GENERAL_NAME_num(names) > 0)
        add_extension(cert, NID_subject_alt_name, spec->common_name == NULL, names);
    if (spec->san_twice)
        add_extension(cert, NID_subject_alt_name, false, names);
    GENERAL_NAMES_free(names);
}

/* ------------------------------------------------------------------------------------ making -- */

static void set_times(X509 *cert, const struct cert_spec *spec)
{
    int64_t now_ms = clock_wall_ms();
    int64_t from_ms = spec->not_before_ms != 0 ? spec->not_before_ms : now_ms - 3600 * 1000;
    const int64_t life_ms = (spec->is_ca ? 2 : 1) * 3600 * 1000;
    int64_t to_ms = spec->not_after_ms != 0 ? spec->not_after_ms : now_ms + life_ms;
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(from_ms / 1000));
    ASN1_TIME *to = ASN1_TIME_set(NULL, (time_t)(to_ms / 1000));
    MUST(from != NULL && to != NULL);
    MUST(X509_set1_notBefore(cert, from) && X509_set1_notAfter(cert, to));
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
}

static void add_common_name(X509_NAME *to, const char *text, bool is_bmp)
{
    enum { BMP_MAX = 64 };
    uint8_t wide[2 * BMP_MAX];
    size_t len = strlen(text);
    MUST(!is_bmp || len <= BMP_MAX);
    for (size_t i = 0; is_bmp && i < len; i++) {
        wide[2 * i] = 0;
        wide[2 * i + 1] = (uint8_t)text[i];
    }
    /* Raw, because BoringSSL would not make what is wrong. */
    MUST(X509_NAME_add_entry_by_NID(
        to, NID_commonName, is_bmp ? V_ASN1_BMPSTRING : V_ASN1_UTF8STRING,
        is_bmp ? wide : (const uint8_t *)text, (int)(is_bmp ? 2 * len : len), -1, 0));
}

static void set_names(X509 *cert, const struct cert_built *issuer, const struct cert_spec *spec)
{
    X509_NAME *name = X509_NAME_new();
    MUST(name != NULL);
    if (spec->common_name != NULL)
        add_common_name(name, spec->common_name, spec->is_common_name_bmp);
    if (spec->second_common_name != NULL)
        add_common_name(name, spec->second_common_name, false);
    MUST(X509_set_subject_name(cert, name));
    MUST(X509_set_issuer_name(cert, issuer == NULL ? name : X509_get_subject_name(issuer->cert)));
    X509_NAME_free(name);
}

static void set_serial(X509 *cert)
{
    uint64_t serial = rng_u64() >> 1;
    MUST(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial));
}

static const EVP_MD *digest_for(EVP_PKEY *key, const struct cert_spec *spec)
{
    if (EVP_PKEY_id(key) == EVP_PKEY_ED25519)
        return NULL;
    return spec->sign_by_sha1 ? EVP_sha1() : EVP_sha256();
}

static char *bio_text(BIO *bio)
{
    const uint8_t *bytes;
    size_t len;
    MUST(BIO_mem_contents(bio, &bytes, &len));
    char *text = strndup((const char *)bytes, len);
    MUST(text != NULL);
    BIO_free(bio);
    return text;
}

static void fill_texts(struct cert_built *built, const struct cert_built *issuer)
{
    BIO *bio = BIO_new(BIO_s_mem());
    MUST(bio != NULL && PEM_write_bio_X509(bio, built->cert));
    built->pem = bio_text(bio);
    bool is_under_intermediate =
        issuer != NULL &&
        X509_NAME_cmp(X509_get_subject_name(issuer->cert), X509_get_issuer_name(issuer->cert)) != 0;
    MUST(asprintf(&built->chain_pem, "%s%s", built->pem,
                  is_under_intermediate ? issuer->chain_pem : "") >= 0);
    if (built->key != NULL) {
        bio = BIO_new(BIO_s_mem());
        MUST(bio != NULL &&
             PEM_write_bio_PKCS8PrivateKey(bio, built->key, NULL, NULL, 0, NULL, NULL));
        built->key_pem = bio_text(bio);
    }
    int len = i2d_X509(built->cert, &built->der);
    MUST(len > 0);
    built->der_len = (size_t)len;
}

static void add_extensions(X509 *cert, const struct cert_spec *spec)
{
    add_basic_constraints(cert, spec);
    add_key_usage(cert, spec);
    add_eku(cert, spec);
    add_name_constraint(cert, spec);
    add_san(cert, spec);
}

/* `public_key` is what is certified; `key`, taken, is its private half or NULL. */
static struct cert_built *make(const struct cert_built *issuer, EVP_PKEY *public_key, EVP_PKEY *key,
                               const struct cert_spec *spec)
{
    struct cert_built *built = calloc(1, sizeof(*built));
    MUST(built != NULL);
    built->key = key;
    built->cert = X509_new();
    MUST(built->cert != NULL &&
         X509_set_version(built->cert, spec->is_version_1 ? X509_VERSION_1 : X509_VERSION_3));
    set_serial(built->cert);
    set_names(built->cert, issuer, spec);
    set_times(built->cert, spec);
    MUST(X509_set_pubkey(built->cert, public_key));
    if (!spec->is_version_1)
        add_extensions(built->cert, spec);
    EVP_PKEY *signer = issuer == NULL ? key : issuer->key;
    MUST(X509_sign(built->cert, signer, digest_for(signer, spec)));
    fill_texts(built, issuer);
    return built;
}

struct cert_built *cert_builder_make(const struct cert_built *issuer, const struct cert_spec *spec)
{
    EVP_PKEY *key = make_key(spec->key);
    return make(issuer, key, key, spec);
}

struct cert_built *cert_builder_renew(const struct cert_built *old, const struct cert_spec *spec)
{
    EVP_PKEY_up_ref(old->key);
    return make(NULL, old->key, old->key, spec);
}

struct cert_built *cert_builder_answer(const struct cert_built *issuer, const char *csr_pem,
                                       const struct cert_spec *spec)
{
    BIO *bio = BIO_new_mem_buf(csr_pem, -1);
    X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    MUST(request != NULL);
    EVP_PKEY *public_key = X509_REQ_get_pubkey(request);
    MUST(public_key != NULL && X509_REQ_verify(request, public_key) == 1);
    struct cert_built *built = make(issuer, public_key, NULL, spec);
    EVP_PKEY_free(public_key);
    X509_REQ_free(request);
    BIO_free(bio);
    return built;
}

struct cert_built *cert_builder_root(const char *common_name)
{
    return cert_builder_make(NULL, &(struct cert_spec){.common_name = common_name, .is_ca = true});
}

struct cert_built *cert_builder_leaf(const struct cert_built *issuer, const char *uri)
{
    return cert_builder_make(issuer, &(struct cert_spec){.uris = {uri}});
}

void cert_builder_free(struct cert_built *cert)
{
    if (cert == NULL)
        return;
    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
    free(cert->pem);
    free(cert->chain_pem);
    free(cert->key_pem);
    OPENSSL_free(cert->der);
    free(cert);
}

const char *cert_builder_pem(const struct cert_built *cert)
{
    return cert->pem;
}

const char *cert_builder_chain_pem(const struct cert_built *cert)
{
    return cert->chain_pem;
}

const char *cert_builder_key_pem(const struct cert_built *cert)
{
    return cert->key_pem;
}

const uint8_t *cert_builder_der(const struct cert_built *cert, size_t *len)
{
    *len = cert->der_len;
    return cert->der;
}

/* ---------------------------------------------------------------------------- revocation lists -- */

static void add_revoked(X509_CRL *crl, const ASN1_INTEGER *serial)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)(clock_wall_ms() / 1000 - 60));
    ASN1_INTEGER *copy = ASN1_INTEGER_dup(serial);
    MUST(entry != NULL && when != NULL && copy != NULL);
    MUST(X509_REVOKED_set_serialNumber(entry, copy) &&
         X509_REVOKED_set_revocationDate(entry, when));
    MUST(X509_CRL_add0_revoked(crl, entry));
    ASN1_INTEGER_free(copy);
    ASN1_TIME_free(when);
}

static void add_fillers(X509_CRL *crl, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        /* Not in order: sorting is the reader's. */
        MUST(serial != NULL && ASN1_INTEGER_set_uint64(serial, (i * 7919 + 13) % 1000003 + 1));
        add_revoked(crl, serial);
        ASN1_INTEGER_free(serial);
    }
}

static void set_crl_times(X509_CRL *crl, const struct crl_spec *spec)
{
    const int64_t hour_ms = 3600 * 1000;
    int64_t this_ms = spec->this_update_ms != 0 ? spec->this_update_ms : clock_wall_ms() - hour_ms;
    int64_t next_ms = spec->next_update_ms != 0 ? spec->next_update_ms : clock_wall_ms() + hour_ms;
    ASN1_TIME *this_update = ASN1_TIME_set(NULL, (time_t)(this_ms / 1000));
    ASN1_TIME *next_update = ASN1_TIME_set(NULL, (time_t)(next_ms / 1000));
    MUST(this_update != NULL && next_update != NULL);
    MUST(X509_CRL_set1_lastUpdate(crl, this_update));
    MUST(spec->no_next_update || X509_CRL_set1_nextUpdate(crl, next_update));
    ASN1_TIME_free(this_update);
    ASN1_TIME_free(next_update);
}

static void add_crl_extension(X509_CRL *crl, int nid, const uint8_t *value, size_t len)
{
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    MUST(octets != NULL && ASN1_OCTET_STRING_set(octets, value, (int)len));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_NID(NULL, nid, 1, octets);
    MUST(extension != NULL && X509_CRL_add_ext(crl, extension, -1));
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
}

struct crl_built *cert_builder_crl(const struct cert_built *issuer, const struct crl_spec *spec)
{
    static const uint8_t BASE_NUMBER[] = {0x02, 0x01, 0x01};
    static const uint8_t ONLY_USER_CERTS[] = {0x30, 0x03, 0x81, 0x01, 0xff};
    X509_CRL *crl = X509_CRL_new();
    MUST(crl != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2));
    MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert)));
    set_crl_times(crl, spec);
    add_fillers(crl, spec->num_fillers);
    for (size_t i = 0; i < CRL_SPEC_MAX && spec->revoked[i] != NULL; i++)
        add_revoked(crl, X509_get0_serialNumber(spec->revoked[i]->cert));
    if (spec->is_delta)
        add_crl_extension(crl, NID_delta_crl, BASE_NUMBER, sizeof(BASE_NUMBER));
    if (spec->has_distribution_point)
        add_crl_extension(crl, NID_issuing_distribution_point, ONLY_USER_CERTS,
                          sizeof(ONLY_USER_CERTS));
    const struct cert_built *signer = spec->signed_by != NULL ? spec->signed_by : issuer;
    MUST(X509_CRL_sign(crl, signer->key, digest_for(signer->key, &(struct cert_spec){0})));

    struct crl_built *built = calloc(1, sizeof(*built));
    MUST(built != NULL);
    int len = i2d_X509_CRL(crl, &built->der);
    MUST(len > 0);
    built->der_len = (size_t)len;
    BIO *bio = BIO_new(BIO_s_mem());
    MUST(bio != NULL && PEM_write_bio_X509_CRL(bio, crl));
    built->pem = bio_text(bio);
    X509_CRL_free(crl);
    return built;
}

void cert_builder_free_crl(struct crl_built *crl)
{
    if (crl == NULL)
        return;
    OPENSSL_free(crl->der);
    free(crl->pem);
    free(crl);
}
