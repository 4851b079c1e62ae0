/*
 * The certificates inside a trust bundle. Private to identity.
 */
#ifndef REMORA_TRUST_BUNDLE_ROOT_H
#define REMORA_TRUST_BUNDLE_ROOT_H

#include <openssl/base.h>
#include <openssl/x509.h>
#include <stddef.h>

#include "trust_bundle.h"

/* All lent until the last unref; shared by threads and not changed by anyone. */
X509 *trust_bundle_root_get(const struct trust_bundle *bundle, size_t index);

/* The same root alone on a stack, as path validation wants it. */
STACK_OF(X509) *trust_bundle_root_stack(const struct trust_bundle *bundle, size_t index);

#endif
