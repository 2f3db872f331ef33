/* Install a package with all it needs, or nothing.  What is missing here is pulled first, which only
 * adds to the registry.  Then all is unpacked and verified in a staging, synced once, moved to its
 * places under the home's lock, and committed by one batch of rows.  What fails between the first
 * move and the commit is left as a crash would leave it, and undone in the same way. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/trust.h"
#include "package/read.h"
#include "registry/installed.h"
#include "registry/plan.h"
#include "registry/publish.h"
#include "registry/staging.h"
#include "registry/transfer.h"

enum { MOST_ROUNDS = 8 };

/* One package of the plan. */
typedef struct step {
    const json_t *choice; /* of the plan, borrowed */
    char *target;         /* NAME/VERSION/TAG */
    char *place;          /* HOME/installed/TARGET */
    char *staged;         /* where it is unpacked; NULL: it is installed */
    json_t *row;          /* what is committed; NULL: nothing */
    char *text;           /* the row as text */
} step;

typedef struct install {
    exia_registry *registry;
    exia__plan plan;
    exia__work *work;
    step *steps; /* what is needed first; the package itself is the last */
    size_t count;
    exia__staging staging;
    int moving; /* places may have been filled, and are not committed */
} install;

static void clear(install *state)
{
    for (size_t i = 0; i < state->count; i++) {
        step *one = &state->steps[i];
        exia__release(one->target);
        exia__release(one->place);
        exia__release(one->staged);
        exia__release(one->text);
        json_decref(one->row);
    }
    exia__release(state->steps);
    state->steps = NULL;
    state->count = 0;
}

static const char *said(const step *one, const char *member)
{
    return exia__json_string(one->choice, member);
}

static int comes_from(const step *one, const char *from)
{
    return strcmp(said(one, "from"), from) == 0;
}

/* ---- before anything is touched ---- */

static exia_status make_plan(install *state, exia_error *err)
{
    exia_job job = exia__work_rest(state->work);
    exia_status rc = exia__plan_make(&state->plan, &job, err);
    if (rc < 0)
        return rc;
    state->steps = exia__zeroed(json_array_size(state->plan.steps), sizeof *state->steps);
    if (state->steps == NULL)
        return exia__fail_memory(err);
    state->count = json_array_size(state->plan.steps);
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        step *one = &state->steps[i];
        one->choice = json_array_get(state->plan.steps, i);
        rc = exia__text_format(&one->target, err, "%s/%s/%s", said(one, "name"),
                               said(one, "version"), said(one, "tag"));
        if (rc == EXIA_OK)
            rc = exia__text_format(&one->place, err, "%s/installed/%s", state->registry->home,
                                   one->target);
    }
    return rc;
}

/* The chosen offer of a side. */
static exia_status find_offer(const exia__offer **out, exia__offers *offers, const exia__side *side,
                              const step *one, exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    const exia__spec exact = {.text = one->target,
                              .name = (char *)said(one, "name"),
                              .version = (char *)said(one, "version"),
                              .tag = (char *)said(one, "tag")};
    exia_status rc = exia__offer_find(out, offers, side, &exact, &job, err);
    if (rc == EXIA_OK && strcmp(exia__json_string((*out)->event, "digest"), said(one, "digest")))
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s@%s was replaced meanwhile", exact.name,
                        exact.version);
    return rc;
}

static exia_status pull_missing(install *state, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        const exia__offer *offer = NULL;
        exia__offers offers = {0};
        if (!comes_from(&state->steps[i], "there"))
            continue;
        rc = find_offer(&offer, &offers, state->plan.there, &state->steps[i], state->work, err);
        if (rc == EXIA_OK)
            rc =
                exia__pull_offer(NULL, state->registry, state->plan.there, offer, state->work, err);
        exia__offers_free(&offers);
    }
    return rc;
}

/* ---- unpacked, out of sight ---- */

