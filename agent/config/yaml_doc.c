#include "yaml_doc.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "yaml_scalar.h"

enum { BLOCK_BYTES = 16 * 1024 }; /* allocated at once; a small file takes one */

struct block {
    struct block *next;
    alignas(max_align_t) unsigned char bytes[];
};

struct yaml_doc {
    char *name;
    struct yaml_node *root;
    struct block *blocks; /* the newest first */
    size_t used;          /* bytes of the newest */
    size_t capacity;      /* bytes of the newest */
};

void *yaml_doc_alloc(struct yaml_doc *doc, size_t num, size_t size)
{
    if (num == 0 || num > (SIZE_MAX / 2) / size)
        return NULL;
    size_t len =
        (num * size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (doc->blocks == NULL || len > doc->capacity - doc->used) {
        size_t capacity = len > BLOCK_BYTES ? len : BLOCK_BYTES;
        struct block *block = malloc(sizeof(*block) + capacity);
        if (block == NULL)
            return NULL;
        block->next = doc->blocks;
        doc->blocks = block;
        doc->used = 0;
        doc->capacity = capacity;
    }
    void *memory = doc->blocks->bytes + doc->used;
    doc->used += len;
    return memset(memory, 0, num * size);
}

void yaml_doc_free(struct yaml_doc *doc)
{
    if (doc == NULL)
        return;
    struct block *block = doc->blocks;
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    free(doc->name);
    free(doc);
}

const struct yaml_node *yaml_doc_root(const struct yaml_doc *doc)
{
    return doc->root;
}

const char *yaml_doc_name(const struct yaml_doc *doc)
{
    return doc->name;
}

/* ------------------------------------------------------------------------------ parsing -- */

/* The state between two of libyaml's events. */
struct parse {
    struct yaml_doc *doc;
    yaml_parser_t parser;
    struct yaml_node *open; /* the innermost list or map that is not closed */
    const char *key;        /* of the value that comes next in a map; NULL: a key comes next */
    yaml_mark_t key_mark;
    size_t depth;
    size_t num_nodes;
    size_t num_documents;
    struct err *err;
};

static int fail_at(struct parse *parse, yaml_mark_t mark, enum err_kind kind, const char *message)
{
    return err_set(parse->err, kind, "%s:%zu:%zu: %s", parse->doc->name, mark.line + 1,
                   mark.column + 1, message);
}

static int fail_parser(struct parse *parse)
{
    const yaml_parser_t *parser = &parse->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return err_set(parse->err, ERR_NOMEM, "%s: out of memory", parse->doc->name);
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;
    if (parser->error == YAML_READER_ERROR)
        return err_set(parse->err, ERR_INVALID, "%s: byte %zu: %s", parse->doc->name,
                       parser->problem_offset, problem);
    return fail_at(parse, parser->problem_mark, ERR_INVALID, problem);
}

static const char *copy_text(struct parse *parse, const yaml_char_t *text, size_t len)
{
    char *copy = yaml_doc_alloc(parse->doc, len + 1, 1);
    if (copy != NULL)
        memcpy(copy, text, len);
    return copy;
}

static bool has_key(const struct yaml_node *map, const char *key)
{
    for (const struct yaml_node *entry = map->first; entry != NULL; entry = entry->next)
        if (strcmp(entry->key, key) == 0)
            return true;
    return false;
}

static void append(struct yaml_node *parent, struct yaml_node *node)
{
    node->parent = parent;
    node->index = parent->num++;
    if (parent->last == NULL)
        parent->first = node;
    else
        parent->last->next = node;
    parent->last = node;
}

/* A node at the place that the document has come to: an entry of what is open, or the root. NULL: *err is set. */
static struct yaml_node *add_node(struct parse *parse, enum yaml_kind kind, yaml_mark_t mark)
{
    if (++parse->num_nodes > YAML_NODES_MAX) {
        fail_at(parse, mark, ERR_LIMIT, "the document has too many values");
        return NULL;
    }
    struct yaml_node *node = yaml_doc_alloc(parse->doc, 1, sizeof(*node));
    if (node == NULL) {
        fail_at(parse, mark, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (parse->key != NULL)
        mark = parse->key_mark;
    node->kind = kind;
    node->key = parse->key;
    node->line = mark.line + 1;
    node->column = mark.column + 1;
    parse->key = NULL;
    if (parse->open == NULL)
        parse->doc->root = node;
    else
        append(parse->open, node);
    return node;
}

static int open_node(struct parse *parse, enum yaml_kind kind, yaml_mark_t mark)
{
    if (parse->depth >= YAML_DEPTH_MAX)
        return fail_at(parse, mark, ERR_LIMIT, "lists and maps are nested too deep");
    struct yaml_node *node = add_node(parse, kind, mark);
    if (node == NULL)
        return -1;
    parse->open = node;
    parse->depth++;
    return 0;
}

/* The parent is only lent as const to readers; here it is ours. */
static void close_node(struct parse *parse)
{
    const struct yaml_node *closed = parse->open;
    parse->depth--;
    parse->open = closed->parent == NULL ? NULL : parse->doc->root;
    if (closed->parent == NULL)
        return;
    /* Everything that is open is the last entry of what it is in. */
    while (parse->open != closed->parent)
        parse->open = parse->open->last;
}

/* A map that stands for the tag, whose one entry the tagged value becomes. */
static int open_tag(struct parse *parse, const yaml_char_t *tag, yaml_mark_t mark)
{
    const char *text = copy_text(parse, tag, strlen((const char *)tag));
    if (text == NULL)
        return fail_at(parse, mark, ERR_NOMEM, "out of memory");
    if (text[0] != '!' || text[1] == '\0')
        return fail_at(parse, mark, ERR_INVALID,
                       "tags of YAML's own types are not supported here; leave the tag out");
    if (open_node(parse, YAML_MAP, mark) < 0)
        return -1;
    parse->open->tag = text;
    parse->key = text + 1;
    parse->key_mark = mark;
    return 0;
}

static bool expects_key(const struct parse *parse)
{
    return parse->open != NULL && parse->open->kind == YAML_MAP && parse->key == NULL;
}

static int on_key(struct parse *parse, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    if (event->data.scalar.tag != NULL)
        return fail_at(parse, event->start_mark, ERR_INVALID, "a key cannot have a tag");
    if (parse->open->num >= YAML_KEYS_MAX)
        return fail_at(parse, event->start_mark, ERR_LIMIT, "the map has too many keys");
    if (has_key(parse->open, text)) {
        return err_set(parse->err, ERR_INVALID, "%s:%zu:%zu: the key \"%.80s\" is there twice",
                       parse->doc->name, event->start_mark.line + 1, event->start_mark.column + 1,
                       text);
    }
    parse->key = copy_text(parse, event->data.scalar.value, event->data.scalar.length);
    parse->key_mark = event->start_mark;
    return parse->key == NULL ? fail_at(parse, event->start_mark, ERR_NOMEM, "out of memory") : 0;
}

static int on_value(struct parse *parse, const yaml_event_t *event)
{
    const yaml_char_t *value = event->data.scalar.value;
    const yaml_char_t *tag = event->data.scalar.tag;
    if (tag != NULL && open_tag(parse, tag, event->start_mark) < 0)
        return -1;
    struct yaml_node *node = add_node(parse, YAML_SCALAR, event->start_mark);
    if (node == NULL)
        return -1;
    node->text = copy_text(parse, value, event->data.scalar.length);
    if (node->text == NULL)
        return fail_at(parse, event->start_mark, ERR_NOMEM, "out of memory");
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && tag == NULL;
    node->meaning = plain ? yaml_scalar_meaning(node->text) : YAML_TEXT;
    if (tag != NULL)
        close_node(parse);
    return 0;
}

static int on_scalar(struct parse *parse, const yaml_event_t *event)
{
    if (event->data.scalar.anchor != NULL)
        return fail_at(parse, event->start_mark, ERR_INVALID, "anchors are not supported");
    if (memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL)
        return fail_at(parse, event->start_mark, ERR_INVALID, "text cannot hold a NUL character");
    return expects_key(parse) ? on_key(parse, event) : on_value(parse, event);
}

static int on_start(struct parse *parse, enum yaml_kind kind, const yaml_char_t *anchor,
                    const yaml_char_t *tag, yaml_mark_t mark)
{
    if (anchor != NULL)
        return fail_at(parse, mark, ERR_INVALID, "anchors are not supported");
    if (expects_key(parse))
        return fail_at(parse, mark, ERR_INVALID, "a key has to be text");
    if (tag != NULL && open_tag(parse, tag, mark) < 0)
        return -1;
    return open_node(parse, kind, mark);
}

static void on_end(struct parse *parse)
{
    close_node(parse);
    if (parse->open != NULL && parse->open->tag != NULL)
        close_node(parse);
}

static int on_event(struct parse *parse, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++parse->num_documents > 1)
            return fail_at(parse, event->start_mark, ERR_INVALID, "only one document is expected");
        return 0;
    case YAML_SCALAR_EVENT:
        return on_scalar(parse, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(parse, YAML_LIST, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag, event->start_mark);
    case YAML_MAPPING_START_EVENT:
        return on_start(parse, YAML_MAP, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag, event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(parse);
        return 0;
    case YAML_ALIAS_EVENT:
        return fail_at(parse, event->start_mark, ERR_INVALID, "aliases are not supported");
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return 0;
}

static int parse_events(struct parse *parse)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parse->parser, &event))
            return fail_parser(parse);
        bool last = event.type == YAML_STREAM_END_EVENT;
        int status = on_event(parse, &event);
        yaml_event_delete(&event);
        if (status < 0 || last)
            return status;
    }
}

