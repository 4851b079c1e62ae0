/*
 * The token table that is in force: read at start, and again whenever its file or one of the token
 * files changes. One that cannot be read is reported, and the last good one stays; it is tried
 * again at the next change of a file that the last good one names.
 */
#ifndef REMORA_TOKEN_SOURCE_H
#define REMORA_TOKEN_SOURCE_H

#include "err.h"
#include "net_loop.h"
#include "token_table.h"

struct token_source;

struct token_source_handler {
    /* A new table; lent until the next one, or until the source is freed. */
    void (*on_table)(void *owner, const struct token_table *table);
    /* The change was refused. */
    void (*on_error)(void *owner, const struct err *err);
};

/* Reads the table; no handler is called from inside. `handler` is kept by pointer. NULL: see *err.
 */
struct token_source *token_source_new(struct net_loop *loop, const char *path,
                                      const char *trust_domain,
                                      const struct token_source_handler *handler, void *owner,
                                      struct err *err);

/* NULL is ignored. */
void token_source_free(struct token_source *source);

/* What is in force. */
const struct token_table *token_source_table(const struct token_source *source);

#endif
