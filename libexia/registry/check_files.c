/* The files of registered packages compared with their records, here or on a remote: an object that rotted, was cut
 * or is gone is found by no push, which goes by its size, and by each pull.  A repair puts a good copy in its
 * place: onto a remote that which is registered here, here that of a remote. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "registry/publish.h"
#include "registry/transfer.h"
#include "registry/unpacked.h"

enum { MOST_LOOKS = 8 }; /* at a package that others replace meanwhile */

typedef struct checking {
    const exia_registry *registry;
    const exia_check_options *options;
    const exia__side *side;  /* that is looked at */
    const exia__side *other; /* where good copies are; NULL: nowhere */
    exia__work *work;
    exia_rows *rows;
} checking;

/* What is wrong with one file; `what` NULL: nothing. */
typedef struct problem {
    const char *what;
    json_t *expected, *found; /* NULL: null */
    exia_error why;           /* where a text says more */
} problem;

static void problem_free(problem *p)
{
    json_decref(p->expected);
    json_decref(p->found);
    *p = (problem){0};
}

/* ---- look ------------------------------------------------------------------------------------ */

typedef struct hashing {
    exia__hash *hash;
    exia__work *work;
    uint64_t done, total;
} hashing;

static exia_status hash_piece(const void *data, size_t size, void *payload, exia_error *err)
{
    hashing *state = payload;
    exia_status rc = exia__hash_update(state->hash, data, size, err);
    state->done += size;
    return rc == EXIA_OK ? exia__work_step(state->work, "verifying", state->done, state->total, err)
                         : rc;
}

static exia_status hash_blob(char hex[EXIA__HEX_SIZE], const checking *state, const char *key,
                             uint64_t size, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_job job = exia__work_rest(state->work);
    hashing now = {.work = state->work, .total = size};
    exia_status rc = exia__hash_open(&now.hash, err);
    job.progress = NULL; /* it is told here */
    if (rc == EXIA_OK && size > 0)
        rc = exia__blobs_get(state->side->blobs, key, 0, size, hash_piece, &now, &job, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, now.hash, err);
    if (rc == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    exia__hash_free(now.hash);
    return rc;
}

/* Failures of a store that say nothing of this file. */
static int must_stop(exia_status rc)
{
    return rc == EXIA_ENOMEM || rc == EXIA_ECANCELLED || rc == EXIA_ETIMEOUT ||
           rc == EXIA_EUNAVAILABLE || rc == EXIA_EUNTRUSTED || rc == EXIA_ECLOSED;
}

static exia_status look(problem *out, const checking *state, const exia__offer *offer,
                        exia_error *err)
{
    exia_job job = exia__work_rest(state->work);
    char hex[EXIA__HEX_SIZE] = "";
    uint64_t there = 0;
    *out = (problem){0};
    if (exia__offer_check(offer, &out->why) < 0) {
        out->what = "record";
        return EXIA_OK;
    }
    const char *key = exia__json_string(offer->event, "key");
    uint64_t size = (uint64_t)json_integer_value(json_object_get(offer->event, "size"));
    exia_status rc = exia__blobs_stat(&there, NULL, state->side->blobs, key, &job, &out->why);
    if (rc == EXIA_ENOTFOUND) {
        out->what = "missing";
    } else if (rc == EXIA_OK && there != size) {
        out->what = "size";
        out->expected = json_integer((json_int_t)size);
        out->found = json_integer((json_int_t)there);
    } else if (rc == EXIA_OK && !state->options->quick) {
        rc = hash_blob(hex, state, key, size, &out->why);
        if (rc == EXIA_OK && strncmp(key + strlen("packages/"), hex, EXIA__HEX_SIZE - 1) != 0) {
            out->what = "digest";
            out->expected = json_stringn(key + strlen("packages/"), EXIA__HEX_SIZE - 1);
            out->found = json_string(hex);
        }
    }
    if (must_stop(rc))
        return exia__error_pass(err, &out->why);
    if (rc < 0 && out->what == NULL)
        out->what = "unreadable";
    return EXIA_OK;
}

/* The same identity, as it is on offer by now; NULL: no more. */
static exia_status find_now(const exia__offer **out, exia__offers *offers, const checking *state,
                            const exia__offer *offer, exia_error *err)
{
    exia_job job = exia__work_rest(state->work);
    exia__offers now;
    *out = NULL;
    exia_status rc = exia__offers_read(&now, state->side, offer->name, &job, err);
    for (size_t i = 0; rc == EXIA_OK && *out == NULL && i < now.count; i++) {
        const exia__offer *one = &now.items[i];
        if (strcmp(one->version, offer->version) == 0 && strcmp(one->tag, offer->tag) == 0)
            *out = one;
    }
    exia__offers_free(offers); /* `offer` may lie in it */
    *offers = now;
    return rc;
}

/* A problem shows, too, while others unregister or replace what is looked at: only one that holds for a record
 * that is still the same is told.  @param[in,out] offer  what is on offer by now; it may lie in `offers` then */
static exia_status look_well(problem *out, const exia__offer **offer, exia__offers *offers,
                             const checking *state, exia_error *err)
{
    exia_status rc = look(out, state, *offer, err);
    for (int i = 0; rc == EXIA_OK && out->what != NULL && i < MOST_LOOKS; i++) {
        json_t *before = json_incref((*offer)->live);
        rc = find_now(offer, offers, state, *offer, err);
        int same = rc == EXIA_OK && *offer != NULL && json_equal(before, (*offer)->live);
        json_decref(before);
        if (same)
            break;
        problem_free(out);
        if (rc < 0 || *offer == NULL)
            break;
        rc = look(out, state, *offer, err);
    }
    return rc;
}

/* ---- repair ---------------------------------------------------------------------------------- */

static exia_status find_copy(const exia__offer **out, exia__offers *offers, const checking *state,
                             const exia__offer *wanted, exia_error *err)
{
    exia_error caught;
    if (state->other == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "name a remote that has it");
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:O}", "name", wanted->name, "version", wanted->version, "tag",
                  wanted->tag, "digest", json_object_get(wanted->event, "digest"));
    exia_status rc = row ? exia__offer_of(out, offers, state->other, row, state->work, &caught)
                         : exia__fail_memory(&caught);
    json_decref(row);
    if (rc == EXIA_ENOTFOUND && state->other->name == NULL)
        return exia__fail(err, rc, 0,
                          "%s@%s is not registered here: register it, or pull it from elsewhere",
                          wanted->name, wanted->version);
    return rc < 0 ? exia__error_pass(err, &caught) : EXIA_OK;
}

