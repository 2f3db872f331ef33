/* Work that is not finished: a private directory, a lock that tells whether its process lives, and
 * an intent that tells what it was about to change under installed/. */
#ifndef EXIA_REGISTRY_STAGING_H
#define EXIA_REGISTRY_STAGING_H

#include "base/hash.h"
#include "registry/registry.h"

typedef struct exia__staging {
    char id[EXIA__TOKEN_SIZE];
    char *path;      /* HOME/staging/ID, 0700; NULL: not open */
    char *lock_path; /* HOME/staging/ID.lock */
    int lock;
    int changing; /* installed/ or the rows may have changed, and are not yet as they should be */
} exia__staging;

exia_status exia__staging_open(exia__staging *out, const exia_registry *registry, exia__work *work,
                               exia_error *err);
/* Say what will come or go: an array of "NAME/VERSION/TAG". */
exia_status exia__staging_intend(const exia__staging *staging, const exia_registry *registry,
                                 const json_t *targets, exia_error *err);
/* Bring all that was written into it to the disk. */
exia_status exia__staging_sync(const exia__staging *staging, exia_error *err);
/* Move installed/TARGET (absent is fine) into the staging, and drop the directories above it that
 * are empty then.  Under the home's lock only. */
exia_status exia__staging_take(const exia__staging *staging, const exia_registry *registry,
                               const char *target, exia_error *err);
/* Something left this directory below installed/: drop it and those above it, so many at most, as far as they
 * are empty, and bring that to the disk, so that it holds when the intent is gone.  `folder` is cut to what
 * stays.  @param changed  0: nothing left, if none of them was empty */
exia_status exia__staging_clear(char *folder, int most, int changed, exia_error *err);
/* Let go of it as a crash would: exia__staging_recover() finishes it. */
void exia__staging_leave(exia__staging *staging);
/* The same, and say why in the log. */
void exia__staging_leave_for_later(exia__staging *staging, const exia_error *why);
/* At the end of a change: close it, or, where it failed half way, undo it as after a crash.  The home's
 * lock is free by then. */
void exia__staging_end(exia__staging *staging, const exia_registry *registry, exia_status rc);
/* Remove what is left in it, then the intent and the lock.  What cannot be removed now is found by
 * exia__staging_recover(). */
void exia__staging_close(exia__staging *staging, const exia_registry *registry);

/* Change what is installed: `change` is called under the home's lock, with a staging of its own. */
typedef exia_status exia__change_fn(exia__staging *staging, const exia_registry *registry,
                                    void *payload, exia_error *err);
exia_status exia__change(const exia_registry *registry, exia__change_fn *change, void *payload,
                         exia__work *work, exia_error *err);

/* Undo what dead processes left: take away every target of theirs whose row is not committed, and mend
 * what is current of it.  Rows are true without it, so a failure goes to the log, and the next opening
 * tries again. */
void exia__staging_recover(const exia_registry *registry);

/* The paths of the stagings whose processes are dead: an array. */
exia_status exia__staging_dead(json_t **out, const exia_registry *registry, exia_error *err);

#endif
