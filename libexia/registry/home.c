/* The home of a user: its directories, the handle, the lock under which it changes.  The lock file
 * is never removed, so that two processes cannot hold two of them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/url.h"
#include "registry/journal.h"
#include "registry/registry.h"
#include "registry/staging.h"

exia_status exia__registry_path(char **out, const exia_registry *registry, const char *below,
                                exia_error *err)
{
    return exia__path_join(out, registry->home, below, err);
}

exia_status exia__registry_enter(const exia_registry *registry, exia_error *err)
{
    if (registry == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the registry is NULL");
    if (registry->generation != exia__generation())
        return exia__fail(err, EXIA_ECLOSED, 0,
                          "the registry was opened before a fork: open it again in the child");
    return EXIA_OK;
}

exia_status exia__registry_enter_write(const exia_registry *registry, exia_error *err)
{
    exia_status rc = exia__registry_enter(registry, err);
    if (rc < 0 || registry->journal != NULL)
        return rc;
    int code = faccessat(AT_FDCWD, registry->home, W_OK, AT_EACCESS) == 0 ? EACCES : errno;
    return exia__fail(err, EXIA_EDENIED, code, "the home %s cannot be written%s", registry->home,
                      code == EROFS ? ": its disk is mounted read-only" : " by this user");
}

exia_status exia__error_pass(exia_error *err, const exia_error *caught)
{
    if (err != NULL)
        *err = *caught;
    return caught->status;
}

exia_status exia__work_phase(exia__work *work, const char *step, exia_error *err)
{
    work->reported_ms = INT64_MIN / 2;
    return exia__work_step(work, step, 0, 0, err);
}

exia_status exia__home_lock(int *fd, const exia_registry *registry, exia__work *work,
                            exia_error *err)
{
    char *path = NULL;
    *fd = -1;
    exia_status rc = exia__registry_path(&path, registry, "lock", err);
    if (rc == EXIA_OK)
        rc = exia__lock_take(fd, path, work, err);
    exia__release(path);
    return rc;
}

/* ---- the handle ---- */

static exia_status make_directories(const exia_registry *registry, exia_error *err)
{
    static const char *const below[] = {"packages", "installed", "staging"};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < sizeof below / sizeof *below; i++) {
        char *path = NULL;
        rc = exia__registry_path(&path, registry, below[i], err);
        if (rc == EXIA_OK)
            rc = exia__directory_make(path, err);
        if (rc == EXIA_OK && i == 2 && chmod(path, 0700) != 0)
            rc = exia__fail_errno(err, errno, "cannot make private", path);
        exia__release(path);
    }
    return rc;
}

static exia_status open_stores(exia_registry *registry, int mode, exia_error *err)
{
    char *packages = NULL, *records = NULL, *blobs = NULL, *journal = NULL, *url = NULL;
    exia_status rc = exia__registry_path(&packages, registry, "packages", err);
    if (rc == EXIA_OK)
        rc = exia__store_urls(&records, &blobs, packages, err);
    if (rc == EXIA_OK)
        rc = exia__records_open(&registry->records, records, mode, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__blobs_open(&registry->blobs, blobs, mode, NULL, err);
    if (rc == EXIA_OK && mode == EXIA_STORE_WRITE) {
        rc = exia__registry_path(&journal, registry, "journal.db", err);
        if (rc == EXIA_OK)
            rc = exia__url_from_path(&url, "sqlite", journal, err);
        if (rc == EXIA_OK)
            rc = exia__records_open(&registry->journal, url, mode, NULL, err);
    }
    exia__release(packages);
    exia__release(records);
    exia__release(blobs);
    exia__release(journal);
    exia__release(url);
    return rc;
}

exia_status exia_registry_open(exia_registry **out, const char *home, exia_error *err)
{
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_open: `out` is NULL");
    *out = NULL;
    exia_registry *registry = exia__zeroed(1, sizeof *registry);
    if (registry == NULL)
        return exia__fail_memory(err);
    registry->generation = exia__generation();
    exia_status rc = exia__home(&registry->home, home, err);
    if (rc == EXIA_OK && !exia__text_valid(registry->home, strlen(registry->home)))
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "the home %s is no plain UTF-8, and rows tell where packages lie in it",
                        registry->home);
    if (rc < 0)
        goto done;
    /* What somebody else keeps for all to read is opened for reading. */
    int mode = faccessat(AT_FDCWD, registry->home, W_OK, AT_EACCESS) != 0 &&
                       (errno == EACCES || errno == EROFS)
                   ? EXIA_STORE_READ
                   : EXIA_STORE_WRITE;
    if (mode == EXIA_STORE_WRITE)
        rc = make_directories(registry, err);
    if (rc == EXIA_OK)
        rc = open_stores(registry, mode, err);
    if (rc < 0)
        goto done;
    if (mode == EXIA_STORE_WRITE) {
        exia__staging_recover(registry);
        exia__transfers_forget(registry);
    }
    *out = registry;
    registry = NULL;
done:
    exia_registry_free(registry);
    return rc;
}

const char *exia_registry_home(const exia_registry *registry)
{
    return registry ? registry->home : NULL;
}

void exia_registry_free(exia_registry *registry)
{
    if (registry == NULL)
        return;
    exia__records_free(registry->records);
    exia__records_free(registry->journal);
    exia__blobs_free(registry->blobs);
    exia__release(registry->home);
    exia__release(registry);
}
