#include "admin.h"

#include <stdlib.h>

#include "http_server.h"

enum { OK = 200, UNAVAILABLE = 503, FAILED = 500 };
enum { NUM_HEALTH_ROUTES = 2, NUM_METRICS_ROUTES = 2 };

struct admin {
    struct admin_options options;
    struct http_route health_routes[NUM_HEALTH_ROUTES];
    struct http_route metrics_routes[NUM_METRICS_ROUTES];
    struct http_server *health;
    struct http_server *metrics;
};

static void answer(struct http_response *response, int rc, unsigned status)
{
    response->status = rc == 0 ? status : FAILED;
    if (rc < 0)
        buf_clear(&response->body, 0);
}

static void on_get_ready(void *owner, const struct http_request *request,
                         struct http_response *response)
{
    const struct admin *admin = owner;
    bool ready = readiness_is_ready(admin->options.readiness);
    int rc = readiness_write(admin->options.readiness, &response->body);
    answer(response, rc, ready ? OK : UNAVAILABLE);
}

static void on_get_live(void *owner, const struct http_request *request,
                        struct http_response *response)
{
    const struct admin *admin = owner;
    int rc = admin->options.find_stuck(admin->options.owner, &response->body);
    bool live = buf_len(&response->body) == 0;
    if (rc == 0 && live)
        rc = buf_append_str(&response->body, "live\n");
    answer(response, rc, live ? OK : UNAVAILABLE);
}

static void on_get_metrics(void *owner, const struct http_request *request,
                           struct http_response *response)
{
    const struct admin *admin = owner;
    struct telemetry_control control = {0};
    admin->options.collect(admin->options.owner, &control);
    enum metrics_format format = metrics_text_format(request->accept);
    response->content_type = metrics_text_content_type(format);
    int rc = telemetry_hub_write(admin->options.telemetry, &control, format, &response->body);
    answer(response, rc, OK);
}

struct admin *admin_new(struct net_loop *loop, const struct admin_options *options, struct err *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL) {
        err_set(err, ERR_NOMEM, "admin: out of memory");
        return NULL;
    }
    admin->options = *options;
    admin->health_routes[0] = (struct http_route){"/healthz/ready", on_get_ready, admin};
    admin->health_routes[1] = (struct http_route){"/healthz/live", on_get_live, admin};
    admin->metrics_routes[0] = (struct http_route){"/metrics", on_get_metrics, admin};
    admin->metrics_routes[1] = (struct http_route){"/stats/prometheus", on_get_metrics, admin};

    admin->health = http_server_new(loop, &options->readiness_addr, admin->health_routes,
                                    NUM_HEALTH_ROUTES, err);
    if (admin->health == NULL) {
        err_prefix(err, "readiness port");
        goto fail;
    }
    admin->metrics = http_server_new(loop, &options->metrics_addr, admin->metrics_routes,
                                     NUM_METRICS_ROUTES, err);
    if (admin->metrics == NULL) {
        err_prefix(err, "metrics port");
        goto fail;
    }
    return admin;

fail:
    admin_free(admin);
    return NULL;
}

const struct addr *admin_readiness_addr(const struct admin *admin)
{
    return http_server_addr(admin->health);
}

const struct addr *admin_metrics_addr(const struct admin *admin)
{
    return http_server_addr(admin->metrics);
}

void admin_free(struct admin *admin)
{
    if (admin == NULL)
        return;
    http_server_free(admin->health);
    http_server_free(admin->metrics);
    free(admin);
}
