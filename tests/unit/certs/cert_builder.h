/*
 * Makes certificates for tests: roots, intermediates and leaves, right ones and wrong ones. Tests
 * see PEM and DER only. Aborts when something cannot be made. Not for anything outside of tests.
 */
#ifndef REMORA_CERT_BUILDER_H
#define REMORA_CERT_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cert_builder_key {
    CERT_KEY_P256, /* the default */
    CERT_KEY_P384,
    CERT_KEY_P224,
    CERT_KEY_ED25519,
    CERT_KEY_RSA_1024,
    CERT_KEY_RSA_2048,
    CERT_KEY_RSA_4096,
};

enum cert_builder_key_usage {
    CERT_USAGE_DEFAULT =
        0,           /* critical: keyCertSign and cRLSign of a CA, digitalSignature of a leaf */
    CERT_USAGE_NONE, /* no extension */
    CERT_USAGE_NOT_CRITICAL,
    CERT_USAGE_ENCIPHER_ONLY, /* keyEncipherment, without digitalSignature */
    CERT_USAGE_WITH_CERT_SIGN,
    CERT_USAGE_WITH_CRL_SIGN,
};

enum cert_builder_eku {
    CERT_EKU_BOTH = 0, /* serverAuth and clientAuth on a leaf, none on a CA */
    CERT_EKU_NONE,
    CERT_EKU_SERVER,
    CERT_EKU_CLIENT,
    CERT_EKU_CODE_SIGNING, /* nothing else */
    CERT_EKU_ANY,
};

enum { CERT_BUILDER_NAMES_MAX = 3 };

/* What to make. Zeroed: a leaf without any name, valid from an hour ago for two hours, P-256. */
struct cert_spec {
    const char *common_name; /* NULL: none */
    const char *uris[CERT_BUILDER_NAMES_MAX];
    const char *dns[CERT_BUILDER_NAMES_MAX];
    const char *emails[CERT_BUILDER_NAMES_MAX];
    const char *ip;                 /* one IP SAN */
    const char *dns_with_nul;       /* one more DNS SAN: a NUL stands for each '0' */
    const char *second_common_name; /* NULL: none */
    const char *permitted_dns;      /* of a CA: a name constraint */
    bool is_common_name_bmp;        /* encoded as BMPString */
    bool is_version_1;              /* X.509 of 1988, without extensions */
    bool is_ca;                     /* basicConstraints cA true */
    int path_len;                   /* of a CA; 0: not limited; n: n - 1 */
    bool san_twice;                 /* the extension stands twice */
    bool sign_by_sha1;              /* the issuer signs so */
    enum cert_builder_key key;
    enum cert_builder_key_usage usage;
    enum cert_builder_eku eku;
    int64_t not_before_ms; /* wall clock; 0: an hour ago */
    int64_t not_after_ms;  /* 0: in an hour; of a CA, in two */
};

struct cert_built;

/* `issuer` NULL: self-signed. The issuer must outlive what it issued. */
struct cert_built *cert_builder_make(const struct cert_built *issuer, const struct cert_spec *spec);

/* Shorthands: a root by this common name; a right leaf for this SPIFFE ID. */
struct cert_built *cert_builder_root(const char *common_name);
struct cert_built *cert_builder_leaf(const struct cert_built *issuer, const char *uri);

void cert_builder_free(struct cert_built *cert); /* NULL is ignored */

/* Certifies another's key: this key belongs to both from then on (a renewed root). */
struct cert_built *cert_builder_renew(const struct cert_built *old, const struct cert_spec *spec);

/*
 * Issues for the public key of a certificate request (PEM), with the names and times of `spec`; the
 * request's names are ignored, as istiod does. There is no key in the result.
 */
struct cert_built *cert_builder_answer(const struct cert_built *issuer, const char *csr_pem,
                                       const struct cert_spec *spec);

/* All lent until free. NUL-terminated. */
const char *cert_builder_pem(const struct cert_built *cert); /* this certificate */
const char *
cert_builder_chain_pem(const struct cert_built *cert); /* with its issuers, without the root */
const char *cert_builder_key_pem(const struct cert_built *cert); /* PKCS#8 */
const uint8_t *cert_builder_der(const struct cert_built *cert, size_t *len);

/* ---------------------------------------------------------------------------- revocation lists -- */

enum { CRL_SPEC_MAX = 4 };

/* What to make. Zeroed: an empty list of now, for an hour. */
struct crl_spec {
    const struct cert_built *revoked[CRL_SPEC_MAX];
    size_t num_fillers;     /* further serial numbers, of nobody */
    int64_t this_update_ms; /* wall clock; 0: an hour ago */
    int64_t next_update_ms; /* 0: in an hour */
    bool no_next_update;
    bool is_delta;                      /* carries the critical deltaCRLIndicator */
    bool has_distribution_point;        /* carries a critical issuingDistributionPoint */
    const struct cert_built *signed_by; /* NULL: by its issuer */
};

struct crl_built {
    uint8_t *der;
    size_t der_len;
    char *pem; /* NUL-terminated */
};

struct crl_built *cert_builder_crl(const struct cert_built *issuer, const struct crl_spec *spec);
void cert_builder_free_crl(struct crl_built *crl); /* NULL is ignored */

#endif
