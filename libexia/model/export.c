/* A version as a plain directory, which needs no library: version.json and one file a part.  It is built
 * beside its place and renamed, and every byte is hashed on its way out, so what appears is whole.
 *
 *     version.json  {format: 1, library: ID, version: ROW, environment: OBJECT | null,
 *                    signatures: [{signature: TEXT, library: ID}..]}
 *
 * The first ones had signatures as texts, made before a signature named its library. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/library.h"

enum { BLOCK = 1 << 20, VERSION_LIMIT = 16 << 20 };
static const char version_file[] = "version.json";

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct exporting {
    const exia_model *model;
    char *staging; /* beside the target; NULL: renamed, or not made */
    exia__work work;
    uint64_t done, total;
} exporting;

static exia_status create(int *fd, char **path, const exporting *now, const char *name,
                          exia_error *err)
{
    exia_status rc = exia__path_join(path, now->staging, name, err);
    if (rc < 0)
        return rc;
    *fd = open(*path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return *fd >= 0 ? EXIA_OK : exia__fail_errno(err, errno, "cannot create", *path);
}

static exia_status write_part(exporting *now, const exia__open_part *part, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE], *path = NULL;
    exia__hash *hash = NULL;
    int fd = -1;
    exia_status rc = create(&fd, &path, now, part->name, err);
    if (rc == EXIA_OK)
        rc = exia__hash_open(&hash, err);
    for (size_t at = 0; at < part->size && rc == EXIA_OK;) {
        const char *from = (const char *)part->data + at;
        size_t size = part->size - at < BLOCK ? part->size - at : BLOCK;
        rc = exia__work_step(&now->work, "exporting", now->done, now->total, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(hash, from, size, err);
        if (rc == EXIA_OK)
            rc = exia__write_all(fd, from, size, path, err);
        at += size;
        now->done += size;
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hash, err);
    if (rc == EXIA_OK) {
        exia__hex(hex, digest, sizeof digest);
        if (strcmp(hex, part->sha256) != 0)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "part %s: its SHA-256 is %s, not %s", part->name,
                            hex, part->sha256);
    }
    if (rc == EXIA_OK && fsync(fd) != 0)
        rc = exia__fail_errno(err, errno, "cannot sync", path);
    if (fd >= 0)
        close(fd);
    exia__hash_free(hash);
    exia__release(path);
    return rc;
}

static exia_status write_version(exporting *now, const char *library, exia_error *err)
{
    char *environment = NULL, *text = NULL, *path = NULL;
    const char *facts = now->model->facts;
    json_t *row = NULL, *recorded = NULL, *version = NULL;
    exia_status rc = exia__json_object(&row, facts, strlen(facts), "the facts", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK) {
        rc = exia_model_environment(&environment, now->model, err);
        if (rc == EXIA_OK)
            rc = exia__json_object(&recorded, environment, strlen(environment), "the environment",
                                   EXIA_ECORRUPT, err);
        else if (rc == EXIA_ENOTFOUND)
            rc = exia__forgive(err);
    }
    if (rc == EXIA_OK) {
        json_t *signatures = now->model->signatures;
        version = json_pack("{s:i, s:s?, s:O, s:O?, s:o}", "format", 1, "library", library,
                            "version", row, "environment", recorded, "signatures",
                            signatures ? json_incref(signatures) : json_array());
        rc = exia__json_text(&text, version, err);
    }
    if (rc == EXIA_OK)
        rc = exia__path_join(&path, now->staging, version_file, err);
    if (rc == EXIA_OK)
        rc = exia__file_write(path, text, strlen(text), 0, err);
    json_decref(version);
    json_decref(recorded);
    json_decref(row);
    exia__release(environment);
    exia__release(text);
    exia__release(path);
    return rc;
}

