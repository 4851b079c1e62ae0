#include "net_tcp_impl.h"

#include <assert.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_chunk.h"
#include "net_err.h"
#include "net_socket.h"

/* From <linux/netfilter_ipv6/ip6_tables.h>, which does not compile beside <netinet/in.h>. */
enum { IP6_ORIGINAL_DST = 80 };

_Static_assert(sizeof(struct net_tcp) <= 512, "thousands of connections are idle");

static int fd_of(const struct net_tcp *tcp)
{
    uv_os_fd_t fd = -1;
    uv_fileno((const uv_handle_t *)&tcp->uv, &fd);
    return fd;
}

static struct net_tcp *from_stream(struct stream *stream)
{
    return (struct net_tcp *)stream;
}

/* ----------------------------------------------------------------------------------- failing -- */

static enum stream_fault fault_of(int status)
{
    switch (status) {
    case UV_ECONNRESET:
    case UV_ECONNABORTED:
    case UV_EPIPE: /* the RST came after the peer's FIN, or was reported before */
        return STREAM_FAULT_RESET;
    case UV_ETIMEDOUT:
    case UV_EHOSTUNREACH:
    case UV_ENETUNREACH:
        return STREAM_FAULT_TIMEOUT;
    default:
        return STREAM_FAULT_IO;
    }
}

static void cancel_unread(struct net_tcp *tcp)
{
    if (tcp->unread != NULL)
        net_task_cancel(&tcp->unread->again);
}

/* The owner may be gone when this returns. */
static void fail(struct net_tcp *tcp, int status)
{
    assert(!tcp->failed);
    tcp->failed = true;
    tcp->reading = false;
    uv_read_stop((uv_stream_t *)&tcp->uv);
    net_task_cancel(&tcp->later);
    cancel_unread(tcp);

    char peer[ADDR_TEXT_MAX];
    char what[ADDR_TEXT_MAX + 32];
    snprintf(what, sizeof(what), "connection with %s", addr_format(&tcp->peer, peer));
    struct err err;
    net_err_set(&err, status, what);
    tcp->stream.handler->on_failed(tcp->stream.owner, fault_of(status), &err);
}

/* Sending failed. The owner hears of it later. */
static void break_sending(struct net_tcp *tcp, int status)
{
    if (tcp->broken != 0 || tcp->failed)
        return;
    tcp->broken = status;
    net_chunk_return(tcp->loop, tcp->filling);
    tcp->filling = NULL;
    net_task_schedule(tcp->loop, &tcp->later);
}

/*
 * Whether bytes wait that came before the connection broke. A peer that answers and resets (a
 * server that refuses an upload) has its answer read first; the kernel keeps it, and ends it with
 * EOF or an error. Out of memory is our own trouble: the peer may go on for ever.
 */
static bool has_last_words(const struct net_tcp *tcp)
{
    int waiting = 0;
    if (tcp->unread != NULL)
        return true;
    return !tcp->eof_seen && tcp->broken != UV_ENOMEM &&
           ioctl(fd_of(tcp), FIONREAD, &waiting) == 0 && waiting > 0;
}

static void on_later(void *owner)
{
    struct net_tcp *tcp = owner;
    if (tcp->broken != 0) {
        if (!has_last_words(tcp))
            fail(tcp, tcp->broken);
        return;
    }
    if (tcp->stream.handler->on_shutdown != NULL)
        tcp->stream.handler->on_shutdown(tcp->stream.owner);
}

/* ----------------------------------------------------------------------------------- reading -- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    const struct net_tcp *tcp = handle->data;
    buf->base = (char *)tcp->loop->scratch;
    buf->len = tcp->read_len;
}

static int take_socket_error(const struct net_tcp *tcp)
{
    int sys = 0;
    socklen_t len = sizeof(sys);
    if (getsockopt(fd_of(tcp), SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
        return errno;
    return sys;
}

/*
 * libuv takes POLLHUP after a short read for the end without asking the kernel again (it then gives
 * no buffer), and POLLHUP comes with RST, too. The socket knows: EPIPE is an RST that came after
 * FIN, so that what was received is whole.
 */
static int check_end(const struct net_tcp *tcp, const uv_buf_t *buf)
{
    if (buf->base != NULL)
        return 0;
    int sys = take_socket_error(tcp);
    return sys == EPIPE ? 0 : -sys;
}

