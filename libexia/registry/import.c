/* Import: every package of a bundle is verified where it lies in the file, and only when all are good the
 * first is registered, what is needed first.  So nothing is copied twice, an import that was cut short
 * leaves whole packages which the next one skips, and a bad bundle leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "package/format.h"
#include "registry/bundle.h"
#include "registry/publish.h"

typedef struct item {
    const json_t *said; /* its entry in the list, borrowed */
    exia__parcel parcel;
    uint64_t at; /* where it begins in the bundle */
    int known;   /* registered here already */
} item;

typedef struct importing {
    exia_registry *registry;
    exia__work *work;
    exia__side here;
    const char *path;
    int fd;
    uint64_t size, end; /* of the file; how far it was looked at */
    json_t *list;
    item *items;
    size_t count;
} importing;

/* ---- the frame ---- */

static exia_status open_file(importing *now, exia_error *err)
{
    struct stat info;
    now->fd = open(now->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not block */
    if (now->fd < 0 || fstat(now->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", now->path);
    if (!S_ISREG(info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", now->path);
    now->size = (uint64_t)info.st_size;
    return EXIA_OK;
}

static exia_status fail_short(const importing *now, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is not whole: it ends after %llu bytes", now->path,
                      (unsigned long long)now->size);
}

/* The bytes from `end` on are these. */
static exia_status expect(importing *now, const char *bytes, size_t size, exia_error *err)
{
    char *there = exia__resize(NULL, size);
    exia_status rc = there ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && size > now->size - now->end)
        rc = fail_short(now, err);
    if (rc == EXIA_OK)
        rc = exia__read_at(now->fd, there, size, now->end, now->path, err);
    if (rc == EXIA_OK && memcmp(there, bytes, size) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0,
                        "%s is no bundle as vedapkg export writes it: byte %llu and what follows",
                        now->path, (unsigned long long)now->end);
    exia__release(there);
    now->end += size;
    return rc;
}

/* A file of the bundle: its header, then `size` bytes, then zeros. */
static exia_status expect_file(uint64_t *at, importing *now, const char *file, uint64_t size,
                               exia_error *err)
{
    static const char zeros[EXIA__BLOCK];
    exia__buffer header = {0};
    exia_status rc = exia__bundle_header(&header, file, size, err);
    if (rc == EXIA_OK)
        rc = expect(now, header.data, header.size, err);
    exia__buffer_free(&header);
    if (rc == EXIA_OK && size > now->size - now->end)
        rc = fail_short(now, err);
    if (rc < 0)
        return rc;
    *at = now->end;
    now->end += size;
    return expect(now, zeros, (size_t)exia__tar_padding(size), err);
}

/* The size of the list, as its header says. */
static exia_status read_size(uint64_t *size, const importing *now, exia_error *err)
{
    char block[EXIA__BLOCK] = "";
    exia__entry entry = {0};
    size_t whole = 0, there = now->size < sizeof block ? (size_t)now->size : sizeof block;
    exia_status rc = exia__read_at(now->fd, block, there, 0, now->path, err);
    if (rc < 0)
        return rc;
    if (memcmp(block, "\x28\xb5\x2f\xfd", 4) == 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no bundle: if it is a package, register it",
                          now->path);
    rc = there == sizeof block ? exia__tar_read(&entry, &whole, block, there, NULL) : EXIA_ECORRUPT;
    if (rc == EXIA_ENOMEM)
        return exia__fail_memory(err);
    if (rc < 0 || entry.path == NULL || strcmp(entry.path, EXIA__BUNDLE_LIST) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0,
                        "%s is no bundle: it does not begin with " EXIA__BUNDLE_LIST, now->path);
    else if (entry.size > EXIA__BUNDLE_LIST_MOST)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s: its " EXIA__BUNDLE_LIST " is over 64 MiB",
                        now->path);
    *size = entry.size;
    exia__release((char *)entry.path);
    return rc;
}

static exia_status read_list(importing *now, exia_error *err)
{
    uint64_t size = 0, at = 0;
    char *text = NULL;
    exia_status rc = read_size(&size, now, err);
    if (rc == EXIA_OK)
        rc = expect_file(&at, now, EXIA__BUNDLE_LIST, size, err);
    if (rc == EXIA_OK && (text = exia__resize(NULL, (size_t)size)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__read_at(now->fd, text, (size_t)size, at, now->path, err);
    if (rc == EXIA_OK)
        rc = exia__bundle_parse(&now->list, text, (size_t)size, now->path, err);
    exia__release(text);
    return rc;
}

/* Where each package lies; all of the file is spoken for. */
static exia_status lay_out(importing *now, exia_error *err)
{
    static const char zeros[2 * EXIA__BLOCK];
    const json_t *packages = json_object_get(now->list, "packages");
    exia_status rc = EXIA_OK;
    now->items = exia__zeroed(json_array_size(packages), sizeof *now->items);
    if (now->items == NULL)
        return exia__fail_memory(err);
    now->count = json_array_size(packages);
    for (size_t i = 0; i < now->count; i++)
        now->items[i].parcel.fd = -1;
    for (size_t i = 0; rc == EXIA_OK && i < now->count; i++) {
        item *one = &now->items[i];
        one->said = json_array_get(packages, i);
        rc = expect_file(&one->at, now, exia__json_string(one->said, "file"),
                         (uint64_t)json_integer_value(json_object_get(one->said, "size")), err);
    }
    if (rc == EXIA_OK)
        rc = expect(now, zeros, sizeof zeros, err);
    if (rc == EXIA_OK && now->end != now->size)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s has %llu bytes behind its end", now->path,
                        (unsigned long long)(now->size - now->end));
    return rc;
}

/* ---- the packages ---- */

/* What the bundle was made without must be here. */
static exia_status check_needs(const importing *now, exia_error *err)
{
    const json_t *needs = json_object_get(now->list, "needs");
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(needs); i++) {
        const json_t *need = json_array_get(needs, i);
        const char *name = exia__json_string(need, "name"), *tag = exia__json_string(need, "tag");
        const char *version = exia__json_string(need, "version");
        exia__offers offers = {0};
        exia_job job = exia__work_rest(now->work);
        int found = 0;
        rc = exia__offers_read(&offers, &now->here, name, &job, err);
        for (size_t k = 0; rc == EXIA_OK && k < offers.count; k++) {
            const exia__offer *offer = &offers.items[k];
            found |= offer->bad == EXIA_OK && strcmp(offer->version, version) == 0 &&
                     strcmp(offer->tag, tag) == 0 &&
                     strcmp(exia__json_string(offer->event, "digest"),
                            exia__json_string(need, "digest")) == 0;
        }
        exia__offers_free(&offers);
        if (rc == EXIA_OK && !found)
            rc = exia__fail(err, EXIA_ENOTFOUND, 0,
                            "%s was made for a side that has %s@%s#%s, which is not registered "
                            "here: export again with the list of what is here (vedapkg have)",
                            now->path, name, version, tag);
    }
    return rc;
}

/* What the list says of a package, before a byte of it is read. */
static exia_status describe(item *one, exia_error *err)
{
    exia__parcel *parcel = &one->parcel;
    const char *hex = exia__json_string(one->said, "sha256");
    exia_status rc = exia__text_copy(&parcel->name, exia__json_string(one->said, "name"), err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&parcel->version, exia__json_string(one->said, "version"), err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&parcel->tag, exia__json_string(one->said, "tag"), err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&parcel->digest, exia__json_string(one->said, "digest"), err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&parcel->key, err, "packages/%s.veda", hex);
    memcpy(parcel->hex, hex, EXIA__HEX_SIZE);
    parcel->size = (uint64_t)json_integer_value(json_object_get(one->said, "size"));
    parcel->is_signed = json_is_true(json_object_get(one->said, "signed"));
    return rc;
}

static int same(const exia__parcel *a, const exia__parcel *b)
{
    return strcmp(a->hex, b->hex) == 0 && strcmp(a->digest, b->digest) == 0 &&
           strcmp(a->name, b->name) == 0 && strcmp(a->version, b->version) == 0 &&
           strcmp(a->tag, b->tag) == 0;
}

/* Verify it in its place, and keep what it says of itself. */
static exia_status verify(const importing *now, item *one, exia_error *err)
{
    exia__parcel found = {.fd = -1};
    char *path = NULL;
    exia_status rc =
        exia__text_format(&path, err, "%s: %s", now->path, exia__json_string(one->said, "file"));
    if (rc == EXIA_OK)
        rc = exia__parcel_open_at(&found, now->fd, one->at, one->parcel.size, path, now->work, err);
    if (rc == EXIA_OK && !same(&found, &one->parcel))
        rc = exia__fail(err, EXIA_ECORRUPT, 0,
                        "%s is not what the list says: it is %s@%s#%s with digest %.12s", path,
                        found.name, found.version, found.tag, found.digest);
    exia__release(path);
    if (rc == EXIA_OK) {
        close(found.fd); /* one for each would be too many */
        found.fd = -1;
        exia__parcel_free(&one->parcel);
        one->parcel = found;
    } else {
        exia__parcel_free(&found);
    }
    return rc;
}

static exia_status verify_all(importing *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < now->count; i++) {
        item *one = &now->items[i];
        rc = describe(one, err);
        if (rc == EXIA_OK)
            rc = exia__publish_known(&one->known, &now->here, &one->parcel, now->work, err);
        if (rc == EXIA_OK && !one->known)
            rc = verify(now, one, err);
    }
    return rc;
}

static exia_status register_all(importing *now, exia_rows *rows, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < now->count; i++) {
        item *one = &now->items[i];
        if (!one->known) {
            one->parcel.fd = now->fd;
            rc = exia__publish(NULL, now->registry, &now->here, &one->parcel,
                               json_object_get(one->said, "facts"), now->work, err);
            one->parcel.fd = -1;
        }
        if (rc == EXIA_OK)
            rc = exia__bundle_row(rows, one->said, one->known ? "there already" : "imported", err);
    }
    return rc;
}

