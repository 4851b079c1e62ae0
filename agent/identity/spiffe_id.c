#include "spiffe_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SCHEME[] = "spiffe://";

enum { SCHEME_LEN = sizeof(SCHEME) - 1 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_trust_domain_char(char c)
{
    return is_lower(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
}

static bool is_path_char(char c)
{
    return is_trust_domain_char(c) || (c >= 'A' && c <= 'Z');
}

/*
 * Names a character that may not stand where it stands. It comes from a peer: never printed raw
 * unless it is harmless.
 */
static int refuse_char(struct err *err, const char *where, char c, size_t at)
{
    const char *why = "";
    if (c == '%')
        why = " (there is no percent-encoding in a SPIFFE ID)";
    else if (c == '?' || c == '#')
        why = " (a SPIFFE ID has no query and no fragment)";
    else if (c == '@' || c == ':')
        why = " (a SPIFFE ID has no user and no port)";
    if (c > ' ' && c < 0x7f)
        return err_set(err, ERR_INVALID, "'%c' at byte %zu of the %s%s", c, at, where, why);
    return err_set(err, ERR_INVALID, "byte 0x%02x at byte %zu of the %s", (unsigned char)c, at,
                   where);
}

int spiffe_id_check_trust_domain(const char *text, size_t len, struct err *err)
{
    if (len == 0)
        return err_set(err, ERR_INVALID, "the trust domain is empty");
    if (len > SPIFFE_TRUST_DOMAIN_MAX)
        return err_set(err, ERR_INVALID, "the trust domain has %zu bytes, at most %d are allowed",
                       len, SPIFFE_TRUST_DOMAIN_MAX);
    for (size_t i = 0; i < len; i++)
        if (!is_trust_domain_char(text[i]))
            return refuse_char(err, "trust domain", text[i], i);
    return 0;
}

static int check_segment(const char *segment, size_t len, struct err *err)
{
    if (len == 0)
        return err_set(err, ERR_INVALID, "the path has an empty segment or a slash at its end");
    if ((len == 1 && segment[0] == '.') || (len == 2 && memcmp(segment, "..", 2) == 0))
        return err_set(err, ERR_INVALID, "the path has a segment '%.*s'", (int)len, segment);
    return 0;
}

/* `path` starts with a slash. */
static int check_path(const char *path, size_t len, struct err *err)
{
    for (size_t start = 1, i = 1; i <= len; i++) {
        if (i < len && path[i] != '/') {
            if (!is_path_char(path[i]))
                return refuse_char(err, "path", path[i], i);
            continue;
        }
        if (check_segment(path + start, i - start, err) < 0)
            return -1;
        start = i + 1;
    }
    return 0;
}

static int check(const char *text, size_t len, size_t *trust_domain_len, struct err *err)
{
    if (len < SCHEME_LEN || memcmp(text, SCHEME, SCHEME_LEN) != 0)
        return err_set(err, ERR_INVALID, "it does not start with spiffe://");
    if (len > SPIFFE_ID_MAX)
        return err_set(err, ERR_INVALID, "%zu bytes, at most %d are allowed", len, SPIFFE_ID_MAX);

    const char *rest = text + SCHEME_LEN;
    size_t rest_len = len - SCHEME_LEN;
    const char *slash = memchr(rest, '/', rest_len);
    *trust_domain_len = slash == NULL ? rest_len : (size_t)(slash - rest);
    if (spiffe_id_check_trust_domain(rest, *trust_domain_len, err) < 0)
        return -1;
    return slash == NULL ? 0 : check_path(slash, rest_len - *trust_domain_len, err);
}

/* Finds /ns/<ns>/sa/<sa> in a path whose segments are known not to be empty. */
static bool is_istio_path(const char *path, size_t *ns_at, size_t *ns_len, size_t *sa_at)
{
    if (strncmp(path, "/ns/", 4) != 0)
        return false;
    const char *ns = path + 4;
    const char *ns_end = strchr(ns, '/');
    if (ns_end == NULL || strncmp(ns_end, "/sa/", 4) != 0)
        return false;
    const char *sa = ns_end + 4;
    if (strchr(sa, '/') != NULL)
        return false;
    *ns_at = (size_t)(ns - path);
    *ns_len = (size_t)(ns_end - ns);
    *sa_at = (size_t)(sa - path);
    return true;
}

/*
 * One block: the URI, then the trust domain, then the namespace, each with its NUL. The rest points
 * into the URI.
 */
static int fill(struct spiffe_id *id, const char *text, size_t len, size_t trust_domain_len,
                struct err *err)
{
    char *block = malloc(2 * (len + 1) + 1);
    if (block == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(block, text, len);
    block[len] = '\0';
    char *trust_domain = block + len + 1;
    memcpy(trust_domain, text + SCHEME_LEN, trust_domain_len);
    trust_domain[trust_domain_len] = '\0';

    id->uri = block;
    id->principal = block + SCHEME_LEN;
    id->trust_domain = trust_domain;
    id->path = id->principal + trust_domain_len;
    size_t ns_at, ns_len, sa_at;
    if (!is_istio_path(id->path, &ns_at, &ns_len, &sa_at))
        return 0;
    char *ns = trust_domain + trust_domain_len + 1;
    memcpy(ns, id->path + ns_at, ns_len);
    ns[ns_len] = '\0';
    id->ns = ns;
    id->sa = id->path + sa_at;
    return 0;
}

int spiffe_id_parse(struct spiffe_id *id, const char *text, size_t len, struct err *err)
{
    *id = (struct spiffe_id){0};
    size_t trust_domain_len = 0;
    if (check(text, len, &trust_domain_len, err) < 0)
        return -1;
    return fill(id, text, len, trust_domain_len, err);
}

int spiffe_id_format(struct spiffe_id *id, const char *trust_domain, const char *ns, const char *sa,
                     struct err *err)
{
    *id = (struct spiffe_id){0};
    /* A slash inside a part would make another ID of the same bytes. */
    if (strchr(ns, '/') != NULL)
        return err_set(err, ERR_INVALID, "namespace: it has a slash");
    if (strchr(sa, '/') != NULL)
        return err_set(err, ERR_INVALID, "service account: it has a slash");
    if (spiffe_id_check_trust_domain(trust_domain, strlen(trust_domain), err) < 0)
        return -1;

    char text[SPIFFE_ID_MAX + 2];
    int len = snprintf(text, sizeof(text), "%s%s/ns/%s/sa/%s", SCHEME, trust_domain, ns, sa);
    if (len < 0 || (size_t)len >= sizeof(text))
        return err_set(err, ERR_INVALID, "more than the %d bytes that are allowed", SPIFFE_ID_MAX);
    return spiffe_id_parse(id, text, (size_t)len, err);
}

int spiffe_id_copy(struct spiffe_id *to, const struct spiffe_id *from, struct err *err)
{
    *to = (struct spiffe_id){0};
    if (from->uri == NULL)
        return 0;
    return fill(to, from->uri, strlen(from->uri), strlen(from->trust_domain), err);
}

bool spiffe_id_equal(const struct spiffe_id *a, const struct spiffe_id *b)
{
    if (a->uri == NULL || b->uri == NULL)
        return a->uri == b->uri;
    return strcmp(a->uri, b->uri) == 0;
}

void spiffe_id_done(struct spiffe_id *id)
{
    if (id == NULL)
        return;
    free(id->uri);
    *id = (struct spiffe_id){0};
}
