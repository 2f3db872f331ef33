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
    rc = exia__parcel_open(&parcel, file, &work, err);
    if (rc == EXIA_OK)
        rc = exia__side_open(&side, registry, remote, EXIA_STORE_WRITE, EXIA__WITH_BLOBS, &rest,
                             err);
    if (rc == EXIA_OK)
        rc = exia__publish(NULL, registry, &side, &parcel, NULL, &work, err);
    exia__side_free(&side);
    exia__parcel_free(&parcel);
    return rc;
}

exia_status exia_registry_update(exia_registry *registry, const char *package, const char *facts,
                                 const char *remote, exia_error *err)
{
    exia__spec selector = {0};
    exia__offers offers = {0};
    exia__side side = {0};
    const exia__offer *offer = NULL;
    json_t *object = NULL;
    exia__work work;
    int lock = -1;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (facts == NULL || strnlen(facts, FACTS_LIMIT + 1) > FACTS_LIMIT)
        return exia__fail(err, EXIA_EINVAL, 0, "the facts are NULL or longer than %d bytes",
                          FACTS_LIMIT);
    /* Here under the lock, or a package that goes meanwhile would come back without its file. */
    if ((rc = exia__json_object(&object, facts, strlen(facts), "facts", EXIA_EINVAL, err)) < 0 ||
        (rc = exia__spec_parse(&selector, package, err)) < 0 ||
        (rc = exia__work_begin(&work, NULL, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_WRITE, EXIA__RECORDS_ONLY, NULL,
                              err)) < 0 ||
        (remote == NULL && (rc = exia__home_lock(&lock, registry, &work, err)) < 0) ||
        (rc = exia__offer_find(&offer, &offers, &side, &selector, NULL, err)) < 0)
        goto done;
    rc = exia__event_follow(&side, "update", offer, object, NULL, err);
done:
    exia__lock_drop(lock);
    json_decref(object);
    exia__spec_free(&selector);
    exia__offers_free(&offers);
    exia__side_free(&side);
    return rc;
}

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

/* Here nobody else relies on the identity and the bytes, which are this package's alone.  The claim goes
 * first: one that stood without its package would keep other content out for ever.  The bytes go last,
 * and the package is gone whether they do or not. */
static exia_status forget(exia_registry *registry, const exia__side *side, const exia__offer *gone,
                          exia_error *err)
{
    exia_error caught;
    char *identity = NULL;
    const char *key = exia__json_string(gone->event, "key");
    exia_status rc = EXIA_OK;
    if (side->name == NULL)
        rc = exia__text_format(&identity, err, "%s/%s/%s", gone->name, gone->version, gone->tag);
    if (rc == EXIA_OK && side->name == NULL)
        rc = exia__records_remove(registry->records, "identity", identity, EXIA_ANY, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__event_follow(side, "unregister", gone, NULL, NULL, err);
    if (rc == EXIA_OK && side->name == NULL && key != NULL &&
        exia__blobs_remove(registry->blobs, key, NULL, &caught) < 0)
        exia__log(EXIA_LOG_WARNING, "registry", "the file of %s@%s stays: %s", gone->name,
                  gone->version, caught.text);
    exia__release(identity);
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
    rc = forget(registry, &side, offer, err);
done:
    exia__lock_drop(lock);
    exia__spec_free(&selector);
    exia__offers_free(&offers);
    exia__side_free(&side);
    return rc;
}
