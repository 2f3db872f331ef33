/* Install a package, or what a lock file lists, with all it needs, or nothing.  What is missing here is
 * pulled first, which only adds to the registry.  Then all is unpacked and verified in a staging, synced
 * once, moved to its places under the home's lock, and committed by one batch of rows.  What fails
 * between the first move and the commit is left as a crash would leave it, and undone in the same way. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/current.h"
#include "registry/installed.h"
#include "registry/plan.h"
#include "registry/transfer.h"
#include "registry/unpacked.h"

enum { MOST_ROUNDS = 8 };

/* One package of the plan. */
typedef struct step {
    const json_t *choice; /* of the plan, borrowed */
    char *target;         /* NAME/VERSION/TAG */
    char *place;          /* HOME/installed/TARGET */
    char *staged;         /* where it is unpacked; NULL: it is installed */
    json_t *row;          /* what is committed; NULL: nothing */
    char *text;           /* the row as text */
    char *current;        /* what is committed as current of its name; NULL: nothing changes */
} step;

typedef struct install {
    exia_registry *registry;
    exia__plan plan;
    exia__work *work;
    step *steps; /* what is needed first */
    size_t count;
    exia__staging staging;
    int intended; /* the intent is written */
    int placed;   /* it is installed: what is left is the lock file */
} install;

static void clear(install *state)
{
    for (size_t i = 0; i < state->count; i++) {
        step *one = &state->steps[i];
        exia__release(one->target);
        exia__release(one->place);
        exia__release(one->staged);
        exia__release(one->text);
        exia__release(one->current);
        json_decref(one->row);
    }
    exia__release(state->steps);
    state->steps = NULL;
    state->count = 0;
    state->intended = 0;
}

static const char *said(const step *one, const char *member)
{
    return exia__json_string(one->choice, member);
}

/* Is it what was asked for, not what only comes along? */
static int is_asked(const step *one)
{
    return json_is_true(json_object_get(one->choice, "asked"));
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

static exia_status pull_missing(install *state, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        const exia__offer *offer = NULL;
        exia__offers offers = {0};
        if (!comes_from(&state->steps[i], "there"))
            continue;
        rc = exia__offer_of(&offer, &offers, state->plan.there, state->steps[i].choice, state->work,
                            err);
        if (rc == EXIA_OK)
            rc =
                exia__pull_offer(NULL, state->registry, state->plan.there, offer, state->work, err);
        exia__offers_free(&offers);
    }
    return rc;
}

/* ---- unpacked, out of sight ---- */

static exia_status unpack(install *state, step *one, exia_error *err)
{
    exia_status rc = exia__work_phase(state->work, "unpacking", err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&one->staged, err, "%s/%zu", state->staging.path,
                               (size_t)(one - state->steps));
    return rc == EXIA_OK ? exia__unpack_registered(&one->row, state->registry, one->choice,
                                                   one->staged, state->work, err)
                         : rc;
}

/* Everything that is to come, in the staging and on the disk. */
static exia_status prepare(install *state, exia_error *err)
{
    json_t *targets = json_array();
    size_t coming = 0;
    exia_status rc = targets ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        const step *one = &state->steps[i];
        int comes = !comes_from(one, "installed");
        coming += (size_t)comes;
        if (comes || is_asked(one)) /* what is current may change */
            rc = exia__json_append(targets, json_string(one->target), err);
    }
    if (rc == EXIA_OK)
        rc = exia__staging_open(&state->staging, state->registry, state->work, err);
    if (rc < 0 || coming == 0)
        goto done;
    if (rc == EXIA_OK)
        rc = exia__staging_intend(&state->staging, state->registry, targets, err);
    state->intended = rc == EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        if (!comes_from(&state->steps[i], "installed"))
            rc = unpack(state, &state->steps[i], err);
    }
    if (rc == EXIA_OK)
        rc = exia__work_phase(state->work, "syncing", err);
    if (rc == EXIA_OK)
        rc = exia__staging_sync(&state->staging, err);
