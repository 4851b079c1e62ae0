/* A blocking client for tests: a script runs on a thread of its own while the test's thread runs the
 * loop. */
#ifndef REMORA_TEST_HTTP_CLIENT_H
#define REMORA_TEST_HTTP_CLIENT_H

#include <stddef.h>

#include "addr.h"
#include "net_loop.h"

/* Runs `loop` until `script(arg)`, on its thread, has returned. */
void http_client_run(struct net_loop *loop, void (*script)(void *arg), void *arg);

/* For scripts. A connected socket; the port of `at` on its family's loopback. */
int http_client_connect(const struct addr *at);
void http_client_send(int fd, const char *bytes, size_t len);

/* All that comes until the server closes (or resets), NUL-terminated; closes `fd`. The caller
 * frees. */
char *http_client_read_all(int fd);

/* The three together. */
char *http_client_ask(const struct addr *at, const char *request);

#endif
