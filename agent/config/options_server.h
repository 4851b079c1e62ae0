/*
 * A server of the control plane in a table of options: its address, and the name that its
 * certificate has to carry.
 */
#ifndef REMORA_OPTIONS_SERVER_H
#define REMORA_OPTIONS_SERVER_H

#include "err.h"
#include "options.h"

/* Two options of type TEXT by name, and where their values are. */
struct options_server {
    const char *address_name;
    const char *const *address; /* "host:port" */
    const char *server_name_name;
    const char *const *server_name; /* "": follows from the address */
};

/*
 * Takes https:// from the address, as Istio writes it; checks its form; and derives the server's
 * name, its host, unless one is given. 0, or -1 with *err.
 */
int options_server_derive(struct options *options, const struct options_server *server,
                          struct err *err);

#endif
