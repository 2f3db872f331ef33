/* Export: packages and what they need as one file.  First all that goes in is found and, where it is
 * missing here, pulled; then the list is written, for every size is known, and each package behind it,
 * hashed on its way. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "package/format.h"
#include "registry/bundle.h"
#include "registry/publish.h"
#include "registry/resolve.h"
#include "registry/transfer.h"

enum { BLOCK = 1 << 20, LONGEST_LINE = 1024 };

typedef struct exporting {
    exia_registry *registry;
    exia__work *work;
    exia__side here, there; /* there: its records are NULL without a remote */
    const exia__side *remote;
    int only;
    const char *const *platforms;
    size_t platform_count;
    json_t *had;  /* NAME@VERSION#TAG -> digest, on the other side */
    json_t *seen; /* NAME@VERSION#TAG: decided */
    json_t *list; /* bundle.json */
    uint64_t done, total;
} exporting;

/* ---- what the other side has ---- */

static exia_status read_line(json_t *had, const char *line, size_t size, size_t number,
                             exia_error *err)
{
    exia__spec spec = {0};
    char text[LONGEST_LINE + 1];
    size_t length = strcspn(line, " \t\r\n");
    if (size == 0 || *line == '#')
        return EXIA_OK;
    exia_status rc = EXIA_EINVAL;
    if (size <= LONGEST_LINE && length < size) {
        memcpy(text, line, size);
        text[size] = text[length] = '\0';
        const char *digest = text + length + 1;
        rc = exia__hex_valid(digest) ? exia__spec_parse(&spec, text, err) : EXIA_EINVAL;
        if (rc == EXIA_OK && spec.version != NULL && spec.tag != NULL)
            rc = exia__json_set(had, text, json_string(digest), err);
        else if (rc == EXIA_OK)
            rc = EXIA_EINVAL;
    }
    exia__spec_free(&spec);
    return rc == EXIA_EINVAL
               ? exia__fail(err, rc, 0, "line %zu of what is had is no NAME@VERSION#TAG DIGEST",
                            number)
               : rc;
}

static exia_status read_had(exporting *now, const char *text, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (text == NULL)
        return EXIA_OK;
    if (strnlen(text, EXIA__BUNDLE_LIST_MOST + 1) > EXIA__BUNDLE_LIST_MOST)
        return exia__fail(err, EXIA_EINVAL, 0, "the list of what is had has more than 64 MiB");
    for (size_t number = 1; rc == EXIA_OK && *text != '\0'; number++) {
        size_t size = strcspn(text, "\n");
        size_t length = size > 0 && text[size - 1] == '\r' ? size - 1 : size;
        rc = read_line(now->had, text, length, number, err);
        text += size + (text[size] == '\n');
    }
    return rc;
}

/* ---- what goes in ---- */

static exia_status add_need(exporting *now, const exia__offer *offer, const char *digest,
                            exia_error *err)
{
    json_t *need = json_pack("{s:s, s:s, s:s, s:s}", "name", offer->name, "version", offer->version,
                             "tag", offer->tag, "digest", digest);
    return exia__json_append(json_object_get(now->list, "needs"), need, err);
}

static exia_status add_package(exporting *now, const exia__offer *offer, exia_error *err)
{
    exia__parcel parcel = {.fd = -1};
    exia_status rc = exia__parcel_describe(&parcel, offer, err);
    if (rc < 0)
        return rc;
    json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:O, s:I, s:s, s:b, s:O}", "name", parcel.name,
                             "version", parcel.version, "tag", parcel.tag, "digest", parcel.digest,
                             "file", json_object_get(offer->event, "file"), "size",
                             (json_int_t)parcel.size, "sha256", parcel.hex, "signed",
                             parcel.is_signed, "facts", json_object_get(offer->event, "facts"));
    now->total += parcel.size;
    exia__parcel_free(&parcel);
    return exia__json_append(json_object_get(now->list, "packages"), item, err);
}

