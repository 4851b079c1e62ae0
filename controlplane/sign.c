#include "sign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ca_issuer.h"
#include "ca_state.h"
#include "clock.h"
#include "private_file.h"

enum { CSR_MAX = 64 * 1024 }; /* bytes; the reader's own limit is stricter and says so better */

/* --------------------------------------------------------------------------------- the request -- */

static int read_all(int fd, struct buf *out, const char *name, struct err *err)
{
    for (;;) {
        uint8_t *room = buf_reserve(out, 4096);
        if (room == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        ssize_t len = read(fd, room, 4096);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return err_set_sys(err, errno, "%s", name);
        if (len == 0)
            return 0;
        buf_commit(out, (size_t)len);
        if (buf_len(out) > CSR_MAX)
            return err_set(err, ERR_LIMIT, "%s: more than %d bytes", name, CSR_MAX);
    }
}

static int read_request(const char *path, struct buf *out, struct err *err)
{
    if (path[0] == '\0' || strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, out, "standard input", err);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set_sys(err, errno, "%s", path);
    int result = read_all(fd, out, path, err);
    close(fd);
    return result;
}

/* ------------------------------------------------------------------------------- the certificate -- */

static int write_out(const char *path, const struct buf *pem, struct err *err)
{
    /* There is no secret in it. */
    static const struct private_file_rights RIGHTS = {.mode = 0644};
    if (path[0] != '\0')
        return private_file_write_path(path, &RIGHTS, ca_issuer_may_replace, buf_head(pem),
                                       buf_len(pem), err);
    bool written =
        fwrite(buf_head(pem), 1, buf_len(pem), stdout) == buf_len(pem) && fflush(stdout) == 0;
    return written ? 0 : err_set_sys(err, errno, "standard output");
}

static int join(const struct ca_issuer *issuer, const struct ca_issued *issued, struct buf *out,
                struct err *err)
{
    int result = buf_append_str(out, issued->pem);
    const char *pem;
    for (size_t i = 0; result == 0 && (pem = ca_issuer_chain_pem(issuer, i)) != NULL; i++)
        result = buf_append_str(out, pem);
    return result < 0 ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

/* ------------------------------------------------------------------------------------- the whole -- */

static struct ca_issuer *open_ca(const struct sign_config *config, int64_t now_ms, struct err *err)
{
    bool created;
    const struct ca_state_options options = {
        .dir = config->state_dir, .only_existing = true, .now_ms = now_ms};
    const struct ca_state_files files = {
        .cert = config->ca_cert_file, .key = config->ca_key_file, .now_ms = now_ms};
    return config->state_dir[0] != '\0' ? ca_state_open(&options, &created, err)
                                        : ca_state_load(&files, err);
}

static enum sign_exit exit_of(const struct err *err)
{
    if (err->kind == ERR_DENIED)
        return SIGN_NOT_ALLOWED;
    return err->kind == ERR_INVALID ? SIGN_BAD_REQUEST : SIGN_FAILED;
}

static enum sign_exit sign_csr(const struct sign_config *config, struct ca_issuer *issuer,
                               const struct buf *csr, int64_t now_ms, struct buf *words,
                               struct err *err)
{
    struct ca_issued issued;
    struct buf pem = {0};
    const struct ca_order order = {.csr_pem = (const char *)buf_head(csr),
                                   .csr_pem_len = buf_len(csr),
                                   .rules = config->rules,
                                   .usage = config->usage,
                                   .keep_subject = config->keep_subject,
                                   .lifetime_s = (int64_t)(config->validity_ms / 1000),
                                   .now_ms = now_ms};
    if (ca_issuer_sign(issuer, &order, &issued, words, err) < 0)
        return exit_of(err);
    enum sign_exit exit = SIGN_DONE;
    if (join(issuer, &issued, &pem, err) < 0)
        exit = SIGN_FAILED;
    else if (write_out(config->out_file, &pem, err) < 0)
        exit = SIGN_NOT_WRITTEN;
    /* Nobody has what was not written. */
    if (exit != SIGN_DONE)
        buf_done(words);
    buf_done(&pem);
    ca_issued_done(&issued);
    return exit;
}

enum sign_exit sign_run(const struct sign_config *config, struct buf *words, struct err *err)
{
    int64_t now_ms = clock_wall_ms();
    struct buf csr = {0};
    struct ca_issuer *issuer = open_ca(config, now_ms, err);
    enum sign_exit exit = SIGN_FAILED;
    if (issuer != NULL)
        exit = read_request(config->csr_file, &csr, err) < 0
                   ? SIGN_NOT_READ
                   : sign_csr(config, issuer, &csr, now_ms, words, err);
    buf_done(&csr);
    ca_issuer_free(issuer);
    return exit;
}

int sign_help(struct buf *out)
{
    static const struct {
        enum sign_exit code;
        const char *text;
    } EXITS[] = {
        {SIGN_DONE, "signed"},
        {SIGN_FAILED, "could not be done; the CA cannot be used"},
        {SIGN_USAGE, "the options are wrong"},
        {SIGN_BAD_REQUEST, "the request cannot be read, or its key is weak or not its sender's"},
        {SIGN_NOT_READ, "the request's file cannot be read"},
        {SIGN_NOT_WRITTEN, "the certificate could not be written"},
        {SIGN_NOT_ALLOWED, "the request asks for what is not allowed"},
    };
    int result = options_help(&sign_config_table, out);
    if (result == 0)
        result = buf_append_str(out, "\nExit codes:\n");
    for (size_t i = 0; i < sizeof(EXITS) / sizeof(EXITS[0]) && result == 0; i++)
        result = buf_printf(out, "  %-3d %s\n", EXITS[i].code, EXITS[i].text);
    return result;
}
