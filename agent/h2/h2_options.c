#include "h2_internal.h"

enum {
    STREAM_WINDOW = 256 * 1024,
    STREAM_WINDOW_MAX = 4 * 1024 * 1024,
    CONNECTION_WINDOW = 16 * 1024 * 1024,
    MAX_FRAME_SIZE = 1024 * 1024,
    MAX_STREAMS = 200,
    ASSUMED_PEER_STREAMS = 100, /* until its SETTINGS say otherwise */
    HEADER_TABLE = 4096,        /* HPACK, both ways; the protocol's default */

    /* Unanswered SETTINGS and PING acknowledgements of a peer that sends and does not read. */
    MAX_OUTBOUND_ACKS = 1000,
    MAX_SETTINGS_ENTRIES = 32,
    MAX_CONTINUATIONS = 8,

    /*
     * RST_STREAM frames of a client: burst, and a rate per second. A tunnel carries connections
     * that applications may reset as fast as they make them, so this is above the rate at which one
     * connection can open streams in earnest; it stops those that do nothing else.
     */
    RESET_BURST = 20000,
    RESET_RATE = 5000,
};

void h2_options_default(struct h2_options *options, enum h2_side side)
{
    *options = (struct h2_options){
        .max_streams = MAX_STREAMS,
        .stream_window = STREAM_WINDOW,
        .stream_window_max = STREAM_WINDOW_MAX,
        .connection_window = CONNECTION_WINDOW,
        .max_frame_size = MAX_FRAME_SIZE,
        .max_header_list = side == H2_SERVER ? 64 * 1024 : 16 * 1024,
    };
}

void h2_options_apply(const struct h2_options *options, nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, ASSUMED_PEER_STREAMS);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, HEADER_TABLE);
    nghttp2_option_set_max_send_header_block_length(option, options->max_header_list);
    nghttp2_option_set_max_outbound_ack(option, MAX_OUTBOUND_ACKS);
    nghttp2_option_set_max_settings(option, MAX_SETTINGS_ENTRIES);
#ifdef H2_HAVE_RESET_RATE_LIMIT
    nghttp2_option_set_stream_reset_rate_limit(option, RESET_BURST, RESET_RATE);
#endif
#ifdef H2_HAVE_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(option, MAX_CONTINUATIONS);
#endif
}

/* 0, or nghttp2's error. */
int h2_options_submit(const struct h2_session *session)
{
    const struct h2_options *options = &session->options;
    nghttp2_settings_entry entries[8];
    size_t num = 0;
    entries[num++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, HEADER_TABLE};
    if (session->side == H2_CLIENT)
        entries[num++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    else
        entries[num++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options->max_streams};
    entries[num++] =
        (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options->stream_window};
    entries[num++] =
        (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options->max_frame_size};
    entries[num++] =
        (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options->max_header_list};
    /* Nobody here wants RFC 7540's priority tree, and a peer cannot make us build one. */
    entries[num++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
    int rv = nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, entries, num);
    if (rv != 0)
        return rv;
    return nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)options->connection_window);
}
