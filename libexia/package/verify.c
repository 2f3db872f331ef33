/* Comparing the payload with RECORD.  Nothing is parsed: each member's header blocks are encoded
 * again and compared, its content is hashed, its padding must be zero. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "package/reader.h"

typedef struct visit {
    const exia_package *package;
    const exia__visitor *visitor;
    void *payload;
    exia__work *work;
    exia__stream stream;
    exia__hash *hash;
    exia__buffer header, manifest;
    uint64_t done, total;
} visit;

static exia_status not_as_recorded(const visit *v, const exia__entry *entry, const char *part,
                                   exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0,
                      "%s is damaged: the %s of \"%.100s\" is not as recorded", v->package->path,
                      part, entry->path);
}

/* Do these bytes lie at a position of the tar?  `expected` NULL: zeros. */
static exia_status compare(int *same, visit *v, uint64_t at, const char *expected, size_t size,
                           exia_error *err)
{
    *same = 1;
    while (size > 0 && *same) {
        const unsigned char *data = NULL;
        size_t got = 0;
        exia_status rc = exia__stream_at(&data, &got, &v->stream, at, err);
        if (rc < 0)
            return rc;
        got = got < size ? got : size;
        for (size_t i = 0; expected == NULL && i < got && *same; i++)
            *same = data[i] == 0;
        if (expected != NULL) {
            *same = memcmp(data, expected, got) == 0;
            expected += got;
        }
        at += got;
        size -= got;
    }
    return EXIA_OK;
}

static exia_status visit_content(visit *v, const exia__entry *entry, uint64_t at, int keep,
                                 int hand_on, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = EXIA_OK;
    for (uint64_t left = entry->size; left > 0 && rc == EXIA_OK;) {
        const unsigned char *data = NULL;
        size_t size = 0;
        rc = exia__stream_at(&data, &size, &v->stream, at, err);
        if (rc < 0)
            break;
        size = size < left ? size : (size_t)left;
        rc = exia__hash_update(v->hash, data, size, err);
        if (rc == EXIA_OK && keep)
            rc = exia__buffer_append(&v->manifest, data, size, err);
        if (rc == EXIA_OK && hand_on && v->visitor->data != NULL)
            rc = v->visitor->data(data, size, v->payload, err);
        at += size;
        left -= size;
        v->done += hand_on ? size : 0;
        if (rc == EXIA_OK)
            rc = exia__work_step(v->work, v->visitor->step, v->done, v->total, err);
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, v->hash, err);
    if (rc == EXIA_OK && memcmp(digest, entry->digest, sizeof digest) != 0)
        rc = not_as_recorded(v, entry, "content", err);
    return rc;
}

static exia_status visit_member(visit *v, size_t index, uint64_t at, int hand_on, exia_error *err)
{
    const exia__entry *entry = &v->package->entries[index];
    int same = 0, is_manifest = strcmp(entry->path, EXIA__MANIFEST_PATH) == 0;
    exia_status rc = exia__tar_header(&v->header, entry, err);
    if (rc == EXIA_OK)
        rc = compare(&same, v, at, v->header.data, v->header.size, err);
    if (rc == EXIA_OK && !same)
        rc = not_as_recorded(v, entry, "header", err);
    if (rc < 0 || entry->type != 'f')
        return rc;
    at += v->header.size;
    if (hand_on && v->visitor->begin != NULL)
        rc = v->visitor->begin(index, v->payload, err);
    if (rc == EXIA_OK)
        rc = visit_content(v, entry, at, is_manifest, hand_on, err);
    if (rc == EXIA_OK)
        rc = compare(&same, v, at + entry->size, NULL, (size_t)exia__tar_padding(entry->size), err);
    if (rc == EXIA_OK && !same)
        rc = not_as_recorded(v, entry, "padding", err);
    if (rc == EXIA_OK && hand_on && v->visitor->end != NULL)
        rc = v->visitor->end(index, v->payload, err);
    return rc;
}

exia_status exia__package_visit(const exia_package *package, const exia__visitor *visitor,
                                void *payload, exia__work *work, exia_error *err)
{
    visit v = {.package = package, .visitor = visitor, .payload = payload, .work = work};
    uint64_t at = 0;
    exia_status rc = exia__stream_open(&v.stream, package, visitor->check_frames, err);
    if (rc == EXIA_OK)
        rc = exia__hash_open(&v.hash, err);
    for (size_t i = 0; i < package->entry_count; i++) {
        if (visitor->wanted == NULL || visitor->wanted(i, payload))
            v.total += package->entries[i].size;
    }
    for (size_t i = 0; rc == EXIA_OK && i < package->entry_count; i++) {
        const exia__entry *entry = &package->entries[i];
        int wanted = visitor->wanted == NULL || visitor->wanted(i, payload);
        if (wanted || strcmp(entry->path, EXIA__MANIFEST_PATH) == 0)
            rc = visit_member(&v, i, at, wanted, err);
        at += exia__tar_size(entry);
        if (rc == EXIA_OK)
            rc = exia__work_step(work, visitor->step, v.done, v.total, err);
    }
    if (rc == EXIA_OK)
        rc = exia__part_manifest(package, v.manifest.data, v.manifest.size, err);
    exia__stream_free(&v.stream);
    exia__hash_free(v.hash);
    exia__buffer_free(&v.header);
    exia__buffer_free(&v.manifest);
    return rc;
}

exia_status exia__package_check(const exia_package *package, exia__work *work, exia_error *err)
{
    static const exia__visitor all = {.step = "verifying", .check_frames = 1};
    return exia__package_visit(package, &all, NULL, work, err);
}

exia_status exia_package_verify(const exia_package *package, const exia_verify_options *options,
                                const exia_job *job, exia_error *err)
{
    exia_verify_options chosen = {0};
    exia__work work;
    if (package == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_verify: the package is NULL");
    exia_status rc = exia__options(&chosen, sizeof chosen, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__package_trusted(package, chosen.trust_file, chosen.require_signature, err);
    if (rc < 0 || chosen.quick) /* all else that is quick was done when it was opened */
        return rc;
    return exia__package_check(package, &work, err);
}
