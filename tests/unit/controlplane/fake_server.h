/*
 * A TLS server that does with HTTP/2 what a test tells it to. The bytes on the wire are right HTTP/2;
 * what they say need not be right gRPC.
 */
#ifndef REMORA_TEST_FAKE_SERVER_H
#define REMORA_TEST_FAKE_SERVER_H

#include "ca_issuer.h"
#include "control_fixture.h"
#include "h2_session.h"

struct fake_server;

/* Called when a request is complete. May answer, reset, say GOAWAY, or do nothing. */
typedef void fake_server_respond(struct fake_server *server, struct h2_stream *stream);

/* Makes a CA in the fixture's state directory, and serves with a certificate of it. */
struct fake_server *fake_server_new(struct control_fixture *fixture, fake_server_respond *respond);
void fake_server_free(struct fake_server *server);

/* What a test wants to know, and to use in its answer. */
unsigned fake_server_num_requests(const struct fake_server *server);
unsigned fake_server_num_connections(const struct fake_server *server);
const char *fake_server_header(const struct fake_server *server, const char *name); /* of the last
                                                                                       request */
struct ca_issuer *fake_server_issuer(const struct fake_server *server);

/* A listener that sends `bytes` to whoever connects, and then nothing, or the end. */
struct fake_server *fake_server_new_raw(struct control_fixture *fixture, const char *bytes,
                                        bool close);

/* Answers with these messages, each framed, and grpc-status 0. */
void fake_server_answer(struct h2_stream *stream, const void *message, size_t len);

#endif
