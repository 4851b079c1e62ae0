#include "yaml_scalar.h"

#include <string.h>

static const char digits[] = "0123456789";

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* The rest of a number after its mantissa: nothing, or an exponent. */
static bool ends_number(const char *text)
{
    if (*text == '\0')
        return true;
    if (*text != 'e' && *text != 'E')
        return false;
    text++;
    if (*text == '+' || *text == '-')
        text++;
    size_t len = strspn(text, digits);
    return len > 0 && text[len] == '\0';
}

static bool is_number(const char *text)
{
    static const char *const special[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
    if (strncmp(text, "0x", 2) == 0)
        return text[2] != '\0' && text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0';
    if (strncmp(text, "0o", 2) == 0)
        return text[2] != '\0' && text[2 + strspn(text + 2, "01234567")] == '\0';
    if (*text == '+' || *text == '-')
        text++;
    if (is_one_of(text, special))
        return true;
    size_t whole = strspn(text, digits);
    text += whole;
    size_t fraction = 0;
    if (*text == '.') {
        fraction = strspn(text + 1, digits);
        text += 1 + fraction;
    }
    return whole + fraction > 0 && ends_number(text);
}

enum yaml_meaning yaml_scalar_meaning(const char *text)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    if (is_one_of(text, nothing))
        return YAML_NOTHING;
    if (is_one_of(text, booleans))
        return YAML_BOOL;
    return is_number(text) ? YAML_NUMBER : YAML_TEXT;
}
