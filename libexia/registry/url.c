/* A URL for who has no keys: what a remote has of a package, for a while. */
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/registry.h"

exia_status exia_registry_url(char **url, exia_registry *registry, const char *package,
                              const char *remote, int64_t seconds, exia_error *err)
{
    exia__spec selector = {0};
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia__side side = {0};
    if (url == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_url: `url` is NULL");
    *url = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc == EXIA_OK && remote == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "exia_registry_url: the remote is NULL");
    if (rc < 0 || (rc = exia__spec_parse(&selector, package, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_READ, EXIA__WITH_BLOBS, NULL,
                              err)) < 0 ||
        (rc = exia__offer_find(&offer, &offers, &side, &selector, NULL, err)) < 0)
        goto done;
    const char *key = exia__json_string(offer->event, "key");
    rc = exia__blobs_stat(NULL, NULL, side.blobs, key, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__blobs_url(url, side.blobs, key, seconds, err);
    if (rc < 0)
        rc = exia__side_fail(&side, rc, err);
done:
    exia__side_free(&side);
    exia__offers_free(&offers);
    exia__spec_free(&selector);
    return rc;
}
