#include "tls_alpn.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum { PROTOCOL_MAX = 255 }; /* bytes (RFC 7301, 3.1) */

static int add(struct tls_alpn *alpn, const char *protocol, struct err *err)
{
    size_t len = strlen(protocol);
    if (len == 0 || len > PROTOCOL_MAX)
        return err_set(err, ERR_INVALID, "ALPN: a protocol's name has 1 to %d bytes", PROTOCOL_MAX);
    alpn->names[alpn->num] = strdup(protocol);
    if (alpn->names[alpn->num] == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    alpn->num++;
    alpn->list[alpn->list_len] = (uint8_t)len;
    memcpy(alpn->list + alpn->list_len + 1, protocol, len);
    alpn->list_len += 1 + len;
    return 0;
}

int tls_alpn_init(struct tls_alpn *alpn, const char *const *protocols, size_t num, struct err *err)
{
    *alpn = (struct tls_alpn){0};
    if (num == 0)
        return 0;
    if (num > TLS_CONTEXT_ALPN_MAX)
        return err_set(err, ERR_LIMIT, "ALPN: more than %d protocols", TLS_CONTEXT_ALPN_MAX);
    alpn->list = malloc(num * (PROTOCOL_MAX + 1));
    alpn->names = calloc(num, sizeof(*alpn->names));
    if (alpn->list == NULL || alpn->names == NULL) {
        tls_alpn_done(alpn);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    int result = 0;
    for (size_t i = 0; i < num && result == 0; i++)
        result = add(alpn, protocols[i], err);
    if (result < 0)
        tls_alpn_done(alpn);
    return result;
}

void tls_alpn_done(struct tls_alpn *alpn)
{
    for (size_t i = 0; alpn->names != NULL && i < alpn->num; i++)
        free(alpn->names[i]);
    free(alpn->names);
    free(alpn->list);
    *alpn = (struct tls_alpn){0};
}

/* A client that offers ALPN without one of ours is refused here; of one that offers none, the
 * connection decides after the handshake. */
static int on_select(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                     unsigned in_len, void *owner)
{
    const struct tls_alpn *alpn = owner;
    uint8_t *selected;
    if (SSL_select_next_proto(&selected, out_len, alpn->list, (unsigned)alpn->list_len, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = selected;
    return SSL_TLSEXT_ERR_OK;
}

int tls_alpn_use(const struct tls_alpn *alpn, SSL_CTX *ctx, enum tls_role role)
{
    if (alpn->num == 0)
        return 0;
    if (role == TLS_SERVER) {
        SSL_CTX_set_alpn_select_cb(ctx, on_select, (void *)(uintptr_t)alpn);
        return 0;
    }
    /* This is the one that returns 0 for success. */
    return SSL_CTX_set_alpn_protos(ctx, alpn->list, (unsigned)alpn->list_len) == 0 ? 0 : -1;
}

const char *tls_alpn_selected(const struct tls_alpn *alpn, const SSL *ssl)
{
    const uint8_t *selected;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &selected, &len);
    for (size_t i = 0; alpn->names != NULL && i < alpn->num; i++)
        if (len == strlen(alpn->names[i]) && memcmp(selected, alpn->names[i], len) == 0)
            return alpn->names[i];
    return "";
}
