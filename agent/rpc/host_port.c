#include "host_port.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"

enum { HOST_MAX = 253 /* RFC 1035, 2.3.4, as text */ };

static int parse_port(const char *text, uint16_t *port, struct err *err)
{
    unsigned value = 0;
    size_t len = strlen(text);
    bool is_number = len > 0 && len <= 5;
    for (size_t i = 0; is_number && i < len; i++) {
        is_number = text[i] >= '0' && text[i] <= '9';
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (!is_number || value == 0 || value > UINT16_MAX)
        return err_set(err, ERR_INVALID, "the port must be 1 to 65535");
    *port = (uint16_t)value;
    return 0;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

static int check_host(const char *host, bool bracketed, struct err *err)
{
    struct ip ip;
    size_t len = strlen(host);
    if (bracketed)
        return ip_parse(&ip, host, NULL) == 0 && strchr(host, ':') != NULL
                   ? 0
                   : err_set(err, ERR_INVALID, "no IPv6 address between the brackets");
    if (len == 0 || len > HOST_MAX)
        return err_set(err, ERR_INVALID, "the host must have 1 to %d characters", HOST_MAX);
    for (size_t i = 0; i < len; i++) {
        if (!is_name_byte(host[i]))
            return err_set(err, ERR_INVALID, "the host is neither a name nor an address");
    }
    return 0;
}

int host_port_parse(const char *text, char **host, uint16_t *port, struct err *err)
{
    *host = NULL;
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return err_set(err, ERR_INVALID, "host:port is expected");
    bool bracketed = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    char *copy = bracketed ? strndup(text + 1, (size_t)(colon - text) - 2)
                           : strndup(text, (size_t)(colon - text));
    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (check_host(copy, bracketed, err) < 0 || parse_port(colon + 1, port, err) < 0) {
        free(copy);
        return -1;
    }
    *host = copy;
    return 0;
}
