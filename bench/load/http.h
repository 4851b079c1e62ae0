/*
 * As much of HTTP/1.1 as the load generator and its server speak with each other.
 *
 * A request's path is the number of body bytes wanted back ("GET /128"), a request body is announced by Content-Length and
 * only counted. Responses are 200 with a Content-Length. A message is read bytewise in any chunks. No pipelining, no chunked
 * coding, no other status: anything else is a failure, which is what a measurement should make of it.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest head read or written; ours are below 120 bytes, and other clients (wrk, curl) stay below this too. */
#define HTTP_HEAD_MAX 512

enum http_progress {
    HTTP_MORE, /* the message is not complete yet */
    HTTP_DONE, /* the message is complete and nothing follows it */
    HTTP_BAD,  /* not a message of ours */
};

/* A message being read. All zero is ready for the first byte; http_reader_clear() makes it so again. */
struct http_reader {
    uint64_t body_left; /* bytes of this message's body still to come, once the head is complete */
    uint64_t wanted;    /* of a request: the body length that its path asks for */
    uint32_t head_len;  /* bytes in `head` */
    bool head_complete; /* body_left, wanted and closes are set */
    bool closes;        /* the message says "Connection: close" */
    char head[HTTP_HEAD_MAX];
};

/* Makes the reader ready for the next message on the same connection. */
void http_reader_clear(struct http_reader *reader);

/* Reads `len` bytes of a request, or of a response. Returns how far the message is. After HTTP_BAD the reader is of no use. */
enum http_progress http_read_request(struct http_reader *reader, const char *bytes, size_t len);
enum http_progress http_read_response(struct http_reader *reader, const char *bytes, size_t len);

/*
 * Writes the head of a request that uploads `upload` bytes (0: GET) and wants `wanted` bytes back, or of the response that
 * carries `body_len` bytes; `closes` adds "Connection: close". Returns its length, always below HTTP_HEAD_MAX.
 */
size_t http_request_head(char head[HTTP_HEAD_MAX], uint64_t upload, uint64_t wanted, bool closes);
size_t http_response_head(char head[HTTP_HEAD_MAX], uint64_t body_len, bool closes);

#endif
