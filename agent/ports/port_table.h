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
    /* Of a PORTS_MTLS; else NULL. NULL there too while a certificate or a trust that it needs is the workload's and the workload has
     * no valid identity: refuse with REASON_NO_IDENTITY. */
    struct tls_context *tls;
};

struct port_destination {
    const struct ports_destination *config;
    struct tls_context *tls; /* NULL: as above */
};

/*
 * `identity` NULL: there is none now. `generation` grows with each change of configuration or files. Takes a reference to `files`, whose
 * configuration it is made of. NULL: *err names port or destination, and file.
 */
struct port_table *port_table_new(struct port_files *files, struct identity *identity,
                                  uint64_t generation, struct err *err);

struct port_table *port_table_ref(struct port_table *table); /* returns `table` */
void port_table_unref(struct port_table *table);             /* NULL is ignored */

uint64_t port_table_generation(const struct port_table *table);

/* All lent until the last unref. */

/* NULL: the port has no entry. */
const struct port_entry *port_table_find(const struct port_table *table, uint16_t port);

const struct port_destination *port_table_destinations(const struct port_table *table, size_t *num);

/* Istio's mutual TLS, both roles; NULL: the workload has no valid identity. */
struct tls_context *port_table_istio(const struct port_table *table);

#endif