/* The record stands, unless ours is another file with the same content: then it names that one. */
static exia_status repair_there(const checking *state, const exia__offer *offer,
                                const exia__offer *copy, exia_error *err)
{
    exia__parcel parcel = {.fd = -1};
    const char *key = exia__json_string(offer->event, "key");
    exia_status rc = exia__parcel_of(&parcel, state->registry, copy, err);
    if (rc == EXIA_OK)
        rc = exia__blob_renew(state->side, &parcel, key, state->work, err);
    if (rc == EXIA_OK && strcmp(parcel.key, key) != 0)
        rc = exia__publish(NULL, state->registry, state->side, &parcel, NULL, state->work, err);
    exia__parcel_free(&parcel);
    return rc;
}

static exia_status repair_here(const checking *state, const exia__offer *offer,
                               const exia__offer *copy, exia_error *err)
{
    exia_job job = exia__work_rest(state->work);
    int lock = -1;
    problem now = {0};
    exia_status rc = exia__home_lock(&lock, state->registry, state->work, err);
    if (rc == EXIA_OK)
        rc = look(&now, state, offer, err); /* somebody may have mended it */
    if (rc == EXIA_OK && now.what != NULL)
        rc = exia__blobs_remove(state->side->blobs, exia__json_string(offer->event, "key"), &job,
                                err);
    exia__lock_drop(lock);
    problem_free(&now);
    return rc < 0 ? rc
                  : exia__pull_offer(NULL, state->registry, state->other, copy, state->work, err);
}

static exia_status repair(const checking *state, const exia__offer *offer, exia_error *err)
{
    exia__offers offers = {0};
    const exia__offer *copy = NULL;
    exia_status rc = offer->bad < 0 ? exia__offer_check(offer, err)
                                    : find_copy(&copy, &offers, state, offer, err);
    if (rc == EXIA_OK)
        rc = state->side->name ? repair_there(state, offer, copy, err)
                               : repair_here(state, offer, copy, err);
    exia__offers_free(&offers);
    return rc;
}

