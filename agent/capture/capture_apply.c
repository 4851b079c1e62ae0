#include "capture_apply.h"

#include <errno.h>
#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture_ruleset.h"

#define NEEDS_NET_ADMIN "this needs the capability NET_ADMIN in the pod's network namespace"

/*
 * libnftables reports a failure as text alone, with the kernel's answer as strerror() has it (and
 * this program never calls setlocale). From that text the likely cause is told.
 */
static const struct cause {
    int sys;
    enum err_kind kind;
    const char *advice;
} causes[] = {
    {EPERM, ERR_DENIED, NEEDS_NET_ADMIN},
    {EOPNOTSUPP, ERR_SYSTEM,
     "does the kernel have nftables with NAT (nf_tables, nft_chain_nat, nft_redir)?"},
    {EPROTONOSUPPORT, ERR_SYSTEM, "the kernel has no nftables (nf_tables)"},
    {EAFNOSUPPORT, ERR_SYSTEM,
     "does the kernel have nftables for the family inet (nf_tables_inet)?"},
    {ENOENT, ERR_SYSTEM, "does the kernel have NAT for nftables (nft_chain_nat, nft_redir)?"},
};

/* Makes *err out of libnftables' message: its first line, which is followed by the text and a
 * marker. */
static int fail(const char *doing, const char *message, struct err *err)
{
    if (strncmp(message, "Error: ", strlen("Error: ")) == 0)
        message += strlen("Error: ");
    int len = (int)strcspn(message, "\n");
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (memmem(message, (size_t)len, strerror(causes[i].sys),
                   strlen(strerror(causes[i].sys)))) {
            err_set(err, causes[i].kind, "%s: %.*s; %s", doing, len, message, causes[i].advice);
            if (err && causes[i].kind == ERR_SYSTEM)
                err->sys = causes[i].sys;
            return -1;
        }
    }
    return err_set(err, ERR_SYSTEM, "%s: %.*s", doing, len, message);
}

/* Asked before libnftables is, which writes to standard error by itself when it may not. */
static bool has_net_admin(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    return syscall(SYS_capget, &header, sets) == 0 &&
           (sets[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

/* Runs commands as one transaction. With `output`, what they print is appended to it. */
static int run(const char *doing, const char *commands, struct buf *output, struct err *err)
{
    if (!has_net_admin())
        return err_set(err, ERR_DENIED, "%s: %s", doing, NEEDS_NET_ADMIN);
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft)
        return err_set(err, ERR_NOMEM, "%s: out of memory", doing);
    int result = 0;
    if (nft_ctx_buffer_error(nft) != 0 || nft_ctx_buffer_output(nft) != 0)
        result = err_set(err, ERR_NOMEM, "%s: out of memory", doing);
    else if (nft_run_cmd_from_buffer(nft, commands) != 0)
        result = fail(doing, nft_ctx_get_error_buffer(nft), err);
    else if (output && buf_append_str(output, nft_ctx_get_output_buffer(nft)) < 0)
        result = err_set(err, ERR_NOMEM, "%s: out of memory", doing);
    nft_ctx_free(nft);
    return result;
}

/* Deleting a table that is not there fails; adding one that is there does nothing. */
#define REMOVE "add table " CAPTURE_RULESET_TABLE "\ndelete table " CAPTURE_RULESET_TABLE "\n"

int capture_apply_replace(const struct buf *ruleset, struct err *err)
{
    struct buf commands = {0};
    int result = -1;
    if (buf_append_str(&commands, REMOVE) < 0 ||
        buf_append(&commands, buf_head(ruleset), buf_len(ruleset)) < 0 ||
        buf_append(&commands, "", 1) < 0)
        err_set(err, ERR_NOMEM, "out of memory");
    else
        result = run("applying the rules", (const char *)buf_head(&commands), NULL, err);
    buf_done(&commands);
    return result;
}

int capture_apply_remove(struct err *err)
{
    return run("removing the rules", REMOVE, NULL, err);
}

/* Asked apart from listing the table, whose failure does not tell "no such table" from "no
 * nftables". */
static int table_exists(bool *exists, struct err *err)
{
    struct buf tables = {0};
    int result = -1;
    if (run("listing the tables", "list tables", &tables, err) == 0) {
        if (buf_append(&tables, "", 1) < 0) {
            err_set(err, ERR_NOMEM, "out of memory");
        } else {
            const char *text = (const char *)buf_head(&tables);
            *exists = strstr(text, "table " CAPTURE_RULESET_TABLE "\n") != NULL;
            result = 0;
        }
    }
    buf_done(&tables);
    return result;
}

int capture_apply_list(struct buf *out, struct err *err)
{
    bool exists;
    if (table_exists(&exists, err) < 0)
        return -1;
    if (!exists)
        return err_set(err, ERR_NOT_FOUND,
                       "there is no table " CAPTURE_RULESET_TABLE " in this network namespace");
    return run("listing the rules", "list table " CAPTURE_RULESET_TABLE, out, err);
}
