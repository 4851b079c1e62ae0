/* The PROXY header: whatever goes in, what comes out is well-formed, as long as it says, and says what went in. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy_v2.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Takes up to `num` bytes of the input; zeros where there are no more. */
static void take(const uint8_t **bytes, size_t *len, void *out, size_t num)
{
    size_t part = *len < num ? *len : num;
    memset(out, 0, num);
    if (part > 0)
        memcpy(out, *bytes, part);
    *bytes += part;
    *len -= part;
}

static void take_addr(const uint8_t **bytes, size_t *len, struct addr *addr)
{
    uint8_t kind;
    uint8_t raw[16];
    take(bytes, len, &kind, 1);
    take(bytes, len, raw, sizeof(raw));
    take(bytes, len, &addr->port, sizeof(addr->port));
    addr->ip = (struct ip){0};
    if (kind % 3 > 0)
        ip_from_bytes(&addr->ip, raw, kind % 3 == 1 ? 4 : 16, NULL);
}

static size_t addresses_len(uint8_t family)
{
    return family == 0x11 ? 12 : family == 0x21 ? 36 : 0;
}

/* A text of up to 300 of the input's bytes, on the heap so that reading beyond its end is seen; NULL for some. */
static char *take_text(const uint8_t **bytes, size_t *len)
{
    uint8_t wanted[2];
    take(bytes, len, wanted, sizeof(wanted));
    if (wanted[0] == 0)
        return NULL;
    size_t max = (size_t)(wanted[0] << 8 | wanted[1]) % 300;
    size_t num = *len < max ? *len : max;
    char *text = calloc(1, num + 1);
    assert(text != NULL);
    take(bytes, len, text, num);
    return text;
}

/* At `at`, what is expected of a text: nothing, or its type, length and bytes. Returns what follows. */
static const uint8_t *expect_text(const uint8_t *at, uint8_t type, const char *text, size_t max)
{
    size_t len = text == NULL ? 0 : strlen(text);
    if (len == 0 || len > max)
        return at;
    assert(at[0] == type && (size_t)(at[1] << 8 | at[2]) == len);
    assert(memcmp(at + 3, text, len) == 0);
    return at + 3 + len;
}

static const uint8_t *expect_tls(const uint8_t *at, const struct proxy_v2_tls *tls)
{
    at = expect_text(at, PROXY_V2_TLV_ALPN, tls->alpn, PROXY_V2_TEXT_MAX);
    assert(at[0] == PROXY_V2_TLV_SSL);
    const uint8_t *end = at + 3 + (size_t)(at[1] << 8 | at[2]);
    int flags = tls->is_resumed ? 5 : 7;
    assert(at[3] == (tls->has_client_cert ? flags : 1) && at[7] == (tls->has_client_cert ? 0 : 1));
    (void)flags;
    at = expect_text(at + 8, 0x21, tls->version, PROXY_V2_TEXT_MAX);
    at = expect_text(at, 0x22, tls->common_name, PROXY_V2_TEXT_MAX);
    at = expect_text(at, 0x23, tls->cipher, PROXY_V2_TEXT_MAX);
    assert(at == end);
    return at;
}

static void check(const struct proxy_v2 *header)
{
    static uint8_t out[PROXY_V2_MAX];
    size_t written = proxy_v2_write(header, out);
    assert(written >= 16 && written <= PROXY_V2_MAX);
    assert(memcmp(out, "\r\n\r\n\0\r\nQUIT\n", 12) == 0 && out[12] == 0x21);
    assert(out[13] == 0 || out[13] == 0x11 || out[13] == 0x21);
    assert((size_t)(out[14] << 8 | out[15]) == written - 16);
    const uint8_t *at = out + 16 + addresses_len(out[13]);
    at = expect_text(at, PROXY_V2_TLV_AUTHORITY, header->authority, PROXY_V2_TEXT_MAX);
    if (header->tls != NULL)
        at = expect_tls(at, header->tls);
    at = expect_text(at, PROXY_V2_TLV_IDENTITY, header->identity, PROXY_V2_IDENTITY_MAX);
    assert(at == out + written);
    (void)at;
    (void)written;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct proxy_v2 header = {0};
    take_addr(&bytes, &len, &header.source);
    take_addr(&bytes, &len, &header.destination);
    uint8_t flags;
    take(&bytes, &len, &flags, 1);
    char *texts[5];
    for (size_t i = 0; i < 5; i++)
        texts[i] = take_text(&bytes, &len);
    struct proxy_v2_tls tls = {.has_client_cert = (flags & 2) != 0,
                               .is_resumed = (flags & 4) != 0,
                               .version = texts[0],
                               .cipher = texts[1],
                               .alpn = texts[2],
                               .common_name = texts[3]};
    header.tls = (flags & 1) != 0 ? &tls : NULL;
    header.authority = texts[4];
    char *identity = calloc(1, len + 1);
    assert(identity != NULL);
    if (len > 0)
        memcpy(identity, bytes, len);
    header.identity = identity;
    check(&header);
    free(identity);
    for (size_t i = 0; i < 5; i++)
        free(texts[i]);
    return 0;
}
