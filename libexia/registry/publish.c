/* The way of a package into a registry: its bytes under packages/SHA256.veda (send.c), then the claim of
 * its identity, then the event that makes it visible.  An identity keeps its meaning: the record
 * `identity`/NAME/VERSION/TAG is put once, holds the digest, and stays on a remote when the package
 * is unregistered, since others may have it.  Here it goes, since nobody else relies on it. */
#include "registry/publish.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/version.h"
#include "registry/catalog.h"

static exia_status identity_key(char **out, const char *name, const char *version, const char *tag,
                                exia_error *err)
{
    return exia__text_format(out, err, "%s/%s/%s", name, version, tag);
}

/* The offer with this identity, in any spelling of the version; NULL: none. */
static const exia__offer *find_offer(const exia__offers *offers, const exia__parcel *parcel)
{
    for (size_t i = 0; i < offers->count; i++) {
        const exia__offer *offer = &offers->items[i];
        if (strcmp(offer->tag, parcel->tag) == 0 &&
            exia__version_compare(offer->version, parcel->version) == 0)
            return offer;
    }
    return NULL;
}

static exia_status refuse(const exia__parcel *parcel, const char *version, const char *digest,
                          exia_error *err)
{
    if (strcmp(version, parcel->version) != 0)
        return exia__fail(err, EXIA_EEXISTS, 0,
                          "%s@%s#%s was published as %s, which is the same version in another "
                          "spelling",
                          parcel->name, parcel->version, parcel->tag, version);
    return exia__fail(err, EXIA_EEXISTS, 0,
                      "%s@%s#%s was published with other content (digest %.12s, not %.12s): give "
                      "it a new version",
                      parcel->name, version, parcel->tag, digest, parcel->digest);
}

/* A claimed identity of the same package name: is it ours, and of other content? */
static exia_status check_claim(const char *key, const char *text, int64_t revision, void *payload,
                               exia_error *err)
{
    const exia__parcel *parcel = payload;
    const char *version = strchr(key, '/');
    const char *tag = strrchr(key, '/');
    json_t *identity = NULL;
    char *spelled = NULL;
    (void)revision;
    if (version == NULL || tag == version || strcmp(tag + 1, parcel->tag) != 0)
        return EXIA_OK;
    exia_status rc = exia__text_copy_n(&spelled, version + 1, (size_t)(tag - version - 1), err);
    if (rc == EXIA_OK && exia__version_compare(spelled, parcel->version) == 0) {
        rc = exia__json_object(&identity, text, strlen(text), key, EXIA_ECORRUPT, err);
        const char *digest = exia__json_string(identity, "digest");
        if (rc == EXIA_OK && json_integer_value(json_object_get(identity, "format")) > 1)
            rc =
                exia__fail(err, EXIA_EVERSION, 0,
                           "the identity %s is of a format newer than this library reads (1)", key);
        else if (rc == EXIA_OK && digest == NULL)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "the identity %s has no digest", key);
        else if (rc == EXIA_OK &&
                 (strcmp(spelled, parcel->version) != 0 || strcmp(digest, parcel->digest) != 0))
            rc = refuse(parcel, spelled, digest, err);
    }
    json_decref(identity);
    exia__release(spelled);
    return rc;
}

/* May the package have its identity, as far as is known before anything moves? */
static exia_status check_identity(const exia__side *side, const exia__parcel *parcel,
                                  exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    char *prefix = NULL;
    if (!exia__records_can_put(side->records))
        return EXIA_OK;
    exia_status rc = exia__text_format(&prefix, err, "%s/", parcel->name);
    if (rc == EXIA_OK)
        rc = exia__records_scan(side->records, "identity", prefix, NULL, 0, NULL, check_claim,
                                (void *)parcel, &job, err);
    exia__release(prefix);
    return rc;
}

/* {format, do, token, time, supersedes}; `token` is filled. */
static exia_status event_head(json_t **out, char token[EXIA__TOKEN_SIZE], const char *what,
                              json_t *supersedes, exia_error *err)
{
    char now[EXIA__TIME_SIZE];
    *out = NULL;
    exia_status rc = exia__token(token, err);
    if (rc < 0)
        return rc;
    exia__time_text(now, exia__now_ms());
    *out = json_pack("{s:i, s:s, s:s, s:s, s:O}", "format", 1, "do", what, "token", token, "time",
                     now, "supersedes", supersedes);
    return *out ? EXIA_OK : exia__fail_memory(err);
}

