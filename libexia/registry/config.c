/* The remotes a user has named, in HOME/config.json: {"format": 1, "remotes": {NAME: {"records": URL,
 * "packages": URL}}}.  URLs may hold secrets: the file is the user's alone, and listings hide them.
 * Other members of the file are kept as they are. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "base/url.h"
#include "exia/store.h"
#include "registry/files.h"
#include "registry/trial.h"

enum { CONFIG_LIMIT = 1 << 20, URL_LIMIT = 4096, CHECK_MS = 3000 };

/* The whole file, with an object "remotes" in it; absent: an empty one. */
static exia_status read_config(json_t **out, const exia_registry *registry, exia_error *err)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    json_t *config = NULL;
    *out = NULL;
    exia_status rc = exia__registry_path(&path, registry, "config.json", err);
    if (rc < 0)
        goto done;
    if (!exia__path_exists(path)) {
        config = json_pack("{s:i, s:{}}", "format", 1, "remotes");
        rc = config ? EXIA_OK : exia__fail_memory(err);
    } else if ((rc = exia__file_read(&text, &size, path, CONFIG_LIMIT, err)) == EXIA_OK &&
               (rc = exia__json_object(&config, text, size, path, EXIA_ECORRUPT, err)) == EXIA_OK) {
        const json_t *format = json_object_get(config, "format");
        if (json_integer_value(format) > 1)
            rc = exia__fail(err, EXIA_EVERSION, 0,
                            "%s is of format %lld, newer than this library reads (1)", path,
                            (long long)json_integer_value(format));
        else if (json_integer_value(format) < 1 ||
                 !json_is_object(json_object_get(config, "remotes")))
            rc = exia__fail(err, EXIA_ECORRUPT, 0,
                            "%s: \"format\" (1) or \"remotes\" (an object) is missing", path);
    }
    if (rc < 0)
        goto done;
    *out = config;
    config = NULL;
done:
    json_decref(config);
    exia__release(path);
    exia__release(text);
    return rc;
}

static exia_status write_config(const json_t *config, const exia_registry *registry,
                                exia_error *err)
{
    char *path = NULL, *text = NULL;
    exia_status rc = exia__registry_path(&path, registry, "config.json", err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&text, config, err);
    if (rc == EXIA_OK && strlen(text) > CONFIG_LIMIT) /* it would not be read again */
        rc = exia__fail(err, EXIA_ENOSPACE, 0,
                        "%s would be longer than %d bytes: remove remotes that are not used", path,
                        CONFIG_LIMIT);
    if (rc == EXIA_OK)
        rc = exia__file_write(path, text, strlen(text), EXIA__REPLACE | EXIA__SECRET, err);
    exia__release(path);
    exia__release(text);
    return rc;
}

/* "scheme:relative" and plain relative paths mean another place in each working directory: what is
 * remembered names the place of now. */
static exia_status make_absolute(char **out, const char *url, exia_error *err)
{
    char *scheme = NULL, *inner = NULL, *encoded = NULL, here[PATH_MAX];
    *out = NULL;
    exia_status rc = exia__url_scheme(&scheme, url, err);
    const char *rest = scheme ? url + strlen(scheme) + 1 : url;
    if (rc == EXIA_OK && scheme != NULL)
        rc = exia__url_scheme(&inner, rest, err); /* a driver around another has its URL as path */
    if (rc == EXIA_OK && scheme == NULL && strstr(url, "://") != NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, /* not the URL, which may hold a password */
                        "%.*s:// is no scheme: one has small letters, as in s3+https://",
                        (int)strcspn(url, ":/"), url);
    if (rc == EXIA_OK && inner != NULL && strstr(rest, "://") != NULL &&
        (strcmp(scheme, "file") == 0 || strcmp(scheme, "sqlite") == 0))
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s: stands before a path, not before %.40s://",
                        scheme, inner);
    if (rc < 0)
        goto done;
    if (*rest == '/' || inner != NULL)
        rc = exia__text_copy(out, url, err);
    else if (getcwd(here, sizeof here) == NULL)
        rc = exia__fail_errno(err, errno, "cannot tell", "the working directory");
    else if (scheme == NULL)
        rc = exia__path_join(out, here, rest, err);
    else if ((rc = exia__percent_encode(&encoded, here, err)) == EXIA_OK)
        rc = exia__text_format(out, err, "%s:%s/%s", scheme, encoded, rest);