/* ---- tell ------------------------------------------------------------------------------------ */

static exia_status check_one(const checking *state, const exia__offer *offer, exia_error *err)
{
    problem p;
    exia__offers offers = {0};
    exia_status repaired = EXIA_DONE, rc = look_well(&p, &offer, &offers, state, err);
    if (rc == EXIA_OK && p.what != NULL && state->options->repair)
        repaired = repair(state, offer, &p.why);
    if (must_stop(repaired))
        rc = exia__error_pass(err, &p.why);
    if (rc == EXIA_OK && p.what != NULL) {
        const char *why = repaired == EXIA_OK || p.why.status == 0 ? NULL : p.why.text;
        json_t *row =
            json_pack("{s:s, s:s, s:s, s:s?, s:s, s:O?, s:O?, s:b, s:s?}", "name", offer->name,
                      "version", offer->version, "tag", offer->tag, "path",
                      exia__json_string(offer->event, "key"), "problem", p.what, "expected",
                      p.expected, "found", p.found, "repaired", repaired == EXIA_OK, "why", why);
        rc = row ? exia__rows_add(state->rows, row, err) : exia__fail_memory(err);
        json_decref(row);
    }
    problem_free(&p);
    exia__offers_free(&offers);
    return rc;
}

static exia_status check_all(const checking *state, const char *package, exia_error *err)
{
    exia_job job = exia__work_rest(state->work);
    exia__spec selector = {0};
    exia__offers offers = {0};
    size_t count = 0;
    exia_status rc = package ? exia__spec_parse(&selector, package, err) : EXIA_OK;
    if (rc == EXIA_OK)
        rc = exia__offers_read(&offers, state->side, selector.name, &job, err);
    for (size_t i = 0; rc == EXIA_OK && i < offers.count; i++) {
        const exia__offer *offer = &offers.items[i];
        if (package != NULL &&
            !exia__spec_match(&selector, offer->name, offer->version, offer->tag))
            continue;
        count++;
        rc = check_one(state, offer, err);
    }
    if (rc == EXIA_OK && package != NULL && count == 0)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not registered%s", package,
                        state->side->name ? "" : " here");
    exia__offers_free(&offers);
    exia__spec_free(&selector);
    return rc < 0 ? exia__side_fail(state->side, rc, err) : rc;
}

/* The side that is looked at, and if it is to be repaired where copies are. */
static exia_status open_sides(exia__side *side, exia__side *other, exia_registry *registry,
                              const char *remote, const exia_check_options *options,
                              const exia_job *job, exia_error *err)
{
    int mode = options->repair && remote != NULL ? EXIA_STORE_WRITE : EXIA_STORE_READ;
    exia_status rc = exia__side_open(side, registry, remote, mode, EXIA__WITH_BLOBS, job, err);
    if (rc == EXIA_OK && side->files != NULL)
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0,
                        "%s is a directory of packages, which has no records: see vedapkg verify",
                        remote);
    if (rc == EXIA_OK && options->repair && (remote != NULL || options->remote != NULL))
        rc = exia__side_open(other, registry, remote ? NULL : options->remote, EXIA_STORE_READ,
                             EXIA__WITH_BLOBS, job, err);
    return rc;
}

exia_status exia_registry_check_files(exia_rows **out, exia_registry *registry, const char *package,
                                      const char *remote, const exia_check_options *options,
                                      const exia_job *job, exia_error *err)
{
    exia_check_options ours;
    exia__side side = {0}, other = {0};
    exia__work work;
    checking state = {.registry = registry, .options = &ours, .side = &side, .work = &work};
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_check_files: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = ours.repair ? exia__registry_enter_write(registry, err)
                         : exia__registry_enter(registry, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = open_sides(&side, &other, registry, remote, &ours, job, err);
    state.other = other.records ? &other : NULL;
    if (rc == EXIA_OK)
        rc = exia__rows_open(&state.rows, err);
    if (rc == EXIA_OK && side.records != NULL) /* else nothing was ever there */
        rc = check_all(&state, package, err);
    if (rc == EXIA_OK)
        *out = state.rows;
    else
        exia_rows_free(state.rows);
    exia__side_free(&other);
    exia__side_free(&side);
    return rc;
}
