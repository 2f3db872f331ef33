/* Opening: from the end of the file backwards, the seek table, METADATA.json, the digests, RECORD.
 * Each part is capped by the one before and compared with its one encoding, so when a package is open
 * all but its payload is known to be whole. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/reader.h"

enum { TAIL = 64 << 10 };

/* The end of the file, read at once, so that a small index costs one read. */
typedef struct tail {
    char *data;
    uint64_t offset; /* in the file */
    size_t size;
} tail;

static exia_status read_range(const exia_package *package, const tail *end, void *into,
                              uint64_t offset, size_t size, exia_error *err)
{
    if (offset >= end->offset) {
        memcpy(into, end->data + (offset - end->offset), size);
        return EXIA_OK;
    }
    return exia__read_at(package->fd, into, size, package->base + offset, package->path, err);
}

static exia_status read_tail(tail *end, exia_package *package, exia_error *err)
{
    end->size = package->file_size < TAIL ? (size_t)package->file_size : TAIL;
    end->offset = package->file_size - end->size;
    end->data = exia__resize(NULL, end->size);
    if (end->data == NULL)
        return exia__fail_memory(err);
    return exia__read_at(package->fd, end->data, end->size, package->base + end->offset,
                         package->path, err);
}

/* The frames' sizes must add up to the file's, and none may need more memory than ours do. */
static exia_status parse_table(exia_package *package, const unsigned char *table, uint64_t room,
                               exia_error *err)
{
    uint64_t offset = 0, start = 0;
    size_t count = package->frame_count;
    package->frames = exia__array(NULL, count, sizeof *package->frames);
    if (package->frames == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < count; i++, table += EXIA__TABLE_ENTRY) {
        exia__frame *frame = &package->frames[i];
        int skippable = i == count - EXIA__FIXED_FRAMES;
        *frame = (exia__frame){offset, start, exia__get32(table), exia__get32(table + 4), NULL};
        if (frame->size == 0 || frame->size > room - offset || skippable != (frame->plain == 0) ||
            frame->plain > EXIA__MOST_PLAIN ||
            (!skippable && frame->size > ZSTD_compressBound(EXIA__MOST_PLAIN)))
            return exia__package_broken(package, "its index has a frame of an impossible size",
                                        err);
        offset += frame->size;
        start += frame->plain;
    }
    return offset == room
               ? EXIA_OK
               : exia__package_broken(package, "its index does not cover the whole file", err);
}

static exia_status no_index(const exia_package *package, exia_error *err)
{
    char begin[EXIA__BLOCK];
    size_t size = package->file_size < sizeof begin ? (size_t)package->file_size : sizeof begin;
    exia_status rc = exia__read_at(package->fd, begin, size, package->base, package->path, err);
    return rc == EXIA_OK ? exia__package_other(package->path, begin, size, err) : rc;
}

static exia_status read_table(exia_package *package, const tail *end, exia_error *err)
{
    unsigned char footer[EXIA__TABLE_FOOTER];
    unsigned char *table = NULL;
    uint64_t least = EXIA__SKIPPABLE_HEADER + EXIA__TABLE_FOOTER;
    if (package->file_size < least)
        return exia__package_foreign(package, "it is too short", err);
    exia_status rc =
        read_range(package, end, footer, package->file_size - sizeof footer, sizeof footer, err);
    if (rc < 0)
        return rc;
    uint64_t count = exia__get32(footer), size = count * EXIA__TABLE_ENTRY;
    if (exia__get32(footer + 5) != EXIA__FOOTER_MAGIC || footer[4] != 0)
        return no_index(package, err);
    if (count < EXIA__FIXED_FRAMES + 2 || least + size > package->file_size)
        return exia__package_foreign(package, "its index has an impossible size", err);
    table = exia__resize(NULL, (size_t)(EXIA__SKIPPABLE_HEADER + size));
    if (table == NULL)
        return exia__fail_memory(err);
    uint64_t at = package->file_size - least - size;
    rc = read_range(package, end, table, at, (size_t)(EXIA__SKIPPABLE_HEADER + size), err);
    if (rc == EXIA_OK && (exia__get32(table) != EXIA__TABLE_MAGIC ||
                          exia__get32(table + 4) != size + EXIA__TABLE_FOOTER))
        rc = exia__package_foreign(package, "its index has no beginning", err);
    package->frame_count = (size_t)count;
    if (rc == EXIA_OK)
        rc = parse_table(package, table + EXIA__SKIPPABLE_HEADER, at, err);
    exia__release(table);
    return rc;
}

