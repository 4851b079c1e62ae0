#include "xds_cache.h"

#include <stdlib.h>
#include <string.h>

#include "private_file.h"
#include "xds_wire.h"

#define MAGIC "remora discovery 1 "
#define END   "end"

enum {
    FIELD_WHOSE = 1,
    FIELD_ADDRESS = 2,
    FIELD_AUTHORIZATION = 3,
    FIELD_ANSWER = 4,
    FIELD_END = 5,
    RESOURCE_VERSION = 1,
    RESOURCE_BYTES = 2,
    RESOURCE_NAME = 3,
    ANSWER_NAME = 1,
    ANSWER_BY = 2,
    WHOSE_MAX = 1024, /* bytes */
};

struct xds_cache {
    struct private_dir *dir;
    char *path;
    char *name;
    char *whose; /* with MAGIC in front */
};

/* ------------------------------------------------------------------------------------ reading -- */

static int check_fields(const uint8_t *bytes, size_t len)
{
    struct xds_wire wire = xds_wire_of(bytes, len);
    struct xds_wire_field field;
    int more;
    while ((more = xds_wire_next(&wire, &field)) > 0)
        ;
    return more;
}

/* The whole file, before anything is told. */
static int check(const struct xds_cache *cache, struct xds_wire wire, struct err *err)
{
    struct xds_wire_field field;
    char whose[WHOSE_MAX + 1] = "";
    bool ended = false;
    int more;
    while ((more = xds_wire_next(&wire, &field)) > 0) {
        if (field.number == FIELD_WHOSE && !xds_wire_text(&field, whose, sizeof(whose)))
            whose[0] = '\0';
        ended = field.number == FIELD_END;
        bool is_message = field.number >= FIELD_ADDRESS && field.number <= FIELD_ANSWER;
        if (is_message && (!field.is_bytes || check_fields(field.bytes, field.len) < 0))
            return err_set(err, ERR_INVALID, "%s is garbled", cache->path);
    }
    if (more < 0 || !ended)
        return err_set(err, ERR_INVALID, "%s is not whole", cache->path);
    if (strcmp(whose, cache->whose) != 0)
        return err_set(err, ERR_INVALID,
                       "%s is another pod's, of another way of discovery, or of another version",
                       cache->name);
    return 0;
}

static void read_resource(const struct xds_wire_field *outer, enum xds_type type,
                          const struct xds_cache_reader *reader, void *owner)
{
    struct xds_wire wire = xds_wire_of(outer->bytes, outer->len);
    struct xds_wire_field field;
    static const uint8_t empty[1];
    char name[XDS_NAME_MAX + 1] = "";
    char version[XDS_VERSION_MAX + 1] = "";
    struct xds_resource resource = {.type = type, .name = name, .version = version, .bytes = empty};
    while (xds_wire_next(&wire, &field) > 0) {
        if (field.number == RESOURCE_NAME && !xds_wire_text(&field, name, sizeof(name)))
            return;
        if (field.number == RESOURCE_VERSION && !xds_wire_text(&field, version, sizeof(version)))
            return;
        if (field.number == RESOURCE_BYTES && field.is_bytes) {
            resource.bytes = field.bytes;
            resource.len = field.len;
        }
    }
    if (name[0] != '\0')
        reader->on_resource(owner, &resource);
}

static void read_answer(const struct xds_wire_field *outer, const struct xds_cache_reader *reader,
                        void *owner)
{
    struct xds_wire wire = xds_wire_of(outer->bytes, outer->len);
    struct xds_wire_field field;
    char name[XDS_NAME_MAX + 1] = "";
    char by[XDS_NAME_MAX + 1] = "";
    while (xds_wire_next(&wire, &field) > 0) {
        bool ok = true;
        if (field.number == ANSWER_NAME)
            ok = xds_wire_text(&field, name, sizeof(name));
        else if (field.number == ANSWER_BY)
            ok = xds_wire_text(&field, by, sizeof(by));
        if (!ok)
            return;
    }
    if (name[0] != '\0' && by[0] != '\0')
        reader->on_answer(owner, name, by);
}

/* Resources before the names that they answer. */
static void tell(struct xds_wire wire, const struct xds_cache_reader *reader, void *owner)
{
    struct xds_wire names = wire;
    struct xds_wire_field field;
    while (xds_wire_next(&wire, &field) > 0) {
        if (field.number == FIELD_ADDRESS)
            read_resource(&field, XDS_ADDRESS, reader, owner);
        else if (field.number == FIELD_AUTHORIZATION)
            read_resource(&field, XDS_AUTHORIZATION, reader, owner);
    }
    while (xds_wire_next(&names, &field) > 0) {
        if (field.number == FIELD_ANSWER)
            read_answer(&field, reader, owner);
    }
}

