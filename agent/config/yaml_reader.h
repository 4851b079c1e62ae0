/*
 * Typed values out of a yaml_doc. Strict: an unknown key, a wrong type, a value out of range is an error with file, line, column,
 * the path of keys, and what was expected.
 *
 * The first error stays and ends the reading: after it every function returns a harmless value, so that code which reads a
 * structure needs no check after each field, only one at its end (yaml_reader_failed). Functions that take a node take NULL as
 * "not given" and return the value that stands for it; yaml_reader_required makes that an error.
 */
#ifndef REMORA_YAML_READER_H
#define REMORA_YAML_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "yaml_doc.h"

struct yaml_reader {
    struct yaml_doc *doc;
    struct err *err;
    bool failed;
};

/* `doc` and `err` are borrowed for as long as the reader is used. */
void yaml_reader_init(struct yaml_reader *reader, struct yaml_doc *doc, struct err *err);

bool yaml_reader_failed(const struct yaml_reader *reader);

/* Makes what is wrong with the node the error, unless there is one: "file:line:column: path.of.keys: <formatted>". */
void yaml_reader_fail(struct yaml_reader *reader, const struct yaml_node *node, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));

/* Memory as from yaml_doc_alloc; being out of memory is an error of the reader. */
void *yaml_reader_alloc(struct yaml_reader *reader, size_t num, size_t size);

/* ------------------------------------------------------------------------------- structures -- */

/* The entry of a map, or NULL. `map` may be NULL. */
const struct yaml_node *yaml_reader_find(const struct yaml_node *map, const char *key);
const struct yaml_node *yaml_reader_required(struct yaml_reader *reader,
                                             const struct yaml_node *map, const char *key);

/* True when the node is a map all of whose keys are in `keys` (ends with NULL; NULL: any key). False for NULL. */
bool yaml_reader_map(struct yaml_reader *reader, const struct yaml_node *node,
                     const char *const *keys);

/* True when the node is a list. False for NULL. Its entries are node->first, ->next ..., node->num of them. */
bool yaml_reader_list(struct yaml_reader *reader, const struct yaml_node *node);

/*
 * One of several kinds: `!Name value` or `{Name: value}`. Returns the name's index in `names` (ends with NULL) and the value's
 * node; -1 with an error for anything else.
 */
int yaml_reader_variant(struct yaml_reader *reader, const struct yaml_node *node,
                        const char *const *names, const struct yaml_node **value);

/* ----------------------------------------------------------------------------------- values -- */

/* Text, as long as the document lives; "" for NULL. A number, a boolean or nothing, without quotes, is no text. */
const char *yaml_reader_text(struct yaml_reader *reader, const struct yaml_node *node);

/* A scalar as it is written, of whatever meaning but nothing; "" for NULL. */
const char *yaml_reader_raw(struct yaml_reader *reader, const struct yaml_node *node);

/* A decimal number; `otherwise` for NULL. */
uint32_t yaml_reader_u32(struct yaml_reader *reader, const struct yaml_node *node, uint32_t min,
                         uint32_t max, uint32_t otherwise);

/* The key of a map's entry as a decimal number. */
uint32_t yaml_reader_key_u32(struct yaml_reader *reader, const struct yaml_node *entry,
                             uint32_t min, uint32_t max);

/* true or false; false for NULL. */
bool yaml_reader_bool(struct yaml_reader *reader, const struct yaml_node *node);

/* The index of the text in `names` (ends with NULL); 0 for NULL. */
int yaml_reader_enum(struct yaml_reader *reader, const struct yaml_node *node,
                     const char *const *names);

/* Zeroed (IP_NONE) for NULL. */
struct ip yaml_reader_ip(struct yaml_reader *reader, const struct yaml_node *node);
struct cidr yaml_reader_cidr(struct yaml_reader *reader, const struct yaml_node *node);

#endif
