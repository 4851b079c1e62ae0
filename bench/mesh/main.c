/*
 * What the state of a large mesh costs: memory for each workload, and the time of the first load, of updates of several sizes
 * and of decisions. Prints JSON: bytes and nanoseconds, medians of many repetitions.
 *
 *     remora-mesh-bench [WORKLOADS SERVICES ENDPOINTS REPETITIONS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "large_mesh.h"
#include "measure.h"
#include "mesh_decide.h"

enum {
    WORKLOADS = 100000,
    SERVICES = 10000,
    ENDPOINTS = 10000, /* of the one large service */
    REPETITIONS = 1000,
    BATCH = 1000,  /* workloads of a large update */
    STORM = 10000, /* updates after which memory is looked at again */

    /* What an agent on demand knows: its own workload, and the services that its pod talks to with all their endpoints. */
    KNOWN_SERVICES = 10,
};

struct bench {
    struct large_mesh mesh;
    struct mesh_snapshot *snapshot;
    uint64_t *samples;
    size_t repetitions;
    unsigned version;
};

static void out_of_memory(void)
{
    fprintf(stderr, "remora-mesh-bench: out of memory\n");
    exit(1);
}

static struct mesh_builder *start(struct mesh_snapshot *base)
{
    struct mesh_builder *builder = mesh_builder_new(base);
    if (builder == NULL)
        out_of_memory();
    return builder;
}

static struct mesh_snapshot *finish(struct mesh_builder *builder)
{
    struct err err;
    struct mesh_snapshot *snapshot = mesh_builder_build(builder, NULL, &err);
    if (snapshot == NULL)
        out_of_memory();
    mesh_builder_free(builder);
    return snapshot;
}

static void put_workload(const struct bench *bench, struct mesh_builder *builder, unsigned i)
{
    struct err err;
    if (large_mesh_put_workload(&bench->mesh, builder, i, bench->version, &err) < 0)
        out_of_memory();
}

static void put_service(const struct bench *bench, struct mesh_builder *builder, unsigned i)
{
    struct err err;
    if (large_mesh_put_service(&bench->mesh, builder, i, bench->version, &err) < 0)
        out_of_memory();
}

/* Everything, out of nothing. */
static struct mesh_snapshot *load(const struct bench *bench)
{
    struct mesh_builder *builder = start(NULL);
    for (unsigned i = 0; i <= bench->mesh.num_services; i++)
        put_service(bench, builder, i);
    for (unsigned i = 0; i < bench->mesh.num_workloads; i++)
        put_workload(bench, builder, i);
    return finish(builder);
}

/* ------------------------------------------------------------------------------ updates -- */

/* What one update changes, in its repetition `n`. */
typedef void change(const struct bench *bench, struct mesh_builder *builder, unsigned n);

static unsigned anyone(const struct bench *bench, unsigned n)
{
    return (unsigned)(n * 7919U % bench->mesh.num_workloads);
}

static void change_workload(const struct bench *bench, struct mesh_builder *builder, unsigned n)
{
    put_workload(bench, builder, anyone(bench, n));
}

static void change_endpoint(const struct bench *bench, struct mesh_builder *builder, unsigned n)
{
    put_workload(bench, builder, anyone(bench, n) % bench->mesh.num_endpoints);
}

static void add_workload(const struct bench *bench, struct mesh_builder *builder, unsigned n)
{
    put_workload(bench, builder, bench->mesh.num_workloads + n);
}

static void remove_workload(const struct bench *bench, struct mesh_builder *builder, unsigned n)
{
    large_mesh_remove_workload(&bench->mesh, builder, bench->mesh.num_workloads + n);
}

static void change_large_service(const struct bench *bench, struct mesh_builder *builder,
                                 unsigned n)
{
    (void)n;
    put_service(bench, builder, bench->mesh.num_services);
}

static void change_batch(const struct bench *bench, struct mesh_builder *builder, unsigned n)
{
    for (unsigned i = 0; i < BATCH; i++)
        put_workload(bench, builder, anyone(bench, n * BATCH + i));
}

/* As the control thread does it: build, publish, give up the state before. */
static void update(struct bench *bench, change *make, unsigned n)
{
    bench->version++;
    struct mesh_builder *builder = start(bench->snapshot);
    make(bench, builder, n);
    struct mesh_snapshot *next = finish(builder);
    mesh_snapshot_unref(bench->snapshot);
    bench->snapshot = next;
}

static uint64_t time_of(struct bench *bench, change *make, size_t repetitions)
{
    for (size_t i = 0; i < repetitions; i++) {
        uint64_t before = measure_now_ns();
        update(bench, make, (unsigned)i);
        bench->samples[i] = measure_now_ns() - before;
    }
    return measure_median(bench->samples, repetitions);
}

/* ---------------------------------------------------------------------------- decisions -- */