int xds_cache_read(struct xds_cache *cache, const struct xds_cache_reader *reader, void *owner,
                   struct err *err)
{
    struct err why;
    size_t len = 0;
    uint8_t *bytes = private_file_read(cache->dir, cache->name, XDS_CACHE_MAX, &len, &why);
    if (bytes == NULL && why.kind == ERR_NOT_FOUND)
        return 0;
    struct xds_wire wire = xds_wire_of(bytes, len);
    int result = bytes == NULL ? -1 : check(cache, wire, &why);
    if (result == 0)
        tell(wire, reader, owner);
    private_file_free(bytes, len);
    return result < 0 ? err_set(err, why.kind, "cache: %s", why.message) : 0;
}

/* ------------------------------------------------------------------------------------ writing -- */

static void note(struct xds_cache_draft *draft, int result)
{
    if (result < 0)
        draft->failed = true;
}

void xds_cache_begin(const struct xds_cache *cache, struct xds_cache_draft *draft)
{
    *draft = (struct xds_cache_draft){0};
    note(draft, xds_wire_put_text(&draft->bytes, FIELD_WHOSE, cache->whose));
}

void xds_cache_add_resource(struct xds_cache_draft *draft, const struct xds_resource *resource)
{
    struct buf inner = {0};
    uint32_t number = resource->type == XDS_ADDRESS ? FIELD_ADDRESS : FIELD_AUTHORIZATION;
    note(draft, xds_wire_put_text(&inner, RESOURCE_VERSION, resource->version));
    note(draft, xds_wire_put_text(&inner, RESOURCE_NAME, resource->name));
    note(draft, xds_wire_put_bytes(&inner, RESOURCE_BYTES, resource->bytes, resource->len));
    note(draft, xds_wire_put_bytes(&draft->bytes, number, buf_head(&inner), buf_len(&inner)));
    buf_done(&inner);
}

void xds_cache_add_answer(struct xds_cache_draft *draft, const char *name, const char *by)
{
    note(draft, xds_wire_put_entry(&draft->bytes, FIELD_ANSWER, name, by));
}

int xds_cache_end(struct xds_cache *cache, struct xds_cache_draft *draft, struct err *err)
{
    const struct private_file_rights rights = {.mode = 0600};
    int result;
    note(draft, xds_wire_put_text(&draft->bytes, FIELD_END, END));
    if (draft->failed)
        result = err_set(err, ERR_NOMEM, "out of memory");
    else
        result = private_file_write(cache->dir, cache->name, &rights, buf_head(&draft->bytes),
                                    buf_len(&draft->bytes), err);
    buf_done(&draft->bytes);
    return result < 0 ? err_prefix(err, "cache") : 0;
}

/* -------------------------------------------------------------------------------------- life -- */

static int open_dir(struct xds_cache *cache, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path || slash[1] == '\0' || slash[1] == '.')
        return err_set(err, ERR_INVALID, "%s: a file in a directory is expected", path);
    char *dir = strndup(path, (size_t)(slash - path));
    cache->path = strdup(path);
    cache->name = strdup(slash + 1);
    if (dir == NULL || cache->path == NULL || cache->name == NULL)
        err_set(err, ERR_NOMEM, "out of memory");
    else
        cache->dir = private_file_open_dir(dir, true, err);
    free(dir);
    return cache->dir == NULL ? -1 : 0;
}

static int set_whose(struct xds_cache *cache, const char *whose, struct err *err)
{
    struct buf text = {0};
    if (buf_printf(&text, MAGIC "%.*s", WHOSE_MAX - (int)sizeof(MAGIC), whose) == 0)
        cache->whose = strndup((const char *)buf_head(&text), buf_len(&text));
    buf_done(&text);
    return cache->whose == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

struct xds_cache *xds_cache_new(const char *path, const char *whose, struct err *err)
{
    struct xds_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (open_dir(cache, path, err) < 0 || set_whose(cache, whose, err) < 0) {
        err_prefix(err, "cache");
        xds_cache_free(cache);
        return NULL;
    }
    return cache;
}

void xds_cache_free(struct xds_cache *cache)
{
    if (cache == NULL)
        return;
    private_file_close_dir(cache->dir);
    free(cache->path);
    free(cache->name);
    free(cache->whose);
    free(cache);
}
