#include "ca_request.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

#include "ca_key.h"

#define WHAT "certificate signing request"

/* One block of PEM as OpenSSL's reader gives it. */
struct block {
    char *name;
    char *header; /* not "": RFC 1421 headers, by which keys are encrypted; none belongs here */
    uint8_t *der;
    long der_len;
};

static void block_done(struct block *block)
{
    OPENSSL_free(block->name);
    OPENSSL_free(block->header);
    OPENSSL_free(block->der);
}

static int read_block(BIO *bio, struct block *block, struct err *err)
{
    if (!PEM_read_bio(bio, &block->name, &block->header, &block->der, &block->der_len))
        return err_set(err, ERR_INVALID, "it is not PEM");
    if (strcmp(block->name, PEM_STRING_X509_REQ) != 0 &&
        strcmp(block->name, PEM_STRING_X509_REQ_OLD) != 0)
        return err_set(err, ERR_INVALID, "its PEM block is \"%.40s\", not \"%s\"", block->name,
                       PEM_STRING_X509_REQ);
    if (block->header[0] != '\0')
        return err_set(err, ERR_INVALID, "its PEM block has headers");
    return 0;
}

static int refuse_second_block(BIO *bio, struct err *err)
{
    struct block second = {0};
    int found = PEM_read_bio(bio, &second.name, &second.header, &second.der, &second.der_len);
    block_done(&second);
    return found ? err_set(err, ERR_INVALID, "it holds more than one PEM block") : 0;
}

static X509_REQ *read_request(const char *pem, size_t pem_len, struct err *err)
{
    X509_REQ *request = NULL;
    struct block block = {0};
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    if (bio == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (read_block(bio, &block, err) == 0 && refuse_second_block(bio, err) == 0) {
        const uint8_t *at = block.der;
        request = d2i_X509_REQ(NULL, &at, block.der_len);
        if (request == NULL) {
            err_set(err, ERR_INVALID, "its DER cannot be read");
        } else if (at != block.der + block.der_len) {
            X509_REQ_free(request);
            request = NULL;
            err_set(err, ERR_INVALID, "bytes follow its DER");
        }
    }
    block_done(&block);
    BIO_free(bio);
    return request;
}

/* A proof that could have been made out of a signature for something else is none. */
static int check_hash(const X509_REQ *request, struct err *err)
{
    int hash;
    if (!OBJ_find_sigid_algs(X509_REQ_get_signature_nid(request), &hash, NULL))
        return err_set(err, ERR_INVALID, "it is signed by an algorithm that is not known here");
    return hash == NID_md5 || hash == NID_sha1
               ? err_set(err, ERR_INVALID, "it is signed with %s; SHA-256 and better are accepted",
                         OBJ_nid2ln(hash))
               : 0;
}

/* The key's size is checked before the key is used, because verifying with it costs what its sender
 * likes. */
static EVP_PKEY *proven_key(X509_REQ *request, struct err *err)
{
    EVP_PKEY *key = X509_REQ_get_pubkey(request);
    if (key == NULL) {
        err_set(err, ERR_INVALID, "its key cannot be read");
        return NULL;
    }
    if (ca_key_check(key, err) == 0 && check_hash(request, err) == 0) {
        if (X509_REQ_verify(request, key) == 1)
            return key;
        err_set(err, ERR_INVALID, "it is not signed by its own key");
    }
    EVP_PKEY_free(key);
    return NULL;
}

/* The request, and its key in *key; the caller frees both. */
static X509_REQ *read_proven(const char *pem, size_t pem_len, EVP_PKEY **key, struct err *err)
{
    if (pem_len > CA_REQUEST_MAX) {
        err_set(err, ERR_INVALID, "it has %zu bytes; at most %d are taken", pem_len,
                CA_REQUEST_MAX);
        return NULL;
    }
    X509_REQ *request = read_request(pem, pem_len, err);
    if (request == NULL)
        return NULL;
    *key = proven_key(request, err);
    if (*key == NULL) {
        X509_REQ_free(request);
        return NULL;
    }
    return request;
}

EVP_PKEY *ca_request_read_key(const char *pem, size_t pem_len, struct err *err)
{
    EVP_PKEY *key = NULL;
    X509_REQ *request = read_proven(pem, pem_len, &key, err);
    X509_REQ_free(request);
    ERR_clear_error();
    if (request == NULL)
        err_prefix(err, WHAT);
    return request == NULL ? NULL : key;
}

/* ------------------------------------------------------------------------------------ the names -- */

static int take_alternative_name(struct ca_request *request, const GENERAL_NAME *name,
                                 struct err *err)
{
    enum ca_name_kind kind;
    switch (name->type) {
    case GEN_DNS:
        kind = CA_NAME_DNS;
        break;
    case GEN_IPADD:
        kind = CA_NAME_IP;
        break;
    case GEN_URI:
        kind = CA_NAME_URI;
        break;
    case GEN_EMAIL:
        kind = CA_NAME_EMAIL;
        break;
    default:
        return err_set(err, ERR_INVALID,
                       "it asks for an alternative name that is no DNS name, address, URI or "
                       "e-mail address");
    }
    if (request->num_names == CA_REQUEST_NAMES_MAX)
        return err_set(err, ERR_INVALID, "it asks for more than %d alternative names",
                       CA_REQUEST_NAMES_MAX);
    /* All four are strings in the same member of the union. */
    const ASN1_STRING *text = name->d.ia5;
    if (ca_name_new(&request->names[request->num_names], kind, ASN1_STRING_get0_data(text),
                    (size_t)ASN1_STRING_length(text), err) < 0)
        return -1;
    request->num_names++;
    return 0;
}

static int take_alternative_names(struct ca_request *request, X509_EXTENSION *extension,
                                  struct err *err)
{
    GENERAL_NAMES *names = X509V3_EXT_d2i(extension);
    int result = 0;
    if (names == NULL)
        return err_set(err, ERR_INVALID, "its subject alternative name cannot be read");
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names) && result == 0; i++)
        result = take_alternative_name(request, sk_GENERAL_NAME_value(names, i), err);
    GENERAL_NAMES_free(names);
    return result;
}

