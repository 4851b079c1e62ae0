#include "x509_leaf.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

static int refuse(enum reason *reason, enum reason why)
{
    *reason = why;
    return -1;
}

/* The only URI among the names, lent; NULL with *num_uris otherwise. */
static const ASN1_IA5STRING *only_uri(const GENERAL_NAMES *names, size_t *num_uris)
{
    const ASN1_IA5STRING *uri = NULL;
    *num_uris = 0;
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        uri = name->d.uniformResourceIdentifier;
        (*num_uris)++;
    }
    return *num_uris == 1 ? uri : NULL;
}

static int parse_uri(const ASN1_IA5STRING *uri, struct spiffe_id *id, enum reason *reason,
                     struct err *err)
{
    const char *text = (const char *)ASN1_STRING_get0_data(uri);
    size_t len = (size_t)ASN1_STRING_length(uri);
    static const char SCHEME[] = "spiffe:";
    if (len < sizeof(SCHEME) - 1 || memcmp(text, SCHEME, sizeof(SCHEME) - 1) != 0) {
        err_set(err, ERR_TLS, "the certificate's URI SAN is not a SPIFFE ID");
        return refuse(reason, REASON_CERT_NO_SPIFFE_ID);
    }
    if (spiffe_id_parse(id, text, len, err) < 0) {
        bool is_memory = err->kind == ERR_NOMEM;
        if (!is_memory)
            err->kind = ERR_TLS;
        err_prefix(err, "the certificate's SPIFFE ID");
        return refuse(reason, is_memory ? REASON_NO_MEMORY : REASON_CERT_BAD_SPIFFE_ID);
    }
    if (id->path[0] == '\0') {
        err_set(err, ERR_TLS,
                "the certificate's SPIFFE ID '%.300s' has no path: it names no workload", id->uri);
        spiffe_id_done(id);
        return refuse(reason, REASON_CERT_BAD_SPIFFE_ID);
    }
    return 0;
}

static int read_id(const GENERAL_NAMES *names, struct spiffe_id *id, enum reason *reason,
                   struct err *err)
{
    size_t num_uris;
    const ASN1_IA5STRING *uri = only_uri(names, &num_uris);
    if (num_uris == 0) {
        err_set(err, ERR_TLS, "the certificate has no URI SAN");
        return refuse(reason, REASON_CERT_NO_SPIFFE_ID);
    }
    if (num_uris > 1) {
        err_set(err, ERR_TLS, "the certificate has %zu URI SANs", num_uris);
        return refuse(reason, REASON_CERT_TWO_URI_SANS);
    }
    return parse_uri(uri, id, reason, err);
}

int x509_leaf_read_id(X509 *leaf, struct spiffe_id *id, enum reason *reason, struct err *err)
{
    /* -1: absent; with NULL names any other value means unreadable, or there twice. */
    int critical;
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    ERR_clear_error();
    if (names == NULL && critical == -1) {
        err_set(err, ERR_TLS, "the certificate has no subject alternative name");
        return refuse(reason, REASON_CERT_NO_SPIFFE_ID);
    }
    if (names == NULL) {
        err_set(err, ERR_TLS, "the certificate's subject alternative name cannot be read");
        return refuse(reason, REASON_CERT_MALFORMED);
    }
    int result = read_id(names, id, reason, err);
    GENERAL_NAMES_free(names);
    return result;
}

static bool is_critical(const X509 *cert, int index)
{
    return X509_EXTENSION_get_critical(X509_get_ext(cert, index)) != 0;
}

static int check_key_usage(X509 *leaf, const struct cert_rules *rules, struct err *err)
{
    int index = X509_get_ext_by_NID(leaf, NID_key_usage, -1);
    if (index < 0)
        return rules->legacy_key_usage
                   ? 0
                   : err_set(err, ERR_TLS, "the certificate has no keyUsage extension");
    if (!rules->legacy_key_usage && !is_critical(leaf, index))
        return err_set(err, ERR_TLS, "the certificate's keyUsage is not marked critical");

    uint32_t usage = X509_get_key_usage(leaf);
    if ((usage & KU_DIGITAL_SIGNATURE) == 0)
        return err_set(err, ERR_TLS, "the certificate's keyUsage lacks digitalSignature");
    if ((usage & KU_KEY_CERT_SIGN) != 0)
        return err_set(err, ERR_TLS, "the certificate's keyUsage has keyCertSign");
    if ((usage & KU_CRL_SIGN) != 0)
        return err_set(err, ERR_TLS, "the certificate's keyUsage has cRLSign");
    return 0;
}

static int check_extended_key_usage(X509 *leaf, struct err *err)
{
    if (X509_get_ext_by_NID(leaf, NID_ext_key_usage, -1) < 0)
        return 0;
    uint32_t usage = X509_get_extended_key_usage(leaf);
    if ((usage & XKU_SSL_SERVER) == 0)
        return err_set(err, ERR_TLS, "the certificate's extended key usage lacks serverAuth");
    if ((usage & XKU_SSL_CLIENT) == 0)
        return err_set(err, ERR_TLS, "the certificate's extended key usage lacks clientAuth");
    return 0;
}

int x509_leaf_check_usage(X509 *leaf, const struct cert_rules *rules, struct err *err)
{
    if (check_key_usage(leaf, rules, err) < 0)
        return -1;
    return check_extended_key_usage(leaf, err);
}
