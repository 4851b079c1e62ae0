#include "ca_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "buf.h"
#include "ca_cert.h"
#include "ca_file.h"
#include "ca_key.h"
#include "ca_validity.h"
#include "rng.h"

#define ROOT_KEY_FILE   "root-key.pem"
#define ISSUER_FILE     "issuer.pem"
#define ISSUER_KEY_FILE "issuer-key.pem"

enum {
    CA_LIFETIME_S = 10 * 365 * 24 * 60 * 60, /* who wants to rotate earlier brings his own */
    NAME_MAX_LEN = 64,
    FILE_CERTS_MAX = 16,
};

struct state {
    int dir_fd;
    int64_t now_ms;
    /* PEM; NULL: there is none */
    char *root_key;
    char *root;
    char *issuer_key;
    char *issuer;
};

/* ------------------------------------------------------------------------------- directory -- */

static int open_dir(const char *dir, bool only_existing, struct err *err)
{
    if (!only_existing && mkdir(dir, 0755) < 0 && errno != EEXIST)
        return err_set_sys(err, errno, "the directory cannot be made");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_sys(err, errno, "the directory cannot be opened");
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        err_set_sys(err, errno, "the directory cannot be looked at");
    else if (stat.st_mode & 022)
        err_set(err, ERR_DENIED, "the directory has mode %04o: others could put their keys into it",
                stat.st_mode & 07777);
    else if (flock(fd, LOCK_EX) < 0)
        err_set_sys(err, errno, "the directory cannot be locked");
    else
        return fd;
    close(fd);
    return -1;
}

/* 0 also when the file is not there: *text is NULL then. */
static int read_optional(const struct state *state, const char *name, bool secret, char **text,
                         struct err *err)
{
    struct err why = {0};
    *text = ca_file_read(state->dir_fd, name, secret, &why);
    if (*text != NULL || why.kind == ERR_NOT_FOUND)
        return 0;
    if (err != NULL)
        *err = why;
    return -1;
}

static int read_files(struct state *state, struct err *err)
{
    if (read_optional(state, ROOT_KEY_FILE, true, &state->root_key, err) < 0 ||
        read_optional(state, CA_STATE_ROOT_FILE, false, &state->root, err) < 0 ||
        read_optional(state, ISSUER_KEY_FILE, true, &state->issuer_key, err) < 0)
        return -1;
    return read_optional(state, ISSUER_FILE, false, &state->issuer, err);
}

/* ---------------------------------------------------------------------------------- making -- */

static int make_key(const struct state *state, const char *name, char **pem, struct err *err)
{
    EVP_PKEY *key = ca_key_new(err);
    char *made = key == NULL ? NULL : ca_key_to_pem(key, err);
    int result = -1;
    EVP_PKEY_free(key);
    if (made != NULL && ca_file_create(state->dir_fd, name, made, true, err) == 0) {
        *pem = strdup(made);
        result = *pem != NULL ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    }
    ca_key_free_pem(made);
    return result;
}

/* Roots that are made one after another must not have one name, or they are taken for one another.
 */
static const char *make_name(const char *what, char *out)
{
    snprintf(out, NAME_MAX_LEN, "Remora %s %08x", what, (unsigned)(rng_u64() & 0xffffffff));
    return out;
}

static int make_cert(const struct state *state, const char *file, const struct ca_cert_plan *plan,
                     char **pem, struct err *err)
{
    X509 *cert = ca_cert_make(plan, err);
    char *made = cert == NULL ? NULL : ca_cert_to_pem(cert, err);
    X509_free(cert);
    if (made == NULL)
        return -1;
    if (ca_file_create(state->dir_fd, file, made, false, err) < 0) {
        free(made);
        return -1;
    }
    *pem = made;
    return 0;
}

