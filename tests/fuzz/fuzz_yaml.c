/*
 * Any bytes as the local file. Whatever it takes is then decided upon: every workload calls every address, and what holds for all
 * meshes is checked.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "local_source.h"
#include "mesh_authorize.h"
#include "mesh_decide.h"
#include "mesh_inbound.h"

enum { OBJECTS_MAX = 8 }; /* the first of each kind; more only cost time */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t at_most(size_t num)
{
    return num < OBJECTS_MAX ? num : OBJECTS_MAX;
}

static bool is_at(const struct mesh_workload *workload, const struct mesh_gateway *gateway)
{
    for (size_t i = 0; i < workload->num_ips; i++)
        if (ip_equal(&workload->ips[i], &gateway->ip))
            return true;
    return false;
}

/* What a name may lead to: never back to this pod, and never into clear text. */
static void check_resolved(const struct mesh_decision *decision, const struct mesh_request *request)
{
    const struct ip ips[] = {{.family = IP_V4, .bytes = {127, 0, 0, 1}},
                             {.family = IP_V4, .bytes = {192, 0, 2, 1}},
                             {.family = IP_V6, .bytes = {0xfd, [15] = 1}}};
    struct mesh_decision copy = *decision;
    if (decision->resolve == NULL || !mesh_decide_resolved(&copy, request, ips, 3))
        return;
    assert(copy.kind == decision->kind && copy.num_identities == decision->num_identities);
    const struct addr *dialled = copy.kind == MESH_TUNNEL ? &copy.tunnel : &copy.target;
    assert(dialled->ip.family != IP_NONE && !ip_is_loopback(&dialled->ip));
    (void)dialled;
}

/* Whatever a peer asks this workload for, it is answered at the workload's own address, or on its loopback. */
static void check_landing(const struct mesh_snapshot *snapshot, const struct mesh_workload *local,
                          const struct ip *ip, uint16_t port)
{
    if (local->num_ips == 0)
        return;
    struct mesh_landing landing;
    struct mesh_arrival arrival = {.local = local,
                                   .network = local->network,
                                   .address = local->ips[0],
                                   .ip = *ip,
                                   .host = "",
                                   .port = port};
    mesh_inbound_land(snapshot, &arrival, &landing);
    if (landing.reason != REASON_DONE)
        return;
    assert(ip_equal(&landing.target.ip, &local->ips[0]) && landing.target.port != 0);
    assert(ip_is_loopback(&landing.dial.ip) || addr_equal(&landing.dial, &landing.target));
    assert(!landing.is_proxied || local->application_tunnel.present);
}

static void check_decision(const struct mesh_snapshot *snapshot, const struct mesh_workload *source,
                           const struct ip *ip, uint16_t port)
{
    struct mesh_decision decision;
    struct mesh_request request = {.source = source,
                                   .network = source->network,
                                   .destination = {.ip = *ip, .port = port},
                                   .random = port};
    mesh_decide(snapshot, &request, &decision);
    if (decision.workload != NULL && decision.workload->tunnel != MESH_TUNNEL_NONE)
        assert(decision.kind != MESH_PASSTHROUGH);
    assert((decision.num_identities > 0) ==
           (decision.kind == MESH_TUNNEL || decision.kind == MESH_ISTIO_MTLS));
    for (size_t i = 0; i < decision.num_identities; i++)
        assert(strncmp(decision.identities[i], "spiffe://", 9) == 0);
    if (decision.kind == MESH_TUNNEL) {
        assert(decision.tunnel.port != 0 && decision.target.port != 0);
        assert((decision.tunnel.ip.family == IP_NONE) == (decision.resolve != NULL));
    }
    if (decision.kind == MESH_PASSTHROUGH || decision.kind == MESH_ISTIO_MTLS)
        assert((decision.target.ip.family == IP_NONE) == (decision.resolve != NULL));
    if (decision.is_nested && decision.kind == MESH_TUNNEL)
        assert(decision.service != NULL && decision.num_inner_identities > 0);
    assert(decision.resolve == NULL || decision.resolve[0] != '\0');
    if (decision.service != NULL && decision.service->waypoint.kind != MESH_GATEWAY_NONE &&
        source->num_services == 0 && !is_at(source, &decision.service->waypoint))
        assert(decision.kind != MESH_PASSTHROUGH);
    check_resolved(&decision, &request);
    assert(decision.kind != MESH_REFUSE || decision.reason != REASON_DONE);
}