exia_status exia_registry_import(exia_rows **out, exia_registry *registry, const char *file,
                                 const exia_job *job, exia_error *err)
{
    importing now = {.registry = registry, .path = file, .fd = -1};
    exia_rows *rows = NULL;
    exia__work work;
    if (out != NULL)
        *out = NULL;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc == EXIA_OK && file == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "exia_registry_import: the file is NULL");
    if (rc < 0)
        return rc;
    now.work = &work;
    now.here = exia__side_here(registry);
    if ((rc = exia__work_begin(&work, job, err)) < 0 || (rc = exia__rows_open(&rows, err)) < 0 ||
        (rc = open_file(&now, err)) < 0 || (rc = read_list(&now, err)) < 0 ||
        (rc = lay_out(&now, err)) < 0 || (rc = check_needs(&now, err)) < 0 ||
        (rc = verify_all(&now, err)) < 0 || (rc = register_all(&now, rows, err)) < 0)
        goto done;
    if (out != NULL) {
        *out = rows;
        rows = NULL;
    }
done:
    for (size_t i = 0; i < now.count; i++)
        exia__parcel_free(&now.items[i].parcel);
    exia__release(now.items);
    json_decref(now.list);
    if (now.fd >= 0)
        close(now.fd);
    exia_rows_free(rows);
    return rc;
}
