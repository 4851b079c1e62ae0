#include "door_client.h"

#include "http.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* A server that does not answer is a failure, not a run without end. */
#define SOCKET_TIMEOUT_S 10
#define ANSWER_LEN       128
/* Failures of one thread after which it gives up: the run's figure is worthless by then. */
#define FAILED_MAX 100

struct worker {
    const struct door_job *job;
    SSL_CTX *ctx;
    SSL_SESSION *session; /* for the next connection, or NULL */
    uint64_t measured_from_ns;
    uint64_t ends_ns;
    struct door_result result;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Keeps the newest; 1: it is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct worker *worker = SSL_get_app_data(ssl);

    SSL_SESSION_free(worker->session);
    worker->session = session;
    return 1;
}

/* X25519 for all: it is what the servers compared here choose by themselves, so that no hello is ever answered by a retry. */
static SSL_CTX *make_ctx(const struct door_job *job)
{
    static const int groups[] = {NID_X25519};
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set1_curves(ctx, groups, 1) ||
        !SSL_CTX_load_verify_locations(ctx, job->ca_file, NULL) ||
        !SSL_CTX_use_certificate_chain_file(ctx, job->cert_file) ||
        !SSL_CTX_use_PrivateKey_file(ctx, job->key_file, SSL_FILETYPE_PEM)) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    return ctx;
}

static int open_socket(const struct endpoint *target)
{
    static const struct timeval limit = {.tv_sec = SOCKET_TIMEOUT_S};
    static const int on = 1;
    int fd = socket(target->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (const struct sockaddr *)&target->addr, target->addr_len) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool prepare(struct worker *worker, SSL *ssl, int fd)
{
    const char *name = worker->job->server_name;

    SSL_set_app_data(ssl, worker);
    if (!SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, name) ||
        !X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), name, strlen(name)))
        return false;
    if (worker->session == NULL || !worker->job->resumes)
        return true;
    bool taken = SSL_set_session(ssl, worker->session);
    SSL_SESSION_free(worker->session);
    worker->session = NULL;
    return taken;
}

/* One request, its answer, and the server's end. Tickets are taken on the way. */
static bool exchange(SSL *ssl)
{
    struct http_reader reader = {0};
    enum http_progress progress = HTTP_MORE;
    char bytes[4096];
    size_t len = http_request_head(bytes, 0, ANSWER_LEN, true);
    int got = SSL_write(ssl, bytes, (int)len);

    while (got > 0) {
        got = SSL_read(ssl, bytes, sizeof(bytes));
        if (got > 0)
            progress =
                progress == HTTP_MORE ? http_read_response(&reader, bytes, (size_t)got) : HTTP_BAD;
    }
    return progress == HTTP_DONE && SSL_get_error(ssl, got) == SSL_ERROR_ZERO_RETURN;
}

static void describe(SSL *ssl, struct door_result *result)
{
    const char *signature =
        SSL_get_signature_algorithm_name(SSL_get_peer_signature_algorithm(ssl), 1);

    snprintf(result->negotiated, sizeof(result->negotiated), "%s, %s, %s, %s", SSL_get_version(ssl),
             SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)),
             SSL_get_curve_name(SSL_get_curve_id(ssl)),
             signature != NULL ? signature : "no signature");
}

static void count(struct worker *worker, SSL *ssl, uint64_t began_ns, uint64_t shook_ns)
{
    struct door_result *result = &worker->result;
    uint64_t now = now_ns();

    result->total++;
    if (!SSL_session_reused(ssl))
        describe(ssl, result);
    if (began_ns < worker->measured_from_ns || now > worker->ends_ns)
        return;
    result->num_answered++;
    result->num_resumed += SSL_session_reused(ssl) ? 1 : 0;
    histogram_add(&result->handshakes, shook_ns - began_ns);
    histogram_add(&result->connections, now - began_ns);
}

static bool one_connection(struct worker *worker, uint64_t began_ns)
{
    int fd = open_socket(&worker->job->target);
    SSL *ssl = fd >= 0 ? SSL_new(worker->ctx) : NULL;
    bool good = ssl != NULL && prepare(worker, ssl, fd) && SSL_connect(ssl) == 1;

    if (good) {
        uint64_t shook_ns = now_ns();
        good = exchange(ssl);
        if (good)
            count(worker, ssl, began_ns, shook_ns);
    }
    if (!good && worker->result.num_failed == 0)
        ERR_print_errors_fp(stderr);
    ERR_clear_error();
    SSL_free(ssl);
    if (fd >= 0)
        close(fd);
    return good;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    uint64_t now;

    while ((now = now_ns()) < worker->ends_ns && worker->result.num_failed < FAILED_MAX) {
        if (!one_connection(worker, now))
            worker->result.num_failed++;
    }
    SSL_SESSION_free(worker->session);
    return NULL;
}

static void add_histogram(struct histogram *sum, const struct histogram *part)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->buckets[i] += part->buckets[i];
    sum->num_values += part->num_values;
    if (part->max_ns > sum->max_ns)
        sum->max_ns = part->max_ns;
}

static void add_result(struct door_result *sum, const struct door_result *part)
{
    sum->total += part->total;
    sum->num_answered += part->num_answered;
    sum->num_resumed += part->num_resumed;
    sum->num_failed += part->num_failed;
    add_histogram(&sum->handshakes, &part->handshakes);
    add_histogram(&sum->connections, &part->connections);
    if (part->negotiated[0] != '\0')
        memcpy(sum->negotiated, part->negotiated, sizeof(sum->negotiated));
}

static int run_threads(struct worker *workers, unsigned num, struct door_result *result)
{
    pthread_t threads[DOOR_THREADS_MAX];
    unsigned num_started = 0;

    while (num_started < num &&
           pthread_create(&threads[num_started], NULL, work, &workers[num_started]) == 0)
        num_started++;
    for (unsigned i = 0; i < num_started; i++) {
        pthread_join(threads[i], NULL);
        add_result(result, &workers[i].result);
    }
    if (num_started == num)
        return 0;
    fputs("a thread could not be started\n", stderr);
    return -1;
}

int door_client_run(const struct door_job *job, struct door_result *result)
{
    SSL_CTX *ctx = make_ctx(job);
    struct worker *workers = calloc(job->num_threads, sizeof(*workers));
    uint64_t from_ns = now_ns() + job->warmup_ns;
    int outcome = -1;

    *result = (struct door_result){0};
    if (ctx != NULL && workers != NULL) {
        for (unsigned i = 0; i < job->num_threads; i++)
            workers[i] = (struct worker){.job = job,
                                         .ctx = ctx,
                                         .measured_from_ns = from_ns,
                                         .ends_ns = from_ns + job->duration_ns};
        outcome = run_threads(workers, job->num_threads, result);
    }
    free(workers);
    SSL_CTX_free(ctx);
    return outcome;
}
