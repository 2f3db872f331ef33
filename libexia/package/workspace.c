/* Workspaces: a directory with a veda.json.  A component is copied beside its place first, so that
 * after a failure neither it nor its line in veda.json is there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "exia/model.h"
#include "exia/package.h"
#include "package/foreign.h"
#include "package/format.h"

typedef struct addition {
    const char *directory; /* the workspace */
    char *manifest_path, *source, *staging, *folder, *target, *listed;
    char *before; /* what veda.json was */
    const char *kind;
    json_t *manifest;
    int lock; /* fd of the workspace: one addition at a time */
} addition;

static exia_status write_manifest(const char *path, const json_t *manifest, int flags,
                                  exia_error *err)
{
    char *text = NULL;
    exia_status rc = exia__json_pretty(&text, manifest, err);
    if (rc == EXIA_OK)
        rc = exia__file_write(path, text, strlen(text), flags, err);
    exia__release(text);
    return rc;
}

exia_status exia_workspace_new(const char *directory, const char *name, exia_error *err)
{
    char *path = NULL;
    if (directory == NULL || *directory == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "exia_workspace_new: the directory is missing");
    exia_status rc = exia__name_check_lower(name, "package name", err);
    if (rc == EXIA_OK)
        rc = exia__path_join(&path, directory, EXIA__MANIFEST_PATH, err);
    if (rc == EXIA_OK)
        rc = exia__directory_make(directory, err);
    if (rc == EXIA_OK && exia__path_exists(path))
        rc = exia__fail(err, EXIA_EEXISTS, 0, "%s is a workspace already: it has a veda.json",
                        directory);
    json_t *manifest = json_pack("{s:i, s:s?, s:s, s:s, s:s, s:[], s:{}, s:[]}", "format",
                                 EXIA__FORMAT, "name", name, "version", "0.1.0", "platform", "any",
                                 "description", "", "components", "entry_points", "dependencies");
    if (rc == EXIA_OK)
        rc = manifest ? write_manifest(path, manifest, 0, err) : exia__fail_memory(err);
    json_decref(manifest);
    exia__release(path);
    return rc;
}

static exia_status choose_kind(addition *a, const char *path, const char *kind, exia_error *err)
{
    exia_status rc = EXIA_OK;
    struct stat info;
    if (kind != NULL)
        return (a->kind = exia__kind_find(kind)) != NULL
                   ? EXIA_OK
                   : exia__fail(err, EXIA_EINVAL, 0,
                                "the kind \"%.40s\" is not code, model, data, env or doc", kind);
    if (a->source == NULL) /* no such path, but it reads as a version of a model */
        a->kind = "model";
    else if (stat(a->source, &info) == 0 && S_ISDIR(info.st_mode))
        rc = exia__kind_of_directory(&a->kind, a->source, err);
    else
        a->kind = exia__kind_of_file(exia__path_base(path));
    if (rc == EXIA_OK && a->kind == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "cannot guess what kind of component %s is: say code, model, data, env or "
                        "doc",
                        path);
    return rc;
}

/* What is to be copied, links in its path resolved; it stays NULL for a version of a model. */
static exia_status find_source(addition *a, const char *path, const char *kind, exia_error *err)
{
    char *real = realpath(path, NULL);
    int code = errno;
    char *here = realpath(a->directory, NULL);
    exia_status rc = EXIA_OK;
    size_t size = real ? strlen(real) : 0;
    if (real != NULL)
        rc = exia__text_copy(&a->source, real, err);
    else if (code != ENOENT || !(kind ? strcmp(kind, "model") == 0 : strchr(path, '@') != NULL))
        rc = exia__fail_errno(err, code, "cannot add", path);
    if (rc == EXIA_OK && real != NULL && here != NULL && strncmp(here, real, size) == 0 &&
        (here[size] == '\0' || here[size] == '/' || size == 1))
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s holds the workspace itself", path);
    (free)(real); /* realpath's own memory */
    (free)(here);
    return rc;
}

/* Beside its place, where it is made. */
static exia_status choose_staging(addition *a, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    exia_status rc = exia__token(token, err);
    return rc == EXIA_OK ? exia__text_format(&a->staging, err, "%s/.exia-%s", a->directory, token)
                         : rc;
}

/* The last part of a path, or what it means. */
static exia_status choose_name(char **out, const addition *a, const char *path, exia_error *err)
{
    char *name = NULL;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    exia_status rc = a->source ? exia__text_copy_n(&name, path, size, err)
                               : exia__text_copy_n(&name, path, strcspn(path, "@"), err);
    if (rc < 0)
        return rc;
    const char *base = exia__path_base(name);
    if (a->source != NULL && (strcmp(base, ".") == 0 || strcmp(base, "..") == 0))
        base = exia__path_base(a->source);
    rc = exia__text_copy(out, base, err);
    exia__release(name);
    return rc;
}