done:
    exia__release(scheme);
    exia__release(inner);
    exia__release(encoded);
    return rc;
}

/* Does a driver take the URL?  Whether its server answers is another matter. */
static exia_status check_driver(const char *url, int packages, exia_error *err)
{
    exia_job job = {.struct_size = sizeof job, .timeout_ms = CHECK_MS, .total_ms = CHECK_MS};
    exia__records *records = NULL;
    exia__blobs *blobs = NULL;
    exia_status rc = packages ? exia__blobs_open(&blobs, url, EXIA_STORE_READ, &job, err)
                              : exia__records_open(&records, url, EXIA_STORE_READ, &job, err);
    exia__records_free(records);
    exia__blobs_free(blobs);
    return rc == EXIA_EINVAL || rc == EXIA_EUNSUPPORTED || rc == EXIA_ENOMEM ? rc
                                                                             : exia__forgive(err);
}

/* A URL as it will be kept.  A plain path is a store directory: `packages` tells which half. */
static exia_status check_url(char **out, const char *url, int packages, exia_error *err)
{
    char *absolute = NULL, *records = NULL, *blobs = NULL;
    exia_status rc = EXIA_OK;
    size_t size = strnlen(url, URL_LIMIT + 1);
    *out = NULL;
    if (size == 0 || size > URL_LIMIT || !exia__text_valid(url, size))
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "the URL of the %s is empty, longer than %d bytes or no plain text",
                        packages ? "packages" : "records", URL_LIMIT);
    if (rc == EXIA_OK)
        rc = make_absolute(&absolute, url, err);
    if (rc == EXIA_OK)
        rc = exia__store_urls(&records, &blobs, absolute, err);
    if (rc == EXIA_OK) {
        char **which = blobs == NULL ? &absolute : packages ? &blobs : &records;
        rc = check_driver(*which, packages, err);
        if (rc == EXIA_OK) {
            *out = *which;
            *which = NULL;
        }
    }
    exia__release(absolute);
    exia__release(records);
    exia__release(blobs);
    return rc;
}

exia_status exia_registry_remote_add(exia_registry *registry, const char *name,
                                     const char *records_url, const char *packages_url,
                                     exia_error *err)
{
    char *records = NULL, *packages = NULL;
    json_t *config = NULL, *remote = NULL;
    exia__work work;
    int lock = -1;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (records_url == NULL || packages_url == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "a remote needs two URLs: records and packages");
    if ((rc = exia__name_check_lower(name, "name of a remote", err)) < 0 ||
        (rc = check_url(&records, records_url, 0, err)) < 0 ||
        (rc = check_url(&packages, packages_url, 1, err)) < 0 ||
        (rc = exia__work_begin(&work, NULL, err)) < 0)
        goto done;
    remote = json_pack("{s:s, s:s}", "records", records, "packages", packages);
    if (remote == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    if ((rc = exia__home_lock(&lock, registry, &work, err)) < 0 ||
        (rc = read_config(&config, registry, err)) < 0)
        goto done;
    json_t *remotes = json_object_get(config, "remotes");
    const json_t *there = json_object_get(remotes, name);
    if (there != NULL && json_equal(there, remote))
        goto done;
    if (there != NULL)
        rc = exia__fail(err, EXIA_EEXISTS, 0,
                        "there is a remote \"%s\" with other URLs: remove it first", name);
    else if ((rc = exia__json_set(remotes, name, json_incref(remote), err)) == EXIA_OK)
        rc = write_config(config, registry, err);
done:
    exia__lock_drop(lock);
    json_decref(config);
    json_decref(remote);
    exia__release(records);
    exia__release(packages);
    return rc;
}

/* The remote's object in `config`. */
static exia_status find_remote(const json_t **out, const json_t *config, const char *name,
                               exia_error *err)
{
    exia_status rc = exia__name_check_lower(name, "name of a remote", err);
    if (rc < 0)
        return rc;
    *out = json_object_get(json_object_get(config, "remotes"), name);
    if (*out == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0,
                          "there is no remote \"%s\": add it first (a directory of packages is "
                          "written ./%s)",
                          name, name);
    if (exia__json_string(*out, "records") == NULL || exia__json_string(*out, "packages") == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "config.json: the remote \"%s\" has no \"records\" or no \"packages\"",
                          name);
    return EXIA_OK;
}

exia_status exia_registry_remote_remove(exia_registry *registry, const char *name, exia_error *err)
{
    json_t *config = NULL;
    exia__work work;
    int lock = -1;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0 || (rc = exia__name_check_lower(name, "name of a remote", err)) < 0 ||
        (rc = exia__work_begin(&work, NULL, err)) < 0 ||
        (rc = exia__home_lock(&lock, registry, &work, err)) < 0 ||
        (rc = read_config(&config, registry, err)) < 0)
        goto done;
    if (json_object_del(json_object_get(config, "remotes"), name) != 0)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "there is no remote \"%s\"", name);
    else
        rc = write_config(config, registry, err);
