/* Signatures of packages.  One is over METADATA.json, which holds the digests of RECORD and of the
 * frames, so it is over every byte that counts; and it lies in the last frame, so that who signs
 * copies all before it, and writes that frame and its two sizes in the seek table. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "base/trust.h"
#include "package/reader.h"

/* ---- what they are worth -------------------------------------------------------------------- */

exia_status exia__package_trusted_by(const exia_package *package, const json_t *policy,
                                     int required, exia_error *err)
{
    json_t *judged = NULL;
    const char *path = package->path;
    required = required || json_is_true(json_object_get(policy, "require_signature"));
    if (package->signature == NULL)
        return !required ? EXIA_OK
                         : exia__fail(err, EXIA_EUNTRUSTED, 0,
                                      "%s is not signed, and a signature by a trusted key is "
                                      "required",
                                      path);
    exia_status rc = exia__trust_judge(&judged, policy, package->signature, package->facts_text,
                                       strlen(package->facts_text), err);
    if (rc < 0)
        return rc;
    const char *state = exia__json_string(judged, "state"), *key = exia__json_string(judged, "key");
    const char *by = exia__json_string(judged, "by"), *why = exia__json_string(judged, "why");
    if (strcmp(state, "bad") == 0)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0,
                        "%s is not what was signed: the signature by the key %s (%s) is not of its "
                        "metadata",
                        path, key, by);
    else if (required && strcmp(state, "revoked") == 0)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0,
                        "%s is signed by the key %s (%s), which was revoked%s%s", path, key, by,
                        why ? ": " : "", why ? why : "");
    else if (required && strcmp(state, "good") != 0)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0, "%s is signed by the key %s, which is not trusted",
                        path, key);
    json_decref(judged);
    return rc;
}

exia_status exia__package_trusted(const exia_package *package, const char *trust_file, int required,
                                  exia_error *err)
{
    json_t *policy = NULL;
    exia_status rc = exia__trust_policy(&policy, trust_file, err);
    if (rc == EXIA_OK)
        rc = exia__package_trusted_by(package, policy, required, err);
    json_decref(policy);
    return rc;
}

