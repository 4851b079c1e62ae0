#include "inspect_text.h"

#include <inttypes.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "addr.h"
#include "clock.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    DAY = 24 * HOUR,
    NAME_TEXT_MAX = 512,
};

/* --------------------------------------------------------------------------------------- times -- */

const char *inspect_text_duration(int64_t ms, char out[INSPECT_TEXT_DURATION_MAX])
{
    const int64_t units[] = {DAY, HOUR, MINUTE, SECOND};
    static const char *const NAMES[] = {"days", "h", "min", "s"};
    size_t i = 0;
    while (i < 3 && ms < units[i])
        i++;
    int64_t first = ms / units[i];
    int len = snprintf(out, INSPECT_TEXT_DURATION_MAX, "%" PRId64 " %s", first,
                       i == 0 && first == 1 ? "day" : NAMES[i]);
    int64_t second = i < 3 ? ms % units[i] / units[i + 1] : 0;
    if (second > 0)
        snprintf(out + len, INSPECT_TEXT_DURATION_MAX - (size_t)len, " %" PRId64 " %s", second,
                 NAMES[i + 1]);
    return out;
}

/* By difference: API version 17 has no function that gives the seconds since 1970. */
static int to_ms(const ASN1_TIME *time, int64_t *ms)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    bool is_known = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, time);
    ASN1_TIME_free(epoch);
    if (!is_known)
        return -1;
    *ms = ((int64_t)days * 86400 + seconds) * 1000;
    return 0;
}

static int add_time(struct buf *out, const char *label, const ASN1_TIME *time, int64_t now_ms)
{
    char text[CLOCK_TEXT_MAX], how_long[INSPECT_TEXT_DURATION_MAX];
    int64_t ms;
    if (to_ms(time, &ms) < 0)
        return buf_printf(out, "  %s  cannot be read\n", label);
    clock_format(ms, text);
    if (ms > now_ms)
        return buf_printf(out, "  %s  %s (in %s)\n", label, text,
                          inspect_text_duration(ms - now_ms, how_long));
    return buf_printf(out, "  %s  %s (%s ago)\n", label, text,
                      inspect_text_duration(now_ms - ms, how_long));
}

/* --------------------------------------------------------------------------------------- names -- */

/* What comes from a certificate may hold anything; only what is printable is printed. */
static int add_escaped(struct buf *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool is_plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\';
        if (buf_printf(out, is_plain ? "%c" : "\\x%02x", bytes[i]) < 0)
            return -1;
    }
    return 0;
}

static int add_name(struct buf *out, const char *label, const X509_NAME *name)
{
    char text[NAME_TEXT_MAX] = "";
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL)
        return -1;
    /* XN_FLAG_RFC2253 escapes what is not printable. */
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        int len = BIO_read(bio, text, sizeof(text) - 1);
        text[len < 0 ? 0 : len] = '\0';
    }
    BIO_free(bio);
    return buf_printf(out, "  %s  %s\n", label, text[0] == '\0' ? "(empty)" : text);
}

static int add_address(struct buf *out, const ASN1_STRING *octets)
{
    struct ip ip;
    char text[ADDR_TEXT_MAX];
    bool is_known = ip_from_bytes(&ip, ASN1_STRING_get0_data(octets),
                                  (size_t)ASN1_STRING_length(octets), NULL) == 0;
    return buf_printf(out, "  address        %s\n",
                      is_known ? ip_format(&ip, text) : "cannot be read");
}

static int add_alternative_name(struct buf *out, const GENERAL_NAME *name, bool is_ca)
{
    const ASN1_STRING *text = NULL;
    const char *label = NULL;
    if (name->type == GEN_URI) {
        text = name->d.uniformResourceIdentifier;
        label = is_ca ? "URI          " : "identity     ";
    } else if (name->type == GEN_DNS) {
        text = name->d.dNSName;
        label = "DNS name     ";
    } else if (name->type == GEN_EMAIL) {
        text = name->d.rfc822Name;
        label = "e-mail       ";
    } else if (name->type == GEN_IPADD) {
        return add_address(out, name->d.iPAddress);
    }
    if (text == NULL)
        return buf_append_str(out, "  other name     of a kind that says nothing in a mesh\n");
    if (buf_printf(out, "  %s  ", label) < 0 ||
        add_escaped(out, ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)) < 0)
        return -1;
    return buf_append_str(out, "\n");
}

static int add_alternative_names(struct buf *out, X509 *cert, bool is_ca)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int result = 0;
    bool has_uri = false;
    for (size_t i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && result == 0; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        has_uri |= name->type == GEN_URI;
        result = add_alternative_name(out, name, is_ca);
    }
    GENERAL_NAMES_free(names);
    if (result == 0 && !has_uri && !is_ca)
        result = buf_append_str(out, "  identity       none: there is no URI\n");
    return result;
}

/* ------------------------------------------------------------------------------ numbers, key, use -- */

static int add_hex(struct buf *out, const char *label, const uint8_t *bytes, size_t len)
{
    if (buf_printf(out, "  %s  ", label) < 0)
        return -1;
    for (size_t i = 0; i < len; i++)
        if (buf_printf(out, "%02x", bytes[i]) < 0)
            return -1;
    return buf_append_str(out, "\n");
}

static int add_numbers(struct buf *out, const X509 *cert, const struct peer_cert_der *der)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(der->bytes, der->len, digest);
    if (add_hex(out, "serial       ", ASN1_STRING_get0_data(serial),
                (size_t)ASN1_STRING_length(serial)) < 0)
        return -1;
    return add_hex(out, "SHA-256      ", digest, sizeof(digest));
}

