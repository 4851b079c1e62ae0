/* Values of the ports-file that are more than text: names, paths, identities. Private to ports. */
#ifndef REMORA_PORTS_TEXT_H
#define REMORA_PORTS_TEXT_H

#include "yaml_reader.h"

/*
 * Each is as long as the document lives, NULL for no node, and NULL with an error of the reader for what it is not. A name comes in lower
 * case.
 */

/* An absolute path. */
const char *ports_text_path(struct yaml_reader *reader, const struct yaml_node *node);

/* A DNS name (RFC 1123, 2.1) of letters, digits, '-' and '_'. */
const char *ports_text_dns(struct yaml_reader *reader, const struct yaml_node *node);

/* The same, or "*." and such a name. */
const char *ports_text_dns_pattern(struct yaml_reader *reader, const struct yaml_node *node);

/* A DNS name or an address. */
const char *ports_text_server(struct yaml_reader *reader, const struct yaml_node *node);

/* "spiffe://...". */
const char *ports_text_spiffe_id(struct yaml_reader *reader, const struct yaml_node *node);

/* A protocol of ALPN: 1 to 255 bytes (RFC 7301, 3.1). */
const char *ports_text_alpn(struct yaml_reader *reader, const struct yaml_node *node);

typedef const char *ports_text_read(struct yaml_reader *reader, const struct yaml_node *node);

/* A list of such values, which is not empty when it is there, and has no value twice. */
const char *const *ports_text_list(struct yaml_reader *reader, const struct yaml_node *list,
                                   size_t max, ports_text_read *read, size_t *num);

#endif
