#include "addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Digits only: strtol would take signs, spaces and what follows. */
static int parse_port(uint16_t *port, const char *text)
{
    enum { DIGITS_MAX = 5 };
    size_t len = strlen(text);
    if (len == 0 || len > DIGITS_MAX || strspn(text, "0123456789") != len)
        return -1;
    unsigned value = 0;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    if (value > UINT16_MAX)
        return -1;
    *port = (uint16_t)value;
    return 0;
}

int addr_parse(struct addr *addr, const char *text, struct err *err)
{
    const char *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[';
    const char *host = text + bracketed;
    const char *host_end = colon;
    if (bracketed && colon != NULL)
        host_end = colon > host && colon[-1] == ']' ? colon - 1 : NULL;
    if (host_end == NULL || (size_t)(host_end - host) >= ADDR_TEXT_MAX)
        return err_set(err, ERR_INVALID, "\"%.*s\" is not an address with a port", ADDR_TEXT_MAX,
                       text);

    char host_text[ADDR_TEXT_MAX];
    memcpy(host_text, host, (size_t)(host_end - host));
    host_text[host_end - host] = '\0';
    /* Without brackets the last group of an IPv6 address would pass for a port. */
    bool is_v6_text = strchr(host_text, ':') != NULL;
    struct addr parsed = {0};
    if (is_v6_text != bracketed || ip_parse(&parsed.ip, host_text, err) < 0 ||
        parse_port(&parsed.port, colon + 1) < 0)
        return err_set(err, ERR_INVALID, "\"%.*s\" is not an address with a port", ADDR_TEXT_MAX,
                       text);
    *addr = parsed;
    return 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && ip_equal(&a->ip, &b->ip);
}

const char *addr_format(const struct addr *addr, char *out)
{
    char ip[ADDR_TEXT_MAX];
    ip_format(&addr->ip, ip);
    /* The longest address has 45 characters; the precision tells the compiler so. */
    if (addr->ip.family == IP_V6)
        snprintf(out, ADDR_TEXT_MAX, "[%.45s]:%u", ip, (unsigned)addr->port);
    else
        snprintf(out, ADDR_TEXT_MAX, "%.45s:%u", ip, (unsigned)addr->port);
    return out;
}

int addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa, struct err *err)
{
    /* Copied out: a sockaddr from elsewhere need not be aligned for the type that it turns out to
     * be. */
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, sa, sizeof(v4));
        addr->port = ntohs(v4.sin_port);
        return ip_from_bytes(&addr->ip, (const uint8_t *)&v4.sin_addr, 4, err);
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, sa, sizeof(v6));
        addr->port = ntohs(v6.sin6_port);
        return ip_from_bytes(&addr->ip, v6.sin6_addr.s6_addr, 16, err);
    }
    return err_set(err, ERR_INVALID, "address family %d is not IP", (int)sa->sa_family);
}

socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *out)
{
    assert(addr->ip.family == IP_V4 || addr->ip.family == IP_V6);
    memset(out, 0, sizeof(*out));
    if (addr->ip.family == IP_V4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&v4.sin_addr, addr->ip.bytes, 4);
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
    memcpy(&v6.sin6_addr, addr->ip.bytes, 16);
    memcpy(out, &v6, sizeof(v6));
    return sizeof(v6);
}
