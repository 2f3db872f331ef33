/* What is installed compared with its record: that which lies with it, or, where that is gone or spoilt,
 * that of the registered file.  What is not as it should be is unpacked anew beside it and takes its
 * place in one step, so that whoever looks sees the old files or the new ones. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "package/read.h"
#include "registry/current.h"
#include "registry/installed.h"
#include "registry/transfer.h"
#include "registry/unpacked.h"

enum { MOST_LOOKS = 8 }; /* at a package that others replace meanwhile */

typedef struct checking {
    exia_registry *registry;
    const exia_check_options *options;
    const exia__side *there; /* NULL: none */
    exia__work *work;
    exia_rows *rows;
} checking;

/* ---- look ------------------------------------------------------------------------------------ */

static exia_status add_problem(json_t *problems, const char *path, const char *problem,
                               exia_error *err)
{
    return exia__json_append(
        problems,
        json_pack("{s:s?, s:s, s:n, s:n}", "path", path, "problem", problem, "expected", "found"),
        err);
}

/* The record to compare with; what is wrong with the one that lies there is a problem, too.
 * @return EXIA_DONE: there is none */
static exia_status find_record(char **out, size_t *size, json_t *problems, const checking *state,
                               const json_t *row, exia_error *err)
{
    exia_error caught;
    exia_status kept = exia__record_kept(out, size, exia__json_string(row, "directory"),
                                         exia__json_string(row, "digest"), &caught);
    if (kept == EXIA_OK)
        return EXIA_OK;
    if (kept != EXIA_ENOTFOUND && kept != EXIA_ECORRUPT && kept != EXIA_EINVAL &&
        kept != EXIA_EDENIED)
        return exia__error_pass(err, &caught);
    exia_status rc = EXIA_OK;
    if (kept != EXIA_ENOTFOUND) /* what an older version installed has none */
        rc = add_problem(problems, "VEDA/RECORD", kept == EXIA_EDENIED ? "unreadable" : "digest",
                         err);
    if (rc < 0)
        return rc;
    rc = exia__registered_record(out, size, state->registry, row, state->work, &caught);
    if (rc == EXIA_ENOMEM || rc == EXIA_ETIMEOUT || rc == EXIA_ECANCELLED)
        return exia__error_pass(err, &caught);
    return rc == EXIA_OK ? EXIA_OK : EXIA_DONE;
}

static exia_status look_at_files(json_t *problems, const checking *state, const json_t *row,
                                 exia_error *err)
{
    const char *directory = exia__json_string(row, "directory");
    json_t *found = NULL;
    char *record = NULL;
    size_t size = 0;
    exia_status rc = EXIA_OK;
    int root = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? add_problem(problems, NULL, "missing", err)
               : errno == EACCES ? add_problem(problems, NULL, "unreadable", err)
                                 : exia__fail_errno(err, errno, "cannot open", directory);
    rc = find_record(&record, &size, problems, state, row, err);
    if (rc == EXIA_OK)
        rc = exia__record_compare(&found, record, size, root, directory, state->options->quick,
                                  state->work, err);
    else if (rc == EXIA_DONE)
        rc = add_problem(problems, NULL, "record", err);
    if (rc == EXIA_OK && found != NULL && json_array_extend(problems, found) != 0)
        rc = exia__fail_memory(err);
    close(root);
    json_decref(found);
    exia__release(record);
    return rc;
}

/* ---- repair ---------------------------------------------------------------------------------- */

/* Pull it if it is not registered here. */
static exia_status see_that_it_is_here(const checking *state, const json_t *row, exia_error *err)
{
    exia__side here = exia__side_here(state->registry);
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia_error caught;
    exia_status rc = exia__offer_of(&offer, &offers, &here, row, state->work, &caught);
    if (rc == EXIA_ENOTFOUND && state->there != NULL) {
        exia__offers_free(&offers);
        rc = exia__offer_of(&offer, &offers, state->there, row, state->work, err);
        if (rc == EXIA_OK)
            rc = exia__pull_offer(NULL, state->registry, state->there, offer, state->work, err);
    } else if (rc == EXIA_ENOTFOUND) {
        rc = exia__fail(err, rc, 0,
                        "%s@%s is not registered here: register it, or name a remote that has it",
                        exia__json_string(row, "name"), exia__json_string(row, "version"));
    } else if (rc < 0) {
        rc = exia__error_pass(err, &caught);
    }
    exia__offers_free(&offers);
    return rc;
}

/* One step where the file system can exchange; else two, and a crash between them leaves a package that
 * is told to be missing. */