static void received_end(struct net_tcp *tcp, int status)
{
    tcp->eof_seen = true;
    tcp->reading = false;
    /* The error that a write has picked up is gone from the socket, which then reads as ended. */
    if (tcp->broken != 0)
        fail(tcp, tcp->broken);
    else if (status < 0)
        fail(tcp, status);
    else
        tcp->stream.handler->on_eof(tcp->stream.owner);
}

static void on_received(uv_stream_t *handle, ssize_t nread, const uv_buf_t *buf)
{
    struct net_tcp *tcp = handle->data;
    if (nread > 0)
        tcp->stream.handler->on_read(tcp->stream.owner, (const uint8_t *)buf->base, (size_t)nread);
    else if (nread == UV_EOF)
        received_end(tcp, check_end(tcp, buf));
    else if (nread < 0)
        fail(tcp, (int)nread);
    /* 0 is EAGAIN. */
}

static void start_receiving(struct net_tcp *tcp)
{
    int rc = uv_read_start((uv_stream_t *)&tcp->uv, on_alloc, on_received);
    assert(rc == 0);
    (void)rc;
}

/*
 * What was put back is read again; then the end, if that was seen, else the socket goes on. What comes next is arranged before the owner
 * is called, who may stop, or close.
 */
static void on_again(void *owner)
{
    struct net_tcp *tcp = owner;
    struct net_unread *unread = tcp->unread;
    if (unread->len == 0) {
        tcp->unread = NULL;
        free(unread);
        received_end(tcp, 0);
        return;
    }
    size_t len = unread->len;
    unread->len = 0;
    if (tcp->eof_seen) {
        net_task_schedule(tcp->loop, &unread->again);
        tcp->stream.handler->on_read(tcp->stream.owner, unread->bytes, len);
        return;
    }
    tcp->unread = NULL;
    start_receiving(tcp);
    tcp->stream.handler->on_read(tcp->stream.owner, unread->bytes, len);
    free(unread);
}

static void tcp_read_start(struct stream *stream)
{
    struct net_tcp *tcp = from_stream(stream);
    assert(!tcp->closed);
    if (tcp->reading || tcp->failed)
        return;
    if (tcp->unread != NULL) {
        tcp->reading = true;
        net_task_schedule(tcp->loop, &tcp->unread->again);
    } else if (!tcp->eof_seen) {
        tcp->reading = true;
        start_receiving(tcp);
    }
}

static void tcp_read_stop(struct stream *stream)
{
    struct net_tcp *tcp = from_stream(stream);
    assert(!tcp->closed);
    if (!tcp->reading)
        return;
    tcp->reading = false;
    uv_read_stop((uv_stream_t *)&tcp->uv);
    cancel_unread(tcp);
}

int net_tcp_unread(struct net_tcp *tcp, const uint8_t *bytes, size_t len)
{
    assert(!tcp->closed && !tcp->reading && tcp->unread == NULL);
    if (len == 0 && !tcp->eof_seen)
        return 0;
    tcp->unread = malloc(sizeof(*tcp->unread) + len);
    if (tcp->unread == NULL)
        return -1;
    *tcp->unread = (struct net_unread){.again = {.run = on_again, .owner = tcp}, .len = len};
    if (len > 0)
        memcpy(tcp->unread->bytes, bytes, len);
    return 0;
}

/* ----------------------------------------------------------------------------------- writing -- */

static size_t tcp_queued(const struct stream *stream)
{
    const struct net_tcp *tcp = (const struct net_tcp *)stream;
    if (tcp->broken != 0 || tcp->failed)
        return 0;
    size_t filled = tcp->filling == NULL ? 0 : tcp->filling->len;
    return filled + uv_stream_get_write_queue_size((const uv_stream_t *)&tcp->uv);
}

static bool has_queue(const struct net_tcp *tcp)
{
    return tcp->filling != NULL || tcp->num_in_flight > 0;
}

static void on_written(uv_write_t *req, int status);

static void submit_chunk(struct net_tcp *tcp)
{
    struct net_chunk *chunk = tcp->filling;
    tcp->filling = NULL;
    uv_buf_t buf = {.base = (char *)chunk->bytes, .len = chunk->len};
    int rc = uv_write(&chunk->req, (uv_stream_t *)&tcp->uv, &buf, 1, on_written);
    assert(rc == 0);
    (void)rc;
    tcp->num_in_flight++;
}

