#include "client.h"

#include "histogram.h"
#include "http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_LEN  (256 * 1024)
#define EVENTS_MAX 256
/* Connections being opened at once: more would only measure how full backlogs behave (SYN retransmission, one second). */
#define OPENING_MAX 128
/* Failures after which a run is given up: its figure would be worthless, and it could spin for ever. */
#define FAILED_MAX 1000

enum phase {
    PHASE_CLOSED,
    PHASE_CONNECTING,
    PHASE_SENDING, /* the socket took only part of the request */
    PHASE_READING,
    PHASE_ENDING, /* answered; the server closes first, which leaves TIME_WAIT and its port there, not here */
    PHASE_IDLE, /* held open without a request */
};

struct conn {
    int fd;
    enum phase phase;
    uint32_t events;         /* registered */
    bool counted_as_opening; /* until its first answer */
    uint64_t sent;           /* of head and body of the current request */
    uint64_t started_at_ns;
    struct http_reader reader;
};

struct client {
    const struct client_job *job;
    bool holds; /* connections go idle after a request, and failed ones are not opened again */
    int epoll;
    struct conn *conns;
    struct conn **closed; /* stack of those to open */
    unsigned num_closed;
    unsigned num_opening;
    unsigned num_idle;
    char head[HTTP_HEAD_MAX];
    size_t head_len;
    char *input;
    char *zeros;
    uint64_t num_requests;
    uint64_t num_bytes;
    uint64_t num_failed;
    struct histogram latencies;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void conn_end_opening(struct client *client, struct conn *conn)
{
    if (conn->counted_as_opening)
        client->num_opening--;
    conn->counted_as_opening = false;
}

static void conn_close(struct client *client, struct conn *conn)
{
    conn_end_opening(client, conn);
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    conn->phase = PHASE_CLOSED;
    if (!client->holds)
        client->closed[client->num_closed++] = conn;
}

static void conn_fail(struct client *client, struct conn *conn)
{
    client->num_failed++;
    conn_close(client, conn);
}

static bool conn_wait(struct client *client, struct conn *conn, uint32_t events)
{
    if (conn->events == events)
        return true;
    struct epoll_event event = {.events = events, .data.ptr = conn};
    conn->events = events;
    return epoll_ctl(client->epoll, EPOLL_CTL_MOD, conn->fd, &event) == 0;
}

static void conn_start_open(struct client *client, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = conn};

