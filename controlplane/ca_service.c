#include "ca_service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "istio/v1/auth/ca.pb-c.h"
#include "log.h"

enum {
    REFUSALS_PER_SECOND = 10,
    REFUSALS_AT_ONCE = 50,
};

typedef Istio__V1__Auth__IstioCertificateRequest certificate_request;

void ca_service_init(struct ca_service *service, struct ca_issuer *issuer,
                     const struct token_table *tokens)
{
    *service = (struct ca_service){.issuer = issuer, .tokens = tokens};
    rate_limit_init(&service->refusals, REFUSALS_PER_SECOND, REFUSALS_AT_ONCE);
}

/* --------------------------------------------------------------------------------------- log -- */

static void log_refusal(struct ca_service *service, const struct grpc_server_request *request,
                        const struct spiffe_id *id, enum grpc_status status, const struct err *err)
{
    char peer[ADDR_TEXT_MAX];
    uint64_t num_unlogged;
    if (!rate_limit_take(&service->refusals, clock_mono_ms(), &num_unlogged))
        return;
    LOG_WARN("ca", "certificate refused", LOG_S("peer", addr_format(request->peer, peer)),
             LOG_S("identity", id == NULL ? NULL : id->uri),
             LOG_S("status", grpc_status_name(status)), LOG_S("error", err->message),
             LOG_U("unlogged", num_unlogged));
}

static void log_issuance(const struct grpc_server_request *request, const struct spiffe_id *id,
                         const struct ca_issued *issued)
{
    char peer[ADDR_TEXT_MAX], not_after[CLOCK_TEXT_MAX];
    LOG_INFO("ca", "certificate issued", LOG_S("identity", id->uri),
             LOG_S("serial", issued->serial),
             LOG_S("not_after", clock_format(issued->not_after_ms, not_after)),
             LOG_S("peer", addr_format(request->peer, peer)));
}

/* ------------------------------------------------------------------------------------ answer -- */

/* protobuf-c's strings are not const; it does not write to them. */
static char *unconst(const char *text)
{
    union {
        const char *in;
        char *out;
    } pointer = {.in = text};
    return pointer.out;
}

/* Leaf, what is between it and the root, and last the roots. */
static int write_answer(const struct ca_issuer *issuer, const struct ca_issued *issued,
                        struct buf *answer)
{
    char *elements[CERT_CHAIN_MAX + 1];
    size_t num = 0;
    Istio__V1__Auth__IstioCertificateResponse response;
    istio__v1__auth__istio_certificate_response__init(&response);
    elements[num++] = issued->pem;
    for (const char *pem; (pem = ca_issuer_chain_pem(issuer, num - 1)) != NULL;)
        elements[num++] = unconst(pem);
    elements[num++] = unconst(ca_issuer_roots_pem(issuer));
    response.cert_chain = elements;
    response.n_cert_chain = num;
    size_t len = istio__v1__auth__istio_certificate_response__get_packed_size(&response);
    uint8_t *to = buf_reserve(answer, len);
    if (to == NULL)
        return -1;
    buf_commit(answer, istio__v1__auth__istio_certificate_response__pack(&response, to));
    return 0;
}

static enum grpc_status issue(struct ca_service *service, const struct grpc_server_request *request,
                              const certificate_request *decoded, const struct spiffe_id *id,
                              struct buf *answer, struct err *err)
{
    struct ca_issued issued;
    const struct ca_issue wanted = {.csr_pem = decoded->csr,
                                    .csr_pem_len = strlen(decoded->csr),
                                    .id = id,
                                    .requested_s = decoded->validity_duration,
                                    .now_ms = clock_wall_ms()};
    if (ca_issuer_issue(service->issuer, &wanted, &issued, err) < 0)
        return err->kind == ERR_INVALID ? GRPC_STATUS_INVALID_ARGUMENT
               : err->kind == ERR_LIMIT ? GRPC_STATUS_FAILED_PRECONDITION
                                        : GRPC_STATUS_INTERNAL;
    enum grpc_status status = GRPC_STATUS_OK;
    if (write_answer(service->issuer, &issued, answer) < 0) {
        err_set(err, ERR_NOMEM, "out of memory");
        status = GRPC_STATUS_INTERNAL;
    } else {
        log_issuance(request, id, &issued);
    }
    ca_issued_done(&issued);
    return status;
}

/* Who the caller is comes first: strangers get nothing decoded and nothing verified. */
static const struct spiffe_id *authenticate(const struct ca_service *service,
                                            const struct grpc_server_request *request,
                                            struct err *err)
{
    if (request->token == NULL) {
        err_set(err, ERR_DENIED, "no bearer token");
        return NULL;
    }
    const struct spiffe_id *id =
        token_table_find(service->tokens, request->token, strlen(request->token));
    if (id == NULL)
        err_set(err, ERR_DENIED, "unknown token");
    return id;
}

enum grpc_status ca_service_create(void *owner, const struct grpc_server_request *request,
                                   struct buf *answer, struct err *err)
{
    struct ca_service *service = owner;
    enum grpc_status status = GRPC_STATUS_UNAUTHENTICATED;
    const struct spiffe_id *id = authenticate(service, request, err);
    if (id != NULL) {
        certificate_request *decoded = istio__v1__auth__istio_certificate_request__unpack(
            NULL, request->message_len, request->message);
        if (decoded != NULL) {
            status = issue(service, request, decoded, id, answer, err);
            istio__v1__auth__istio_certificate_request__free_unpacked(decoded, NULL);
        } else {
            err_set(err, ERR_INVALID, "the message is not an IstioCertificateRequest");
            status = GRPC_STATUS_INVALID_ARGUMENT;
        }
    }
    if (status != GRPC_STATUS_OK)
        log_refusal(service, request, id, status, err);
    return status;
}
