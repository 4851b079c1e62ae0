#include "option_value.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* The largest first, so that a value is written in the largest that fits. */
static const struct unit time_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {
    {"GiB", 1073741824}, {"MiB", 1048576}, {"KiB", 1024}, {"", 1}};

enum { NUM_UNITS = 4, SHOWN_MAX = 100 /* bytes of a wrong value in a message */ };

static int fail_expected(const char *expected, const char *text, struct err *err)
{
    return err_set(err, ERR_INVALID, "expected %s, found \"%.*s\"", expected, SHOWN_MAX, text);
}

/* Decimal digits at *text, which is moved behind them. -1: none, or too large. */
static int read_number(const char **text, uint64_t *value)
{
    if (**text < '0' || **text > '9')
        return -1;
    *value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        if (*value > (UINT64_MAX - digit) / 10)
            return -1;
        *value = *value * 10 + digit;
    }
    return 0;
}

static const struct unit *read_unit(const struct unit *units, const char **text)
{
    size_t len = strcspn(*text, "0123456789");
    for (size_t i = 0; i < NUM_UNITS; i++) {
        if (strlen(units[i].name) == len && strncmp(units[i].name, *text, len) == 0) {
            *text += len;
            return &units[i];
        }
    }
    return NULL;
}

/* Numbers with units, one after another: "1h30m". A lone "0" needs no unit. */
static int read_quantity(const struct unit *units, const char *text, uint64_t *value)
{
    *value = 0;
    if (strcmp(text, "0") == 0)
        return 0;
    do {
        uint64_t number;
        uint64_t scaled;
        if (read_number(&text, &number) < 0)
            return -1;
        const struct unit *unit = read_unit(units, &text);
        if (unit == NULL || __builtin_mul_overflow(number, unit->factor, &scaled) ||
            __builtin_add_overflow(*value, scaled, value))
            return -1;
    } while (*text != '\0');
    return 0;
}

