/* "host:port" as configuration has it. */
#ifndef REMORA_HOST_PORT_H
#define REMORA_HOST_PORT_H

#include <stdint.h>

#include "err.h"

/*
 * Splits "name:443", "10.0.0.1:443" or "[fd00::1]:443". *host has no brackets and is the caller's
 * to free. 0, or -1 with *err (ERR_INVALID, ERR_NOMEM) and *host NULL.
 */
int host_port_parse(const char *text, char **host, uint16_t *port, struct err *err);

#endif