static exia_status make_row(json_t **out, const exia_package *package, exia_error *err)
{
    static const char *const lists[] = {"components", "dependencies"};
    const json_t *manifest = exia__package_manifest(package);
    json_t *points = json_object_get(manifest, "entry_points");
    char now[EXIA__TIME_SIZE];
    exia__time_text(now, exia__now_ms());
    json_t *row =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "format", 1, "name",
                  exia__package_name(package), "version", exia__package_version(package), "tag",
                  exia__package_tag(package), "digest", exia__package_digest(package), "time", now);
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "entry_points", points ? json_incref(points) : json_object(), err);
    for (size_t i = 0; rc == EXIA_OK && i < 2; i++) {
        json_t *list = json_object_get(manifest, lists[i]);
        rc = exia__json_set(row, lists[i], list ? json_incref(list) : json_array(), err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "requested", json_false(), err);
    *out = rc == EXIA_OK ? row : NULL;
    if (rc < 0)
        json_decref(row);
    return rc;
}

/* Is this what the plan was made for?  A record may have said something else. */
static exia_status check_package(const exia_package *package, const step *one, exia_error *err)
{
    const json_t *ours = json_object_get(one->row, "dependencies");
    const json_t *planned = json_object_get(one->choice, "dependencies");
    if (strcmp(exia__package_digest(package), said(one, "digest")) == 0 &&
        strcmp(exia__package_name(package), said(one, "name")) == 0 &&
        strcmp(exia__package_version(package), said(one, "version")) == 0 &&
        strcmp(exia__package_tag(package), said(one, "tag")) == 0 && json_equal(ours, planned))
        return EXIA_OK;
    return exia__fail(err, EXIA_ECORRUPT, 0,
                      "the file of %s@%s here is not the package that its record describes: "
                      "unregister it, then register or pull it again",
                      said(one, "name"), said(one, "version"));
}

/* By the trust file of the home that it is installed in. */
static exia_status check_trust(const exia_package *package, const install *state, exia_error *err)
{
    char *path = NULL;
    json_t *policy = NULL;
    exia_status rc = exia__registry_path(&path, state->registry, "trust.json", err);
    if (rc == EXIA_OK)
        rc = exia__trust_read(&policy, path, 1, err);
    if (rc == EXIA_OK)
        rc = exia__package_trusted_by(package, policy, 0, err);
    json_decref(policy);
    exia__release(path);
    return rc;
}

