/*
 * One state of everything that discovery tells: resources by type and name, and by the other names
 * that clients ask for. Immutable once it is sealed, and counted: clients that are behind hold an
 * older one. Pure.
 */
#ifndef REMORA_DISCOVERY_TABLE_H
#define REMORA_DISCOVERY_TABLE_H

#include "discovery_resource.h"

struct discovery_table;

/* Empty and unsealed, with one reference. `version` is for clients to read. NULL: out of memory. */
struct discovery_table *discovery_table_new(uint64_t version);

/* Before sealing; takes a reference. 0, or -1 when out of memory. */
int discovery_table_add(struct discovery_table *table, struct discovery_resource *resource);

/*
 * Makes the indexes. Of several resources with one name the first added stays; `on_clash` (may be
 * NULL) is told. 0, or -1 when out of memory: the table can only be given back.
 */
int discovery_table_seal(struct discovery_table *table,
                         void (*on_clash)(void *owner, const struct discovery_resource *stays,
                                          const struct discovery_resource *goes),
                         void *owner);

struct discovery_table *discovery_table_ref(struct discovery_table *table);
void discovery_table_unref(struct discovery_table *table); /* NULL is ignored */

uint64_t discovery_table_version(const struct discovery_table *table);

/* All of a type in the order of strcmp. Lent. */
const struct discovery_list *discovery_table_all(const struct discovery_table *table,
                                                 enum discovery_type type);

/* By its own name; NULL: there is none. */
struct discovery_resource *discovery_table_find(const struct discovery_table *table,
                                                enum discovery_type type, const char *name);

/*
 * Adds to `found` what a client that asks for `name` has to be told. Of addresses: what has this
 * name; what is at this address, "<network>/<ip>", exactly or because a service takes the network;
 * and with each service its endpoints. May add one thing twice. Nothing is added for what does not
 * exist. 0, or -1 when out of memory.
 */
int discovery_table_resolve(const struct discovery_table *table, enum discovery_type type,
                            const char *name, struct discovery_list *found);

#endif
