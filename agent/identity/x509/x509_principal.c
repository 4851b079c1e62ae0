#include "x509_principal.h"

#include <assert.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "x509_leaf.h"

/* The names of one kind in a certificate. */
struct found {
    const ASN1_STRING *first; /* lent; NULL: none */
    size_t num;
};

static struct found find_san(const GENERAL_NAMES *names, int type)
{
    struct found found = {0};
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == type && found.num++ == 0)
            found.first = name->d.ia5; /* of all three types that are asked for */
    }
    return found;
}

static struct found find_common_name(const X509 *leaf)
{
    struct found found = {0};
    const X509_NAME *subject = X509_get_subject_name(leaf);
    for (int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); at >= 0;
         at = X509_NAME_get_index_by_NID(subject, NID_commonName, at))
        if (found.num++ == 0)
            found.first = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    return found;
}

static struct found find(const X509 *leaf, const GENERAL_NAMES *names, enum principal_kind kind)
{
    static const int TYPES[NUM_PRINCIPAL_KINDS] = {
        [PRINCIPAL_URI] = GEN_URI, [PRINCIPAL_DNS] = GEN_DNS, [PRINCIPAL_EMAIL] = GEN_EMAIL};
    return kind == PRINCIPAL_CN ? find_common_name(leaf) : find_san(names, TYPES[kind]);
}

/*
 * Encodings that are ASCII or UTF-8. The others of RFC 5280, 4.1.2.4 could be converted, but nobody
 * has used them for twenty years except to be misread.
 */
static bool is_text(const ASN1_STRING *name)
{
    int type = ASN1_STRING_type(name);
    return type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING || type == V_ASN1_IA5STRING;
}

static int format(enum principal_kind kind, const ASN1_STRING *name, char *out, struct err *err)
{
    if (!is_text(name))
        return err_set(err, ERR_TLS, "neither UTF8String nor PrintableString");
    return principal_format(kind, (const char *)ASN1_STRING_get0_data(name),
                            (size_t)ASN1_STRING_length(name), out, err);
}

/* The kind of name that counts is found; now it must be one that can be used. */
static int use(X509 *leaf, const struct found *found, struct x509_principal *principal,
               enum reason *reason, struct err *err)
{
    if (principal->kind == PRINCIPAL_URI)
        return x509_leaf_read_id(leaf, &principal->id, reason, err);
    *reason = REASON_CERT_BAD_PRINCIPAL;
    const char *kind = principal_kind_name(principal->kind);
    if (found->num > 1)
        return err_set(err, ERR_TLS, "the certificate has %zu names of the kind '%s'", found->num,
                       kind);
    if (format(principal->kind, found->first, principal->text, err) < 0) {
        err->kind = ERR_TLS;
        return err_prefix(err, "the certificate's name of the kind '%s' is", kind);
    }
    return 0;
}

static int choose(X509 *leaf, const GENERAL_NAMES *names, const struct pki *pki,
                  struct x509_principal *principal, enum reason *reason, struct err *err)
{
    for (size_t i = 0; i < pki->num_principals; i++) {
        struct found found = find(leaf, names, pki->principals[i]);
        if (found.num == 0)
            continue;
        principal->kind = pki->principals[i];
        return use(leaf, &found, principal, reason, err);
    }
    *reason = REASON_CERT_NO_PRINCIPAL;
    return err_set(err, ERR_TLS, "the certificate has no name of any kind that is looked at here");
}

int x509_principal_read(X509 *leaf, const struct pki *pki, struct x509_principal *principal,
                        enum reason *reason, struct err *err)
{
    *principal = (struct x509_principal){0};
    int critical; /* -1: absent */
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    ERR_clear_error();
    if (names == NULL && critical != -1) {
        *reason = REASON_CERT_MALFORMED;
        return err_set(err, ERR_TLS, "the certificate's subject alternative name cannot be read");
    }
    int result = choose(leaf, names, pki, principal, reason, err);
    GENERAL_NAMES_free(names);
    return result;
}

void x509_principal_common_name(const X509 *leaf, char *out)
{
    static const char PREFIX[] = "cn:";
    struct found found = find_common_name(leaf);
    struct err ignored;
    if (found.num == 1 && format(PRINCIPAL_CN, found.first, out, &ignored) == 0)
        memmove(out, out + sizeof(PREFIX) - 1, strlen(out) - (sizeof(PREFIX) - 1) + 1);
    else
        out[0] = '\0';
}
