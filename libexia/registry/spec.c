/* "name", "name@1.2", "name@1.2#linux_x86_64", and which of the offers is meant: the newest that
 * runs here, a final one before a pre-offer, one made for this platform before one for any. */
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "package/version.h"
#include "registry/registry.h"

enum { SHOWN = 5 }; /* of what there is instead */

static int is_file(const char *text)
{
    size_t size = strlen(text), end = strlen(".veda");
    return strchr(text, '/') != NULL || (size > end && strcmp(text + size - end, ".veda") == 0);
}

/* Say how that which other tools write is written here, if it looks like that. */
static void advise(const char *text, exia_error *err)
{
    int name = (int)strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-");
    const char *version = text + name + strspn(text + name, "=: @");
    const char *tag = strchr(text, '#');
    if (name == 0 || name > 60 ? is_file(text) : tag == NULL && is_file(text))
        exia__fail(err, EXIA_EINVAL, 0,
                   "that is no name: if it is a file, register it first, then name the package");
    else if (name == 0 || name > 60)
        return;
    else if (version > text + name && version[-1] != '@' && tag == NULL &&
             exia__version_check(version, NULL) == EXIA_OK)
        exia__fail(err, EXIA_EINVAL, 0, "write %.*s@%s", name, text, version);
    else if (text[name] == '<' || text[name] == '>' || text[name] == '~' || text[name] == '!' ||
             strpbrk(version, "<>~*") != NULL || strcmp(version, "latest") == 0)
        exia__fail(err, EXIA_EINVAL, 0,
                   "write %.*s for the newest version, %.*s@1.0 for that one: ranges stand in the "
                   "dependencies of a package",
                   name, text, name, text);
}

exia_status exia__spec_parse(exia__spec *out, const char *text, exia_error *err)
{
    exia__spec selector = {0};
    *out = selector;
    if (text == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the package is NULL");
    size_t size = strcspn(text, "@#");
    const char *version = text[size] == '@' ? text + size + 1 : NULL;
    const char *tag = strchr(text + size, '#');
    exia_status rc = exia__text_copy_n(&selector.name, text, size, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&selector.text, text, err);
    if (rc == EXIA_OK && version != NULL)
        rc = exia__text_copy_n(&selector.version, version, strcspn(version, "#"), err);
    if (rc == EXIA_OK && tag != NULL)
        rc = exia__text_copy(&selector.tag, tag + 1, err);
    if (rc == EXIA_OK)
        rc = exia__name_check_lower(selector.name, "package name", err);
    if (rc == EXIA_OK && selector.version != NULL)
        rc = exia__version_check(selector.version, err);
    if (rc == EXIA_OK && selector.tag != NULL)
        rc = exia__name_check_lower(selector.tag, "platform tag", err);
    if (rc == EXIA_OK) {
        *out = selector;
        selector = (exia__spec){0};
    } else if (rc == EXIA_EINVAL && err != NULL) {
        advise(text, err);
        rc = exia__prefix(err, rc, "package \"%.40s%s\"", text, strlen(text) > 40 ? "..." : "");
    }
    exia__spec_free(&selector);
    return rc;
}

void exia__spec_free(exia__spec *selector)
{
    exia__release(selector->text);
    exia__release(selector->name);
    exia__release(selector->version);
    exia__release(selector->tag);
    *selector = (exia__spec){0};
}

int exia__spec_match(const exia__spec *selector, const char *name, const char *version,
                     const char *tag)
{
    return strcmp(selector->name, name) == 0 &&
           (selector->version == NULL || exia__version_compare(selector->version, version) == 0) &&
           (selector->tag == NULL || strcmp(selector->tag, tag) == 0);
}

const char *exia__platform(void)
{
#if defined(__x86_64__)
    return "linux_x86_64";
#elif defined(__aarch64__)
    return "linux_aarch64";
#else
    return "any";
#endif
}

int exia__tag_fits_on(const char *tag, const char *platform)
{
    return strcmp(tag, "any") == 0 || strcmp(tag, platform ? platform : exia__platform()) == 0;
}

int exia__tag_fits(const char *tag)
{
    return exia__tag_fits_on(tag, NULL);
}

int exia__spec_before(const char *version, const char *tag, const char *other_version,
                      const char *other_tag)
{
    int pre = exia__version_is_pre(version) - exia__version_is_pre(other_version);
    if (pre != 0)
        return pre < 0;
    int order = exia__version_compare(version, other_version);
    return order != 0 ? order > 0 : strcmp(other_tag, "any") == 0 && strcmp(tag, "any") != 0;
}

static int before(const exia__offer *a, const exia__offer *b)
{
    return exia__spec_before(a->version, a->tag, b->version, b->tag);
}

static exia_status not_found(const exia__offers *offers, const exia__spec *selector,
                             const exia__side *side, exia_error *err)
{
    exia__buffer others = {0};
    const char *platform = NULL;
    size_t count = 0;
    exia_status rc = EXIA_OK;
    if (side->records == NULL && side->files == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "nothing was pushed to %s yet", side->name);
    for (size_t i = 0; rc == EXIA_OK && i < offers->count; i++) {
        const exia__offer *offer = &offers->items[i];
        if (strcmp(offer->name, selector->name) != 0)
            continue;
        if (exia__spec_match(selector, offer->name, offer->version, offer->tag))
            platform = selector->platform ? selector->platform : "this platform";
        if (count++ < SHOWN)
            rc = exia__buffer_format(&others, err, "%s%s@%s#%s", count > 1 ? ", " : "", offer->name,
                                     offer->version, offer->tag);
    }
    if (rc == EXIA_OK)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not registered %s%s%s%s%s%s", selector->text,
                        side->name ? "on " : "here", side->name ? side->name : "",
                        platform ? " for " : "", platform ? platform : "",
                        count > 1                 ? ": there are "
                        : count == 1              ? ": there is "
                        : is_file(selector->text) ? ": if it is a file, register it first, then "
                                                    "name the package"
                                                  : "",
                        count ? others.data : "");
    exia__buffer_free(&others);
    return rc;
}

exia_status exia__offer_select(const exia__offer **out, const exia__offers *offers,
                               const exia__spec *selector, const exia__side *side, exia_error *err)
{
    const exia__offer *found = NULL;
    *out = NULL;
    for (size_t i = 0; i < offers->count; i++) {
        const exia__offer *offer = &offers->items[i];
        if (exia__spec_match(selector, offer->name, offer->version, offer->tag) &&
            (selector->tag != NULL || exia__tag_fits_on(offer->tag, selector->platform)) &&
            (found == NULL || before(offer, found)))
            found = offer;
    }
    if (found == NULL)
        return not_found(offers, selector, side, err);
    exia_status rc = exia__offer_check(found, err);
    if (rc < 0)
        return exia__side_fail(side, rc, err);
    *out = found;
    return EXIA_OK;
}

exia_status exia__offer_find(const exia__offer **out, exia__offers *offers, const exia__side *side,
                             const exia__spec *selector, const exia_job *job, exia_error *err)
{
    *out = NULL;
    exia_status rc = exia__offers_read(offers, side, selector->name, job, err);
    return rc < 0 ? rc : exia__offer_select(out, offers, selector, side, err);
}