/* KIND/NAME */
static exia_status choose_target(addition *a, const char *name, exia_error *err)
{
    const char *why = exia__path_fault(name);
    if (why == NULL && !exia__text_valid(name, strlen(name)))
        why = "is no UTF-8 text without control characters";
    if (why != NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the name \"%.100s\" of the component %s", name,
                          why);
    exia_status rc = exia__text_format(&a->folder, err, "%s/%s", a->directory, a->kind);
    if (rc == EXIA_OK)
        rc = exia__text_format(&a->listed, err, "%s/%s", a->kind, name);
    if (rc == EXIA_OK)
        rc = exia__path_join(&a->target, a->directory, a->listed, err);
    if (rc == EXIA_OK && exia__path_exists(a->target))
        rc = exia__fail(err, EXIA_EEXISTS, 0, "%s is there already", a->target);
    return rc;
}

static exia_status open_workspace(addition *a, exia_error *err)
{
    size_t size = 0;
    a->lock = open(a->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->lock < 0)
        return exia__fail_errno(err, errno, "cannot open the workspace", a->directory);
    (void)flock(a->lock, LOCK_EX); /* where a file system has no locks, as before */
    exia_status rc = exia__path_join(&a->manifest_path, a->directory, EXIA__MANIFEST_PATH, err);
    if (rc == EXIA_OK && !exia__path_exists(a->manifest_path))
        rc = exia__fail(err, EXIA_ENOTFOUND, 0,
                        "%s is no workspace, it has no veda.json: make one with \"vedapkg new\"",
                        a->directory);
    if (rc == EXIA_OK)
        rc = exia__file_read(&a->before, &size, a->manifest_path, EXIA__MOST_MANIFEST, err);
    if (rc == EXIA_OK)
        rc =
            exia__manifest_parse(&a->manifest, a->before, size, a->manifest_path, EXIA_EINVAL, err);
    return rc;
}

