#include <assert.h>
#include <string.h>

#include "h2_internal.h"

const char *h2_header_find(const struct h2_header *headers, size_t num_headers, const char *name)
{
    for (size_t i = 0; i < num_headers; i++)
        if (strcmp(headers[i].name, name) == 0)
            return headers[i].value;
    return NULL;
}

/* nghttp2 takes pointers to mutable bytes and does not write through them. */
static uint8_t *h2_header_text(const char *text)
{
    union {
        const char *in;
        uint8_t *out;
    } pun = {.in = text};
    return pun.out;
}

void h2_header_to_nv(const struct h2_header *headers, size_t num_headers, nghttp2_nv *nva)
{
    assert(num_headers <= H2_FIELDS_SENT_MAX);
    for (size_t i = 0; i < num_headers; i++) {
        const struct h2_header *header = &headers[i];
        nva[i] = (nghttp2_nv){
            .name = h2_header_text(header->name),
            .namelen = strlen(header->name),
            .value = h2_header_text(header->value),
            .valuelen = header->value_len != 0 ? header->value_len : strlen(header->value),
            .flags = header->unique ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
        };
    }
}