done:
    json_decref(targets);
    return rc;
}

/* ---- under the home's lock ---- */

/* What was asked for keeps what was chosen for it: loading takes that. */
static exia_status settle_row(const install *state, step *one, const json_t *before,
                              exia_error *err)
{
    json_t *resolved = NULL;
    exia_status rc = EXIA_OK;
    if (is_asked(one))
        rc = exia__plan_resolved(&resolved, &state->plan, one->choice, err);
    else
        resolved = json_incref(json_object_get(before, "resolved"));
    int requested = is_asked(one) || json_is_true(json_object_get(before, "requested"));
    if (rc == EXIA_OK && resolved != NULL)
        rc = exia__json_set(one->row, "resolved", json_incref(resolved), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(one->row, "requested", json_boolean(requested), err);
    if (rc == EXIA_OK && !json_equal(one->row, before))
        rc = exia__json_text(&one->text, one->row, err);
    json_decref(resolved);
    return rc;
}

/* Compare a step with what is installed by now, and decide what is committed.  EXIA_DONE: the plan
 * no longer holds. */
static exia_status settle(const install *state, step *one, exia_error *err)
{
    json_t *row = NULL;
    exia_status rc = exia__installed_row(&row, state->registry, one->target, err);
    if (rc < 0)
        return rc;
    const char *digest = exia__json_string(row, "digest");
    int same = digest != NULL && strcmp(digest, said(one, "digest")) == 0;
    if (digest != NULL && !same) {
        rc = exia__fail(err, EXIA_ECONFLICT, 0,
                        "%s@%s is installed with other content: uninstall it first",
                        said(one, "name"), said(one, "version"));
    } else if (same && exia__path_exists(one->place)) {
        exia__release(one->staged); /* another process was faster, or it always was there */
        one->staged = NULL;
        json_decref(one->row);
        one->row = is_asked(one) ? exia__json_copy(row) : NULL;
        if (is_asked(one) && one->row == NULL)
            rc = exia__fail_memory(err);
    } else if (one->staged == NULL) {
        rc = EXIA_DONE;
    }
    if (rc == EXIA_OK && one->row != NULL)
        rc = settle_row(state, one, row, err);
    json_decref(row);
    return rc;
}

/* Decide what becomes current of a name: what was asked for, else what was, else what comes.  Where one
 * comes beside the current one, that is recorded anew: without a record the newest would be meant. */
static exia_status settle_current(const install *state, step *one, exia_error *err)
{
    json_t *rows = NULL;
    const json_t *chosen = NULL;
    int asked = is_asked(one);
    if (!asked && one->staged == NULL)
        return EXIA_OK;
    exia_status rc = exia__installed_read(&rows, state->registry, said(one, "name"), err);
    const json_t *was = exia__current_among(rows, said(one, "name"));
    int here = was != NULL && one->staged == NULL &&
               strcmp(exia__json_string(was, "version"), said(one, "version")) == 0 &&
               strcmp(exia__json_string(was, "tag"), said(one, "tag")) == 0;
    if (exia__tag_fits(said(one, "tag")) &&
        (was == NULL || (asked && !state->plan.options.keep_current)))
        chosen = here ? NULL : one->choice;
    else if (one->staged != NULL)
        chosen = was;
    if (rc == EXIA_OK && chosen != NULL)
        rc = exia__current_record(&one->current, exia__json_string(chosen, "version"),
                                  exia__json_string(chosen, "tag"), err);
    json_decref(rows);
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

/* NAME and NAME/VERSION, which sync_above() syncs. */
static exia_status make_above(const step *one, exia_error *err)
{
    char *path = NULL;
    exia_status rc = exia__text_copy(&path, one->place, err);
    for (int above = 2; rc == EXIA_OK && above > 0; above--) {
        strcpy(path, one->place);
        for (int i = 0; i < above; i++)
            *strrchr(path, '/') = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            rc = exia__fail_errno(err, errno, "cannot make the directory", path);
    }
    exia__release(path);
    return rc;
}

static exia_status move(install *state, const step *one, exia_error *err)
{
    /* what lies there without a row is nobody's */
    exia_status rc = exia__staging_take(&state->staging, state->registry, one->target, err);
    if (rc == EXIA_OK)
        rc = make_above(one, err);
    if (rc == EXIA_OK && rename(one->staged, one->place) != 0)
        rc = exia__fail_errno(err, errno, "cannot move a package to", one->place);
    if (rc == EXIA_OK)
        rc = sync_above(one, err);
    return rc;
}

static exia_status commit(install *state, exia_error *err)
{
    size_t count = 0;
    exia_status rc = EXIA_OK;
    exia_put *puts = exia__zeroed(2 * state->count, sizeof *puts);
    if (puts == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < state->count; i++) {
        const step *one = &state->steps[i];
        if (one->text != NULL)
            puts[count++] = (exia_put){"installed", one->target, one->text, EXIA_ANY, NULL};
        if (one->current != NULL)
            puts[count++] = (exia_put){"current", said(one, "name"), one->current, EXIA_ANY, NULL};
    }
    if (count > 0)
        rc = exia__records_batch(state->registry->records, puts, count, NULL, err);
    exia__release(puts);
    return rc;
}

/* Where only what is current moves, nothing was intended yet. */
static exia_status intend_current(install *state, exia_error *err)
{
    json_t *targets = json_array();
    exia_status rc = targets ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && !state->intended && i < state->count; i++) {
        if (state->steps[i].current != NULL)
            rc = exia__json_append(targets, json_string(state->steps[i].target), err);
    }
    if (rc == EXIA_OK && json_array_size(targets) > 0)
        rc = exia__staging_intend(&state->staging, state->registry, targets, err);
    json_decref(targets);
    return rc;
}

/* Behind the commit: a failure is for the next opening, for installed they are. */
static void follow(install *state)
{
    exia_error why;
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        const step *one = &state->steps[i];
        if (one->current != NULL)
            rc = exia__current_follow(&state->staging, state->registry, said(one, "name"), &why);
    }
    if (rc < 0)
        exia__staging_leave_for_later(&state->staging, &why);
}

