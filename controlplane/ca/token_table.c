#include "token_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/mem.h>
#include <openssl/sha.h>

#include "ca_file.h"
#include "yaml_reader.h"

struct entry {
    uint8_t digest[TOKEN_TABLE_DIGEST];
    struct spiffe_id id;
    char *file; /* NULL: the token stood in the table itself */
};

struct token_table {
    struct entry *entries;
    size_t num_entries;
};

_Static_assert(SHA256_DIGEST_LENGTH == TOKEN_TABLE_DIGEST, "the header does not know SHA-256");

struct loading {
    struct yaml_reader reader;
    const char *path;
    const char *trust_domain;
    struct token_table *table;
};

/* ---------------------------------------------------------------------------------- reading -- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What can stand in an HTTP header after "Bearer ": visible ASCII (RFC 6750, 2.1, is narrower). */
static bool is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return len > 0 && len <= TOKEN_TABLE_TOKEN_MAX;
}

static void take_token(struct loading *loading, const struct yaml_node *node, const char *token,
                       struct entry *entry)
{
    while (is_space(*token))
        token++;
    size_t len = strlen(token);
    while (len > 0 && is_space(token[len - 1]))
        len--;
    if (!is_token(token, len))
        yaml_reader_fail(&loading->reader, node,
                         "the token must be 1 to %d visible ASCII characters",
                         TOKEN_TABLE_TOKEN_MAX);
    else
        token_table_digest(token, len, entry->digest);
}

/* A path beside the table's own file. */
static char *resolve(const char *table_path, const char *path)
{
    const char *slash = strrchr(table_path, '/');
    if (path[0] == '/' || slash == NULL)
        return strdup(path);
    char *joined = NULL;
    if (asprintf(&joined, "%.*s/%s", (int)(slash - table_path), table_path, path) < 0)
        return NULL;
    return joined;
}

static void take_token_file(struct loading *loading, const struct yaml_node *node,
                            struct entry *entry)
{
    struct err why = {0};
    entry->file = resolve(loading->path, yaml_reader_text(&loading->reader, node));
    if (entry->file == NULL) {
        yaml_reader_fail(&loading->reader, node, "out of memory");
        return;
    }
    char *text = ca_file_read(AT_FDCWD, entry->file, false, &why);
    if (text == NULL)
        yaml_reader_fail(&loading->reader, node, "%s", why.message);
    else
        take_token(loading, node, text, entry);
    ca_file_free(text);
}

static void take_identity(struct loading *loading, const struct yaml_node *node,
                          struct entry *entry)
{
    struct yaml_reader *reader = &loading->reader;
    struct err why = {0};
    const struct yaml_node *trust_domain = yaml_reader_find(node, "trustDomain");
    const char *ns = yaml_reader_text(reader, yaml_reader_required(reader, node, "namespace"));
    const char *sa = yaml_reader_text(reader, yaml_reader_required(reader, node, "serviceAccount"));
    const char *domain =
        trust_domain == NULL ? loading->trust_domain : yaml_reader_text(reader, trust_domain);
    if (!yaml_reader_failed(reader) && spiffe_id_format(&entry->id, domain, ns, sa, &why) < 0)
        yaml_reader_fail(reader, node, "%s", why.message);
}

static void read_entry(struct loading *loading, const struct yaml_node *node, struct entry *entry)
{
    static const char *const keys[] = {"token",     "tokenFile",      "trustDomain",
                                       "namespace", "serviceAccount", NULL};
    struct yaml_reader *reader = &loading->reader;
    if (!yaml_reader_map(reader, node, keys))
        return;
    const struct yaml_node *token = yaml_reader_find(node, "token");
    const struct yaml_node *file = yaml_reader_find(node, "tokenFile");
    if ((token == NULL) == (file == NULL))
        yaml_reader_fail(reader, node, "give either token or tokenFile");
    else if (token != NULL)
        take_token(loading, token, yaml_reader_text(reader, token), entry);
    else
        take_token_file(loading, file, entry);
    take_identity(loading, node, entry);
}

static int compare_digests(const void *a, const void *b)
{
    const struct entry *const *first = a;
    const struct entry *const *second = b;
    return memcmp((*first)->digest, (*second)->digest, SHA256_DIGEST_LENGTH);
}

