#include "recorder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void enter(struct recorder *recorder, const char *event)
{
    assert_false(recorder->in_call);
    assert_non_null(recorder->stream);
    assert_int_equal(recorder->num_failed, 0);
    if (recorder->before != NULL)
        recorder->before(recorder, event);
}

static void leave(struct recorder *recorder)
{
    if (recorder->is_done != NULL && recorder->is_done(recorder))
        net_loop_stop(recorder->loop);
}

static void on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct recorder *recorder = owner;
    assert_true(len > 0);
    assert_int_equal(recorder->num_eof, 0);
    assert_int_equal(buf_append(&recorder->got, bytes, len), 0);
    recorder->num_got += len;
    enter(recorder, "read");
    leave(recorder);
}

static void on_eof(void *owner)
{
    struct recorder *recorder = owner;
    enter(recorder, "eof");
    recorder->num_eof++;
    assert_int_equal(recorder->num_eof, 1);
    leave(recorder);
}

static void on_writable(void *owner)
{
    struct recorder *recorder = owner;
    recorder->num_writable++;
    enter(recorder, "writable");
    leave(recorder);
}

static void on_shutdown(void *owner)
{
    struct recorder *recorder = owner;
    enter(recorder, "shutdown");
    recorder->num_shutdown++;
    assert_int_equal(recorder->num_shutdown, 1);
    leave(recorder);
}

static void on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    struct recorder *recorder = owner;
    enter(recorder, "failed");
    recorder->num_failed++;
    recorder->fault = fault;
    recorder->err = *err;
    leave(recorder);
}

static const struct stream_handler handler = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_shutdown = on_shutdown,
    .on_failed = on_failed,
};

void recorder_attach(struct recorder *recorder, struct net_loop *loop, struct net_tcp *tcp)
{
    *recorder = (struct recorder){.loop = loop, .tcp = tcp, .stream = net_tcp_stream(tcp)};
    stream_set_handler(recorder->stream, &handler, recorder);
}

void recorder_init(struct recorder *recorder, struct net_loop *loop, int fd)
{
    static const struct net_tcp_options options = {0};
    struct net_tcp *tcp = net_tcp_from_fd(loop, fd, &options, NULL);
    assert_non_null(tcp);
    recorder_attach(recorder, loop, tcp);
}

void recorder_write(struct recorder *recorder, const void *bytes, size_t len)
{
    recorder->in_call = true;
    stream_write(recorder->stream, bytes, len);
    recorder->in_call = false;
}

void recorder_shutdown(struct recorder *recorder)
{
    recorder->in_call = true;
    stream_shutdown(recorder->stream);
    recorder->in_call = false;
}

void recorder_read_start(struct recorder *recorder)
{
    recorder->in_call = true;
    stream_read_start(recorder->stream);
    recorder->in_call = false;
}

void recorder_close(struct recorder *recorder)
{
    recorder->in_call = true;
    stream_close(recorder->stream);
    recorder->in_call = false;
    recorder->stream = NULL;
}

void recorder_abort(struct recorder *recorder)
{
    recorder->in_call = true;
    stream_abort(recorder->stream);
    recorder->in_call = false;
    recorder->stream = NULL;
}

void recorder_done(struct recorder *recorder)
{
    recorder_close(recorder);
    buf_done(&recorder->got);
}

bool recorder_has_eof(struct recorder *recorder)
{
    return recorder->num_eof > 0;
}

bool recorder_has_shutdown(struct recorder *recorder)
{
    return recorder->num_shutdown > 0;
}

bool recorder_has_failed(struct recorder *recorder)
{
    return recorder->num_failed > 0;
}

bool recorder_has_bytes(struct recorder *recorder)
{
    return recorder->num_got > 0;
}

void recorder_tcp_pair(int fds[2])
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
    fds[1] = accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    close(listener);
}

void recorder_unix_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

void recorder_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
}
