/*
 * The application behind the server-side proxy: answers each request with as many zero bytes as its path asks for, and reads
 * uploads without keeping them. One thread, so light that the proxies in front of it are what a run measures.
 */
#ifndef SERVER_H
#define SERVER_H

#include "endpoint.h"

/*
 * Serves until the process is ended by a signal. Returns only on a failure that would falsify a measurement (no listener, out
 * of descriptors or memory), with errno set.
 */
void server_run(const struct endpoint *endpoint);

#endif
