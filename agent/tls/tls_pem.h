/*
 * Certificates of the control plane from PEM: chains and roots that follow the rules of the web,
 * not of SPIFFE. Private to tls.
 */
#ifndef REMORA_TLS_PEM_H
#define REMORA_TLS_PEM_H

#include <openssl/base.h>
#include <openssl/x509.h>
#include <stddef.h>

#include "err.h"

/*
 * All certificates, in order. The caller frees them with sk_X509_pop_free. NULL: *err, also when
 * there is none.
 */
STACK_OF(X509) *tls_pem_read_certs(const char *pem, size_t pem_len, struct err *err);

#endif
