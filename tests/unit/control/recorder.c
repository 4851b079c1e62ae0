#include "recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct recorded_resource *find_held(const struct recorder *recorder, enum xds_type type,
                                           const char *name)
{
    const uint32_t hash = istiod_hash(name);
    for (size_t i = 0; i < recorder->num_held; i++) {
        struct recorded_resource *held = &recorder->held[i];
        if (held->hash == hash && held->type == type && strcmp(held->name, name) == 0)
            return held;
    }
    return NULL;
}

static void hold(struct recorder *recorder, enum xds_type type, const char *name,
                 const char *version)
{
    struct recorded_resource *held = find_held(recorder, type, name);
    if (held == NULL) {
        if (recorder->num_held % 64 == 0)
            recorder->held =
                realloc(recorder->held, (recorder->num_held + 64) * sizeof(*recorder->held));
        held = &recorder->held[recorder->num_held++];
        *held = (struct recorded_resource){type, strdup(name), istiod_hash(name), NULL};
    }
    free(held->version);
    held->version = strdup(version);
}

void recorder_restore(struct recorder *recorder, const char *name, const char *version)
{
    struct err err;
    assert_int_equal(xds_delta_restore(recorder->delta, XDS_ADDRESS, name, version, &err), 0);
    hold(recorder, XDS_ADDRESS, name, version);
}

static int on_resource(void *owner, const struct xds_resource *resource, struct err *err)
{
    struct recorder *recorder = owner;
    bool all = recorder->reject != NULL && strcmp(recorder->reject, "*") == 0;
    if (all || (recorder->reject != NULL && strcmp(recorder->reject, resource->name) == 0))
        return err_set(err, ERR_INVALID, "%s", recorder->reason);
    recorder->num_told++;
    hold(recorder, resource->type, resource->name, resource->version);
    return 0;
}

static void forget_held(struct recorder *recorder, struct recorded_resource *held)
{
    free(held->name);
    free(held->version);
    *held = recorder->held[--recorder->num_held];
}

static void on_removed(void *owner, enum xds_type type, const char *name)
{
    struct recorder *recorder = owner;
    struct recorded_resource *held = find_held(recorder, type, name);
    assert_non_null(held);
    if (held != NULL) /* optimizers do not know that it is */
        forget_held(recorder, held);
    recorder->num_removed++;
}

static struct recorded_answer *find_answer(const struct recorder *recorder, const char *name)
{
    for (size_t i = 0; i < recorder->num_answers; i++) {
        if (strcmp(recorder->answers[i].name, name) == 0)
            return &recorder->answers[i];
    }
    return NULL;
}

static void set_answer(struct recorder *recorder, const char *name, const char *by)
{
    struct recorded_answer *answer = find_answer(recorder, name);
    if (answer == NULL) {
        if (recorder->num_answers % 64 == 0)
            recorder->answers = realloc(recorder->answers,
                                        (recorder->num_answers + 64) * sizeof(*recorder->answers));
        answer = &recorder->answers[recorder->num_answers++];
        *answer = (struct recorded_answer){strdup(name), NULL};
    }
    free(answer->by);
    answer->by = by == NULL ? NULL : strdup(by);
}

static void forget_answer(struct recorder *recorder, const char *name)
{
    struct recorded_answer *answer = find_answer(recorder, name);
    if (answer == NULL)
        return;
    free(answer->name);
    free(answer->by);
    *answer = recorder->answers[--recorder->num_answers];
}

static void on_answered(void *owner, const char *name, const char *by)
{
    struct recorder *recorder = owner;
    if (by != NULL)
        assert_non_null(find_held(recorder, XDS_ADDRESS, by));
    recorder->num_answered++;
    set_answer(recorder, name, by);
}

static void on_unanswered(void *owner, const char *name)
{
    struct recorder *recorder = owner;
    assert_non_null(find_answer(recorder, name));
    recorder->num_unanswered++;
    forget_answer(recorder, name);
}

static void on_rejected(void *owner, enum xds_type type, const char *name, const char *reason)
{
    struct recorder *recorder = owner;
    snprintf(recorder->rejected, sizeof(recorder->rejected), "%s: %s", name, reason);
}

static const struct xds_delta_handler handler = {
    .on_resource = on_resource,
    .on_removed = on_removed,
    .on_answered = on_answered,
    .on_unanswered = on_unanswered,
    .on_rejected = on_rejected,
};

void recorder_init(struct recorder *recorder, bool wildcard)
{
    static const struct xds_node node = {
        .pod_name = "cart", .namespace_ = "shop", .service_account = "cart", .ips = "10.0.0.1"};
    const struct xds_delta_options options = {.node = &node, .wildcard = wildcard};
    struct err err;
    memset(recorder, 0, sizeof(*recorder));
    recorder->delta = xds_delta_new(&options, &handler, recorder, &err);
    assert_non_null(recorder->delta);
}

void recorder_done(struct recorder *recorder)
{
    while (recorder->num_held > 0)
        forget_held(recorder, &recorder->held[0]);
    while (recorder->num_answers > 0)
        forget_answer(recorder, recorder->answers[0].name);
    free(recorder->held);
    free(recorder->answers);
    xds_delta_free(recorder->delta);
}

const char *recorder_held(const struct recorder *recorder, enum xds_type type, const char *name)
{
    const struct recorded_resource *held = find_held(recorder, type, name);
    return held == NULL ? NULL : held->version;
}

const char *recorder_answer(const struct recorder *recorder, const char *name)
{
    const struct recorded_answer *answer = find_answer(recorder, name);
    if (answer == NULL)
        return "?";
    return answer->by == NULL ? "" : answer->by;
}

bool recorder_send_one(struct recorder *recorder, struct istiod_stream *stream)
{
    struct buf request = {0};
    struct err err;
    int due = xds_delta_next_request(recorder->delta, &request, &err);
    assert_true(due >= 0);
    if (due > 0)
        istiod_receive(stream, buf_head(&request), buf_len(&request));
    buf_done(&request);
    return due > 0;
}

bool recorder_receive_one(struct recorder *recorder, struct istiod_stream *stream)
{
    struct buf message = {0};
    struct err err;
    if (!istiod_next(stream, &message))
        return false;
    if (xds_delta_receive(recorder->delta, buf_head(&message), buf_len(&message), &recorder->last,
                          &err) < 0)
        fail_msg("%s", err.message);
    buf_done(&message);
    return true;
}

void recorder_talk(struct recorder *recorder, struct istiod_stream *stream)
{
    bool more = true;
    while (more) {
        more = recorder_send_one(recorder, stream);
        more = recorder_receive_one(recorder, stream) || more;
    }
}

void recorder_subscribe(struct recorder *recorder, const char *name)
{
    struct err err;
    int result = xds_delta_subscribe(recorder->delta, name, &err);
    if (result < 0)
        fail_msg("%s", err.message);
    if (result > 0)
        set_answer(recorder, name, name);
}

void recorder_unsubscribe(struct recorder *recorder, const char *name)
{
    xds_delta_unsubscribe(recorder->delta, name);
    forget_answer(recorder, name);
}

void recorder_sweep(struct recorder *recorder, const char *(*service_of)(const char *name))
{
    for (size_t i = recorder->num_held; i > 0; i--) {
        struct recorded_resource *held = &recorder->held[i - 1];
        if (held->type != XDS_ADDRESS || xds_delta_is_needed(recorder->delta, held->name))
            continue;
        const char *service = service_of(held->name);
        if (service != NULL && xds_delta_is_needed(recorder->delta, service))
            continue;
        xds_delta_drop(recorder->delta, held->name);
        forget_held(recorder, held);
    }
}
