#include "http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef enum http_progress read_fn(struct http_reader *reader, const char *bytes, size_t len);

struct message {
    const char *text;
    uint64_t wanted; /* this and the next two: after all of it, unless it is bad */
    uint64_t body_left;
    bool closes;
    enum http_progress progress; /* after all of it */
};

static const struct message requests[] = {
    {"GET /128 HTTP/1.1\r\nHost: backend\r\n\r\n", 128, 0, false, HTTP_DONE},
    {"GET /0 HTTP/1.1\r\nConnection: close\r\n\r\n", 0, 0, true, HTTP_DONE},
    {"GET / HTTP/1.1\r\n\r\n", 0, 0, false, HTTP_DONE},
    {"GET /index.html HTTP/1.1\r\n\r\n", 0, 0, false, HTTP_DONE},
    {"POST /7 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", 7, 0, false, HTTP_DONE},
    {"POST /7 HTTP/1.1\r\nContent-Length: 3\r\n\r\na", 7, 2, false, HTTP_MORE},
    {"GET /128 HTTP/1.1\r\nHost: b\r\n", 0, 0, false, HTTP_MORE},
    {"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", 1, 0, false, HTTP_BAD},
    {"GET\r\n\r\n", 0, 0, false, HTTP_BAD},
    {"GET x HTTP/1.1\r\n\r\n", 0, 0, false, HTTP_BAD},
    {"GET /1\r\n\r\n", 0, 0, false, HTTP_BAD},
    {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 0, 0, false, HTTP_BAD},
    {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 0, 0, false, HTTP_BAD},
    {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 0, 0, false, HTTP_BAD},
};

static const struct message responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 0, false, HTTP_DONE},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\no", 0, 1, true, HTTP_MORE},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay", 0, 2, false, HTTP_BAD},
    {"HTTP/1.1 503 Service Unavailable\r\n\r\n", 0, 0, false, HTTP_BAD},
    {"HTTP/1.1 200\r\n\r\n", 0, 0, false, HTTP_BAD},
};

static void check(const struct message *message, enum http_progress progress,
                  const struct http_reader *reader)
{
    assert_int_equal(progress, message->progress);
    if (progress == HTTP_BAD)
        return;
    assert_int_equal(reader->wanted, message->wanted);
    assert_int_equal(reader->body_left, message->body_left);
    assert_int_equal(reader->closes, message->closes);
}

/* Whole, and byte by byte: a reader gives up at the same message in both, whenever it notices. */
static void check_all(const struct message *messages, size_t num_messages, read_fn *read)
{
    for (size_t i = 0; i < num_messages; i++) {
        struct http_reader reader = {0};
        size_t len = strlen(messages[i].text);
        check(&messages[i], read(&reader, messages[i].text, len), &reader);

        enum http_progress progress = HTTP_MORE;
        memset(&reader, 0, sizeof(reader));
        for (size_t at = 0; at < len && progress != HTTP_BAD; at++)
            progress = read(&reader, messages[i].text + at, 1);
        check(&messages[i], progress, &reader);
    }
}

static void requests_are_read_in_any_chunks(void **state)
{
    check_all(requests, sizeof(requests) / sizeof(requests[0]), http_read_request);
}

static void responses_are_read_in_any_chunks(void **state)
{
    check_all(responses, sizeof(responses) / sizeof(responses[0]), http_read_response);
}

static void a_head_without_end_is_refused_at_the_limit(void **state)
{
    struct http_reader reader = {0};
    char bytes[HTTP_HEAD_MAX];

    memset(bytes, 'a', sizeof(bytes));
    assert_int_equal(http_read_request(&reader, bytes, sizeof(bytes) - 1), HTTP_MORE);
    assert_int_equal(http_read_request(&reader, bytes, 1), HTTP_BAD);
}

static void a_cleared_reader_reads_the_next_message(void **state)
{
    struct http_reader reader = {0};
    const char *first = "GET /9 HTTP/1.1\r\nConnection: close\r\n\r\n";
    const char *second = "GET /3 HTTP/1.1\r\n\r\n";

    assert_int_equal(http_read_request(&reader, first, strlen(first)), HTTP_DONE);
    http_reader_clear(&reader);
    assert_int_equal(http_read_request(&reader, second, strlen(second)), HTTP_DONE);
    assert_int_equal(reader.wanted, 3);
    assert_false(reader.closes);
}

static void what_is_written_is_what_is_read(void **state)
{
    struct http_reader reader = {0};
    char head[HTTP_HEAD_MAX];

    size_t len = http_request_head(head, (uint64_t)1 << 40, UINT32_MAX, true);
    assert_int_equal(http_read_request(&reader, head, len), HTTP_MORE);
    assert_int_equal(reader.body_left, (uint64_t)1 << 40);
    assert_int_equal(reader.wanted, UINT32_MAX);
    assert_true(reader.closes);

    memset(&reader, 0, sizeof(reader));
    len = http_response_head(head, 5, false);
    assert_int_equal(http_read_response(&reader, head, len), HTTP_MORE);
    assert_int_equal(reader.body_left, 5);
    assert_false(reader.closes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_in_any_chunks),
        cmocka_unit_test(responses_are_read_in_any_chunks),
        cmocka_unit_test(a_head_without_end_is_refused_at_the_limit),
        cmocka_unit_test(a_cleared_reader_reads_the_next_message),
        cmocka_unit_test(what_is_written_is_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
