#include "x509_pki.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "x509_cert.h"
#include "x509_chain.h"
#include "x509_crl.h"
#include "x509_path.h"

enum {
    SUBJECT_TEXT = 96,
    NAMES_TEXT = 160, /* of a server that is another one: enough to see who it is */
};

static int refuse(enum reason *reason, enum reason why)
{
    *reason = why;
    return -1;
}

/* -------------------------------------------------------------------------------- permissions -- */

/* RFC 5280, 4.2.1.3: absent, everything is permitted. */
static int check_key_usage(X509 *leaf, struct err *err)
{
    if (X509_get_ext_by_NID(leaf, NID_key_usage, -1) < 0)
        return 0;
    uint32_t usage = X509_get_key_usage(leaf);
    if ((usage & KU_DIGITAL_SIGNATURE) == 0)
        return err_set(err, ERR_TLS, "the certificate's keyUsage lacks digitalSignature");
    if ((usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0)
        return err_set(err, ERR_TLS, "the certificate's keyUsage has keyCertSign or cRLSign");
    return 0;
}

int x509_pki_check_usage(const STACK_OF(X509) *path, enum pki_peer peer, struct err *err)
{
    if (check_key_usage(sk_X509_value(path, 0), err) < 0)
        return -1;
    return x509_path_check_extended_key_usage(
        path, peer == PKI_CLIENT ? XKU_SSL_CLIENT : XKU_SSL_SERVER, err);
}

/* --------------------------------------------------------------------------------------- path -- */

static int check_depth(const STACK_OF(X509) *path, unsigned max, struct err *err)
{
    size_t num = sk_X509_num(path);
    size_t num_between = num < 2 ? 0 : num - 2;
    if (num_between <= max)
        return 0;
    return err_set(err, ERR_TLS,
                   "%zu CA certificates stand between the certificate and the root; verify-depth "
                   "allows %u",
                   num_between, max);
}

static int check_found_path(const struct x509_pki_check *check, const STACK_OF(X509) *path,
                            struct x509_pki_facts *facts, enum reason *reason, struct err *err)
{
    const struct trust *trust = check->trust;
    if (check_depth(path, check->pki->max_intermediates, err) < 0)
        return refuse(reason, REASON_CERT_TOO_DEEP);
    if (x509_path_check_strength(path, err) < 0)
        return refuse(reason, REASON_CERT_WEAK);
    if (x509_pki_check_usage(path, check->pki->peer, err) < 0)
        return refuse(reason, REASON_CERT_KEY_USAGE);
    if (x509_path_check_time(path, check->now_ms, &facts->not_before_ms, &facts->not_after_ms,
                             reason, err) < 0)
        return -1;
    return crl_set_check_path(trust->crls, path, trust->crl_strict, check->now_ms, reason, err);
}

static int check_path(const struct x509_pki_check *check, STACK_OF(X509) *certs,
                      struct x509_pki_facts *facts, enum reason *reason, struct err *err)
{
    STACK_OF(X509) *path = x509_path_find(certs, check->pki->roots, check->now_ms, err);
    if (path == NULL)
        return refuse(reason, err->kind == ERR_NOMEM ? REASON_NO_MEMORY : REASON_CERT_UNTRUSTED);
    int result = check_found_path(check, path, facts, reason, err);
    sk_X509_pop_free(path, X509_free);
    return result;
}

/* --------------------------------------------------------------------------------------- names -- */

/* What has ended or was revoked speaks for nobody, by whatever other path the certificate was found good. */
static int check_other_path(const struct x509_pki_check *check, const STACK_OF(X509) *path,
                            enum reason *reason, struct err *err)
{
    const struct trust *trust = check->trust;
    int64_t not_before_ms, not_after_ms;
    if (x509_path_check_strength(path, err) < 0)
        return refuse(reason, REASON_CERT_WEAK);
    if (x509_path_check_time(path, check->now_ms, &not_before_ms, &not_after_ms, reason, err) < 0)
        return -1;
    return crl_set_check_path(trust->crls, path, trust->crl_strict, check->now_ms, reason, err);
}

/*
 * A CA that is trusted at one port must not be able to name workloads of the mesh: for a trust
 * domain that has a bundle, nobody else speaks.
 */
static int check_trust_domain(const struct x509_pki_check *check, STACK_OF(X509) *certs,
                              const struct spiffe_id *id, enum reason *reason, struct err *err)
{
    const struct trust_bundle *bundle = trust_find_bundle(check->trust, id->trust_domain);
    if (bundle == NULL)
        return 0;
    STACK_OF(X509) *path = x509_path_find(certs, bundle, check->now_ms, err);
    if (path != NULL) {
        int result = check_other_path(check, path, reason, err);
        sk_X509_pop_free(path, X509_free);
        return result;
    }
    if (err->kind == ERR_NOMEM)
        return refuse(reason, REASON_NO_MEMORY);
    err_set(err, ERR_TLS, "it claims '%.160s', and its issuer may not speak for this trust domain",
            id->uri);
    return refuse(reason, REASON_CERT_WRONG_TRUST_DOMAIN);
}

static int read_client(const struct x509_pki_check *check, STACK_OF(X509) *certs,
                       struct x509_principal *principal, enum reason *reason, struct err *err)
{
    if (x509_principal_read(sk_X509_value(certs, 0), check->pki, principal, reason, err) < 0)
        return -1;
    if (principal->kind != PRINCIPAL_URI ||
        check_trust_domain(check, certs, &principal->id, reason, err) == 0)
        return 0;
    spiffe_id_done(&principal->id);
    return -1;
}

static bool is_address(const char *name)
{
    struct in6_addr address;
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* Appends a name, or as much as there is room for; what is not printable is shown as "?". */
static size_t append_name(char *out, size_t size, size_t len, const uint8_t *name, size_t name_len)
{
    static const char *const separators[] = {"'", ", '"};
    for (const char *at = separators[len > 0]; *at != '\0' && len + 1 < size; at++)
        out[len++] = *at;
    for (size_t i = 0; i < name_len && len + 2 < size; i++)
        out[len++] = name[i] > ' ' && name[i] < 0x7f && name[i] != '\'' ? (char)name[i] : '?';
    out[len++] = '\'';
    out[len] = '\0';
    return len;
}

static size_t append_san(char *out, size_t size, size_t len, const GENERAL_NAME *name)
{
    char text[INET6_ADDRSTRLEN];
    if (name->type == GEN_DNS)
        return append_name(out, size, len, ASN1_STRING_get0_data(name->d.dNSName),
                           (size_t)ASN1_STRING_length(name->d.dNSName));
    if (name->type != GEN_IPADD)
        return len;
    const uint8_t *address = ASN1_STRING_get0_data(name->d.iPAddress);
    int address_len = ASN1_STRING_length(name->d.iPAddress);
    int family = address_len == 4 ? AF_INET : AF_INET6;
    if ((address_len != 4 && address_len != 16) ||
        inet_ntop(family, address, text, sizeof(text)) == NULL)
        return len;
    return append_name(out, size, len, (const uint8_t *)text, strlen(text));
}

/* The DNS names and addresses that a server's certificate is for, as far as there is room. Returns `out`. */
static const char *describe_names(X509 *leaf, char *out, size_t size)
{
    enum { ROOM = 16 }; /* with less, a name is not worth beginning */
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t len = 0;
    ERR_clear_error();
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names) && len + ROOM < size; i++)
        len = append_san(out, size, len, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    if (len == 0)
        snprintf(out, size, "no name at all");
    return out;
}

/* RFC 9525: SANs only; a wildcard stands for the leftmost label. */
static int read_server(const struct x509_pki_check *check, X509 *leaf,
                       struct x509_principal *principal, enum reason *reason, struct err *err)
{
    const char *name = check->pki->server_name;
    bool is_by_address = is_address(name);
    int matches = is_by_address ? X509_check_ip_asc(leaf, name, 0)
                                : X509_check_host(leaf, name, strlen(name),
                                                  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL);
    ERR_clear_error();
    if (matches != 1) {
        char found[NAMES_TEXT];
        err_set(err, ERR_TLS, "it is not for '%.160s' but for %s", name,
                describe_names(leaf, found, sizeof(found)));
        return refuse(reason, REASON_IDENTITY_MISMATCH);
    }
    *principal = (struct x509_principal){.kind = is_by_address ? PRINCIPAL_IP : PRINCIPAL_DNS};
    snprintf(principal->text, sizeof(principal->text), "%s:%s",
             principal_kind_name(principal->kind), name);
    return 0;
}

/* -------------------------------------------------------------------------------------- the lot -- */

static int check_certs(const struct x509_pki_check *check, STACK_OF(X509) *certs,
                       struct x509_pki_facts *facts, enum reason *reason, struct err *err)
{
    X509 *leaf = sk_X509_value(certs, 0);
    if (x509_cert_is_ca(leaf)) {
        err_set(err, ERR_TLS, "it is a CA certificate");
        return refuse(reason, REASON_CERT_IS_CA);
    }
    if (check_path(check, certs, facts, reason, err) < 0)
        return -1;
    return check->pki->peer == PKI_CLIENT
               ? read_client(check, certs, &facts->principal, reason, err)
               : read_server(check, leaf, &facts->principal, reason, err);
}

int x509_pki_verify(const struct x509_pki_check *check, struct x509_pki_facts *facts,
                    enum reason *reason, struct err *err)
{
    *facts = (struct x509_pki_facts){0};
    STACK_OF(X509) *certs = x509_chain_parse(check->chain, reason, err);
    if (certs == NULL)
        return -1;
    const X509 *leaf = sk_X509_value(certs, 0);
    const CRYPTO_BUFFER *der = sk_CRYPTO_BUFFER_value(check->chain, 0);
    x509_cert_serial(leaf, facts->serial);
    x509_cert_fingerprint(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der), facts->fingerprint);
    x509_principal_common_name(leaf, facts->common_name);
    int result = check_certs(check, certs, facts, reason, err);
    char subject[SUBJECT_TEXT];
    if (result < 0 && err->kind != ERR_NOMEM)
        err_prefix(err, "certificate '%s'", x509_cert_subject(leaf, subject, sizeof(subject)));
    sk_X509_pop_free(certs, X509_free);
    return result;
}
