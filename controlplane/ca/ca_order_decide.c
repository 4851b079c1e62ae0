#include "ca_order_decide.h"

#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509.h>

enum { SUBJECT_TEXT_MAX = 512 };

/* In the order of ca_name.h: what lets a name of the kind pass. */
static const char *const options[] = {"--allow-dns", "--allow-ip", "--allow-uri", "--allow-email",
                                      "--allow-cn"};

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory");
}

/* --------------------------------------------------------------------------- alternative names -- */

static int check_names(const struct ca_order *order, const struct ca_request *request,
                       struct err *err)
{
    size_t num_uris = 0;
    for (size_t i = 0; i < request->num_names; i++) {
        const struct ca_name *name = &request->names[i];
        if (!ca_name_is_allowed(&order->rules, name))
            return err_set(err, ERR_DENIED,
                           "the request asks for the %s \"%.300s\", which %s does not allow",
                           ca_name_kind_text(name->kind), name->text, options[name->kind]);
        num_uris += name->kind == CA_NAME_URI;
    }
    return num_uris <= 1
               ? 0
               : err_set(err, ERR_INVALID,
                         "the request asks for %zu URIs; a certificate has one at most", num_uris);
}

static int say_names(const struct ca_cert_subject *cert, struct buf *words)
{
    for (size_t i = 0; i < cert->num_names; i++)
        if (buf_printf(words, "  %-15s %s\n", ca_name_kind_text(cert->names[i].kind),
                       cert->names[i].text) < 0)
            return -1;
    return 0;
}

/* -------------------------------------------------------------------------------------- subject -- */

static int say_subject(const char *label, const X509_NAME *name, struct buf *words)
{
    char text[SUBJECT_TEXT_MAX] = "";
    BIO *bio = BIO_new(BIO_s_mem());
    /* XN_FLAG_RFC2253 escapes what is not printable. */
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        int len = BIO_read(bio, text, sizeof(text) - 1);
        text[len < 0 ? 0 : len] = '\0';
    }
    BIO_free(bio);
    return buf_printf(words, "%s %s\n", label, text);
}

static X509_NAME *name_of_cn(const char *cn)
{
    X509_NAME *name = X509_NAME_new();
    if (name != NULL && X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                                   (const uint8_t *)cn, -1, -1, 0))
        return name;
    X509_NAME_free(name);
    return NULL;
}

/* The common name is a principal to many. */
static int keep_whole(const struct ca_order *order, const struct ca_request *request,
                      struct ca_order_subject *subject, struct err *err)
{
    const char *cn = request->common_name.text;
    if (X509_NAME_entry_count(request->subject) == 0)
        return 0;
    if (cn != NULL && !ca_name_is_allowed_cn(&order->rules, cn, NULL))
        return err_set(err, ERR_DENIED,
                       "the subject that --keep-subject keeps has the common name \"%s\", which "
                       "neither --allow-cn nor --allow-dns nor --allow-email allows",
                       cn);
    subject->name = X509_NAME_dup(request->subject);
    return subject->name == NULL ? out_of_memory(err) : 0;
}

static int keep_common_name(const struct ca_order *order, const struct ca_request *request,
                            struct ca_order_subject *subject, struct buf *words, struct err *err)
{
    const char *cn = request->common_name.text;
    if (cn != NULL && ca_name_is_allowed_cn(&order->rules, cn, NULL)) {
        subject->name = name_of_cn(cn);
        if (subject->name == NULL)
            return out_of_memory(err);
    }
    int num_kept = subject->name == NULL ? 0 : 1;
    const char *label =
        num_kept == 0 ? "  left out        the subject" : "  left out        what else is in";
    if (X509_NAME_entry_count(request->subject) > num_kept &&
        say_subject(label, request->subject, words) < 0)
        return out_of_memory(err);
    return 0;
}

static int decide_subject(const struct ca_order *order, const struct ca_request *request,
                          X509 *issuer, struct ca_order_subject *subject, struct buf *words,
                          struct err *err)
{
    int result = order->keep_subject ? keep_whole(order, request, subject, err)
                                     : keep_common_name(order, request, subject, words, err);
    if (result < 0 || subject->name == NULL)
        return result;
    if (X509_NAME_cmp(subject->name, X509_get_subject_name(issuer)) == 0)
        return err_set(err, ERR_DENIED, "the request's subject is the name of the CA itself");
    subject->cert.name = subject->name;
    return say_subject("  subject        ", subject->name, words) < 0 ? out_of_memory(err) : 0;
}

/* -------------------------------------------------------------------------------------- the whole -- */

/* A server's common name, where that is all it has. */
static int add_own_name(const struct ca_order *order, const struct ca_request *request,
                        struct ca_order_subject *subject, struct err *err)
{
    const char *cn = request->common_name.text;
    bool is_dns = false;
    if (!subject->cert.is_server || request->num_names > 0 || cn == NULL ||
        !ca_name_is_allowed_cn(&order->rules, cn, &is_dns) || !is_dns)
        return 0;
    if (ca_name_new(&subject->own_name, CA_NAME_DNS, (const uint8_t *)cn, strlen(cn), err) < 0)
        return -1;
    subject->cert.names = &subject->own_name;
    subject->cert.num_names = 1;
    return 0;
}

static int check_enough(const struct ca_request *request, const struct ca_cert_subject *cert,
                        struct err *err)
{
    const char *cn = request->common_name.text;
    bool has_host = false;
    for (size_t i = 0; i < cert->num_names; i++)
        has_host |= cert->names[i].kind != CA_NAME_EMAIL;
    if (cert->num_names == 0 && cert->name == NULL)
        return cn == NULL ? err_set(err, ERR_DENIED, "the request asks for no name at all")
                          : err_set(err, ERR_DENIED,
                                    "the request has no name but the common name \"%s\", which "
                                    "neither --allow-cn nor --allow-dns nor --allow-email allows",
                                    cn);
    return !cert->is_server || has_host
               ? 0
               : err_set(err, ERR_INVALID,
                         "a server's certificate needs a DNS name, an address or a URI among the "
                         "subject alternative names, and the request asks for none");
}

static int say_ignored(const struct ca_request *request, struct buf *words)
{
    const struct buf *ignored = &request->ignored;
    return buf_len(ignored) == 0
               ? 0
               : buf_printf(words, "  left out        the request's %.*s: the CA decides these\n",
                            (int)buf_len(ignored), (const char *)buf_head(ignored));
}

int ca_order_decide(const struct ca_order *order, const struct ca_request *request, X509 *issuer,
                    struct ca_order_subject *subject, struct buf *words, struct err *err)
{
    *subject = (struct ca_order_subject){.cert = {.names = request->names,
                                                  .num_names = request->num_names,
                                                  .is_server = order->usage != CA_USAGE_CLIENT,
                                                  .is_client = order->usage != CA_USAGE_SERVER}};
    int result = check_names(order, request, err);
    if (result == 0)
        result = add_own_name(order, request, subject, err);
    if (result == 0 && say_names(&subject->cert, words) < 0)
        result = out_of_memory(err);
    if (result == 0)
        result = decide_subject(order, request, issuer, subject, words, err);
    if (result == 0)
        result = check_enough(request, &subject->cert, err);
    if (result == 0 && say_ignored(request, words) < 0)
        result = out_of_memory(err);
    ERR_clear_error();
    if (result < 0)
        ca_order_decide_done(subject);
    return result;
}

void ca_order_decide_done(struct ca_order_subject *subject)
{
    if (subject == NULL)
        return;
    X509_NAME_free(subject->name);
    ca_name_done(&subject->own_name);
    *subject = (struct ca_order_subject){0};
}
