/*
 * IP addresses, socket addresses and CIDRs as plain values. IPv4-mapped IPv6 addresses become IPv4
 * wherever a value is made, so that equal addresses compare equal. No name resolution.
 */
#ifndef REMORA_ADDR_H
#define REMORA_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "err.h"

enum {
    ADDR_TEXT_MAX = 64, /* "[ffff:...:ffff]:65535" and its NUL fit */
};

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip {
    uint8_t family;    /* enum ip_family */
    uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

struct addr {
    struct ip ip;
    uint16_t port; /* host order */
};

struct cidr {
    struct ip ip;       /* host bits are zero */
    uint8_t prefix_len; /* bits */
};

/* From 4 or 16 bytes in network order. -1 for any other length. */
int ip_from_bytes(struct ip *ip, const uint8_t *bytes, size_t len, struct err *err);
int ip_parse(struct ip *ip, const char *text, struct err *err);
bool ip_equal(const struct ip *a, const struct ip *b);
int ip_compare(const struct ip *a, const struct ip *b); /* a total order, for sorting */
bool ip_is_loopback(const struct ip *ip);
bool ip_is_unspecified(const struct ip *ip);
/* Writes text and NUL to `out` (ADDR_TEXT_MAX bytes) and returns `out`. */
const char *ip_format(const struct ip *ip, char *out);

/* "1.2.3.4:80", "[::1]:80"; the port is required. Not for host names: ERR_INVALID. */
int addr_parse(struct addr *addr, const char *text, struct err *err);
bool addr_equal(const struct addr *a, const struct addr *b);
const char *addr_format(const struct addr *addr, char *out); /* brackets around IPv6 */
int addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa, struct err *err);
/* Returns the length of the filled part of *out. */
socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *out);

/* "10.0.0.0/8", "fd00::/8"; a lone address is a /32 or /128. Host bits that are set are an error
 * that names the network. */
int cidr_parse(struct cidr *cidr, const char *text, struct err *err);
/* From 4 or 16 bytes in network order, of which `prefix_len` bits are the network's; host bits are
 * cleared. -1 for any other length, too long a prefix, or one that holds more than IPv4's part of
 * the mapped addresses. */
int cidr_from_bytes(struct cidr *cidr, const uint8_t *bytes, size_t len, uint32_t prefix_len,
                    struct err *err);
/* The network of `prefix_len` bits that holds the address; of all its bits, where it has no more. */
struct cidr cidr_around(const struct ip *ip, unsigned prefix_len);
bool cidr_contains(const struct cidr *cidr, const struct ip *ip);
const char *cidr_format(const struct cidr *cidr, char *out);

#endif
