#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net_err.h"
#include "net_socket.h"
#include "net_tcp_impl.h"

struct net_connect {
    uv_connect_t req;
    struct net_tcp
        *tcp; /* NULL once the attempt was given up: then only libuv's callback is awaited */
    struct net_timer *timer;
    uint64_t timeout_ms;
    net_connect_done *done;
    void *owner;
};

static void prefix_err(struct err *err, const struct addr *to)
{
    char text[ADDR_TEXT_MAX];
    err_prefix(err, "cannot connect to %s", addr_format(to, text));
}

/* libuv calls on_connected when the handle is closed, too; that is where the attempt is freed. */
static void give_up(struct net_connect *connect)
{
    net_timer_free(connect->timer);
    stream_close(net_tcp_stream(connect->tcp));
    connect->tcp = NULL;
}

static void on_timeout(void *owner)
{
    struct net_connect *connect = owner;
    struct err err;
    err_set(&err, ERR_TIMEOUT, "no answer within %llu ms", (unsigned long long)connect->timeout_ms);
    prefix_err(&err, net_tcp_peer(connect->tcp));
    give_up(connect);
    connect->done(connect->owner, NULL, &err);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct net_connect *connect = (struct net_connect *)req;
    struct net_connect ended = *connect;
    free(connect);
    if (ended.tcp == NULL)
        return;
    net_timer_free(ended.timer);
    if (status < 0) {
        struct err err;
        net_err_set(&err, status, "connect");
        prefix_err(&err, net_tcp_peer(ended.tcp));
        stream_close(net_tcp_stream(ended.tcp));
        ended.done(ended.owner, NULL, &err);
        return;
    }
    net_tcp_learn_local(ended.tcp);
    ended.done(ended.owner, ended.tcp, NULL);
}

/* A connection that is not connected yet. */
static struct net_tcp *new_tcp(struct net_loop *loop, const struct addr *to,
                               const struct net_tcp_options *options, struct err *err)
{
    int fd = net_socket_new(to->ip.family, err);
    if (fd < 0)
        return NULL;
    struct net_tcp *tcp = NULL;
    if (net_loop_leaves(loop, fd))
        err_set_sys(err, EMFILE, "cannot take one of the last descriptors");
    else if (net_socket_set_options(fd, options, err) == 0)
        tcp = net_tcp_new(loop, fd, to, err);
    if (tcp == NULL)
        close(fd);
    return tcp;
}

struct net_connect *net_connect_start(struct net_loop *loop, const struct addr *to,
                                      const struct net_tcp_options *options, uint64_t timeout_ms,
                                      net_connect_done *done, void *owner, struct err *err)
{
    struct net_connect *connect = calloc(1, sizeof(*connect));
    struct net_tcp *tcp = NULL;
    struct net_timer *timer = NULL;
    struct sockaddr_storage sa;
    int rc;
    if (connect == NULL || (timer = net_timer_new(loop, on_timeout, connect)) == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    tcp = new_tcp(loop, to, options, err);
    if (tcp == NULL)
        goto fail;
    addr_to_sockaddr(to, &sa);
    rc = uv_tcp_connect(&connect->req, &tcp->uv, (const struct sockaddr *)&sa, on_connected);
    if (rc < 0) {
        net_err_set(err, rc, "connect");
        goto fail;
    }
    connect->tcp = tcp;
    connect->timer = timer;
    connect->timeout_ms = timeout_ms;
    connect->done = done;
    connect->owner = owner;
    net_timer_start(timer, timeout_ms);
    return connect;

fail:
    prefix_err(err, to);
    if (tcp != NULL)
        stream_close(net_tcp_stream(tcp));
    net_timer_free(timer);
    free(connect);
    return NULL;
}

void net_connect_cancel(struct net_connect *connect)
{
    if (connect != NULL)
        give_up(connect);
}
