/* Stagings make an install or an uninstall whole or nothing, whenever the process dies:
 *
 *     staging/ID.lock locked, staging/ID made, intent written    nothing to see yet
 *     unpacked, verified, synced                                 nothing to see yet
 *     home locked: renamed to installed/..., rows committed      all there
 *     unlocked, staging/ID removed, intent and lock removed
 *
 * Whoever opens the home later tries each lock without waiting.  One that it gets belonged to a dead
 * process; every target of that intent without a committed row is taken away.  Nothing is adopted. */
#include "registry/staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/current.h"

enum { WAIT_MS = 2000 }; /* for a living process, when one left behind is to be cleared away */
static const char lock_suffix[] = ".lock";

void exia__staging_leave(exia__staging *staging)
{
    exia__lock_drop(staging->lock);
    exia__release(staging->path);
    exia__release(staging->lock_path);
    *staging = (exia__staging){.lock = -1};
}

void exia__staging_leave_for_later(exia__staging *staging, const exia_error *why)
{
    exia__log(EXIA_LOG_WARNING, "registry", "left for the next opening: %s", why->text);
    exia__staging_leave(staging);
}

static exia_status set_paths(exia__staging *staging, const exia_registry *registry, exia_error *err)
{
    exia_status rc =
        exia__text_format(&staging->path, err, "%s/staging/%s", registry->home, staging->id);
    if (rc == EXIA_OK)
        rc = exia__text_format(&staging->lock_path, err, "%s%s", staging->path, lock_suffix);
    return rc;
}

exia_status exia__staging_open(exia__staging *out, const exia_registry *registry, exia__work *work,
                               exia_error *err)
{
    exia__staging staging = {.lock = -1};
    int home = -1;
    *out = staging;
    exia_status rc = exia__token(staging.id, err);
    if (rc == EXIA_OK)
        rc = set_paths(&staging, registry, err);
    /* Under the home's lock, so that nobody finds the lock file before it is locked. */
    if (rc == EXIA_OK)
        rc = exia__home_lock(&home, registry, work, err);
    if (rc == EXIA_OK)
        rc = exia__lock_take(&staging.lock, staging.lock_path, work, err);
    exia__lock_drop(home);
    if (rc == EXIA_OK && mkdir(staging.path, 0700) != 0)
        rc = exia__fail_errno(err, errno, "cannot make the directory", staging.path);
    if (rc == EXIA_OK) {
        *out = staging;
        return EXIA_OK;
    }
    if (staging.lock >= 0)
        unlink(staging.lock_path);
    exia__staging_leave(&staging);
    return rc;
}

