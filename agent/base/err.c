#include "err.h"

#include <stdio.h>
#include <string.h>

/* Marks a message that did not fit, so that nobody takes the half for the whole. */
static void mark_cut(char *message)
{
    memcpy(message + ERR_MESSAGE_MAX - sizeof("..."), "...", sizeof("..."));
}

__attribute__((format(printf, 2, 0))) static void set_message(struct err *err, const char *format,
                                                              va_list args)
{
    int len = vsnprintf(err->message, sizeof(err->message), format, args);
    if (len < 0)
        err->message[0] = '\0';
    else if ((size_t)len >= sizeof(err->message))
        mark_cut(err->message);
}

int err_set(struct err *err, enum err_kind kind, const char *format, ...)
{
    if (err == NULL)
        return -1;
    err->kind = kind;
    err->sys = 0;
    va_list args;
    va_start(args, format);
    set_message(err, format, args);
    va_end(args);
    return -1;
}

int err_set_sys(struct err *err, int sys, const char *format, ...)
{
    if (err == NULL)
        return -1;
    err->kind = ERR_SYSTEM;
    err->sys = sys;
    va_list args;
    va_start(args, format);
    set_message(err, format, args);
    va_end(args);

    char text[128];
    size_t len = strlen(err->message);
    size_t space = sizeof(err->message) - len;
    int added = snprintf(err->message + len, space, ": %s", strerror_r(sys, text, sizeof(text)));
    if (added < 0 || (size_t)added >= space)
        mark_cut(err->message);
    return -1;
}

int err_prefix(struct err *err, const char *format, ...)
{
    if (err == NULL)
        return -1;
    char before[ERR_MESSAGE_MAX];
    memcpy(before, err->message, sizeof(before));
    va_list args;
    va_start(args, format);
    set_message(err, format, args);
    va_end(args);

    size_t len = strlen(err->message);
    size_t space = sizeof(err->message) - len;
    int added = snprintf(err->message + len, space, ": %s", before);
    if (added < 0 || (size_t)added >= space)
        mark_cut(err->message);
    return -1;
}
