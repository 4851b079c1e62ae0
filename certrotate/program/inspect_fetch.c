#include "inspect_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "addr.h"

/* The mesh speaks h2 and nothing else; a server that is not of it is often as strict about http/1.1. */
static const uint8_t ALPN[] = "\x02h2\x08http/1.1";

/* ------------------------------------------------------------------------------------ connecting -- */

static int wait_connected(int fd, uint64_t timeout_ms, struct err *err)
{
    struct pollfd waited = {.fd = fd, .events = POLLOUT};
    int result;
    do
        result = poll(&waited, 1, (int)timeout_ms);
    while (result < 0 && errno == EINTR);
    if (result == 0)
        return err_set(err, ERR_TIMEOUT, "no answer within %llu ms",
                       (unsigned long long)timeout_ms);
    int sys = result < 0 ? errno : 0;
    socklen_t len = sizeof(sys);
    if (result > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
        sys = errno;
    return sys == 0 ? 0 : err_set_sys(err, sys, "cannot connect");
}

/* What follows blocks, but never for longer than this at one time. */
static int bound_waits(int fd, uint64_t timeout_ms)
{
    const struct timeval limit = {.tv_sec = (time_t)(timeout_ms / 1000),
                                  .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
                   setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0
               ? -1
               : 0;
}

static int connect_to(const struct addr *addr, uint64_t timeout_ms, struct err *err)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(addr, &to);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_sys(err, errno, "socket");
    int result = connect(fd, (const struct sockaddr *)&to, len);
    if (result < 0 && errno == EINPROGRESS)
        result = wait_connected(fd, timeout_ms, err);
    else if (result < 0)
        err_set_sys(err, errno, "cannot connect");
    if (result == 0 && (fcntl(fd, F_SETFL, 0) < 0 || bound_waits(fd, timeout_ms) < 0))
        result = err_set_sys(err, errno, "socket");
    if (result == 0)
        return fd;
    close(fd);
    return -1;
}

/* ------------------------------------------------------------------------------------- handshake -- */

/* To look is not to trust: whatever is presented is taken, and nothing is sent over it. */
static enum ssl_verify_result_t on_verify(SSL *ssl, uint8_t *alert)
{
    (void)ssl;
    (void)alert;
    return ssl_verify_ok;
}

static SSL *make_ssl(SSL_CTX *context, int fd, const char *server_name)
{
    if (context == NULL)
        return NULL;
    SSL_CTX_set_custom_verify(context, SSL_VERIFY_PEER, on_verify);
    SSL *ssl = SSL_new(context);
    /* SSL_set_alpn_protos returns 0 for success. */
    if (ssl != NULL && SSL_set_fd(ssl, fd) &&
        SSL_set_alpn_protos(ssl, ALPN, sizeof(ALPN) - 1) == 0 &&
        (server_name[0] == '\0' || SSL_set_tlsext_host_name(ssl, server_name)))
        return ssl;
    SSL_free(ssl);
    return NULL;
}

static int take_chain(struct inspect_chain *chain, const SSL *ssl, struct err *err)
{
    const STACK_OF(CRYPTO_BUFFER) *certs = SSL_get0_peer_certificates(ssl);
    for (size_t i = 0; certs != NULL && i < sk_CRYPTO_BUFFER_num(certs); i++) {
        const CRYPTO_BUFFER *cert = sk_CRYPTO_BUFFER_value(certs, i);
        if (inspect_chain_add(chain, CRYPTO_BUFFER_data(cert), CRYPTO_BUFFER_len(cert), err) < 0)
            return -1;
    }
    return 0;
}

static int handshake(struct inspect_chain *chain, SSL *ssl, struct err *err)
{
    int result = SSL_connect(ssl);
    int sys = errno;
    /* A server that refuses us for want of a certificate has presented its own before. */
    if (take_chain(chain, ssl, err) < 0)
        return -1;
    if (chain->num_certs > 0)
        return 0;
    if (SSL_get_error(ssl, result) == SSL_ERROR_SYSCALL && (sys == EAGAIN || sys == ETIMEDOUT))
        return err_set(err, ERR_TIMEOUT, "the TLS handshake took too long");
    const char *why = ERR_reason_error_string(ERR_peek_error());
    return err_set(err, ERR_TLS, "the TLS handshake failed before a certificate came%s%s",
                   why == NULL ? "; does it speak TLS there?" : ": ", why == NULL ? "" : why);
}

static int fetch(struct inspect_chain *chain, int fd, const char *server_name, struct err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    SSL *ssl = make_ssl(context, fd, server_name);
    int result =
        ssl == NULL ? err_set(err, ERR_NOMEM, "out of memory") : handshake(chain, ssl, err);
    SSL_free(ssl);
    SSL_CTX_free(context);
    ERR_clear_error();
    return result;
}

int inspect_chain_fetch(struct inspect_chain *chain, const char *address, const char *server_name,
                        uint64_t timeout_ms, struct err *err)
{
    struct addr addr;
    if (addr_parse(&addr, address, err) < 0)
        return err_prefix(err, "--address");
    int fd = connect_to(&addr, timeout_ms, err);
    int result = fd < 0 ? -1 : fetch(chain, fd, server_name, err);
    if (fd >= 0)
        close(fd);
    if (result == 0)
        return 0;
    inspect_chain_done(chain);
    return err_prefix(err, "%s", address);
}
