/* traceparent (W3C Trace Context). */
#include <stdio.h>
#include <string.h>

#include "hbone_headers.h"

enum { TEXT_LEN = 2 + 1 + 32 + 1 + 16 + 1 + 2 };

static bool all_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

void hbone_traceparent_make(struct hbone_traceparent *trace, const uint8_t *random)
{
    memcpy(trace->trace_id, random, sizeof(trace->trace_id));
    memcpy(trace->parent_id, random + sizeof(trace->trace_id), sizeof(trace->parent_id));
    if (all_zero(trace->trace_id, sizeof(trace->trace_id)))
        trace->trace_id[15] = 1;
    if (all_zero(trace->parent_id, sizeof(trace->parent_id)))
        trace->parent_id[7] = 1;
    trace->flags = 0;
}

/* Lower case only, as the specification wants. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int take_hex(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

int hbone_traceparent_parse(struct hbone_traceparent *trace, const char *text, size_t len)
{
    uint8_t version;
    if (len < TEXT_LEN || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return -1;
    if (take_hex(text, &version, 1) < 0 || version == 0xff)
        return -1;
    if (version == 0 ? len != TEXT_LEN : len > TEXT_LEN && text[TEXT_LEN] != '-')
        return -1;
    if (take_hex(text + 3, trace->trace_id, 16) < 0 ||
        take_hex(text + 36, trace->parent_id, 8) < 0 || take_hex(text + 53, &trace->flags, 1) < 0)
        return -1;
    return all_zero(trace->trace_id, 16) || all_zero(trace->parent_id, 8) ? -1 : 0;
}

const char *hbone_traceparent_format(const struct hbone_traceparent *trace, char *out)
{
    char *at = out + sprintf(out, "00-");
    for (size_t i = 0; i < 16; i++)
        at += sprintf(at, "%02x", trace->trace_id[i]);
    at += sprintf(at, "-");
    for (size_t i = 0; i < 8; i++)
        at += sprintf(at, "%02x", trace->parent_id[i]);
    sprintf(at, "-%02x", trace->flags);
    return out;
}
