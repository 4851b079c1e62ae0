#include "tls_ticket.h"

#include <openssl/aead.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tls_conn_verify.h"

enum {
    END_LEN = 8,    /* ms, wall clock */
    NONCE_LEN = 24, /* of XChaCha20: random ones never meet */
    TAG_LEN = 16,
    TRAILER_LEN = END_LEN + NONCE_LEN,
    STORE_MAX = 16, /* sessions; a server gives two for each connection */
    /*
     * Bytes of a session that is put into a ticket. Of more, from a client with a chain of many or
     * large certificates, the message would be longer than what clients take (16 KiB, BoringSSL's
     * among them), or could not be written at all, and the connection would end by it.
     */
    SESSION_MAX = 12 * 1024,
};

/* ------------------------------------------------------------------------------------- servers -- */

struct tls_ticket_key {
    EVP_AEAD_CTX aead;
};

struct tls_ticket_key *tls_ticket_key_new(void)
{
    const EVP_AEAD *aead = EVP_aead_xchacha20_poly1305();
    uint8_t secret[EVP_AEAD_MAX_KEY_LENGTH];
    size_t len = EVP_AEAD_key_length(aead);
    struct tls_ticket_key *key = malloc(sizeof(*key));
    if (key == NULL)
        return NULL;
    RAND_bytes(secret, len); /* BoringSSL's does not fail: it aborts */
    int ok = EVP_AEAD_CTX_init(&key->aead, aead, secret, len, TAG_LEN, NULL);
    OPENSSL_cleanse(secret, sizeof(secret));
    if (ok)
        return key;
    free(key);
    return NULL;
}

void tls_ticket_key_free(struct tls_ticket_key *key)
{
    if (key == NULL)
        return;
    EVP_AEAD_CTX_cleanup(&key->aead);
    OPENSSL_cleanse(key, sizeof(*key));
    free(key);
}

static struct tls_conn *conn_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static const EVP_AEAD_CTX *aead_of(const SSL *ssl)
{
    return &tls_context_ticket_key(tls_conn_context(conn_of(ssl)))->aead;
}

static size_t max_overhead(SSL *ssl)
{
    return TAG_LEN + TRAILER_LEN;
}

/* A ticket has one byte at least (RFC 8446, 4.6.1); of one, it is ignored when it comes back. */
static int seal_nothing(uint8_t *out, size_t *out_len, size_t max_out_len)
{
    if (max_out_len == 0)
        return 0;
    out[0] = 0;
    *out_len = 1;
    return 1;
}

/* The sealed session comes first, because `in` and `out` may be the same place. */
static int seal(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out_len, const uint8_t *in,
                size_t in_len)
{
    uint8_t trailer[TRAILER_LEN]; /* the end, the nonce */
    if (in_len > SESSION_MAX)
        return seal_nothing(out, out_len, max_out_len);
    uint64_t end_ms = (uint64_t)tls_conn_ticket_end_ms(conn_of(ssl));
    for (size_t i = 0; i < END_LEN; i++)
        trailer[i] = (uint8_t)(end_ms >> (8 * (END_LEN - 1 - i)));
    RAND_bytes(trailer + END_LEN, NONCE_LEN);
    size_t sealed_len;
    if (max_out_len < TRAILER_LEN ||
        !EVP_AEAD_CTX_seal(aead_of(ssl), out, &sealed_len, max_out_len - TRAILER_LEN,
                           trailer + END_LEN, NONCE_LEN, in, in_len, trailer, END_LEN))
        return 0;
    memcpy(out + sealed_len, trailer, TRAILER_LEN);
    *out_len = sealed_len + TRAILER_LEN;
    return 1;
}