/* A package of this side goes in, unless the other one has it. */
static exia_status take(exporting *now, const exia__offer *offer, exia_error *err)
{
    char *identity = NULL;
    exia_status rc =
        exia__text_format(&identity, err, "%s@%s#%s", offer->name, offer->version, offer->tag);
    if (rc < 0)
        return rc;
    const char *digest = exia__json_string(offer->event, "digest");
    const char *had = exia__json_string(now->had, identity);
    if (json_object_get(now->seen, identity) != NULL)
        goto done;
    if (had != NULL && strcmp(had, digest) != 0)
        rc = exia__fail(err, EXIA_EEXISTS, 0,
                        "the other side has %s with other content (digest %.12s, not %.12s)",
                        identity, had, digest);
    else
        rc = had ? add_need(now, offer, digest, err) : add_package(now, offer, err);
    if (rc == EXIA_OK)
        rc = exia__json_set(now->seen, identity, json_true(), err);
done:
    exia__release(identity);
    return rc;
}

/* Pull what was chosen of the remote, unless it is here. */
static exia_status pull(exporting *now, const exia__spec *spec, exia_error *err)
{
    exia_job job = exia__work_rest(now->work);
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia_status rc = exia__offer_find(&offer, &offers, now->remote, spec, &job, err);
    if (rc == EXIA_OK)
        rc = exia__pull_offer(NULL, now->registry, now->remote, offer, now->work, err);
    exia__offers_free(&offers);
    return rc;
}

static exia_status take_spec(exporting *now, const exia__spec *spec, exia_error *err)
{
    exia_job job = exia__work_rest(now->work);
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia_status rc = exia__offer_find(&offer, &offers, &now->here, spec, &job, err);
    if (rc == EXIA_OK)
        rc = take(now, offer, err);
    exia__offers_free(&offers);
    return rc;
}

/* One that the resolver chose. */
static exia_status take_choice(exporting *now, const json_t *choice, exia_error *err)
{
    const char *from = exia__json_string(choice, "from");
    exia__spec spec = {.name = (char *)exia__json_string(choice, "name"),
                       .version = (char *)exia__json_string(choice, "version"),
                       .tag = (char *)exia__json_string(choice, "tag")};
    exia_status rc =
        exia__text_format(&spec.text, err, "%s@%s#%s", spec.name, spec.version, spec.tag);
    if (rc == EXIA_OK && strcmp(from, "there") == 0)
        rc = pull(now, &spec, err);
    if (rc == EXIA_OK)
        rc = take_spec(now, &spec, err);
    if (rc == EXIA_ENOTFOUND && strcmp(from, "installed") == 0 && now->remote != NULL) {
        exia__forgive(err); /* only installed here, and there it is */
        rc = pull(now, &spec, err);
        if (rc == EXIA_OK)
            rc = take_spec(now, &spec, err);
    }
    exia__release(spec.text);
    return rc;
}

/* A package with what it needs, as it would be installed on a platform.  One that is named with its tag is
 * for that, and so is what it needs. */
static exia_status take_for(exporting *now, const char *package, const char *platform,
                            exia_error *err)
{
    exia_job job = exia__work_rest(now->work);
    exia__spec spec = {0};
    exia__wish wish = {
        .registry = now->registry, .there = now->remote, .package = &spec, .upgrade = 1};
    json_t *plan = NULL;
    exia_status rc = exia__spec_parse(&spec, package, err);
    if (rc < 0)
        return rc;
    if (platform == NULL && spec.tag != NULL && strcmp(spec.tag, "any") != 0)
        platform = spec.tag;
    wish.platform = spec.platform = platform;
    if (now->only) {
        if (now->remote != NULL)
            rc = pull(now, &spec, err);
        if (rc == EXIA_OK)
            rc = take_spec(now, &spec, err);
    } else {
        rc = exia__resolve(&plan, &wish, &job, err);
        for (size_t i = 0; rc == EXIA_OK && i < json_array_size(plan); i++)
            rc = take_choice(now, json_array_get(plan, i), err);
    }
    json_decref(plan);
    exia__spec_free(&spec);
    return rc;
}

static exia_status take_all(exporting *now, const char *package, exia_error *err)
{
    exia_status rc = now->platform_count == 0 ? take_for(now, package, NULL, err) : EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < now->platform_count; i++) {
        rc = take_for(now, package, now->platforms[i], err);
        if (rc < 0)
            rc = exia__prefix(err, rc, "for %s", now->platforms[i]);
    }
    return rc;
}