/* "a/b" and "a/b/" become "a/.b.TOKEN": one rename away. */
static exia_status make_staging(exporting *now, const char *target, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE], *staging = NULL;
    const char *base = exia__path_base(target);
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&staging, err, "%.*s.exia-%s", (int)(base - target), target, token);
    if (rc == EXIA_OK && mkdir(staging, 0755) != 0)
        rc = exia__fail_errno(err, errno, "cannot make a directory beside", target);
    if (rc == EXIA_OK) {
        now->staging = staging;
        staging = NULL;
    }
    exia__release(staging);
    return rc;
}

static exia_status appear(exporting *now, const char *target, exia_error *err)
{
    char *parent = NULL;
    const char *base = exia__path_base(target);
    exia_status rc = exia__directory_sync(now->staging, err);
    if (rc == EXIA_OK)
        rc = base == target ? exia__text_copy(&parent, ".", err)
                            : exia__text_copy_n(&parent, target, (size_t)(base - target), err);
    if (rc == EXIA_OK && exia__rename_absent(AT_FDCWD, now->staging, AT_FDCWD, target) != 0)
        rc = exia__fail_errno(err, errno, "cannot write", target);
    if (rc == EXIA_OK) {
        exia__release(now->staging);
        now->staging = NULL;
        rc = exia__directory_sync(parent, err);
    }
    exia__release(parent);
    return rc;
}

static exia_status export_to(exporting *now, const char *library, const char *target,
                             exia_error *err)
{
    exia_status rc = exia__path_exists(target)
                         ? exia__fail(err, EXIA_EEXISTS, 0, "%s is there already", target)
                         : make_staging(now, target, err);
    for (size_t i = 0; i < now->model->part_count; i++)
        now->total += now->model->part[i].size;
    for (size_t i = 0; i < now->model->part_count && rc == EXIA_OK; i++)
        rc = write_part(now, &now->model->part[i], err);
    if (rc == EXIA_OK)
        rc = write_version(now, library, err);
    return rc == EXIA_OK ? appear(now, target, err) : rc;
}

