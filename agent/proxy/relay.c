#include "relay.h"

/*
 * A stream's owner is the pump that reads from it; the pump that writes to it is the other one.
 */
static struct relay_pump *relay_other(struct relay_pump *pump)
{
    struct relay *relay = pump->relay;
    return pump == &relay->from_near ? &relay->from_far : &relay->from_near;
}

static void relay_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct relay_pump *pump = owner;
    pump->num_bytes += len;
    pump->relay->active_at_ms = net_loop_now_ms(pump->relay->loop);
    stream_write(pump->to, bytes, len);
    if (stream_queued(pump->to) >= STREAM_HIGH_WATER) {
        pump->stopped = true;
        stream_read_stop(pump->from);
    }
}

static void relay_on_eof(void *owner)
{
    struct relay_pump *pump = owner;
    pump->relay->active_at_ms = net_loop_now_ms(pump->relay->loop);
    pump->eof = true;
    stream_shutdown(pump->to);
}

static void relay_on_writable(void *owner)
{
    struct relay_pump *pump = relay_other(owner);
    if (!pump->stopped)
        return;
    pump->stopped = false;
    stream_read_start(pump->from);
}

static void relay_on_shutdown(void *owner)
{
    struct relay_pump *pump = relay_other(owner);
    struct relay *relay = pump->relay;
    pump->ended = true;
    if (relay->from_near.ended && relay->from_far.ended)
        relay->handler->on_done(relay->owner);
}

static void relay_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    struct relay_pump *pump = owner;
    struct relay *relay = pump->relay;
    enum relay_side side = pump == &relay->from_near ? RELAY_NEAR : RELAY_FAR;
    relay->handler->on_failed(relay->owner, side, fault, err);
}

static const struct stream_handler relay_stream_handler = {
    .on_read = relay_on_read,
    .on_eof = relay_on_eof,
    .on_writable = relay_on_writable,
    .on_shutdown = relay_on_shutdown,
    .on_failed = relay_on_failed,
};

void relay_start(struct relay *relay, struct net_loop *loop, struct stream *near,
                 struct stream *far, const struct relay_handler *handler, void *owner)
{
    *relay = (struct relay){
        .from_near = {.relay = relay, .from = near, .to = far},
        .from_far = {.relay = relay, .from = far, .to = near},
        .handler = handler,
        .owner = owner,
        .loop = loop,
        .active_at_ms = net_loop_now_ms(loop),
    };
    stream_set_handler(near, &relay_stream_handler, &relay->from_near);
    stream_set_handler(far, &relay_stream_handler, &relay->from_far);
    stream_read_start(near);
    stream_read_start(far);
}
