#include "inspect.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cert_findings.h"
#include "clock.h"
#include "file_read.h"
#include "inspect_chain.h"
#include "inspect_text.h"
#include "svid_key.h"

/* What to judge by, from the files. */
struct judge {
    struct trust_bundle *bundle;    /* of the mesh; NULL: not given, as for the others */
    struct trust_bundle *client_ca; /* of an application's own door */
    struct trust_bundle *server_ca; /* of a destination */
    struct crl_set *crls;
};

static enum inspect_exit out_of_memory(struct err *err)
{
    err_set(err, ERR_NOMEM, "out of memory");
    return INSPECT_FAILED;
}

/* ------------------------------------------------------------------------------------- the files -- */

static void judge_done(struct judge *judge)
{
    trust_bundle_unref(judge->bundle);
    trust_bundle_unref(judge->client_ca);
    trust_bundle_unref(judge->server_ca);
    crl_set_unref(judge->crls);
}

/* PEM, unless it begins as DER does. */
static struct cert_bytes as_bytes(const uint8_t *bytes, size_t len)
{
    bool is_der = len > 0 && bytes[0] == 0x30;
    return (struct cert_bytes){
        .bytes = bytes, .len = len, .encoding = is_der ? CERT_DER : CERT_PEM};
}

static int read_bundle(struct trust_bundle **bundle, const char *path, const char *trust_domain,
                       struct err *err)
{
    size_t len;
    uint8_t *bytes = file_read(path, INSPECT_CHAIN_FILE_MAX, &len, err);
    if (bytes == NULL)
        return -1;
    const struct cert_bytes certs = as_bytes(bytes, len);
    *bundle = trust_bundle_new(trust_domain, &certs, err);
    file_read_free(bytes, len);
    return *bundle == NULL ? err_prefix(err, "%s", path) : 0;
}

static int read_crls(struct judge *judge, const char *path, struct err *err)
{
    size_t len;
    if (path[0] == '\0')
        return 0;
    uint8_t *bytes = file_read(path, CRL_DER_MAX, &len, err);
    if (bytes == NULL)
        return -1;
    const struct cert_bytes lists = as_bytes(bytes, len);
    judge->crls = crl_set_new(&lists, 1, err);
    file_read_free(bytes, len);
    return judge->crls == NULL ? err_prefix(err, "%s", path) : 0;
}

/* ------------------------------------------------------------------------------------ the verdict -- */

/* The trust domain that the leaf claims; false when it claims none in the right form. */
static bool find_trust_domain(const struct peer_cert_der *leaf, char *out, size_t size)
{
    const uint8_t *at = leaf->bytes;
    X509 *cert = d2i_X509(NULL, &at, (long)leaf->len);
    GENERAL_NAMES *names =
        cert == NULL ? NULL : X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (size_t i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct spiffe_id id;
        if (name->type != GEN_URI)
            continue;
        const ASN1_STRING *uri = name->d.uniformResourceIdentifier;
        if (spiffe_id_parse(&id, (const char *)ASN1_STRING_get0_data(uri),
                            (size_t)ASN1_STRING_length(uri), NULL) < 0)
            continue;
        found = snprintf(out, size, "%s", id.trust_domain) < (int)size;
        spiffe_id_done(&id);
    }
    GENERAL_NAMES_free(names);
    X509_free(cert);
    ERR_clear_error();
    return found;
}

static int say_good(const struct peer_cert *peer, int64_t now_ms, struct buf *out)
{
    char until[CLOCK_TEXT_MAX], how_long[INSPECT_TEXT_DURATION_MAX];
    return buf_printf(out,
                      "verdict: good: peers that trust these roots take it for %s until %s, %s "
                      "from now\n",
                      peer->id.uri, clock_format(peer->not_after_ms, until),
                      inspect_text_duration(peer->not_after_ms - now_ms, how_long));
}

static int say_good_outside(const struct pki *pki, const struct peer_cert *peer, int64_t now_ms,
                            struct buf *out)
{
    char until[CLOCK_TEXT_MAX], how_long[INSPECT_TEXT_DURATION_MAX];
    return buf_printf(out, "verdict: good: %s for %s until %s, %s from now\n",
                      pki->peer == PKI_CLIENT ? "an mtls port with this client-ca takes the caller"
                                              : "destinations with this ca take the server",
                      peer->principal, clock_format(peer->not_after_ms, until),
                      inspect_text_duration(peer->not_after_ms - now_ms, how_long));
}

