#include "mesh_model.h"

#include <stdio.h>

#include "mesh_fixture.h"

static uint64_t step(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 33;
}

unsigned mesh_model_random(unsigned below)
{
    static uint64_t state = 88172645463325252U;
    return (unsigned)(step(&state) % below);
}

/* -------------------------------------------------------------------------------- names -- */

const char *mesh_model_namespace(unsigned i)
{
    static const char *const names[MODEL_NAMESPACES] = {"shop", "pay", ""};
    return names[i % MODEL_NAMESPACES];
}

const char *mesh_model_network(unsigned i)
{
    return i % MODEL_NETWORKS == 0 ? "" : "west";
}

/* Workloads and services share some of them. */
struct ip mesh_model_ip(unsigned i)
{
    struct ip ip = {.family = IP_V4, .bytes = {10, (uint8_t)(i % 2), 0, (uint8_t)(1 + i)}};
    if (i % 7 == 6)
        ip = (struct ip){.family = IP_V6, .bytes = {0xfd, [15] = (uint8_t)(1 + i)}};
    return ip;
}

const char *mesh_model_uid(unsigned i, char *out)
{
    snprintf(out, MODEL_UID_BYTES, i % 3 == 0 ? "c//Pod/ns/w%u" : "c/WorkloadEntry/ns/w%u", i);
    return out;
}

static const char *hostname_of(unsigned i, char *out)
{
    snprintf(out, MODEL_UID_BYTES, "h%u", i / MODEL_NAMESPACES);
    return out;
}

const char *mesh_model_service_key(unsigned i, char *out)
{
    snprintf(out, MODEL_UID_BYTES, "%s/h%u", mesh_model_namespace(i), i / MODEL_NAMESPACES);
    return out;
}

const char *mesh_model_policy_key(unsigned i, char *out)
{
    snprintf(out, MODEL_UID_BYTES, "%s/p%u", mesh_model_namespace(i), i);
    return out;
}

const char *mesh_model_answered_name(unsigned i, char *out)
{
    char text[ADDR_TEXT_MAX];
    struct ip ip = mesh_model_ip(i);
    snprintf(out, MODEL_UID_BYTES, "/%s", ip_format(&ip, text));
    return out;
}

/* ------------------------------------------------------------ objects, out of their seed -- */

struct made_workload {
    struct mesh_workload workload;
    char uid[MODEL_UID_BYTES];
    char name[16];
    char version[16];
    struct ip ips[3];
    struct mesh_membership services[3];
    char service_keys[3][MODEL_UID_BYTES];
    struct mesh_port port;
    const char *policies[2];
    char policy_keys[2][MODEL_UID_BYTES];
};

static void make_lists(struct made_workload *made, uint64_t *state)
{
    struct mesh_workload *workload = &made->workload;
    workload->num_ips = step(state) % 4;
    for (size_t i = 0; i < workload->num_ips; i++)
        made->ips[i] = mesh_model_ip((unsigned)step(state) % MODEL_IPS);
    workload->ips = made->ips;
    made->port = (struct mesh_port){80, 9090, MESH_APP_UNKNOWN};
    workload->num_services = step(state) % 4;
    for (size_t i = 0; i < workload->num_services; i++) {
        mesh_model_service_key((unsigned)step(state) % (MODEL_SERVICES + 2), made->service_keys[i]);
        made->services[i] =
            (struct mesh_membership){made->service_keys[i], &made->port, step(state) % 2};
    }
    workload->services = made->services;
    workload->num_authorization_policies = step(state) % 3;
    for (size_t i = 0; i < workload->num_authorization_policies; i++)
        made->policies[i] = mesh_model_policy_key((unsigned)step(state) % (MODEL_POLICIES + 1),
                                                  made->policy_keys[i]);
    workload->authorization_policies = made->policies;
}

static const struct mesh_workload *make_workload(struct made_workload *made, unsigned i,
                                                 unsigned seed)
{
    uint64_t state = 0x9e3779b97f4a7c15U + seed;
    *made = (struct made_workload){0};
    snprintf(made->name, sizeof(made->name), "n%u", i % 40);
    snprintf(made->version, sizeof(made->version), "v%u", seed);
    static const enum mesh_tunnel tunnels[] = {MESH_TUNNEL_NONE, MESH_TUNNEL_HBONE,
                                               MESH_TUNNEL_HBONE, MESH_TUNNEL_LEGACY_ISTIO_MTLS};
    made->workload = (struct mesh_workload){
        .uid = mesh_model_uid(i, made->uid),
        .name = made->name,
        .canonical_revision = made->version,
        .namespace_ = mesh_model_namespace((unsigned)step(&state)),
        .service_account = step(&state) % 2 == 0 ? "a" : "b",
        .trust_domain = step(&state) % 15 == 0 ? "no domain" : "td",
        .network = mesh_model_network(step(&state) % 5 == 0),
        .node = step(&state) % 2 == 0 ? "n1" : "n2",
        .locality = {.region = "r", .zone = step(&state) % 2 == 0 ? "z1" : "z2"},
        .tunnel = tunnels[step(&state) % 4],
        .network_mode = step(&state) % 8 == 0 ? MESH_NETWORK_HOST : MESH_NETWORK_STANDARD,
        .unhealthy = step(&state) % 4 == 0,
        .capacity = (uint32_t)(step(&state) % 4),
    };
    make_lists(made, &state);
    return &made->workload;
}

