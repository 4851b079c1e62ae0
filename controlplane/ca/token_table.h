/*
 * Which bearer token stands for which identity: the embedded control plane's stand-in for the
 * Kubernetes token review that istiod does. Read from a YAML file; immutable once read.
 *
 *   tokens:
 *   - {tokenFile: /run/tokens/frontend, namespace: shop, serviceAccount: frontend}
 *   - {token: "...", trustDomain: example.org, namespace: shop, serviceAccount: backend}
 *
 * A tokenFile is relative to the YAML file, and white space around its contents does not count.
 */
#ifndef REMORA_TOKEN_TABLE_H
#define REMORA_TOKEN_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "spiffe_id.h"

enum {
    TOKEN_TABLE_MAX = 10000,      /* tokens; finding one looks at all of them */
    TOKEN_TABLE_TOKEN_MAX = 8192, /* bytes of one; Kubernetes' have about a thousand */
    TOKEN_TABLE_DIGEST = 32,      /* SHA-256 */
};

struct token_table;

/*
 * Reads the file and the token files that it names. Entries without trustDomain get `trust_domain`.
 * Only digests of the tokens are kept. NULL: *err names file, line and what was expected (unknown
 * key, bad identity, empty token, a token twice); ERR_INVALID, ERR_SYSTEM, ERR_NOT_FOUND, ERR_LIMIT
 * or ERR_NOMEM. No token appears in a message.
 */
struct token_table *token_table_load(const char *path, const char *trust_domain, struct err *err);

/* NULL is ignored. */
void token_table_free(struct token_table *table);

/*
 * The identity that the token stands for, lent until the table is freed, or NULL. The time that it
 * takes depends on the number of tokens and not on which of them are alike.
 */
const struct spiffe_id *token_table_find(const struct token_table *table, const char *token,
                                         size_t token_len);

/* The same by the token's digest, for who keeps no token to ask again by. */
void token_table_digest(const char *token, size_t token_len, uint8_t out[TOKEN_TABLE_DIGEST]);
const struct spiffe_id *token_table_find_digest(const struct token_table *table,
                                                const uint8_t digest[TOKEN_TABLE_DIGEST]);

size_t token_table_num_tokens(const struct token_table *table);

/* The token files that were read, in the order of their entries, NULL past the last; lent. For
 * watching them. */
const char *token_table_file(const struct token_table *table, size_t index);

#endif