exia_status exia__staging_intend(const exia__staging *staging, const exia_registry *registry,
                                 const json_t *targets, exia_error *err)
{
    char *text = NULL;
    json_t *intent = json_pack("{s:i, s:O}", "format", 1, "targets", targets);
    exia_status rc = intent ? exia__json_text(&text, intent, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__records_put(NULL, registry->journal, "intent", staging->id, text, EXIA_ABSENT,
                               NULL, NULL, err);
    json_decref(intent);
    exia__release(text);
    return rc;
}

exia_status exia__staging_sync(const exia__staging *staging, exia_error *err)
{
    int fd = open(staging->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    exia_status rc = EXIA_OK;
    if (fd < 0 || syncfs(fd) != 0)
        rc = exia__fail_errno(err, errno, "cannot sync", staging->path);
    if (fd >= 0)
        close(fd);
    return rc;
}

exia_status exia__staging_clear(char *folder, int most, int changed, exia_error *err)
{
    while (most-- > 0 && rmdir(folder) == 0) { /* else others are in it, or it never was */
        changed = 1;
        *strrchr(folder, '/') = '\0';
    }
    return changed ? exia__directory_sync(folder, err) : EXIA_OK;
}

exia_status exia__staging_take(const exia__staging *staging, const exia_registry *registry,
                               const char *target, exia_error *err)
{
    char *from = NULL, *to = NULL, token[EXIA__TOKEN_SIZE];
    int moved = 0;
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&from, err, "%s/installed/%s", registry->home, target);
    if (rc == EXIA_OK)
        rc = exia__path_join(&to, staging->path, token, err);
    if (rc == EXIA_OK)
        moved = rename(from, to) == 0;
    if (rc == EXIA_OK && !moved && errno != ENOENT) {
        moved = errno == EXDEV; /* overlayfs moves nothing of a lower layer, but can empty it */
        rc = moved ? exia__tree_remove(from, err)
                   : exia__fail_errno(err, errno, "cannot move away", from);
    }
    if (rc == EXIA_OK)
        *strrchr(from, '/') = '\0';
    if (rc == EXIA_OK)
        rc = exia__staging_clear(from, 2, moved, err);
    exia__release(from);
    exia__release(to);
    return rc;
}

void exia__staging_close(exia__staging *staging, const exia_registry *registry)
{
    exia_error why;
    if (staging->path == NULL)
        return;
    exia_status rc = exia__tree_remove(staging->path, &why);
    if (rc == EXIA_OK)
        rc = exia__records_remove(registry->journal, "intent", staging->id, EXIA_ANY, NULL, &why);
    if (rc == EXIA_OK)
        unlink(staging->lock_path);
    if (rc < 0)
        exia__staging_leave_for_later(staging, &why);
    else
        exia__staging_leave(staging);
}

void exia__staging_end(exia__staging *staging, const exia_registry *registry, exia_status rc)
{
    int undo = rc < 0 && staging->changing;
    if (undo) {
        exia__staging_leave(staging);
        exia__staging_recover(registry);
    }
    exia__staging_close(staging, registry);
}

exia_status exia__change(const exia_registry *registry, exia__change_fn *change, void *payload,
                         exia__work *work, exia_error *err)
{
    exia__staging staging = {.lock = -1};
    int lock = -1;
    exia_status rc = exia__staging_open(&staging, registry, work, err);
    if (rc == EXIA_OK)
        rc = exia__home_lock(&lock, registry, work, err);
    if (rc == EXIA_OK)
        rc = change(&staging, registry, payload, err);
    exia__lock_drop(lock);
    exia__staging_end(&staging, registry, rc);
    return rc;
}

/* ---- recovery ---- */

/* Take away the target unless its row is committed; what is current of it may have changed. */
static exia_status undo_target(const exia__staging *staging, const exia_registry *registry,
                               const char *target, exia_error *err)
{
    char *row = NULL, *name = NULL;
    exia_error caught;
    exia_status rc =
        exia__records_get(&row, NULL, registry->records, "installed", target, NULL, &caught);
    exia__release(row);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__staging_take(staging, registry, target, err);
    else if (rc < 0)
        rc = exia__error_pass(err, &caught);
    if (rc == EXIA_OK)
        rc = exia__text_copy_n(&name, target, strcspn(target, "/"), err);
    if (rc == EXIA_OK)
        rc = exia__current_follow(staging, registry, name, err);
    exia__release(name);
    return rc;
}

static exia_status undo_intent(const exia__staging *staging, const exia_registry *registry,
                               exia_error *err)
{
    char *text = NULL;
    json_t *intent = NULL;
    exia_error caught;
    exia_status rc =
        exia__records_get(&text, NULL, registry->journal, "intent", staging->id, NULL, &caught);
    if (rc == EXIA_ENOTFOUND)
        return EXIA_OK; /* it died before it meant to change anything */
    if (rc < 0)
        return exia__error_pass(err, &caught);
    /* of one that cannot be read nobody knows the targets; an install replaces what it finds */
    rc = exia__json_object(&intent, text, strlen(text), "an intent", EXIA_ECORRUPT, &caught);
    if (rc == EXIA_ENOMEM)
        exia__error_pass(err, &caught);
    else if (json_integer_value(json_object_get(intent, "format")) > 1)
        rc = exia__fail(err, EXIA_EVERSION, 0, "an intent was left by a newer version of Exia");
    else
        rc = EXIA_OK;
    const json_t *targets = json_object_get(intent, "targets");
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(targets); i++) {
        const char *target = json_string_value(json_array_get(targets, i));
        if (target != NULL)
            rc = undo_target(staging, registry, target, err);
    }
    json_decref(intent);
    exia__release(text);
    return rc;
}

