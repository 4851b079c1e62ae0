#include "xds_node.h"

#include <assert.h>
#include <string.h>

#include "xds_wire.h"

/* Numbers of envoy.config.core.v3.Node and google.protobuf.Struct. */
enum { NODE_ID = 1, NODE_METADATA = 3, STRUCT_FIELDS = 1, VALUE_STRING = 3 };

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* A field of a Struct is a map's entry whose value is a message. */
static int put_field(struct buf *fields, const char *name, const char *value)
{
    struct buf inner = {0};
    struct buf entry = {0};
    int result = -1;
    if (or_empty(value)[0] == '\0')
        return 0;
    if (xds_wire_put_text(&inner, VALUE_STRING, value) == 0 &&
        xds_wire_put_text(&entry, 1, name) == 0 &&
        xds_wire_put_bytes(&entry, 2, buf_head(&inner), buf_len(&inner)) == 0)
        result = xds_wire_put_bytes(fields, STRUCT_FIELDS, buf_head(&entry), buf_len(&entry));
    buf_done(&inner);
    buf_done(&entry);
    return result;
}

static int put_metadata(struct buf *fields, const struct xds_node *node)
{
    const struct xds_node_field known[] = {
        {"NAME", node->pod_name},
        {"NAMESPACE", node->namespace_},
        {"SERVICE_ACCOUNT", node->service_account},
        {"INSTANCE_IPS", node->ips},
        {"NODE_NAME", node->node_name},
        {"CLUSTER_ID", node->cluster_id},
        {"NETWORK", node->network},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (put_field(fields, known[i].name, known[i].value) < 0)
            return -1;
    }
    for (size_t i = 0; i < node->num_more; i++) {
        if (put_field(fields, node->more[i].name, node->more[i].value) < 0)
            return -1;
    }
    return 0;
}

/* istiod takes no id without an address; ztunnel says 1.1.1.1 when it knows none, and so do we. */
static int put_id(struct buf *out, const struct xds_node *node)
{
    struct buf id = {0};
    const char *ips = or_empty(node->ips);
    size_t ip_len = strcspn(ips, ",");
    const char *ns = or_empty(node->namespace_);
    int result =
        buf_printf(&id, "ztunnel~%.*s~%s.%s~%s.svc.cluster.local", ip_len == 0 ? 7 : (int)ip_len,
                   ip_len == 0 ? "1.1.1.1" : ips, or_empty(node->pod_name), ns, ns);
    if (result == 0)
        result = xds_wire_put_bytes(out, NODE_ID, buf_head(&id), buf_len(&id));
    buf_done(&id);
    return result;
}

int xds_node_write(struct buf *out, const struct xds_node *node, struct err *err)
{
    struct buf fields = {0};
    assert(node->num_more <= XDS_NODE_FIELDS_MAX);
    int result = put_id(out, node);
    if (result == 0)
        result = put_metadata(&fields, node);
    if (result == 0)
        result = xds_wire_put_bytes(out, NODE_METADATA, buf_head(&fields), buf_len(&fields));
    buf_done(&fields);
    return result < 0 ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
