#include "cert_output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "private_file.h"
#include "svid_key.h"

#define VERSION_PREFIX "..version-"

static const char DATA_LINK[] = "..data";
static const char NEW_LINK[] = "..data.new";

enum {
    /* The chain comes last: whoever waits for it to appear finds the others. */
    KEY,
    BUNDLE,
    COMBINED,
    FEDERATED,
    CRL,
    CHAIN,
    NUM_FILES
};

enum {
    PATH_TEXT_MAX = 4096,
    NAME_TEXT_MAX = 64, /* of a version's directory */
};

struct cert_output {
    struct private_dir *dir;
    int fd; /* of the same, for links */
    char *names[NUM_FILES];
    struct private_file_rights rights; /* of files without a key */
    mode_t key_mode;
};

/* --------------------------------------------------------------------------------- what is PEM -- */

static int add_block(BIO *out, const char *label, const uint8_t *der, size_t len)
{
    return PEM_write_bio(out, label, "", der, (long)len) > 0 ? 0 : -1;
}

static int add_chain(BIO *out, const struct identity *identity)
{
    const struct svid *svid = identity_svid(identity);
    for (size_t i = 0; i < svid_num_certs(svid); i++) {
        size_t len;
        const uint8_t *der = svid_der(svid, i, &len);
        if (add_block(out, PEM_STRING_X509, der, len) < 0)
            return -1;
    }
    return 0;
}

static int add_key(BIO *out, const struct identity *identity)
{
    EVP_PKEY *key = svid_key_get(identity_svid(identity));
    return PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) ? 0 : -1;
}

/* The key first: programs that read one file for both (HAProxy) do not care, and those that read up
 * to the first certificate find it. */
static int add_combined(BIO *out, const struct identity *identity)
{
    return add_key(out, identity) < 0 ? -1 : add_chain(out, identity);
}

static int add_roots(BIO *out, const struct trust_bundle *bundle)
{
    for (size_t i = 0; i < trust_bundle_num_roots(bundle); i++) {
        size_t len;
        const uint8_t *der = trust_bundle_der(bundle, i, &len);
        if (add_block(out, PEM_STRING_X509, der, len) < 0)
            return -1;
    }
    return 0;
}

static int add_bundle(BIO *out, const struct identity *identity)
{
    return add_roots(out, identity_trust(identity)->bundles[0]);
}

static int add_federated(BIO *out, const struct identity *identity)
{
    const struct trust *trust = identity_trust(identity);
    for (size_t i = 1; i < trust->num_bundles; i++)
        if (BIO_printf(out, "# %s\n", trust_bundle_trust_domain(trust->bundles[i])) < 0 ||
            add_roots(out, trust->bundles[i]) < 0)
            return -1;
    return 0;
}

static int add_crls(BIO *out, const struct identity *identity)
{
    const struct crl_set *crls = identity_trust(identity)->crls;
    for (size_t i = 0; i < crl_set_num(crls); i++) {
        size_t len;
        const uint8_t *der = crl_set_der(crls, i, &len);
        if (add_block(out, PEM_STRING_X509_CRL, der, len) < 0)
            return -1;
    }
    return 0;
}

static const struct content {
    int (*add)(BIO *out, const struct identity *identity);
    bool has_key;
} contents[NUM_FILES] = {
    [KEY] = {add_key, true},           [BUNDLE] = {add_bundle, false},
    [COMBINED] = {add_combined, true}, [FEDERATED] = {add_federated, false},
    [CRL] = {add_crls, false},         [CHAIN] = {add_chain, false},
};

/* ------------------------------------------------------------------------------ a set of files -- */

/* A file of nothing is not written: no program takes an empty one. */
static int write_content(const struct cert_output *output, struct private_dir *set, int file,
                         BIO *bio, struct err *err)
{
    const uint8_t *bytes;
    size_t len;
    if (!BIO_mem_contents(bio, &bytes, &len))
        return err_set(err, ERR_NOMEM, "out of memory");
    if (len == 0)
        return 0;
    struct private_file_rights rights = output->rights;
    if (contents[file].has_key)
        rights.mode = output->key_mode;
    return private_file_write(set, output->names[file], &rights, bytes, len, err);
}

static int write_file(const struct cert_output *output, struct private_dir *set, int file,
                      const struct identity *identity, struct err *err)
{
    if (output->names[file][0] == '\0')
        return 0;
    BIO *bio = BIO_new(BIO_s_mem()); /* BoringSSL clears all memory that it frees */
    int result = -1;
    if (bio == NULL || contents[file].add(bio, identity) < 0)
        err_set(err, ERR_NOMEM, "%s: out of memory", output->names[file]);
    else
        result = write_content(output, set, file, bio, err);
    BIO_free(bio);
    ERR_clear_error();
    return result;
}

