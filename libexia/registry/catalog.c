/* Rows of offers, kept beside the events that they are the fold of:
 *
 *     offer/NAME/VERSION/TAG   {format, age, row}; without a row: it is gone
 *     registry/offers          {format, at}: the rows say what the events up to revision `at` do
 *
 * Who writes an event need not know of them.  Whoever reads rows asks the store which events are behind
 * `at`, and folds the packages of these anew; when they have become many their rows are written, with
 * the new `at`, as one batch that fails if somebody else did so meanwhile.  `at` was read before the
 * events were, so none is left out.  The events are the truth: without registry/offers all rows are
 * compared with them again, and a store that does not tell what is new has no rows.  Who changes what a
 * row says counts the format up. */
#include "registry/catalog.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"

enum {
    MANY_NAMES = 16,    /* to be folded at each query */
    MANY_RECORDS = 256, /* of any kind, to be passed over at each query */
    TRIES = 4
};

/* ---- how they stand ---- */

static exia_status add_name(const char *key, const char *text, int64_t revision, void *payload,
                            exia_error *err)
{
    char *name = NULL;
    (void)text, (void)revision;
    exia_status rc = exia__text_copy_n(&name, key, strcspn(key, "/"), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(payload, name, json_true(), err);
    exia__release(name);
    return rc;
}

/* What registry/offers says.  One that says nothing is as none. */
static exia_status read_stamp(exia__catalog *out, const exia__side *side, const exia_job *job,
                              exia_error *err)
{
    char *text = NULL;
    json_t *stamp = NULL;
    out->at = 0;
    out->revision = EXIA_ABSENT;
    exia_status rc =
        exia__records_get(&text, &out->revision, side->records, "registry", "offers", job, err);
    if (rc == EXIA_ENOTFOUND)
        return exia__forgive(err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&stamp, text, strlen(text), "registry/offers", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK) {
        json_int_t format = json_integer_value(json_object_get(stamp, "format"));
        json_int_t at = json_integer_value(json_object_get(stamp, "at"));
        out->is_foreign = format > 1;
        out->at = format == 1 && at > 0 ? at : 0;
    }
    json_decref(stamp);
    exia__release(text);
    return rc == EXIA_ECORRUPT ? exia__forgive(err) : rc;
}

/* Without rows, and without the right to make some, nobody asks what they are behind. */
static exia_status look(exia__catalog *out, const exia__side *side, int mend, const exia_job *job,
                        exia_error *err)
{
    *out = (exia__catalog){.behind = json_object()};
    exia_status rc = out->behind ? read_stamp(out, side, job, err) : exia__fail_memory(err);
    if (rc < 0 || out->is_foreign || (out->at == 0 && !mend))
        return rc;
    rc = exia__records_since(&out->head, side->records, "package", out->at, add_name, out->behind,
                             job, err);
    if (rc == EXIA_OK && out->at > out->head) { /* no revision that there was */
        out->at = 0;
        rc = exia__records_since(&out->head, side->records, "package", 0, add_name, out->behind,
                                 job, err);
    }
    if (rc == EXIA_OK && out->at == 0) /* rows that have no events, too */
        rc = exia__records_scan(side->records, EXIA__OFFER_KIND, "", NULL, 0, NULL, add_name,
                                out->behind, job, err);
    return rc;
}

void exia__catalog_close(exia__catalog *catalog)
{
    json_decref(catalog->behind);
    *catalog = (exia__catalog){0};
}

/* ---- writing rows ---- */

/* Records to be put; the texts are its own. */
typedef struct put_list {
    exia_put *items;
    size_t count, capacity;
} put_list;

static void free_puts(put_list *all)
{
    for (size_t i = 0; i < all->count; i++) {
        exia__release((char *)(uintptr_t)all->items[i].key);
        exia__release((char *)(uintptr_t)all->items[i].json);
    }
    exia__release(all->items);
    *all = (put_list){0};
}

/* `json` is stolen, also on failure. */
static exia_status add_put(put_list *all, const char *kind, const char *key, char *json,
                           int64_t expect, exia_error *err)
{
    exia_put put = {.kind = kind, .json = json, .expect = expect};
    char *kept = NULL;
    exia_status rc = exia__text_copy(&kept, key, err);
    put.key = kept;
    if (rc == EXIA_OK)
        rc = exia__grow(&all->items, &all->capacity, all->count + 1, sizeof put, err);
    if (rc == EXIA_OK) {
        all->items[all->count++] = put;
        return EXIA_OK;
    }
    exia__release(kept);
    exia__release(json);
    return rc;
}

static exia_status keep(const char *key, const char *text, int64_t revision, void *payload,
                        exia_error *err)
{
    (void)revision;
    return exia__json_set(payload, key, json_string_nocheck(text), err);
}

/* One offer's row, if it is another than in `there`; what `there` keeps has no offer. */
static exia_status add_row(put_list *all, const exia__offer *offer, json_t *there, exia_error *err)
{
    char *key = NULL, *text = NULL;
    json_t *row = NULL, *record = NULL;
    exia_status rc =
        exia__text_format(&key, err, "%s/%s/%s", offer->name, offer->version, offer->tag);
    if (rc == EXIA_OK)
        rc = exia__offer_row(&row, offer, err);
    if (rc == EXIA_OK &&
        (record = json_pack("{s:i, s:i, s:O}", "format", 1, "age", 0, "row", row)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&text, record, err);
    if (rc == EXIA_OK) {
        const char *before = exia__json_string(there, key);
        if (before == NULL || strcmp(before, text) != 0) {
            rc = add_put(all, EXIA__OFFER_KIND, key, text, EXIA_ANY, err);
            text = NULL;
        }
        (void)json_object_del(there, key);
    }
    json_decref(record);
    json_decref(row);
    exia__release(text);
    exia__release(key);
    return rc;
}

/* What is to be put so that the rows of a package say what its events do. */
static exia_status add_package(put_list *all, const exia__side *side, const char *name,
                               const exia_job *job, exia_error *err)
{
    static const char gone[] = "{\"format\":1}";
    exia__offers offers = {0};
    char *prefix = NULL, *text = NULL;
    const char *key = NULL;
    json_t *there = json_object(), *before = NULL;
    exia_status rc = there ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&prefix, err, "%s/", name);
    if (rc == EXIA_OK)
        rc = exia__records_scan(side->records, EXIA__OFFER_KIND, prefix, NULL, 0, NULL, keep, there,
                                job, err);
    if (rc == EXIA_OK)
        rc = exia__offers_read(&offers, side, name, job, err);
    for (size_t i = 0; rc == EXIA_OK && i < offers.count; i++)
        rc = add_row(all, &offers.items[i], there, err);
    json_object_foreach(there, key, before)
    {
        if (rc < 0 || strcmp(json_string_value(before), gone) == 0)
            continue;
        rc = exia__text_copy(&text, gone, err);
        if (rc == EXIA_OK)
            rc = add_put(all, EXIA__OFFER_KIND, key, text, EXIA_ANY, err);
    }
    exia__offers_free(&offers);
    json_decref(there);
    exia__release(prefix);
    return rc;
}

/* @return EXIA_ECONFLICT: somebody else wrote them */
static exia_status mend_rows(const exia__catalog *now, const exia__side *side, const exia_job *job,
                             exia_error *err)
{
    put_list all = {0};
    const char *name = NULL;
    char *stamp = NULL;
    json_t *unused = NULL;
    /* nobody waits long for what is not needed */
    const exia_job brief = {.struct_size = sizeof brief, .timeout_ms = 1000};
    exia_status rc =
        exia__text_format(&stamp, err, "{\"format\":1,\"at\":%lld}", (long long)now->head);
    if (rc == EXIA_OK)
        rc = add_put(&all, "registry", "offers", stamp, now->revision, err);
    json_object_foreach(now->behind, name, unused)
    {
        if (rc == EXIA_OK)
            rc = add_package(&all, side, name, job, err);
    }
    if (rc == EXIA_OK)
        rc = exia__records_batch(side->records, all.items, all.count, &brief, err);
    free_puts(&all);
    return rc;
}

static int is_far(const exia__catalog *now)
{
    return !now->is_foreign &&
           (json_object_size(now->behind) > MANY_NAMES || now->head - now->at > MANY_RECORDS);
}

exia_status exia__catalog_open(exia__catalog *out, const exia__side *side, int mend,
                               const exia_job *job, exia_error *err)
{
    exia_error why;
    *out = (exia__catalog){0};
    if (side->files != NULL || !exia__records_can_keep_rows(side->records))
        return EXIA_OK;
    exia_status rc = look(out, side, mend, job, err);
    for (int i = 0; rc == EXIA_OK && mend && is_far(out) && i < TRIES; i++) {
        exia_status mended = mend_rows(out, side, job, &why);
        if (mended == EXIA_ENOMEM) {
            rc = exia__error_pass(err, &why);
        } else if (mended == EXIA_OK || mended == EXIA_ECONFLICT) {
            exia__catalog_close(out);
            rc = look(out, side, mend, job, err);
        } else {
            exia__log(EXIA_LOG_WARNING, "registry", "rows of packages are not kept: %s", why.text);
            break;
        }
    }
    if (rc < 0)
        exia__catalog_close(out);
    return rc;
}

void exia__catalog_follow(const exia__side *side, const exia_job *job)
{
    exia__catalog catalog = {0};
    exia_error why;
    if (exia__catalog_open(&catalog, side, 1, job, &why) < 0)
        exia__log(EXIA_LOG_WARNING, "registry", "rows of packages are not kept: %s", why.text);
    exia__catalog_close(&catalog);
}

exia_status exia__catalog_stands(int *yes, const exia__catalog *catalog, const exia__side *side,
                                 exia_error *err)
{
    exia__catalog now = {0};
    exia_status rc = read_stamp(&now, side, NULL, err);
    *yes = now.revision == catalog->revision;
    return rc;
}

void exia__catalog_drop(const exia__catalog *catalog, const exia__side *side)
{
    exia_error why;
    if (exia__records_remove(side->records, "registry", "offers", catalog->revision, NULL, &why) <
        0)
        exia__log(EXIA_LOG_WARNING, "registry", "rows of packages are not kept: %s", why.text);
}