static exia_status recover_one(const exia_registry *registry, const char *id, exia_error *err)
{
    exia__staging staging = {.lock = -1};
    const exia_job job = {.struct_size = sizeof job, .timeout_ms = WAIT_MS};
    exia__work work;
    int home = -1;
    memcpy(staging.id, id, sizeof staging.id);
    exia_status rc = exia__work_begin(&work, &job, err);
    if (rc == EXIA_OK)
        rc = set_paths(&staging, registry, err);
    if (rc == EXIA_OK)
        rc = exia__home_lock(&home, registry, &work, err);
    if (rc == EXIA_OK)
        rc = exia__lock_try(&staging.lock, staging.lock_path, err);
    if (rc == EXIA_OK && mkdir(staging.path, 0700) != 0 && errno != EEXIST)
        rc = exia__fail_errno(err, errno, "cannot make the directory", staging.path);
    if (rc == EXIA_OK)
        rc = undo_intent(&staging, registry, err);
    exia__lock_drop(home);
    if (rc == EXIA_OK)
        exia__staging_close(&staging, registry);
    exia__staging_leave(&staging);
    return rc < 0 ? rc : EXIA_OK;
}

/* The names of what is in staging/ by ID, each once: those of the locks, and of directories that have
 * lost theirs. */
static exia_status list_ids(json_t **out, const exia_registry *registry, exia_error *err)
{
    const size_t size = EXIA__TOKEN_SIZE - 1;
    char *path = NULL, id[EXIA__TOKEN_SIZE] = "";
    DIR *dir = NULL;
    json_t *set = json_object();
    exia_status rc = set ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__registry_path(&path, registry, "staging", err);
    if (rc == EXIA_OK && (dir = opendir(path)) == NULL)
        rc = exia__fail_errno(err, errno, "cannot read", path);
    for (struct dirent *item; rc == EXIA_OK && dir != NULL && (item = readdir(dir)) != NULL;) {
        const char *name = item->d_name;
        if (strspn(name, "0123456789abcdef") != size ||
            (name[size] != '\0' && strcmp(name + size, lock_suffix) != 0))
            continue;
        memcpy(id, name, size);
        rc = exia__json_set(set, id, json_null(), err);
    }
    if (dir != NULL)
        closedir(dir);
    exia__release(path);
    if (rc < 0)
        json_decref(set);
    *out = rc < 0 ? NULL : set;
    return rc;
}

exia_status exia__staging_dead(json_t **out, const exia_registry *registry, exia_error *err)
{
    json_t *ids = NULL, *dead = NULL, *ignored = NULL;
    const char *id = NULL;
    exia_status rc = list_ids(&ids, registry, err);
    if (rc == EXIA_OK && (dead = json_array()) == NULL)
        rc = exia__fail_memory(err);
    json_object_foreach(ids, id, ignored)
    {
        exia__staging staging = {.lock = -1};
        if (rc < 0)
            break;
        memcpy(staging.id, id, sizeof staging.id);
        rc = set_paths(&staging, registry, err);
        if (rc == EXIA_OK)
            rc = exia__lock_try(&staging.lock, staging.lock_path, err);
        if (rc == EXIA_OK)
            rc = exia__json_append(dead, json_string(staging.path), err);
        rc = rc < 0 ? rc : EXIA_OK;
        exia__staging_leave(&staging);
    }
    json_decref(ids);
    if (rc < 0)
        json_decref(dead);
    *out = rc < 0 ? NULL : dead;
    return rc;
}

void exia__staging_recover(const exia_registry *registry)
{
    json_t *ids = NULL, *ignored = NULL;
    const char *id = NULL;
    exia_error why;
    exia_status rc = list_ids(&ids, registry, &why);
    json_object_foreach(ids, id, ignored)
    {
        if (recover_one(registry, id, &why) < 0)
            rc = why.status;
    }
    if (rc < 0)
        exia__log(EXIA_LOG_WARNING, "registry", "left for the next opening: %s", why.text);
    json_decref(ids);
}