static int write_files(const struct cert_output *output, struct private_dir *set,
                       const struct identity *identity, struct err *err)
{
    for (int file = 0; file < NUM_FILES; file++)
        if (write_file(output, set, file, identity, err) < 0)
            return -1;
    return 0;
}

/* Whoever may read a file has to be able to get to it. */
static mode_t dir_mode(const struct cert_output_options *options)
{
    mode_t readable = options->mode | options->key_mode;
    mode_t mode = S_IRWXU;
    if (readable & S_IRGRP)
        mode |= S_IRGRP | S_IXGRP;
    if (readable & S_IROTH)
        mode |= S_IROTH | S_IXOTH;
    /* Another owner gets there as a member of the group or as anybody. */
    if (options->has_uid && options->uid != geteuid())
        mode |= S_IXGRP | S_IXOTH;
    return mode;
}

/* With the rights of the directory above, which were made, or chosen, for the same readers. */
static int share_dir(const struct cert_output *output, const char *name, struct err *err)
{
    struct stat above;
    if (fstat(output->fd, &above) < 0)
        return err_set_sys(err, errno, "%s", private_file_dir_path(output->dir));
    /* A group in which we are not is no failure where it may do no more than anybody. */
    bool group_matters = ((above.st_mode >> 3) & ~above.st_mode & 7) != 0;
    if (fchownat(output->fd, name, (uid_t)-1, above.st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
        group_matters)
        return err_set_sys(err, errno, "%s/%s: cannot be given to group %u",
                           private_file_dir_path(output->dir), name, (unsigned)above.st_gid);
    if (fchmodat(output->fd, name, above.st_mode & 0755, 0) < 0)
        return err_set_sys(err, errno, "%s/%s", private_file_dir_path(output->dir), name);
    return 0;
}

/* ------------------------------------------------------------------------------------ versions -- */

/* The number in "..version-7", or 0 for anything else. */
static unsigned long version_of(const char *name)
{
    size_t len = strlen(VERSION_PREFIX);
    if (strncmp(name, VERSION_PREFIX, len) != 0 || strspn(name + len, "0123456789") == 0)
        return 0;
    return strtoul(name + len, NULL, 10);
}

/* Of the set in place; 0: there is none. */
static unsigned long current_version(const struct cert_output *output)
{
    char target[NAME_TEXT_MAX];
    ssize_t len = readlinkat(output->fd, DATA_LINK, target, sizeof(target) - 1);
    if (len < 0)
        return 0;
    target[len] = '\0';
    return version_of(target);
}

/* Files and the directory. What cannot be removed stays; it is tried again after the next set. */
static void remove_version(const struct cert_output *output, const char *name)
{
    int fd = openat(output->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(fd, entry->d_name, 0);
    closedir(dir);
    unlinkat(output->fd, name, AT_REMOVEDIR);
}

static void remove_versions_but(const struct cert_output *output, unsigned long current,
                                unsigned long former)
{
    int fd = openat(output->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        unsigned long version = version_of(entry->d_name);
        if (version != 0 && version != current && version != former)
            remove_version(output, entry->d_name);
    }
    closedir(dir);
}

/* --------------------------------------------------------------------------------------- links -- */

static int replace_link(const struct cert_output *output, const char *name, const char *target,
                        struct err *err)
{
    if ((unlinkat(output->fd, NEW_LINK, 0) < 0 && errno != ENOENT) ||
        symlinkat(target, output->fd, NEW_LINK) < 0 ||
        renameat(output->fd, NEW_LINK, output->fd, name) < 0)
        return err_set_sys(err, errno, "%s/%s: cannot be replaced",
                           private_file_dir_path(output->dir), name);
    return 0;
}

static void link_target(const char *name, char target[PATH_TEXT_MAX])
{
    snprintf(target, PATH_TEXT_MAX, "%s/%s", DATA_LINK, name);
}

/* 1: a link of ours, 0: nothing, -1: somebody else's. */
static int look_at_link(const struct cert_output *output, const char *name)
{
    char target[PATH_TEXT_MAX], found[PATH_TEXT_MAX];
    link_target(name, target);
    ssize_t len = readlinkat(output->fd, name, found, sizeof(found) - 1);
    if (len < 0)
        return errno == ENOENT ? 0 : -1;
    found[len] = '\0';
    return strcmp(found, target) == 0 ? 1 : -1;
}

static int make_link(const struct cert_output *output, const char *name, struct err *err)
{
    char target[PATH_TEXT_MAX];
    struct stat status;
    link_target(name, target);
    bool is_there = fstatat(output->fd, target, &status, 0) == 0;
    bool is_linked = look_at_link(output, name) == 1;
    if (is_there && !is_linked)
        return replace_link(output, name, target, err);
    if (!is_there && is_linked)
        unlinkat(output->fd, name, 0);
    return 0;
}

static int make_links(const struct cert_output *output, struct err *err)
{
    for (int file = 0; file < NUM_FILES; file++)
        if (output->names[file][0] != '\0' && make_link(output, output->names[file], err) < 0)
            return -1;
    return 0;
}

/* --------------------------------------------------------------------------------------- write -- */

static int write_version(const struct cert_output *output, const char *name,
                         const struct identity *identity, struct err *err)
{
    char path[PATH_TEXT_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", private_file_dir_path(output->dir), name);
    if (len >= (int)sizeof(path))
        return err_set_sys(err, ENAMETOOLONG, "%.200s", path);
    struct private_dir *set = private_file_open_dir(path, false, err);
    if (set == NULL)
        return -1;
    int result = write_files(output, set, identity, err);
    private_file_close_dir(set);
    return result < 0 ? -1 : share_dir(output, name, err);
}

int cert_output_write(struct cert_output *output, const struct identity *identity, struct err *err)
{
    char name[NAME_TEXT_MAX];
    unsigned long former = current_version(output);
    snprintf(name, sizeof(name), VERSION_PREFIX "%lu", former + 1);
    remove_version(output, name); /* half a set, of a process that was killed */
    if (write_version(output, name, identity, err) < 0) {
        remove_version(output, name);
        return -1;
    }
    if (replace_link(output, DATA_LINK, name, err) < 0) {
        remove_version(output, name);
        return -1;
    }
    remove_versions_but(output, former + 1, former);
    return make_links(output, err);
}

/* -------------------------------------------------------------------------------- new and free -- */

static int check_name(const struct cert_output *output, int file, struct err *err)
{
    const char *name = output->names[file];
    if (name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > NAME_MAX / 2)
        return err_set(err, ERR_INVALID,
                       "\"%.100s\" is not a file's name (no slash, no dot in front)", name);
    for (int other = 0; other < file; other++)
        if (name[0] != '\0' && strcmp(name, output->names[other]) == 0)
            return err_set(err, ERR_INVALID, "two files are called \"%.100s\"", name);
    return 0;
}

/* A name that is taken by something else stays its owner's. */
static int check_place(const struct cert_output *output, int file, struct err *err)
{
    const char *name = output->names[file];
    if (name[0] == '\0' || look_at_link(output, name) >= 0)
        return 0;
    return err_set(err, ERR_INVALID,
                   "%s/%s is there already and was not made by this program; move it away",
                   private_file_dir_path(output->dir), name);
}

static int copy_names(struct cert_output *output, const struct cert_output_names *names,
                      struct err *err)
{
    const char *const from[NUM_FILES] = {
        [KEY] = names->key,           [BUNDLE] = names->bundle,
        [COMBINED] = names->combined, [FEDERATED] = names->federated,
        [CRL] = names->crl,           [CHAIN] = names->chain,
    };
    for (int file = 0; file < NUM_FILES; file++) {
        output->names[file] = strdup(from[file]);
        if (output->names[file] == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        if (check_name(output, file, err) < 0)
            return -1;
    }
    return 0;
}

/* One that we make gets its readers' rights; one that is there keeps its own. */
static int open_dir(struct cert_output *output, const struct cert_output_options *options,
                    struct err *err)
{
    bool is_new = mkdir(options->dir, S_IRWXU) == 0;
    output->dir = private_file_open_dir(options->dir, options->memory_only, err);
    if (output->dir == NULL)
        return -1;
    output->fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (output->fd < 0)
        return err_set_sys(err, errno, "%s", options->dir);
    if (!is_new)
        return 0;
    gid_t gid = options->has_gid ? options->gid : (gid_t)-1;
    if (fchown(output->fd, (uid_t)-1, gid) < 0 || fchmod(output->fd, dir_mode(options)) < 0)
        return err_set_sys(err, errno, "%s", options->dir);
    return 0;
}

struct cert_output *cert_output_new(const struct cert_output_options *options, struct err *err)
{
    struct cert_output *output = calloc(1, sizeof(*output));
    if (output == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    output->fd = -1;
    output->key_mode = options->key_mode;
    output->rights = (struct private_file_rights){.mode = options->mode,
                                                  .has_uid = options->has_uid,
                                                  .has_gid = options->has_gid,
                                                  .uid = options->uid,
                                                  .gid = options->gid};
    if (copy_names(output, &options->names, err) < 0 || open_dir(output, options, err) < 0)
        goto fail;
    for (int file = 0; file < NUM_FILES; file++)
        if (check_place(output, file, err) < 0)
            goto fail;
    return output;

fail:
    cert_output_free(output);
    return NULL;
}

void cert_output_free(struct cert_output *output)
{
    if (output == NULL)
        return;
    if (output->fd >= 0)
        close(output->fd);
    private_file_close_dir(output->dir);
    for (int file = 0; file < NUM_FILES; file++)
        free(output->names[file]);
    free(output);
}
