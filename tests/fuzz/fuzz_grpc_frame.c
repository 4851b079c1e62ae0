/* gRPC's framing: whole and in pieces, the same messages have to come out. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { MESSAGE_MAX = 4096 };

struct outcome {
    size_t num_messages;
    size_t num_bytes;
    uint32_t sum; /* of the bytes, each weighted by where it stands */
    int failed;
    int at_boundary;
};

static struct outcome read_in_steps(const uint8_t *bytes, size_t len, size_t step)
{
    struct outcome outcome = {0};
    struct grpc_frame_reader reader;
    enum grpc_status status;
    struct err err;
    grpc_frame_reader_init(&reader, MESSAGE_MAX);
    for (size_t at = 0; at < len;) {
        size_t piece = len - at < step ? len - at : step;
        ptrdiff_t taken = grpc_frame_reader_feed(&reader, bytes + at, piece, &status, &err);
        if (taken < 0) {
            outcome.failed = 1;
            break;
        }
        assert(taken > 0 && (size_t)taken <= piece);
        at += (size_t)taken;
        size_t message_len;
        const uint8_t *message = grpc_frame_reader_message(&reader, &message_len);
        if (message == NULL)
            continue;
        assert(message_len <= MESSAGE_MAX);
        outcome.num_messages++;
        for (size_t i = 0; i < message_len; i++)
            outcome.sum += message[i] * (uint32_t)++outcome.num_bytes;
    }
    outcome.at_boundary = grpc_frame_reader_at_boundary(&reader);
    grpc_frame_reader_done(&reader);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct outcome whole = read_in_steps(bytes, len, len == 0 ? 1 : len);
    for (size_t step = 1; step < 8; step++) {
        struct outcome pieces = read_in_steps(bytes, len, step);
        assert(pieces.num_messages == whole.num_messages && pieces.sum == whole.sum);
        assert(pieces.failed == whole.failed);
        assert(whole.failed || pieces.at_boundary == whole.at_boundary);
    }
    return 0;
}
