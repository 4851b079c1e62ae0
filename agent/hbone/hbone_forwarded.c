/* forwarded (RFC 7239). */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "hbone_headers.h"

const char *hbone_forwarded_format(const struct addr *client, const char *host, char *out)
{
    char text[ADDR_TEXT_MAX];
    bool with_host = host != NULL && host[0] != '\0' && strlen(host) <= HBONE_HOST_MAX;
    snprintf(out, HBONE_FORWARDED_TEXT, "for=\"%s\"%s%s", addr_format(client, text),
             with_host ? ";host=" : "", with_host ? host : "");
    return out;
}

struct span {
    const char *at;
    const char *end;
};

static void skip_space(struct span *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t'))
        in->at++;
}

/* A token, or a quoted string without its quotes and backslashes. False: neither, or too long. */
static bool take_value(struct span *in, char *out, size_t out_len)
{
    bool quoted = in->at < in->end && *in->at == '"';
    size_t len = 0;
    if (quoted)
        in->at++;
    for (; in->at < in->end; in->at++) {
        if (quoted ? *in->at == '"' : strchr(";, \t", *in->at) != NULL)
            break;
        if (quoted && *in->at == '\\' && in->at + 1 < in->end)
            in->at++;
        if (len + 1 >= out_len || *in->at <= ' ' || *in->at >= 0x7f)
            return false;
        out[len++] = *in->at;
    }
    out[len] = '\0';
    if (!quoted)
        return len > 0;
    if (in->at == in->end)
        return false;
    in->at++;
    return true;
}

static void set_pair(struct hbone_forwarded *forwarded, const char *name, size_t name_len,
                     const char *value)
{
    if (name_len == 3 && strncasecmp(name, "for", 3) == 0) {
        if (addr_parse(&forwarded->client, value, NULL) < 0)
            memset(&forwarded->client, 0, sizeof(forwarded->client));
    } else if (name_len == 4 && strncasecmp(name, "host", 4) == 0) {
        snprintf(forwarded->host, sizeof(forwarded->host), "%s", value);
    }
}

void hbone_forwarded_parse(struct hbone_forwarded *forwarded, const char *text, size_t len)
{
    struct span in = {.at = text, .end = text + len};
    memset(forwarded, 0, sizeof(*forwarded));
    while (in.at < in.end) {
        char value[HBONE_HOST_MAX + 1];
        skip_space(&in);
        const char *name = in.at;
        const char *equals = memchr(in.at, '=', (size_t)(in.end - in.at));
        if (equals == NULL)
            return;
        in.at = equals + 1;
        if (!take_value(&in, value, sizeof(value)))
            return;
        set_pair(forwarded, name, (size_t)(equals - name), value);
        skip_space(&in);
        if (in.at == in.end || *in.at != ';')
            return; /* the end, or the next element: an earlier hop, which is not of interest */
        in.at++;
    }
}