static int add_key(struct buf *out, X509 *cert)
{
    EVP_PKEY *key = X509_get_pubkey(cert);
    if (key == NULL)
        return buf_append_str(out, "  key            of a kind that is not known here\n");
    const char *name = OBJ_nid2sn(EVP_PKEY_id(key));
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);
    if (ec != NULL)
        name = OBJ_nid2sn(EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)));
    int result = buf_printf(out, "  key            %s, %d bits\n", name, EVP_PKEY_bits(key));
    EVP_PKEY_free(key);
    ERR_clear_error();
    return result;
}

static bool is_critical(const X509 *cert, int nid)
{
    int index = X509_get_ext_by_NID(cert, nid, -1);
    return index >= 0 && X509_EXTENSION_get_critical(X509_get_ext(cert, index));
}

static int add_key_usage(struct buf *out, X509 *cert)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } BITS[] = {
        {KU_DIGITAL_SIGNATURE, "digitalSignature"},
        {KU_NON_REPUDIATION, "contentCommitment"},
        {KU_KEY_ENCIPHERMENT, "keyEncipherment"},
        {KU_DATA_ENCIPHERMENT, "dataEncipherment"},
        {KU_KEY_AGREEMENT, "keyAgreement"},
        {KU_KEY_CERT_SIGN, "keyCertSign"},
        {KU_CRL_SIGN, "cRLSign"},
    };
    if (X509_get_ext_by_NID(cert, NID_key_usage, -1) < 0)
        return buf_append_str(out, "  key usage      none: the extension is missing\n");
    uint32_t usage = X509_get_key_usage(cert);
    if (buf_append_str(out, "  key usage    ") < 0)
        return -1;
    for (size_t i = 0; i < sizeof(BITS) / sizeof(BITS[0]); i++)
        if ((usage & BITS[i].bit) != 0 && buf_printf(out, "  %s", BITS[i].name) < 0)
            return -1;
    return buf_append_str(out, is_critical(cert, NID_key_usage) ? "  (critical)\n"
                                                                : "  (not critical)\n");
}

static int add_extended_key_usage(struct buf *out, X509 *cert)
{
    EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
    if (usages == NULL)
        return 0;
    int result = buf_append_str(out, "  for          ");
    for (size_t i = 0; i < sk_ASN1_OBJECT_num(usages) && result == 0; i++) {
        char text[64];
        OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(usages, i), 0);
        result = buf_printf(out, "  %s", text);
    }
    EXTENDED_KEY_USAGE_free(usages);
    return result < 0 ? -1 : buf_append_str(out, "\n");
}

/* ------------------------------------------------------------------------------------ the whole -- */

/* By its own key, not only in its own name. */
static bool is_self_signed(X509 *cert)
{
    EVP_PKEY *key = X509_get_pubkey(cert);
    bool result = key != NULL && X509_verify(cert, key) == 1;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return result;
}

static int add_cert(struct buf *out, X509 *cert, const struct peer_cert_der *der, int64_t now_ms)
{
    bool is_ca = (X509_get_extension_flags(cert) & EXFLAG_CA) != 0;
    if (add_alternative_names(out, cert, is_ca) < 0 ||
        add_name(out, "subject      ", X509_get_subject_name(cert)) < 0 ||
        add_name(out, is_self_signed(cert) ? "self-signed  " : "issuer       ",
                 X509_get_issuer_name(cert)) < 0)
        return -1;
    if (add_numbers(out, cert, der) < 0 ||
        add_time(out, "valid from   ", X509_get0_notBefore(cert), now_ms) < 0 ||
        add_time(out, "valid until  ", X509_get0_notAfter(cert), now_ms) < 0)
        return -1;
    if (add_key(out, cert) < 0 ||
        buf_printf(out, "  signed by      %s\n", OBJ_nid2sn(X509_get_signature_nid(cert))) < 0)
        return -1;
    return add_key_usage(out, cert) < 0 ? -1 : add_extended_key_usage(out, cert);
}

static int add_der(struct buf *out, const struct peer_cert_der *der, int64_t now_ms)
{
    const uint8_t *at = der->bytes;
    X509 *cert = d2i_X509(NULL, &at, (long)der->len);
    int result =
        cert == NULL ? buf_append_str(out, "  cannot be read\n") : add_cert(out, cert, der, now_ms);
    X509_free(cert);
    ERR_clear_error();
    return result;
}

bool inspect_text_is_cert(const struct peer_cert_der *der)
{
    const uint8_t *at = der->bytes;
    X509 *cert = d2i_X509(NULL, &at, (long)der->len);
    bool result = cert != NULL;
    X509_free(cert);
    ERR_clear_error();
    return result;
}

bool inspect_text_is_ca(const struct peer_cert_der *der)
{
    const uint8_t *at = der->bytes;
    X509 *cert = d2i_X509(NULL, &at, (long)der->len);
    bool result = cert != NULL && (X509_get_extension_flags(cert) & EXFLAG_CA) != 0;
    X509_free(cert);
    ERR_clear_error();
    return result;
}

int inspect_text_write(const struct inspect_chain *chain, int64_t now_ms, struct buf *out)
{
    for (size_t i = 0; i < chain->num_certs; i++)
        if (buf_printf(out, "certificate %zu of %zu%s\n", i + 1, chain->num_certs,
                       inspect_text_is_ca(&chain->certs[i]) ? ", of a CA" : "") < 0 ||
            add_der(out, &chain->certs[i], now_ms) < 0)
            return -1;
    return 0;
}