done:
    exia__lock_drop(lock);
    json_decref(config);
    return rc;
}

/* Passwords are for the user alone: what we write is so, what he wrote may not be. */
static void warn_if_open(const exia_registry *registry, const char *url)
{
    struct stat info;
    char *path = NULL, *shown = NULL;
    if (exia__registry_path(&path, registry, "config.json", NULL) == EXIA_OK &&
        exia__url_redact(&shown, url, NULL) == EXIA_OK && strcmp(shown, url) != 0 &&
        stat(path, &info) == 0 && (info.st_mode & 0077) != 0)
        exia__log(EXIA_LOG_WARNING, "registry",
                  "%s holds a password, and others may read it: chmod 600 it", path);
    exia__release(path);
    exia__release(shown);
}

exia_status exia__remote_urls(char **records, char **packages, const exia_registry *registry,
                              const char *name, exia_error *err)
{
    json_t *config = NULL;
    const json_t *remote = NULL;
    *records = *packages = NULL;
    exia_status rc = read_config(&config, registry, err);
    if (rc == EXIA_OK)
        rc = find_remote(&remote, config, name, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(records, exia__json_string(remote, "records"), err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(packages, exia__json_string(remote, "packages"), err);
    if (rc == EXIA_OK) {
        warn_if_open(registry, *records);
        warn_if_open(registry, *packages);
    }
    json_decref(config);
    return rc;
}

static exia_status add_row(exia_rows *rows, const char *name, const json_t *remote, exia_error *err)
{
    static const char *const members[] = {"records", "packages"};
    json_t *row = json_pack("{s:s}", "name", name);
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < 2; i++) {
        char *shown = NULL;
        rc = exia__url_redact(&shown, exia__json_string(remote, members[i]), err);
        if (rc == EXIA_OK)
            rc = exia__json_set(row, members[i], json_string(shown), err);
        exia__release(shown);
    }
    if (rc == EXIA_OK)
        rc = exia__rows_add(rows, row, err);
    json_decref(row);
    return rc;
}

exia_status exia_registry_remotes(exia_rows **out, exia_registry *registry, exia_error *err)
{
    json_t *config = NULL, *value;
    exia_rows *rows = NULL;
    const char *name;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_remotes: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc < 0 || (rc = read_config(&config, registry, err)) < 0 ||
        (rc = exia__rows_open(&rows, err)) < 0)
        goto done;
    json_object_foreach(json_object_get(config, "remotes"), name, value)
    {
        const json_t *remote = NULL;
        if ((rc = find_remote(&remote, config, name, err)) < 0 ||
            (rc = add_row(rows, name, remote, err)) < 0)
            goto done;
    }
    *out = rows;
    rows = NULL;
done:
    exia_rows_free(rows);
    json_decref(config);
    return rc;
}

/* ---- check ---- */

static exia_status add_fact(exia_rows *rows, const char *store, const char *key, json_t *value,
                            exia_error *err)
{
    json_t *row = json_pack("{s:s, s:s, s:O}", "store", store, "key", key, "value", value);
    exia_status rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}