/* EXIA_DONE: plan again. */
static exia_status finish(install *state, exia_error *err)
{
    int lock = -1;
    exia_status rc = exia__home_lock(&lock, state->registry, state->work, err);
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++)
        rc = settle(state, &state->steps[i], err);
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++)
        rc = settle_current(state, &state->steps[i], err);
    if (rc == EXIA_OK)
        rc = intend_current(state, err);
    state->staging.changing = rc == EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < state->count; i++) {
        if (state->steps[i].staged == NULL)
            continue;
        rc = exia__work_phase(state->work, "moving", err);
        if (rc == EXIA_OK)
            rc = move(state, &state->steps[i], err);
    }
    if (rc == EXIA_OK)
        rc = exia__work_phase(state->work, "committing", err);
    if (rc == EXIA_OK)
        rc = commit(state, err);
    if (rc == EXIA_OK) {
        exia__work_phase(state->work, "done", NULL); /* too late to stop it */
        follow(state);
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
    exia__staging_end(&state->staging, state->registry, rc);
    state->placed |= rc == EXIA_OK;
    if (rc == EXIA_OK)
        rc = exia__plan_keep(&state->plan, state->work, err);
    return rc;
}

/* Where the package lies; what a lock file lists lies side by side. */
static exia_status find_directory(char **out, const install *state, exia_error *err)
{
    return state->plan.package.name
               ? exia__text_copy(out, state->steps[state->count - 1].place, err)
               : exia__registry_path(out, state->registry, "installed", err);
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
                              "what is installed or locked changes again and again: try later");
    }
    if (rc < 0 && state.placed)
        rc = exia__prefix(err, rc, "%s is installed, but the lock file is not written",
                          state.plan.package.text);
    if (rc == EXIA_OK && directory != NULL)
        rc = find_directory(directory, &state, err);
    clear(&state);
    exia__plan_close(&state.plan);
    return rc;
}