static int make_root_cert(struct state *state, struct err *err)
{
    char name[NAME_MAX_LEN];
    int64_t now_s = state->now_ms / 1000;
    EVP_PKEY *key = ca_key_from_pem(state->root_key, strlen(state->root_key), err);
    if (key == NULL)
        return err_prefix(err, ROOT_KEY_FILE);
    int result = make_cert(state, CA_STATE_ROOT_FILE,
                           &(struct ca_cert_plan){.use = CA_CERT_ROOT,
                                                  .name = make_name("root CA", name),
                                                  .not_before_s = now_s - CA_VALIDITY_BACKDATE_S,
                                                  .not_after_s = now_s + CA_LIFETIME_S,
                                                  .key = key},
                           &state->root, err);
    EVP_PKEY_free(key);
    return result;
}

static int make_root(struct state *state, bool *created, struct err *err)
{
    if (state->root != NULL)
        return 0;
    if (state->root_key == NULL) {
        if (state->issuer_key != NULL || state->issuer != NULL)
            return err_set(err, ERR_INVALID, "there is an intermediate but no " CA_STATE_ROOT_FILE);
        if (make_key(state, ROOT_KEY_FILE, &state->root_key, err) < 0)
            return -1;
    }
    *created = true;
    return make_root_cert(state, err);
}

/* Signs with the root's key as any issuer would, and lives as long as the root. */
static int make_issuer_cert(struct state *state, X509 *root, EVP_PKEY *root_key, struct err *err)
{
    char name[NAME_MAX_LEN];
    int64_t not_before_s;
    int64_t not_after_s;
    EVP_PKEY *key = ca_key_from_pem(state->issuer_key, strlen(state->issuer_key), err);
    if (key == NULL)
        return err_prefix(err, ISSUER_KEY_FILE);
    int result = ca_cert_times(root, &not_before_s, &not_after_s, err);
    if (result == 0)
        result = make_cert(state, ISSUER_FILE,
                           &(struct ca_cert_plan){.use = CA_CERT_INTERMEDIATE,
                                                  .name = make_name("intermediate CA", name),
                                                  .not_before_s = not_before_s,
                                                  .not_after_s = not_after_s,
                                                  .key = key,
                                                  .issuer = root,
                                                  .issuer_key = root_key},
                           &state->issuer, err);
    EVP_PKEY_free(key);
    return result;
}

static int sign_issuer(struct state *state, struct err *err)
{
    STACK_OF(X509) *roots = ca_cert_read_pem(state->root, strlen(state->root), 1, err);
    if (roots == NULL)
        return err_prefix(err, CA_STATE_ROOT_FILE);
    int result = -1;
    EVP_PKEY *root_key = ca_key_from_pem(state->root_key, strlen(state->root_key), err);
    if (root_key == NULL)
        err_prefix(err, ROOT_KEY_FILE);
    else if (!X509_check_private_key(sk_X509_value(roots, 0), root_key))
        err_set(err, ERR_INVALID, ROOT_KEY_FILE " does not belong to " CA_STATE_ROOT_FILE);
    else
        result = make_issuer_cert(state, sk_X509_value(roots, 0), root_key, err);
    EVP_PKEY_free(root_key);
    sk_X509_pop_free(roots, X509_free);
    return result;
}

static int make_issuer(struct state *state, bool wanted, struct err *err)
{
    if (state->issuer != NULL && state->issuer_key != NULL)
        return 0;
    if (state->issuer != NULL)
        return err_set(err, ERR_INVALID, ISSUER_FILE " is there but " ISSUER_KEY_FILE " is not");
    if (state->issuer_key == NULL && !wanted)
        return 0;
    if (state->root_key == NULL)
        return err_set(err, ERR_INVALID, "an intermediate cannot be made without " ROOT_KEY_FILE);
    if (state->issuer_key == NULL && make_key(state, ISSUER_KEY_FILE, &state->issuer_key, err) < 0)
        return -1;
    return sign_issuer(state, err);
}

static int complete(struct state *state, const struct ca_state_options *options, bool *created,
                    struct err *err)
{
    if (!options->only_existing)
        return make_root(state, created, err) < 0
                   ? -1
                   : make_issuer(state, options->with_intermediate, err);
    if (state->root == NULL)
        return err_set(err, ERR_NOT_FOUND, "there is no " CA_STATE_ROOT_FILE);
    return state->issuer == NULL || state->issuer_key != NULL
               ? 0
               : err_set(err, ERR_INVALID, ISSUER_FILE " is there but " ISSUER_KEY_FILE " is not");
}