static exia_status exchange(const exia__staging *staging, const exia_registry *registry,
                            const char *target, const char *staged, const char *place,
                            exia_error *err)
{
    char *folder = NULL;
    exia_status rc = exia__path_folder(&folder, place, err);
    if (rc < 0 || renameat2(AT_FDCWD, staged, AT_FDCWD, place, RENAME_EXCHANGE) == 0)
        goto done;
    if (errno != ENOENT && errno != ENOTDIR && errno != EINVAL && errno != ENOSYS &&
        errno != EXDEV) { /* that is overlayfs, and a package of a lower layer */
        rc = exia__fail_errno(err, errno, "cannot move a package to", place);
        goto done;
    }
    rc = exia__staging_take(staging, registry, target, err);
    if (rc == EXIA_OK)
        rc = exia__directory_make(folder, err);
    if (rc == EXIA_OK && rename(staged, place) != 0)
        rc = exia__fail_errno(err, errno, "cannot move a package to", place);
done:
    if (rc == EXIA_OK)
        rc = exia__directory_sync(folder, err);
    exia__release(folder);
    return rc;
}

/* Is it still installed as it was?  @param now  NULL: no row is there */
static int is_same(const json_t *now, const json_t *row)
{
    return now != NULL &&
           strcmp(exia__json_string(now, "digest"), exia__json_string(row, "digest")) == 0;
}

/* Under the home's lock: it may have been uninstalled, or repaired by somebody else. */
static exia_status replace(const exia__staging *staging, const exia_registry *registry,
                           const json_t *row, const char *staged, exia_error *err)
{
    char *target = NULL;
    json_t *now = NULL;
    exia_status rc = exia__installed_target(&target, row, err);
    if (rc == EXIA_OK)
        rc = exia__installed_row(&now, registry, target, err);
    if (rc == EXIA_OK && !is_same(now, row))
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "it was uninstalled meanwhile");
    if (rc == EXIA_OK)
        rc = exchange(staging, registry, target, staged, exia__json_string(row, "directory"), err);
    if (rc == EXIA_OK)
        rc = exia__current_follow(staging, registry, exia__json_string(row, "name"), err);
    json_decref(now);
    exia__release(target);
    return rc;
}

static exia_status repair_files(const checking *state, const json_t *row, exia_error *err)
{
    exia__staging staging = {.lock = -1};
    char *staged = NULL;
    json_t *ignored = NULL;
    int lock = -1;
    exia_status rc = see_that_it_is_here(state, row, err);
    if (rc == EXIA_OK)
        rc = exia__staging_open(&staging, state->registry, state->work, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(&staged, staging.path, "0", err);
    if (rc == EXIA_OK)
        rc = exia__unpack_registered(&ignored, state->registry, row, staged, state->work, err);
    if (rc == EXIA_OK)
        rc = exia__staging_sync(&staging, err);
    if (rc == EXIA_OK)
        rc = exia__home_lock(&lock, state->registry, state->work, err);
    if (rc == EXIA_OK)
        rc = replace(&staging, state->registry, row, staged, err);
    exia__lock_drop(lock);
    exia__staging_close(&staging, state->registry);
    exia__release(staged);
    json_decref(ignored);
    return rc;
}

static exia_status follow(exia__staging *staging, const exia_registry *registry, void *name,
                          exia_error *err)
{
    return exia__current_follow(staging, registry, name, err);
}

static exia_status repair_link(const checking *state, const json_t *row, exia_error *err)
{
    char *name = NULL;
    exia_status rc = exia__text_copy(&name, exia__json_string(row, "name"), err);
    if (rc == EXIA_OK)
        rc = exia__change(state->registry, follow, name, state->work, err);
    exia__release(name);
    return rc;
}

/* ---- tell ------------------------------------------------------------------------------------ */

static int must_stop(exia_status rc)
{
    return rc == EXIA_ENOMEM || rc == EXIA_ECANCELLED || rc == EXIA_ETIMEOUT;
}

/* Repair if that is wanted, and a row for each problem. */
static exia_status settle(const checking *state, const json_t *row, const json_t *problems,
                          exia_status (*repair)(const checking *, const json_t *, exia_error *),
                          exia_error *err)
{
    static const char *const of[] = {"name", "version", "tag"};
    exia_error why = {0};
    exia_status rc = EXIA_OK, repaired = EXIA_OK;
    if (json_array_size(problems) == 0)
        return EXIA_OK;
    if (state->options->repair)
        repaired = repair(state, row, &why);
    if (must_stop(repaired))
        return exia__error_pass(err, &why);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(problems); i++) {
        json_t *told = json_object();
        rc = told ? EXIA_OK : exia__fail_memory(err);
        for (size_t k = 0; rc == EXIA_OK && k < 3; k++)
            rc = exia__json_set(told, of[k], json_incref(json_object_get(row, of[k])), err);
        if (rc == EXIA_OK && json_object_update(told, json_array_get(problems, i)) != 0)
            rc = exia__fail_memory(err);
        if (rc == EXIA_OK)
            rc = exia__json_set(told, "repaired",
                                json_boolean(state->options->repair && repaired == EXIA_OK), err);
        if (rc == EXIA_OK)
            rc = exia__json_set(told, "why", repaired < 0 ? json_string(why.text) : json_null(),
                                err);
        if (rc == EXIA_OK)
            rc = exia__rows_add(state->rows, told, err);
        json_decref(told);
    }
    return rc;
}

