#include "export.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "clock.h"
#include "file_read.h"
#include "inspect_chain.h"
#include "inspect_text.h"
#include "password.h"
#include "pkcs12.h"
#include "private_file.h"
#include "svid_key.h"

/* --------------------------------------------------------------------------------- what goes in -- */

static bool has(const struct inspect_chain *chain, const struct peer_cert_der *der)
{
    for (size_t i = 0; i < chain->num_certs; i++)
        if (chain->certs[i].len == der->len &&
            memcmp(chain->certs[i].bytes, der->bytes, der->len) == 0)
            return true;
    return false;
}

/* Files of chains often repeat what the certificate's own file has. */
static int add_more(struct inspect_chain *chain, const char *path, struct err *err)
{
    struct inspect_chain more = {0};
    int result = inspect_chain_read(&more, path, err);
    for (size_t i = 0; result == 0 && i < more.num_certs; i++)
        if (!has(chain, &more.certs[i]) &&
            inspect_chain_add(chain, more.certs[i].bytes, more.certs[i].len, err) < 0)
            result = err_prefix(err, "%s", path);
    inspect_chain_done(&more);
    return result;
}

static int read_chain(const struct export_config *config, struct inspect_chain *chain,
                      struct err *err)
{
    if (inspect_chain_read(chain, config->cert_file, err) < 0)
        return -1;
    return config->chain_file[0] == '\0' ? 0 : add_more(chain, config->chain_file, err);
}

static EVP_PKEY *read_key(const char *path, struct err *err)
{
    size_t len;
    uint8_t *bytes = file_read(path, INSPECT_CHAIN_FILE_MAX, &len, err);
    if (bytes == NULL)
        return NULL;
    EVP_PKEY *key = svid_key_read_pem((const char *)bytes, len, err);
    file_read_free(bytes, len);
    if (key == NULL)
        err_prefix(err, "%s", path);
    return key;
}

static int check_fit(const struct export_config *config, const struct inspect_chain *chain,
                     EVP_PKEY *key, struct err *err)
{
    const uint8_t *at = chain->certs[0].bytes;
    X509 *cert = d2i_X509(NULL, &at, (long)chain->certs[0].len);
    int result = 0;
    if (cert == NULL)
        result = err_set(err, ERR_INVALID, "%s: the certificate cannot be read", config->cert_file);
    else if (!X509_check_private_key(cert, key))
        result = err_set(err, ERR_INVALID, "the key of %s does not belong to the certificate of %s",
                         config->key_file, config->cert_file);
    X509_free(cert);
    ERR_clear_error();
    return result;
}

/* -------------------------------------------------------------------------------- what comes out -- */

static enum export_exit write_file(const struct export_config *config,
                                   const struct inspect_chain *chain, const struct buf *bytes,
                                   struct buf *words, struct err *err)
{
    static const struct private_file_rights RIGHTS = {.mode = 0600};
    if (private_file_write_path(config->pkcs12_file, &RIGHTS, pkcs12_may_be, buf_head(bytes),
                                buf_len(bytes), err) < 0)
        return EXPORT_NOT_WRITTEN;
    if (buf_printf(words, "%s: the private key and %zu %s, as \"%s\"\n", config->pkcs12_file,
                   chain->num_certs, chain->num_certs == 1 ? "certificate" : "certificates",
                   config->name) == 0 &&
        inspect_text_write(chain, clock_wall_ms(), words) == 0)
        return EXPORT_DONE;
    err_set(err, ERR_NOMEM, "out of memory");
    return EXPORT_FAILED;
}

static enum export_exit write_with(const struct export_config *config,
                                   const struct inspect_chain *chain, EVP_PKEY *key,
                                   const char *password, struct buf *words, struct err *err)
{
    struct buf bytes = {0};
    const struct pkcs12_plan plan = {.key = key,
                                     .certs = chain->certs,
                                     .num_certs = chain->num_certs,
                                     .name = config->name,
                                     .password = password};
    enum export_exit exit;
    if (pkcs12_check_password(password, err) < 0)
        return EXPORT_BAD_INPUT;
    if (pkcs12_write(&plan, &bytes, err) < 0)
        exit = err->kind == ERR_INVALID ? EXPORT_BAD_INPUT : EXPORT_FAILED;
    else
        exit = write_file(config, chain, &bytes, words, err);
    buf_done(&bytes);
    return exit;
}

static enum export_exit export_key(const struct export_config *config,
                                   const struct inspect_chain *chain, EVP_PKEY *key,
                                   struct buf *words, struct err *err)
{
    char password[PASSWORD_MAX] = "";
    if (check_fit(config, chain, key, err) < 0)
        return EXPORT_BAD_INPUT;
    int result = config->password_file[0] != '\0'
                     ? password_read_file(config->password_file, password, err)
                     : password_ask("Password for the new file", password, err);
    enum export_exit exit =
        result < 0 ? EXPORT_NOT_READ : write_with(config, chain, key, password, words, err);
    explicit_bzero(password, sizeof(password));
    return exit;
}

enum export_exit export_run(const struct export_config *config, struct buf *words, struct err *err)
{
    struct inspect_chain chain = {0};
    EVP_PKEY *key = NULL;
    enum export_exit exit = EXPORT_NOT_READ;
    if (read_chain(config, &chain, err) == 0)
        key = read_key(config->key_file, err);
    if (key != NULL)
        exit = export_key(config, &chain, key, words, err);
    EVP_PKEY_free(key);
    inspect_chain_done(&chain);
    return exit;
}
