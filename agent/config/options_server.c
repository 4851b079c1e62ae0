#include "options_server.h"

#include <stdio.h>
#include <string.h>

enum {
    ADDRESS_TEXT_MAX = 512,
    HOST_TEXT_MAX = 256,
};

/* "host:port", where an IPv6 host stands in brackets. The host's length, or -1. */
static int split_address(const char *address)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address)
        return -1;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0')
        return -1;
    bool brackets = address[0] == '[';
    if (brackets ? colon[-1] != ']' : memchr(address, ':', (size_t)(colon - address)) != NULL)
        return -1;
    return (int)(colon - address);
}

static int drop_scheme(struct options *options, const struct options_server *server,
                       struct err *err)
{
    static const char HTTPS[] = "https://";
    char address[ADDRESS_TEXT_MAX];
    if (strncmp(*server->address, HTTPS, sizeof(HTTPS) - 1) != 0)
        return 0;
    snprintf(address, sizeof(address), "%s", *server->address + sizeof(HTTPS) - 1);
    return options_derive(options, server->address_name, address, err);
}

int options_server_derive(struct options *options, const struct options_server *server,
                          struct err *err)
{
    char host[HOST_TEXT_MAX];
    if (drop_scheme(options, server, err) < 0)
        return -1;
    const char *address = *server->address;
    int len = split_address(address);
    if (len < 0 || len >= (int)sizeof(host))
        return options_error(options, server->address_name, err,
                             "expected host:port, found \"%.200s\"", address);
    if (**server->server_name != '\0')
        return 0;
    bool brackets = address[0] == '[';
    snprintf(host, sizeof(host), "%.*s", brackets ? len - 2 : len, address + brackets);
    return options_derive(options, server->server_name_name, host, err);
}