static void check_access(const struct mesh_snapshot *snapshot, const struct mesh_workload *workload)
{
    const struct mesh_peer peer = {.principal = "td/ns/a/sa/b",
                                   .trust_domain = "td",
                                   .namespace_ = "a",
                                   .service_account = "b"};
    for (int with_peer = 0; with_peer < 2; with_peer++) {
        struct mesh_verdict verdict;
        struct mesh_access access = {.destination = workload,
                                     .peer = with_peer ? &peer : NULL,
                                     .source_ip = {.family = IP_V4, .bytes = {10, 0, 0, 1}},
                                     .target = {{.family = IP_V4, .bytes = {10, 0, 0, 2}}, 80},
                                     .strict = true};
        mesh_authorize(snapshot, &access, &verdict);
        assert(with_peer || !verdict.allowed);
        assert(verdict.allowed == (verdict.reason == REASON_DONE));
    }
}

/* The first objects of each kind. */
struct sample {
    const struct mesh_workload *workloads[OBJECTS_MAX];
    size_t num_workloads;
    const struct mesh_service *services[OBJECTS_MAX];
    size_t num_services;
};

static bool take_workload(void *owner, const struct mesh_workload *workload)
{
    struct sample *sample = owner;
    sample->workloads[sample->num_workloads++] = workload;
    return sample->num_workloads < OBJECTS_MAX;
}

static bool take_service(void *owner, const struct mesh_service *service)
{
    struct sample *sample = owner;
    sample->services[sample->num_services++] = service;
    return sample->num_services < OBJECTS_MAX;
}

static void check_workload(const struct mesh_snapshot *snapshot, const struct sample *sample,
                           const struct mesh_workload *workload)
{
    assert(mesh_snapshot_workload_by_uid(snapshot, workload->uid) == workload);
    check_access(snapshot, workload);
    for (size_t i = 0; i < sample->num_workloads; i++)
        for (size_t j = 0; j < at_most(sample->workloads[i]->num_ips); j++) {
            check_decision(snapshot, workload, &sample->workloads[i]->ips[j], 80);
            check_landing(snapshot, workload, &sample->workloads[i]->ips[j], 80);
        }
    for (size_t i = 0; i < sample->num_services; i++) {
        const struct mesh_service *service = sample->services[i];
        uint16_t port = service->num_ports > 0 ? service->ports[0].service_port : 80;
        for (size_t j = 0; j < at_most(service->num_vips); j++) {
            check_decision(snapshot, workload, &service->vips[j].ip, port);
            check_landing(snapshot, workload, &service->vips[j].ip, port);
        }
    }
}

static void check_mesh(const struct mesh_snapshot *snapshot)
{
    struct sample sample = {0};
    mesh_snapshot_each_workload(snapshot, take_workload, &sample);
    mesh_snapshot_each_service(snapshot, take_service, &sample);
    for (size_t i = 0; i < sample.num_workloads; i++)
        check_workload(snapshot, &sample, sample.workloads[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct err err = {0};
    struct mesh_warnings *warnings = calloc(1, sizeof(*warnings));
    struct mesh_snapshot *snapshot =
        local_source_parse("fuzz", (const char *)bytes, len, warnings, &err);
    if (snapshot != NULL)
        check_mesh(snapshot);
    else
        assert(err.kind != ERR_NONE && err.message[0] != '\0');
    mesh_snapshot_unref(snapshot);
    free(warnings);
    return 0;
}
