/*
 * Why an operation failed, in words that an operator can use.
 *
 * This is for operations: a function returns -1 or NULL and has filled the caller's struct err. The
 * lowest level says what was wrong with what; each level above may put in front what it was doing
 * (err_prefix). Why a session ended is another thing: see reason.h.
 */
#ifndef REMORA_ERR_H
#define REMORA_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum {
    ERR_MESSAGE_MAX =
        512, /* bytes, NUL included; a longer message is cut at the end and marked with "..." */
};

enum err_kind {
    ERR_NONE = 0,
    ERR_SYSTEM,    /* a system call failed; .sys says how */
    ERR_INVALID,   /* input from a file, an option or the control plane is wrong */
    ERR_PROTOCOL,  /* a peer broke its protocol */
    ERR_TLS,       /* a handshake or a certificate was refused, by us or by the peer */
    ERR_NOT_FOUND, /* what was asked for does not exist */
    ERR_DENIED,    /* the other side says that we may not */
    ERR_LIMIT,     /* one of our own limits was reached */
    ERR_TIMEOUT,   /* one of our own timers ran out */
    ERR_NOMEM,
};

struct err {
    enum err_kind kind;
    int sys; /* errno of an ERR_SYSTEM, else 0 */
    char message[ERR_MESSAGE_MAX];
};

/* Fills *err (NULL: does nothing) and returns -1, so that a failing function can end with `return
 * err_set(...)`. */
int err_set(struct err *err, enum err_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set with ERR_SYSTEM: ": " and the system's text for errno value `sys` are appended to the
 * message. */
int err_set_sys(struct err *err, int sys, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<formatted>: " in front of the message that is already there. Returns -1. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
