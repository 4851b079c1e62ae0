/* What a client may send to the control plane's discovery: requests one after the other, each with a byte of length in front that
 * counts in units of eight bytes, to a small mesh. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "discovery_client.h"
#include "discovery_node.h"
#include "protobuf_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct discovery_table *make_table(void)
{
    static const struct mesh_membership membership = {.service = "ns/web"};
    struct mesh_workload workload = {
        .uid = "a", .network = "", .num_ips = 1, .services = &membership, .num_services = 1};
    struct mesh_network_address vip = {.network = ""};
    struct mesh_service service = {
        .namespace_ = "ns", .hostname = "web", .vips = &vip, .num_vips = 1};
    struct ip ip;
    struct err err;
    ip_parse(&ip, "10.0.0.1", &err);
    ip_parse(&vip.ip, "10.1.0.1", &err);
    workload.ips = &ip;
    struct discovery_table *table = discovery_table_new(1);
    struct discovery_resource *resources[] = {discovery_resource_of_workload(&workload, &err),
                                              discovery_resource_of_service(&service, &err)};
    for (size_t i = 0; i < 2; i++) {
        discovery_table_add(table, resources[i]);
        discovery_resource_unref(resources[i]);
    }
    discovery_table_seal(table, NULL, NULL);
    return table;
}

/* Every response is acknowledged by the fuzzer or not at all, so there are at most two at once. */
static void take_responses(struct discovery_client *client)
{
    unsigned num = 0;
    struct discovery_told told;
    struct buf out = {0};
    while (discovery_client_next(client, &out, &told) == 1) {
        num++;
        assert(num <= 2 && told.num_resources <= 2);
        buf_clear(&out, 0);
    }
    buf_done(&out);
}

static int take_request(struct discovery_client *client, const uint8_t *bytes, size_t len)
{
    struct protobuf_memory *memory;
    struct discovery_request request;
    struct discovery_outcome outcome;
    struct err err = {0};
    if (discovery_message_read(bytes, len, &memory, &request, &err) < 0) {
        assert(err.kind != ERR_NONE && err.message[0] != '\0');
        return -1;
    }
    if (request.has_node)
        discovery_node_check(&request.node, "ns", "sa", &err);
    int result = discovery_client_request(client, &request, &outcome, &err);
    protobuf_memory_free(memory);
    if (result == 0)
        take_responses(client);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct discovery_table *table = make_table();
    struct discovery_client *client = discovery_client_new(table);
    while (len > 0) {
        size_t request_len = (size_t)bytes[0] * 8;
        bytes++;
        len--;
        if (request_len > len)
            request_len = len;
        if (take_request(client, bytes, request_len) < 0)
            break;
        bytes += request_len;
        len -= request_len;
    }
    discovery_client_free(client);
    discovery_table_unref(table);
    return 0;
}
