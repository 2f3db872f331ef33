/* What is registered is a fold of events.  An event lies at NAME/VERSION/TAG/TOKEN, is never changed,
 * and says which events it supersedes; what nothing supersedes holds:
 *
 *     register a --+-- update c (supersedes a, b)      one package, facts of c
 *     register b --+
 *     register a, register d with another digest       a conflict, shown and not installed
 *
 * So two writers who do not see each other, or a reply that is lost and asked for again, leave
 * something that every reader understands in the same way.  A scan gives the events sorted by key,
 * those of one identity side by side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "package/version.h"
#include "registry/files.h"
#include "registry/registry.h"

/* The scan so far: offers done, and the events of the identity that is coming in. */
typedef struct fold {
    exia__offers offers;
    char *identity;
    json_t *events; /* what cannot be read is {token, status, why} */
} fold;

static void offer_clear(exia__offer *offer)
{
    exia__release(offer->name); /* version and tag lie in it */
    exia__release(offer->why);
    json_decref(offer->event);
    json_decref(offer->live);
    *offer = (exia__offer){0};
}

void exia__offers_free(exia__offers *offers)
{
    for (size_t i = 0; i < offers->count; i++)
        offer_clear(&offers->items[i]);
    exia__release(offers->items);
    *offers = (exia__offers){0};
}

/* NAME/VERSION/TAG, in three texts of one block.  @return EXIA_EINVAL: no identity */
static exia_status split_identity(exia__offer *out, const char *identity, exia_error *err)
{
    exia_status rc = exia__text_copy(&out->name, identity, err);
    if (rc < 0)
        return rc;
    char *first = strchr(out->name, '/'), *second = first ? strchr(first + 1, '/') : NULL;
    if (second == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "%.200s is no name/version/tag", identity);
    *first = *second = '\0';
    out->version = first + 1;
    out->tag = second + 1;
    rc = exia__name_check_lower(out->name, "package name", err);
    if (rc == EXIA_OK)
        rc = exia__version_check(out->version, err);
    if (rc == EXIA_OK)
        rc = exia__name_check_lower(out->tag, "platform tag", err);
    return rc;
}

/* ---- one event ---- */

static int is_text(const json_t *object, const char *key, const char *expected)
{
    const char *text = exia__json_string(object, key);
    return text != NULL && (expected == NULL || strcmp(text, expected) == 0);
}

static int supersedes_is_good(const json_t *event)
{
    const json_t *list = json_object_get(event, "supersedes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i)))
            return 0;
    }
    return json_is_array(list);
}

/* A name that may be used beside others in a directory. */
static int file_is_good(const char *file)
{
    return file != NULL && *file != '\0' && *file != '.' && strchr(file, '/') == NULL;
}

/* The blob of a package is named by the SHA-256 of its file. */
static int key_is_good(const char *key)
{
    char hex[EXIA__HEX_SIZE] = "";
    if (key == NULL || strlen(key) != strlen("packages/.veda") + EXIA__HEX_SIZE - 1 ||
        strncmp(key, "packages/", 9) != 0 || strcmp(key + 9 + EXIA__HEX_SIZE - 1, ".veda") != 0)
        return 0;
    memcpy(hex, key + 9, EXIA__HEX_SIZE - 1);
    return exia__hex_valid(hex);
}

/* Is it an event of this identity, as we write them? */
static exia_status check_event(const json_t *event, const exia__offer *identity, const char *token,
                               exia_error *err)
{
    const json_t *format = json_object_get(event, "format");
    const char *what = exia__json_string(event, "do");
    const char *digest = exia__json_string(event, "digest");
    if (json_is_integer(format) && json_integer_value(format) > 1)
        return exia__fail(err, EXIA_EVERSION, 0,
                          "a record is of format %lld, newer than this library reads (1)",
                          (long long)json_integer_value(format));
    if (!json_is_integer(format) || what == NULL || !is_text(event, "token", token) ||
        !is_text(event, "time", NULL) || !supersedes_is_good(event))
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "a record has no format, do, token, time or supersedes");
    if (strcmp(what, "unregister") == 0)
        return EXIA_OK;
    if (strcmp(what, "register") != 0 && strcmp(what, "update") != 0)
        return exia__fail(err, EXIA_EVERSION, 0,
                          "a record does \"%.40s\", which this library does not know", what);
    const json_t *manifest = json_object_get(json_object_get(event, "metadata"), "manifest");
    if (digest == NULL || !exia__hex_valid(digest) ||
        !key_is_good(exia__json_string(event, "key")) ||
        json_integer_value(json_object_get(event, "size")) <= 0 ||
        !file_is_good(exia__json_string(event, "file")) ||
        !json_is_object(json_object_get(event, "facts")))
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "a record has no digest, key, size, file or facts");
    if (!json_is_boolean(json_object_get(event, "signed")))
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "a record does not say whether its file is signed");
    if (!is_text(manifest, "name", identity->name) ||
        !is_text(manifest, "version", identity->version))
        return exia__fail(err, EXIA_ECORRUPT, 0, "a record holds the metadata of another package");
    return EXIA_OK;
}

