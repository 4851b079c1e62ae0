#include "yaml_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    PATH_MAX_BYTES = 200, /* of a message: leaves room for the file's name and what is wrong */
    WORDS_MAX_BYTES = 200,
};

void yaml_reader_init(struct yaml_reader *reader, struct yaml_doc *doc, struct err *err)
{
    *reader = (struct yaml_reader){.doc = doc, .err = err};
}

bool yaml_reader_failed(const struct yaml_reader *reader)
{
    return reader->failed;
}

void *yaml_reader_alloc(struct yaml_reader *reader, size_t num, size_t size)
{
    void *memory = yaml_doc_alloc(reader->doc, num, size);
    if (memory == NULL && num > 0 && !reader->failed) {
        reader->failed = true;
        err_set(reader->err, ERR_NOMEM, "%s: out of memory", yaml_doc_name(reader->doc));
    }
    return memory;
}

/* ------------------------------------------------------------------------------- errors -- */

/* Appends text to a message part that may be full; what does not fit is left out. */
static void add_text(char *out, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add_text(char *out, size_t capacity, const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + len, capacity - len, format, args);
    va_end(args);
}

/* "workloads[2].services.80": from the root, which is "" itself. */
static void format_path(const struct yaml_node *node, char *out, size_t capacity)
{
    const struct yaml_node *way[YAML_DEPTH_MAX + 2];
    size_t num = 0;
    for (; node != NULL && node->parent != NULL && num < sizeof(way) / sizeof(way[0]);
         node = node->parent)
        way[num++] = node;
    out[0] = '\0';
    while (num > 0) {
        node = way[--num];
        if (node->key != NULL)
            add_text(out, capacity, "%s%.64s", out[0] == '\0' ? "" : ".", node->key);
        else
            add_text(out, capacity, "[%zu]", node->index);
    }
}

void yaml_reader_fail(struct yaml_reader *reader, const struct yaml_node *node, const char *format,
                      ...)
{
    if (reader->failed)
        return;
    reader->failed = true;
    char path[PATH_MAX_BYTES];
    format_path(node, path, sizeof(path));
    char message[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    size_t line = node == NULL ? 1 : node->line;
    size_t column = node == NULL ? 1 : node->column;
    err_set(reader->err, ERR_INVALID, "%s:%zu:%zu: %s%s%s", yaml_doc_name(reader->doc), line,
            column, path, path[0] == '\0' ? "" : ": ", message);
}

/* What the node is, for "expected ..., found ...". */
static void describe(const struct yaml_node *node, char *out, size_t capacity)
{
    static const char *const meanings[] = {"the text", "nothing", "the boolean", "the number"};
    out[0] = '\0';
    if (node->tag != NULL)
        add_text(out, capacity, "the tag %.64s", node->tag);
    else if (node->kind == YAML_MAP)
        add_text(out, capacity, "a map");
    else if (node->kind == YAML_LIST)
        add_text(out, capacity, "a list");
    else if (node->meaning == YAML_NOTHING)
        add_text(out, capacity, "nothing");
    else
        add_text(out, capacity, "%s \"%.64s\"", meanings[node->meaning], node->text);
}

static void fail_type(struct yaml_reader *reader, const struct yaml_node *node,
                      const char *expected)
{
    char found[WORDS_MAX_BYTES];
    describe(node, found, sizeof(found));
    yaml_reader_fail(reader, node, "expected %s, found %s", expected, found);
}

/* "a, b or c" */
static void join_names(const char *const *names, char *out, size_t capacity)
{
    out[0] = '\0';
    for (size_t i = 0; names[i] != NULL; i++) {
        const char *between = i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ";
        add_text(out, capacity, "%s%s", between, names[i]);
    }
}

static int index_of(const char *const *names, const char *text)
{
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    return -1;
}

/* --------------------------------------------------------------------------- structures -- */

const struct yaml_node *yaml_reader_find(const struct yaml_node *map, const char *key)
{
    if (map == NULL || map->kind != YAML_MAP)
        return NULL;
    for (const struct yaml_node *entry = map->first; entry != NULL; entry = entry->next)
        if (strcmp(entry->key, key) == 0)
            return entry;
    return NULL;
}

const struct yaml_node *yaml_reader_required(struct yaml_reader *reader,
                                             const struct yaml_node *map, const char *key)
{
    const struct yaml_node *entry = yaml_reader_find(map, key);
    if (entry == NULL)
        yaml_reader_fail(reader, map, "the key \"%s\" is missing", key);
    return entry;
}

bool yaml_reader_map(struct yaml_reader *reader, const struct yaml_node *node,
                     const char *const *keys)
{
    if (node == NULL || reader->failed)
        return false;
    if (node->kind != YAML_MAP || node->tag != NULL) {
        fail_type(reader, node, "a map");
        return false;
    }
    for (const struct yaml_node *entry = node->first; keys != NULL && entry != NULL;
         entry = entry->next) {
        if (index_of(keys, entry->key) >= 0)
            continue;
        char known[WORDS_MAX_BYTES];
        join_names(keys, known, sizeof(known));
        yaml_reader_fail(reader, entry, "unknown key; known are %s", known);
        return false;
    }
    return true;
}

bool yaml_reader_list(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL || reader->failed)
        return false;
    if (node->kind != YAML_LIST) {
        fail_type(reader, node, "a list");
        return false;
    }
    return true;
}