    conn->started_at_ns = now_ns();
    conn->fd = endpoint_connect(&client->job->target);
    conn->phase = PHASE_CONNECTING;
    conn->events = EPOLLOUT;
    conn->counted_as_opening = true;
    client->num_opening++;
    if (conn->fd < 0 || epoll_ctl(client->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        conn_fail(client, conn);
}

/* Sends as much of the request as the socket takes. Returns false when the connection is broken. */
static bool conn_send(struct client *client, struct conn *conn)
{
    uint64_t len = client->head_len + client->job->upload;

    conn->phase = PHASE_SENDING;
    while (conn->sent < len) {
        bool in_head = conn->sent < client->head_len;
        uint64_t left = in_head ? client->head_len - conn->sent : len - conn->sent;
        const char *from = in_head ? client->head + conn->sent : client->zeros;
        ssize_t sent =
            send(conn->fd, from, left < CHUNK_LEN ? (size_t)left : CHUNK_LEN, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN && conn_wait(client, conn, EPOLLIN | EPOLLOUT);
        conn->sent += (uint64_t)sent;
        if (!in_head)
            client->num_bytes += (uint64_t)sent;
    }
    conn->phase = PHASE_READING;
    return conn_wait(client, conn, EPOLLIN);
}

static bool conn_start_request(struct client *client, struct conn *conn)
{
    conn->sent = 0;
    http_reader_clear(&conn->reader);
    return conn_send(client, conn);
}

static void client_count_request(struct client *client, const struct conn *conn, uint64_t now)
{
    client->num_requests++;
    histogram_add(&client->latencies, now - conn->started_at_ns);
}

/* The response is complete: once more, or idle, or await the end. */
static bool conn_on_answer(struct client *client, struct conn *conn)
{
    conn_end_opening(client, conn);
    if (client->job->closes) {
        conn->phase = PHASE_ENDING;
        return true;
    }
    uint64_t now = now_ns();
    client_count_request(client, conn, now);
    if (client->holds) {
        conn->phase = PHASE_IDLE;
        client->num_idle++;
        return true;
    }
    conn->started_at_ns = now;
    return conn_start_request(client, conn);
}

static bool conn_on_readable(struct client *client, struct conn *conn)
{
    ssize_t len = recv(conn->fd, client->input, CHUNK_LEN, 0);

    if (len < 0)
        return errno == EAGAIN;
    if (len == 0)
        return false;
    client->num_bytes += (uint64_t)len;
    switch (http_read_response(&conn->reader, client->input, (size_t)len)) {
    case HTTP_DONE:
        return conn_on_answer(client, conn);
    case HTTP_MORE:
        return true;
    case HTTP_BAD:
        break;
    }
    return false;
}

/* Returns false when the server has not ended the connection in good order. */
static bool conn_on_end(struct client *client, struct conn *conn)
{
    ssize_t len = recv(conn->fd, client->input, CHUNK_LEN, 0);

    if (len < 0)
        return errno == EAGAIN;
    if (len > 0)
        return false;
    client_count_request(client, conn, now_ns());
    conn_close(client, conn);
    return true;
}

static bool conn_on_connected(struct client *client, struct conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return false;
    return conn_start_request(client, conn);
}

static void conn_on_event(struct client *client, struct conn *conn, uint32_t events)
{
    bool alive = false;

    switch (conn->phase) {
    case PHASE_CONNECTING:
        alive = conn_on_connected(client, conn);
        break;
    case PHASE_SENDING: /* an answer before the end of the request is none that counts */
        alive = events == EPOLLOUT && conn_send(client, conn);
        break;
    case PHASE_READING:
        alive = conn_on_readable(client, conn);
        break;
    case PHASE_ENDING:
        alive = conn_on_end(client, conn);
        break;
    case PHASE_IDLE: /* nothing was asked, so whatever comes is the end of it */
        client->num_idle--;
        break;
    case PHASE_CLOSED:
        return;
    }
    if (!alive)
        conn_fail(client, conn);
}

/* Opens what is closed, handles what happened within `timeout_ms`. False when the run has to be given up. */
static bool client_step(struct client *client, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];

    while (client->num_closed > 0 && client->num_opening < OPENING_MAX) {
        conn_start_open(client, client->closed[--client->num_closed]);
        if (client->num_failed > FAILED_MAX)
            break;
    }
    int num_events = epoll_wait(client->epoll, events, EVENTS_MAX, timeout_ms);
    if (num_events < 0 && errno != EINTR)
        return false;
    for (int i = 0; i < num_events; i++)
        conn_on_event(client, events[i].data.ptr, events[i].events);
    if (client->num_failed > FAILED_MAX) {
        errno = ECONNABORTED;
        return false;
    }
    return true;
}

/* Steps until the instant. False when the run has to be given up. */
static bool client_step_until(struct client *client, uint64_t end_at_ns)
{
    for (uint64_t now = now_ns(); now < end_at_ns; now = now_ns()) {
        if (!client_step(client, (int)((end_at_ns - now) / 1000000) + 1))
            return false;
    }
    return true;
}

static void client_done(struct client *client)
{
    for (unsigned i = 0; client->conns != NULL && i < client->job->num_connections; i++) {
        if (client->conns[i].fd >= 0)
            close(client->conns[i].fd);
    }
    if (client->epoll >= 0)
        close(client->epoll);
    free(client->conns);
    free(client->closed);
    free(client->input);
    free(client->zeros);
}

static bool client_init(struct client *client, const struct client_job *job, bool holds)
{
    memset(client, 0, sizeof(*client));
    client->job = job;
    client->holds = holds;
    client->head_len = http_request_head(client->head, job->upload, job->wanted, job->closes);
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->conns = calloc(job->num_connections, sizeof(*client->conns));
    client->closed = calloc(job->num_connections, sizeof(struct conn *));
    client->input = malloc(CHUNK_LEN);
    client->zeros = calloc(1, CHUNK_LEN);
    if (client->epoll < 0 || client->conns == NULL || client->closed == NULL ||
        client->input == NULL || client->zeros == NULL)
        return false;
    for (unsigned i = 0; i < job->num_connections; i++) {
        client->conns[i].fd = -1;
        client->closed[client->num_closed++] = &client->conns[i];
    }
    return true;
}

/* Runs warm-up and measured time. */
static bool client_measure(struct client *client, struct client_result *result)
{
    if (!client_step_until(client, now_ns() + client->job->warmup_ns))
        return false;
    uint64_t requests_before = client->num_requests;
    uint64_t bytes_before = client->num_bytes;
    uint64_t begin = now_ns();
    histogram_clear(&client->latencies);
    if (!client_step_until(client, begin + client->job->duration_ns))
        return false;
    result->seconds = (double)(now_ns() - begin) / 1e9;
    result->num_requests = client->num_requests - requests_before;
    result->num_bytes = client->num_bytes - bytes_before;
    return true;
}

int client_run(const struct client_job *job, struct client_result *result)
{
    struct client client;
    bool ok = client_init(&client, job, false) && client_measure(&client, result);

    if (ok) {
        result->p50_ns = histogram_quantile(&client.latencies, 0.50);
        result->p99_ns = histogram_quantile(&client.latencies, 0.99);
        result->max_ns = client.latencies.max_ns;
        result->total_requests = client.num_requests;
        result->total_bytes = client.num_bytes;
        result->num_failed = client.num_failed;
    }
    client_done(&client);
    return ok ? 0 : -1;
}

/* Steps until every connection that stands is idle, or the time is over. */
static bool client_step_until_idle(struct client *client)
{
    uint64_t end_at_ns = now_ns() + client->job->duration_ns;

    while (client->num_idle + client->num_failed < client->job->num_connections) {
        uint64_t now = now_ns();
        if (now >= end_at_ns) {
            errno = ETIMEDOUT;
            return false;
        }
        if (!client_step(client, (int)((end_at_ns - now) / 1000000) + 1))
            return false;
    }
    return true;
}

/* Asks once more over each idle connection. Those that ended while idle fail here. */
static void client_wake(struct client *client)
{
    for (unsigned i = 0; i < client->job->num_connections; i++) {
        struct conn *conn = &client->conns[i];
        if (conn->phase != PHASE_IDLE)
            continue;
        client->num_idle--;
        conn->started_at_ns = now_ns();
        if (!conn_start_request(client, conn))
            conn_fail(client, conn);
    }
}

int client_hold(const struct client_job *job, void (*on_held)(unsigned num_held))
{
    struct client client;
    int num_alive = -1;

    if (client_init(&client, job, true) && client_step_until_idle(&client)) {
        on_held(client.num_idle);
        client_wake(&client);
        if (client_step_until_idle(&client))
            num_alive = (int)client.num_idle;
    }
    client_done(&client);
    return num_alive;
}