/* Which directory lies there? */
static struct stat stat_of(const json_t *row)
{
    struct stat info = {0};
    if (lstat(exia__json_string(row, "directory"), &info) != 0)
        info = (struct stat){0};
    return info;
}

/* Where problems show, it may have been uninstalled or replaced while it was looked at: then look
 * again.  What has other content by now was unpacked this moment. */
static exia_status look(json_t *problems, const checking *state, const json_t *row, exia_error *err)
{
    char *target = NULL;
    exia_status rc = exia__installed_target(&target, row, err);
    for (int i = 0, again = 1; rc == EXIA_OK && again && i < MOST_LOOKS; i++) {
        struct stat before = stat_of(row), after;
        json_t *now = NULL;
        json_array_clear(problems);
        rc = look_at_files(problems, state, row, err);
        if (rc < 0 || json_array_size(problems) == 0)
            break;
        rc = exia__installed_row(&now, state->registry, target, err);
        after = stat_of(row);
        again = before.st_ino != after.st_ino || before.st_dev != after.st_dev ||
                before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
                before.st_ctim.tv_nsec != after.st_ctim.tv_nsec;
        if (rc == EXIA_OK && !is_same(now, row)) {
            json_array_clear(problems);
            again = 0;
        }
        json_decref(now);
    }
    exia__release(target);
    return rc;
}

/* While it is moved the link is behind, so one that seems to be is looked at again under the lock. */
static exia_status look_at_link(json_t *problems, const checking *state, const json_t *row,
                                exia_error *err)
{
    const char *name = exia__json_string(row, "name");
    int astray = 0, lock = -1;
    exia_status rc = EXIA_OK;
    if (json_is_true(json_object_get(row, "current")))
        rc = exia__current_astray(&astray, state->registry, name, err);
    if (rc == EXIA_OK && astray && state->registry->journal != NULL) {
        rc = exia__home_lock(&lock, state->registry, state->work, err);
        if (rc == EXIA_OK)
            rc = exia__current_astray(&astray, state->registry, name, err);
        exia__lock_drop(lock);
    }
    return rc == EXIA_OK && astray ? add_problem(problems, "current", "target", err) : rc;
}

/* The link is looked at first: a repair of the files mends it, too. */
static exia_status check_one(const checking *state, const json_t *row, exia_error *err)
{
    json_t *problems = json_array(), *of_link = json_array();
    exia_status rc = problems && of_link ? look(problems, state, row, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = look_at_link(of_link, state, row, err);
    if (rc == EXIA_OK)
        rc = settle(state, row, problems, repair_files, err);
    if (rc == EXIA_OK)
        rc = settle(state, row, of_link, repair_link, err);
    json_decref(problems);
    json_decref(of_link);
    return rc;
}

static exia_status check_all(const checking *state, const char *package, exia_error *err)
{
    exia__spec selector = {0};
    json_t *rows = NULL;
    size_t count = 0;
    exia_status rc = package ? exia__spec_parse(&selector, package, err) : EXIA_OK;
    if (rc == EXIA_OK)
        rc = exia__installed_read(&rows, state->registry, selector.name, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (package != NULL && !exia__installed_match(&selector, row))
            continue;
        count++;
        rc = check_one(state, row, err);
    }
    if (rc == EXIA_OK && package != NULL && count == 0)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not installed", package);
    json_decref(rows);
    exia__spec_free(&selector);
    return rc;
}

exia_status exia_registry_check(exia_rows **out, exia_registry *registry, const char *package,
                                const exia_check_options *options, const exia_job *job,
                                exia_error *err)
{
    exia_check_options ours;
    exia__side side = {0};
    exia__work work;
    checking state = {.registry = registry, .options = &ours, .work = &work};
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_check: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = ours.repair ? exia__registry_enter_write(registry, err)
                         : exia__registry_enter(registry, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK && ours.repair && ours.remote != NULL) {
        rc = exia__side_open(&side, registry, ours.remote, EXIA_STORE_READ, EXIA__WITH_BLOBS, job,
                             err);
        state.there = &side;
    }
    if (rc == EXIA_OK)
        rc = exia__rows_open(&state.rows, err);
    if (rc == EXIA_OK)
        rc = check_all(&state, package, err);
    if (rc == EXIA_OK)
        *out = state.rows;
    else
        exia_rows_free(state.rows);
    exia__side_free(&side);
    return rc;
}
