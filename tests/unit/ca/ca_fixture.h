/*
 * Keys, requests and certificates for the tests of ca, made with BoringSSL and not with the code
 * under test.
 */
#ifndef REMORA_TEST_CA_FIXTURE_H
#define REMORA_TEST_CA_FIXTURE_H

#include <openssl/base.h>
#include <openssl/x509.h>
#include <stdint.h>

#define CA_FIXTURE_NOW_MS 1800000000000 /* a fixed present, 2027-01-15 */

EVP_PKEY *ca_fixture_ec_key(int curve_nid);
EVP_PKEY *ca_fixture_rsa_key(unsigned bits);

/*
 * A request in PEM for `subject_key`, signed by `signing_key`, with a subject, and with a SAN that
 * asks for spiffe://evil.example/admin and CA:true. The caller frees it with free().
 */
char *ca_fixture_csr(EVP_PKEY *subject_key, EVP_PKEY *signing_key);

/* A CA certificate in PEM, valid for a day around the present. `issuer` NULL: self-signed. */
struct ca_fixture_cert {
    X509 *cert;
    char *pem;
};
struct ca_fixture_cert ca_fixture_ca(const char *name, EVP_PKEY *key, int is_ca, X509 *issuer,
                                     EVP_PKEY *issuer_key);
void ca_fixture_cert_done(struct ca_fixture_cert *cert);

/* PKCS#8 in PEM; free(). */
char *ca_fixture_key_pem(EVP_PKEY *key);

X509 *ca_fixture_parse(const char *pem);

#endif