static exia_status check_side(exia_rows *rows, const char *store, const char *url, exia_error *err)
{
    exia_rows *found = NULL;
    const char *text = NULL;
    exia_status rc = exia_store_check(&found, url, err);
    if (rc == EXIA_ENOTFOUND) {
        json_t *why = json_string("nothing was pushed there yet");
        rc = why ? add_fact(rows, store, "state", why, err) : exia__fail_memory(err);
        json_decref(why);
        return rc == EXIA_OK ? exia__forgive(err) : rc;
    }
    while (rc == EXIA_OK && (rc = exia_rows_next(&text, found, err)) == EXIA_OK) {
        json_t *fact = NULL;
        rc = exia__json_object(&fact, text, strlen(text), "a fact of a store", EXIA_ECORRUPT, err);
        if (rc == EXIA_OK)
            rc = add_fact(rows, store, exia__json_string(fact, "key"),
                          json_object_get(fact, "value"), err);
        json_decref(fact);
    }
    exia_rows_free(found);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}

static exia_status check_remote(exia_rows **out, exia_registry *registry, const char *remote,
                                int try, const exia_job *job, exia_error *err)
{
    const exia__side side = {.name = remote};
    char *records = NULL, *packages = NULL;
    exia_rows *rows = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the check of a remote: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc == EXIA_OK)
        rc = exia__name_check_lower(remote, "name of a remote", err);
    if (rc == EXIA_OK)
        rc = exia__remote_urls(&records, &packages, registry, remote, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    if (rc == EXIA_OK)
        rc = check_side(rows, "records", records, err);
    if (rc == EXIA_OK && try) { /* before its facts are told, for some come of it */
        rc = exia__trial(rows, packages, job, err);
        if (rc < 0)
            exia__side_fail(&side, rc, err);
    }
    if (rc == EXIA_OK)
        rc = check_side(rows, "packages", packages, err);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    exia__release(records);
    exia__release(packages);
    return rc;
}

exia_status exia_registry_remote_check(exia_rows **out, exia_registry *registry, const char *remote,
                                       exia_error *err)
{
    return check_remote(out, registry, remote, 0, NULL, err);
}

exia_status exia_registry_remote_try(exia_rows **out, exia_registry *registry, const char *remote,
                                     const exia_job *job, exia_error *err)
{
    return check_remote(out, registry, remote, 1, job, err);
}

/* ---- sides ---- */

exia_status exia__side_open(exia__side *out, exia_registry *registry, const char *remote, int mode,
                            int with_blobs, const exia_job *job, exia_error *err)
{
    char *records = NULL, *packages = NULL;
    exia__side side = {.name = remote};
    exia_status rc = EXIA_OK;
    *out = side;
    if (remote == NULL) {
        side.records = exia__records_keep(registry->records);
        side.blobs = exia__blobs_keep(registry->blobs);
    } else if (exia__files_named(remote)) {
        rc = mode == EXIA_STORE_READ
                 ? exia__files_open(&side.files, remote, err)
                 : exia__fail(err, EXIA_EUNSUPPORTED, 0,
                              "%s is a directory of packages, which is only read: copy files "
                              "there",
                              remote);
    } else if ((rc = exia__remote_urls(&records, &packages, registry, remote, err)) == EXIA_OK) {
        exia_error caught;
        rc = exia__records_open(&side.records, records, mode, job, &caught);
        if (rc == EXIA_OK && with_blobs)
            rc = exia__blobs_open(&side.blobs, packages, mode, job, &caught);
        if (rc == EXIA_ENOTFOUND && side.records == NULL && mode == EXIA_STORE_READ)
            rc = EXIA_OK; /* the first push makes it: until then it has no packages */
        else if (rc < 0)
            exia__side_fail(&side, exia__error_pass(err, &caught), err);
    }
    if (rc == EXIA_OK) {
        *out = side;
        side = (exia__side){0};
    }
    exia__side_free(&side);
    exia__release(records);
    exia__release(packages);
    return rc;
}

void exia__side_free(exia__side *side)
{
    exia__records_free(side->records);
    exia__blobs_free(side->blobs);
    exia__files_free(side->files);
    *side = (exia__side){0};
}

exia__side exia__side_here(const exia_registry *registry)
{
    return (exia__side){.records = registry->records, .blobs = registry->blobs};
}

exia_status exia__side_fail(const exia__side *side, exia_status status, exia_error *err)
{
    static const char prefix[] = "remote ";
    size_t size = sizeof prefix - 1;
    if (side->name == NULL || err == NULL)
        return status;
    if (strncmp(err->text, prefix, size) == 0 &&
        strncmp(err->text + size, side->name, strlen(side->name)) == 0)
        return status;
    return exia__prefix(err, status, "%s%s", prefix, side->name);
}