int yaml_reader_variant(struct yaml_reader *reader, const struct yaml_node *node,
                        const char *const *names, const struct yaml_node **value)
{
    if (reader->failed)
        return -1;
    int i = -1;
    if (node->kind == YAML_MAP && node->num == 1)
        i = index_of(names, node->first->key);
    if (i < 0) {
        char known[WORDS_MAX_BYTES];
        char expected[WORDS_MAX_BYTES + 64];
        join_names(names, known, sizeof(known));
        snprintf(expected, sizeof(expected), "one of the tags %s (as in !%s)", known, names[0]);
        fail_type(reader, node, expected);
        return -1;
    }
    *value = node->first;
    return i;
}

/* ------------------------------------------------------------------------------- values -- */

const char *yaml_reader_raw(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL || reader->failed)
        return "";
    if (node->kind != YAML_SCALAR || node->meaning == YAML_NOTHING) {
        fail_type(reader, node, "a value");
        return "";
    }
    return node->text;
}

const char *yaml_reader_text(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL || reader->failed)
        return "";
    if (node->kind != YAML_SCALAR || node->meaning == YAML_NOTHING) {
        fail_type(reader, node, "text");
        return "";
    }
    if (node->meaning != YAML_TEXT) {
        fail_type(reader, node, "text (with quotes around it)");
        return "";
    }
    return node->text;
}

/* Decimal digits only. 0, or -1: no number, or out of range. */
static int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || text[len] != '\0')
        return -1;
    for (; *text != '\0'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return -1;
    }
    if (value < min)
        return -1;
    *out = (uint32_t)value;
    return 0;
}

uint32_t yaml_reader_u32(struct yaml_reader *reader, const struct yaml_node *node, uint32_t min,
                         uint32_t max, uint32_t otherwise)
{
    if (node == NULL || reader->failed)
        return otherwise;
    uint32_t value;
    if (node->kind == YAML_SCALAR && node->meaning == YAML_NUMBER &&
        parse_u32(node->text, min, max, &value) == 0)
        return value;
    char expected[64];
    snprintf(expected, sizeof(expected), "a number from %u to %u", min, max);
    fail_type(reader, node, expected);
    return otherwise;
}

uint32_t yaml_reader_key_u32(struct yaml_reader *reader, const struct yaml_node *entry,
                             uint32_t min, uint32_t max)
{
    uint32_t value = 0;
    if (!reader->failed && parse_u32(entry->key, min, max, &value) < 0)
        yaml_reader_fail(reader, entry, "expected a number from %u to %u as the key", min, max);
    return value;
}

bool yaml_reader_bool(struct yaml_reader *reader, const struct yaml_node *node)
{
    if (node == NULL || reader->failed)
        return false;
    if (node->kind != YAML_SCALAR || node->meaning != YAML_BOOL) {
        fail_type(reader, node, "true or false");
        return false;
    }
    return node->text[0] == 't' || node->text[0] == 'T';
}

int yaml_reader_enum(struct yaml_reader *reader, const struct yaml_node *node,
                     const char *const *names)
{
    if (node == NULL || reader->failed)
        return 0;
    int i = node->kind == YAML_SCALAR ? index_of(names, node->text) : -1;
    if (i >= 0)
        return i;
    char expected[WORDS_MAX_BYTES];
    join_names(names, expected, sizeof(expected));
    fail_type(reader, node, expected);
    return 0;
}

struct ip yaml_reader_ip(struct yaml_reader *reader, const struct yaml_node *node)
{
    struct ip ip = {0};
    struct err err = {0};
    if (node != NULL && ip_parse(&ip, yaml_reader_text(reader, node), &err) < 0)
        yaml_reader_fail(reader, node, "%s", err.message);
    return ip;
}

struct cidr yaml_reader_cidr(struct yaml_reader *reader, const struct yaml_node *node)
{
    struct cidr cidr = {0};
    struct err err = {0};
    if (node != NULL && cidr_parse(&cidr, yaml_reader_text(reader, node), &err) < 0)
        yaml_reader_fail(reader, node, "%s", err.message);
    return cidr;
}