static exia_status read_frame(unsigned char **out, const exia_package *package, const tail *end,
                              size_t index, exia_error *err)
{
    const exia__frame *frame = &package->frames[index];
    *out = exia__resize(NULL, frame->size);
    return *out ? read_range(package, end, *out, frame->offset, frame->size, err)
                : exia__fail_memory(err);
}

/* The content of a stored frame. */
static exia_status read_stored(char **out, const exia_package *package, const tail *end,
                               size_t index, exia_error *err)
{
    const exia__frame *frame = &package->frames[index];
    unsigned char *packed = NULL;
    exia_status rc = read_frame(&packed, package, end, index, err);
    if (rc == EXIA_OK)
        rc = exia__part_stored(out, package, packed, frame->size, frame->plain, err);
    exia__release(packed);
    return rc;
}

static exia_status read_metadata(exia_package *package, const tail *end, exia_error *err)
{
    size_t index = package->frame_count - 2;
    char *tar = NULL;
    exia_status rc = read_stored(&tar, package, end, index, err);
    if (rc == EXIA_OK)
        rc = exia__part_metadata(package, tar, package->frames[index].plain, err);
    exia__release(tar);
    return rc;
}

static exia_status read_digests(exia_package *package, const tail *end, exia_error *err)
{
    size_t index = package->frame_count - EXIA__FIXED_FRAMES;
    exia_status rc = exia__part_digests_size(package, package->frames[index].size, err);
    if (rc == EXIA_OK)
        rc = read_frame(&package->digests, package, end, index, err);
    if (rc == EXIA_OK)
        rc = exia__part_digests(package, package->digests, err);
    return rc;
}

/* The lines are checked as they come, so that memory grows with what is good only. */
static exia_status load_record(exia__buffer *tar, const exia_package *package, exia_error *err)
{
    const exia__metadata *m = &package->metadata;
    size_t end = EXIA__BLOCK + (size_t)m->record_size;
    exia__checked so_far = {0};
    exia__loader loader = {0};
    exia_status rc = exia__loader_open(&loader, err);
    for (size_t i = 0; i < m->record_frames && rc == EXIA_OK; i++) {
        size_t index = (size_t)m->data_frames + i, plain = package->frames[index].plain;
        rc = exia__buffer_reserve(tar, plain, err);
        if (rc == EXIA_OK)
            rc = exia__load(tar->data + tar->size, &loader, package, index, 1, err);
        if (rc < 0)
            break;
        tar->size += plain;
        size_t from = EXIA__BLOCK + so_far.size, to = tar->size < end ? tar->size : end;
        if (from < to)
            rc = exia__record_check(&so_far, tar->data + from, to - from, err);
    }
    exia__loader_free(&loader);
    return rc;
}

static exia_status read_record(exia_package *package, exia_error *err)
{
    const exia__metadata *m = &package->metadata;
    const exia__frame *first = &package->frames[m->data_frames];
    uint64_t size = package->frames[m->data_frames + m->record_frames].start - first->start;
    char hex[EXIA__HEX_SIZE];
    exia__buffer tar = {0};
    if (size != EXIA__BLOCK + m->record_size + exia__tar_padding(m->record_size))
        return exia__package_broken(package, "RECORD has another size than METADATA.json says",
                                    err);
    exia_status rc = load_record(&tar, package, err);
    if (rc == EXIA_OK)
        rc = exia__part_member(package, EXIA__RECORD_PATH, tar.data, tar.size, m->record_size, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, tar.data + EXIA__BLOCK, (size_t)m->record_size, err);
    if (rc == EXIA_OK && strcmp(hex, m->digest) != 0)
        rc = exia__package_broken(package, "RECORD is not the one of METADATA.json", err);
    if (rc == EXIA_OK) {
        package->entry_count = (size_t)m->members;
        rc = exia__record_parse(&package->entries, tar.data + EXIA__BLOCK, (size_t)m->record_size,
                                (size_t)m->members, err);
        package->record = tar.data;
        tar.data = NULL;
    }
    exia__buffer_free(&tar);
    return rc;
}