/* ---- all events of an identity ---- */

/* Does `a` speak for the package rather than `b`, of the same content?  A signed file does. */
static int speaks(const json_t *a, const json_t *b)
{
    int order =
        json_is_true(json_object_get(a, "signed")) - json_is_true(json_object_get(b, "signed"));
    if (order == 0)
        order = strcmp(exia__json_string(a, "time"), exia__json_string(b, "time"));
    if (order == 0)
        order = strcmp(exia__json_string(a, "token"), exia__json_string(b, "token"));
    return order > 0;
}

static exia_status collect_superseded(json_t **out, const json_t *events, exia_error *err)
{
    json_t *set = json_object();
    exia_status rc = set ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(events); i++) {
        const json_t *list = json_object_get(json_array_get(events, i), "supersedes");
        for (size_t k = 0; rc == EXIA_OK && k < json_array_size(list); k++)
            rc = exia__json_set(set, json_string_value(json_array_get(list, k)), json_true(), err);
    }
    *out = set;
    return rc;
}

static exia_status mark_bad(exia__offer *offer, exia_status status, const char *why,
                            exia_error *err)
{
    if (offer->bad != EXIA_OK)
        return EXIA_OK;
    offer->bad = status;
    return exia__text_copy(&offer->why, why, err);
}

/* Add a live event. */
static exia_status add_live(exia__offer *offer, json_t *event, exia_error *err)
{
    exia_status rc =
        exia__json_append(offer->live, json_incref(json_object_get(event, "token")), err);
    if (rc < 0)
        return rc;
    const char *why = exia__json_string(event, "why");
    if (why != NULL)
        return mark_bad(offer, (exia_status)json_integer_value(json_object_get(event, "status")),
                        why, err);
    const char *digest = exia__json_string(event, "digest");
    if (offer->event != NULL && !is_text(offer->event, "digest", digest)) {
        char text[128];
        snprintf(text, sizeof text, "two packages have this identity, with digests %.12s and %.12s",
                 exia__json_string(offer->event, "digest"), digest);
        return mark_bad(offer, EXIA_ECONFLICT, text, err);
    }
    if (offer->event == NULL || speaks(event, offer->event)) {
        json_decref(offer->event);
        offer->event = json_incref(event);
    }
    return EXIA_OK;
}

static exia_status add_offer(exia__offers *offers, exia__offer *offer, exia_error *err)
{
    exia_status rc =
        exia__grow(&offers->items, &offers->capacity, offers->count + 1, sizeof *offer, err);
    if (rc == EXIA_OK) {
        offers->items[offers->count++] = *offer;
        *offer = (exia__offer){0};
    }
    return rc;
}

