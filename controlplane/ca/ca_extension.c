#include "ca_extension.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/obj.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "addr.h"

/* Bits of keyUsage as RFC 5280, 4.2.1.3, counts them. */
enum {
    BIT_DIGITAL_SIGNATURE = 0,
    BIT_KEY_ENCIPHERMENT = 2,
    BIT_KEY_CERT_SIGN = 5,
    BIT_CRL_SIGN = 6,
    NO_BIT = -1,
};

enum {
    CRITICAL = 1,
    KEY_ID_LEN = 20, /* the leftmost 160 bits of a SHA-256: RFC 7093, 2, method 1 */
};

static int add(X509 *cert, int nid, void *value, int critical)
{
    return X509_add1_ext_i2d(cert, nid, value, critical, X509V3_ADD_DEFAULT) == 1 ? 0 : -1;
}

static int add_basic_constraints(X509 *cert, bool is_ca, bool may_issue_cas)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    int result = -1;
    if (constraints != NULL) {
        constraints->ca = is_ca ? 0xff : 0;
        bool has_path_len = is_ca && !may_issue_cas;
        if (has_path_len)
            constraints->pathlen = ASN1_INTEGER_new();
        if (!has_path_len ||
            (constraints->pathlen != NULL && ASN1_INTEGER_set(constraints->pathlen, 0)))
            result = add(cert, NID_basic_constraints, constraints, CRITICAL);
    }
    BASIC_CONSTRAINTS_free(constraints);
    return result;
}

static int add_key_usage(X509 *cert, int bit, int second_bit)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    int result = -1;
    if (usage != NULL && ASN1_BIT_STRING_set_bit(usage, bit, 1) &&
        (second_bit == NO_BIT || ASN1_BIT_STRING_set_bit(usage, second_bit, 1)))
        result = add(cert, NID_key_usage, usage, CRITICAL);
    ASN1_BIT_STRING_free(usage);
    return result;
}

static int add_extended_key_usage(X509 *cert, bool is_server, bool is_client)
{
    EXTENDED_KEY_USAGE *usage = sk_ASN1_OBJECT_new_null();
    int result = -1;
    /* The objects are static ones of the library: freeing them is nothing. */
    if (usage != NULL && (!is_server || sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_server_auth))) &&
        (!is_client || sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_client_auth))))
        result = add(cert, NID_ext_key_usage, usage, 0);
    sk_ASN1_OBJECT_free(usage);
    return result;
}

int ca_extension_add_ca(X509 *cert, bool may_issue_cas)
{
    return add_basic_constraints(cert, true, may_issue_cas) < 0
               ? -1
               : add_key_usage(cert, BIT_KEY_CERT_SIGN, BIT_CRL_SIGN);
}

int ca_extension_add_leaf(X509 *cert, bool is_rsa, bool is_server, bool is_client)
{
    if (add_basic_constraints(cert, false, false) < 0 ||
        add_key_usage(cert, BIT_DIGITAL_SIGNATURE, is_rsa ? BIT_KEY_ENCIPHERMENT : NO_BIT) < 0)
        return -1;
    return add_extended_key_usage(cert, is_server, is_client);
}

static ASN1_STRING *new_string(int type, const void *bytes, size_t len)
{
    ASN1_STRING *string = ASN1_STRING_type_new(type);
    if (string != NULL && !ASN1_STRING_set(string, bytes, (int)len)) {
        ASN1_STRING_free(string);
        return NULL;
    }
    return string;
}

static ASN1_STRING *new_value(const struct ca_name *name)
{
    struct ip ip;
    if (name->kind != CA_NAME_IP || ip_parse(&ip, name->text, NULL) < 0)
        return new_string(V_ASN1_IA5STRING, name->text, strlen(name->text));
    return new_string(V_ASN1_OCTET_STRING, ip.bytes, ip.family == IP_V4 ? 4 : 16);
}

static int push_name(GENERAL_NAMES *names, const struct ca_name *name)
{
    static const int TYPES[] = {[CA_NAME_DNS] = GEN_DNS,
                                [CA_NAME_IP] = GEN_IPADD,
                                [CA_NAME_URI] = GEN_URI,
                                [CA_NAME_EMAIL] = GEN_EMAIL};
    GENERAL_NAME *general = GENERAL_NAME_new();
    ASN1_STRING *value = new_value(name);
    if (general == NULL || value == NULL) {
        GENERAL_NAME_free(general);
        ASN1_STRING_free(value);
        return -1;
    }
    GENERAL_NAME_set0_value(general, TYPES[name->kind], value);
    if (sk_GENERAL_NAME_push(names, general))
        return 0;
    GENERAL_NAME_free(general);
    return -1;
}

int ca_extension_add_names(X509 *cert, const struct ca_name *names, size_t num, bool is_critical)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    int result = all == NULL ? -1 : 0;
    for (size_t i = 0; i < num && result == 0; i++)
        result = push_name(all, &names[i]);
    if (result == 0)
        result = add(cert, NID_subject_alt_name, all, is_critical);
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
    return result;
}

static int add_only_name(X509 *cert, enum ca_name_kind kind, const char *text)
{
    char *copy = strdup(text);
    const struct ca_name name = {.kind = kind, .text = copy};
    int result = copy == NULL ? -1 : ca_extension_add_names(cert, &name, 1, true);
    free(copy);
    return result;
}

int ca_extension_add_uri(X509 *cert, const char *uri)
{
    return add_only_name(cert, CA_NAME_URI, uri);
}

int ca_extension_add_host(X509 *cert, const char *host)
{
    struct ip ip;
    return add_only_name(cert, ip_parse(&ip, host, NULL) == 0 ? CA_NAME_IP : CA_NAME_DNS, host);
}

static int add_subject_key_id(X509 *cert)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len;
    if (!X509_pubkey_digest(cert, EVP_sha256(), digest, &len))
        return -1;
    ASN1_STRING *id = new_string(V_ASN1_OCTET_STRING, digest, KEY_ID_LEN);
    int result = id == NULL ? -1 : add(cert, NID_subject_key_identifier, id, 0);
    ASN1_STRING_free(id);
    return result;
}

static int add_authority_key_id(X509 *cert, X509 *issuer)
{
    ASN1_OCTET_STRING *id = X509_get_ext_d2i(issuer, NID_subject_key_identifier, NULL, NULL);
    if (id == NULL)
        return 0; /* a CA made elsewhere may have none */
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    int result = -1;
    if (authority == NULL) {
        ASN1_OCTET_STRING_free(id);
    } else {
        authority->keyid = id;
        result = add(cert, NID_authority_key_identifier, authority, 0);
    }
    AUTHORITY_KEYID_free(authority);
    return result;
}

int ca_extension_add_key_ids(X509 *cert, X509 *issuer)
{
    return add_subject_key_id(cert) < 0 ? -1 : add_authority_key_id(cert, issuer);
}
