/* Backups in a directory.  Members are staged and renamed, and count only once backup.json names them,
 * so a run that was killed leaves nothing that anybody reads, and the next one goes on with the blobs
 * that are there. */
#include "model/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"

static const char list_name[] = "backup.json", lock_name[] = "lock", file_suffix[] = ".tar.zst";

void exia__bundle_log_path(char out[EXIA__MEMBER_SIZE], const char *name, int64_t first)
{
    snprintf(out, EXIA__MEMBER_SIZE, "logs/%.128s/%016lld.jsonl", name, (long long)first);
}

void exia__bundle_blob_path(char out[EXIA__MEMBER_SIZE], const char *hex)
{
    snprintf(out, EXIA__MEMBER_SIZE, "blobs/sha256/%.2s/%.64s", hex, hex);
}

exia_status exia__bundle_list(json_t **out, const char *text, size_t size, exia_error *err)
{
    json_t *list = NULL;
    exia_status rc = exia__json_object(&list, text, size, list_name, EXIA_ECORRUPT, err);
    const json_t *format = json_object_get(list, "format");
    if (rc == EXIA_OK && json_integer_value(format) > 1)
        rc = exia__fail(err, EXIA_EVERSION, 0, "the backup is of format %lld",
                        (long long)json_integer_value(format));
    else if (rc == EXIA_OK &&
             (json_integer_value(format) != 1 || exia__json_string(list, "library") == NULL ||
              strlen(exia__json_string(list, "library")) >= EXIA__TOKEN_SIZE ||
              !json_is_object(json_object_get(list, "models"))))
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "its %s does not say what it is", list_name);
    if (rc == EXIA_OK) {
        *out = list;
        list = NULL;
    }
    json_decref(list);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* A directory without a list is new, or a first run was killed in it. */
static exia_status check_directory(const char *path, exia_error *err)
{
    DIR *listing = opendir(path);
    const struct dirent *entry = NULL;
    exia_status rc = listing ? EXIA_OK : exia__fail_errno(err, errno, "cannot read", path);
    while (rc == EXIA_OK && (entry = readdir(listing)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, lock_name) != 0 &&
            strcmp(name, "logs") != 0 && strcmp(name, "blobs") != 0 &&
            strncmp(name, ".exia-", 6) != 0)
            rc = exia__fail(err, EXIA_EINVAL, 0,
                            "%s is neither empty nor a backup: give a new directory, or a file "
                            "PATH%s",
                            path, file_suffix);
    }
    if (listing != NULL)
        closedir(listing);
    return rc;
}

