#include "sniff.h"

#include <assert.h>
#include <stdlib.h>

#include "buf.h"
#include "proxy_state.h"
#include "session.h"

struct sniff {
    struct session *session;
    struct net_tcp *tcp;
    struct sniff_options options;
    struct client_hello hello;
    struct buf seen; /* what was read */
    struct net_timer *timer;
    uint64_t since_ms; /* when the first byte came */
    uint64_t until_ms; /* when the timer ends */
    bool is_over;
};

static void sniff_stop(struct sniff *sniff)
{
    sniff->is_over = true;
    stream_read_stop(net_tcp_stream(sniff->tcp));
    net_timer_stop(sniff->timer);
}

static void sniff_set_timer(struct sniff *sniff, uint64_t after_ms)
{
    if (after_ms == 0)
        return;
    sniff->until_ms = net_loop_now_ms(sniff->session->proxy->loop) + after_ms;
    net_timer_start(sniff->timer, after_ms);
}

static void sniff_fail_for_memory(struct sniff *sniff)
{
    struct err err;
    err_set(&err, ERR_NOMEM, "out of memory");
    sniff_stop(sniff);
    sniff->options.on_failed(sniff->session, STREAM_FAULT_IO, &err);
}

int sniff_give_up(struct sniff *sniff)
{
    assert(!sniff->is_over);
    size_t len = buf_len(&sniff->seen);
    sniff_stop(sniff);
    int rc = net_tcp_unread(sniff->tcp, buf_head(&sniff->seen), len);
    buf_done(&sniff->seen);
    return rc;
}

static void sniff_conclude(struct sniff *sniff, enum sniff_verdict verdict)
{
    if (sniff_give_up(sniff) < 0)
        sniff_fail_for_memory(sniff);
    else
        sniff->options.on_verdict(sniff->session, verdict);
}

static void sniff_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct sniff *sniff = owner;
    if (buf_len(&sniff->seen) == 0) {
        sniff->since_ms = net_loop_now_ms(sniff->session->proxy->loop);
        sniff_set_timer(sniff, sniff->options.hello_ms);
    }
    if (buf_append(&sniff->seen, bytes, len) < 0) {
        sniff_fail_for_memory(sniff);
        return;
    }
    switch (client_hello_feed(&sniff->hello, bytes, len)) {
    case CLIENT_HELLO_MORE:
        return;
    case CLIENT_HELLO_DONE:
        sniff_conclude(sniff, SNIFF_TLS);
        return;
    case CLIENT_HELLO_NOT_TLS:
        sniff_conclude(sniff, SNIFF_OTHER);
        return;
    case CLIENT_HELLO_BAD:
        sniff_conclude(sniff, SNIFF_BAD);
        return;
    case CLIENT_HELLO_NO_MEMORY:
        sniff_fail_for_memory(sniff);
        return;
    }
}

static void sniff_on_eof(void *owner)
{
    sniff_conclude(owner, SNIFF_ENDED);
}

static void sniff_on_timeout(void *owner)
{
    struct sniff *sniff = owner;
    sniff_conclude(sniff, buf_len(&sniff->seen) == 0 ? SNIFF_SILENT : SNIFF_SLOW);
}

static void sniff_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    struct sniff *sniff = owner;
    sniff_stop(sniff);
    sniff->options.on_failed(sniff->session, fault, err);
}

static const struct stream_handler sniff_stream_handler = {
    .on_read = sniff_on_read,
    .on_eof = sniff_on_eof,
    .on_failed = sniff_on_failed,
};

struct sniff *sniff_start(struct session *session, struct net_tcp *tcp,
                          const struct sniff_options *options)
{
    struct sniff *sniff = calloc(1, sizeof(*sniff));
    if (sniff == NULL)
        return NULL;
    sniff->session = session;
    sniff->tcp = tcp;
    sniff->options = *options;
    client_hello_init(&sniff->hello);
    sniff->timer = net_timer_new(session->proxy->loop, sniff_on_timeout, sniff);
    if (sniff->timer == NULL) {
        sniff_free(sniff);
        return NULL;
    }
    sniff_set_timer(sniff, options->silent_ms);
    stream_set_handler(net_tcp_stream(tcp), &sniff_stream_handler, sniff);
    stream_read_start(net_tcp_stream(tcp));
    return sniff;
}

uint64_t sniff_since_ms(const struct sniff *sniff)
{
    return sniff->since_ms;
}

uint64_t sniff_until_ms(const struct sniff *sniff)
{
    return sniff->until_ms;
}

const struct client_hello *sniff_hello(const struct sniff *sniff)
{
    return &sniff->hello;
}

const char *sniff_problem(const struct sniff *sniff)
{
    return sniff->hello.problem;
}

void sniff_free(struct sniff *sniff)
{
    if (sniff == NULL)
        return;
    net_timer_free(sniff->timer);
    client_hello_done(&sniff->hello);
    buf_done(&sniff->seen);
    free(sniff);
}
