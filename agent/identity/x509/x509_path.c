#include "x509_path.h"

#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "clock.h"
#include "trust_bundle_root.h"
#include "x509_cert.h"

enum { SUBJECT_TEXT = 96 };

const char *x509_path_describe(const STACK_OF(X509) *path, size_t index, char *out, size_t size)
{
    if (index == 0) {
        snprintf(out, size, "the certificate");
        return out;
    }
    char subject[SUBJECT_TEXT];
    x509_cert_subject(sk_X509_value(path, index), subject, sizeof(subject));
    snprintf(out, size, "%s '%s'", index + 1 == sk_X509_num(path) ? "the root" : "the intermediate",
             subject);
    return out;
}

/* ----------------------------------------------------------------------------------- finding -- */

/*
 * Time is judged after the path is found, so that an expired certificate of an unknown issuer is
 * called untrusted, not expired. API version 17 has no flag for that.
 */
static int on_verify_error(int ok, X509_STORE_CTX *ctx)
{
    int error = X509_STORE_CTX_get_error(ctx);
    if (error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_CERT_HAS_EXPIRED)
        return 1;
    return ok;
}

static void set_path_err(X509 *root, int error, int depth, struct err *err)
{
    char subject[SUBJECT_TEXT];
    err_set(err, ERR_TLS, "no valid path to our root '%s': %s (certificate %d of the path)",
            x509_cert_subject(root, subject, sizeof(subject)), X509_verify_cert_error_string(error),
            depth + 1);
}

/*
 * BoringSSL asks this of those below the root only, and so an intermediate that is made an anchor
 * would be allowed more than one that is not. What is self-issued is not counted (RFC 5280, 6.1.4).
 */
static bool keeps_path_length_of_root(const STACK_OF(X509) *path)
{
    size_t num = sk_X509_num(path);
    long max = X509_get_pathlen(sk_X509_value(path, num - 1)); /* -1: any */
    long num_between = 0;
    for (size_t i = 1; i + 1 < num; i++)
        if ((X509_get_extension_flags(sk_X509_value(path, i)) & EXFLAG_SI) == 0)
            num_between++;
    return max < 0 || num_between <= max;
}

static int prepare(X509_STORE_CTX *ctx, X509_STORE *store, STACK_OF(X509) *chain,
                   STACK_OF(X509) *root)
{
    if (!X509_STORE_CTX_init(ctx, store, sk_X509_value(chain, 0), chain))
        return -1;
    X509_STORE_CTX_trusted_stack(ctx, root);
    X509_STORE_CTX_set_verify_cb(ctx, on_verify_error);
    /*
     * Every certificate of a bundle is an anchor, self-signed or not: a bundle may name an
     * intermediate.
     */
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(ctx), CERT_CHAIN_MAX);
    return 0;
}

/* The path that was found, or NULL with *err. */
static STACK_OF(X509) *take_path(X509_STORE_CTX *ctx, X509 *root, struct err *err)
{
    STACK_OF(X509) *path = X509_STORE_CTX_get1_chain(ctx);
    if (path == NULL || keeps_path_length_of_root(path))
        return path;
    set_path_err(root, X509_V_ERR_PATH_LENGTH_EXCEEDED, (int)sk_X509_num(path) - 1, err);
    sk_X509_pop_free(path, X509_free);
    return NULL;
}

