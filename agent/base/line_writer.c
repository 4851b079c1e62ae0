#include "line_writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 100,       /* how long a blocked thread needs at most to see that it shall stop */
    EXIT_GRACE_MS = 1000 /* past this a thread that sits in write() is left behind */
};

struct line_writer {
    int fd;
    bool is_socket;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the ring and stopping */
    pthread_cond_t queued;
    pthread_cond_t drained;
    bool stopping;
    size_t head; /* running counts; the offset in the ring is the count modulo capacity */
    size_t tail;
    size_t capacity;
    atomic_uint_fast64_t num_dropped;
    char ring[];
};

/* Both with the lock held. */
static void ring_put(struct line_writer *writer, const char *bytes, size_t len)
{
    size_t offset = writer->tail & (writer->capacity - 1);
    size_t until_wrap = writer->capacity - offset;
    size_t first = len < until_wrap ? len : until_wrap;
    memcpy(writer->ring + offset, bytes, first);
    memcpy(writer->ring, bytes + first, len - first);
    writer->tail += len;
}

static size_t ring_peek(const struct line_writer *writer, char *out, size_t len)
{
    size_t queued = writer->tail - writer->head;
    if (len > queued)
        len = queued;
    size_t offset = writer->head & (writer->capacity - 1);
    size_t until_wrap = writer->capacity - offset;
    size_t first = len < until_wrap ? len : until_wrap;
    memcpy(out, writer->ring + offset, first);
    memcpy(out + first, writer->ring, len - first);
    return len;
}

/* Waits for lines and copies the first ones, whole ones as far as they fit. 0: the writer stops. */
static size_t wait_for_lines(struct line_writer *writer, char *out, size_t max)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->head == writer->tail && !writer->stopping)
        pthread_cond_wait(&writer->queued, &writer->lock);
    size_t len = writer->stopping ? 0 : ring_peek(writer, out, max);
    pthread_mutex_unlock(&writer->lock);
    const char *last_end = memrchr(out, '\n', len);
    return last_end == NULL ? len : (size_t)(last_end - out) + 1;
}

static void consume(struct line_writer *writer, size_t len)
{
    pthread_mutex_lock(&writer->lock);
    writer->head += len;
    if (writer->head == writer->tail)
        pthread_cond_signal(&writer->drained);
    pthread_mutex_unlock(&writer->lock);
}

static bool is_stopping(struct line_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    bool stopping = writer->stopping;
    pthread_mutex_unlock(&writer->lock);
    return stopping;
}

static ssize_t write_some(const struct line_writer *writer, const char *bytes, size_t len)
{
    if (writer->is_socket)
        return send(writer->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(writer->fd, bytes, len);
}

/* False when the descriptor is broken or the writer stops; what was not written is lost then. */
static bool write_lines(struct line_writer *writer, const char *bytes, size_t len)
{
    while (len > 0) {
        struct pollfd pollfd = {.fd = writer->fd, .events = POLLOUT};
        int ready = poll(&pollfd, 1, POLL_MS);
        if (is_stopping(writer))
            return false;
        if (ready <= 0)
            continue;
        ssize_t written = write_some(writer, bytes, len);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (written > 0) {
            bytes += written;
            len -= (size_t)written;
        }
    }
    return true;
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t num_lines = 0;
    for (size_t i = 0; i < len; i++)
        num_lines += bytes[i] == '\n';
    return num_lines;
}

static void *run(void *arg)
{
    struct line_writer *writer = arg;
    pthread_setname_np(pthread_self(), "line-writer");
    /* Poll says that a pipe is writable when PIPE_BUF bytes fit, so that a write of this size does
     * not block, and is not mixed with those of others who hold the same pipe. */
    char lines[PIPE_BUF];
    size_t len;
    while ((len = wait_for_lines(writer, lines, sizeof(lines))) > 0) {
        if (!write_lines(writer, lines, len))
            atomic_fetch_add_explicit(&writer->num_dropped, count_lines(lines, len),
                                      memory_order_relaxed);
        consume(writer, len);
    }
    return NULL;
}

/* Signals are for the program's own threads; SIGPIPE, held back here, does not kill it when the
 * reader goes away. */
static int start_thread(struct line_writer *writer)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int sys = pthread_create(&writer->thread, NULL, run, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return sys;
}

static void release(struct line_writer *writer)
{
    pthread_cond_destroy(&writer->drained);
    pthread_cond_destroy(&writer->queued);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

struct line_writer *line_writer_new(int fd, size_t capacity, struct err *err)
{
    if (capacity == 0 || (capacity & (capacity - 1)) != 0) {
        err_set(err, ERR_INVALID, "line writer: capacity %zu is not a power of two", capacity);
        return NULL;
    }
    struct line_writer *writer = calloc(1, sizeof(*writer) + capacity);
    if (writer == NULL) {
        err_set(err, ERR_NOMEM, "line writer: out of memory");
        return NULL;
    }
    int type;
    socklen_t type_len = sizeof(type);
    writer->fd = fd;
    writer->is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0;
    writer->capacity = capacity;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->queued, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->drained, &monotonic);
    pthread_condattr_destroy(&monotonic);

    int sys = start_thread(writer);
    if (sys != 0) {
        err_set_sys(err, sys, "line writer: cannot start a thread");
        release(writer);
        return NULL;
    }
    return writer;
}

static struct timespec deadline_in(clockid_t clock, uint64_t ms)
{
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

void line_writer_free(struct line_writer *writer, uint64_t flush_ms)
{
    if (writer == NULL)
        return;
    struct timespec flush_until = deadline_in(CLOCK_MONOTONIC, flush_ms);
    pthread_mutex_lock(&writer->lock);
    int late = 0;
    while (writer->head != writer->tail && late == 0)
        late = pthread_cond_timedwait(&writer->drained, &writer->lock, &flush_until);
    writer->stopping = true;
    pthread_cond_signal(&writer->queued);
    pthread_mutex_unlock(&writer->lock);

    /* Somebody else who writes to the same pipe may fill it between our poll and our write. An exit
     * that hangs until a reader moves would be worse than a thread and its ring left to the end of
     * the process. */
    struct timespec exit_until = deadline_in(CLOCK_REALTIME, EXIT_GRACE_MS);
    if (pthread_timedjoin_np(writer->thread, NULL, &exit_until) != 0) {
        pthread_detach(writer->thread);
        return;
    }
    release(writer);
}

void line_writer_put(struct line_writer *writer, const char *line, size_t len)
{
    if (len == 0)
        return;
    pthread_mutex_lock(&writer->lock);
    bool fits = len <= writer->capacity - (writer->tail - writer->head);
    if (fits) {
        ring_put(writer, line, len);
        pthread_cond_signal(&writer->queued);
    }
    pthread_mutex_unlock(&writer->lock);
    if (!fits)
        atomic_fetch_add_explicit(&writer->num_dropped, 1, memory_order_relaxed);
}

uint64_t line_writer_dropped(const struct line_writer *writer)
{
    return atomic_load_explicit(&writer->num_dropped, memory_order_relaxed);
}