exia_status exia_library_export(exia_library *library, const char *selector, const char *directory,
                                const exia_job *job, exia_error *err)
{
    exporting now = {0};
    exia_model *model = NULL;
    char *target = NULL;
    if (library == NULL || directory == NULL || *directory == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_library_export: the library or the directory is NULL or empty");
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/')
        size--;
    exia_status rc = exia__work_begin(&now.work, job, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy_n(&target, directory, size, err);
    if (rc == EXIA_OK) {
        exia_job rest = exia__work_rest(&now.work);
        rc = exia_model_open_with(&model, library, selector, 0, &rest, err);
    }
    now.model = model;
    if (rc == EXIA_OK)
        rc = export_to(&now, library->id, target, err);
    if (now.staging != NULL)
        exia__tree_remove(now.staging, NULL);
    exia__release(now.staging);
    exia__release(target);
    exia_model_free(model);
    return rc;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* The row has the digest of the environment, which lies beside it. */
static exia_status check_environment(const json_t *version, const char *path, exia_error *err)
{
    const json_t *object = json_object_get(version, "environment");
    const char *digest = exia__json_string(json_object_get(version, "version"), "environment");
    char hex[EXIA__HEX_SIZE] = "", *text = NULL;
    exia_status rc = EXIA_OK;
    if (json_is_object(object)) {
        rc = exia__json_canonical(&text, object, err);
        if (rc == EXIA_OK)
            rc = exia__hash_hex(hex, text, strlen(text), err);
    }
    if (rc == EXIA_OK && strcmp(hex, digest ? digest : "") != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s has not the environment that its row names",
                        path);
    exia__release(text);
    return rc;
}

static exia_status read_signatures(json_t **out, const json_t *version, const char *path,
                                   exia_error *err)
{
    const json_t *signatures = json_object_get(version, "signatures");
    size_t i = 0;
    json_t *one = NULL;
    exia_status rc = EXIA_OK;
    int good = signatures == NULL || json_is_array(signatures);
    *out = NULL;
    json_array_foreach((json_t *)signatures, i, one)
    {
        json_t *holder = json_is_string(one) ? json_pack("{s:O}", "signature", one) : NULL;
        if (json_is_string(one) && holder == NULL)
            return exia__fail_memory(err);
        good = good && exia__signature_valid(holder ? holder : one);
        if (good && rc == EXIA_OK)
            rc = exia__signature_add(out, holder ? holder : one, err);
        json_decref(holder);
    }
    return good || rc < 0
               ? rc
               : exia__fail(err, EXIA_ECORRUPT, 0, "%s: \"signatures\" holds what is none", path);
}

static exia_status read_version(json_t **out, const char *directory, exia_error *err)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    json_t *version = NULL;
    exia_status rc = exia__path_join(&path, directory, version_file, err);
    if (rc == EXIA_OK)
        rc = exia__file_read(&text, &size, path, VERSION_LIMIT, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&version, text, size, version_file, EXIA_ECORRUPT, err);
    if (rc == EXIA_OK) {
        const json_t *format = json_object_get(version, "format");
        const json_t *row = json_object_get(version, "version");
        if (!json_is_integer(format) || json_integer_value(format) < 1)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s has no format", path);
        else if (json_integer_value(format) > 1)
            rc = exia__fail(err, EXIA_EVERSION, 0, "%s is of format %lld", path,
                            (long long)json_integer_value(format));
        else if (exia__json_string(row, "name") == NULL ||
                 !json_is_integer(json_object_get(row, "version")))
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s does not name a version", path);
        else
            rc = exia__parts_check(json_object_get(row, "parts"), 0, err);
        if (rc == EXIA_OK)
            rc = check_environment(version, path, err);
    }
    if (rc == EXIA_OK) {
        *out = version;
        version = NULL;
    }
    json_decref(version);
    exia__release(text);
    exia__release(path);
    return rc;
}

static exia_status open_files(exia_model *model, const char *directory, unsigned flags,
                              exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < model->part_count && rc == EXIA_OK; i++) {
        char *path = NULL;
        rc = exia__path_join(&path, directory, model->part[i].name, err);
        if (rc == EXIA_OK)
            rc = exia__part_from_file(&model->part[i], path, flags, err);
        if (rc == EXIA_ENOTFOUND)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s is missing", path);
        exia__release(path);
    }
    return rc;
}

exia_status exia_model_open_directory(exia_model **out, const char *directory,
                                      const char *trust_file, unsigned flags, exia_error *err)
{
    json_t *version = NULL;
    exia_model *model = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || directory == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_open_directory: an argument is NULL");
    exia_status rc = exia__open_flags(flags, err);
    if (rc == EXIA_OK)
        rc = read_version(&version, directory, err);
    json_t *row = json_object_get(version, "version");
    if (rc == EXIA_OK)
        rc = exia__model_new(&model, json_object_get(row, "parts"), err);
    if (rc == EXIA_OK)
        rc = exia__json_shown(&model->facts, row, err);
    if (rc == EXIA_OK)
        rc = open_files(model, directory, flags, err);
    if (rc == EXIA_OK) {
        json_t *environment = json_object_get(version, "environment");
        model->environment = json_is_object(environment) ? json_incref(environment) : NULL;
        const char *library = exia__json_string(version, "library");
        rc = library ? exia__text_copy(&model->library, library, err) : EXIA_OK;
        if (rc == EXIA_OK)
            rc = read_signatures(&model->signatures, version, directory, err);
    }
    if (rc == EXIA_OK) {
        rc = exia__model_policy_set(model, "a plain directory may come from anywhere", trust_file,
                                    err);
    }
    if (rc == EXIA_OK) {
        *out = model;
        model = NULL;
    }
    exia_model_free(model);
    json_decref(version);
    return rc;
}
