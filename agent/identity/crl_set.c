#include "crl_set.h"

#include <assert.h>
#include <stdlib.h>

#include "clock.h"
#include "refcount.h"
#include "x509_cert.h"
#include "x509_crl.h"
#include "x509_path.h"
#include "x509_read.h"

struct crl_set {
    struct refcount refs;
    size_t num;
    struct x509_crl *crls[CRL_SET_MAX];
};

static struct crl_set *set_new(struct err *err)
{
    struct crl_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        err_set(err, ERR_NOMEM, "out of memory");
    else
        refcount_init(&set->refs);
    return set;
}

static bool has(const struct crl_set *set, const struct x509_crl *crl)
{
    for (size_t i = 0; i < crl_set_num(set); i++)
        if (x509_crl_is_same(set->crls[i], crl))
            return true;
    return false;
}

/* Takes the reference. */
static int add(struct crl_set *set, struct x509_crl *crl, struct err *err)
{
    if (has(set, crl)) {
        x509_crl_unref(crl);
        return 0;
    }
    if (set->num == CRL_SET_MAX) {
        x509_crl_unref(crl);
        return err_set(err, ERR_LIMIT, "more than the %d revocation lists that are allowed in all",
                       CRL_SET_MAX);
    }
    set->crls[set->num++] = crl;
    return 0;
}

static int add_text(struct crl_set *set, const struct cert_bytes *text, struct err *err)
{
    STACK_OF(CRYPTO_BUFFER) *ders = x509_read_crls(text, CRL_SET_MAX, CRL_DER_MAX, err);
    if (ders == NULL)
        return -1;
    int result = 0;
    size_t num = sk_CRYPTO_BUFFER_num(ders);
    for (size_t i = 0; i < num && result == 0; i++) {
        struct x509_crl *crl = x509_crl_new(sk_CRYPTO_BUFFER_value(ders, i), err);
        if (crl == NULL)
            result = err_prefix(err, "revocation list %zu of %zu", i + 1, num);
        else
            result = add(set, crl, err);
    }
    sk_CRYPTO_BUFFER_pop_free(ders, CRYPTO_BUFFER_free);
    return result;
}

struct crl_set *crl_set_new(const struct cert_bytes *texts, size_t num, struct err *err)
{
    struct crl_set *set = set_new(err);
    for (size_t i = 0; set != NULL && i < num; i++) {
        if (add_text(set, &texts[i], err) < 0) {
            crl_set_unref(set);
            set = NULL;
        }
    }
    return set;
}

struct crl_set *crl_set_merge(struct crl_set *a, struct crl_set *b, struct err *err)
{
    struct crl_set *merged = set_new(err);
    struct crl_set *const parts[] = {a, b};
    for (size_t i = 0; merged != NULL && i < 2; i++) {
        for (size_t j = 0; merged != NULL && j < crl_set_num(parts[i]); j++) {
            if (add(merged, x509_crl_ref(parts[i]->crls[j]), err) < 0) {
                crl_set_unref(merged);
                merged = NULL;
            }
        }
    }
    return merged;
}

struct crl_set *crl_set_merge_fitting(struct crl_set *a, struct crl_set *b, struct err *err)
{
    struct crl_set *merged = set_new(err);
    struct crl_set *const parts[] = {a, b};
    for (size_t i = 0; merged != NULL && i < 2; i++)
        for (size_t j = 0; j < crl_set_num(parts[i]) && merged->num < CRL_SET_MAX; j++)
            add(merged, x509_crl_ref(parts[i]->crls[j]), err);
    return merged;
}

struct crl_set *crl_set_ref(struct crl_set *set)
{
    refcount_get(&set->refs);
    return set;
}

void crl_set_unref(struct crl_set *set)
{
    if (set == NULL || !refcount_put(&set->refs))
        return;
    for (size_t i = 0; i < set->num; i++)
        x509_crl_unref(set->crls[i]);
    free(set);
}

bool crl_set_is_same(const struct crl_set *a, const struct crl_set *b)
{
    if (a == b)
        return true;
    if (crl_set_num(a) != crl_set_num(b))
        return false;
    for (size_t i = 0; i < crl_set_num(a); i++)
        if (!has(b, a->crls[i]))
            return false;
    return true;
}

size_t crl_set_num(const struct crl_set *set)
{
    return set == NULL ? 0 : set->num;
}

void crl_set_info(const struct crl_set *set, size_t index, struct crl_info *info)
{
    assert(index < crl_set_num(set));
    x509_crl_info(set->crls[index], info);
}

const uint8_t *crl_set_der(const struct crl_set *set, size_t index, size_t *len)
{
    assert(index < crl_set_num(set));
    return x509_crl_der(set->crls[index], len);
}

/* --------------------------------------------------------------------------------- judging -- */

/* What the lists of one certificate's issuer say. */
struct finding {
    bool is_revoked;
    bool is_unknown; /* out of memory */
    size_t num_lists;
    size_t num_timely;
    int64_t best_next_ms; /* the latest nextUpdate, when none is timely */
};

static struct finding look(const struct crl_set *set, const X509 *cert, X509 *issuer,
                           int64_t now_ms)
{
    struct finding finding = {.best_next_ms = INT64_MIN};
    for (size_t i = 0; i < set->num && !finding.is_revoked && !finding.is_unknown; i++) {
        int is_issuer = x509_crl_is_issued_by(set->crls[i], issuer);
        finding.is_unknown = is_issuer < 0;
        if (is_issuer <= 0)
            continue;
        int64_t begins_ms, ends_ms;
        x509_crl_times(set->crls[i], &begins_ms, &ends_ms);
        finding.num_lists++;
        finding.num_timely += begins_ms <= now_ms && now_ms <= ends_ms;
        if (ends_ms > finding.best_next_ms)
            finding.best_next_ms = ends_ms;
        int is_listed = x509_crl_has(set->crls[i], cert);
        finding.is_unknown = is_listed < 0;
        finding.is_revoked = is_listed > 0;
    }
    return finding;
}

int crl_set_check_path(const struct crl_set *set, const STACK_OF(X509) *path, bool strict,
                       int64_t now_ms, enum reason *reason, struct err *err)
{
    if (set == NULL)
        return 0;
    char which[X509_PATH_WHICH_MAX], when[CLOCK_TEXT_MAX];
    /* Not the root: nobody but us can withdraw it. */
    for (size_t i = 0; i + 1 < sk_X509_num(path); i++) {
        const X509 *cert = sk_X509_value(path, i);
        struct finding finding = look(set, cert, sk_X509_value(path, i + 1), now_ms);
        if (finding.is_unknown) {
            *reason = REASON_NO_MEMORY;
            return err_set(err, ERR_NOMEM, "out of memory");
        }
        if (finding.is_revoked) {
            char serial[CERT_SERIAL_TEXT_MAX];
            x509_cert_serial(cert, serial);
            *reason = REASON_CERT_REVOKED;
            return err_set(err, ERR_TLS, "%s is revoked by its issuer (serial %s)",
                           x509_path_describe(path, i, which, sizeof(which)), serial);
        }
        if (strict && finding.num_lists > 0 && finding.num_timely == 0) {
            *reason = REASON_CRL_EXPIRED;
            return err_set(err, ERR_TLS,
                           "the revocation list for %s ended at %s or has not begun; is a clock "
                           "wrong?",
                           x509_path_describe(path, i, which, sizeof(which)),
                           clock_format(finding.best_next_ms, when));
        }
    }
    return 0;
}
