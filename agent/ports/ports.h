/*
 * How the application's ports take connections that come without a tunnel, and to which destinations mutual TLS is originated: the
 * ports-file as plain values (docs/PORTS.md). Nothing here opens the files that it names, or knows TLS: see port_table.h.
 */
#ifndef REMORA_PORTS_H
#define REMORA_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "principal.h"

enum {
    PORTS_MAX = 1024,            /* entries of each list; every one may have a TLS context */
    PORTS_CERTIFICATES_MAX = 32, /* of one port */
    PORTS_ALPN_MAX = 16,         /* of one entry */
    PORTS_SPIFFE_IDS_MAX = 1024, /* of one destination */
    PORTS_VERIFY_DEPTH_MAX =
        7,                  /* CA certificates between leaf and root; all that a chain may have */
    PORTS_VERIFY_DEPTH = 1, /* unless said: one intermediate, as nginx has it */
};

/* What a port takes on its own door. The tunnels of 15008 lead to it in any case. */
enum ports_mode {
    PORTS_MESH,        /* Istio's mutual TLS, and nothing else */
    PORTS_MTLS,        /* mutual TLS that ends here, by the port's own rules */
    PORTS_PASSTHROUGH, /* the application's own TLS, untouched, and nothing else */
    PORTS_PLAINTEXT,   /* anything; not a byte is looked at */
};

/* "mesh", "mtls" ... Static storage. */
const char *ports_mode_name(enum ports_mode mode);

/* What a server wants said in clear before TLS begins. */
enum ports_starttls { PORTS_STARTTLS_NONE, PORTS_STARTTLS_POSTGRESQL };

/* Files of PEM. Both NULL: the workload's own certificate. */
struct ports_certificate {
    const char *cert_file; /* leaf first */
    const char *key_file;  /* not encrypted */
    const char *const
        *names; /* server names, lower case, "*.example.com" too; none: the leaf's DNS SANs */
    size_t num_names;
};

struct ports_port {
    uint16_t port;
    enum ports_mode mode;
    bool
        proxy_protocol; /* the application gets a PROXY v2 header first, whichever way a connection comes */
    /* The rest: PORTS_MTLS only. */
    const struct ports_certificate *certificates; /* by SNI, else the first; none: the workload's */
    size_t num_certificates;
    const char *client_ca_file; /* NULL: clients are of the mesh */
    unsigned verify_depth;
    bool is_client_cert_optional;
    bool allow_tls12;
    bool resumption;
    const char *const *alpn; /* none: not negotiated */
    size_t num_alpn;
    enum principal_kind principals[NUM_PRINCIPAL_KINDS]; /* in this order; at least one */
    size_t num_principals;
};

/*
 * Where the application speaks plaintext and the agent speaks mutual TLS. The first that matches counts. A connection matches by port
 * and by one of these: the address that the application has dialled, or the one that was chosen for it, is in `cidr`; or it is
 * `host`, by discovery's names or, where discovery knows no service, by a lookup.
 */
struct ports_destination {
    const char *host; /* DNS name, lower case, without a dot at its end; NULL: by cidr */
    struct cidr cidr; /* family IP_NONE: by host */
    uint16_t port;
    /* The server is verified by one of the two. */
    const char
        *server_name; /* DNS name (lower case) or address, against ca_file; NULL: by spiffe_ids */
    const char *const *spiffe_ids; /* "spiffe://...", against the mesh's trust */
    size_t num_spiffe_ids;
    const char *ca_file; /* with server_name */
    unsigned verify_depth;
    struct ports_certificate certificate; /* presented when asked for; has no names */
    enum ports_starttls starttls;
    const char *sni;         /* NULL: server_name where it is a DNS name, else none */
    const char *const *alpn; /* offered; none: no ALPN */
    size_t num_alpn;
    bool allow_tls12;
    bool resumption;
};

/* The whole file, checked. Immutable. */
struct ports_config;

/* `name` stands for the file in messages. NULL: *err names file, line, column, path of keys and what was expected (ERR_INVALID), or ERR_LIMIT,
 * ERR_NOMEM. */
struct ports_config *ports_config_parse(const char *name, const char *bytes, size_t len,
                                        struct err *err);

/* As above from a file; also ERR_SYSTEM. */
struct ports_config *ports_config_load(const char *path, struct err *err);

/* What there is without a file: nothing. NULL: out of memory. */
struct ports_config *ports_config_new_empty(void);

void ports_config_free(struct ports_config *config); /* NULL is ignored */

/* Lent until it is freed: the ports in ascending order, the destinations in the file's. */
const struct ports_port *ports_config_ports(const struct ports_config *config, size_t *num);
const struct ports_destination *ports_config_destinations(const struct ports_config *config,
                                                          size_t *num);

#endif