static exia_status unpack(install *state, step *one, mode_t mode, exia_error *err)
{
    exia_job job = exia__work_rest(state->work);
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia__parcel parcel = {.fd = -1};
    exia_package *package = NULL;
    exia__side here = exia__side_here(state->registry);
    const exia_unpack_options whole = {0};
    int root = -1;
    exia_status rc;
    if ((rc = find_offer(&offer, &offers, &here, one, state->work, err)) < 0 ||
        (rc = exia__parcel_of(&parcel, state->registry, offer, err)) < 0 ||
        (rc = exia__package_open_fd(&package, parcel.fd, parcel.path, err)) < 0 ||
        (rc = make_row(&one->row, package, err)) < 0 ||
        (rc = check_package(package, one, err)) < 0 ||
        (rc = check_trust(package, state, err)) < 0 ||
        (rc = exia__text_format(&one->staged, err, "%s/%zu", state->staging.path,
                                (size_t)(one - state->steps))) < 0)
        goto done;
    if (mkdir(one->staged, 0700) != 0 ||
        (root = open(one->staged, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        rc = exia__fail_errno(err, errno, "cannot make the directory", one->staged);
    else if ((rc = exia__package_unpack_into(package, root, one->staged, &whole, &job, err)) ==
                 EXIA_OK &&
             fchmod(root, mode) != 0)
        rc = exia__fail_errno(err, errno, "cannot set the mode of", one->staged);
done:
    if (root >= 0)
        close(root);
    exia_package_free(package);
    exia__parcel_free(&parcel);
    exia__offers_free(&offers);
    return rc;
}

static exia_status sync_all(const install *state, exia_error *err)
{
    int fd = open(state->staging.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    exia_status rc = EXIA_OK;
    if (fd < 0 || syncfs(fd) != 0)
        rc = exia__fail_errno(err, errno, "cannot sync", state->staging.path);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Everything that is to come, in the staging and on the disk. */
static exia_status prepare(install *state, exia_error *err)
{
    char *root = NULL;
    struct stat info;
    json_t *targets = json_array();
    exia_status rc = targets ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        if (!comes_from(&state->steps[i], "installed"))
            rc = exia__json_append(targets, json_string(state->steps[i].target), err);
    }
    if (rc < 0 || json_array_size(targets) == 0)
        goto done;
    if ((rc = exia__staging_open(&state->staging, state->registry, state->work, err)) < 0 ||
        (rc = exia__staging_intend(&state->staging, state->registry, targets, err)) < 0 ||
        (rc = exia__registry_path(&root, state->registry, "installed", err)) < 0)
        goto done;
    if (stat(root, &info) != 0) { /* a package is as open as the directory it goes to */
        rc = exia__fail_errno(err, errno, "cannot read", root);
        goto done;
    }
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        step *one = &state->steps[i];
        if (comes_from(one, "installed"))
            continue;
        rc = exia__work_phase(state->work, "unpacking", err);
        if (rc == EXIA_OK)
            rc = unpack(state, one, info.st_mode & 0777, err);
    }
    if (rc == EXIA_OK)
        rc = exia__work_phase(state->work, "syncing", err);
    if (rc == EXIA_OK)
        rc = sync_all(state, err);
done:
    exia__release(root);
    json_decref(targets);
    return rc;
}

/* ---- under the home's lock ---- */

/* The committed row of a step; NULL: none. */
static exia_status read_row(json_t **out, const install *state, const step *one, exia_error *err)
{
    char *text = NULL;
    exia_error caught;
    *out = NULL;
    exia_status rc = exia__records_get(&text, NULL, state->registry->records, "installed",
                                       one->target, NULL, &caught);
    if (rc == EXIA_OK)
        rc = exia__json_object(out, text, strlen(text), one->target, EXIA_ECORRUPT, &caught);
    exia__release(text);
    return rc < 0 && rc != EXIA_ENOTFOUND ? exia__error_pass(err, &caught) : EXIA_OK;
}

/* Compare a step with what is installed by now, and decide what is committed.  EXIA_DONE: the plan
 * no longer holds. */
static exia_status settle(const install *state, step *one, exia_error *err)
{
    json_t *row = NULL;
    int last = one == &state->steps[state->count - 1];
    exia_status rc = read_row(&row, state, one, err);
    if (rc < 0)
        return rc;
    const char *digest = exia__json_string(row, "digest");
    int requested = json_is_true(json_object_get(row, "requested"));
    int same = digest != NULL && strcmp(digest, said(one, "digest")) == 0;
    if (digest != NULL && !same) {
        rc = exia__fail(err, EXIA_ECONFLICT, 0,
                        "%s@%s is installed with other content: uninstall it first",
                        said(one, "name"), said(one, "version"));
    } else if (same && exia__path_exists(one->place)) {
        exia__release(one->staged); /* another process was faster, or it always was there */
        one->staged = NULL;
        json_decref(one->row);
        one->row = last && !requested ? json_incref(row) : NULL;
    } else if (one->staged == NULL) {
        rc = EXIA_DONE;
    }
    if (rc == EXIA_OK && one->row != NULL)
        rc = exia__json_set(one->row, "requested", json_boolean(last || requested), err);
    if (rc == EXIA_OK && one->row != NULL)
        rc = exia__json_text(&one->text, one->row, err);
    json_decref(row);
    return rc;
}

static exia_status sync_above(const step *one, exia_error *err)
{
    char *path = NULL;
    exia_status rc = exia__text_copy(&path, one->place, err);
    for (int above = 0; rc == EXIA_OK && above < 3; above++) {
        *strrchr(path, '/') = '\0';
        rc = exia__directory_sync(path, err);
    }
    exia__release(path);
    return rc;
}

static exia_status move(install *state, const step *one, exia_error *err)
{
    char *above = NULL;
    /* what lies there without a row is nobody's */
    exia_status rc = exia__staging_take(&state->staging, state->registry, one->target, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy_n(&above, one->place, (size_t)(strrchr(one->place, '/') - one->place),
                               err);
    if (rc == EXIA_OK)
        rc = exia__directory_make(above, err);
    if (rc == EXIA_OK && rename(one->staged, one->place) != 0)
        rc = exia__fail_errno(err, errno, "cannot move a package to", one->place);
    if (rc == EXIA_OK)
        rc = sync_above(one, err);
    exia__release(above);
    return rc;
}

static exia_status commit(install *state, exia_error *err)
{
    size_t count = 0;
    exia_status rc = EXIA_OK;
    exia_put *puts = exia__zeroed(state->count, sizeof *puts);
    if (puts == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < state->count; i++) {
        const step *one = &state->steps[i];
        if (one->text != NULL)
            puts[count++] = (exia_put){"installed", one->target, one->text, EXIA_ANY, NULL};
    }
    if (count > 0)
        rc = exia__records_batch(state->registry->records, puts, count, NULL, err);
    exia__release(puts);
    return rc;
}

/* EXIA_DONE: plan again. */
static exia_status finish(install *state, exia_error *err)
{
    int lock = -1;
    exia_status rc = exia__home_lock(&lock, state->registry, state->work, err);
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++)
        rc = settle(state, &state->steps[i], err);
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        if (state->steps[i].staged == NULL)
            continue;
        state->moving = 1;
        rc = exia__work_phase(state->work, "moving", err);
        if (rc == EXIA_OK)
            rc = move(state, &state->steps[i], err);
    }
    if (rc == EXIA_OK)
        rc = exia__work_phase(state->work, "committing", err);
    if (rc == EXIA_OK)
        rc = commit(state, err);
    if (rc == EXIA_OK) {
        state->moving = 0;
        exia__work_phase(state->work, "done", NULL); /* too late to stop it */
    }
    exia__lock_drop(lock);
    return rc;
}

static exia_status run_round(install *state, exia_error *err)
{
    exia_status rc = make_plan(state, err);
    if (rc == EXIA_OK)
        rc = pull_missing(state, err);
    if (rc == EXIA_OK)
        rc = prepare(state, err);
    if (rc == EXIA_OK)
        rc = finish(state, err);
    if (state->moving) {
        exia__staging_leave(&state->staging);
        exia__staging_recover(state->registry);
        state->moving = 0;
    }
    exia__staging_close(&state->staging, state->registry);
    return rc;
}

exia_status exia_registry_install(char **directory, exia_registry *registry, const char *package,
                                  const char *remote, const exia_install_options *options,
                                  const exia_job *job, exia_error *err)
{
    exia__work work;
    install state = {.registry = registry, .work = &work, .staging = {.lock = -1}};
    int round = 0;
    if (directory != NULL)
        *directory = NULL;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__plan_open(&state.plan, registry, package, remote, options, job, err);
    while (rc == EXIA_OK && (rc = run_round(&state, err)) == EXIA_DONE) {
        clear(&state);
        rc = ++round < MOST_ROUNDS
                 ? EXIA_OK
                 : exia__fail(err, EXIA_ECONFLICT, 0,
                              "what %s needs is uninstalled again and again: try later", package);
    }
    if (rc == EXIA_OK)
        rc = exia__plan_keep(&state.plan, err);
    if (rc == EXIA_OK && directory != NULL)
        rc = exia__text_copy(directory, state.steps[state.count - 1].place, err);
    clear(&state);
    exia__plan_close(&state.plan);
    return rc;
}
