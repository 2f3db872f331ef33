/* Register, update, unregister: the same on both sides. */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/publish.h"

enum { FACTS_LIMIT = 1 << 20 };

exia_status exia_registry_register(exia_registry *registry, const char *file, const char *remote,
                                   const exia_job *job, exia_error *err)
{
    exia__parcel parcel = {.fd = -1};
    exia__side side = {0};
    exia__work work;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (file == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_register: the file is NULL");
    rc = exia__work_begin(&work, job, err);
    if (rc < 0)
        return rc;
    exia_job rest = exia__work_rest(&work);
    rc = remote == NULL ? exia__parcel_take(&parcel, registry, file, &work, err)
                        : exia__parcel_open(&parcel, file, &work, err);
    if (rc == EXIA_OK)
        rc = exia__side_open(&side, registry, remote, EXIA_STORE_WRITE, EXIA__WITH_BLOBS, &rest,
                             err);
    if (rc == EXIA_OK)
        rc = exia__publish(NULL, registry, &side, &parcel, NULL, &work, err);
    exia__side_free(&side);
    exia__parcel_free(&parcel);
    return rc;
}

/* ---- facts ---- */

/* RFC 7396: null takes a member away, an object goes into the one that is there.  No deeper than the
 * parser went. */
static exia_status patch(json_t *target, const json_t *changes, exia_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    exia_status rc = EXIA_OK;
    json_object_foreach((json_t *)(uintptr_t)changes, key, value)
    {
        if (rc == EXIA_OK && json_is_object(value)) {
            if (!json_is_object(json_object_get(target, key)))
                rc = exia__json_set(target, key, json_object(), err);
            if (rc == EXIA_OK)
                rc = patch(json_object_get(target, key), value, err);
        } else if (rc == EXIA_OK && json_is_null(value)) {
            (void)json_object_del(target, key);
        } else if (rc == EXIA_OK) {
            rc = exia__json_set(target, key, json_incref(value), err);
        }
    }
    return rc;
}

/* What the facts become, no longer than facts may be. */
static exia_status merge_facts(json_t **out, const exia__offer *offer, const json_t *said,
                               exia_error *err)
{
    json_t *facts = exia__json_deep_copy(json_object_get(offer->event, "facts"));
    char *text = NULL;
    *out = facts;
    exia_status rc = facts ? patch(facts, said, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&text, facts, err);
    if (rc == EXIA_OK && strlen(text) > FACTS_LIMIT)
        rc =
            exia__fail(err, EXIA_EINVAL, 0, "the facts would have more than %d bytes", FACTS_LIMIT);
    exia__release(text);
    return rc;
}

static exia_status replace(const exia__side *side, const exia__spec *selector, json_t *said,
                           exia_error *err)
{
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia_status rc = exia__offer_find(&offer, &offers, side, selector, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__event_follow(side, "update", offer, said, NULL, NULL, err);
    exia__offers_free(&offers);
    return rc;
}

/* One attempt: the claim, then again what it is of.  EXIA_DONE: somebody came between. */
static exia_status merge_once(const exia__side *side, const exia__spec *selector,
                              const json_t *said, exia_error *err)
{
    exia__offers first = {0}, again = {0};
    const exia__offer *meant = NULL, *offer = NULL;
    exia__claim claim = {0};
    json_t *facts = NULL;
    exia_error caught;
    exia_status rc = exia__offer_find(&meant, &first, side, selector, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__claim_read(&claim, side, meant, err);
    if (rc == EXIA_OK)
        rc = exia__offer_find(&offer, &again, side, selector, NULL, err);
    if (rc == EXIA_OK &&
        (strcmp(offer->version, meant->version) != 0 || strcmp(offer->tag, meant->tag) != 0))
        rc = EXIA_DONE;
    if (rc == EXIA_OK)
        rc = merge_facts(&facts, offer, said, err);
    if (rc == EXIA_OK) {
        rc = exia__event_follow(side, "update", offer, facts, &claim, NULL, &caught);
        if (rc < 0)
            rc = rc == EXIA_ECONFLICT ? EXIA_DONE : exia__error_pass(err, &caught);
    }
    json_decref(facts);
    exia__release(claim.text);
    exia__offers_free(&first);
    exia__offers_free(&again);
    return rc;
}

static exia_status change_facts(exia_registry *registry, const char *package, const char *facts,
                                int merge, const char *remote, exia_error *err)
{
    exia__spec selector = {0};
    exia__side side = {0};
    json_t *said = NULL;
    exia__work work;
    int lock = -1;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (facts == NULL || strnlen(facts, FACTS_LIMIT + 1) > FACTS_LIMIT)
        return exia__fail(err, EXIA_EINVAL, 0, "the facts are NULL or longer than %d bytes",
                          FACTS_LIMIT);
    /* Here under the lock, or a package that goes meanwhile would come back without its file. */
    if ((rc = exia__json_object(&said, facts, strlen(facts), "facts", EXIA_EINVAL, err)) < 0 ||
        (rc = exia__spec_parse(&selector, package, err)) < 0 ||
        (rc = exia__work_begin(&work, NULL, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_WRITE, EXIA__RECORDS_ONLY, NULL,
                              err)) < 0 ||
        (remote == NULL && (rc = exia__home_lock(&lock, registry, &work, err)) < 0))
        goto done;
    if (!merge)
        rc = replace(&side, &selector, said, err);
    while (merge && (rc = merge_once(&side, &selector, said, err)) == EXIA_DONE &&
           (rc = exia__work_step(&work, "merging", 0, 0, err)) == EXIA_OK)
        continue;
done:
    exia__lock_drop(lock);
    json_decref(said);
    exia__spec_free(&selector);
    exia__side_free(&side);
    return rc;
}

exia_status exia_registry_update(exia_registry *registry, const char *package, const char *facts,
                                 const char *remote, exia_error *err)
{
    return change_facts(registry, package, facts, 0, remote, err);
}

exia_status exia_registry_merge(exia_registry *registry, const char *package, const char *facts,
                                const char *remote, exia_error *err)
{
    return change_facts(registry, package, facts, 1, remote, err);
}

/* ---- unregister ---- */

/* The one offer that is to go, whatever platform it is for and however broken it is. */
static exia_status select_to_forget(const exia__offer **out, const exia__offers *offers,
                                    const exia__spec *selector, const exia__side *side,
                                    exia_error *err)
{
    const exia__offer *found = NULL;
    for (size_t i = 0; i < offers->count; i++) {
        const exia__offer *offer = &offers->items[i];
        if (!exia__spec_match(selector, offer->name, offer->version, offer->tag))
            continue;
        if (found != NULL)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "%s@%s#%s and %s@%s#%s are registered: say which one", found->name,
                              found->version, found->tag, offer->name, offer->version, offer->tag);
        found = offer;
    }
    *out = found;
    return found ? EXIA_OK : exia__offer_select(out, offers, selector, side, err);
}

static exia_status add_token(const char *key, const char *text, int64_t revision, void *payload,
                             exia_error *err)
{
    (void)text, (void)revision;
    return exia__json_append(payload, json_string(strrchr(key, '/') + 1), err);
}

/* What is not wanted any more: the bytes, and the events before the last one. */
static exia_status sweep(const exia_registry *registry, const char *identity, const json_t *tokens,
                         const char *key, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (key != NULL)
        rc = exia__blobs_remove(registry->blobs, key, NULL, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(tokens); i++) {
        char *event = NULL;
        rc = exia__text_format(&event, err, "%s/%s", identity,
                               json_string_value(json_array_get(tokens, i)));
        if (rc == EXIA_OK)
            rc = exia__records_remove(registry->records, "package", event, EXIA_ANY, NULL, err);
        exia__release(event);
    }
    return rc;
}

/* Here nobody else relies on the identity, the bytes and the history.  The claim goes first: one that
 * stood without its package would keep other content out for ever.  One event ends all before it, so
 * that these can go in any order; without them a query does not become slower from round to round. */
static exia_status forget_here(const exia_registry *registry, const exia__side *here,
                               const exia__offer *gone, exia_error *err)
{
    exia__offer whole = *gone;
    exia_error caught;
    char *identity = NULL, *prefix = NULL;
    whole.live = json_array();
    exia_status rc = whole.live ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&identity, err, "%s/%s/%s", gone->name, gone->version, gone->tag);
    if (rc == EXIA_OK)
        rc = exia__text_format(&prefix, err, "%s/", identity);
    if (rc == EXIA_OK)
        rc = exia__records_scan(registry->records, "package", prefix, NULL, 0, NULL, add_token,
                                whole.live, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__records_remove(registry->records, "identity", identity, EXIA_ANY, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__event_follow(here, "unregister", &whole, NULL, NULL, NULL, err);
    if (rc == EXIA_OK &&
        sweep(registry, identity, whole.live, exia__json_string(gone->event, "key"), &caught) < 0)
        exia__log(EXIA_LOG_WARNING, "registry", "something of %s stays: %s", identity, caught.text);
    json_decref(whole.live);
    exia__release(identity);
    exia__release(prefix);
    return rc;
}

exia_status exia_registry_unregister(exia_registry *registry, const char *package,
                                     const char *remote, exia_error *err)
{
    exia__spec selector = {0};
    exia__offers offers = {0};
    exia__side side = {0};
    const exia__offer *offer = NULL;
    exia__work work;
    int lock = -1;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0 || (rc = exia__spec_parse(&selector, package, err)) < 0)
        return rc;
    if (selector.version == NULL) {
        rc = exia__fail(err, EXIA_EINVAL, 0, "say which version of %s is to go, as in %s@1.0",
                        selector.name, selector.name);
        goto done;
    }
    if ((rc = exia__work_begin(&work, NULL, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_WRITE, EXIA__RECORDS_ONLY, NULL,
                              err)) < 0 ||
        (remote == NULL && (rc = exia__home_lock(&lock, registry, &work, err)) < 0) ||
        (rc = exia__offers_read(&offers, &side, selector.name, NULL, err)) < 0 ||
        (rc = select_to_forget(&offer, &offers, &selector, &side, err)) < 0)
        goto done;
    rc = remote == NULL ? forget_here(registry, &side, offer, err)
                        : exia__event_follow(&side, "unregister", offer, NULL, NULL, NULL, err);
done:
    exia__lock_drop(lock);
    exia__spec_free(&selector);
    exia__offers_free(&offers);
    exia__side_free(&side);
    return rc;
}
