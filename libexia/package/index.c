/* The end of a package, wherever the package lies: the seek table is its last part and tells where the
 * rest is, so few bytes, read from the end backwards, tell all frames of any package. */
#include "package/index.h"

#include <string.h>

#include <zstd.h>

#include "base/error.h"
#include "base/memory.h"
#include "package/reader.h"

enum { TAIL = 64 << 10 };

/* See to it that the bytes from `from` on are there. */
static exia_status reach(exia__index *index, const exia_source *source, uint64_t from,
                         exia_error *err)
{
    if (from >= index->from)
        return EXIA_OK;
    size_t have = (size_t)(index->size - index->from), more = (size_t)(index->from - from);
    char *end = exia__resize(NULL, more + have);
    if (end == NULL)
        return exia__fail_memory(err);
    exia_status rc = source->read(end, from, more, source->payload, err);
    if (rc == EXIA_OK && have > 0)
        memcpy(end + more, index->end, have);
    exia__release(index->end);
    index->end = end;
    index->from = from;
    return rc;
}

static const unsigned char *bytes_at(const exia__index *index, uint64_t offset)
{
    return (const unsigned char *)index->end + (offset - index->from);
}

static exia_status no_index(const exia_source *source, const char *path, exia_error *err)
{
    char begin[EXIA__BLOCK];
    size_t size = source->size < sizeof begin ? (size_t)source->size : sizeof begin;
    exia_status rc = source->read(begin, 0, size, source->payload, err);
    return rc == EXIA_OK ? exia__package_other(path, begin, size, err) : rc;
}

/* The frames' sizes must add up to the file's, and none may need more memory than ours do. */
static exia_status parse_table(exia__index *index, const unsigned char *table, uint64_t room,
                               const char *path, exia_error *err)
{
    uint64_t offset = 0, start = 0;
    index->frames = exia__array(NULL, index->count, sizeof *index->frames);
    if (index->frames == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < index->count; i++, table += EXIA__TABLE_ENTRY) {
        exia__frame *frame = &index->frames[i];
        int skippable = i == index->count - EXIA__FIXED_FRAMES;
        *frame = (exia__frame){offset, start, exia__get32(table), exia__get32(table + 4), NULL};
        if (frame->size == 0 || frame->size > room - offset || skippable != (frame->plain == 0) ||
            frame->plain > EXIA__MOST_PLAIN ||
            (!skippable && frame->size > ZSTD_compressBound(EXIA__MOST_PLAIN)))
            return exia__file_broken(path, "its index has a frame of an impossible size", err);
        offset += frame->size;
        start += frame->plain;
    }
    return offset == room ? EXIA_OK
                          : exia__file_broken(path, "its index does not cover the whole file", err);
}

/* The digests are before METADATA.json, whose size only the table tells: where that is far away, the
 * read that fetches it fetches them, too, unless METADATA.json is unusually large. */
static exia_status read_table(exia__index *index, const exia_source *source, const char *path,
                              size_t most, exia_error *err)
{
    const uint64_t least = EXIA__SKIPPABLE_HEADER + EXIA__TABLE_FOOTER;
    const unsigned char *footer = bytes_at(index, index->size - EXIA__TABLE_FOOTER);
    uint64_t count = exia__get32(footer), size = count * EXIA__TABLE_ENTRY;
    if (exia__get32(footer + 5) != EXIA__FOOTER_MAGIC || footer[4] != 0)
        return no_index(source, path, err);
    if (count < EXIA__FIXED_FRAMES + 2 || least + size > index->size)
        return exia__file_foreign(path, "its index has an impossible size", err);
    if (most > 0 && count > most)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s has %llu frames, more than %zu", path,
                          (unsigned long long)count, most);
    uint64_t at = index->size - least - size, before = count * EXIA__DIGEST_SIZE + TAIL;
    exia_status rc = EXIA_OK;
    if (at < index->from)
        rc = reach(index, source, at > before ? at - before : 0, err);
    if (rc < 0)
        return rc;
    const unsigned char *table = bytes_at(index, at);
    if (exia__get32(table) != EXIA__TABLE_MAGIC ||
        exia__get32(table + 4) != size + EXIA__TABLE_FOOTER)
        return exia__file_foreign(path, "its index has no beginning", err);
    index->count = (size_t)count;
    rc = parse_table(index, table + EXIA__SKIPPABLE_HEADER, at, path, err);
    if (rc < 0)
        return rc;
    const exia__frame *digests = &index->frames[count - EXIA__FIXED_FRAMES];
    if (digests->size != exia__digests_size(index->count - EXIA__FIXED_FRAMES))
        return exia__file_broken(path, "its digests have another number than its frames", err);
    return reach(index, source, digests->offset, err);
}

exia_status exia__index_open(exia__index *out, const exia_source *source, const char *path,
                             size_t most, exia_error *err)
{
    exia__index index = {.size = source->size, .from = source->size};
    exia_status rc = EXIA_OK;
    *out = (exia__index){0};
    if (index.size < EXIA__SKIPPABLE_HEADER + EXIA__TABLE_FOOTER)
        return exia__file_foreign(path, "it is too short", err);
    rc = reach(&index, source, index.size > TAIL ? index.size - TAIL : 0, err);
    if (rc == EXIA_OK)
        rc = read_table(&index, source, path, most, err);
    if (rc == EXIA_OK)
        *out = index;
    else
        exia__index_free(&index);
    return rc;
}

exia_status exia__index_digests(exia__index *index, const char *path, exia_error *err)
{
    size_t count = index->count - EXIA__FIXED_FRAMES, size = count * EXIA__DIGEST_SIZE;
    const exia__frame *frame = &index->frames[count], *last = &index->frames[index->count - 1];
    const unsigned char *at = bytes_at(index, frame->offset);
    uint64_t table = last->offset + last->size;
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia__hash *hash = NULL;
    exia_status rc = exia__digests_check(at, count, path, err);
    if (rc == EXIA_OK)
        rc = exia__hash_open(&hash, err);
    if (rc == EXIA_OK)
        rc = exia__hash_update(hash, at, frame->size, err);
    if (rc == EXIA_OK)
        rc = exia__hash_update(hash, bytes_at(index, table), (size_t)(index->size - table), err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hash, err);
    exia__hash_free(hash);
    if (rc < 0)
        return rc;
    exia__hex(index->hex, digest, sizeof digest);
    for (size_t i = 0; i < count; i++)
        index->frames[i].digest = at + frame->size - size + i * EXIA__DIGEST_SIZE;
    return EXIA_OK;
}

exia_status exia__index_read(exia__index *out, const exia_source *source, const char *path,
                             size_t most, exia_error *err)
{
    exia_status rc = exia__index_open(out, source, path, most, err);
    if (rc == EXIA_OK)
        rc = exia__index_digests(out, path, err);
    if (rc < 0)
        exia__index_free(out);
    return rc;
}

void exia__index_free(exia__index *index)
{
    exia__release(index->frames);
    exia__release(index->end);
    *index = (exia__index){0};
}
