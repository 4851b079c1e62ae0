#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_err.h"
#include "net_socket.h"
#include "net_tcp_impl.h"

enum {
    ACCEPTS_MAX = 64, /* in one go, so that a flood does not starve the connections that exist */
    RETRY_MS = 100,   /* the pause when one can neither be accepted nor dropped: poll would spin */
    OVERLOAD_EVERY_MS = 1000,
};

/*
 * libuv's own listening drops connections, too, when descriptors run out, but tells nobody; and its
 * accept does not give the peer's address. So the socket is only polled, and accepted from here.
 */
struct net_listener {
    struct net_loop *loop;
    uv_poll_t uv;
    int fd;
    int reserve_fd; /* closed to accept one connection and drop it; -1 when it is lost */
    struct addr at;
    void (*on_accept)(void *owner, struct net_tcp *tcp);
    void (*on_overload)(void *owner);
    void *owner;
    struct net_timer *retry;
    bool overload_told;
    uint64_t overload_at_ms;
    bool closed;
};

/* -------------------------------------------------------------------------------- the socket -- */

static int set_flag(int fd, int level, int option, int value, const char *name, struct err *err)
{
    if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
        return err_set_sys(err, errno, "cannot set %s", name);
    return 0;
}

/* The options of a connection are set on the listening socket: Linux hands them on to what is
 * accepted from it. */
static int set_options(int fd, const struct addr *at, const struct net_listener_options *options,
                       struct err *err)
{
    if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", err) < 0)
        return -1;
    if (options->reuse_port && set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT", err) < 0)
        return -1;
    if (at->ip.family == IP_V6 &&
        set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0, "IPV6_V6ONLY", err) < 0)
        return -1;
    return net_socket_set_options(fd, &options->tcp, err);
}

static int bind_and_listen(int fd, const struct addr *at, int backlog, struct err *err)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(at, &sa);
    if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
        return err_set_sys(err, errno, "bind");
    if (listen(fd, backlog > 0 ? backlog : SOMAXCONN) < 0)
        return err_set_sys(err, errno, "listen");
    return 0;
}

static int open_at(const struct addr *at, const struct net_listener_options *options,
                   struct err *err)
{
    int fd = net_socket_new(at->ip.family, err);
    if (fd < 0)
        return -1;
    if (set_options(fd, at, options, err) < 0 ||
        bind_and_listen(fd, at, options->backlog, err) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool means_no_ipv6(const struct err *err)
{
    return err->sys == EAFNOSUPPORT || err->sys == EADDRNOTAVAIL;
}

/* [::] stands for every address, also where the kernel was built or booted without IPv6. */
static int open_socket(const struct addr *at, const struct net_listener_options *options,
                       struct err *err)
{
    struct err first;
    int fd = open_at(at, options, &first);
    if (fd >= 0)
        return fd;
    if (at->ip.family == IP_V6 && ip_is_unspecified(&at->ip) && means_no_ipv6(&first)) {
        struct addr any_v4 = {.ip = {.family = IP_V4}, .port = at->port};
        return open_at(&any_v4, options, err);
    }
    if (err != NULL)
        *err = first;
    return -1;
}

/* ---------------------------------------------------------------------------------- overload -- */

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* The owner may free the listener inside. */
static void report_overload(struct net_listener *listener)
{
    uint64_t now_ms = uv_now(&listener->loop->uv);
    if (listener->overload_told && now_ms - listener->overload_at_ms < OVERLOAD_EVERY_MS)
        return;
    listener->overload_told = true;
    listener->overload_at_ms = now_ms;
    listener->on_overload(listener->owner);
}

/* Accepts one connection on the reserve descriptor and resets it. False when that is not possible
 * either. */
static bool drop_one(struct net_listener *listener)
{
    if (listener->reserve_fd < 0)
        return false;
    close(listener->reserve_fd);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        net_socket_set_reset_on_close(fd);
        close(fd);
    }
    /* Another thread may have been faster; on_retry tries again. */
    listener->reserve_fd = open_reserve();
    return fd >= 0;
}

static void pause_accepting(struct net_listener *listener)
{
    uv_poll_stop(&listener->uv);
    net_timer_start(listener->retry, RETRY_MS);
}

static void on_acceptable(uv_poll_t *handle, int status, int events);

static void on_retry(void *owner)
{
    struct net_listener *listener = owner;
    if (listener->reserve_fd < 0)
        listener->reserve_fd = open_reserve();
    uv_poll_start(&listener->uv, UV_READABLE, on_acceptable);
}

/* --------------------------------------------------------------------------------- accepting -- */

static void drop(struct net_listener *listener, int fd)
{
    net_socket_set_reset_on_close(fd);
    close(fd);
    report_overload(listener);
}

static void hand_over(struct net_listener *listener, int fd, const struct sockaddr_storage *sa)
{
    struct addr peer = {0};
    addr_from_sockaddr(&peer, (const struct sockaddr *)sa, NULL);
    struct net_tcp *tcp = NULL;
    if (!net_loop_leaves(listener->loop, fd))
        tcp = net_tcp_new(listener->loop, fd, &peer, NULL);
    if (tcp == NULL) {
        drop(listener, fd);
        return;
    }
    net_tcp_learn_local(tcp);
    listener->on_accept(listener->owner, tcp);
}

/* accept() also reports what happened to the connection before it was accepted; the next one may be
 * well (accept(2)). */
static bool is_connections_own(int sys)
{
    switch (sys) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
        return true;
    default:
        return false;
    }
}