struct made_service {
    struct mesh_service service;
    char hostname[MODEL_UID_BYTES];
    char version[16];
    struct mesh_network_address vips[2];
    struct mesh_network_cidr cidrs[2];
    struct mesh_port ports[2];
    const char *sans[2];
};

static void make_addresses(struct made_service *made, uint64_t *state)
{
    static const struct {
        uint8_t first, second, prefix_len;
    } networks[] = {{10, 0, 8}, {10, 1, 16}, {10, 0, 16}, {0, 0, 0}, {10, 1, 17}, {10, 0, 28}};
    struct mesh_service *service = &made->service;
    service->num_vips = step(state) % 3;
    for (size_t i = 0; i < service->num_vips; i++)
        made->vips[i] =
            (struct mesh_network_address){mesh_model_network(step(state) % 5 == 0),
                                          mesh_model_ip((unsigned)step(state) % MODEL_IPS)};
    service->vips = made->vips;
    service->num_cidr_vips = step(state) % 3;
    for (size_t i = 0; i < service->num_cidr_vips; i++) {
        size_t n = step(state) % (sizeof(networks) / sizeof(networks[0]));
        struct ip ip = {.family = IP_V4, .bytes = {networks[n].first, networks[n].second}};
        made->cidrs[i] = (struct mesh_network_cidr){mesh_model_network(step(state) % 5 == 0),
                                                    {ip, networks[n].prefix_len}};
    }
    service->cidr_vips = made->cidrs;
}

static const struct mesh_service *make_service(struct made_service *made, unsigned i, unsigned seed)
{
    uint64_t state = 0xbf58476d1ce4e5b9U + seed;
    *made = (struct made_service){
        .ports = {{80, 8080, MESH_APP_UNKNOWN}, {81, 0, MESH_APP_UNKNOWN}},
        .sans = {"spiffe://td/first", "spiffe://td/second"},
    };
    snprintf(made->version, sizeof(made->version), "v%u", seed);
    made->service = (struct mesh_service){
        .name = made->version,
        .namespace_ = mesh_model_namespace(i),
        .hostname = hostname_of(i, made->hostname),
        .ports = made->ports,
        .num_ports = 2,
        .subject_alt_names = made->sans,
        .num_subject_alt_names = step(&state) % 3,
        .canonical = step(&state) % 3 == 0,
        .visibility = step(&state) % 4 == 0 ? MESH_NAMESPACE : MESH_PUBLIC,
        .load_balancing = {.preferences = {MESH_SCOPE_ZONE, MESH_SCOPE_NODE},
                           .num_preferences = 2,
                           .mode = (enum mesh_lb_mode)(step(&state) % 4),
                           .health_policy =
                               step(&state) % 2 == 0 ? MESH_ALLOW_ALL : MESH_ONLY_HEALTHY},
    };
    make_addresses(made, &state);
    return &made->service;
}

struct made_policy {
    struct mesh_policy policy;
    char name[16];
    struct mesh_rule rule;
    struct mesh_clause clause;
    struct mesh_match match;
    struct mesh_pattern pattern;
    uint16_t port;
};

static const struct mesh_policy *make_policy(struct made_policy *made, unsigned i, unsigned seed)
{
    uint64_t state = 0x94d049bb133111ebU + seed;
    *made = (struct made_policy){.pattern = {MESH_PREFIX, step(&state) % 2 == 0 ? "td/a" : "td/"},
                                 .port = step(&state) % 2 == 0 ? 80 : 81};
    snprintf(made->name, sizeof(made->name), "p%u", i);
    made->match = (struct mesh_match){.principals = {&made->pattern, step(&state) % 2},
                                      .destination_ports = {&made->port, 1}};
    made->clause = (struct mesh_clause){&made->match, 1};
    made->rule = (struct mesh_rule){&made->clause, 1};
    made->policy = (struct mesh_policy){
        .name = made->name,
        .namespace_ = mesh_model_namespace(i),
        .scope = (enum mesh_policy_scope)(step(&state) % 3),
        .action = step(&state) % 3 == 0 ? MESH_DENY : MESH_ALLOW,
        .dry_run = step(&state) % 4 == 0,
        .rules = &made->rule,
        .num_rules = step(&state) % 3 == 0 ? 0 : 1,
    };
    return &made->policy;
}