/* The events of `fold->identity` are complete: make an offer of what is live. */
static exia_status finish_identity(fold *state, exia_error *err)
{
    exia__offer offer = {0};
    json_t *superseded = NULL;
    exia_status rc = EXIA_OK;
    if (state->identity == NULL)
        return EXIA_OK;
    offer.live = json_array();
    if (offer.live == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = split_identity(&offer, state->identity, err);
    if (rc == EXIA_OK)
        rc = collect_superseded(&superseded, state->events, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(state->events); i++) {
        json_t *event = json_array_get(state->events, i);
        if (json_object_get(superseded, exia__json_string(event, "token")) == NULL &&
            !is_text(event, "do", "unregister"))
            rc = add_live(&offer, event, err);
    }
    if (rc == EXIA_OK && json_array_size(offer.live) > 0)
        rc = add_offer(&state->offers, &offer, err);
    offer_clear(&offer);
    json_decref(superseded);
    json_array_clear(state->events);
    exia__release(state->identity);
    state->identity = NULL;
    return rc;
}

static exia_status add_event(fold *state, const char *token, const char *text, exia_error *err)
{
    exia_error why = {0};
    exia__offer identity = {0};
    json_t *event = NULL;
    exia_status rc = split_identity(&identity, state->identity, err);
    if (rc < 0)
        goto done;
    exia_status bad =
        exia__json_object(&event, text, strlen(text), "a record", EXIA_ECORRUPT, &why);
    if (bad == EXIA_OK)
        bad = check_event(event, &identity, token, &why);
    if (bad == EXIA_ENOMEM) {
        rc = exia__fail_memory(err);
        goto done;
    }
    if (bad < 0) {
        json_decref(event);
        event = json_pack("{s:s, s:i, s:s}", "token", token, "status", (int)bad, "why", why.text);
    } else {
        (void)json_object_del(event, "why"); /* that is ours: it tells what cannot be read */
    }
    rc = exia__json_append(state->events, event, err);
    event = NULL;
done:
    json_decref(event);
    offer_clear(&identity);
    return rc;
}

/* One record of the scan. */
static exia_status found(const char *key, const char *text, int64_t revision, void *payload,
                         exia_error *err)
{
    fold *state = payload;
    (void)revision;
    const char *slash = strrchr(key, '/');
    size_t size = slash ? (size_t)(slash - key) : 0;
    if (state->identity == NULL || strncmp(state->identity, key, size) != 0 ||
        state->identity[size] != '\0') {
        exia__offer identity = {0};
        exia_error why = {0};
        exia_status rc = finish_identity(state, err);
        if (rc == EXIA_OK)
            rc = exia__text_copy_n(&state->identity, key, size, err);
        if (rc < 0)
            return rc;
        rc = split_identity(&identity, state->identity, &why);
        offer_clear(&identity);
        if (rc < 0) {
            exia__release(state->identity);
            state->identity = NULL;
            if (rc == EXIA_ENOMEM)
                return exia__fail_memory(err);
            exia__log(EXIA_LOG_WARNING, "registry", "a record was passed over: %s", why.text);
            return EXIA_OK;
        }
    }
    const json_t *last = json_array_get(state->events, json_array_size(state->events) - 1);
    if (last != NULL && is_text(last, "token", slash + 1))
        return EXIA_OK; /* a double */
    return add_event(state, slash + 1, text, err);
}

int exia__offer_compare(const void *left, const void *right)
{
    const exia__offer *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    if (order == 0)
        order = exia__version_compare(b->version, a->version);
    if (order == 0)
        order = strcmp(a->tag, b->tag);
    return order ? order : strcmp(a->version, b->version);
}

/* Versions that are equal in other spellings are one identity, so two of them are a conflict. */
static exia_status mark_spellings(exia__offers *offers, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 1; rc == EXIA_OK && i < offers->count; i++) {
        exia__offer *a = &offers->items[i - 1], *b = &offers->items[i];
        char text[320];
        if (strcmp(a->name, b->name) != 0 || strcmp(a->tag, b->tag) != 0 ||
            exia__version_compare(a->version, b->version) != 0)
            continue;
        snprintf(text, sizeof text, "%s and %s are one version in two spellings", a->version,
                 b->version);
        rc = mark_bad(a, EXIA_ECONFLICT, text, err);
        if (rc == EXIA_OK)
            rc = mark_bad(b, EXIA_ECONFLICT, text, err);
    }
    return rc;
}

static int is_good(const exia__offer *offer, const exia__offer *like)
{
    return offer->bad == EXIA_OK && strcmp(offer->tag, like->tag) == 0;
}

/* In each name the newest of each tag, final before not. */
static void mark_latest(exia__offers *offers)
{
    for (size_t begin = 0, end; begin < offers->count; begin = end) {
        for (end = begin + 1; end < offers->count &&
                              strcmp(offers->items[end].name, offers->items[begin].name) == 0;)
            end++;
        for (size_t i = begin; i < end; i++) {
            exia__offer *offer = &offers->items[i];
            int pre = exia__version_is_pre(offer->version);
            offer->latest = offer->bad == EXIA_OK;
            for (size_t k = begin; offer->latest && k < end; k++) {
                const exia__offer *other = &offers->items[k];
                int final = !exia__version_is_pre(other->version);
                if (k != i && is_good(other, offer) && (k < i ? pre || final : pre && final))
                    offer->latest = 0;
            }
        }
    }
}

exia_status exia__offers_read(exia__offers *out, const exia__side *side, const char *name,
                              const exia_job *job, exia_error *err)
{
    fold state = {.events = json_array()};
    char *prefix = NULL;
    *out = (exia__offers){0};
    exia_status rc = state.events ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&prefix, err, "%s%s", name ? name : "", name ? "/" : "");
    if (rc == EXIA_OK && side->files != NULL)
        rc = exia__files_scan(side->files, prefix, found, &state, err);
    else if (rc == EXIA_OK && side->records != NULL)
        rc = exia__records_scan(side->records, "package", prefix, NULL, 0, NULL, found, &state, job,
                                err);
    if (rc == EXIA_OK)
        rc = finish_identity(&state, err);
    if (rc == EXIA_OK && state.offers.count > 0) {
        qsort(state.offers.items, state.offers.count, sizeof *state.offers.items,
              exia__offer_compare);
        rc = mark_spellings(&state.offers, err);
        mark_latest(&state.offers);
    }
    if (rc == EXIA_OK) {
        *out = state.offers;
        state.offers = (exia__offers){0};
    }
    exia__offers_free(&state.offers);
    exia__release(state.identity);
    exia__release(prefix);
    json_decref(state.events);
    return rc < 0 ? exia__side_fail(side, rc, err) : EXIA_OK;
}

exia_status exia__offer_check(const exia__offer *offer, exia_error *err)
{
    if (offer->bad == EXIA_OK)
        return EXIA_OK;
    return exia__fail(err, offer->bad, 0, "%s@%s#%s: %s", offer->name, offer->version, offer->tag,
                      offer->why);
}
