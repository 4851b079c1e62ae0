/*
 * Names that certificates are made for: how each kind is written, and which of them the operator
 * lets a request have. Pure: texts in, a decision out.
 */
#ifndef REMORA_CA_NAME_H
#define REMORA_CA_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum ca_name_kind {
    CA_NAME_DNS,   /* lower case; no wildcard, no trailing dot */
    CA_NAME_IP,    /* as ip_format writes it */
    CA_NAME_URI,   /* a SPIFFE ID with a path, or a URI of another scheme */
    CA_NAME_EMAIL, /* the domain in lower case */
    CA_NAME_CN,    /* the subject's common name; UTF-8 */
    NUM_CA_NAME_KINDS
};

struct ca_name {
    enum ca_name_kind kind;
    char *text; /* owned; checked by ca_name_new */
};

/* "DNS name", "address", "URI", "e-mail address", "common name". */
const char *ca_name_kind_text(enum ca_name_kind kind);

/*
 * From bytes that a stranger has chosen (of CA_NAME_IP: four or sixteen octets). 0 and *name, which
 * the caller gives to ca_name_done, or -1 with *err: ERR_INVALID says which name and what is wrong
 * with it, without a byte that does not belong on a terminal; or ERR_NOMEM.
 */
int ca_name_new(struct ca_name *name, enum ca_name_kind kind, const uint8_t *bytes, size_t len,
                struct err *err);
void ca_name_done(struct ca_name *name); /* NULL and an empty one are ignored */

/*
 * What requests may ask for: for each kind a list with commas between, "" for nothing. An entry is
 * a name, or a pattern whose asterisk stands for exactly one part and nothing else:
 *
 *   DNS name        *.shop.example    one label in front
 *   URI             spiffe://example.org/ns/shop/sa/(*)   without the brackets: one last segment of a SPIFFE ID's path
 *   e-mail address  *@shop.example    any mailbox
 *
 * All texts are lent.
 */
struct ca_name_rules {
    const char *allowed[NUM_CA_NAME_KINDS];
};

/* Whether a list holds only names and patterns of its kind. 0, or -1 with *err (ERR_INVALID). */
int ca_name_check_list(enum ca_name_kind kind, const char *list, struct err *err);

/* Whether the name is on the list of its kind. */
bool ca_name_is_allowed(const struct ca_name_rules *rules, const struct ca_name *name);

/*
 * Whether the common name may be certified: it is on its own list, or it is a DNS name or an e-mail
 * address that is on the list of those. *is_dns (may be NULL): the former.
 */
bool ca_name_is_allowed_cn(const struct ca_name_rules *rules, const char *cn, bool *is_dns);

#endif
