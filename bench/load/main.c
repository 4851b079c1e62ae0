/* remora-load: the server and the client of the benchmark. One line of JSON is what a run prints. */
#include "client.h"
#include "server.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Body of a bulk transfer's request: long enough that the pause between two of them does not show. */
#define BULK_LEN        ((uint64_t)1 << 30)
#define CONNECTIONS_MAX 1000000

static const char usage[] =
    "usage: remora-load serve       --listen ADDRESS:PORT\n"
    "       remora-load requests    --connect ADDRESS:PORT [options]   kept-alive connections\n"
    "       remora-load connections --connect ADDRESS:PORT [options]   a new connection for each "
    "request\n"
    "       remora-load download    --connect ADDRESS:PORT [options]\n"
    "       remora-load upload      --connect ADDRESS:PORT [options]\n"
    "       remora-load hold        --connect ADDRESS:PORT [options]   idle connections, until "
    "stdin ends\n"
    "\n"
    "  --connections N   open at once (1)\n"
    "  --seconds S       measured time; for hold: limit for opening (2)\n"
    "  --warmup S        load before the measured time (0.5)\n"
    "  --size BYTES      body of a response, for requests, connections and hold (128)\n";

struct options {
    const char *mode;
    struct endpoint listen;
    struct client_job job;
    uint64_t size;
};

static bool parse_unsigned(const char *text, uint64_t max, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *value <= max;
}

static bool parse_seconds(const char *text, uint64_t *ns)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 3600))
        return false;
    *ns = (uint64_t)(seconds * 1e9);
    return true;
}

enum long_option {
    OPTION_LISTEN = 1,
    OPTION_CONNECT,
    OPTION_CONNECTIONS,
    OPTION_SECONDS,
    OPTION_WARMUP,
    OPTION_SIZE
};

static bool take_option(struct options *options, int option, const char *text)
{
    uint64_t number = 0;

    switch (option) {
    case OPTION_LISTEN:
        return endpoint_parse(&options->listen, text);
    case OPTION_CONNECT:
        return endpoint_parse(&options->job.target, text);
    case OPTION_CONNECTIONS:
        if (!parse_unsigned(text, CONNECTIONS_MAX, &number) || number == 0)
            return false;
        options->job.num_connections = (unsigned)number;
        return true;
    case OPTION_SECONDS:
        return parse_seconds(text, &options->job.duration_ns);
    case OPTION_WARMUP:
        return parse_seconds(text, &options->job.warmup_ns);
    case OPTION_SIZE:
        return parse_unsigned(text, BULK_LEN, &options->size);
    default:
        return false;
    }
}

static bool parse_options(struct options *options, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"listen", required_argument, NULL, OPTION_LISTEN},
        {"connect", required_argument, NULL, OPTION_CONNECT},
        {"connections", required_argument, NULL, OPTION_CONNECTIONS},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"warmup", required_argument, NULL, OPTION_WARMUP},
        {"size", required_argument, NULL, OPTION_SIZE},
        {NULL, 0, NULL, 0},
    };
    int option;

    *options = (struct options){
        .size = 128,
        .job = {.num_connections = 1, .warmup_ns = 500000000u, .duration_ns = 2000000000u},
    };
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!take_option(options, option, optarg))
            return false;
    }
    if (optind + 1 != argc)
        return false;
    options->mode = argv[optind];
    return true;
}

/* Gives the job the shape of its mode. False when there is no such mode. */
static bool shape_job(struct options *options)
{
    struct client_job *job = &options->job;
    const char *mode = options->mode;

    job->wanted = options->size;
    if (strcmp(mode, "requests") == 0 || strcmp(mode, "hold") == 0)
        return true;
    if (strcmp(mode, "connections") == 0)
        return job->closes = true;
    job->wanted = strcmp(mode, "download") == 0 ? BULK_LEN : 0;
    job->upload = strcmp(mode, "upload") == 0 ? BULK_LEN : 0;
    return job->wanted > 0 || job->upload > 0;
}

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static int run(const struct options *options)
{
    struct client_result result;

    if (client_run(&options->job, &result) != 0) {
        fprintf(stderr, "remora-load: %s: %s\n", options->mode, strerror(errno));
        return 1;
    }
    printf("{\"mode\": \"%s\", \"connections\": %u, \"seconds\": %.6f, \"requests\": %" PRIu64
           ", \"requests_per_second\": %.1f, \"bytes\": %" PRIu64 ", \"gbit_per_second\": %.4f, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f, \"failed\": %" PRIu64
           ", \"total_requests\": %" PRIu64 ", \"total_bytes\": %" PRIu64
           ", \"cpu_seconds\": %.4f}\n",
           options->mode, options->job.num_connections, result.seconds, result.num_requests,
           (double)result.num_requests / result.seconds, result.num_bytes,
           (double)result.num_bytes * 8e-9 / result.seconds, (double)result.p50_ns / 1e3,
           (double)result.p99_ns / 1e3, (double)result.max_ns / 1e3, result.num_failed,
           result.total_requests, result.total_bytes, cpu_seconds());
    return 0;
}

static void on_held(unsigned num_held)
{
    char byte;

    printf("{\"held\": %u}\n", num_held);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
}

static int hold(const struct options *options)
{
    int num_alive = client_hold(&options->job, on_held);

    if (num_alive < 0) {
        fprintf(stderr, "remora-load: hold: %s\n", strerror(errno));
        return 1;
    }
    printf("{\"alive\": %d}\n", num_alive);
    return 0;
}

static int serve(const struct options *options)
{
    server_run(&options->listen);
    fprintf(stderr, "remora-load: serve: %s\n", strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    struct options options;
    bool parsed = parse_options(&options, argc, argv);

    if (parsed && strcmp(options.mode, "serve") == 0 && options.listen.addr_len > 0)
        return serve(&options);
    if (!parsed || options.job.target.addr_len == 0 || !shape_job(&options)) {
        fputs(usage, stderr);
        return 2;
    }
    return strcmp(options.mode, "hold") == 0 ? hold(&options) : run(&options);
}