/* ----------------------------------------------------------------------------- changing -- */

static int put_workload(struct mesh_builder *builder, unsigned i, unsigned seed, struct err *err)
{
    struct made_workload made;
    return mesh_builder_put_workload(builder, make_workload(&made, i, seed), err);
}

static int put_service(struct mesh_builder *builder, unsigned i, unsigned seed, struct err *err)
{
    struct made_service made;
    return mesh_builder_put_service(builder, make_service(&made, i, seed), err);
}

static int put_policy(struct mesh_builder *builder, unsigned i, unsigned seed, struct err *err)
{
    struct made_policy made;
    return mesh_builder_put_policy(builder, make_policy(&made, i, seed), err);
}

struct sort {
    unsigned num;
    int (*put)(struct mesh_builder *builder, unsigned i, unsigned seed, struct err *err);
    void (*remove)(struct mesh_builder *builder, const char *key);
    const char *(*key)(unsigned i, char *out);
};

static const struct sort workloads = {MODEL_WORKLOADS, put_workload, mesh_builder_remove_workload,
                                      mesh_model_uid};
static const struct sort services = {MODEL_SERVICES, put_service, mesh_builder_remove_service,
                                     mesh_model_service_key};
static const struct sort policies = {MODEL_POLICIES, put_policy, mesh_builder_remove_policy,
                                     mesh_model_policy_key};

static void change_object(struct mesh_model *model, struct model_object *objects,
                          const struct sort *sort, struct mesh_builder *builder)
{
    struct err err = {0};
    char key[MODEL_UID_BYTES];
    unsigned i = mesh_model_random(sort->num);
    struct model_object *object = &objects[i];
    if (mesh_model_random(3) == 0) {
        sort->remove(builder, sort->key(i, key));
        object->present = false;
        return;
    }
    if (!object->present)
        object->order = model->next_order++;
    object->present = true;
    object->seed = mesh_model_random(1000000);
    if (sort->put(builder, i, object->seed, &err) < 0)
        fail_msg("%s", err.message);
}

static void put_answered(struct mesh_builder *builder, unsigned i)
{
    char name[MODEL_UID_BYTES];
    struct mesh_interest *interest = mesh_interest_new(mesh_model_answered_name(i, name));
    assert_non_null(interest);
    mesh_builder_put_answered(builder, interest);
    mesh_interest_unref(interest);
}

static void change_answered(struct mesh_model *model, struct mesh_builder *builder)
{
    char name[MODEL_UID_BYTES];
    unsigned i = mesh_model_random(MODEL_NAMES);
    model->answered[i] = mesh_model_random(3) > 0;
    if (model->answered[i])
        put_answered(builder, i);
    else
        mesh_builder_remove_answered(builder, mesh_model_answered_name(i, name));
}

void mesh_model_change(struct mesh_model *model, struct mesh_builder *builder)
{
    unsigned what = mesh_model_random(20);
    if (what < 12) {
        change_object(model, model->workloads, &workloads, builder);
    } else if (what < 15) {
        change_object(model, model->services, &services, builder);
    } else if (what < 17) {
        change_object(model, model->policies, &policies, builder);
    } else if (what < 19) {
        change_answered(model, builder);
    } else {
        model->on_demand = !model->on_demand;
        mesh_builder_set_on_demand(builder, model->on_demand);
    }
}

/* ---------------------------------------------------------------------- from scratch -- */

/* In the order in which they came. */
static void put_all(struct mesh_builder *builder, const struct mesh_model *model,
                    const struct model_object *objects, const struct sort *sort)
{
    struct err err = {0};
    for (unsigned order = 0; order < model->next_order; order++)
        for (unsigned i = 0; i < sort->num; i++)
            if (objects[i].present && objects[i].order == order &&
                sort->put(builder, i, objects[i].seed, &err) < 0)
                fail_msg("%s", err.message);
}

struct mesh_snapshot *mesh_model_build(const struct mesh_model *model)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    assert_non_null(builder);
    put_all(builder, model, model->workloads, &workloads);
    put_all(builder, model, model->services, &services);
    put_all(builder, model, model->policies, &policies);
    for (unsigned i = 0; i < MODEL_NAMES; i++)
        if (model->answered[i])
            put_answered(builder, i);
    mesh_builder_set_on_demand(builder, model->on_demand);
    return fixture_build(builder);
}