/* The event, and with it the claim of its identity (NULL: none), which stands at `expect`. */
static exia_status write_event(const exia__side *side, const char *identity, const char *token,
                               const json_t *event, const char *claim, int64_t expect,
                               const exia_job *job, exia_error *err)
{
    char *key = NULL, *text = NULL;
    exia_status rc = exia__text_format(&key, err, "%s/%s", identity, token);
    if (rc == EXIA_OK)
        rc = exia__json_text(&text, event, err);
    if (rc < 0)
        goto done;
    const exia_put puts[2] = {{"identity", identity, claim, expect, token},
                              {"package", key, text, EXIA_ABSENT, token}};
    if (!exia__records_can_put(side->records))
        rc = exia__records_append(side->records, "package", key, text, token, job, err);
    else if (claim != NULL)
        rc = exia__records_batch(side->records, puts, 2, job, err);
    else
        rc = exia__records_put(NULL, side->records, "package", key, text, EXIA_ABSENT, token, job,
                               err);
    if (rc == EXIA_OK)
        exia__catalog_follow(side, job);
done:
    exia__release(key);
    exia__release(text);
    return rc;
}

/* Claim the identity and write the event; where it is claimed already, by the same digest, the event
 * alone. */
static exia_status record(const exia__side *side, const exia__parcel *parcel, const json_t *facts,
                          json_t *supersedes, exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    char token[EXIA__TOKEN_SIZE], *identity = NULL, *file = NULL, *claim = NULL;
    json_t *event = NULL;
    exia_error caught;
    exia_status rc = identity_key(&identity, parcel->name, parcel->version, parcel->tag, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&file, err, "%s-%s-%s.veda", parcel->name, parcel->version,
                               parcel->tag);
    if (rc == EXIA_OK)
        rc = event_head(&event, token, "register", supersedes, err);
    if (rc < 0)
        goto done;
    json_t *rest = json_pack("{s:s, s:s, s:I, s:s, s:b, s:O, s:o}", "digest", parcel->digest,
                             "file", file, "size", (json_int_t)parcel->size, "key", parcel->key,
                             "signed", parcel->is_signed, "metadata", parcel->metadata, "facts",
                             facts ? exia__json_deep_copy(facts) : json_object());
    if (rest == NULL || json_object_update(event, rest) != 0)
        rc = exia__fail_memory(err);
    else if (parcel->index[0] != '\0')
        rc = exia__json_set(event, "index", json_string(parcel->index), err);
    json_decref(rest);
    if (rc == EXIA_OK) /* a digest needs no quoting */
        rc = exia__text_format(&claim, err, "{\"format\":1,\"digest\":\"%s\"}", parcel->digest);
    if (rc < 0)
        goto done;
    rc = write_event(side, identity, token, event, claim, EXIA_ABSENT, &job, &caught);
    if (rc == EXIA_ECONFLICT) { /* the identity is there: whose is it? */
        rc = check_identity(side, parcel, work, err);
        if (rc == EXIA_OK)
            rc = write_event(side, identity, token, event, NULL, EXIA_ANY, &job, err);
    } else if (rc < 0) {
        exia__error_pass(err, &caught);
    }
done:
    json_decref(event);
    exia__release(claim);
    exia__release(identity);
    exia__release(file);
    return rc;
}

/* What the side knows of the package's identity: EXIA_OK and no offer, or the same package. */
static exia_status look(const exia__offer **out, exia__offers *offers, const exia__side *side,
                        const exia__parcel *parcel, exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    *out = NULL;
    exia__offers_free(offers);
    exia_status rc = exia__offers_read(offers, side, parcel->name, &job, err);
    if (rc < 0)
        return rc;
    const exia__offer *offer = find_offer(offers, parcel);
    if (offer == NULL)
        return check_identity(side, parcel, work, err);
    rc = exia__offer_check(offer, err);
    if (rc < 0)
        return rc;
    const char *digest = exia__json_string(offer->event, "digest");
    if (strcmp(offer->version, parcel->version) != 0 || strcmp(digest, parcel->digest) != 0)
        return refuse(parcel, offer->version, digest, err);
    *out = offer;
    return EXIA_OK;
}

/* The same content in another file: signed, or in the place of one that is lost. */
static exia_status replace(const exia__side *side, const exia__parcel *parcel,
                           const exia__offer *offer, exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    exia_status rc =
        record(side, parcel, json_object_get(offer->event, "facts"), offer->live, work, err);
    const char *key = exia__json_string(offer->event, "key");
    if (rc == EXIA_OK && side->name == NULL && strcmp(key, parcel->key) != 0)
        rc = exia__blobs_remove(side->blobs, key, &job, err); /* elsewhere it may be being read */
    return rc;
}

/* Is it the parcel's file that is recorded?  A record that gives it another size lies. */
static int is_recorded(const exia__offer *offer, const exia__parcel *parcel)
{
    const json_t *size = json_object_get(offer->event, "size");
    return strcmp(exia__json_string(offer->event, "key"), parcel->key) == 0 &&
           (uint64_t)json_integer_value(size) == parcel->size;
}

