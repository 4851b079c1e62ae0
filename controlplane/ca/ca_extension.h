/*
 * The extensions of the certificates that this CA makes (RFC 5280, 4.2; X.509-SVID, 4). Each call
 * adds to a certificate that has none of the kind and returns 0, or -1 when out of memory. Private
 * to ca.
 */
#ifndef REMORA_CA_EXTENSION_H
#define REMORA_CA_EXTENSION_H

#include <openssl/base.h>
#include <stdbool.h>

#include "ca_name.h"

/* basicConstraints cA true (and no further CA below it, unless `may_issue_cas`), keyCertSign and
 * cRLSign; both critical. */
int ca_extension_add_ca(X509 *cert, bool may_issue_cas);

/* basicConstraints cA false, digitalSignature (keyEncipherment too when `is_rsa`), both critical;
 * the extended key usages serverAuth when `is_server`, and clientAuth when `is_client`. */
int ca_extension_add_leaf(X509 *cert, bool is_rsa, bool is_server, bool is_client);

/* The subject alternative name, critical because the subject is empty: a URI, or a host by its DNS
 * name or IP address. */
int ca_extension_add_uri(X509 *cert, const char *uri);
int ca_extension_add_host(X509 *cert, const char *host);

/* The same with `num` names of any kind but CA_NAME_CN. */
int ca_extension_add_names(X509 *cert, const struct ca_name *names, size_t num, bool is_critical);

/* Of the certificate's key (which must be set) and of the issuer's, which is the certificate itself
 * for a root. */
int ca_extension_add_key_ids(X509 *cert, X509 *issuer);

#endif