static exia_status list_component(addition *a, exia_error *err)
{
    exia_status rc = EXIA_OK;
    json_t *list = json_object_get(a->manifest, "components");
    if (list == NULL) {
        rc = exia__json_set(a->manifest, "components", json_array(), err);
        list = json_object_get(a->manifest, "components");
    }
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++) {
        if (strcmp(exia__json_string(json_array_get(list, i), "path"), a->listed) == 0)
            return json_object_set_new(json_array_get(list, i), "kind", json_string(a->kind)) == 0
                       ? EXIA_OK
                       : exia__fail_memory(err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_append(list, json_pack("{s:s, s:s}", "path", a->listed, "kind", a->kind),
                               err);
    return rc;
}

static exia_status take_version(const addition *a, const char *selector, const char *home,
                                exia_error *err)
{
    exia_library_options options = {.struct_size = sizeof options, .read_only = 1};
    exia_library *library = NULL;
    char *full = NULL, *models = NULL;
    exia_status rc = exia__home(&full, home, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(&models, full, "models", err);
    if (rc == EXIA_OK)
        rc = exia_library_open(&library, models, &options, err);
    if (rc == EXIA_OK)
        rc = exia_library_export(library, selector, a->staging, NULL, err);
    exia_library_free(library);
    exia__release(full);
    exia__release(models);
    return rc;
}

/* Show the copy, then list it; what cannot be listed goes again.  A list may be there that could not be
 * synced. */
static exia_status show(const addition *a, exia_error *err)
{
    int made = !exia__path_exists(a->folder);
    exia_status rc = exia__directory_make(a->folder, err);
    if (rc == EXIA_OK && exia__rename_absent(AT_FDCWD, a->staging, AT_FDCWD, a->target) != 0)
        rc = exia__fail_errno(err, errno, "cannot write", a->target);
    if (rc == EXIA_OK) {
        rc = write_manifest(a->manifest_path, a->manifest, EXIA__REPLACE, err);
        if (rc < 0) {
            (void)exia__file_write(a->manifest_path, a->before, strlen(a->before), EXIA__REPLACE,
                                   NULL);
            (void)exia__tree_remove(a->target, NULL);
        }
    }
    if (rc < 0 && made)
        (void)rmdir(a->folder);
    return rc;
}

static void close_addition(addition *a)
{
    if (a->staging != NULL)
        (void)exia__tree_remove(a->staging, NULL);
    if (a->lock >= 0)
        close(a->lock);
    json_decref(a->manifest);
    exia__release(a->manifest_path);
    exia__release(a->source);
    exia__release(a->staging);
    exia__release(a->folder);
    exia__release(a->target);
    exia__release(a->listed);
    exia__release(a->before);
}

exia_status exia_workspace_add(const char *directory, const char *path, const char *kind,
                               const char *home, exia_error *err)
{
    addition a = {.directory = directory, .lock = -1};
    char *name = NULL;
    if (directory == NULL || path == NULL || *path == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_workspace_add: the workspace or the path is missing");
    exia_status rc = open_workspace(&a, err);
    if (rc == EXIA_OK)
        rc = find_source(&a, path, kind, err);
    if (rc == EXIA_OK)
        rc = choose_kind(&a, path, kind, err);
    if (rc == EXIA_OK)
        rc = choose_name(&name, &a, path, err);
    if (rc == EXIA_OK)
        rc = choose_target(&a, name, err);
    if (rc == EXIA_OK)
        rc = choose_staging(&a, err);
    if (rc == EXIA_OK)
        rc = list_component(&a, err);
    if (rc == EXIA_OK)
        rc = a.source ? exia__tree_copy(a.source, a.staging, err)
                      : take_version(&a, path, home, err);
    if (rc == EXIA_OK)
        rc = show(&a, err);
    close_addition(&a);
    exia__release(name);
    return rc;
}

/* Unpack an archive into the staging, as a directory that others may read. */
static exia_status take_archive(const addition *a, const char *archive, exia__work *work,
                                exia_error *err)
{
    exia_status rc = EXIA_OK;
    struct stat info;
    int root = -1, fd = open(archive, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) != 0)
        rc = exia__fail_errno(err, errno, "cannot read", archive);
    else if (!S_ISREG(info.st_mode))
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", archive);
    else if (mkdir(a->staging, 0700) != 0 ||
             (root = open(a->staging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        rc = exia__fail_errno(err, errno, "cannot unpack into", a->directory);
    if (rc == EXIA_OK)
        rc = exia__foreign_unpack(fd, archive, root, work, err);
    if (rc == EXIA_OK && fchmod(root, 0755) != 0)
        rc = exia__fail_errno(err, errno, "cannot unpack into", a->directory);
    if (root >= 0)
        close(root);
    if (fd >= 0)
        close(fd);
    return rc;
}

exia_status exia_workspace_add_archive(const char *directory, const char *archive, const char *kind,
                                       const exia_job *job, exia_error *err)
{
    addition a = {.directory = directory, .lock = -1};
    exia__work work;
    char *name = NULL;
    if (directory == NULL || archive == NULL || *archive == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_workspace_add_archive: the workspace or the archive is missing");
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = open_workspace(&a, err);
    if (rc == EXIA_OK)
        rc = choose_staging(&a, err);
    if (rc == EXIA_OK)
        rc = take_archive(&a, archive, &work, err);
    if (rc == EXIA_OK) /* what its content tells */
        rc = exia__text_copy(&a.source, a.staging, err);
    if (rc == EXIA_OK)
        rc = choose_kind(&a, archive, kind, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy_n(&name, exia__path_base(archive),
                               exia__foreign_stem(exia__path_base(archive)), err);
    if (rc == EXIA_OK)
        rc = choose_target(&a, name, err);
    if (rc == EXIA_OK)
        rc = list_component(&a, err);
    if (rc == EXIA_OK)
        rc = show(&a, err);
    close_addition(&a);
    exia__release(name);
    return rc;
}

exia_status exia_workspace_add_entry(const char *directory, const char *name, const char *object,
                                     exia_error *err)
{
    addition a = {.directory = directory, .lock = -1};
    if (directory == NULL || name == NULL || object == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_workspace_add_entry: an argument is NULL");
    if (!exia__text_valid(name, strlen(name)) || !exia__text_valid(object, strlen(object)))
        return exia__fail(err, EXIA_EINVAL, 0, "the entry point is no UTF-8 text");
    exia_status rc = open_workspace(&a, err);
    if (rc == EXIA_OK && json_object_get(a.manifest, "entry_points") == NULL)
        rc = exia__json_set(a.manifest, "entry_points", json_object(), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(json_object_get(a.manifest, "entry_points"), name, json_string(object),
                            err);
    if (rc == EXIA_OK)
        rc = exia__manifest_check(a.manifest, a.manifest_path, EXIA_EINVAL, err);
    if (rc == EXIA_OK)
        rc = write_manifest(a.manifest_path, a.manifest, EXIA__REPLACE, err);
    close_addition(&a);
    return rc;
}
