#include "tls_bio.h"

#include <openssl/bio.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* lives as long as the process */

static int on_read(BIO *bio, char *out, int out_len)
{
    struct tls_bio *span = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (out_len <= 0)
        return 0;
    if (span->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t len = span->in_len < (size_t)out_len ? span->in_len : (size_t)out_len;
    memcpy(out, span->in, len);
    span->in += len;
    span->in_len -= len;
    return (int)len;
}

static int on_write(BIO *bio, const char *bytes, int len)
{
    struct tls_bio *span = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (buf_append(span->out, bytes, (size_t)len) == 0)
        return len;
    span->out_of_memory = true;
    return -1;
}

static long on_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index(), "remora");
    if (made == NULL)
        return;
    if (BIO_meth_set_read(made, on_read) && BIO_meth_set_write(made, on_write) &&
        BIO_meth_set_ctrl(made, on_ctrl))
        method = made;
    else
        BIO_meth_free(made);
}

BIO *tls_bio_new(struct tls_bio *span)
{
    pthread_once(&method_once, make_method);
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, span);
    BIO_set_init(bio, 1);
    return bio;
}