/* An offer of the same content that needs nothing: its file is there, and signed if ours is. */
static exia_status is_complete(int *out, const exia__side *side, const exia__offer *offer,
                               const exia__parcel *parcel, exia__work *work, exia_error *err)
{
    const json_t *event = offer ? offer->event : NULL;
    *out = 0;
    if (offer == NULL || (parcel->is_signed && !json_is_true(json_object_get(event, "signed"))))
        return EXIA_OK;
    exia_status rc =
        exia__blob_find(side, exia__json_string(event, "key"),
                        (uint64_t)json_integer_value(json_object_get(event, "size")), work, err);
    *out = rc == EXIA_OK;
    return rc < 0 ? rc : EXIA_OK;
}

exia_status exia__publish_known(int *known, const exia__side *side, const exia__parcel *parcel,
                                exia__work *work, exia_error *err)
{
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia_status rc = look(&offer, &offers, side, parcel, work, err);
    if (rc == EXIA_OK)
        rc = is_complete(known, side, offer, parcel, work, err);
    exia__offers_free(&offers);
    return rc;
}

exia_status exia__publish(exia_transfer *moved, const exia_registry *registry,
                          const exia__side *side, const exia__parcel *parcel, const json_t *facts,
                          exia__work *work, exia_error *err)
{
    exia_transfer transfer = {.total = parcel->size}, again = {0};
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    json_t *none = json_array();
    int lock = -1, known = 0;
    exia_status rc =
        none ? exia__publish_known(&known, side, parcel, work, err) : exia__fail_memory(err);
    if (known)
        transfer.reused = transfer.total;
    if (rc < 0 || known)
        goto done;
    if ((rc = exia__blob_put(&transfer, registry, side, parcel, work, err)) < 0)
        goto done;
    /* Here one process after the other, since unregister takes blobs away. */
    if (side->name == NULL &&
        ((rc = exia__home_lock(&lock, registry, work, err)) < 0 ||
         (rc = exia__blob_put(&again, registry, side, parcel, work, err)) < 0))
        goto done;
    if ((rc = look(&offer, &offers, side, parcel, work, err)) < 0)
        goto done;
    if (offer == NULL)
        rc = record(side, parcel, facts, none, work, err);
    else if (!is_recorded(offer, parcel) &&
             /* somebody may have come between, with a signed one */
             (rc = is_complete(&known, side, offer, parcel, work, err)) == EXIA_OK && !known)
        rc = replace(side, parcel, offer, work, err);
    if (rc == EXIA_OK && !exia__records_can_put(side->records))
        rc = look(&offer, &offers, side, parcel, work, err); /* has somebody come between? */
done:
    if (rc >= 0 && moved != NULL)
        *moved = transfer;
    exia__lock_drop(lock);
    exia__offers_free(&offers);
    json_decref(none);
    return rc < 0 ? exia__side_fail(side, rc, err) : EXIA_OK;
}

exia_status exia__claim_read(exia__claim *out, const exia__side *side, const exia__offer *offer,
                             exia_error *err)
{
    char *identity = NULL;
    *out = (exia__claim){0};
    if (!exia__records_can_batch(side->records))
        return EXIA_OK;
    exia_status rc = identity_key(&identity, offer->name, offer->version, offer->tag, err);
    if (rc == EXIA_OK)
        rc = exia__records_get(&out->text, &out->revision, side->records, "identity", identity,
                               NULL, err);
    exia__release(identity);
    return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
}

exia_status exia__event_follow(const exia__side *side, const char *what, const exia__offer *offer,
                               json_t *facts, const exia__claim *claim, const exia_job *job,
                               exia_error *err)
{
    static const char *const kept[] = {"digest", "file",   "size",    "key",
                                       "index",  "signed", "metadata"};
    char token[EXIA__TOKEN_SIZE], *identity = NULL;
    json_t *event = NULL;
    exia_status rc = identity_key(&identity, offer->name, offer->version, offer->tag, err);
    if (rc == EXIA_OK)
        rc = event_head(&event, token, what, offer->live, err);
    if (rc == EXIA_OK && facts != NULL) {
        for (size_t i = 0; rc == EXIA_OK && i < sizeof kept / sizeof *kept; i++) {
            json_t *value = json_object_get(offer->event, kept[i]);
            if (value != NULL) /* older records have no index */
                rc = exia__json_set(event, kept[i], json_incref(value), err);
        }
        if (rc == EXIA_OK)
            rc = exia__json_set(event, "facts", json_incref(facts), err);
    }
    if (rc == EXIA_OK)
        rc = write_event(side, identity, token, event, claim ? claim->text : NULL,
                         claim ? claim->revision : EXIA_ANY, job, err);
    json_decref(event);
    exia__release(identity);
    return rc < 0 ? exia__side_fail(side, rc, err) : EXIA_OK;
}
