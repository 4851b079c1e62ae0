/*
 * The ports-file ready for use: each port and each destination with its TLS context, and the context of Istio's mutual TLS. Built on the
 * control thread, then immutable and shared with the workers by reference count.
 */
#ifndef REMORA_PORT_TABLE_H
#define REMORA_PORT_TABLE_H

#include "identity.h"
#include "ports.h"
#include "tls_context.h"

struct port_table;
struct port_files; /* port_files.h: the content of the files that the configuration names */

struct port_entry {
    const struct ports_port *config;
    /* Of a PORTS_MTLS; else NULL. NULL there too while it needs an identity of the workload that there is not: refuse with
     * REASON_NO_IDENTITY. */
    struct tls_context *tls;
};

struct port_destination {
    const struct ports_destination *config;
    struct tls_context *tls; /* NULL: as above */
};

/*
 * `identity` is the workload's latest; without one (NULL) nothing can be made, for nobody can say who is revoked and who speaks for the
 * mesh. When it is not valid any more, what is made of files alone goes on with its trust. Takes a reference to `files`, whose configuration it is made of. NULL: *err names port or destination, and file.
 */
struct port_table *port_table_new(struct port_files *files, struct identity *identity,
                                  bool is_valid, struct err *err);

struct port_table *port_table_ref(struct port_table *table); /* returns `table` */
void port_table_unref(struct port_table *table);             /* NULL is ignored */

/* All lent until the last unref. */

/* NULL: the port has no entry. */
const struct port_entry *port_table_find(const struct port_table *table, uint16_t port);

const struct port_destination *port_table_destinations(const struct port_table *table, size_t *num);

/* Istio's mutual TLS, both roles; NULL: the workload has no valid identity. */
struct tls_context *port_table_istio(const struct port_table *table);

#endif