exia_status exia_package_signatures(exia_rows **out, const exia_package *package,
                                    const char *trust_file, exia_error *err)
{
    exia_rows *rows = NULL;
    json_t *policy = NULL, *row = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || package == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_signatures: an argument is NULL");
    exia_status rc = exia__trust_policy(&policy, trust_file, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    if (rc == EXIA_OK && package->signature != NULL) {
        rc = exia__trust_judge(&row, policy, package->signature, package->facts_text,
                               strlen(package->facts_text), err);
        if (rc == EXIA_OK)
            rc = exia__json_set(row, "signature", json_string(package->signature), err);
        if (rc == EXIA_OK)
            rc = exia__rows_add(rows, row, err);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    json_decref(row);
    json_decref(policy);
    return rc;
}

/* ---- adding one ----------------------------------------------------------------------------- */

exia_status exia__sign_options(exia_sign_options *ours, const exia_sign_options *options,
                               exia_error *err)
{
    exia_status rc = exia__options(ours, sizeof *ours, options, err);
    if (rc == EXIA_OK && ours->message != NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "a message goes into a history, which a package has not: give a comment");
    return rc;
}

exia_status exia__sign_metadata(char **out, const char *metadata, const json_t *manifest,
                                const exia_sign_options *options, const char *trust_file,
                                exia_error *err)
{
    char *comment = NULL;
    *out = NULL;
    /* no time in it, so that signing again gives the same bytes */
    exia_status rc =
        exia__text_format(&comment, err, "%s@%s#%s", exia__json_string(manifest, "name"),
                          exia__json_string(manifest, "version"), exia__manifest_tag(manifest));
    if (rc == EXIA_OK)
        rc = exia__trust_sign(out, options, comment, "package", trust_file, metadata,
                              strlen(metadata), err);
    exia__release(comment);
    return rc;
}

/* All before the last frame, in pieces that leave room for progress. */
static exia_status copy_payload(int fd, const exia_package *package, exia__work *work,
                                exia_error *err)
{
    enum { PIECE = 64 << 20 };
    uint64_t size = package->frames[package->frame_count - 1].offset;
    exia_status rc = EXIA_OK;
    for (uint64_t at = 0; at < size && rc == EXIA_OK; at += PIECE) {
        uint64_t more = size - at < PIECE ? size - at : PIECE;
        rc = exia__copy_range(fd, package->fd, at, more, package->path, err);
        if (rc == EXIA_OK)
            rc = exia__work_step(work, "copying", at + more, size, err);
    }
    return rc;
}

/* The last frame with the signature, and the seek table, where only its entry is another. */
static exia_status put_end(int fd, const char *path, const exia_package *package,
                           const char *signature, exia_error *err)
{
    size_t size =
        EXIA__SKIPPABLE_HEADER + package->frame_count * EXIA__TABLE_ENTRY + EXIA__TABLE_FOOTER;
    exia__buffer tar = {0}, frame = {0};
    unsigned char *table = exia__resize(NULL, size);
    exia_status rc = table ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__read_at(package->fd, table, size, package->file_size - size, package->path, err);
    if (rc == EXIA_OK)
        rc = exia__tar_end(&tar, signature, err);
    if (rc == EXIA_OK)
        rc = exia__stored_frame(&frame, tar.data, tar.size, err);
    if (rc == EXIA_OK) {
        unsigned char *last = table + size - EXIA__TABLE_FOOTER - EXIA__TABLE_ENTRY;
        exia__put32(last, (uint32_t)frame.size);
        exia__put32(last + 4, (uint32_t)tar.size);
        rc = exia__write_all(fd, frame.data, frame.size, path, err);
    }
    if (rc == EXIA_OK)
        rc = exia__write_all(fd, table, size, path, err);
    exia__release(table);
    exia__buffer_free(&frame);
    exia__buffer_free(&tar);
    return rc;
}

/* A package that is replaced keeps its mode. */
static exia_status keep_mode(int fd, const exia_package *package, exia_error *err)
{
    struct stat info;
    if (fstat(package->fd, &info) != 0 || fchmod(fd, info.st_mode & 0777) != 0)
        return exia__fail_errno(err, errno, "cannot set the mode of", package->path);
    return EXIA_OK;
}

/* Above all no device: the rename would replace it. */
static exia_status check_target(const char *path, exia_error *err)
{
    struct stat info;
    return stat(path, &info) != 0 || S_ISREG(info.st_mode)
               ? EXIA_OK
               : exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file: name one to write", path);
}

exia_status exia_package_sign(const char *file, const char *signed_file,
                              const exia_sign_options *options, const char *trust_file,
                              const exia_job *job, exia_error *err)
{
    exia_sign_options ours;
    exia__work work;
    exia__staged staged = {.fd = -1};
    exia_package *package = NULL;
    char *signature = NULL;
    if (file == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_sign: the file is NULL");
    const char *path = signed_file ? signed_file : file;
    exia_status rc = exia__sign_options(&ours, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia_package_open(&package, file, err);
    if (rc == EXIA_OK)
        rc = check_target(path, err);
    if (rc == EXIA_OK) /* before the long work: the key may be missing */
        rc = exia__sign_metadata(&signature, package->facts_text, package->manifest, &ours,
                                 trust_file, err);
    if (rc == EXIA_OK) /* nobody signs what is not as it says */
        rc = exia__package_check(NULL, package, &work, err);
    if (rc == EXIA_OK)
        rc = exia__stage(&staged, path, EXIA__REPLACE, err);
    if (rc == EXIA_OK && signed_file == NULL)
        rc = keep_mode(staged.fd, package, err);
    if (rc == EXIA_OK)
        rc = copy_payload(staged.fd, package, &work, err);
    if (rc == EXIA_OK)
        rc = put_end(staged.fd, path, package, signature, err);
    if (rc == EXIA_OK)
        rc = exia__stage_commit(&staged, EXIA__REPLACE, err);
    exia__stage_free(&staged);
    exia__release(signature);
    exia_package_free(package);
    return rc;
}