static int parse_bytes(struct yaml_doc *doc, const char *bytes, size_t len, struct err *err)
{
    struct parse parse = {.doc = doc, .err = err};
    if (!yaml_parser_initialize(&parse.parser))
        return err_set(err, ERR_NOMEM, "%s: out of memory", doc->name);
    yaml_parser_set_encoding(&parse.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parse.parser, (const unsigned char *)bytes, len);
    int status = parse_events(&parse);
    yaml_parser_delete(&parse.parser);
    return status;
}

struct yaml_doc *yaml_doc_parse(const char *name, const char *bytes, size_t len, struct err *err)
{
    struct yaml_doc *doc = calloc(1, sizeof(*doc));
    char *copy = strdup(name);
    if (doc == NULL || copy == NULL) {
        free(doc);
        free(copy);
        err_set(err, ERR_NOMEM, "%s: out of memory", name);
        return NULL;
    }
    doc->name = copy;
    if (parse_bytes(doc, bytes, len, err) < 0) {
        yaml_doc_free(doc);
        return NULL;
    }
    return doc;
}

/* ------------------------------------------------------------------------------ loading -- */

/* Reads to the end rather than trusting the size: the file may be written at this moment. */
static char *read_all(FILE *file, const char *path, size_t *len, struct err *err)
{
    size_t capacity = BLOCK_BYTES;
    char *bytes = malloc(capacity);
    *len = 0;
    while (bytes != NULL) {
        *len += fread(bytes + *len, 1, capacity - *len, file);
        if (ferror(file)) {
            err_set_sys(err, errno, "cannot read \"%s\"", path);
            free(bytes);
            return NULL;
        }
        if (*len < capacity)
            return bytes;
        if (capacity >= YAML_BYTES_MAX) {
            err_set(err, ERR_LIMIT, "\"%s\" is larger than %d bytes", path, YAML_BYTES_MAX);
            free(bytes);
            return NULL;
        }
        capacity *= 2;
        char *larger = realloc(bytes, capacity);
        if (larger == NULL)
            free(bytes);
        bytes = larger;
    }
    err_set(err, ERR_NOMEM, "out of memory for \"%s\"", path);
    return NULL;
}

struct yaml_doc *yaml_doc_load(const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        err_set_sys(err, errno, "cannot open \"%s\"", path);
        return NULL;
    }
    size_t len;
    char *bytes = read_all(file, path, &len, err);
    fclose(file);
    if (bytes == NULL)
        return NULL;
    struct yaml_doc *doc = yaml_doc_parse(path, bytes, len, err);
    free(bytes);
    return doc;
}
