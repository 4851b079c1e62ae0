#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <openssl/pool.h>

#include "x509_cert.h"
#include "x509_principal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char *prefix_of(enum principal_kind kind)
{
    static const char *const PREFIXES[NUM_PRINCIPAL_KINDS] = {
        [PRINCIPAL_NONE] = NULL,      [PRINCIPAL_URI] = "",   [PRINCIPAL_DNS] = "dns:",
        [PRINCIPAL_EMAIL] = "email:", [PRINCIPAL_CN] = "cn:", [PRINCIPAL_IP] = "ip:"};
    return PREFIXES[kind];
}

/* What no principal may hold, whatever its kind; and no kind may look like another. */
static void check_principal(enum principal_kind kind, const char *principal)
{
    const char *prefix = prefix_of(kind);
    assert(strncmp(principal, prefix, strlen(prefix)) == 0);
    assert((strchr(principal, ':') != NULL) == (kind != PRINCIPAL_URI));
    assert((strchr(principal, '/') != NULL) == (kind == PRINCIPAL_URI));
    for (const char *at = principal; *at != '\0'; at++)
        assert((uint8_t)*at >= ' ' && *at != 0x7f);
}

/* Raw names, as a certificate could hold them: the bytes after the first two. */
static void check_names(const uint8_t *bytes, size_t len)
{
    if (len < 2)
        return;
    for (enum principal_kind kind = PRINCIPAL_DNS; kind <= PRINCIPAL_CN; kind++) {
        char out[PRINCIPAL_MAX + 1], again[PRINCIPAL_MAX + 1];
        struct err err = {0};
        const char *name = (const char *)bytes + 2;
        if (principal_format(kind, name, len - 2, out, &err) < 0) {
            assert(err.kind == ERR_INVALID && err.message[0] != '\0');
            continue;
        }
        const char *text = out + strlen(prefix_of(kind));
        assert(strlen(text) == len - 2 && strchr(out, '/') == NULL);
        assert(principal_format(kind, text, len - 2, again, NULL) == 0);
        assert(strcmp(out, again) == 0);
    }
}

/*
 * A certificate, whoever has signed it: who would be accepted has a principal of its kind, and who
 * would not, a reason.
 */
static void check_certificate(X509 *cert, size_t first_kind)
{
    struct pki pki = {.peer = PKI_CLIENT, .num_principals = 4};
    for (size_t i = 0; i < 4; i++)
        pki.principals[i] = (enum principal_kind)(PRINCIPAL_URI + (i + first_kind) % 4);
    struct x509_principal principal;
    enum reason reason = REASON_DONE;
    struct err err = {0};
    if (x509_principal_read(cert, &pki, &principal, &reason, &err) < 0) {
        assert(reason != REASON_DONE && err.message[0] != '\0');
        return;
    }
    bool is_uri = principal.kind == PRINCIPAL_URI;
    check_principal(principal.kind, is_uri ? principal.id.principal : principal.text);
    spiffe_id_done(&principal.id);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    check_names(bytes, len);
    CRYPTO_BUFFER *der = CRYPTO_BUFFER_new(bytes, len, NULL);
    assert(der != NULL);
    X509 *cert = x509_cert_parse(der);
    if (cert != NULL) {
        char common_name[PRINCIPAL_MAX + 1];
        x509_principal_common_name(cert, common_name);
        for (size_t i = 0; i < 4; i++)
            check_certificate(cert, i);
    }
    X509_free(cert);
    CRYPTO_BUFFER_free(der);
    return 0;
}
