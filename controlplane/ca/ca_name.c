#include "ca_name.h"

#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "spiffe_id.h"
#include "utf8.h"

enum {
    DNS_MAX = 253, /* bytes (RFC 1035, 2.3.4, as text) */
    LABEL_MAX = 63,
    EMAIL_MAX = 254, /* bytes (RFC 5321, 4.5.3.1.3, without the brackets) */
    MAILBOX_MAX = 64,
    CN_MAX = 64, /* characters (RFC 5280, ub-common-name) */
    SHOWN_MAX = 80,
    ENTRY_MAX = SPIFFE_ID_MAX,
};

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGIT "0123456789"

const char *ca_name_kind_text(enum ca_name_kind kind)
{
    static const char *const TEXTS[] = {"DNS name", "address", "URI", "e-mail address",
                                        "common name"};
    return TEXTS[kind];
}

/* --------------------------------------------------------------------------- what is a name -- */

static void to_lower(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static bool is_label(const char *text, size_t len)
{
    return len > 0 && len <= LABEL_MAX && strspn(text, UPPER LOWER DIGIT "-_") >= len &&
           text[0] != '-' && text[len - 1] != '-';
}

static bool is_dns(const char *text)
{
    struct ip ip;
    size_t len = strlen(text);
    if (len > DNS_MAX || ip_parse(&ip, text, NULL) == 0)
        return false;
    for (const char *label = text;; label++) {
        size_t label_len = strcspn(label, ".");
        if (!is_label(label, label_len))
            return false;
        label += label_len;
        if (*label == '\0')
            return true;
    }
}

/* Of RFC 5321 what is in use: no quoted mailboxes. */
static bool is_mailbox(const char *text, size_t len)
{
    return len > 0 && len <= MAILBOX_MAX && text[0] != '.' && text[len - 1] != '.' &&
           strspn(text, UPPER LOWER DIGIT "!#$%&'+-/=?^_`{|}~.") >= len;
}

static bool is_email(const char *text)
{
    const char *at = strchr(text, '@');
    return at != NULL && strlen(text) <= EMAIL_MAX && is_mailbox(text, (size_t)(at - text)) &&
           is_dns(at + 1);
}

/* The path of a SPIFFE ID is what makes it a workload's; see X.509-SVID, 2. */
static bool is_uri(const char *text)
{
    struct spiffe_id id;
    size_t len = strlen(text);
    size_t scheme_len = strspn(text, UPPER LOWER DIGIT "+-.");
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == ',')
            return false;
    if (len > SPIFFE_ID_MAX || scheme_len == 0 || text[scheme_len] != ':')
        return false;
    if (strncasecmp(text, "spiffe:", strlen("spiffe:")) != 0)
        return true;
    if (spiffe_id_parse(&id, text, len, NULL) < 0)
        return false;
    bool has_path = id.path[0] != '\0';
    spiffe_id_done(&id);
    return has_path;
}

/* Characters of UTF-8 that is well formed and has no control characters, C1 included; else 0. */
static size_t count_characters(const char *at)
{
    size_t num = 0;
    for (uint32_t character; *at != '\0'; num++) {
        size_t len = utf8_read(at, &character);
        if (len == 0 || character < 0x20 || (character >= 0x7f && character < 0xa0))
            return 0;
        at += len;
    }
    return num;
}

static bool is_cn(const char *text)
{
    size_t num = count_characters(text);
    return num > 0 && num <= CN_MAX && text[0] != ' ' && text[strlen(text) - 1] != ' ';
}

static bool is_ip(const char *text)
{
    struct ip ip;
    return ip_parse(&ip, text, NULL) == 0;
}

static bool is_name(enum ca_name_kind kind, const char *text)
{
    static bool (*const CHECKS[])(const char *) = {is_dns, is_ip, is_uri, is_email, is_cn};
    return CHECKS[kind](text);
}

/* One spelling for what is equal. */
static void normalize(enum ca_name_kind kind, char *text)
{
    char *at = strrchr(text, '@');
    if (kind == CA_NAME_DNS)
        to_lower(text);
    else if (kind == CA_NAME_EMAIL && at != NULL)
        to_lower(at);
}

/* -------------------------------------------------------------------------- names of requests -- */

/* Only what cannot do anything to a terminal. */
static const char *show(const uint8_t *bytes, size_t len, char out[SHOWN_MAX + 1])
{
    size_t shown = len < SHOWN_MAX ? len : SHOWN_MAX;
    for (size_t i = 0; i < shown; i++)
        out[i] = bytes[i] >= ' ' && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    out[shown] = '\0';
    return out;
}

