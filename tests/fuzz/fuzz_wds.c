/* A resource as a control plane may send it. The first byte says of which type. What is taken is written again: whatever that
 * drops or invents shows in a second round. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wds.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct wds_object *decode(bool is_policy, const uint8_t *bytes, size_t len, struct err *err)
{
    return is_policy ? wds_decode_authorization(bytes, len, err)
                     : wds_decode_address(bytes, len, err);
}

static void encode(const struct wds_object *object, struct buf *out)
{
    struct err err = {0};
    int result;
    if (wds_object_workload(object) != NULL)
        result = wds_encode_workload(out, wds_object_workload(object), &err);
    else if (wds_object_service(object) != NULL)
        result = wds_encode_service(out, wds_object_service(object), &err);
    else
        result = wds_encode_policy(out, wds_object_policy(object), &err);
    assert(result == 0);
    (void)result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct err err = {0};
    if (len == 0)
        return 0;
    bool is_policy = bytes[0] % 2 == 1;
    struct wds_object *object = decode(is_policy, bytes + 1, len - 1, &err);
    if (object == NULL) {
        assert(err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    struct buf first = {0}, second = {0};
    encode(object, &first);
    struct wds_object *again = decode(is_policy, buf_head(&first), buf_len(&first), &err);
    assert(again != NULL && strcmp(wds_object_name(again), wds_object_name(object)) == 0);
    encode(again, &second);
    assert(buf_len(&first) == buf_len(&second));
    assert(memcmp(buf_head(&first), buf_head(&second), buf_len(&first)) == 0);
    buf_done(&first);
    buf_done(&second);
    wds_object_free(object);
    wds_object_free(again);
    return 0;
}
