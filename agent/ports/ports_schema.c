#include "ports_schema.h"

#include <string.h>

#include "ports_text.h"

/* --------------------------------------------------------------------------------- pieces -- */

/* True for NULL, which stands for "on". */
static bool read_switch(struct yaml_reader *reader, const struct yaml_node *node)
{
    static const char *const names[] = {"on", "off", NULL};
    return yaml_reader_enum(reader, node, names) == 0;
}

static bool read_allow_tls12(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL)
        return false;
    const char *version = yaml_reader_raw(reader, node);
    if (strcmp(version, "1.2") == 0)
        return true;
    if (strcmp(version, "1.3") != 0)
        yaml_reader_fail(reader, node, "expected 1.3 or 1.2, found \"%.80s\"", version);
    return false;
}

static unsigned read_verify_depth(struct yaml_reader *reader, const struct yaml_node *node)
{
    return yaml_reader_u32(reader, node, 0, PORTS_VERIFY_DEPTH_MAX, PORTS_VERIFY_DEPTH);
}

/* Of keys that mean something only beside another one. */
static void refuse_keys(struct yaml_reader *reader, const struct yaml_node *map,
                        const char *const *keys, const char *only_with)
{
    for (size_t i = 0; keys[i] != NULL; i++) {
        const struct yaml_node *node = yaml_reader_find(map, keys[i]);
        if (node != NULL)
            yaml_reader_fail(reader, node, "only with %s", only_with);
    }
}

/* Both files, or none. */
static void read_key_pair(struct yaml_reader *reader, const struct yaml_node *map,
                          struct ports_certificate *certificate)
{
    const struct yaml_node *cert = yaml_reader_find(map, "cert");
    const struct yaml_node *key = yaml_reader_find(map, "key");
    certificate->cert_file = ports_text_path(reader, cert);
    certificate->key_file = ports_text_path(reader, key);
    if ((cert == NULL) != (key == NULL))
        yaml_reader_fail(reader, cert != NULL ? cert : key, "cert and key come together");
}

/* ---------------------------------------------------------------------------------- ports -- */

static struct ports_certificate read_certificate(struct yaml_reader *reader,
                                                 const struct yaml_node *node)
{
    static const char *const keys[] = {"cert", "key", "names", NULL};
    struct ports_certificate certificate = {0};
    if (!yaml_reader_map(reader, node, keys))
        return certificate;
    read_key_pair(reader, node, &certificate);
    certificate.names =
        ports_text_list(reader, yaml_reader_find(node, "names"), PORTS_CERTIFICATES_MAX,
                        ports_text_dns_pattern, &certificate.num_names);
    if (certificate.cert_file == NULL)
        yaml_reader_fail(reader, node, "the keys \"cert\" and \"key\" are missing");
    return certificate;
}

static void read_certificates(struct yaml_reader *reader, const struct yaml_node *list,
                              struct ports_port *port)
{
    if (!yaml_reader_list(reader, list))
        return;
    if (list->num == 0 || list->num > PORTS_CERTIFICATES_MAX) {
        yaml_reader_fail(reader, list, "expected 1 to %d entries", PORTS_CERTIFICATES_MAX);
        return;
    }
    struct ports_certificate *all = yaml_reader_alloc(reader, list->num, sizeof(*all));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        all[node->index] = read_certificate(reader, node);
    port->certificates = all;
    port->num_certificates = list->num;
}

static void add_principal(struct yaml_reader *reader, const struct yaml_node *node,
                          struct ports_port *port)
{
    enum principal_kind kind;
    const char *name = yaml_reader_text(reader, node);
    if (!principal_kind_parse(name, &kind)) {
        yaml_reader_fail(reader, node, "expected uri, dns, email or cn, found \"%.80s\"", name);
        return;
    }
    for (size_t i = 0; i < port->num_principals; i++)
        if (port->principals[i] == kind)
            yaml_reader_fail(reader, node, "\"%s\" is there twice", name);
    /* Each kind once, so that there is always room. */
    if (!yaml_reader_failed(reader))
        port->principals[port->num_principals++] = kind;
}

