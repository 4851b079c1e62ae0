#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/curve25519.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>

#include "ca_fixture.h"
#include "ca_request.h"

static void expect_refused(const char *pem, size_t len, const char *why)
{
    struct err err = {0};
    assert_null(ca_request_read_key(pem, len, &err));
    assert_int_equal(err.kind, ERR_INVALID);
    if (strstr(err.message, why) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", why, err.message);
}

static void expect_key_accepted(EVP_PKEY *key)
{
    struct err err = {0};
    char *pem = ca_fixture_csr(key, key);
    EVP_PKEY *read = ca_request_read_key(pem, strlen(pem), &err);
    if (read == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(EVP_PKEY_cmp(read, key), 1);
    EVP_PKEY_free(read);
    EVP_PKEY_free(key);
    free(pem);
}

static void expect_key_refused(EVP_PKEY *key, const char *why)
{
    char *pem = ca_fixture_csr(key, key);
    expect_refused(pem, strlen(pem), why);
    EVP_PKEY_free(key);
    free(pem);
}

static EVP_PKEY *ed25519_key(void)
{
    uint8_t public_key[32];
    uint8_t private_key[64];
    ED25519_keypair(public_key, private_key);
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32);
}

static void strong_keys_are_accepted(void **state)
{
    expect_key_accepted(ca_fixture_ec_key(NID_X9_62_prime256v1));
    expect_key_accepted(ca_fixture_ec_key(NID_secp384r1));
    expect_key_accepted(ca_fixture_ec_key(NID_secp521r1));
    expect_key_accepted(ed25519_key());
    expect_key_accepted(ca_fixture_rsa_key(2048));
}

static void other_keys_are_refused_by_name(void **state)
{
    expect_key_refused(ca_fixture_rsa_key(1024), "RSA of 1024 bits, too weak");
    expect_key_refused(ca_fixture_ec_key(NID_secp224r1), "ECDSA P-224");
}

static void a_request_for_a_key_that_the_sender_does_not_hold_is_refused(void **state)
{
    EVP_PKEY *theirs = ca_fixture_ec_key(NID_X9_62_prime256v1);
    EVP_PKEY *ours = ca_fixture_ec_key(NID_X9_62_prime256v1);
    char *pem = ca_fixture_csr(theirs, ours);
    expect_refused(pem, strlen(pem), "not signed by its own key");
    free(pem);
    EVP_PKEY_free(theirs);
    EVP_PKEY_free(ours);
}

static void what_is_not_one_pem_request_is_refused(void **state)
{
    static const struct {
        const char *pem;
        const char *why;
    } rows[] = {
        {"", "not PEM"},
        {"hello", "not PEM"},
        {"-----BEGIN CERTIFICATE REQUEST-----\n", "not PEM"},
        {"-----BEGIN CERTIFICATE REQUEST-----\n!!!!\n-----END CERTIFICATE REQUEST-----\n",
         "not PEM"},
        {"-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n", "not PEM"},
        {"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", "DER"},
        {"-----BEGIN CERTIFICATE REQUEST-----\nMIR/////\n-----END CERTIFICATE REQUEST-----\n",
         "DER"},
        {"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "\"CERTIFICATE\""},
        {"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "\"PRIVATE KEY\""},
        {"-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n"
         "-----END CERTIFICATE REQUEST-----\n",
         "headers"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_refused(rows[i].pem, strlen(rows[i].pem), rows[i].why);
}

static void a_second_block_is_refused(void **state)
{
    EVP_PKEY *key = ca_fixture_ec_key(NID_X9_62_prime256v1);
    char *pem = ca_fixture_csr(key, key);
    char *twice = malloc(2 * strlen(pem) + 1);
    sprintf(twice, "%s%s", pem, pem);
    expect_refused(twice, strlen(twice), "more than one");
    free(twice);
    free(pem);
    EVP_PKEY_free(key);
}

static void an_endless_request_is_refused_unread(void **state)
{
    size_t len = CA_REQUEST_MAX + 1;
    char *pem = malloc(len);
    memset(pem, 'A', len);
    expect_refused(pem, len, "at most");
    free(pem);
}

/* Any byte of the DER that changes must be seen, by the parser or by the signature. */
static void a_request_with_one_bit_wrong_is_refused(void **state)
{
    EVP_PKEY *key = ca_fixture_ec_key(NID_X9_62_prime256v1);
    char *pem = ca_fixture_csr(key, key);
    size_t begin = strlen("-----BEGIN CERTIFICATE REQUEST-----\n");
    size_t end = (size_t)(strstr(pem, "=") == NULL ? strstr(pem, "-----END") - 1 - pem
                                                   : strstr(pem, "=") - pem) -
                 1;
    for (size_t i = begin; i < end; i++) {
        if (pem[i] == '\n')
            continue;
        char before = pem[i];
        pem[i] = before == 'A' ? 'B' : 'A';
        struct err err = {0};
        EVP_PKEY *read = ca_request_read_key(pem, strlen(pem), &err);
        assert_null(read);
        pem[i] = before;
    }
    free(pem);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strong_keys_are_accepted),
        cmocka_unit_test(other_keys_are_refused_by_name),
        cmocka_unit_test(a_request_for_a_key_that_the_sender_does_not_hold_is_refused),
        cmocka_unit_test(what_is_not_one_pem_request_is_refused),
        cmocka_unit_test(a_second_block_is_refused),
        cmocka_unit_test(an_endless_request_is_refused_unread),
        cmocka_unit_test(a_request_with_one_bit_wrong_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