/* False: no more for now. */
static bool accept_failed(struct net_listener *listener, int sys)
{
    if (sys == EAGAIN)
        return false;
    if (is_connections_own(sys))
        return true;
    bool out_of_descriptors = sys == EMFILE || sys == ENFILE;
    bool goes_on = out_of_descriptors && drop_one(listener);
    if (!goes_on)
        pause_accepting(listener);
    report_overload(listener);
    return goes_on;
}

static void on_acceptable(uv_poll_t *handle, int status, int events)
{
    struct net_listener *listener = handle->data;
    for (unsigned i = 0; i < ACCEPTS_MAX && !listener->closed; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof(sa);
        int fd = accept4(listener->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            hand_over(listener, fd, &sa);
        else if (!accept_failed(listener, errno))
            return;
    }
}

/* ------------------------------------------------------------------------- beginning and end -- */

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int start_polling(struct net_listener *listener, struct err *err)
{
    int rc = uv_poll_init(&listener->loop->uv, &listener->uv, listener->fd);
    if (rc < 0)
        return net_err_set(err, rc, "poll");
    listener->uv.data = listener;
    uv_poll_start(&listener->uv, UV_READABLE, on_acceptable);
    return 0;
}

struct net_listener *net_listener_new(struct net_loop *loop, const struct addr *at,
                                      const struct net_listener_options *options,
                                      void (*on_accept)(void *owner, struct net_tcp *tcp),
                                      void (*on_overload)(void *owner), void *owner,
                                      struct err *err)
{
    char text[ADDR_TEXT_MAX];
    struct net_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        err_set(err, ERR_NOMEM, "cannot listen: out of memory");
        return NULL;
    }
    listener->loop = loop;
    listener->on_accept = on_accept;
    listener->on_overload = on_overload;
    listener->owner = owner;
    listener->reserve_fd = -1;
    listener->fd = open_socket(at, options, err);
    if (listener->fd < 0)
        goto fail;
    listener->at = net_socket_local(listener->fd);
    listener->reserve_fd = open_reserve();
    if (listener->reserve_fd < 0) {
        err_set_sys(err, errno, "reserve descriptor");
        goto fail;
    }
    listener->retry = net_timer_new(loop, on_retry, listener);
    if (listener->retry == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    if (start_polling(listener, err) < 0)
        goto fail;
    return listener;

fail:
    err_prefix(err, "cannot listen at %s", addr_format(at, text));
    net_timer_free(listener->retry);
    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
    if (listener->fd >= 0)
        close(listener->fd);
    free(listener);
    return NULL;
}

const struct addr *net_listener_addr(const struct net_listener *listener)
{
    return &listener->at;
}

void net_listener_free(struct net_listener *listener)
{
    if (listener == NULL)
        return;
    listener->closed = true;
    net_timer_free(listener->retry);
    /* libuv lets go of the descriptor at once, its storage later. */
    uv_close((uv_handle_t *)&listener->uv, on_closed);
    close(listener->fd);
    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
}