static int say_refused(enum reason reason, const struct err *why, struct buf *out)
{
    return buf_printf(out, "verdict: refused (%s): %s\n  %s\n", reason_name(reason), why->message,
                      reason_sentence(reason));
}

static enum inspect_exit check_identity(const struct inspect_config *config,
                                        const struct peer_cert *peer, int64_t now_ms,
                                        struct buf *out, struct err *err)
{
    bool is_other = config->identity[0] != '\0' && strcmp(config->identity, peer->id.uri) != 0;
    int result = is_other
                     ? buf_printf(out, "verdict: refused (identity_mismatch): it is %s, not %s\n",
                                  peer->id.uri, config->identity)
                     : say_good(peer, now_ms, out);
    if (result < 0)
        return out_of_memory(err);
    return is_other ? INSPECT_REFUSED : INSPECT_GOOD;
}

static enum inspect_exit verify(const struct inspect_config *config,
                                const struct inspect_chain *chain, const struct judge *judge,
                                int64_t now_ms, struct buf *out, struct err *err)
{
    struct trust_bundle *const bundles[] = {judge->bundle};
    const struct trust trust = {.bundles = bundles, .num_bundles = 1, .crls = judge->crls};
    const struct peer_cert_check check = {
        .chain = chain->certs,
        .num_certs = chain->num_certs,
        .trust = &trust,
        .rules = {.legacy_key_usage = config->legacy_key_usage},
        .now_ms = now_ms,
    };
    enum reason reason;
    struct err why;
    struct peer_cert *peer = peer_cert_verify(&check, &reason, &why);
    if (peer == NULL)
        return say_refused(reason, &why, out) < 0 ? out_of_memory(err) : INSPECT_REFUSED;
    enum inspect_exit exit = check_identity(config, peer, now_ms, out, err);
    peer_cert_unref(peer);
    return exit;
}

/* The trust domain whose roots the trust bundle has: as it was given, or claimed. */
static const char *trust_domain_of(const struct inspect_config *config,
                                   const struct inspect_chain *chain,
                                   char claimed[SPIFFE_TRUST_DOMAIN_MAX + 1])
{
    if (config->trust_domain[0] != '\0')
        return config->trust_domain;
    /* Where it claims none, it is refused for that, whosever the roots are. */
    return find_trust_domain(&chain->certs[0], claimed, SPIFFE_TRUST_DOMAIN_MAX + 1) ? claimed
                                                                                     : "none";
}

/* As an application's own door judges its callers, and a destination's entry its server. */
static enum inspect_exit verify_outside(const struct pki *pki, const struct inspect_chain *chain,
                                        const struct judge *judge, int64_t now_ms, struct buf *out,
                                        struct err *err)
{
    struct trust_bundle *const mesh[] = {judge->bundle};
    const struct trust trust = {
        .bundles = mesh, .num_bundles = judge->bundle == NULL ? 0 : 1, .crls = judge->crls};
    enum reason reason;
    struct err why;
    struct peer_cert *peer =
        peer_cert_verify(&(struct peer_cert_check){.chain = chain->certs,
                                                   .num_certs = chain->num_certs,
                                                   .trust = &trust,
                                                   .pki = pki,
                                                   .now_ms = now_ms},
                         &reason, &why);
    bool is_good = peer != NULL;
    int result =
        is_good ? say_good_outside(pki, peer, now_ms, out) : say_refused(reason, &why, out);
    peer_cert_unref(peer);
    if (result < 0)
        return out_of_memory(err);
    return is_good ? INSPECT_GOOD : INSPECT_REFUSED;
}

static enum inspect_exit verify_caller(const struct inspect_config *config,
                                       const struct inspect_chain *chain, const struct judge *judge,
                                       int64_t now_ms, struct buf *out, struct err *err)
{
    struct pki pki = {
        .peer = PKI_CLIENT, .roots = judge->client_ca, .max_intermediates = config->verify_depth};
    inspect_config_principals(config->principal_from, &pki);
    return verify_outside(&pki, chain, judge, now_ms, out, err);
}