/* One token for two identities would be a matter of chance. */
static void refuse_duplicates(struct loading *loading, const struct yaml_node *list)
{
    const struct token_table *table = loading->table;
    const struct entry **sorted =
        yaml_reader_alloc(&loading->reader, table->num_entries, sizeof(const struct entry *));
    if (yaml_reader_failed(&loading->reader) || sorted == NULL)
        return;
    for (size_t i = 0; i < table->num_entries; i++)
        sorted[i] = &table->entries[i];
    qsort(sorted, table->num_entries, sizeof(const struct entry *), compare_digests);
    for (size_t i = 1; i < table->num_entries; i++) {
        if (compare_digests(&sorted[i - 1], &sorted[i]) == 0)
            yaml_reader_fail(&loading->reader, list, "%s and %s have the same token",
                             sorted[i - 1]->id.uri, sorted[i]->id.uri);
    }
}

static void read_list(struct loading *loading, const struct yaml_node *list)
{
    struct token_table *table = loading->table;
    if (!yaml_reader_list(&loading->reader, list))
        return;
    if (list->num > TOKEN_TABLE_MAX) {
        yaml_reader_fail(&loading->reader, list, "more than %d tokens", TOKEN_TABLE_MAX);
        return;
    }
    table->entries = calloc(list->num == 0 ? 1 : list->num, sizeof(*table->entries));
    if (table->entries == NULL) {
        yaml_reader_fail(&loading->reader, list, "out of memory");
        return;
    }
    for (const struct yaml_node *node = list->first;
         node != NULL && !yaml_reader_failed(&loading->reader); node = node->next)
        read_entry(loading, node, &table->entries[table->num_entries++]);
    if (!yaml_reader_failed(&loading->reader))
        refuse_duplicates(loading, list);
}

static int read_doc(struct token_table *table, struct yaml_doc *doc, const char *path,
                    const char *trust_domain, struct err *err)
{
    static const char *const keys[] = {"tokens", NULL};
    struct loading loading = {.path = path, .trust_domain = trust_domain, .table = table};
    const struct yaml_node *root = yaml_doc_root(doc);
    if (root == NULL)
        return err_set(err, ERR_INVALID, "%s: empty", path);
    yaml_reader_init(&loading.reader, doc, err);
    if (yaml_reader_map(&loading.reader, root, keys))
        read_list(&loading, yaml_reader_required(&loading.reader, root, "tokens"));
    return yaml_reader_failed(&loading.reader) ? -1 : 0;
}

struct token_table *token_table_load(const char *path, const char *trust_domain, struct err *err)
{
    struct yaml_doc *doc = yaml_doc_load(path, err);
    if (doc == NULL)
        return NULL;
    struct token_table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
    } else if (read_doc(table, doc, path, trust_domain, err) < 0) {
        token_table_free(table);
        table = NULL;
    }
    yaml_doc_free(doc);
    return table;
}

void token_table_free(struct token_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->num_entries; i++) {
        spiffe_id_done(&table->entries[i].id);
        free(table->entries[i].file);
    }
    free(table->entries);
    free(table);
}

/* ---------------------------------------------------------------------------------- looking -- */

void token_table_digest(const char *token, size_t token_len, uint8_t out[TOKEN_TABLE_DIGEST])
{
    SHA256((const uint8_t *)token, token_len, out);
}

const struct spiffe_id *token_table_find_digest(const struct token_table *table,
                                                const uint8_t digest[TOKEN_TABLE_DIGEST])
{
    const struct spiffe_id *found = NULL;
    for (size_t i = 0; i < table->num_entries; i++) {
        if (CRYPTO_memcmp(digest, table->entries[i].digest, TOKEN_TABLE_DIGEST) == 0)
            found = &table->entries[i].id;
    }
    return found;
}

const struct spiffe_id *token_table_find(const struct token_table *table, const char *token,
                                         size_t token_len)
{
    uint8_t digest[TOKEN_TABLE_DIGEST];
    token_table_digest(token, token_len, digest);
    return token_table_find_digest(table, digest);
}

size_t token_table_num_tokens(const struct token_table *table)
{
    return table->num_entries;
}

const char *token_table_file(const struct token_table *table, size_t index)
{
    for (size_t i = 0; i < table->num_entries; i++) {
        if (table->entries[i].file != NULL && index-- == 0)
            return table->entries[i].file;
    }
    return NULL;
}