/* Sends the end, everything else being sent. */
static void send_end(struct net_tcp *tcp)
{
    /* Not uv_shutdown, which defers the call by a round of the loop. */
    if (shutdown(fd_of(tcp), SHUT_WR) == 0) {
        tcp->end_sent = true;
        net_task_schedule(tcp->loop, &tcp->later);
        return;
    }
    /* ENOTCONN: the connection was reset or timed out behind our back; the socket knows which. */
    int sys = take_socket_error(tcp);
    break_sending(tcp, sys == 0 ? UV_ECONNRESET : -sys);
}

static void on_written(uv_write_t *req, int status)
{
    struct net_tcp *tcp = req->handle->data;
    struct net_chunk *chunk = (struct net_chunk *)req;
    if (status == 0)
        tcp->num_untaken -= chunk->len;
    net_chunk_return(tcp->loop, chunk);
    tcp->num_in_flight--;
    if (tcp->closed || tcp->failed || tcp->broken != 0)
        return;
    if (status < 0) {
        break_sending(tcp, status);
        return;
    }
    if (tcp->num_in_flight == 0 && tcp->filling != NULL)
        submit_chunk(tcp);
    if (tcp->shutdown_asked && !has_queue(tcp))
        send_end(tcp);
    if (tcp->was_high && tcp_queued(&tcp->stream) <= STREAM_LOW_WATER && tcp->broken == 0) {
        tcp->was_high = false;
        if (!tcp->shutdown_asked && tcp->stream.handler->on_writable != NULL)
            tcp->stream.handler->on_writable(tcp->stream.owner);
    }
}

static void enqueue(struct net_tcp *tcp, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        if (tcp->filling == NULL)
            tcp->filling = net_chunk_take(tcp->loop);
        struct net_chunk *chunk = tcp->filling;
        if (chunk == NULL) {
            break_sending(tcp, UV_ENOMEM);
            return;
        }
        size_t space = NET_CHUNK_LEN - chunk->len;
        size_t part = len < space ? len : space;
        memcpy(chunk->bytes + chunk->len, bytes, part);
        chunk->len += part;
        bytes += part;
        len -= part;
        if (chunk->len == NET_CHUNK_LEN || tcp->num_in_flight == 0)
            submit_chunk(tcp);
    }
    if (tcp_queued(&tcp->stream) >= STREAM_HIGH_WATER)
        tcp->was_high = true;
}

static void tcp_write(struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct net_tcp *tcp = from_stream(stream);
    assert(!tcp->closed && !tcp->shutdown_asked);
    tcp->num_untaken += len;
    if (tcp->broken != 0 || tcp->failed || len == 0)
        return;
    if (!has_queue(tcp)) {
        /* libuv's struct lacks the const; the bytes are only read. */
        uv_buf_t buf = {.base = (char *)(uintptr_t)bytes, .len = len};
        int sent = uv_try_write((uv_stream_t *)&tcp->uv, &buf, 1);
        if (sent < 0 && sent != UV_EAGAIN) {
            break_sending(tcp, sent);
            return;
        }
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
            tcp->num_untaken -= (size_t)sent;
        }
    }
    enqueue(tcp, bytes, len);
}

static void tcp_shutdown(struct stream *stream)
{
    struct net_tcp *tcp = from_stream(stream);
    assert(!tcp->closed && !tcp->shutdown_asked);
    tcp->shutdown_asked = true;
    if (tcp->broken == 0 && !tcp->failed && !has_queue(tcp))
        send_end(tcp);
}

/* ----------------------------------------------------------------------------------- closing -- */

static void on_closed(uv_handle_t *handle)
{
    struct net_tcp *tcp = handle->data;
    free(tcp->unread);
    free(tcp);
}

static void tcp_close(struct stream *stream)
{
    struct net_tcp *tcp = from_stream(stream);
    assert(!tcp->closed);
    tcp->closed = true;
    tcp->reading = false;
    net_task_cancel(&tcp->later);
    cancel_unread(tcp);
    net_chunk_return(tcp->loop, tcp->filling);
    tcp->filling = NULL;
    uv_close((uv_handle_t *)&tcp->uv, on_closed);
}

static void tcp_abort(struct stream *stream)
{
    net_socket_set_reset_on_close(fd_of(from_stream(stream)));
    tcp_close(stream);
}