/* ---------------------------------------------------------------------------------- opening -- */

static struct ca_issuer *load(const struct state *state, struct err *err)
{
    const char *key = state->issuer_key != NULL ? state->issuer_key : state->root_key;
    if (key == NULL) {
        err_set(err, ERR_INVALID,
                CA_STATE_ROOT_FILE " is there but neither " ROOT_KEY_FILE " nor " ISSUER_KEY_FILE);
        return NULL;
    }
    return ca_issuer_new(
        &(struct ca_issuer_pem){.key = key, .chain = state->issuer, .roots = state->root},
        state->now_ms, err);
}

struct ca_issuer *ca_state_open(const struct ca_state_options *options, bool *created,
                                struct err *err)
{
    struct ca_issuer *issuer = NULL;
    struct state state = {.now_ms = options->now_ms};
    *created = false;
    state.dir_fd = open_dir(options->dir, options->only_existing, err);
    if (state.dir_fd >= 0) {
        if (read_files(&state, err) == 0 && complete(&state, options, created, err) == 0)
            issuer = load(&state, err);
        close(state.dir_fd);
    }
    if (issuer == NULL)
        err_prefix(err, "CA state %s", options->dir);
    ca_file_free(state.root_key);
    ca_file_free(state.issuer_key);
    free(state.root);
    free(state.issuer);
    return issuer;
}

/* -------------------------------------------------------------------------- a CA in two files -- */

static int append_pem(struct buf *out, X509 *cert, struct err *err)
{
    char *pem = ca_cert_to_pem(cert, err);
    int result = pem == NULL ? -1 : buf_append_str(out, pem);
    free(pem);
    return result < 0 ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

/* What names itself as its issuer is a root; the rest leads there. */
static int split(const char *pem, struct buf *chain, struct buf *roots, struct err *err)
{
    STACK_OF(X509) *certs = ca_cert_read_pem(pem, strlen(pem), FILE_CERTS_MAX, err);
    int result = certs == NULL ? -1 : 0;
    for (size_t i = 0; certs != NULL && i < sk_X509_num(certs) && result == 0; i++) {
        X509 *cert = sk_X509_value(certs, i);
        bool is_root = X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
        result = append_pem(is_root ? roots : chain, cert, err);
    }
    sk_X509_pop_free(certs, X509_free);
    if (result == 0 && buf_len(roots) == 0)
        result = err_set(err, ERR_INVALID,
                         "there is no root in it, that is no certificate that signs itself");
    return result;
}

static struct ca_issuer *load_split(const char *cert, const char *key, int64_t now_ms,
                                    struct err *err)
{
    struct buf chain = {0}, roots = {0};
    struct ca_issuer *issuer = NULL;
    if (split(cert, &chain, &roots, err) == 0) {
        bool has_chain = buf_len(&chain) > 0;
        if (buf_append(&chain, "", 1) < 0 || buf_append(&roots, "", 1) < 0)
            err_set(err, ERR_NOMEM, "out of memory");
        else
            issuer = ca_issuer_new(
                &(struct ca_issuer_pem){.key = key,
                                        .chain = has_chain ? (const char *)buf_head(&chain) : NULL,
                                        .roots = (const char *)buf_head(&roots)},
                now_ms, err);
    }
    buf_done(&chain);
    buf_done(&roots);
    return issuer;
}

struct ca_issuer *ca_state_load(const struct ca_state_files *files, struct err *err)
{
    struct ca_issuer *issuer = NULL;
    char *cert = ca_file_read(AT_FDCWD, files->cert, false, err);
    char *key = cert == NULL ? NULL : ca_file_read(AT_FDCWD, files->key, true, err);
    if (key != NULL) {
        issuer = load_split(cert, key, files->now_ms, err);
        if (issuer == NULL)
            err_prefix(err, "CA %s with %s", files->cert, files->key);
    }
    ca_file_free(key);
    ca_file_free(cert);
    return issuer;
}