static void read_principals(struct yaml_reader *reader, const struct yaml_node *list,
                            struct ports_port *port)
{
    if (list == NULL) {
        port->principals[port->num_principals++] = PRINCIPAL_URI;
        return;
    }
    if (!yaml_reader_list(reader, list))
        return;
    if (list->num == 0)
        yaml_reader_fail(reader, list, "expected at least one of uri, dns, email, cn");
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        add_principal(reader, node, port);
}

static void read_mtls(struct yaml_reader *reader, const struct yaml_node *node,
                      struct ports_port *port)
{
    static const char *const needs[] = {"required", "optional", NULL};
    static const char *const of_ca[] = {"verify-depth", "principal-from", NULL};
    read_certificates(reader, yaml_reader_find(node, "certificates"), port);
    port->client_ca_file = ports_text_path(reader, yaml_reader_find(node, "client-ca"));
    if (port->client_ca_file == NULL)
        refuse_keys(reader, node, of_ca, "client-ca");
    port->verify_depth = read_verify_depth(reader, yaml_reader_find(node, "verify-depth"));
    port->is_client_cert_optional =
        yaml_reader_enum(reader, yaml_reader_find(node, "client-certificate"), needs) == 1;
    port->allow_tls12 = read_allow_tls12(reader, yaml_reader_find(node, "min-tls"));
    port->resumption = read_switch(reader, yaml_reader_find(node, "resumption"));
    port->alpn = ports_text_list(reader, yaml_reader_find(node, "alpn"), PORTS_ALPN_MAX,
                                 ports_text_alpn, &port->num_alpn);
    read_principals(reader, yaml_reader_find(node, "principal-from"), port);
}

static void read_port(struct yaml_reader *reader, const struct yaml_node *node,
                      struct ports_port *port)
{
    static const char *const keys[] = {
        "port",           "mode",         "proxy-protocol", "certificates",
        "client-ca",      "verify-depth", "min-tls",        "client-certificate",
        "principal-from", "alpn",         "resumption",     NULL};
    static const char *const modes[] = {"mesh", "mtls", "passthrough", "plaintext", NULL};
    static const char *const headers[] = {"off", "v2", NULL};
    static const char *const of_mtls[] = {"certificates", "client-ca",          "verify-depth",
                                          "min-tls",      "client-certificate", "principal-from",
                                          "alpn",         "resumption",         NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    port->port = (uint16_t)yaml_reader_u32(reader, yaml_reader_required(reader, node, "port"), 1,
                                           UINT16_MAX, 0);
    port->mode = (enum ports_mode)yaml_reader_enum(
        reader, yaml_reader_required(reader, node, "mode"), modes);
    port->proxy_protocol =
        yaml_reader_enum(reader, yaml_reader_find(node, "proxy-protocol"), headers) == 1;
    if (port->mode == PORTS_MTLS)
        read_mtls(reader, node, port);
    else
        refuse_keys(reader, node, of_mtls, "mode: mtls");
}

static void refuse_twice(struct yaml_reader *reader, const struct yaml_node *node,
                         const struct ports_port *ports)
{
    for (size_t i = 0; i < node->index; i++)
        if (ports[i].port == ports[node->index].port)
            yaml_reader_fail(reader, node, "port %u is there twice", ports[i].port);
}

static bool is_list_within(struct yaml_reader *reader, const struct yaml_node *list)
{
    if (!yaml_reader_list(reader, list))
        return false;
    if (list->num > PORTS_MAX)
        yaml_reader_fail(reader, list, "more than %d entries", PORTS_MAX);
    return !yaml_reader_failed(reader) && list->num > 0;
}

static void read_ports(struct yaml_reader *reader, const struct yaml_node *list,
                       struct ports_lists *lists)
{
    if (!is_list_within(reader, list))
        return;
    struct ports_port *ports = yaml_reader_alloc(reader, list->num, sizeof(*ports));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next) {
        read_port(reader, node, &ports[node->index]);
        refuse_twice(reader, node, ports);
    }
    lists->ports = ports;
    lists->num_ports = list->num;
}