/* The path to this one root, or NULL with *err. */
static STACK_OF(X509) *find_to(STACK_OF(X509) *chain, const struct trust_bundle *bundle,
                               size_t index, struct err *err)
{
    STACK_OF(X509) *path = NULL;
    X509 *root = trust_bundle_root_get(bundle, index);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    err_set(err, ERR_NOMEM, "out of memory");
    if (store != NULL && ctx != NULL &&
        prepare(ctx, store, chain, trust_bundle_root_stack(bundle, index)) == 0) {
        if (X509_verify_cert(ctx) == 1)
            path = take_path(ctx, root, err);
        else if (X509_STORE_CTX_get_error(ctx) != X509_V_ERR_OUT_OF_MEM)
            set_path_err(root, X509_STORE_CTX_get_error(ctx), X509_STORE_CTX_get_error_depth(ctx),
                         err);
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return path;
}

/* Whether any certificate of the chain says that this root issued it. */
static bool may_be_issuer(const X509 *root, const STACK_OF(X509) *chain)
{
    const X509_NAME *name = X509_get_subject_name(root);
    for (size_t i = 0; i < sk_X509_num(chain); i++)
        if (X509_NAME_cmp(X509_get_issuer_name(sk_X509_value(chain, i)), name) == 0)
            return true;
    return false;
}

static void set_no_root_err(const STACK_OF(X509) *chain, const struct trust_bundle *bundle,
                            struct err *err)
{
    const X509 *top = sk_X509_value(chain, sk_X509_num(chain) - 1);
    char issuer[SUBJECT_TEXT] = "";
    X509_NAME_oneline(X509_get_issuer_name(top), issuer, sizeof(issuer));
    ERR_clear_error();
    const char *trust_domain = trust_bundle_trust_domain(bundle);
    bool has_domain = trust_domain[0] != '\0';
    err_set(err, ERR_TLS, "issued by '%s', which is none of our %zu root(s)%s%s%s", issuer,
            trust_bundle_num_roots(bundle), has_domain ? " of trust domain '" : "", trust_domain,
            has_domain ? "'" : "");
}

STACK_OF(X509) *x509_path_find(STACK_OF(X509) *chain, const struct trust_bundle *bundle,
                               int64_t now_ms, struct err *err)
{
    STACK_OF(X509) *untimely = NULL; /* leads to a root, but is not valid now */
    bool was_tried = false;
    for (size_t i = 0; i < trust_bundle_num_roots(bundle); i++) {
        if (!may_be_issuer(trust_bundle_root_get(bundle, i), chain))
            continue;
        was_tried = true;
        STACK_OF(X509) *path = find_to(chain, bundle, i, err);
        if (path == NULL && err->kind == ERR_NOMEM)
            break;
        if (path == NULL)
            continue;
        int64_t not_before_ms, not_after_ms;
        enum reason ignored;
        if (x509_path_check_time(path, now_ms, &not_before_ms, &not_after_ms, &ignored, err) == 0) {
            sk_X509_pop_free(untimely, X509_free);
            return path;
        }
        if (untimely == NULL)
            untimely = path;
        else
            sk_X509_pop_free(path, X509_free);
    }
    if (!was_tried)
        set_no_root_err(chain, bundle, err);
    return untimely;
}

/* ---------------------------------------------------------------------------------- checking -- */

int x509_path_check_strength(const STACK_OF(X509) *path, struct err *err)
{
    char which[X509_PATH_WHICH_MAX];
    for (size_t i = 0; i + 1 < sk_X509_num(path); i++) {
        X509 *cert = sk_X509_value(path, i);
        if (x509_cert_check_key(cert, err) < 0 ||
            x509_cert_check_signature_algorithm(cert, err) < 0)
            return err_prefix(err, "%s", x509_path_describe(path, i, which, sizeof(which)));
    }
    return 0;
}

/*
 * RFC 5280, 4.2.1.12: absent, everything is permitted. A CA's is a limit of what it issues, as
 * everybody reads it; "any" is said by CAs that do not want to be limited.
 */
int x509_path_check_extended_key_usage(const STACK_OF(X509) *path, uint32_t wanted, struct err *err)
{
    char which[X509_PATH_WHICH_MAX];
    for (size_t i = 0; i + 1 < sk_X509_num(path); i++) {
        X509 *cert = sk_X509_value(path, i);
        uint32_t usage = X509_get_extended_key_usage(cert);
        if (X509_get_ext_by_NID(cert, NID_ext_key_usage, -1) < 0 || (usage & wanted) != 0 ||
            (i > 0 && (usage & XKU_ANYEKU) != 0))
            continue;
        return err_set(err, ERR_TLS, "the extended key usage of %s lacks %s",
                       x509_path_describe(path, i, which, sizeof(which)),
                       wanted == XKU_SSL_CLIENT ? "clientAuth" : "serverAuth");
    }
    return 0;
}

/* "42 s", "7 min", "3 h", "12 days": one unit is enough to see what kind of mistake it is. */
static const char *duration(int64_t ms, char *out, size_t size)
{
    int64_t s = ms / 1000;
    if (s < 120)
        snprintf(out, size, "%lld s", (long long)s);
    else if (s < 2 * 3600)
        snprintf(out, size, "%lld min", (long long)(s / 60));
    else if (s < 2 * 86400)
        snprintf(out, size, "%lld h", (long long)(s / 3600));
    else
        snprintf(out, size, "%lld days", (long long)(s / 86400));
    return out;
}

/* The seconds, too: they say by how much a clock is wrong. */
static void set_time_err(const STACK_OF(X509) *path, size_t index, const char *verb, int64_t at_ms,
                         int64_t now_ms, struct err *err)
{
    char which[X509_PATH_WHICH_MAX], how_long[32], when[CLOCK_TEXT_MAX];
    bool is_past = at_ms <= now_ms;
    int64_t off_ms = is_past ? now_ms - at_ms : at_ms - now_ms;
    err_set(err, ERR_TLS, "%s %s %s%s%s (%lld s, at %s); is a clock wrong here or there?",
            x509_path_describe(path, index, which, sizeof(which)), verb, is_past ? "" : "in ",
            duration(off_ms, how_long, sizeof(how_long)), is_past ? " ago" : "",
            (long long)(off_ms / 1000), clock_format(at_ms, when));
}

int x509_path_check_time(const STACK_OF(X509) *path, int64_t now_ms, int64_t *not_before_ms,
                         int64_t *not_after_ms, enum reason *reason, struct err *err)
{
    *not_before_ms = INT64_MIN;
    *not_after_ms = INT64_MAX;
    for (size_t i = 0; i < sk_X509_num(path); i++) {
        char which[X509_PATH_WHICH_MAX];
        int64_t start_ms, end_ms;
        if (x509_cert_times(sk_X509_value(path, i), &start_ms, &end_ms) < 0) {
            *reason = REASON_CERT_MALFORMED;
            return err_set(err, ERR_TLS, "the validity of %s cannot be read",
                           x509_path_describe(path, i, which, sizeof(which)));
        }
        if (now_ms < start_ms) {
            *reason = REASON_CERT_NOT_YET_VALID;
            set_time_err(path, i, "becomes valid", start_ms, now_ms, err);
            return -1;
        }
        /* notAfter itself is still inside (RFC 5280, 4.1.2.5); it has whole seconds. */
        if (now_ms >= end_ms + 1000) {
            *reason = REASON_CERT_EXPIRED;
            set_time_err(path, i, "expired", end_ms, now_ms, err);
            return -1;
        }
        if (start_ms > *not_before_ms)
            *not_before_ms = start_ms;
        if (end_ms < *not_after_ms)
            *not_after_ms = end_ms;
    }
    return 0;
}
