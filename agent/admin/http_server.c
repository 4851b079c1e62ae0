#include "http_server.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "http_listen.h"

enum {
    ACCEPTS_AT_ONCE = 16,   /* then the rest of the loop has its turn */
    ACCEPT_PAUSE_MS = 1000, /* after running out of descriptors */
};

/* A place for one connection. MHD owns the descriptor; it is good until MHD says that it closed. */
struct slot {
    bool taken;
    int fd;
    uint64_t serial; /* the order in which they came */
};

struct http_server {
    struct net_loop *loop;
    const struct http_route *routes;
    size_t num_routes;
    struct addr addr;
    int listen_fd;
    struct net_poll *listen_poll; /* NULL while accepting pauses */
    struct net_timer *accept_timer;
    struct MHD_Daemon *daemon;
    struct net_poll *daemon_poll;
    struct net_timer *daemon_timer;
    struct slot slots[HTTP_SERVER_CONNECTIONS_MAX];
    struct slot *adding; /* while MHD takes a connection */
    uint64_t next_serial;
    size_t answers_len; /* bytes of bodies that MHD holds */
};

/* ---------------------------------------------------------------------------- MHD on the loop -- */

static void run_daemon(void *owner)
{
    struct http_server *server = owner;
    MHD_run(server->daemon);
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(server->daemon, &ms) == MHD_YES)
        net_timer_start(server->daemon_timer, ms);
    else
        net_timer_stop(server->daemon_timer);
}

/* -------------------------------------------------------------------------------- connections -- */

/* MHD's own limit and its inactivity timer do not help against a client that sends a byte now and
 * then, so the oldest goes when all places are taken. */
static void evict_oldest(struct http_server *server)
{
    struct slot *oldest = &server->slots[0];
    for (size_t i = 1; i < HTTP_SERVER_CONNECTIONS_MAX; i++) {
        if (server->slots[i].serial < oldest->serial)
            oldest = &server->slots[i];
    }
    shutdown(oldest->fd, SHUT_RDWR);
    MHD_run(server->daemon); /* sees the end, closes, and says so to on_connection */
}

static struct slot *find_free(struct http_server *server)
{
    for (size_t i = 0; i < HTTP_SERVER_CONNECTIONS_MAX; i++) {
        if (!server->slots[i].taken)
            return &server->slots[i];
    }
    return NULL;
}

static void on_connection(void *owner, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = owner;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = server->adding;
        return;
    }
    struct slot *slot = *context;
    slot->taken = false;
}

static void add_connection(struct http_server *server, int fd, const struct sockaddr *sockaddr,
                           socklen_t sockaddr_len)
{
    struct slot *slot = find_free(server);
    if (slot == NULL) {
        evict_oldest(server);
        slot = find_free(server);
    }
    if (slot == NULL) {
        close(fd);
        return;
    }
    *slot = (struct slot){.taken = true, .fd = fd, .serial = server->next_serial++};
    server->adding = slot;
    if (MHD_add_connection(server->daemon, fd, sockaddr, sockaddr_len) != MHD_YES)
        slot->taken = false; /* MHD has closed the descriptor */
    server->adding = NULL;
}

static void on_accept_ready(void *owner);

static void resume_accepting(void *owner)
{
    struct http_server *server = owner;
    struct err err;
    server->listen_poll =
        net_poll_new(server->loop, server->listen_fd, on_accept_ready, server, &err);
    if (server->listen_poll == NULL)
        net_timer_start(server->accept_timer, ACCEPT_PAUSE_MS);
}

/* Without descriptors the listener stays readable: polling it would spin. */
static void pause_accepting(struct http_server *server)
{
    net_poll_free(server->listen_poll);
    server->listen_poll = NULL;
    net_timer_start(server->accept_timer, ACCEPT_PAUSE_MS);
}

static bool is_out_of_resources(int sys)
{
    return sys == EMFILE || sys == ENFILE || sys == ENOBUFS || sys == ENOMEM;
}

static void on_accept_ready(void *owner)
{
    struct http_server *server = owner;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct sockaddr_storage sockaddr;
        socklen_t len = sizeof(sockaddr);
        int fd = accept4(server->listen_fd, (struct sockaddr *)&sockaddr, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add_connection(server, fd, (const struct sockaddr *)&sockaddr, len);
            continue;
        }
        int sys = errno;
        if (is_out_of_resources(sys))
            pause_accepting(server);
        if (sys == EAGAIN || is_out_of_resources(sys))
            break;
    }
    run_daemon(server);
}

/* ---------------------------------------------------------------------------------- answering -- */

/* What MHD sends from, until it is done. */
struct answer {
    struct http_server *server;
    struct buf body;
};

