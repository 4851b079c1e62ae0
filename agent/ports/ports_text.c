#include "ports_text.h"

#include <ctype.h>
#include <string.h>

#include "spiffe_id.h"

enum {
    DNS_MAX = 253, /* bytes (RFC 1035, 2.3.4, without the root's dot) */
    LABEL_MAX = 63,
    ALPN_BYTES_MAX = 255,
};

const char *ports_text_path(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL)
        return NULL;
    const char *path = yaml_reader_text(reader, node);
    if (path[0] == '/')
        return path;
    yaml_reader_fail(reader, node, "expected an absolute path, found \"%.80s\"", path);
    return NULL;
}

/* ---------------------------------------------------------------------------------- names -- */

static bool is_label(const char *label, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
            return false;
    return len > 0 && len <= LABEL_MAX && label[0] != '-' && label[len - 1] != '-';
}

static bool is_dns(const char *name)
{
    size_t left = strlen(name);
    if (left == 0 || left > DNS_MAX)
        return false;
    for (;;) {
        size_t len = strcspn(name, ".");
        if (!is_label(name, len))
            return false;
        if (name[len] == '\0')
            return true;
        name += len + 1;
    }
}

static bool is_address(const char *text)
{
    struct ip ip;
    return ip_parse(&ip, text, NULL) == 0;
}

static const char *lower(struct yaml_reader *reader, const char *text)
{
    size_t len = strlen(text);
    char *copy = yaml_reader_alloc(reader, len + 1, 1);
    for (size_t i = 0; copy != NULL && i < len; i++)
        copy[i] = (char)tolower((unsigned char)text[i]);
    return copy;
}

const char *ports_text_dns(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL)
        return NULL;
    const char *text = yaml_reader_text(reader, node);
    if (is_dns(text) && !is_address(text))
        return lower(reader, text);
    yaml_reader_fail(reader, node, "expected a DNS name, found \"%.80s\"", text);
    return NULL;
}

const char *ports_text_dns_pattern(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL)
        return NULL;
    const char *text = yaml_reader_text(reader, node);
    const char *name = strncmp(text, "*.", 2) == 0 ? text + 2 : text;
    if (is_dns(name) && !is_address(name))
        return lower(reader, text);
    yaml_reader_fail(reader, node, "expected a DNS name or \"*.\" and a DNS name, found \"%.80s\"",
                     text);
    return NULL;
}

const char *ports_text_server(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL)
        return NULL;
    const char *text = yaml_reader_text(reader, node);
    if (is_dns(text) || is_address(text))
        return lower(reader, text);
    yaml_reader_fail(reader, node, "expected a DNS name or an address, found \"%.80s\"", text);
    return NULL;
}

const char *ports_text_spiffe_id(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL)
        return NULL;
    const char *text = yaml_reader_text(reader, node);
    struct spiffe_id id = {0};
    struct err err;
    bool is_id = spiffe_id_parse(&id, text, strlen(text), &err) == 0;
    spiffe_id_done(&id);
    if (is_id)
        return text;
    yaml_reader_fail(reader, node, "\"%.80s\" is no SPIFFE ID: %.200s", text, err.message);
    return NULL;
}

const char *ports_text_alpn(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL)
        return NULL;
    const char *text = yaml_reader_text(reader, node);
    size_t len = strlen(text);
    if (len > 0 && len <= ALPN_BYTES_MAX)
        return text;
    yaml_reader_fail(reader, node, "expected a protocol's name of 1 to %d bytes", ALPN_BYTES_MAX);
    return NULL;
}

/* ---------------------------------------------------------------------------------- lists -- */

static bool is_among(const char *const *texts, size_t num, const char *text)
{
    for (size_t i = 0; i < num; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

const char *const *ports_text_list(struct yaml_reader *reader, const struct yaml_node *list,
                                   size_t max, ports_text_read *read, size_t *num)
{
    *num = 0;
    if (!yaml_reader_list(reader, list))
        return NULL;
    if (list->num == 0 || list->num > max) {
        yaml_reader_fail(reader, list, "expected 1 to %zu entries", max);
        return NULL;
    }
    const char **texts = yaml_reader_alloc(reader, list->num, sizeof(const char *));
    for (const struct yaml_node *node = list->first; node != NULL; node = node->next) {
        const char *text = read(reader, node);
        if (yaml_reader_failed(reader))
            return NULL;
        if (is_among(texts, node->index, text)) {
            yaml_reader_fail(reader, node, "\"%.80s\" is there twice", text);
            return NULL;
        }
        texts[node->index] = text;
    }
    *num = list->num;
    return texts;
}
