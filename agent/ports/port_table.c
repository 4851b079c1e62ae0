#include "port_table.h"

#include <stdlib.h>

#include "port_files.h"
#include "refcount.h"

/* What contexts are made of. */
struct material {
    const struct port_files *files;
    struct identity *identity; /* NULL: there has never been one */
    bool is_valid;
};

struct port_table {
    struct refcount refs;
    struct port_files *files;
    struct tls_context *istio;
    struct port_entry *entries; /* by port, ascending */
    size_t num_entries;
    struct port_destination *destinations;
    size_t num_destinations;
};

static struct tls_context_cert certificate_of(const struct port_files *files,
                                              const struct ports_certificate *from)
{
    return (struct tls_context_cert){
        .key = port_files_get(files, from->key_file),
        .chain = port_files_get(files, from->cert_file),
        .names = from->names,
        .num_names = from->num_names,
    };
}

/* ---------------------------------------------------------------------------------- ports -- */

static struct tls_context *make_server(const struct material *material,
                                       const struct ports_port *port, struct err *err)
{
    const struct port_files *files = material->files;
    struct tls_context_cert certs[PORTS_CERTIFICATES_MAX];
    for (size_t i = 0; i < port->num_certificates; i++)
        certs[i] = certificate_of(files, &port->certificates[i]);
    const struct tls_app_server server = {
        .identity = material->identity,
        .certs = certs,
        .num_certs = port->num_certificates,
        .client_roots = port_files_get(files, port->client_ca_file),
        .verify_depth = port->verify_depth,
        .is_client_cert_optional = port->is_client_cert_optional,
        .principals = port->principals,
        .num_principals = port->client_ca_file != NULL ? port->num_principals : 0,
        .alpn = port->alpn,
        .num_alpn = port->num_alpn,
        .allow_tls12 = port->allow_tls12,
        .resumption = port->resumption,
    };
    return tls_context_new_app_server(&server, err);
}

static bool can_make(const struct material *material, bool needs_valid)
{
    return material->identity != NULL && (material->is_valid || !needs_valid);
}

static int make_entry(struct port_entry *entry, const struct material *material,
                      const struct ports_port *port, struct err *err)
{
    entry->config = port;
    if (port->mode != PORTS_MTLS || !can_make(material, port->num_certificates == 0))
        return 0;
    entry->tls = make_server(material, port, err);
    return entry->tls != NULL ? 0 : err_prefix(err, "port %u", port->port);
}

static int make_entries(struct port_table *table, const struct material *material, struct err *err)
{
    size_t num;
    const struct ports_port *ports = ports_config_ports(port_files_config(table->files), &num);
    table->entries = calloc(num + 1, sizeof(*table->entries));
    if (table->entries == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    table->num_entries = num;
    for (size_t i = 0; i < num; i++)
        if (make_entry(&table->entries[i], material, &ports[i], err) < 0)
            return -1;
    return 0;
}

/* --------------------------------------------------------------------------- destinations -- */

static struct tls_context *make_origin(const struct material *material,
                                       const struct ports_destination *destination, struct err *err)
{
    const struct port_files *files = material->files;
    const struct tls_origin origin = {
        .identity = material->identity,
        .cert = certificate_of(files, &destination->certificate),
        .spiffe_ids = destination->spiffe_ids,
        .num_spiffe_ids = destination->num_spiffe_ids,
        .server_name = destination->server_name,
        .roots = port_files_get(files, destination->ca_file),
        .verify_depth = destination->verify_depth,
        .sni = destination->sni,
        .alpn = destination->alpn,
        .num_alpn = destination->num_alpn,
        .allow_tls12 = destination->allow_tls12,
        .resumption = destination->resumption,
    };
    return tls_context_new_origin(&origin, err);
}

static int make_destination(struct port_destination *made, const struct material *material,
                            const struct ports_destination *destination, struct err *err)
{
    made->config = destination;
    if (!can_make(material, destination->certificate.cert_file == NULL))
        return 0;
    made->tls = make_origin(material, destination, err);
    return made->tls != NULL ? 0 : -1;
}

static int make_destinations(struct port_table *table, const struct material *material,
                             struct err *err)
{
    size_t num;
    const struct ports_destination *all =
        ports_config_destinations(port_files_config(table->files), &num);
    table->destinations = calloc(num + 1, sizeof(*table->destinations));
    if (table->destinations == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    table->num_destinations = num;
    for (size_t i = 0; i < num; i++)
        if (make_destination(&table->destinations[i], material, &all[i], err) < 0)
            return err_prefix(err, "destinations[%zu]", i);
    return 0;
}

/* ---------------------------------------------------------------------------------- table -- */

struct port_table *port_table_new(struct port_files *files, struct identity *identity,
                                  bool is_valid, struct err *err)
{
    const struct material material = {.files = files, .identity = identity, .is_valid = is_valid};
    struct port_table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&table->refs);
    table->files = port_files_ref(files);
    if (can_make(&material, true)) {
        table->istio = tls_context_new_istio(identity, NULL, err);
        if (table->istio == NULL)
            goto fail;
    }
    if (make_entries(table, &material, err) < 0 || make_destinations(table, &material, err) < 0)
        goto fail;
    return table;
fail:
    port_table_unref(table);
    return NULL;
}

struct port_table *port_table_ref(struct port_table *table)
{
    refcount_get(&table->refs);
    return table;
}

void port_table_unref(struct port_table *table)
{
    if (table == NULL || !refcount_put(&table->refs))
        return;
    for (size_t i = 0; table->entries != NULL && i < table->num_entries; i++)
        tls_context_unref(table->entries[i].tls);
    for (size_t i = 0; table->destinations != NULL && i < table->num_destinations; i++)
        tls_context_unref(table->destinations[i].tls);
    free(table->entries);
    free(table->destinations);
    tls_context_unref(table->istio);
    port_files_unref(table->files);
    free(table);
}

static int compare_port(const void *key, const void *entry)
{
    return (int)*(const uint16_t *)key - (int)((const struct port_entry *)entry)->config->port;
}

const struct port_entry *port_table_find(const struct port_table *table, uint16_t port)
{
    return bsearch(&port, table->entries, table->num_entries, sizeof(*table->entries),
                   compare_port);
}

const struct port_destination *port_table_destinations(const struct port_table *table, size_t *num)
{
    *num = table->num_destinations;
    return table->destinations;
}

struct tls_context *port_table_istio(const struct port_table *table)
{
    return table->istio;
}
