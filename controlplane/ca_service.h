/*
 * istio.v1.auth.IstioCertificateService on top of a CA: decodes the request, asks the token table
 * who the caller is, has the certificate made, and logs what was issued and what was refused.
 */
#ifndef REMORA_CA_SERVICE_H
#define REMORA_CA_SERVICE_H

#include "ca_issuer.h"
#include "grpc_server.h"
#include "rate_limit.h"
#include "token_table.h"

#define CA_SERVICE_CREATE_PATH "/istio.v1.auth.IstioCertificateService/CreateCertificate"

enum {
    CA_SERVICE_REQUEST_MAX = 64 * 1024, /* bytes; one with an RSA key of 8192 bits has 3,000 */
};

struct ca_service {
    struct ca_issuer *issuer;         /* lent */
    const struct token_table *tokens; /* lent; whoever owns the service may exchange it */
    struct rate_limit refusals;       /* of log lines; anybody can cause a refusal */
};

void ca_service_init(struct ca_service *service, struct ca_issuer *issuer,
                     const struct token_table *tokens);

/* CreateCertificate: a grpc_server_method's `run`, with the service as owner. */
enum grpc_status ca_service_create(void *owner, const struct grpc_server_request *request,
                                   struct buf *answer, struct err *err);

#endif