static int new_ip(struct ca_name *name, const uint8_t *bytes, size_t len, struct err *err)
{
    struct ip ip;
    char text[ADDR_TEXT_MAX];
    if (ip_from_bytes(&ip, bytes, len, NULL) < 0)
        return err_set(err, ERR_INVALID, "an address of %zu bytes", len);
    name->text = strdup(ip_format(&ip, text));
    return name->text == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

int ca_name_new(struct ca_name *name, enum ca_name_kind kind, const uint8_t *bytes, size_t len,
                struct err *err)
{
    char shown[SHOWN_MAX + 1];
    *name = (struct ca_name){.kind = kind};
    if (kind == CA_NAME_IP)
        return new_ip(name, bytes, len, err);
    if (len <= SPIFFE_ID_MAX && memchr(bytes, '\0', len) == NULL) {
        name->text = strndup((const char *)bytes, len);
        if (name->text == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        normalize(kind, name->text);
        if (is_name(kind, name->text))
            return 0;
        ca_name_done(name);
    }
    return err_set(err, ERR_INVALID, "\"%s\" is no %s that can be certified",
                   show(bytes, len, shown), ca_name_kind_text(kind));
}

void ca_name_done(struct ca_name *name)
{
    if (name == NULL)
        return;
    free(name->text);
    *name = (struct ca_name){0};
}

/* ------------------------------------------------------------------------------ what is allowed -- */

/* The next entry of a list, without the spaces around it. False: there is none, or it is too long. */
static bool next_entry(const char **list, char out[ENTRY_MAX + 1])
{
    *list += strspn(*list, " ,");
    size_t len = strcspn(*list, ",");
    const char *entry = *list;
    *list += len;
    while (len > 0 && entry[len - 1] == ' ')
        len--;
    if (len == 0 || len > ENTRY_MAX)
        return false;
    memcpy(out, entry, len);
    out[len] = '\0';
    return true;
}

/* Where an entry's asterisk stands, counted from 1; 0: the entry is no pattern. */
static size_t asterisk_at(enum ca_name_kind kind, const char *entry)
{
    size_t len = strlen(entry);
    if (kind == CA_NAME_DNS && strncmp(entry, "*.", 2) == 0)
        return 1;
    if (kind == CA_NAME_EMAIL && strncmp(entry, "*@", 2) == 0)
        return 1;
    if (kind == CA_NAME_URI && strncmp(entry, "spiffe://", 9) == 0 && len > 2 &&
        strcmp(entry + len - 2, "/*") == 0)
        return len;
    return 0;
}

/* A pattern is right when it is a name with a part in the asterisk's place. */
static bool is_entry(enum ca_name_kind kind, char *entry)
{
    size_t at = asterisk_at(kind, entry);
    if (at > 0)
        entry[at - 1] = 'x';
    return is_name(kind, entry);
}

int ca_name_check_list(enum ca_name_kind kind, const char *list, struct err *err)
{
    char entry[ENTRY_MAX + 1];
    for (const char *at = list; *(at += strspn(at, " ,")) != '\0';) {
        const char *begin = at;
        if (!next_entry(&at, entry))
            return err_set(err, ERR_INVALID, "an entry is longer than %d bytes", ENTRY_MAX);
        if (!is_entry(kind, entry))
            return err_set(err, ERR_INVALID, "\"%.*s\" is no %s", (int)(at - begin), begin,
                           ca_name_kind_text(kind));
    }
    return 0;
}

static bool matches_pattern(enum ca_name_kind kind, const char *entry, const char *text)
{
    size_t len = strlen(entry);
    if (kind == CA_NAME_URI)
        return strncmp(entry, text, len - 1) == 0 && text[len - 1] != '\0' &&
               strchr(text + len - 1, '/') == NULL;
    const char *rest = text + strcspn(text, kind == CA_NAME_DNS ? "." : "@");
    return rest != text && strcmp(rest, entry + 1) == 0;
}

static bool matches(enum ca_name_kind kind, char *entry, const char *text)
{
    struct ip allowed, wanted;
    normalize(kind, entry);
    if (kind == CA_NAME_IP)
        return ip_parse(&allowed, entry, NULL) == 0 && ip_parse(&wanted, text, NULL) == 0 &&
               ip_equal(&allowed, &wanted);
    return asterisk_at(kind, entry) > 0 ? matches_pattern(kind, entry, text)
                                        : strcmp(entry, text) == 0;
}

bool ca_name_is_allowed(const struct ca_name_rules *rules, const struct ca_name *name)
{
    char entry[ENTRY_MAX + 1];
    const char *at = rules->allowed[name->kind];
    while (at != NULL && next_entry(&at, entry))
        if (matches(name->kind, entry, name->text))
            return true;
    return false;
}

static bool is_allowed_as(const struct ca_name_rules *rules, enum ca_name_kind kind,
                          const char *text)
{
    struct ca_name name;
    if (ca_name_new(&name, kind, (const uint8_t *)text, strlen(text), NULL) < 0)
        return false;
    bool result = name.text != NULL && ca_name_is_allowed(rules, &name);
    ca_name_done(&name);
    return result;
}

bool ca_name_is_allowed_cn(const struct ca_name_rules *rules, const char *cn, bool *is_dns_name)
{
    bool as_dns = is_allowed_as(rules, CA_NAME_DNS, cn);
    if (is_dns_name != NULL)
        *is_dns_name = as_dns;
    return as_dns || is_allowed_as(rules, CA_NAME_EMAIL, cn) ||
           is_allowed_as(rules, CA_NAME_CN, cn);
}