/* In the largest unit that needs no fraction. */
static int write_quantity(struct buf *out, const struct unit *units, uint64_t value)
{
    if (value == 0)
        return buf_append_str(out, "0");
    size_t i = 0;
    while (value % units[i].factor != 0)
        i++;
    return buf_printf(out, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
}

static int write_value(struct buf *out, const struct option_spec *spec, uint64_t value)
{
    if (spec->type == OPTION_DURATION)
        return write_quantity(out, time_units, value);
    if (spec->type == OPTION_SIZE)
        return write_quantity(out, size_units, value);
    return buf_printf(out, "%" PRIu64, value);
}

int option_value_describe_range(const struct option_spec *spec, struct buf *out)
{
    bool zero = spec->min == 0 && spec->type == OPTION_DURATION;
    if (spec->max == 0)
        return 0;
    if (write_value(out, spec, spec->min) < 0)
        return -1;
    if (buf_append_str(out, zero ? " (off) to " : " to ") < 0)
        return -1;
    return write_value(out, spec, spec->max);
}

static int check_range(const struct option_spec *spec, uint64_t value, const char *text,
                       struct err *err)
{
    if (value >= spec->min && value <= spec->max)
        return 0;
    struct buf range = {0};
    if (option_value_describe_range(spec, &range) < 0) {
        buf_done(&range);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    err_set(err, ERR_INVALID, "expected %.*s, found \"%.*s\"", (int)buf_len(&range),
            (const char *)buf_head(&range), SHOWN_MAX, text);
    buf_done(&range);
    return -1;
}

/* ------------------------------------------------------------------------ one for a type -- */

static void *field(const struct option_spec *spec, void *out)
{
    return (unsigned char *)out + spec->offset;
}

static int store_text(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    for (const unsigned char *byte = (const unsigned char *)text; *byte != '\0'; byte++)
        if (*byte < 0x20 || *byte == 0x7f)
            return fail_expected("text without control characters", text, err);
    memcpy(field(spec, out), &text, sizeof(text));
    return 0;
}

static int store_u32(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    const char *end = text;
    uint64_t value;
    if (read_number(&end, &value) < 0 || *end != '\0')
        return fail_expected("a number", text, err);
    if (check_range(spec, value, text, err) < 0)
        return -1;
    uint32_t narrow = (uint32_t)value;
    memcpy(field(spec, out), &narrow, sizeof(narrow));
    return 0;
}

static int store_port(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    const char *end = text;
    uint64_t value;
    if (read_number(&end, &value) < 0 || *end != '\0' || value < 1 || value > UINT16_MAX)
        return fail_expected("a port from 1 to 65535", text, err);
    uint16_t port = (uint16_t)value;
    memcpy(field(spec, out), &port, sizeof(port));
    return 0;
}

static int store_duration(const struct option_spec *spec, const char *text, void *out,
                          struct err *err)
{
    uint64_t value;
    if (read_quantity(time_units, text, &value) < 0)
        return fail_expected("a duration with its unit (ms, s, m or h), as in \"10s\"", text, err);
    if (check_range(spec, value, text, err) < 0)
        return -1;
    memcpy(field(spec, out), &value, sizeof(value));
    return 0;
}

static int store_size(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    uint64_t value;
    if (read_quantity(size_units, text, &value) < 0)
        return fail_expected("a size in bytes, KiB, MiB or GiB, as in \"64KiB\"", text, err);
    if (check_range(spec, value, text, err) < 0)
        return -1;
    memcpy(field(spec, out), &value, sizeof(value));
    return 0;
}

static int store_bool(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0)
        return fail_expected("true or false", text, err);
    memcpy(field(spec, out), &value, sizeof(value));
    return 0;
}

static int append_choices(const struct option_spec *spec, const char *between, const char *last,
                          struct buf *out)
{
    for (size_t i = 0; spec->choices[i] != NULL; i++) {
        const char *glue = i == 0 ? "" : spec->choices[i + 1] == NULL ? last : between;
        if (buf_append_str(out, glue) < 0 || buf_append_str(out, spec->choices[i]) < 0)
            return -1;
    }
    return 0;
}

static int store_enum(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    for (unsigned i = 0; spec->choices[i] != NULL; i++) {
        if (strcmp(spec->choices[i], text) == 0) {
            memcpy(field(spec, out), &i, sizeof(i));
            return 0;
        }
    }
    struct buf choices = {0};
    if (append_choices(spec, ", ", " or ", &choices) < 0) {
        buf_done(&choices);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    err_set(err, ERR_INVALID, "expected %.*s, found \"%.*s\"", (int)buf_len(&choices),
            (const char *)buf_head(&choices), SHOWN_MAX, text);
    buf_done(&choices);
    return -1;
}

static int store_addr(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    struct addr addr;
    if (addr_parse(&addr, text, NULL) < 0)
        return fail_expected("an address with a port, as in \"127.0.0.1:15012\"", text, err);
    memcpy(field(spec, out), &addr, sizeof(addr));
    return 0;
}

int option_value_store(const struct option_spec *spec, const char *text, void *out, struct err *err)
{
    switch (spec->type) {
    case OPTION_TEXT:
    case OPTION_PATH:
        return store_text(spec, text, out, err);
    case OPTION_U32:
        return store_u32(spec, text, out, err);
    case OPTION_PORT:
        return store_port(spec, text, out, err);
    case OPTION_DURATION:
        return store_duration(spec, text, out, err);
    case OPTION_SIZE:
        return store_size(spec, text, out, err);
    case OPTION_BOOL:
        return store_bool(spec, text, out, err);
    case OPTION_ENUM:
        return store_enum(spec, text, out, err);
    case OPTION_ADDR:
        return store_addr(spec, text, out, err);
    }
    assert(!"an option's type");
    return -1;
}

int option_value_describe(const struct option_spec *spec, struct buf *out)
{
    switch (spec->type) {
    case OPTION_TEXT:
        return buf_append_str(out, "TEXT");
    case OPTION_PATH:
        return buf_append_str(out, "FILE");
    case OPTION_U32:
        return buf_append_str(out, "NUMBER");
    case OPTION_PORT:
        return buf_append_str(out, "PORT");
    case OPTION_DURATION:
        return buf_append_str(out, "DURATION");
    case OPTION_SIZE:
        return buf_append_str(out, "SIZE");
    case OPTION_BOOL:
        return buf_append_str(out, "true|false");
    case OPTION_ENUM:
        return append_choices(spec, "|", "|", out);
    case OPTION_ADDR:
        return buf_append_str(out, "ADDRESS:PORT");
    }
    assert(!"an option's type");
    return -1;
}
