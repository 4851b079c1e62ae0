/* :authority of a CONNECT (RFC 9113 8.5: host and port, nothing else). */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "hbone_headers.h"

static int hbone_authority_refuse(struct err *err, const char *why)
{
    return err_set(err, ERR_PROTOCOL, ":authority %s", why);
}

/* Decimal, 1 .. 65535, at most five digits. */
static bool parse_port(const char *text, size_t len, uint16_t *port)
{
    unsigned value = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value != 0 && value <= UINT16_MAX;
}

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* Labels of letters, digits, "-" and "_", one dot between two. */
static bool is_host(const char *text, size_t len)
{
    bool in_label = false;
    for (size_t i = 0; i < len; i++) {
        if (!is_host_byte(text[i]) || (text[i] == '.' && !in_label))
            return false;
        in_label = text[i] != '.';
    }
    return in_label;
}

/* A last dot (the root of DNS) is cut. */
static int parse_host(struct hbone_authority *authority, const char *text, size_t len,
                      struct err *err)
{
    if (len > 1 && text[len - 1] == '.')
        len--;
    if (len == 0)
        return hbone_authority_refuse(err, "has no host");
    if (len > HBONE_HOST_MAX)
        return hbone_authority_refuse(err, "has a host of more than 253 bytes");
    if (!is_host(text, len))
        return hbone_authority_refuse(err, "has a host that is neither an address nor a name");
    for (size_t i = 0; i < len; i++)
        authority->host[i] =
            (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
    authority->host[len] = '\0';
    return 0;
}

static int parse_ip(struct hbone_authority *authority, const char *text, size_t len,
                    struct err *err)
{
    char literal[ADDR_TEXT_MAX];
    if (len >= sizeof(literal))
        return hbone_authority_refuse(err, "has an address that is too long");
    memcpy(literal, text, len);
    literal[len] = '\0';
    if (ip_parse(&authority->ip, literal, NULL) < 0)
        return hbone_authority_refuse(err, "has an address that cannot be read");
    return 0;
}

/* A name whose last label is digits only is meant as an IPv4 address, if at all. */
static bool looks_like_v4(const char *text, size_t len)
{
    if (len > 1 && text[len - 1] == '.')
        len--;
    for (size_t i = len; i > 0 && text[i - 1] != '.'; i--)
        if (text[i - 1] < '0' || text[i - 1] > '9')
            return false;
    return len > 0 && text[len - 1] != '.';
}

int hbone_authority_parse(struct hbone_authority *authority, const char *text, size_t len,
                          struct err *err)
{
    memset(authority, 0, sizeof(*authority));
    const char *colon = memrchr(text, ':', len);
    if (colon == NULL)
        return hbone_authority_refuse(err, "has no port");
    size_t host_len = (size_t)(colon - text);
    if (!parse_port(colon + 1, len - host_len - 1, &authority->port))
        return hbone_authority_refuse(err, "has no valid port");
    if (host_len > 0 && text[0] == '[') {
        if (text[host_len - 1] != ']' || memchr(text, ':', host_len) == NULL)
            return hbone_authority_refuse(err, "has an address that cannot be read");
        return parse_ip(authority, text + 1, host_len - 2, err);
    }
    if (looks_like_v4(text, host_len))
        return parse_ip(authority, text, host_len, err);
    return parse_host(authority, text, host_len, err);
}

const char *hbone_authority_format(const struct hbone_authority *authority, char *out)
{
    if (authority->ip.family == IP_NONE) {
        snprintf(out, HBONE_AUTHORITY_TEXT, "%s:%u", authority->host, authority->port);
        return out;
    }
    struct addr addr = {.ip = authority->ip, .port = authority->port};
    return addr_format(&addr, out);
}
