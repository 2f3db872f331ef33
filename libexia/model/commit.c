/* Writing the log: one record put absent at the next SEQ.  Whoever loses it reads the winner, checks the
 * expectations again and tries the SEQ behind, with the same token.  What is derived from the entry
 * is made before it is written, by applying it to a copy of the state, and goes into the same step
 * where the store has one. */
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

enum { TRIES_WITHOUT_NEWS = 20 };

int exia__store_lost(exia_status rc)
{
    return rc == EXIA_ETIMEOUT || rc == EXIA_EUNAVAILABLE || rc == EXIA_EIO;
}

/* One attempt: what is to be written where, by the state as it is now. */
typedef struct attempt {
    json_t *entry;
    exia__puts puts; /* the entry, and what is derived from it */
    int64_t head;    /* before it */
} attempt;

static void clear_attempt(attempt *now)
{
    json_decref(now->entry);
    exia__puts_free(&now->puts);
    *now = (attempt){0};
}

static exia_status fill_entry(attempt *now, const exia_library *library, const exia__fold *fold,
                              const exia__intent *intent, exia_error *err)
{
    char time[EXIA__TIME_SIZE];
    exia__time_text(time, exia__now_ms());
    /* clocks differ between hosts and are set back; the log only goes forward */
    now->entry =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s?}", "format", 1, "do", intent->verb, "token",
                  intent->token, "time", strcmp(time, fold->time) < 0 ? fold->time : time, "who",
                  library->who, "why", intent->message);
    now->head = fold->head;
    return now->entry ? EXIA_OK : exia__fail_memory(err);
}

static exia_status fill_puts(attempt *now, exia_library *library, const exia__fold *fold,
                             const exia__intent *intent, exia_error *err)
{
    char key[EXIA__KEY_SIZE];
    exia__fold *next = NULL;
    exia__log_key(key, fold->name, fold->head + 1);
    exia_status rc =
        exia__puts_add(&now->puts, "log", key, now->entry, EXIA_ABSENT, intent->token, err);
    if (rc < 0 || !exia__records_can_batch(library->records))
        return rc;
    rc = exia__fold_copy(&next, fold, err);
    if (rc == EXIA_OK)
        rc = exia__fold_apply(next, library, now->entry, err);
    if (rc == EXIA_OK)
        rc = exia__derived_puts(&now->puts, next, err);
    exia__fold_free(next);
    return rc;
}

/* Was the call done already?  A token of our own can only be behind `since`, where we first tried. */
static exia_status look_back(const exia__done **done, exia_library *library, exia__fold *fold,
                             const exia__intent *intent, int64_t since, exia_error *err)
{
    exia_status rc =
        exia__log_done(done, library, fold, intent->token, intent->given ? 1 : since + 1, err);
    if (rc == EXIA_OK && *done != NULL && strcmp((*done)->verb, intent->verb) != 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "the token was used for another call (%s)",
                        (*done)->verb);
    return rc;
}

/* EXIA_DONE: nothing is to be written, and `*result` is the answer. */
static exia_status prepare(attempt *now, int64_t *result, exia_library *library, const char *name,
                           const exia__intent *intent, int64_t since, exia_error *err)
{
    exia__fold *fold = NULL;
    const exia__done *done = NULL;
    exia_status rc = exia__library_lock(library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_refresh(&fold, library, name, err);
    if (rc == EXIA_OK)
        rc = look_back(&done, library, fold, intent, since < 0 ? fold->head : since, err);
    if (rc == EXIA_OK && done != NULL) {
        *result = done->result;
        rc = EXIA_DONE;
    }
    if (rc == EXIA_OK)
        rc = fill_entry(now, library, fold, intent, err);
    if (rc == EXIA_OK)
        rc = intent->build(now->entry, result, fold, intent->payload, err);
    if (rc == EXIA_OK)
        rc = fill_puts(now, library, fold, intent, err);
    exia__library_unlock(library);
    return rc;
}

static exia_status put(exia_library *library, const attempt *now, const exia__intent *intent,
                       exia_error *err)
{
    const exia_put *entry = &now->puts.items[0];
    if (now->puts.count > 1)
        return exia__records_batch(library->records, now->puts.items, now->puts.count, intent->job,
                                   err);
    return exia__records_put(NULL, library->records, entry->kind, entry->key, entry->json,
                             entry->expect, entry->token, intent->job, err);
}

/* The entry is in the log: let the fold know without a read.  What fails here costs a read later. */
static void absorb(exia_library *library, const char *name, const attempt *now)
{
    if (exia__library_lock(library, NULL) < 0)
        return;
    const json_t *at = json_object_get(library->fold_index, name);
    exia__fold *fold = at ? library->folds[json_integer_value(at)] : NULL;
    if (fold != NULL && fold->head == now->head &&
        exia__fold_apply(fold, library, now->entry, NULL) == EXIA_OK) {
        if (now->puts.count > 1)
            exia__derived_kept(fold);
        else
            exia__derived_write(fold, library, NULL);
    }
    exia__library_unlock(library);
}

/* The store was lost while it may have been committing.  If the log can be read and has the token, it
 * is done; else nobody can tell yet, and the caller gets the error. */
static exia_status settle(int64_t *result, exia_library *library, const char *name,
                          const exia__intent *intent, int64_t since, exia_status rc)
{
    exia__fold *fold = NULL;
    const exia__done *done = NULL;
    if (exia__library_lock(library, NULL) < 0)
        return rc;
    if (exia__library_refresh(&fold, library, name, NULL) == EXIA_OK &&
        look_back(&done, library, fold, intent, since, NULL) == EXIA_OK && done != NULL) {
        *result = done->result;
        rc = EXIA_OK;
    }
    exia__library_unlock(library);
    return rc;
}

exia_status exia__library_commit(int64_t *result, exia_library *library, const char *name,
                                 const exia__intent *intent, exia_error *err)
{
    attempt now = {0};
    exia_status rc = EXIA_OK;
    int64_t last = -1, since = -1; /* the heads before the last attempt and the first one */
    int without_news = 0;
    for (;;) {
        clear_attempt(&now);
        rc = prepare(&now, result, library, name, intent, since, err);
        if (rc != EXIA_OK)
            break;
        since = since < 0 ? now.head : since;
        rc = put(library, &now, intent, err);
        if (rc != EXIA_ECONFLICT)
            break;
        exia__forgive(err);
        /* somebody else has that SEQ, so the next read shows it, unless the store is not what it
         * promised to be */
        without_news = now.head == last ? without_news + 1 : 0;
        last = now.head;
        if (without_news == TRIES_WITHOUT_NEWS) {
            rc = exia__fail(err, EXIA_ETIMEOUT, 0, "%s is taken, but the store does not show it",
                            now.puts.items[0].key);
            break;
        }
        if (without_news > 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (rc == EXIA_OK)
        absorb(library, name, &now);
    else if (now.puts.count > 0 && exia__store_lost(rc))
        rc = settle(result, library, name, intent, since, rc) < 0 ? rc : exia__forgive(err);
    clear_attempt(&now);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}
