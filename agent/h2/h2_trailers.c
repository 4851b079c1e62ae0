#include <stdlib.h>
#include <string.h>

#include "h2_internal.h"

struct h2_trailers {
    size_t num_fields;
    struct h2_header fields[]; /* their texts follow */
};

static char *h2_trailers_put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    at[len] = '\0';
    return at + len + 1;
}

struct h2_trailers *h2_trailers_new(const struct h2_header *headers, size_t num_headers)
{
    size_t size = sizeof(struct h2_trailers) + num_headers * sizeof(struct h2_header);
    for (size_t i = 0; i < num_headers; i++)
        size += strlen(headers[i].name) + strlen(headers[i].value) + 2;
    struct h2_trailers *trailers = malloc(size);
    if (trailers == NULL)
        return NULL;
    trailers->num_fields = num_headers;
    char *at = (char *)&trailers->fields[num_headers];
    for (size_t i = 0; i < num_headers; i++) {
        struct h2_header *field = &trailers->fields[i];
        *field = (struct h2_header){.name = at, .unique = headers[i].unique};
        at = h2_trailers_put(at, headers[i].name, strlen(headers[i].name));
        field->value = at;
        at = h2_trailers_put(at, headers[i].value, strlen(headers[i].value));
    }
    return trailers;
}

int h2_trailers_submit(const struct h2_trailers *trailers, nghttp2_session *ng, int32_t stream_id)
{
    nghttp2_nv nva[H2_FIELDS_SENT_MAX];
    h2_header_to_nv(trailers->fields, trailers->num_fields, nva);
    return nghttp2_submit_trailer(ng, stream_id, nva, trailers->num_fields);
}