static const struct stream_ops ops = {
    .read_start = tcp_read_start,
    .read_stop = tcp_read_stop,
    .write = tcp_write,
    .queued = tcp_queued,
    .shutdown = tcp_shutdown,
    .close = tcp_close,
    .abort = tcp_abort,
};

/* ------------------------------------------------------------------------- making and asking -- */

struct net_tcp *net_tcp_new(struct net_loop *loop, int fd, const struct addr *peer, struct err *err)
{
    struct net_tcp *tcp = calloc(1, sizeof(*tcp));
    if (tcp == NULL) {
        err_set(err, ERR_NOMEM, "connection: out of memory");
        return NULL;
    }
    tcp->stream.ops = &ops;
    tcp->loop = loop;
    tcp->later = (struct net_task){.run = on_later, .owner = tcp};
    tcp->read_len = NET_READ_MAX;
    tcp->peer = *peer;
    uv_tcp_init(&loop->uv, &tcp->uv);
    tcp->uv.data = tcp;
    int rc = uv_tcp_open(&tcp->uv, fd);
    if (rc < 0) {
        net_err_set(err, rc, "connection");
        tcp_close(&tcp->stream);
        return NULL;
    }
    return tcp;
}

void net_tcp_learn_local(struct net_tcp *tcp)
{
    tcp->local = net_socket_local(fd_of(tcp));
}

struct net_tcp *net_tcp_from_fd(struct net_loop *loop, int fd,
                                const struct net_tcp_options *options, struct err *err)
{
    if (net_socket_set_options(fd, options, err) < 0)
        return NULL;
    struct addr peer = net_socket_peer(fd);
    struct net_tcp *tcp = net_tcp_new(loop, fd, &peer, err);
    if (tcp != NULL)
        net_tcp_learn_local(tcp);
    return tcp;
}

struct stream *net_tcp_stream(struct net_tcp *tcp)
{
    return &tcp->stream;
}

const struct net_tcp *net_tcp_of(const struct stream *stream)
{
    return stream->ops == &ops ? (const struct net_tcp *)stream : NULL;
}

size_t net_tcp_undelivered(const struct net_tcp *tcp)
{
    int unacknowledged = 0;
    /* What the kernel knows of a connection's bytes outlives the connection, until the socket is closed. */
    if (ioctl(fd_of(tcp), TIOCOUTQ, &unacknowledged) < 0 || unacknowledged < 0)
        return SIZE_MAX;
    size_t end = tcp->shutdown_asked && !tcp->end_sent ? 1 : 0;
    return tcp->num_untaken + (size_t)unacknowledged + end;
}

const struct addr *net_tcp_peer(const struct net_tcp *tcp)
{
    return &tcp->peer;
}

const struct addr *net_tcp_local(const struct net_tcp *tcp)
{
    return &tcp->local;
}

/* No connection tracking, or none of this connection: it was not redirected by it. */
static bool means_not_redirected(int sys)
{
    return sys == ENOENT || sys == ENOPROTOOPT || sys == EOPNOTSUPP;
}

int net_tcp_original_destination(const struct net_tcp *tcp, struct addr *out, struct err *err)
{
    /* Asked by the family on the wire: for IPv4 on a dual-stack socket, too, IPv4's connection
     * tracking knows the answer. */
    bool is_v4 = tcp->local.ip.family == IP_V4;
    struct sockaddr_storage sa = {0};
    socklen_t len = is_v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int rc = is_v4 ? getsockopt(fd_of(tcp), SOL_IP, SO_ORIGINAL_DST, &sa, &len)
                   : getsockopt(fd_of(tcp), SOL_IPV6, IP6_ORIGINAL_DST, &sa, &len);
    if (rc == 0)
        return addr_from_sockaddr(out, (const struct sockaddr *)&sa, err);
    if (!means_not_redirected(errno))
        return err_set_sys(err, errno, "cannot learn the original destination");
    *out = tcp->local;
    return 0;
}

bool net_tcp_is_broken(const struct net_tcp *tcp)
{
    /* POLLERR and POLLHUP come unasked, POLLRDHUP (the peer's FIN) does not. */
    struct pollfd polled = {.fd = fd_of(tcp)};
    return poll(&polled, 1, 0) == 1;
}

void net_tcp_set_read_size(struct net_tcp *tcp, size_t len)
{
    assert(len > 0 && len <= NET_READ_LIMIT);
    tcp->read_len = (uint32_t)len;
}