/* Two files of one name, as a-1 1 and a 1-1 would have: one of them is named by what it holds.  So is one
 * with a name that is too long for a file. */
static exia_status tell_apart(const json_t *packages, exia_error *err)
{
    json_t *names = json_object();
    exia_status rc = names ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(packages); i++) {
        json_t *item = json_array_get(packages, i);
        const char *file = exia__json_string(item, "file");
        char *other = NULL;
        if (json_object_get(names, file) != NULL || strcmp(file, EXIA__BUNDLE_LIST) == 0 ||
            strlen(file) > EXIA__MOST_PART)
            rc = exia__text_format(&other, err, "%s.veda", exia__json_string(item, "sha256"));
        if (rc == EXIA_OK && other != NULL)
            rc = exia__json_set(item, "file", json_string(other), err);
        if (rc == EXIA_OK)
            rc = exia__json_set(names, exia__json_string(item, "file"), json_true(), err);
        exia__release(other);
    }
    json_decref(names);
    return rc;
}

/* ---- the file ---- */

static exia_status write_padding(const exia__staged *staged, uint64_t size, exia_error *err)
{
    static const char zeros[2 * EXIA__BLOCK];
    return exia__write_all(staged->fd, zeros, (size_t)size, staged->path, err);
}

static exia_status write_header(const exia__staged *staged, const char *file, uint64_t size,
                                exia_error *err)
{
    exia__buffer header = {0};
    exia_status rc = exia__bundle_header(&header, file, size, err);
    if (rc == EXIA_OK)
        rc = exia__write_all(staged->fd, header.data, header.size, staged->path, err);
    exia__buffer_free(&header);
    return rc;
}

