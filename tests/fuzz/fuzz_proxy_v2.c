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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static uint8_t out[PROXY_V2_MAX];
    struct proxy_v2 header;
    take_addr(&bytes, &len, &header.source);
    take_addr(&bytes, &len, &header.destination);
    char *identity = calloc(1, len + 1);
    if (identity == NULL)
        return 0;
    if (len > 0)
        memcpy(identity, bytes, len);
    header.identity = identity;
    size_t written = proxy_v2_write(&header, out);

    assert(written >= 16 && written <= PROXY_V2_MAX);
    assert(memcmp(out, "\r\n\r\n\0\r\nQUIT\n", 12) == 0 && out[12] == 0x21);
    assert(out[13] == 0 || out[13] == 0x11 || out[13] == 0x21);
    assert((size_t)(out[14] << 8 | out[15]) == written - 16);
    size_t at = 16 + addresses_len(out[13]);
    size_t identity_len = strlen(identity);
    bool is_said = identity_len > 0 && identity_len <= PROXY_V2_IDENTITY_MAX;
    assert(written == at + (is_said ? 3 + identity_len : 0));
    if (is_said)
        assert(out[at] == PROXY_V2_TLV_IDENTITY &&
               memcmp(out + at + 3, identity, identity_len) == 0);
    (void)written;
    (void)at;
    (void)is_said;
    free(identity);
    return 0;
}