static int note_ignored(struct ca_request *request, X509_EXTENSION *extension)
{
    char name[64];
    OBJ_obj2txt(name, sizeof(name), X509_EXTENSION_get_object(extension), 0);
    return buf_printf(&request->ignored, "%s%s", buf_len(&request->ignored) > 0 ? ", " : "", name);
}

static int take_extensions(struct ca_request *request, X509_REQ *from, struct err *err)
{
    bool has_names = false;
    int result = 0;
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(from);
    if (extensions == NULL && X509_REQ_get_attr_by_NID(from, NID_ext_req, -1) >= 0)
        return err_set(err, ERR_INVALID, "the extensions that it asks for cannot be read");
    for (size_t i = 0; i < sk_X509_EXTENSION_num(extensions) && result == 0; i++) {
        X509_EXTENSION *extension = sk_X509_EXTENSION_value(extensions, i);
        bool is_names = OBJ_obj2nid(X509_EXTENSION_get_object(extension)) == NID_subject_alt_name;
        if (is_names && has_names)
            result = err_set(err, ERR_INVALID, "it has two subject alternative name extensions");
        else if (is_names)
            result = take_alternative_names(request, extension, err);
        else if (note_ignored(request, extension) < 0)
            result = err_set(err, ERR_NOMEM, "out of memory");
        has_names |= is_names;
    }
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return result;
}

static int take_subject(struct ca_request *request, X509_REQ *from, struct err *err)
{
    request->subject = X509_NAME_dup(X509_REQ_get_subject_name(from));
    if (request->subject == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int at = X509_NAME_get_index_by_NID(request->subject, NID_commonName, -1);
    if (at < 0)
        return 0;
    if (X509_NAME_get_index_by_NID(request->subject, NID_commonName, at) >= 0)
        return err_set(err, ERR_INVALID, "its subject has several common names");
    uint8_t *text = NULL;
    int len = ASN1_STRING_to_UTF8(
        &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(request->subject, at)));
    if (len < 0)
        return err_set(err, ERR_INVALID, "its common name cannot be read");
    int result = ca_name_new(&request->common_name, CA_NAME_CN, text, (size_t)len, err);
    OPENSSL_free(text);
    return result;
}

int ca_request_read(const char *pem, size_t pem_len, struct ca_request *request, struct err *err)
{
    *request = (struct ca_request){0};
    X509_REQ *from = read_proven(pem, pem_len, &request->key, err);
    int result = from == NULL ? -1 : take_subject(request, from, err);
    if (result == 0)
        result = take_extensions(request, from, err);
    X509_REQ_free(from);
    ERR_clear_error();
    if (result < 0) {
        ca_request_done(request);
        return err_prefix(err, WHAT);
    }
    return 0;
}

void ca_request_done(struct ca_request *request)
{
    if (request == NULL)
        return;
    for (size_t i = 0; i < request->num_names; i++)
        ca_name_done(&request->names[i]);
    ca_name_done(&request->common_name);
    X509_NAME_free(request->subject);
    EVP_PKEY_free(request->key);
    buf_done(&request->ignored);
    *request = (struct ca_request){0};
}