static exia_status copy(exporting *now, const exia__staged *staged, int fd, const json_t *item,
                        const char *path, exia_error *err)
{
    uint64_t size = (uint64_t)json_integer_value(json_object_get(item, "size"));
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE] = "", *block = exia__resize(NULL, BLOCK);
    exia__hash *hash = NULL;
    exia_status rc = block ? exia__hash_open(&hash, err) : exia__fail_memory(err);
    for (uint64_t at = 0; rc == EXIA_OK && at < size;) {
        size_t part = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        rc = exia__work_step(now->work, "exporting", now->done, now->total, err);
        if (rc == EXIA_OK)
            rc = exia__read_at(fd, block, part, at, path, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(hash, block, part, err);
        if (rc == EXIA_OK)
            rc = exia__write_all(staged->fd, block, part, staged->path, err);
        at += part;
        now->done += part;
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hash, err);
    if (rc == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    if (rc == EXIA_OK && strcmp(hex, exia__json_string(item, "sha256")) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0,
                        "%s is damaged: register or pull %s@%s again after vedapkg unregister",
                        path, exia__json_string(item, "name"), exia__json_string(item, "version"));
    exia__hash_free(hash);
    exia__release(block);
    return rc;
}

static exia_status write_package(exporting *now, const exia__staged *staged, const json_t *item,
                                 exia_error *err)
{
    uint64_t size = (uint64_t)json_integer_value(json_object_get(item, "size"));
    char *key = NULL, *path = NULL;
    int fd = -1;
    exia_status rc =
        exia__text_format(&key, err, "packages/%s.veda", exia__json_string(item, "sha256"));
    if (rc == EXIA_OK)
        rc = exia__blobs_local(&path, now->registry->blobs, key, err);
    if (rc == EXIA_OK && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        rc = exia__fail_errno(err, errno, "cannot read", path);
    if (rc == EXIA_OK)
        rc = write_header(staged, exia__json_string(item, "file"), size, err);
    if (rc == EXIA_OK)
        rc = copy(now, staged, fd, item, path, err);
    if (rc == EXIA_OK)
        rc = write_padding(staged, exia__tar_padding(size), err);
    if (fd >= 0)
        close(fd);
    exia__release(key);
    exia__release(path);
    return rc;
}

static exia_status write_bundle(exporting *now, const char *file, exia_error *err)
{
    exia__staged staged = {.fd = -1};
    const json_t *packages = json_object_get(now->list, "packages");
    char *text = NULL;
    exia_status rc = exia__json_pretty(&text, now->list, err);
    size_t size = rc == EXIA_OK ? strlen(text) : 0;
    if (rc == EXIA_OK &&
        (size > EXIA__BUNDLE_LIST_MOST || json_array_size(packages) > EXIA__MOST_BUNDLED))
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "one bundle holds at most %d packages and 64 MiB of facts: make several",
                        EXIA__MOST_BUNDLED);
    if (rc == EXIA_OK)
        rc = exia__stage(&staged, file, EXIA__REPLACE, err);
    if (rc == EXIA_OK)
        rc = write_header(&staged, EXIA__BUNDLE_LIST, size, err);
    if (rc == EXIA_OK)
        rc = exia__write_all(staged.fd, text, size, staged.path, err);
    if (rc == EXIA_OK)
        rc = write_padding(&staged, exia__tar_padding(size), err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(packages); i++)
        rc = write_package(now, &staged, json_array_get(packages, i), err);
    if (rc == EXIA_OK)
        rc = write_padding(&staged, (uint64_t)2 * EXIA__BLOCK, err);
    if (rc == EXIA_OK)
        rc = exia__stage_commit(&staged, EXIA__REPLACE, err);
    exia__stage_free(&staged);
    exia__release(text);
    return rc;
}

/* ---- the call ---- */

static exia_status make_rows(exia_rows **out, const json_t *list, exia_error *err)
{
    static const char *const states[][2] = {{"packages", "exported"}, {"needs", "left out"}};
    exia_rows *rows = NULL;
    exia_status rc = exia__rows_open(&rows, err);
    for (size_t i = 0; rc == EXIA_OK && i < 2; i++) {
        const json_t *items = json_object_get(list, states[i][0]);
        for (size_t k = 0; rc == EXIA_OK && k < json_array_size(items); k++)
            rc = exia__bundle_row(rows, json_array_get(items, k), states[i][1], err);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    return rc;
}

static exia_status open_export(exporting *now, const exia_export_options *options,
                               const exia_job *job, exia_error *err)
{
    now->had = json_object();
    now->seen = json_object();
    now->list = json_pack("{s:i, s:[], s:[]}", "format", 1, "packages", "needs");
    exia_status rc = now->had && now->seen && now->list ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < now->platform_count; i++)
        rc = exia__name_check_lower(now->platforms[i], "platform tag", err);
    if (rc == EXIA_OK)
        rc = read_had(now, options->have, err);
    if (rc == EXIA_OK && options->remote != NULL) {
        rc = exia__side_open(&now->there, now->registry, options->remote, EXIA_STORE_READ,
                             EXIA__WITH_BLOBS, job, err);
        now->remote = &now->there;
    }
    return rc;
}

exia_status exia_registry_export(exia_rows **out, exia_registry *registry,
                                 const char *const *packages, size_t count, const char *file,
                                 const exia_export_options *options, const exia_job *job,
                                 exia_error *err)
{
    exia_export_options ours = {0};
    exporting now = {.registry = registry};
    exia__work work;
    if (out != NULL)
        *out = NULL;
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = ours.remote ? exia__registry_enter_write(registry, err)
                         : exia__registry_enter(registry, err);
    if (rc == EXIA_OK && ours.platforms == NULL && ours.platform_count > 0)
        rc = exia__fail(err, EXIA_EINVAL, 0, "exia_registry_export: `platforms` is NULL");
    if (rc == EXIA_OK && (packages == NULL || count == 0 || file == NULL))
        rc =
            exia__fail(err, EXIA_EINVAL, 0, "exia_registry_export: no package or no file is given");
    if (rc < 0 || (rc = exia__work_begin(&work, job, err)) < 0)
        return rc;
    now.work = &work;
    now.only = ours.only;
    now.platforms = ours.platforms;
    now.platform_count = ours.platform_count;
    now.here = exia__side_here(registry);
    rc = open_export(&now, &ours, job, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = take_all(&now, packages[i], err);
    if (rc == EXIA_OK)
        rc = tell_apart(json_object_get(now.list, "packages"), err);
    if (rc == EXIA_OK)
        rc = write_bundle(&now, file, err);
    if (rc == EXIA_OK && out != NULL)
        rc = make_rows(out, now.list, err);
    exia__side_free(&now.there);
    json_decref(now.had);
    json_decref(now.seen);
    json_decref(now.list);
    return rc;
}
