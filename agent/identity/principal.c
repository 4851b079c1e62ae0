#include "principal.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum {
    LABEL_MAX = 63,      /* RFC 1035, 2.3.4 */
    LOCAL_PART_MAX = 64, /* RFC 5321, 4.5.3.1.1 */
};

static const char *const NAMES[NUM_PRINCIPAL_KINDS] = {
    [PRINCIPAL_NONE] = "none",   [PRINCIPAL_URI] = "uri", [PRINCIPAL_DNS] = "dns",
    [PRINCIPAL_EMAIL] = "email", [PRINCIPAL_CN] = "cn",   [PRINCIPAL_IP] = "ip",
};

const char *principal_kind_name(enum principal_kind kind)
{
    return NAMES[kind];
}

bool principal_kind_parse(const char *name, enum principal_kind *kind)
{
    for (enum principal_kind i = PRINCIPAL_URI; i <= PRINCIPAL_CN; i++) {
        if (strcmp(NAMES[i], name) == 0) {
            *kind = i;
            return true;
        }
    }
    return false;
}

static bool is_alphanumeric(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9');
}

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

/* ------------------------------------------------------------------------------- host's names -- */

/* A label may not begin or end with a hyphen (RFC 5890, 2.3.1); so none is one. */
static bool is_label(const char *label, size_t len)
{
    if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alphanumeric(label[i]) && label[i] != '-')
            return false;
    return true;
}

/* DNS names are equal whatever their case (RFC 5280, 7.2), so there is one spelling of each. */
static int write_dns(const char *name, size_t len, char *out, struct err *err)
{
    if (len > PRINCIPAL_DNS_MAX)
        return err_set(err, ERR_INVALID, "a DNS name of %zu bytes; %d are the most", len,
                       PRINCIPAL_DNS_MAX);
    size_t begin = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && name[i] != '.') {
            out[i] = lower(name[i]);
            continue;
        }
        if (!is_label(name + begin, i - begin))
            return err_set(err, ERR_INVALID, "no DNS name, from byte %zu on", begin + 1);
        out[i] = '.';
        begin = i + 1;
    }
    out[len] = '\0';
    return 0;
}

/* ------------------------------------------------------------------------------------- e-mail -- */

/*
 * RFC 5322's atext and the dot, without what has a meaning in policies ('*', '/') and without
 * quoting.
 */
static bool is_local_part(const char *local, size_t len)
{
    if (len == 0 || len > LOCAL_PART_MAX || local[0] == '.' || local[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        bool is_dot = local[i] == '.';
        if (is_dot && local[i - 1] == '.')
            return false;
        if (!is_dot && !is_alphanumeric(local[i]) &&
            (local[i] == '\0' || strchr("!#$%&'+-=?^_`{|}~", local[i]) == NULL))
            return false;
    }
    return true;
}

/* The host's case does not matter, the local part's does (RFC 5280, 7.5). */
static int write_email(const char *name, size_t len, char *out, struct err *err)
{
    const char *at = len == 0 ? NULL : memchr(name, '@', len);
    if (len > PRINCIPAL_EMAIL_MAX)
        return err_set(err, ERR_INVALID, "an e-mail address of %zu bytes; %d are the most", len,
                       PRINCIPAL_EMAIL_MAX);
    if (at == NULL || !is_local_part(name, (size_t)(at - name)))
        return err_set(err, ERR_INVALID, "no e-mail address");
    size_t local_len = (size_t)(at - name) + 1;
    memcpy(out, name, local_len);
    return write_dns(at + 1, len - local_len, out + local_len, err);
}

/* -------------------------------------------------------------------------------- common names -- */

/*
 * The next character; 0, which is none that is allowed, for what is not UTF-8 in its one spelling
 * (RFC 3629). Moves *at.
 */
static uint32_t next_character(const uint8_t *text, size_t len, size_t *at)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t min;
    } FORMS[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    uint8_t lead = text[*at];
    size_t extra = 0;
    while (extra < 4 && (lead & FORMS[extra].mask) != FORMS[extra].lead)
        extra++;
    if (extra == 4 || len - *at <= extra)
        return 0;
    uint32_t character = lead & (uint8_t)~FORMS[extra].mask;
    for (size_t i = 1; i <= extra; i++) {
        if ((text[*at + i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (text[*at + i] & 0x3f);
    }
    *at += extra + 1;
    bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
    return character < FORMS[extra].min || character > 0x10ffff || is_surrogate ? 0 : character;
}

/*
 * What is not seen, looks like a space, or changes how its neighbours are seen, and what could be taken for the end of a
 * SPIFFE ID by a policy's pattern ("*" + "/sa/admin").
 */
static bool is_forbidden(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } RANGES[] = {
        {0, 0x1f},        {'/', '/'},          {0x7f, 0xa0},     {0xad, 0xad},     {0x34f, 0x34f},
        {0x61c, 0x61c},   {0x115f, 0x1160},    {0x1680, 0x1680}, {0x17b4, 0x17b5}, {0x180b, 0x180f},
        {0x2000, 0x200f}, {0x2028, 0x202f},    {0x205f, 0x206f}, {0x2800, 0x2800}, {0x3000, 0x3000},
        {0x3164, 0x3164}, {0xd800, 0xf8ff},    {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0},
        {0xfff0, 0xffff}, {0xe0000, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof(RANGES) / sizeof(RANGES[0]); i++)
        if (character >= RANGES[i].first && character <= RANGES[i].last)
            return true;
    return false;
}

static int write_cn(const char *name, size_t len, char *out, struct err *err)
{
    size_t num = 0;
    for (size_t at = 0; at < len; num++) {
        size_t begin = at;
        uint32_t character = next_character((const uint8_t *)name, len, &at);
        if (is_forbidden(character))
            return err_set(err, ERR_INVALID,
                           "a common name with what is not UTF-8, not visible, or '/', at byte %zu",
                           begin + 1);
        if (num == PRINCIPAL_CN_MAX)
            return err_set(err, ERR_INVALID, "a common name of more than %d characters",
                           PRINCIPAL_CN_MAX);
    }
    if (name[0] == ' ' || name[len - 1] == ' ')
        return err_set(err, ERR_INVALID, "a common name that begins or ends with a space");
    memcpy(out, name, len);
    out[len] = '\0';
    return 0;
}

int principal_format(enum principal_kind kind, const char *name, size_t len, char *out,
                     struct err *err)
{
    assert(kind == PRINCIPAL_DNS || kind == PRINCIPAL_EMAIL || kind == PRINCIPAL_CN);
    if (len == 0)
        return err_set(err, ERR_INVALID, "empty");
    size_t prefix_len = strlen(NAMES[kind]);
    memcpy(out, NAMES[kind], prefix_len);
    out[prefix_len] = ':';
    out += prefix_len + 1;
    if (kind == PRINCIPAL_DNS)
        return write_dns(name, len, out, err);
    return kind == PRINCIPAL_EMAIL ? write_email(name, len, out, err)
                                   : write_cn(name, len, out, err);
}
