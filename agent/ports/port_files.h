/*
 * The ports-file and the files that it names, read and held as they were at one moment: a new identity of the workload needs new TLS
 * contexts, and must not be led astray by a file that is half written just then. Holds private keys, and clears them at its end.
 */
#ifndef REMORA_PORT_FILES_H
#define REMORA_PORT_FILES_H

#include <stddef.h>

#include "cert_bytes.h"
#include "ports.h"

enum {
    PORT_FILES_BYTES_MAX = 1024 * 1024
}; /* of one PEM file; the largest bundles of roots have a quarter */

struct port_files;

/* Which files there are; none is read yet. Takes `config`, on success and on failure. NULL: *err is ERR_NOMEM. */
struct port_files *port_files_new(struct ports_config *config, struct err *err);

/* Reads each file, once in the object's life. 0, or -1 with *err that names the file (ERR_NOT_FOUND, ERR_SYSTEM, ERR_LIMIT, ERR_NOMEM). */
int port_files_read(struct port_files *files, struct err *err);

struct port_files *port_files_ref(struct port_files *files); /* returns `files` */
void port_files_unref(struct port_files *files);             /* NULL is ignored */

/* All lent until the last unref. */
const struct ports_config *port_files_config(const struct port_files *files);

/* The content of a file of the configuration (which it must be, asserted); zeroed for NULL. */
struct cert_bytes port_files_get(const struct port_files *files, const char *path);

size_t port_files_num(const struct port_files *files);
const char *port_files_path(const struct port_files *files, size_t index);

#endif
