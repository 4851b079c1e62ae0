#include "grpc_status.h"

#include <stdint.h>

const char *grpc_status_name(enum grpc_status status)
{
    switch (status) {
#define GRPC_STATUS_CASE(id, number)                                                               \
    case GRPC_STATUS_##id:                                                                         \
        return #id;
        GRPC_STATUS_MAP(GRPC_STATUS_CASE)
#undef GRPC_STATUS_CASE
    }
    return "?";
}

int grpc_status_parse(const char *text, size_t len, enum grpc_status *status)
{
    if (len == 0 || len > 9)
        return -1;
    unsigned number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *status =
        number <= GRPC_STATUS_UNAUTHENTICATED ? (enum grpc_status)number : GRPC_STATUS_UNKNOWN;
    return 0;
}

enum grpc_status grpc_status_from_http(int http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_STATUS_INTERNAL;
    case 401:
        return GRPC_STATUS_UNAUTHENTICATED;
    case 403:
        return GRPC_STATUS_PERMISSION_DENIED;
    case 404:
        return GRPC_STATUS_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_STATUS_UNAVAILABLE;
    default:
        return GRPC_STATUS_UNKNOWN;
    }
}

static bool is_sent_plain(uint8_t byte)
{
    return byte >= 0x20 && byte <= 0x7e && byte != '%';
}

/* Bytes of the UTF-8 character that begins here; 1 for what is none, so that any bytes can be sent.
 */
static size_t character_len(const char *at)
{
    uint8_t first = (uint8_t)at[0];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    for (size_t i = 1; i < len; i++) {
        if (((uint8_t)at[i] & 0xc0) != 0x80)
            return 1;
    }
    return len;
}

const char *grpc_status_encode_message(const char *message, char *out, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t out_len = 0;
    while (*message != '\0') {
        size_t len = character_len(message);
        size_t encoded_len = is_sent_plain((uint8_t)*message) ? 1 : 3 * len;
        if (out_len + encoded_len >= size)
            break;
        for (size_t i = 0; i < len; i++) {
            uint8_t byte = (uint8_t)*message++;
            if (is_sent_plain(byte)) {
                out[out_len++] = (char)byte;
                continue;
            }
            out[out_len++] = '%';
            out[out_len++] = hex[byte >> 4];
            out[out_len++] = hex[byte & 15];
        }
    }
    out[out_len] = '\0';
    return out;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

const char *grpc_status_decode_message(const char *text, size_t len, char *out, size_t size)
{
    size_t out_len = 0;
    for (size_t i = 0; i < len && out_len + 1 < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == '%' && len - i > 2) {
            int high = hex_value(text[i + 1]);
            int low = hex_value(text[i + 2]);
            if (high >= 0 && low >= 0) {
                byte = (uint8_t)(high << 4 | low);
                i += 2;
            }
        }
        out[out_len++] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
    }
    out[out_len] = '\0';
    return out;
}
