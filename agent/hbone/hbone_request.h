/*
 * A CONNECT as it arrives at a server, until it is answered. Internal to hbone; what others call is
 * in hbone_server.h.
 */
#ifndef REMORA_HBONE_REQUEST_H
#define REMORA_HBONE_REQUEST_H

#include "hbone_server.h"
#include "hbone_stream.h"

/*
 * Checks what the protocol says of a request: refuses it, or hands it to the server's owner. Takes
 * the HTTP/2 stream.
 */
void hbone_request_receive(struct hbone_server *server, struct hbone_conn *conn,
                           struct h2_stream *h2, const struct h2_header *headers,
                           size_t num_headers, bool end);

/* What a request needs of its server. */
const struct hbone_server_handler *hbone_server_handler_get(const struct hbone_server *server);
void *hbone_server_owner(const struct hbone_server *server);
void hbone_server_report_malformed(struct hbone_server *server, const char *why);

#endif