static enum ssl_ticket_aead_result_t open_ticket(SSL *ssl, uint8_t *out, size_t *out_len,
                                                 size_t max_out_len, const uint8_t *in,
                                                 size_t in_len)
{
    if (in_len < TRAILER_LEN)
        return ssl_ticket_aead_ignore_ticket;
    size_t sealed_len = in_len - TRAILER_LEN;
    uint8_t trailer[TRAILER_LEN];
    memcpy(trailer, in + sealed_len, TRAILER_LEN);
    if (!EVP_AEAD_CTX_open(aead_of(ssl), out, out_len, max_out_len, trailer + END_LEN, NONCE_LEN,
                           in, sealed_len, trailer, END_LEN)) {
        ERR_clear_error();
        return ssl_ticket_aead_ignore_ticket;
    }
    uint64_t end_ms = 0;
    for (size_t i = 0; i < END_LEN; i++)
        end_ms = end_ms << 8 | trailer[i];
    if (tls_conn_now_ms(conn_of(ssl)) >= (int64_t)end_ms)
        return ssl_ticket_aead_ignore_ticket;
    /* What is given in exchange does not live longer. */
    tls_conn_limit_tickets(conn_of(ssl), (int64_t)end_ms);
    return ssl_ticket_aead_success;
}

static const SSL_TICKET_AEAD_METHOD METHOD = {max_overhead, seal, open_ticket};

void tls_ticket_use_key(SSL_CTX *ctx)
{
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 2); /* for clients that open several connections at once */
    SSL_CTX_set_session_psk_dhe_timeout(ctx, TLS_CONTEXT_TICKET_S);
    SSL_CTX_set_ticket_aead_method(ctx, &METHOD);
}

/* ------------------------------------------------------------------------------------- clients -- */

struct kept {
    SSL_SESSION *session;
    bool is_cert_shown; /* the server knows us by it */
};

struct tls_ticket_store {
    pthread_mutex_t lock;
    size_t num;
    struct kept sessions[STORE_MAX]; /* oldest first */
};

struct tls_ticket_store *tls_ticket_store_new(void)
{
    struct tls_ticket_store *store = calloc(1, sizeof(*store));
    if (store != NULL)
        pthread_mutex_init(&store->lock, NULL);
    return store;
}

void tls_ticket_store_free(struct tls_ticket_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->num; i++)
        SSL_SESSION_free(store->sessions[i].session);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* Takes the session. */
static void keep(struct tls_ticket_store *store, SSL_SESSION *session, bool is_cert_shown)
{
    SSL_SESSION *oldest = NULL;
    pthread_mutex_lock(&store->lock);
    if (store->num == STORE_MAX) {
        oldest = store->sessions[0].session;
        store->num--;
        memmove(store->sessions, store->sessions + 1, store->num * sizeof(*store->sessions));
    }
    store->sessions[store->num++] = (struct kept){session, is_cert_shown};
    pthread_mutex_unlock(&store->lock);
    SSL_SESSION_free(oldest);
}

/* 1: it is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    if (SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION ||
        !SSL_SESSION_is_resumable(session))
        return 0;
    struct tls_conn *conn = conn_of(ssl);
    keep(tls_context_ticket_store(tls_conn_context(conn)), session, tls_conn_is_cert_shown(conn));
    return 1;
}

void tls_ticket_use_store(SSL_CTX *ctx)
{
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    SSL_CTX_set_session_psk_dhe_timeout(ctx, TLS_CONTEXT_TICKET_S);
    SSL_CTX_set_reverify_on_resume(ctx, 1);
}

void tls_ticket_offer(struct tls_ticket_store *store, SSL *ssl)
{
    struct kept kept = {0};
    pthread_mutex_lock(&store->lock);
    if (store->num > 0)
        kept = store->sessions[--store->num];
    pthread_mutex_unlock(&store->lock);
    if (kept.session == NULL)
        return;
    if (kept.is_cert_shown)
        tls_conn_note_cert_known(conn_of(ssl));
    SSL_set_session(ssl, kept.session);
    SSL_SESSION_free(kept.session);
}
