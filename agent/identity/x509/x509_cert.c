#include "x509_cert.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

X509 *x509_cert_parse(CRYPTO_BUFFER *der)
{
    X509 *cert = X509_parse_from_buffer(der);
    ERR_clear_error();
    return cert;
}

static int to_ms(const ASN1_TIME *epoch, const ASN1_TIME *time, int64_t *ms)
{
    int days, seconds;
    if (!ASN1_TIME_diff(&days, &seconds, epoch, time))
        return -1;
    *ms = ((int64_t)days * 86400 + seconds) * 1000;
    return 0;
}

int x509_cert_times(const X509 *cert, int64_t *not_before_ms, int64_t *not_after_ms)
{
    /* By difference: API version 17 has no function that gives the seconds since 1970. */
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int result = -1;
    if (epoch != NULL && to_ms(epoch, X509_get0_notBefore(cert), not_before_ms) == 0 &&
        to_ms(epoch, X509_get0_notAfter(cert), not_after_ms) == 0)
        result = 0;
    ASN1_TIME_free(epoch);
    ERR_clear_error();
    return result;
}

int x509_cert_time_ms(const ASN1_TIME *time, int64_t *ms)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int result = epoch == NULL ? -1 : to_ms(epoch, time, ms);
    ASN1_TIME_free(epoch);
    ERR_clear_error();
    return result;
}

static void hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = DIGITS[bytes[i] >> 4];
        *out++ = DIGITS[bytes[i] & 15];
    }
    *out = '\0';
}

void x509_cert_serial(const X509 *cert, char out[CERT_SERIAL_TEXT_MAX])
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    const uint8_t *bytes = ASN1_STRING_get0_data(serial);
    size_t len = (size_t)ASN1_STRING_length(serial);
    enum { SERIAL_MAX = (CERT_SERIAL_TEXT_MAX - 2) / 2 };
    hex(bytes, len > SERIAL_MAX ? SERIAL_MAX : len, out);
}

void x509_cert_fingerprint(const uint8_t *der, size_t der_len, char out[CERT_FINGERPRINT_TEXT])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(der, der_len, digest);
    hex(digest, (CERT_FINGERPRINT_TEXT - 1) / 2, out);
}

const char *x509_cert_subject(const X509 *cert, char *out, size_t size)
{
    if (X509_NAME_oneline(X509_get_subject_name(cert), out, (int)size) == NULL || out[0] == '\0')
        snprintf(out, size, "(no subject)");
    ERR_clear_error();
    return out;
}

bool x509_cert_is_readable(X509 *cert)
{
    bool readable = (X509_get_extension_flags(cert) & EXFLAG_INVALID) == 0;
    ERR_clear_error();
    return readable;
}

bool x509_cert_is_ca(X509 *cert)
{
    return (X509_get_extension_flags(cert) & EXFLAG_CA) != 0;
}

static int check_ec(const EC_KEY *key, struct err *err)
{
    int curve = EC_GROUP_get_curve_name(EC_KEY_get0_group(key));
    if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1 || curve == NID_secp521r1)
        return 0;
    const char *name = OBJ_nid2sn(curve);
    return err_set(err, ERR_TLS, "elliptic-curve key on %s; P-256, P-384 and P-521 are accepted",
                   name == NULL ? "an unknown curve" : name);
}

static int check_rsa(const EVP_PKEY *key, struct err *err)
{
    int bits = EVP_PKEY_bits(key);
    if (bits >= CERT_RSA_BITS_MIN && bits <= CERT_RSA_BITS_MAX)
        return 0;
    return err_set(err, ERR_TLS, "RSA key of %d bits; %d to %d are accepted", bits,
                   CERT_RSA_BITS_MIN, CERT_RSA_BITS_MAX);
}

int x509_cert_check_key(X509 *cert, struct err *err)
{
    EVP_PKEY *key = X509_get_pubkey(cert);
    int result;
    if (key == NULL)
        result = err_set(err, ERR_TLS, "a public key of an unknown kind");
    else if (EVP_PKEY_id(key) == EVP_PKEY_EC)
        result = check_ec(EVP_PKEY_get0_EC_KEY(key), err);
    else if (EVP_PKEY_id(key) == EVP_PKEY_RSA)
        result = check_rsa(key, err);
    else if (EVP_PKEY_id(key) == EVP_PKEY_ED25519)
        result = 0;
    else
        result = err_set(err, ERR_TLS, "a public key that is neither EC, Ed25519 nor RSA");
    EVP_PKEY_free(key);
    ERR_clear_error();
    return result;
}

int x509_cert_check_signature_algorithm(const X509 *cert, struct err *err)
{
    /*
     * RSA-PSS is not among them: nobody's CA signs certificates with it, and its parameters could
     * hide SHA-1.
     */
    static const int ACCEPTED[] = {
        NID_ecdsa_with_SHA256,
        NID_ecdsa_with_SHA384,
        NID_ecdsa_with_SHA512,
        NID_sha256WithRSAEncryption,
        NID_sha384WithRSAEncryption,
        NID_sha512WithRSAEncryption,
        NID_ED25519,
    };
    int nid = X509_get_signature_nid(cert);
    for (size_t i = 0; i < sizeof(ACCEPTED) / sizeof(ACCEPTED[0]); i++)
        if (nid == ACCEPTED[i])
            return 0;
    const char *name = nid == NID_undef ? NULL : OBJ_nid2ln(nid);
    return err_set(err, ERR_TLS, "signed with %s, which is not accepted",
                   name == NULL ? "an unknown algorithm" : name);
}
