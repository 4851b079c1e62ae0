#include "server.h"

#include "http.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <unistd.h>

/* Large enough that bulk transfers cost few system calls, small enough to stay in the second-level cache. */
#define CHUNK_LEN  (256 * 1024)
#define EVENTS_MAX 256

struct conn {
    LIST_ENTRY(conn) entry;
    int fd;
    bool waits_writable; /* registered for EPOLLOUT instead of EPOLLIN */
    bool answering;      /* head or body of the response still to be written */
    size_t head_len;
    size_t head_sent;
    uint64_t body_left;
    struct http_reader reader;
    char head[HTTP_HEAD_MAX];
};

struct server {
    int epoll;
    int listener;
    LIST_HEAD(, conn) conns;
    char *input; /* CHUNK_LEN bytes; whatever arrives is parsed from here and forgotten */
    char *zeros; /* CHUNK_LEN bytes, what bodies are made of */
};

static void conn_close(struct conn *conn)
{
    LIST_REMOVE(conn, entry);
    close(conn->fd);
    free(conn);
}

/* Takes the descriptor. Returns false when it cannot be served; it is closed then. */
static bool server_serve(struct server *server, int fd)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

    if (conn == NULL || epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(conn);
        close(fd);
        return false;
    }
    conn->fd = fd;
    LIST_INSERT_HEAD(&server->conns, conn, entry);
    return true;
}

/* Accepts all that wait. Returns false when accepting or serving one more is impossible. */
static bool server_on_accept(struct server *server)
{
    for (;;) {
        int fd = endpoint_accept(server->listener);
        if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
            return errno == EAGAIN;
        if (fd >= 0 && !server_serve(server, fd))
            return false;
    }
}

/* Returns false when the connection is broken. */
static bool conn_wait_writable(struct server *server, struct conn *conn, bool writable)
{
    if (conn->waits_writable == writable)
        return true;
    struct epoll_event event = {.events = writable ? EPOLLOUT : EPOLLIN, .data.ptr = conn};
    conn->waits_writable = writable;
    return epoll_ctl(server->epoll, EPOLL_CTL_MOD, conn->fd, &event) == 0;
}

/* One write of what is left of the response. Returns the bytes written, or -1 with errno set. */
static ssize_t conn_write(struct server *server, struct conn *conn)
{
    size_t body_len = conn->body_left < CHUNK_LEN ? (size_t)conn->body_left : CHUNK_LEN;
    struct iovec parts[] = {
        {conn->head + conn->head_sent, conn->head_len - conn->head_sent},
        {server->zeros, body_len},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(conn->fd, &message, MSG_NOSIGNAL);
}

/* Writes until the response is out or the socket is full. Returns false when the connection must be closed. */
static bool conn_answer(struct server *server, struct conn *conn)
{
    while (conn->head_sent < conn->head_len || conn->body_left > 0) {
        ssize_t written = conn_write(server, conn);
        if (written < 0)
            return errno == EAGAIN && conn_wait_writable(server, conn, true);
        size_t head_left = conn->head_len - conn->head_sent;
        size_t of_head = (size_t)written < head_left ? (size_t)written : head_left;
        conn->head_sent += of_head;
        conn->body_left -= (uint64_t)written - of_head;
    }
    conn->answering = false;
    if (conn->reader.closes)
        return false;
    http_reader_clear(&conn->reader);
    return conn_wait_writable(server, conn, false);
}

static bool conn_start_answer(struct server *server, struct conn *conn)
{
    conn->head_len = http_response_head(conn->head, conn->reader.wanted, conn->reader.closes);
    conn->head_sent = 0;
    conn->body_left = conn->reader.wanted;
    conn->answering = true;
    return conn_answer(server, conn);
}

/* Returns false when the connection must be closed: its end, an error, or a request that is none. */
static bool conn_on_readable(struct server *server, struct conn *conn)
{
    ssize_t len = recv(conn->fd, server->input, CHUNK_LEN, 0);

    if (len < 0)
        return errno == EAGAIN;
    if (len == 0)
        return false;
    switch (http_read_request(&conn->reader, server->input, (size_t)len)) {
    case HTTP_DONE:
        return conn_start_answer(server, conn);
    case HTTP_MORE:
        return true;
    case HTTP_BAD:
        break;
    }
    return false;
}

static void conn_on_event(struct server *server, struct conn *conn)
{
    bool alive = conn->answering ? conn_answer(server, conn) : conn_on_readable(server, conn);
    if (!alive)
        conn_close(conn);
}

static bool server_start(struct server *server, const struct endpoint *endpoint)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    LIST_INIT(&server->conns);
    server->input = malloc(CHUNK_LEN);
    server->zeros = calloc(1, CHUNK_LEN);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->listener = endpoint_listen(endpoint);
    return server->input != NULL && server->zeros != NULL && server->epoll >= 0 &&
           server->listener >= 0 &&
           epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event) == 0;
}

/* Keeps errno. */
static void server_done(struct server *server)
{
    int saved = errno;
    struct conn *next;

    for (struct conn *conn = LIST_FIRST(&server->conns); conn != NULL; conn = next) {
        next = LIST_NEXT(conn, entry);
        close(conn->fd);
        free(conn);
    }
    if (server->listener >= 0)
        close(server->listener);
    if (server->epoll >= 0)
        close(server->epoll);
    free(server->input);
    free(server->zeros);
    errno = saved;
}

static void server_loop(struct server *server)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int num_events = epoll_wait(server->epoll, events, EVENTS_MAX, -1);
        if (num_events < 0 && errno != EINTR)
            return;
        for (int i = 0; i < num_events; i++) {
            if (events[i].data.ptr != NULL)
                conn_on_event(server, events[i].data.ptr);
            else if (!server_on_accept(server))
                return;
        }
    }
}

void server_run(const struct endpoint *endpoint)
{
    struct server server;

    if (server_start(&server, endpoint))
        server_loop(&server);
    server_done(&server);
}
