#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh_check.h"
#include "wds_object.h"

/* An object that cannot even be named is quoted up to here. */
enum { NAME_SHOWN = MESH_NAME_MAX };

static struct wds_object *new_object(struct err *err)
{
    struct wds_object *object = calloc(1, sizeof(*object));
    if (object != NULL)
        object->memory = protobuf_memory_new(WDS_MEMORY_MAX, PROTOBUF_PLAIN);
    if (object == NULL || object->memory == NULL) {
        wds_object_free(object);
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    return object;
}

static const void *read_message(struct wds_object *object, const ProtobufCMessageDescriptor *type,
                                const void *bytes, size_t len, struct err *err)
{
    if (len <= WDS_RESOURCE_MAX)
        return protobuf_read(object->memory, type, bytes, len, err);
    err_set(err, ERR_LIMIT, "has %zu bytes, more than %d", len, WDS_RESOURCE_MAX);
    return NULL;
}

static int set_name(struct wds_object *object, const char *before, const char *after,
                    struct err *err)
{
    size_t size = strlen(before) + 1 + strlen(after) + 1;
    char *name = protobuf_memory_array(object->memory, size, 1);
    if (name == NULL)
        return protobuf_memory_err(object->memory, err);
    snprintf(name, size, "%s/%s", before, after);
    object->name = name;
    return 0;
}

static int decode_workload(struct wds_object *object, const Istio__Workload__Workload *from,
                           struct err *err)
{
    object->kind = WDS_WORKLOAD;
    object->name = from->uid;
    if (wds_decode_workload(from, object->memory, &object->workload, err) < 0)
        return err_prefix(err, "workload \"%.*s\"", NAME_SHOWN, from->uid);
    return mesh_check_workload(&object->workload, err);
}

static int decode_service(struct wds_object *object, const Istio__Workload__Service *from,
                          struct err *err)
{
    object->kind = WDS_SERVICE;
    if (set_name(object, from->namespace_, from->hostname, err) < 0)
        return -1;
    if (wds_decode_service(from, object->memory, &object->service, err) < 0)
        return err_prefix(err, "service \"%.*s\"", NAME_SHOWN, object->name);
    return mesh_check_service(&object->service, err);
}

static int decode_address(struct wds_object *object, const void *bytes, size_t len, struct err *err)
{
    const Istio__Workload__Address *from =
        read_message(object, &istio__workload__address__descriptor, bytes, len, err);
    if (from == NULL)
        return err_prefix(err, "address");
    switch ((int)from->type_case) {
    case ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD:
        return decode_workload(object, from->workload, err);
    case ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE:
        return decode_service(object, from->service, err);
    default:
        return err_set(err, ERR_INVALID, "address: is neither a workload nor a service");
    }
}

struct wds_object *wds_decode_address(const void *bytes, size_t len, struct err *err)
{
    struct wds_object *object = new_object(err);
    if (object == NULL || decode_address(object, bytes, len, err) == 0)
        return object;
    wds_object_free(object);
    return NULL;
}

static int decode_authorization(struct wds_object *object, const void *bytes, size_t len,
                                struct err *err)
{
    const Istio__Security__Authorization *from =
        read_message(object, &istio__security__authorization__descriptor, bytes, len, err);
    if (from == NULL)
        return err_prefix(err, "policy");
    object->kind = WDS_POLICY;
    if (set_name(object, from->namespace_, from->name, err) < 0)
        return -1;
    if (wds_decode_policy(from, object->memory, &object->policy, err) < 0)
        return err_prefix(err, "policy \"%.*s\"", NAME_SHOWN, object->name);
    return mesh_check_policy(&object->policy, err);
}

struct wds_object *wds_decode_authorization(const void *bytes, size_t len, struct err *err)
{
    struct wds_object *object = new_object(err);
    if (object == NULL || decode_authorization(object, bytes, len, err) == 0)
        return object;
    wds_object_free(object);
    return NULL;
}

void wds_object_free(struct wds_object *object)
{
    if (object == NULL)
        return;
    protobuf_memory_free(object->memory);
    free(object);
}

const struct mesh_workload *wds_object_workload(const struct wds_object *object)
{
    return object->kind == WDS_WORKLOAD ? &object->workload : NULL;
}

const struct mesh_service *wds_object_service(const struct wds_object *object)
{
    return object->kind == WDS_SERVICE ? &object->service : NULL;
}

const struct mesh_policy *wds_object_policy(const struct wds_object *object)
{
    return object->kind == WDS_POLICY ? &object->policy : NULL;
}

const char *wds_object_name(const struct wds_object *object)
{
    return object->name;
}
