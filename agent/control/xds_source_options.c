/* The options of xds_source, copied with all they point to. */
#include <stdlib.h>
#include <string.h>

#include "xds_source_impl.h"

/* What is allocated belongs to the list and goes with it. */
struct owned {
    struct owned *next;
    _Alignas(16) char bytes[];
};

struct copy {
    struct xds_source_options options; /* first: what is given out */
    struct owned *owned;
    bool failed;
};

static void *keep(struct copy *copy, const void *bytes, size_t len)
{
    struct owned *owned = malloc(sizeof(*owned) + len);
    if (owned == NULL) {
        copy->failed = true;
        return NULL;
    }
    owned->next = copy->owned;
    copy->owned = owned;
    memcpy(owned->bytes, bytes, len);
    return owned->bytes;
}

static void keep_text(struct copy *copy, const char **text)
{
    if (*text != NULL)
        *text = keep(copy, *text, strlen(*text) + 1);
}

static void keep_fields(struct copy *copy, struct xds_node *node)
{
    if (node->num_more == 0)
        return;
    struct xds_node_field *more = keep(copy, node->more, node->num_more * sizeof(*more));
    for (size_t i = 0; more != NULL && i < node->num_more; i++) {
        keep_text(copy, &more[i].name);
        keep_text(copy, &more[i].value);
    }
    node->more = more;
}

static void keep_names(struct copy *copy, struct xds_source_options *options)
{
    if (options->num_own_names == 0)
        return;
    const char **names =
        keep(copy, options->own_names, options->num_own_names * sizeof(*options->own_names));
    for (size_t i = 0; names != NULL && i < options->num_own_names; i++)
        keep_text(copy, &names[i]);
    options->own_names = names;
}

struct xds_source_options *xds_source_options_copy(const struct xds_source_options *options)
{
    struct copy *copy = calloc(1, sizeof(*copy));
    if (copy == NULL)
        return NULL;
    copy->options = *options;
    struct xds_client_options *client = &copy->options.client;
    struct xds_node *node = &copy->options.node;
    const char **texts[] = {
        &client->channel.address,
        &client->channel.peer,
        &client->channel.server_name,
        &client->channel.roots_file,
        &client->token_file,
        &client->cluster_id,
        &node->pod_name,
        &node->namespace_,
        &node->service_account,
        &node->ips,
        &node->cluster_id,
        &node->network,
        &node->node_name,
        &copy->options.cache_file,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        keep_text(copy, texts[i]);
    keep_fields(copy, node);
    keep_names(copy, &copy->options);
    if (!copy->failed)
        return &copy->options;
    xds_source_options_free(&copy->options);
    return NULL;
}

void xds_source_options_free(struct xds_source_options *options)
{
    struct copy *copy = (struct copy *)options;
    if (copy == NULL)
        return;
    while (copy->owned != NULL) {
        struct owned *next = copy->owned->next;
        free(copy->owned);
        copy->owned = next;
    }
    free(copy);
}