static enum inspect_exit verify_server(const struct inspect_config *config,
                                       const struct inspect_chain *chain, const struct judge *judge,
                                       int64_t now_ms, struct buf *out, struct err *err)
{
    char name[PRINCIPAL_DNS_MAX + 1];
    size_t len = 0;
    for (const char *at = config->server_name; *at != '\0' && len < PRINCIPAL_DNS_MAX; at++)
        name[len++] = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    name[len] = '\0';
    const struct pki pki = {.peer = PKI_SERVER,
                            .roots = judge->server_ca,
                            .max_intermediates = config->verify_depth,
                            .server_name = name};
    return verify_outside(&pki, chain, judge, now_ms, out, err);
}

static int read_judge(struct judge *judge, const struct inspect_config *config,
                      const struct inspect_chain *chain, struct err *err)
{
    char claimed[SPIFFE_TRUST_DOMAIN_MAX + 1];
    if (config->trust_bundle_file[0] != '\0' &&
        read_bundle(&judge->bundle, config->trust_bundle_file,
                    trust_domain_of(config, chain, claimed), err) < 0)
        return -1;
    if (config->client_ca_file[0] != '\0' &&
        read_bundle(&judge->client_ca, config->client_ca_file, NULL, err) < 0)
        return -1;
    if (config->server_ca_file[0] != '\0' &&
        read_bundle(&judge->server_ca, config->server_ca_file, NULL, err) < 0)
        return -1;
    return read_crls(judge, config->crl_file, err);
}

/* Without roots: only what is no certificate is bad for sure. */
static enum inspect_exit judge_by_nothing(const struct inspect_chain *chain, struct buf *out,
                                          struct err *err)
{
    static const char NONE[] =
        "verdict: none; --trust-bundle, --client-ca or --server-ca gives the "
        "roots to judge by\n";
    size_t i = 0;
    while (i < chain->num_certs && inspect_text_is_cert(&chain->certs[i]))
        i++;
    if (i == chain->num_certs)
        return buf_append_str(out, NONE) < 0 ? out_of_memory(err) : INSPECT_GOOD;
    struct err why;
    err_set(&why, ERR_INVALID, "certificate %zu of %zu is none that could be read", i + 1,
            chain->num_certs);
    return say_refused(REASON_CERT_MALFORMED, &why, out) < 0 ? out_of_memory(err) : INSPECT_REFUSED;
}

static enum inspect_exit judge_chain(const struct inspect_config *config,
                                     const struct inspect_chain *chain, int64_t now_ms,
                                     struct buf *out, struct err *err)
{
    struct judge judge = {0};
    enum inspect_exit exit;
    if (read_judge(&judge, config, chain, err) < 0)
        exit = INSPECT_NOT_READ;
    else if (judge.client_ca != NULL)
        exit = verify_caller(config, chain, &judge, now_ms, out, err);
    else if (judge.server_ca != NULL)
        exit = verify_server(config, chain, &judge, now_ms, out, err);
    else if (judge.bundle != NULL)
        exit = verify(config, chain, &judge, now_ms, out, err);
    else
        exit = judge_by_nothing(chain, out, err);
    judge_done(&judge);
    return exit;
}

/* ---------------------------------------------------------------------------- whatever the issuer -- */

/* A CA's is no mistake; it is only nothing to come with. */
static int say_is_ca(const struct cert_finding *findings, size_t num, struct buf *out)
{
    for (size_t i = 0; i < num; i++)
        if (findings[i].reason == REASON_CERT_IS_CA)
            return buf_append_str(out, "  It may stand in a --trust-bundle or a --client-ca; who "
                                       "presents it is refused.\n");
    return 0;
}

static int say_findings(const char *who, const struct peer_cert_der *leaf, const struct pki *pki,
                        int64_t now_ms, struct buf *out)
{
    struct cert_finding findings[CERT_FINDINGS_MAX];
    size_t num = cert_findings_list(leaf, pki, now_ms, findings);
    int result = num == 0 ? buf_printf(out, "%s: nothing against it but, maybe, its issuer\n", who)
                          : buf_printf(out, "%s: would refuse it, whoever has issued it\n", who);
    for (size_t i = 0; i < num && result == 0; i++)
        result =
            buf_printf(out, "  %s: %s\n", reason_name(findings[i].reason), findings[i].why.message);
    return result < 0 ? -1 : say_is_ca(findings, num, out);
}

