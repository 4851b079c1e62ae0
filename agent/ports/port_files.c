#include "port_files.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"
#include "text_file.h"

struct port_file {
    const char *path; /* the configuration's */
    char *bytes;      /* may be a private key */
    size_t len;
};

struct port_files {
    struct refcount refs;
    struct ports_config *config;
    struct port_file *list;
    size_t num;
    size_t capacity;
};

static const struct port_file *find(const struct port_files *files, const char *path)
{
    for (size_t i = 0; i < files->num; i++)
        if (strcmp(files->list[i].path, path) == 0)
            return &files->list[i];
    return NULL;
}

/* Once each; NULL is ignored. */
static void add(struct port_files *files, const char *path)
{
    if (path == NULL || find(files, path) != NULL)
        return;
    assert(files->num < files->capacity);
    files->list[files->num++].path = path;
}

static void add_certificate(struct port_files *files, const struct ports_certificate *certificate)
{
    add(files, certificate->cert_file);
    add(files, certificate->key_file);
}

/* Adds what the configuration names, or only counts, so that there is room for it. A file that is named twice counts twice. */
static size_t for_each_file(struct port_files *files, bool is_counting)
{
    size_t num_ports, num_destinations, num = 0;
    const struct ports_port *ports = ports_config_ports(files->config, &num_ports);
    const struct ports_destination *destinations =
        ports_config_destinations(files->config, &num_destinations);
    for (size_t i = 0; i < num_ports; i++) {
        num += 1 + 2 * ports[i].num_certificates;
        if (is_counting)
            continue;
        add(files, ports[i].client_ca_file);
        for (size_t j = 0; j < ports[i].num_certificates; j++)
            add_certificate(files, &ports[i].certificates[j]);
    }
    for (size_t i = 0; i < num_destinations; i++) {
        num += 3;
        if (is_counting)
            continue;
        add(files, destinations[i].ca_file);
        add_certificate(files, &destinations[i].certificate);
    }
    return num;
}

static int read_file(struct port_file *file, char *scratch, struct err *err)
{
    ptrdiff_t len = text_file_read(file->path, scratch, PORT_FILES_BYTES_MAX, err);
    if (len < 0)
        return -1;
    file->bytes = malloc((size_t)len + 1);
    if (file->bytes == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", file->path);
    memcpy(file->bytes, scratch, (size_t)len);
    file->len = (size_t)len;
    return 0;
}

int port_files_read(struct port_files *files, struct err *err)
{
    char *scratch = malloc(PORT_FILES_BYTES_MAX);
    int rc = 0;
    if (scratch == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < files->num && rc == 0; i++)
        rc = read_file(&files->list[i], scratch, err);
    explicit_bzero(scratch, PORT_FILES_BYTES_MAX);
    free(scratch);
    return rc;
}

struct port_files *port_files_new(struct ports_config *config, struct err *err)
{
    struct port_files *files = calloc(1, sizeof(*files));
    if (files == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        ports_config_free(config);
        return NULL;
    }
    refcount_init(&files->refs);
    files->config = config;
    files->capacity = for_each_file(files, true);
    files->list = calloc(files->capacity + 1, sizeof(*files->list));
    if (files->list == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        port_files_unref(files);
        return NULL;
    }
    for_each_file(files, false);
    return files;
}

struct port_files *port_files_ref(struct port_files *files)
{
    refcount_get(&files->refs);
    return files;
}

void port_files_unref(struct port_files *files)
{
    if (files == NULL || !refcount_put(&files->refs))
        return;
    for (size_t i = 0; i < files->num; i++) {
        if (files->list[i].bytes != NULL)
            explicit_bzero(files->list[i].bytes, files->list[i].len);
        free(files->list[i].bytes);
    }
    free(files->list);
    ports_config_free(files->config);
    free(files);
}

const struct ports_config *port_files_config(const struct port_files *files)
{
    return files->config;
}

struct cert_bytes port_files_get(const struct port_files *files, const char *path)
{
    if (path == NULL)
        return (struct cert_bytes){0};
    const struct port_file *file = find(files, path);
    assert(file != NULL);
    return (struct cert_bytes){.bytes = file->bytes, .len = file->len, .encoding = CERT_PEM};
}

size_t port_files_num(const struct port_files *files)
{
    return files->num;
}

const char *port_files_path(const struct port_files *files, size_t index)
{
    assert(index < files->num);
    return files->list[index].path;
}