/* A decision for each of many services in turn, or for one. */
static uint64_t time_of_decisions(struct bench *bench, bool large)
{
    char uid[LARGE_MESH_TEXT];
    const struct mesh_workload *source =
        mesh_snapshot_workload_by_uid(bench->snapshot, large_mesh_uid(&bench->mesh, 0, uid));
    for (size_t i = 0; i < bench->repetitions; i++) {
        unsigned service = large ? bench->mesh.num_services
                                 : anyone(bench, (unsigned)i) % bench->mesh.num_services;
        struct mesh_decision decision;
        const struct mesh_request request = {
            .source = source,
            .network = "",
            .destination = {large_mesh_service_ip(service), 80},
            .random = i * 0x9e3779b97f4a7c15U >> 1,
        };
        uint64_t before = measure_now_ns();
        mesh_decide(bench->snapshot, &request, &decision);
        bench->samples[i] = measure_now_ns() - before;
        if (decision.kind != MESH_TUNNEL) {
            fprintf(stderr, "remora-mesh-bench: a decision was not to tunnel\n");
            exit(1);
        }
    }
    return measure_median(bench->samples, bench->repetitions);
}

/* ----------------------------------------------------------------------------- the runs -- */

/* The state of an agent on demand in the same mesh. */
static size_t on_demand_bytes(const struct bench *bench)
{
    size_t before = measure_allocated();
    struct mesh_builder *builder = start(NULL);
    mesh_builder_set_on_demand(builder, true);
    for (unsigned service = 0; service < KNOWN_SERVICES; service++) {
        put_service(bench, builder, service);
        for (unsigned i = service; i < bench->mesh.num_workloads; i += bench->mesh.num_services)
            put_workload(bench, builder, i);
    }
    struct mesh_snapshot *snapshot = finish(builder);
    size_t bytes = measure_allocated() - before;
    mesh_snapshot_unref(snapshot);
    return bytes;
}

/* Differences may be negative: what a run gives back, it may have taken before. */
static void print(const char *name, uint64_t value)
{
    printf(",\n \"%s\": %lld", name, (long long)value);
}

static void run_load(struct bench *bench)
{
    size_t allocated = measure_allocated();
    size_t resident = measure_resident();
    uint64_t began = measure_now_ns();
    bench->snapshot = load(bench);
    print("load_ns", measure_now_ns() - began);
    print("allocated_bytes", measure_allocated() - allocated);
    print("resident_bytes", measure_resident() - resident);
}

static void run_updates(struct bench *bench)
{
    size_t batches = bench->repetitions / 50 + 1;
    print("workload_changed_ns", time_of(bench, change_workload, bench->repetitions));
    print("workload_added_ns", time_of(bench, add_workload, bench->repetitions));
    print("workload_removed_ns", time_of(bench, remove_workload, bench->repetitions));
    print("endpoint_changed_ns", time_of(bench, change_endpoint, bench->repetitions));
    print("large_service_changed_ns", time_of(bench, change_large_service, bench->repetitions));
    print("batch", BATCH);
    print("batch_changed_ns", time_of(bench, change_batch, batches));
}

/* A full load again, for the ratio; and what it is to give up a state that shares nothing with the next. */
static void run_rebuild(struct bench *bench)
{
    uint64_t began = measure_now_ns();
    struct mesh_snapshot *rebuilt = load(bench);
    print("rebuild_ns", measure_now_ns() - began);
    began = measure_now_ns();
    mesh_snapshot_unref(rebuilt);
    print("free_ns", measure_now_ns() - began);
}

static void run_storm(struct bench *bench)
{
    size_t allocated = measure_allocated();
    size_t resident = measure_resident();
    for (unsigned i = 0; i < STORM; i++)
        update(bench, change_workload, i);
    print("storm", STORM);
    print("storm_allocated_bytes", measure_allocated() - allocated);
    print("storm_resident_bytes", measure_resident() - resident);
}

static void run(struct bench *bench)
{
    printf("{\"workloads\": %u", bench->mesh.num_workloads);
    print("services", bench->mesh.num_services + 1);
    print("endpoints", bench->mesh.num_endpoints);
    print("repetitions", bench->repetitions);
    run_load(bench);
    run_updates(bench);
    print("decision_ns", time_of_decisions(bench, false));
    print("large_decision_ns", time_of_decisions(bench, true));
    run_storm(bench);
    run_rebuild(bench);
    print("known_services", KNOWN_SERVICES);
    print("known_workloads",
          KNOWN_SERVICES * (bench->mesh.num_workloads / bench->mesh.num_services));
    print("on_demand_bytes", on_demand_bytes(bench));
    printf("}\n");
    mesh_snapshot_unref(bench->snapshot);
}

/* The argument at `i`, a number of at least 1; `otherwise` where it is not given. */
static unsigned number(int argc, char **argv, int i, unsigned otherwise)
{
    unsigned long value = i < argc ? strtoul(argv[i], NULL, 10) : otherwise;
    if (value == 0 || value > MESH_OBJECTS_MAX / 2) {
        fprintf(stderr, "usage: remora-mesh-bench [WORKLOADS SERVICES ENDPOINTS REPETITIONS], each "
                        "at least 1\n");
        exit(2);
    }
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .mesh = {.num_workloads = number(argc, argv, 1, WORKLOADS),
                 .num_services = number(argc, argv, 2, SERVICES),
                 .num_endpoints = number(argc, argv, 3, ENDPOINTS)},
        .repetitions = number(argc, argv, 4, REPETITIONS),
    };
    bench.samples = calloc(bench.repetitions, sizeof(*bench.samples));
    if (bench.samples == NULL)
        out_of_memory();
    run(&bench);
    free(bench.samples);
    return 0;
}
