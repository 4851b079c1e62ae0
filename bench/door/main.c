/* remora-door-bench: new mutual-TLS connections to a server, with and without resumption. It prints one line of JSON. */
#include "door_client.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: remora-door-bench --connect ADDRESS:PORT --server-name NAME "
                            "--ca FILE --cert FILE --key FILE [options]\n"
                            "\n"
                            "  --connections N   open at once (1)\n"
                            "  --seconds S       measured time (2)\n"
                            "  --warmup S        load before the measured time (0.3)\n"
                            "  --resume          with a ticket of the connection before\n";

enum long_option {
    OPTION_CONNECT = 1,
    OPTION_SERVER_NAME,
    OPTION_CA,
    OPTION_CERT,
    OPTION_KEY,
    OPTION_CONNECTIONS,
    OPTION_SECONDS,
    OPTION_WARMUP,
    OPTION_RESUME,
};

static bool take_seconds(const char *text, uint64_t *ns)
{
    char *end;
    double seconds = strtod(text, &end);

    *ns = (uint64_t)(seconds * 1e9);
    return end != text && *end == '\0' && seconds >= 0 && seconds <= 3600;
}

static bool take_connections(const char *text, unsigned *number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *number = (unsigned)value;
    return end != text && *end == '\0' && value >= 1 && value <= DOOR_THREADS_MAX;
}

static bool take_option(struct door_job *job, int option, const char *text)
{
    switch (option) {
    case OPTION_CONNECT:
        return endpoint_parse(&job->target, text);
    case OPTION_SERVER_NAME:
        return (job->server_name = text) != NULL;
    case OPTION_CA:
        return (job->ca_file = text) != NULL;
    case OPTION_CERT:
        return (job->cert_file = text) != NULL;
    case OPTION_KEY:
        return (job->key_file = text) != NULL;
    case OPTION_CONNECTIONS:
        return take_connections(text, &job->num_threads);
    case OPTION_SECONDS:
        return take_seconds(text, &job->duration_ns);
    case OPTION_WARMUP:
        return take_seconds(text, &job->warmup_ns);
    case OPTION_RESUME:
        return job->resumes = true;
    default:
        return false;
    }
}

static bool parse_options(struct door_job *job, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"connect", required_argument, NULL, OPTION_CONNECT},
        {"server-name", required_argument, NULL, OPTION_SERVER_NAME},
        {"ca", required_argument, NULL, OPTION_CA},
        {"cert", required_argument, NULL, OPTION_CERT},
        {"key", required_argument, NULL, OPTION_KEY},
        {"connections", required_argument, NULL, OPTION_CONNECTIONS},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"warmup", required_argument, NULL, OPTION_WARMUP},
        {"resume", no_argument, NULL, OPTION_RESUME},
        {NULL, 0, NULL, 0},
    };
    int option;

    *job = (struct door_job){.num_threads = 1, .warmup_ns = 300000000u, .duration_ns = 2000000000u};
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!take_option(job, option, optarg))
            return false;
    }
    return optind == argc && job->target.addr_len > 0 && job->server_name != NULL &&
           job->ca_file != NULL && job->cert_file != NULL && job->key_file != NULL;
}

static double quantile_us(const struct histogram *histogram, double quantile)
{
    return (double)histogram_quantile(histogram, quantile) / 1e3;
}

static void print(const struct door_job *job, const struct door_result *result)
{
    printf(
        "{\"total\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"resumed\": %" PRIu64
        ", \"failed\": %" PRIu64 ", \"per_second\": %.1f, \"handshake_p50_us\": %.1f, "
        "\"handshake_p99_us\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"negotiated\": \"%s\"}\n",
        result->total, result->num_answered, result->num_resumed, result->num_failed,
        (double)result->num_answered / ((double)job->duration_ns / 1e9),
        quantile_us(&result->handshakes, 0.5), quantile_us(&result->handshakes, 0.99),
        quantile_us(&result->connections, 0.5), quantile_us(&result->connections, 0.99),
        result->negotiated);
}

int main(int argc, char **argv)
{
    static struct door_result result; /* too large for a stack that one would not look at */
    struct door_job job;

    if (!parse_options(&job, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* a server that resets is a failure to be counted */
    if (door_client_run(&job, &result) != 0)
        return 1;
    print(&job, &result);
    return 0;
}
