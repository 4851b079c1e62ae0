/* The codecs of HBONE's headers: whatever is accepted must survive being written and read again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hbone_headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void try_authority(const char *text, size_t len)
{
    struct hbone_authority authority, again;
    struct err err;
    char out[HBONE_AUTHORITY_TEXT];
    if (hbone_authority_parse(&authority, text, len, &err) < 0)
        return;
    assert(authority.port != 0);
    hbone_authority_format(&authority, out);
    int rc = hbone_authority_parse(&again, out, strlen(out), &err);
    assert(rc == 0 && again.port == authority.port);
    assert(ip_equal(&again.ip, &authority.ip) && strcmp(again.host, authority.host) == 0);
    (void)rc;
}

static void try_baggage(const char *text, size_t len)
{
    static struct hbone_baggage_store store;
    static char out[2 * HBONE_BAGGAGE_MAX];
    if (hbone_baggage_parse(&store, text, len) == 0)
        hbone_baggage_format(&store.members, out, sizeof(out));
}

static void try_forwarded(const char *text, size_t len)
{
    struct hbone_forwarded forwarded;
    char out[HBONE_FORWARDED_TEXT];
    hbone_forwarded_parse(&forwarded, text, len);
    if (forwarded.client.ip.family != IP_NONE)
        hbone_forwarded_format(&forwarded.client, forwarded.host, out);
}

static void try_traceparent(const char *text, size_t len)
{
    struct hbone_traceparent trace, again;
    char out[HBONE_TRACEPARENT_TEXT];
    if (hbone_traceparent_parse(&trace, text, len) < 0)
        return;
    hbone_traceparent_format(&trace, out);
    int rc = hbone_traceparent_parse(&again, out, strlen(out));
    assert(rc == 0 && memcmp(again.trace_id, trace.trace_id, sizeof(trace.trace_id)) == 0);
    (void)rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *text = (const char *)bytes;
    try_authority(text, len);
    try_baggage(text, len);
    try_forwarded(text, len);
    try_traceparent(text, len);
    return 0;
}
