#include "tls_cert_message.h"

#include <openssl/bytestring.h>

size_t tls_cert_message_parse(const uint8_t *body, size_t body_len, struct peer_cert_der *ders,
                              size_t max)
{
    CBS message, context, list;
    CBS_init(&message, body, body_len);
    if (!CBS_get_u8_length_prefixed(&message, &context) ||
        !CBS_get_u24_length_prefixed(&message, &list) || CBS_len(&message) != 0)
        return 0;
    size_t num = 0;
    while (CBS_len(&list) > 0 && num < max) {
        CBS cert, extensions;
        if (!CBS_get_u24_length_prefixed(&list, &cert) ||
            !CBS_get_u16_length_prefixed(&list, &extensions))
            return 0;
        ders[num++] = (struct peer_cert_der){CBS_data(&cert), CBS_len(&cert)};
    }
    return num;
}
