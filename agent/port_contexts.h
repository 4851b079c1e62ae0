/*
 * The ports-file on the control thread: reads it and the files that it names, again whenever one changes, makes TLS contexts of them with
 * each identity of the workload, says in the log and to readiness how it goes, and hands each new table on.
 */
#ifndef REMORA_PORT_CONTEXTS_H
#define REMORA_PORT_CONTEXTS_H

#include "err.h"
#include "identity.h"
#include "net_loop.h"
#include "port_table.h"
#include "readiness.h"

struct port_contexts;

struct port_contexts_options {
    const char *path;            /* borrowed; "": there is no such file, and the table is empty */
    struct readiness *readiness; /* borrowed; a condition is added where there is a path */
    void (*on_table)(void *owner, struct port_table *table); /* lent */
    void *owner;
};

/* Nothing is read yet. NULL: *err. */
struct port_contexts *port_contexts_new(struct net_loop *loop,
                                        const struct port_contexts_options *options,
                                        struct err *err);

/*
 * Loads, with a table before it returns unless something is wrong, which is logged and stays pending until it is mended. What is wrong
 * later leaves the former table in force. Once.
 */
void port_contexts_start(struct port_contexts *contexts);

/*
 * The workload's identity is another one, or none (NULL) is valid. Takes a reference of its own. When no table can be made for it, the
 * former one stays in force, and it is tried again, ever more rarely, until it succeeds, the identity is another one, or files are loaded.
 */
void port_contexts_set_identity(struct port_contexts *contexts, struct identity *identity);

/* Loads now. */
void port_contexts_reload(struct port_contexts *contexts);

void port_contexts_free(struct port_contexts *contexts); /* NULL is ignored */

#endif