static exia_status open_directory(exia__bundle *bundle, const char *path, exia_error *err)
{
    char *lock = NULL, *list = NULL, *text = NULL;
    size_t size = 0;
    exia_status rc = exia__text_copy(&bundle->directory, path, err);
    if (rc == EXIA_OK)
        rc = exia__directory_make(path, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(&list, path, list_name, err);
    if (rc == EXIA_OK && !exia__path_exists(list))
        rc = check_directory(path, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(&lock, path, lock_name, err);
    if (rc == EXIA_OK) {
        bundle->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (bundle->lock < 0)
            rc = exia__fail_errno(err, errno, "cannot open", lock);
        else if (flock(bundle->lock, LOCK_EX | LOCK_NB) != 0)
            rc = exia__fail(err, EXIA_ECONFLICT, errno, "another backup is being made in %s", path);
    }
    if (rc == EXIA_OK && exia__path_exists(list)) {
        rc = exia__file_read(&text, &size, list, EXIA__BUNDLE_LIST_LIMIT, err);
        if (rc == EXIA_OK)
            rc = exia__bundle_list(&bundle->list, text, size, err);
        if (rc < 0)
            rc = exia__prefix(err, rc, "%s", path);
    }
    exia__release(lock);
    exia__release(list);
    exia__release(text);
    return rc;
}

exia_status exia__bundle_open(exia__bundle *out, const char *path, exia_error *err)
{
    size_t size = strlen(path), suffix = sizeof file_suffix - 1;
    exia_status rc = EXIA_OK;
    *out = (exia__bundle){.lock = -1, .staged = {.fd = -1}};
    if (size <= suffix || strcmp(path + size - suffix, file_suffix) != 0)
        rc = open_directory(out, path, err);
    else if (exia__path_exists(path))
        rc = exia__fail(err, EXIA_EEXISTS, EEXIST, "%s is there already", path);
    else {
        rc = exia__stage(&out->staged, path, 0, err);
        if (rc == EXIA_OK)
            rc = exia__archive_begin(out, err);
    }
    if (rc < 0)
        exia__bundle_free(out);
    return rc;
}

static exia_status member_path(char **out, const exia__bundle *bundle, const char *member,
                               exia_error *err)
{
    return exia__path_join(out, bundle->directory, member, err);
}

exia_status exia__bundle_has(int *out, const exia__bundle *bundle, const char *hex, uint64_t size,
                             exia_error *err)
{
    char member[EXIA__MEMBER_SIZE], *path = NULL;
    struct stat info;
    *out = json_object_get(bundle->blobs, hex) != NULL;
    if (bundle->directory == NULL)
        return EXIA_OK;
    exia__bundle_blob_path(member, hex);
    exia_status rc = member_path(&path, bundle, member, err);
    if (rc == EXIA_OK)
        *out = lstat(path, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size == size;
    exia__release(path);
    return rc;
}

exia_status exia__bundle_begin(exia__bundle *bundle, const char *member, uint64_t size,
                               exia_error *err)
{
    char *path = NULL, *folder = NULL;
    if (bundle->archive != NULL)
        return exia__archive_member(bundle, member, size, err);
    exia_status rc = member_path(&path, bundle, member, err);
    if (rc == EXIA_OK)
        rc = exia__path_folder(&folder, path, err);
    if (rc == EXIA_OK)
        rc = exia__directory_make(folder, err);
    if (rc == EXIA_OK) /* what is there is not named by the list, or is damaged */
        rc = exia__stage(&bundle->staged, path, EXIA__REPLACE, err);
    exia__release(path);
    exia__release(folder);
    return rc;
}

exia_status exia__bundle_write(exia__bundle *bundle, const void *data, size_t size, exia_error *err)
{
    return bundle->archive
               ? exia__archive_write(bundle, data, size, err)
               : exia__write_all(bundle->staged.fd, data, size, bundle->staged.path, err);
}

exia_status exia__bundle_end(exia__bundle *bundle, exia_error *err)
{
    if (bundle->archive != NULL)
        return EXIA_OK; /* the next header ends it */
    exia_status rc = exia__stage_commit(&bundle->staged, EXIA__REPLACE, err);
    exia__stage_free(&bundle->staged);
    return rc;
}

void exia__bundle_drop(exia__bundle *bundle)
{
    if (bundle->archive == NULL)
        exia__stage_free(&bundle->staged);
}

exia_status exia__bundle_finish(exia__bundle *bundle, const char *list, exia_error *err)
{
    exia_status rc = exia__bundle_begin(bundle, list_name, strlen(list), err);
    if (rc == EXIA_OK)
        rc = exia__bundle_write(bundle, list, strlen(list), err);
    if (rc == EXIA_OK)
        rc = exia__bundle_end(bundle, err);
    if (rc == EXIA_OK && bundle->archive != NULL) {
        rc = exia__archive_close(bundle, 1, err);
        if (rc == EXIA_OK)
            rc = exia__stage_commit(&bundle->staged, 0, err);
    }
    return rc;
}

void exia__bundle_free(exia__bundle *bundle)
{
    if (bundle->archive != NULL)
        (void)exia__archive_close(bundle, 0, NULL);
    exia__stage_free(&bundle->staged);
    if (bundle->lock >= 0)
        close(bundle->lock);
    exia__release(bundle->directory);
    json_decref(bundle->list);
    json_decref(bundle->blobs);
    *bundle = (exia__bundle){.lock = -1, .staged = {.fd = -1}};
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A regular file below the directory, of at most `limit` bytes. */
static exia_status open_member(int *fd, uint64_t *size, int directory, const char *member,
                               uint64_t limit, exia_error *err)
{
    struct stat info;
    *fd = exia__open_beneath(directory, member, O_RDONLY | O_NONBLOCK, 0);
    if (*fd < 0 && errno == ENOENT)
        return exia__fail(err, EXIA_ECORRUPT, ENOENT, "%s is missing", member);
    if (*fd < 0 || fstat(*fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", member);
    if (!S_ISREG(info.st_mode))
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no regular file", member);
    if ((uint64_t)info.st_size > limit)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has more than %llu bytes", member,
                          (unsigned long long)limit);
    *size = (uint64_t)info.st_size;
    return EXIA_OK;
}

static exia_status read_member(char **out, size_t *size, int directory, const char *member,
                               uint64_t limit, exia_error *err)
{
    uint64_t bytes = 0;
    char *text = NULL;
    int fd = -1;
    exia_status rc = open_member(&fd, &bytes, directory, member, limit, err);
    if (rc == EXIA_OK && (text = exia__resize(NULL, (size_t)bytes + 1)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__read_at(fd, text, (size_t)bytes, 0, member, err);
    if (rc == EXIA_OK) {
        text[bytes] = '\0';
        *out = text;
        *size = (size_t)bytes;
        text = NULL;
    }
    exia__release(text);
    if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status read_logs(int directory, const char *name, const json_t *model,
                             const exia__unbundling *how, exia__work *work, exia_error *err)
{
    size_t i = 0;
    const json_t *log = NULL;
    exia_status rc = exia__name_check(name, "model name", err);
    if (rc < 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "its %s names a model that cannot be", list_name);
    json_array_foreach(json_object_get(model, "logs"), i, log)
    {
        char member[EXIA__MEMBER_SIZE], *text = NULL;
        size_t size = 0;
        json_int_t first = json_integer_value(json_object_get(log, "first"));
        if (rc == EXIA_OK)
            rc = exia__work_step(work, "reading logs", i, 0, err);
        if (rc == EXIA_OK) {
            exia__bundle_log_path(member, name, first);
            rc = read_member(&text, &size, directory, member, EXIA__BUNDLE_LOG_LIMIT, err);
        }
        if (rc == EXIA_OK)
            rc = how->log(name, first, text, size, how->payload, err);
        exia__release(text);
    }
    return rc;
}

static exia_status read_blobs(int directory, const exia__unbundling *how, exia__work *work,
                              exia_error *err)
{
    const char *hex = NULL;
    json_t *expected = NULL;
    exia_status rc = EXIA_OK;
    json_object_foreach((json_t *)how->wanted, hex, expected)
    {
        char member[EXIA__MEMBER_SIZE];
        uint64_t size = 0;
        int fd = -1;
        if (rc == EXIA_OK)
            rc = exia__work_step(work, "reading blobs", 0, 0, err);
        if (rc < 0)
            break;
        exia__bundle_blob_path(member, hex);
        rc =
            open_member(&fd, &size, directory, member, (uint64_t)json_integer_value(expected), err);
        if (rc == EXIA_OK)
            rc = how->blob(hex, fd, size, how->payload, err);
        if (fd >= 0)
            close(fd);
    }
    return rc;
}

static exia_status unbundle_directory(int directory, const exia__unbundling *how, int logs_only,
                                      exia__work *work, exia_error *err)
{
    char *text = NULL;
    size_t size = 0;
    json_t *list = NULL, *model = NULL;
    const char *name = NULL;
    exia_status rc = read_member(&text, &size, directory, list_name, EXIA__BUNDLE_LIST_LIMIT, err);
    if (rc == EXIA_OK)
        rc = exia__bundle_list(&list, text, size, err);
    exia__release(text);
    json_object_foreach(json_object_get(list, "models"), name, model)
    {
        if (rc == EXIA_OK)
            rc = read_logs(directory, name, model, how, work, err);
    }
    if (rc == EXIA_OK && !logs_only)
        rc = how->logs_end(how->payload, err);
    if (rc == EXIA_OK && !logs_only)
        rc = read_blobs(directory, how, work, err);
    if (rc == EXIA_OK && !logs_only)
        rc = how->list(list, how->payload, err);
    json_decref(list);
    return rc;
}

exia_status exia__unbundle(const char *path, const exia__unbundling *how, int logs_only,
                           exia__work *work, exia_error *err)
{
    struct stat info;
    exia_status rc = EXIA_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) != 0)
        rc = exia__fail_errno(err, errno, "cannot read", path);
    else if (S_ISDIR(info.st_mode))
        rc = unbundle_directory(fd, how, logs_only, work, err);
    else if (S_ISREG(info.st_mode))
        rc = exia__unbundle_archive(fd, how, logs_only, work, err);
    else
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is neither a directory nor a file", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

exia_status exia__bundle_tell(exia_rows *rows, const char *name, int64_t known, int64_t head,
                              exia_error *err)
{
    json_t *row = json_pack("{s:s, s:I, s:I}", "name", name, "entries", (json_int_t)head, "new",
                            (json_int_t)(head - known));
    exia_status rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}