static void answer_free(void *self)
{
    struct answer *answer = self;
    answer->server->answers_len -= answer->body.capacity;
    buf_done(&answer->body);
    free(answer);
}

/* Takes response->body. */
static struct MHD_Response *make_answer(struct http_server *server, struct http_response *response)
{
    struct answer *answer = malloc(sizeof(*answer));
    if (answer == NULL) {
        buf_done(&response->body);
        return NULL;
    }
    *answer = (struct answer){.server = server, .body = response->body};
    server->answers_len += answer->body.capacity;
    /* MHD's parameter is not const for the sake of its other modes; this one only reads. */
    struct MHD_Response *mhd = MHD_create_response_from_buffer_with_free_callback_cls(
        buf_len(&answer->body), answer->body.bytes, answer_free, answer);
    if (mhd == NULL)
        answer_free(answer);
    return mhd;
}

/* Takes response->body. */
static enum MHD_Result queue(struct http_server *server, struct MHD_Connection *connection,
                             struct http_response *response)
{
    struct MHD_Response *mhd = make_answer(server, response);
    if (mhd == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (MHD_add_response_header(mhd, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type) ==
            MHD_YES &&
        MHD_add_response_header(mhd, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES &&
        (response->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
         MHD_add_response_header(mhd, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES))
        result = MHD_queue_response(connection, response->status, mhd);
    MHD_destroy_response(mhd);
    return result;
}

static void refuse(struct http_response *response, unsigned status, const char *text)
{
    response->status = status;
    buf_append_str(&response->body, text); /* an empty body does too */
}

static const struct http_route *find_route(const struct http_server *server, const char *path)
{
    for (size_t i = 0; i < server->num_routes; i++) {
        if (strcmp(server->routes[i].path, path) == 0)
            return &server->routes[i];
    }
    return NULL;
}

/* A body that the client wants to send is not waited for: the answer comes at the headers. */
/* NOLINTNEXTLINE(readability-function-size): the parameters are those that MHD dictates */
static enum MHD_Result on_request(void *owner, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct http_server *server = owner;
    struct http_response response = {
        .status = MHD_HTTP_OK,
        .content_type = "text/plain; charset=utf-8",
    };
    struct http_request request = {
        .accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT),
    };
    const struct http_route *route = find_route(server, path);
    bool is_get = strcmp(method, MHD_HTTP_METHOD_GET) == 0;
    bool is_head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    if (route == NULL)
        refuse(&response, MHD_HTTP_NOT_FOUND, "not found\n");
    else if (!is_get && !is_head)
        refuse(&response, MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed\n");
    else if (server->answers_len > HTTP_SERVER_ANSWERS_MAX)
        refuse(&response, MHD_HTTP_SERVICE_UNAVAILABLE, "too many answers under way\n");
    else
        route->on_get(route->owner, &request, &response);
    return queue(server, connection, &response);
}

/* ----------------------------------------------------------------------------- start and stop -- */

static int start_daemon(struct http_server *server, struct err *err)
{
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, server,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_SERVER_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_SERVER_CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_SERVER_IDLE_S, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (server->daemon == NULL)
        return err_set_sys(err, errno, "cannot start the HTTP parser");
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    server->daemon_poll = net_poll_new(server->loop, info->epoll_fd, run_daemon, server, err);
    return server->daemon_poll == NULL ? -1 : 0;
}

static int start(struct http_server *server, const struct addr *at, struct err *err)
{
    server->accept_timer = net_timer_new(server->loop, resume_accepting, server);
    server->daemon_timer = net_timer_new(server->loop, run_daemon, server);
    if (server->accept_timer == NULL || server->daemon_timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    server->listen_fd = http_listen_open(at, &server->addr, err);
    if (server->listen_fd < 0 || start_daemon(server, err) < 0)
        return -1;
    server->listen_poll =
        net_poll_new(server->loop, server->listen_fd, on_accept_ready, server, err);
    return server->listen_poll == NULL ? -1 : 0;
}

struct http_server *http_server_new(struct net_loop *loop, const struct addr *at,
                                    const struct http_route *routes, size_t num_routes,
                                    struct err *err)
{
    struct http_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        err_set(err, ERR_NOMEM, "HTTP server: out of memory");
        return NULL;
    }
    server->loop = loop;
    server->routes = routes;
    server->num_routes = num_routes;
    server->listen_fd = -1;
    if (start(server, at, err) < 0) {
        http_server_free(server);
        return NULL;
    }
    return server;
}

const struct addr *http_server_addr(const struct http_server *server)
{
    return &server->addr;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    net_poll_free(server->listen_poll);
    net_poll_free(server->daemon_poll);
    net_timer_free(server->accept_timer);
    net_timer_free(server->daemon_timer);
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon); /* closes its connections */
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    free(server);
}
