/* A TCP address from the command line, and the two kinds of socket made from it. Not for names: numeric addresses only. */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <stdbool.h>
#include <sys/socket.h>

struct endpoint {
    struct sockaddr_storage addr;
    socklen_t addr_len;
};

/* Reads "192.0.2.1:80" or "[2001:db8::1]:80". False when the text is neither. */
bool endpoint_parse(struct endpoint *endpoint, const char *text);

/* A non-blocking socket that listens with the longest backlog the system grants; -1 with errno set. The caller closes it. */
int endpoint_listen(const struct endpoint *endpoint);

/*
 * A non-blocking socket, without Nagle's delay, whose connect has begun: writable once connected. -1 with errno set. The
 * caller closes it.
 */
int endpoint_connect(const struct endpoint *endpoint);

/* Accepts one connection, non-blocking and without Nagle's delay. -1 with errno set; EAGAIN when none waits. */
int endpoint_accept(int listener);

#endif
