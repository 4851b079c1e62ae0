#include "tls_library.h"

#include <openssl/base.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>

#include "tls_library_groups.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

/*
 * The groups are set by their TLS number where the library can (2023 and later), else by NID; the
 * older ones have no ML-KEM (FIPS 203 is of 2024) and their post-quantum experiment CECPQ2 is dead.
 */
#ifdef SSL_GROUP_X25519_MLKEM768
#define MLKEM_GROUP "X25519MLKEM768,"
#else
#define MLKEM_GROUP ""
#endif

const char *tls_library_groups(void)
{
    return MLKEM_GROUP "X25519,P-256,P-384";
}

const char *tls_library_describe(void)
{
#ifdef SSL_GROUP_X25519_MLKEM768
    return "BoringSSL, API version " TEXT(BORINGSSL_API_VERSION);
#else
    return "BoringSSL, API version " TEXT(
        BORINGSSL_API_VERSION) ": an old snapshot (Debian's is Android's of 2022, without the fast "
                               "P-256 code) without X25519MLKEM768; for production "
                               "build with BORINGSSL_ROOT at a current BoringSSL";
#endif
}

int tls_library_groups_set(SSL_CTX *ctx)
{
#ifdef SSL_GROUP_X25519_MLKEM768
    static const uint16_t GROUPS[] = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519,
                                      SSL_GROUP_SECP256R1, SSL_GROUP_SECP384R1};
    int ok = SSL_CTX_set1_group_ids(ctx, GROUPS, sizeof(GROUPS) / sizeof(GROUPS[0]));
#else
    static const int CURVES[] = {NID_X25519, NID_X9_62_prime256v1, NID_secp384r1};
    int ok = SSL_CTX_set1_curves(ctx, CURVES, sizeof(CURVES) / sizeof(CURVES[0]));
#endif
    return ok ? 0 : -1;
}

const char *tls_library_group_name(const SSL *ssl)
{
#ifdef SSL_GROUP_X25519_MLKEM768
    const char *name = SSL_get_group_name(SSL_get_group_id(ssl));
#else
    const char *name = SSL_get_curve_name(SSL_get_curve_id(ssl));
#endif
    return name == NULL ? "" : name;
}