/* --------------------------------------------------------------------------- destinations -- */

static void read_match(struct yaml_reader *reader, const struct yaml_node *node,
                       struct ports_destination *destination)
{
    static const char *const keys[] = {"host", "cidr", "port", NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    const struct yaml_node *host = yaml_reader_find(node, "host");
    const struct yaml_node *cidr = yaml_reader_find(node, "cidr");
    destination->port = (uint16_t)yaml_reader_u32(
        reader, yaml_reader_required(reader, node, "port"), 1, UINT16_MAX, 0);
    destination->host = ports_text_dns(reader, host);
    destination->cidr = yaml_reader_cidr(reader, cidr);
    if ((host == NULL) == (cidr == NULL))
        yaml_reader_fail(reader, node, "expected one of host and cidr");
}

/* Whom the server has to be. */
static void read_expected(struct yaml_reader *reader, const struct yaml_node *node,
                          struct ports_destination *destination)
{
    static const char *const of_name[] = {"ca", "verify-depth", NULL};
    const struct yaml_node *name = yaml_reader_find(node, "server-name");
    const struct yaml_node *ids = yaml_reader_find(node, "spiffe-ids");
    destination->server_name = ports_text_server(reader, name);
    destination->spiffe_ids = ports_text_list(reader, ids, PORTS_SPIFFE_IDS_MAX,
                                              ports_text_spiffe_id, &destination->num_spiffe_ids);
    if ((name == NULL) == (ids == NULL))
        yaml_reader_fail(reader, node, "expected one of server-name and spiffe-ids");
    if (name == NULL)
        refuse_keys(reader, node, of_name, "server-name");
    else
        destination->ca_file = ports_text_path(reader, yaml_reader_required(reader, node, "ca"));
    destination->verify_depth = read_verify_depth(reader, yaml_reader_find(node, "verify-depth"));
}

static void read_destination(struct yaml_reader *reader, const struct yaml_node *node,
                             struct ports_destination *destination)
{
    static const char *const keys[] = {
        "match",        "server-name", "spiffe-ids", "ca",         "cert",     "key", "sni",
        "verify-depth", "alpn",        "min-tls",    "resumption", "starttls", NULL};
    static const char *const protocols[] = {"none", "postgresql", NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    read_match(reader, yaml_reader_required(reader, node, "match"), destination);
    read_expected(reader, node, destination);
    read_key_pair(reader, node, &destination->certificate);
    destination->starttls = (enum ports_starttls)yaml_reader_enum(
        reader, yaml_reader_find(node, "starttls"), protocols);
    destination->sni = ports_text_dns(reader, yaml_reader_find(node, "sni"));
    destination->alpn = ports_text_list(reader, yaml_reader_find(node, "alpn"), PORTS_ALPN_MAX,
                                        ports_text_alpn, &destination->num_alpn);
    destination->allow_tls12 = read_allow_tls12(reader, yaml_reader_find(node, "min-tls"));
    destination->resumption = read_switch(reader, yaml_reader_find(node, "resumption"));
}

static void read_destinations(struct yaml_reader *reader, const struct yaml_node *list,
                              struct ports_lists *lists)
{
    if (!is_list_within(reader, list))
        return;
    struct ports_destination *all = yaml_reader_alloc(reader, list->num, sizeof(*all));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        read_destination(reader, node, &all[node->index]);
    lists->destinations = all;
    lists->num_destinations = list->num;
}

int ports_schema_read(struct yaml_doc *doc, struct ports_lists *lists, struct err *err)
{
    static const char *const keys[] = {"ports", "destinations", NULL};
    struct yaml_reader reader;
    *lists = (struct ports_lists){0};
    yaml_reader_init(&reader, doc, err);
    const struct yaml_node *root = yaml_doc_root(doc);
    if (yaml_reader_map(&reader, root, keys)) {
        read_ports(&reader, yaml_reader_find(root, "ports"), lists);
        read_destinations(&reader, yaml_reader_find(root, "destinations"), lists);
    }
    return yaml_reader_failed(&reader) ? -1 : 0;
}
