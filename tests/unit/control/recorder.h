/* A machine with an owner that remembers what it is told, and a way to let it talk to the model. */
#ifndef REMORA_TEST_RECORDER_H
#define REMORA_TEST_RECORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "istiod.h"
#include "xds_delta.h"

struct recorded_resource {
    enum xds_type type;
    char *name;
    uint32_t hash; /* istiod_hash of the name */
    char *version;
};

struct recorded_answer {
    char *name;
    char *by; /* NULL: there is no such thing */
};

struct recorder {
    struct xds_delta *delta;
    struct recorded_resource *held;
    size_t num_held;
    struct recorded_answer *answers;
    size_t num_answers;
    size_t num_told; /* on_resource, taken */
    size_t num_removed;
    size_t num_answered;
    size_t num_unanswered;
    char rejected[1024]; /* "name: reason" of the last one */
    const char *reject;  /* what on_resource refuses, by name; "*": all; NULL: nothing */
    const char *reason;
    struct xds_delta_answer last;
};

void recorder_init(struct recorder *recorder, bool wildcard);
void recorder_done(struct recorder *recorder);

/* Holds an address as if it had been told. */
void recorder_restore(struct recorder *recorder, const char *name, const char *version);

/* The version held; NULL: it is not. */
const char *recorder_held(const struct recorder *recorder, enum xds_type type, const char *name);

/* "?" : no answer; "" : there is no such thing; else what answered. */
const char *recorder_answer(const struct recorder *recorder, const char *name);

/* One step each way; false: there was nothing. */
bool recorder_send_one(struct recorder *recorder, struct istiod_stream *stream);
bool recorder_receive_one(struct recorder *recorder, struct istiod_stream *stream);

/* Until neither has anything to say. */
void recorder_talk(struct recorder *recorder, struct istiod_stream *stream);

/* Subscribes as an owner does, one that remembers a name that is answered at once. */
void recorder_subscribe(struct recorder *recorder, const char *name);
void recorder_unsubscribe(struct recorder *recorder, const char *name);

/* Drops what is not needed; a workload of `service` is needed as long as that is. */
void recorder_sweep(struct recorder *recorder, const char *(*service_of)(const char *name));

#endif
