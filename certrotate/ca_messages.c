#include "ca_messages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "istio/v1/auth/ca.pb-c.h"

int ca_messages_write_request(struct buf *out, const char *csr_pem, int64_t validity_s,
                              struct err *err)
{
    Istio__V1__Auth__IstioCertificateRequest request;
    char *csr = strdup(csr_pem);
    uint8_t *to = NULL;
    istio__v1__auth__istio_certificate_request__init(&request);
    if (csr != NULL) {
        request.csr = csr;
        request.validity_duration = validity_s;
        size_t len = istio__v1__auth__istio_certificate_request__get_packed_size(&request);
        to = buf_reserve(out, len);
        if (to != NULL)
            buf_commit(out, istio__v1__auth__istio_certificate_request__pack(&request, to));
    }
    free(csr);
    return to != NULL ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static int check_element(const char *pem, size_t index, size_t num, struct err *err)
{
    if (strstr(pem, "-----BEGIN CERTIFICATE-----") != NULL)
        return 0;
    return err_set(err, ERR_PROTOCOL,
                   "element %zu of %zu of its certificate chain holds no "
                   "certificate%s",
                   index + 1, num, index + 1 == num ? "; the last one has to be the roots" : "");
}

/* A newline in between, should an element end without one. */
static int append_pem(struct buf *out, const char *pem)
{
    size_t len = strlen(pem);
    bool ends_line = len > 0 && pem[len - 1] == '\n';
    return buf_append(out, pem, len) < 0 || (!ends_line && buf_append_str(out, "\n") < 0) ? -1 : 0;
}

static int take_chain(char *const *chain, size_t num, struct ca_messages_answer *answer,
                      struct err *err)
{
    if (num == 0)
        return err_set(err, ERR_PROTOCOL, "its answer holds no certificate");
    if (num == 1)
        return err_set(err, ERR_PROTOCOL,
                       "its answer holds a certificate but no roots (one element)");
    if (num > CA_MESSAGES_CHAIN_MAX)
        return err_set(err, ERR_LIMIT,
                       "its certificate chain has %zu elements; at most %d are taken", num,
                       CA_MESSAGES_CHAIN_MAX);
    for (size_t i = 0; i < num; i++) {
        struct buf *out = i + 1 == num ? &answer->roots_pem : &answer->chain_pem;
        if (check_element(chain[i], i, num, err) < 0)
            return -1;
        if (append_pem(out, chain[i]) < 0)
            return err_set(err, ERR_NOMEM, "out of memory");
    }
    return 0;
}

int ca_messages_read_answer(const uint8_t *bytes, size_t len, struct ca_messages_answer *answer,
                            struct err *err)
{
    *answer = (struct ca_messages_answer){0};
    if (len > CA_MESSAGES_ANSWER_MAX)
        return err_set(err, ERR_LIMIT, "its answer has %zu bytes; at most %d are taken", len,
                       CA_MESSAGES_ANSWER_MAX);
    Istio__V1__Auth__IstioCertificateResponse *message =
        istio__v1__auth__istio_certificate_response__unpack(NULL, len, bytes);
    if (message == NULL)
        return err_set(err, ERR_PROTOCOL, "its answer is not an IstioCertificateResponse");
    int result = take_chain(message->cert_chain, message->n_cert_chain, answer, err);
    istio__v1__auth__istio_certificate_response__free_unpacked(message, NULL);
    if (result < 0)
        ca_messages_answer_done(answer);
    return result;
}

void ca_messages_answer_done(struct ca_messages_answer *answer)
{
    if (answer == NULL)
        return;
    buf_done(&answer->chain_pem);
    buf_done(&answer->roots_pem);
}