/* The most frequent mistake with files that are put together by hand. */
static int say_order(const struct inspect_chain *chain, struct buf *out)
{
    size_t i = 0;
    if (!inspect_text_is_ca(&chain->certs[0]))
        return 0;
    while (i < chain->num_certs && inspect_text_is_ca(&chain->certs[i]))
        i++;
    return i == chain->num_certs
               ? 0
               : buf_printf(out,
                            "the order is wrong: certificate %zu is no CA's and has to come first, "
                            "the CAs' that lead to its root behind it\n",
                            i + 1);
}

static int explain(const struct inspect_config *config, const struct inspect_chain *chain,
                   int64_t now_ms, struct buf *out)
{
    struct pki pki = {.peer = PKI_CLIENT};
    inspect_config_principals(config->principal_from, &pki);
    if (say_order(chain, out) < 0)
        return -1;
    return say_findings("peers in the mesh", &chain->certs[0], NULL, now_ms, out) < 0
               ? -1
               : say_findings("an mtls port", &chain->certs[0], &pki, now_ms, out);
}

/* --------------------------------------------------------------------------------------- the key -- */

static bool is_key_of(const struct peer_cert_der *leaf, EVP_PKEY *key)
{
    const uint8_t *at = leaf->bytes;
    X509 *cert = d2i_X509(NULL, &at, (long)leaf->len);
    bool result = cert != NULL && X509_check_private_key(cert, key);
    X509_free(cert);
    ERR_clear_error();
    return result;
}

static enum inspect_exit check_key(const char *path, const struct inspect_chain *chain,
                                   struct buf *out, struct err *err)
{
    size_t len;
    uint8_t *bytes = file_read(path, INSPECT_CHAIN_FILE_MAX, &len, err);
    if (bytes == NULL)
        return INSPECT_NOT_READ;
    EVP_PKEY *key = svid_key_read_pem((const char *)bytes, len, err);
    file_read_free(bytes, len);
    if (key == NULL) {
        err_prefix(err, "%s", path);
        return INSPECT_NOT_READ;
    }
    bool belongs = is_key_of(&chain->certs[0], key);
    EVP_PKEY_free(key);
    if (buf_printf(out, "key: %s %s\n", path,
                   belongs ? "belongs to the certificate" : "does not belong to the certificate") <
        0)
        return out_of_memory(err);
    return belongs ? INSPECT_GOOD : INSPECT_REFUSED;
}

/* ------------------------------------------------------------------------------------- the whole -- */

static enum inspect_exit inspect_chain(const struct inspect_config *config,
                                       const struct inspect_chain *chain, struct buf *out,
                                       struct err *err)
{
    int64_t now_ms = clock_wall_ms();
    enum inspect_exit key_exit = INSPECT_GOOD;
    if (inspect_text_write(chain, now_ms, out) < 0 || explain(config, chain, now_ms, out) < 0)
        return out_of_memory(err);
    if (config->key_file[0] != '\0')
        key_exit = check_key(config->key_file, chain, out, err);
    if (key_exit != INSPECT_GOOD && key_exit != INSPECT_REFUSED)
        return key_exit;
    enum inspect_exit exit = judge_chain(config, chain, now_ms, out, err);
    return exit == INSPECT_GOOD ? key_exit : exit;
}

enum inspect_exit inspect_run(const struct inspect_config *config, struct buf *out, struct err *err)
{
    struct inspect_chain chain = {0};
    bool is_file = config->file[0] != '\0';
    int result = is_file ? inspect_chain_read(&chain, config->file, err)
                         : inspect_chain_fetch(&chain, config->address, config->server_name,
                                               config->timeout_ms, err);
    if (result < 0)
        return is_file ? INSPECT_NOT_READ : INSPECT_UNREACHABLE;
    enum inspect_exit exit = inspect_chain(config, &chain, out, err);
    inspect_chain_done(&chain);
    return exit;
}