static exia_status locate_members(exia_package *package, exia_error *err)
{
    uint64_t at = 0;
    package->starts = exia__array(NULL, package->entry_count + 1, sizeof *package->starts);
    if (package->starts == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < package->entry_count; i++) {
        package->starts[i] = at;
        at += exia__tar_size(&package->entries[i]);
    }
    package->starts[package->entry_count] = at;
    return EXIA_OK;
}

static exia_status read_end(exia_package *package, const tail *end, exia_error *err)
{
    size_t index = package->frame_count - 1;
    char *tar = NULL;
    exia_status rc = read_stored(&tar, package, end, index, err);
    if (rc == EXIA_OK)
        rc = exia__part_end(package, tar, package->frames[index].plain, err);
    exia__release(tar);
    return rc;
}

exia_status exia_package_open(exia_package **out, const char *file, exia_error *err)
{
    if (out != NULL)
        *out = NULL;
    if (out == NULL || file == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_open: an argument is NULL");
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not block */
    if (fd < 0)
        return exia__fail_errno(err, errno, "cannot open", file);
    exia_status rc = exia__package_open_fd(out, fd, file, err);
    close(fd);
    return rc;
}

exia_status exia__package_open_fd(exia_package **out, int fd, const char *file, exia_error *err)
{
    struct stat info;
    *out = NULL;
    if (fstat(fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", file);
    if (!S_ISREG(info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", file);
    return exia__package_open_at(out, fd, 0, (uint64_t)info.st_size, file, err);
}

exia_status exia__package_open_at(exia_package **out, int fd, uint64_t base, uint64_t size,
                                  const char *file, exia_error *err)
{
    tail end = {0};
    *out = NULL;
    exia_package *package = exia__zeroed(1, sizeof *package);
    if (package == NULL)
        return exia__fail_memory(err);
    exia_status rc = exia__text_copy(&package->path, file, err);
    package->base = base;
    package->file_size = size;
    package->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (rc == EXIA_OK && package->fd < 0)
        rc = exia__fail_errno(err, errno, "cannot open", file);
    if (rc == EXIA_OK)
        rc = read_tail(&end, package, err);
    if (rc == EXIA_OK)
        rc = read_table(package, &end, err);
    if (rc == EXIA_OK)
        rc = read_metadata(package, &end, err);
    if (rc == EXIA_OK)
        rc = read_digests(package, &end, err);
    if (rc == EXIA_OK)
        rc = read_record(package, err);
    if (rc == EXIA_OK)
        rc = exia__part_entries(package, package->frames[package->metadata.data_frames].start, err);
    if (rc == EXIA_OK)
        rc = locate_members(package, err);
    if (rc == EXIA_OK)
        rc = read_end(package, &end, err);
    exia__release(end.data);
    if (rc == EXIA_OK)
        *out = package;
    else
        exia_package_free(package);
    return rc;
}

void exia_package_free(exia_package *package)
{
    if (package == NULL)
        return;
    if (package->fd >= 0)
        close(package->fd);
    json_decref(package->facts);
    exia__release(package->path);
    exia__release(package->frames);
    exia__release(package->digests);
    exia__release(package->facts_text);
    exia__release(package->signature);
    for (size_t i = 0; package->record == NULL && i < package->entry_count; i++)
        exia__release((char *)package->entries[i].path);
    exia__release(package->record);
    exia__release(package->entries);
    exia__release(package->starts);
    exia__release(package);
}
