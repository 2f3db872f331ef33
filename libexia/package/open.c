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

enum { TAIL = 64 << 10, FIXED_FRAMES = 3 /* digests, METADATA, end */ };

/* The end of the file, read at once, so that a small index costs one read. */
typedef struct tail {
    char *data;
    uint64_t offset; /* in the file */
    size_t size;
} tail;

static exia_status broken(const exia_package *package, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is damaged: %s", package->path, why);
}

static exia_status foreign(const exia_package *package, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no package, or cut short: %s", package->path,
                      why);
}

static exia_status read_range(const exia_package *package, const tail *end, void *into,
                              uint64_t offset, size_t size, exia_error *err)
{
    if (offset >= end->offset) {
        memcpy(into, end->data + (offset - end->offset), size);
        return EXIA_OK;
    }
    return exia__read_at(package->fd, into, size, offset, package->path, err);
}

static exia_status read_tail(tail *end, exia_package *package, exia_error *err)
{
    struct stat info;
    if (fstat(package->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", package->path);
    if (!S_ISREG(info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", package->path);
    package->file_size = (uint64_t)info.st_size;
    end->size = package->file_size < TAIL ? (size_t)package->file_size : TAIL;
    end->offset = package->file_size - end->size;
    end->data = exia__resize(NULL, end->size);
    if (end->data == NULL)
        return exia__fail_memory(err);
    return exia__read_at(package->fd, end->data, end->size, end->offset, package->path, err);
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
        int skippable = i == count - FIXED_FRAMES;
        *frame = (exia__frame){offset, start, exia__get32(table), exia__get32(table + 4), NULL};
        if (frame->size == 0 || frame->size > room - offset || skippable != (frame->plain == 0) ||
            frame->plain > EXIA__MOST_PLAIN ||
            (!skippable && frame->size > ZSTD_compressBound(EXIA__MOST_PLAIN)))
            return broken(package, "its index has a frame of an impossible size", err);
        offset += frame->size;
        start += frame->plain;
    }
    return offset == room ? EXIA_OK
                          : broken(package, "its index does not cover the whole file", err);
}

static exia_status read_table(exia_package *package, const tail *end, exia_error *err)
{
    unsigned char footer[EXIA__TABLE_FOOTER];
    unsigned char *table = NULL;
    uint64_t least = EXIA__SKIPPABLE_HEADER + EXIA__TABLE_FOOTER;
    if (package->file_size < least)
        return foreign(package, "it is too short", err);
    exia_status rc =
        read_range(package, end, footer, package->file_size - sizeof footer, sizeof footer, err);
    if (rc < 0)
        return rc;
    uint64_t count = exia__get32(footer), size = count * EXIA__TABLE_ENTRY;
    if (exia__get32(footer + 5) != EXIA__FOOTER_MAGIC || footer[4] != 0)
        return foreign(package, "it does not end with an index", err);
    if (count < FIXED_FRAMES + 2 || least + size > package->file_size)
        return foreign(package, "its index has an impossible size", err);
    table = exia__resize(NULL, (size_t)(EXIA__SKIPPABLE_HEADER + size));
    if (table == NULL)
        return exia__fail_memory(err);
    uint64_t at = package->file_size - least - size;
    rc = read_range(package, end, table, at, (size_t)(EXIA__SKIPPABLE_HEADER + size), err);
    if (rc == EXIA_OK && (exia__get32(table) != EXIA__TABLE_MAGIC ||
                          exia__get32(table + 4) != size + EXIA__TABLE_FOOTER))
        rc = foreign(package, "its index has no beginning", err);
    package->frame_count = (size_t)count;
    if (rc == EXIA_OK)
        rc = parse_table(package, table + EXIA__SKIPPABLE_HEADER, at, err);
    exia__release(table);
    return rc;
}

/* The content of a stored frame: raw blocks in the one way we write them, then a checksum. */
static exia_status read_stored(char **out, const exia_package *package, const tail *end,
                               size_t index, exia_error *err)
{
    const exia__frame *frame = &package->frames[index];
    size_t blocks = ((size_t)frame->plain + EXIA__STORED_BLOCK - 1) / EXIA__STORED_BLOCK;
    unsigned char *packed = exia__resize(NULL, frame->size);
    char *plain = exia__resize(NULL, (size_t)frame->plain + 1);
    exia_status rc = packed && plain ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = read_range(package, end, packed, frame->offset, frame->size, err);
    if (rc == EXIA_OK) {
        const unsigned char *at = packed + EXIA__STORED_HEADER;
        int good = frame->size == EXIA__STORED_HEADER + 3 * blocks + frame->plain + 4 &&
                   exia__get32(packed) == EXIA__FRAME_MAGIC &&
                   packed[4] == EXIA__STORED_DESCRIPTOR && exia__get32(packed + 5) == frame->plain;
        for (size_t left = frame->plain; good && left > 0;) {
            size_t more = left < EXIA__STORED_BLOCK ? left : EXIA__STORED_BLOCK;
            uint32_t block = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
            left -= more;
            good = block == ((uint32_t)more << 3 | (left == 0));
            at += 3 + more;
        }
        if (!good || ZSTD_decompress(plain, frame->plain, packed, frame->size) != frame->plain)
            rc = foreign(package, "its metadata cannot be read", err);
    }
    if (rc == EXIA_OK) {
        plain[frame->plain] = '\0';
        *out = plain;
        plain = NULL;
    }
    exia__release(packed);
    exia__release(plain);
    return rc;
}

/* Is this the header of a member VEDA/... of `size` bytes, with zeros behind its content? */
static exia_status check_member(const exia_package *package, const char *path, const char *tar,
                                size_t tar_size, uint64_t size, exia_error *err)
{
    exia__entry entry = {.path = path, .type = 'f', .mode = 0644, .size = size};
    exia__buffer header = {0};
    exia_status rc = exia__tar_header(&header, &entry, err);
    if (rc == EXIA_OK) {
        int good = size <= tar_size && exia__tar_size(&entry) == tar_size &&
                   memcmp(tar, header.data, header.size) == 0;
        for (size_t i = header.size + (size_t)size; good && i < tar_size; i++)
            good = tar[i] == '\0';
        if (!good)
            rc = broken(package, "a part of its own is no member of a tar as it should be", err);
    }
    exia__buffer_free(&header);
    return rc;
}

/* Only what is needed to go on is taken out here; in the end all of it is written again and
 * compared. */
static exia_status take_metadata(exia_package *package, exia_error *err)
{
    exia__metadata *m = &package->metadata;
    json_int_t members, size, record, data_frames, record_frames;
    const char *digest, *frames_digest;
    const json_t *format = json_object_get(package->facts, "format");
    if (json_is_integer(format) && json_integer_value(format) > EXIA__FORMAT)
        return exia__fail(err, EXIA_EVERSION, 0,
                          "%s has format %lld, written by a newer Exia; this one knows 1",
                          package->path, (long long)json_integer_value(format));
    if (json_unpack(package->facts, "{s:s, s:I, s:I, s:I, s:{s:I, s:I, s:s}, s:{s:s, s:i}, s:o}",
                    "digest", &digest, "members", &members, "size", &size, "record", &record,
                    "frames", "data", &data_frames, "record", &record_frames, "digest",
                    &frames_digest, "compression", "zstd", &m->zstd, "level", &m->level, "manifest",
                    &m->manifest) != 0)
        return broken(package, "its METADATA.json lacks something", err);
    if (!exia__hex_valid(digest) || !exia__hex_valid(frames_digest) || members < 1 ||
        members > EXIA__MOST_MEMBERS || size < 0 || record < 1 ||
        (uint64_t)record > EXIA__MOST_RECORD || data_frames < 1 || record_frames < 1 ||
        (uint64_t)data_frames > package->frame_count ||
        (uint64_t)record_frames > package->frame_count ||
        (uint64_t)(data_frames + record_frames) + FIXED_FRAMES != package->frame_count)
        return broken(package, "its METADATA.json has an impossible value", err);
    memcpy(m->digest, digest, sizeof m->digest);
    memcpy(m->frames_digest, frames_digest, sizeof m->frames_digest);
    m->members = (uint64_t)members;
    m->size = (uint64_t)size;
    m->record_size = (uint64_t)record;
    m->data_frames = (uint64_t)data_frames;
    m->record_frames = (uint64_t)record_frames;
    package->manifest = m->manifest;
    return exia__manifest_check(package->manifest, "its manifest", EXIA_ECORRUPT, err);
}

static exia_status read_metadata(exia_package *package, const tail *end, exia_error *err)
{
    size_t index = package->frame_count - 2;
    char *tar = NULL, *again = NULL;
    exia_status rc = read_stored(&tar, package, end, index, err);
    if (rc < 0)
        return rc;
    if (package->frames[index].plain <= EXIA__BLOCK) {
        rc = foreign(package, "it has no METADATA.json", err);
        goto done;
    }
    size_t size = strlen(tar + EXIA__BLOCK);
    rc = check_member(package, EXIA__METADATA_PATH, tar, package->frames[index].plain, size, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&package->facts, tar + EXIA__BLOCK, size, "METADATA.json",
                               EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = take_metadata(package, err);
    if (rc == EXIA_OK)
        rc = exia__metadata_text(&again, &package->metadata, err);
    if (rc == EXIA_OK && strcmp(again, tar + EXIA__BLOCK) != 0)
        rc = broken(package, "its METADATA.json is not as it should be written", err);
    if (rc == EXIA_OK) {
        package->facts_text = again;
        again = NULL;
    }
done:
    exia__release(tar);
    exia__release(again);
    return rc;
}

static exia_status read_digests(exia_package *package, const tail *end, exia_error *err)
{
    const exia__frame *frame = &package->frames[package->frame_count - FIXED_FRAMES];
    size_t count = package->frame_count - FIXED_FRAMES;
    size_t header = EXIA__SKIPPABLE_HEADER + EXIA__DIGESTS_HEADER;
    char hex[EXIA__HEX_SIZE];
    if (frame->size != header + count * EXIA__DIGEST_SIZE)
        return broken(package, "its digests have another number than its frames", err);
    package->digests = exia__resize(NULL, frame->size);
    if (package->digests == NULL)
        return exia__fail_memory(err);
    unsigned char *at = package->digests;
    exia_status rc = read_range(package, end, at, frame->offset, frame->size, err);
    if (rc == EXIA_OK &&
        (exia__get32(at) != EXIA__DIGESTS_MAGIC || exia__get32(at + 4) != frame->size - 8 ||
         memcmp(at + 8, "VEDA", 4) != 0 || exia__get32(at + 12) != EXIA__FORMAT ||
         exia__get32(at + 16) != count))
        rc = broken(package, "its digests are not as they should be written", err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, at + header, count * EXIA__DIGEST_SIZE, err);
    if (rc == EXIA_OK && strcmp(hex, package->metadata.frames_digest) != 0)
        rc = broken(package, "its digests are not those of METADATA.json", err);
    for (size_t i = 0; i < count; i++)
        package->frames[i].digest = at + header + i * EXIA__DIGEST_SIZE;
    return rc;
}

static exia_status read_record(exia_package *package, exia_error *err)
{
    const exia__metadata *m = &package->metadata;
    const exia__frame *first = &package->frames[m->data_frames];
    uint64_t size = package->frames[m->data_frames + m->record_frames].start - first->start;
    char hex[EXIA__HEX_SIZE];
    exia__stream stream = {0};
    char *tar = NULL;
    if (size != EXIA__BLOCK + m->record_size + exia__tar_padding(m->record_size))
        return broken(package, "RECORD has another size than METADATA.json says", err);
    exia_status rc = exia__stream_open(&stream, package, 1, err);
    if (rc == EXIA_OK && (tar = exia__resize(NULL, (size_t)size + 1)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__stream_copy(&stream, tar, first->start, (size_t)size, err);
    if (rc == EXIA_OK)
        rc = check_member(package, EXIA__RECORD_PATH, tar, (size_t)size, m->record_size, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, tar + EXIA__BLOCK, (size_t)m->record_size, err);
    if (rc == EXIA_OK && strcmp(hex, m->digest) != 0)
        rc = broken(package, "RECORD is not the one of METADATA.json", err);
    if (rc == EXIA_OK) {
        tar[EXIA__BLOCK + m->record_size] = '\0';
        rc = exia__record_parse(&package->entries, tar + EXIA__BLOCK, (size_t)m->record_size,
                                (size_t)m->members, err);
        package->record = tar;
        tar = NULL;
    }
    exia__release(tar);
    exia__stream_free(&stream);
    return rc;
}

/* RECORD against METADATA.json and the sizes of the frames. */
static exia_status check_record(exia_package *package, exia_error *err)
{
    const exia__metadata *m = &package->metadata;
    uint64_t tar = 0, size = 0;
    package->entry_count = (size_t)m->members;
    exia_status rc =
        exia__entries_check(package->entries, package->entry_count, EXIA_ECORRUPT, err);
    for (size_t i = 0; rc == EXIA_OK && i < package->entry_count; i++) {
        tar += exia__tar_size(&package->entries[i]);
        size += package->entries[i].size;
    }
    if (rc == EXIA_OK && (tar != package->frames[m->data_frames].start || size != m->size))
        rc = broken(package, "its frames have another size than its members", err);
    const exia__entry *manifest = exia__entry_find(
        package->entries, package->entry_count, EXIA__MANIFEST_PATH, strlen(EXIA__MANIFEST_PATH));
    if (rc == EXIA_OK &&
        (manifest == NULL || manifest->type != 'f' || manifest->size > EXIA__MOST_MANIFEST))
        rc = broken(package, "it has no file veda.json of at most 1 MiB", err);
    if (rc == EXIA_OK)
        rc = exia__manifest_components(package->manifest, package->entries, package->entry_count,
                                       "its manifest", EXIA_ECORRUPT, err);
    return rc;
}

/* Two zero blocks, and a signature before them if there is one. */
static exia_status read_end(exia_package *package, const tail *end, exia_error *err)
{
    static const char zeros[2 * EXIA__BLOCK];
    size_t index = package->frame_count - 1, size = package->frames[index].plain;
    char *tar = NULL;
    if (size < sizeof zeros || size > EXIA__MOST_SIGNATURE + 4 * EXIA__BLOCK)
        return broken(package, "its last frame has an impossible size", err);
    exia_status rc = read_stored(&tar, package, end, index, err);
    if (rc == EXIA_OK && memcmp(tar + size - sizeof zeros, zeros, sizeof zeros) != 0)
        rc = broken(package, "it does not end with two zero blocks", err);
    if (rc == EXIA_OK && size > sizeof zeros) {
        size_t signature = size > 3 * EXIA__BLOCK ? strlen(tar + EXIA__BLOCK) : 0;
        rc = check_member(package, EXIA__SIGNATURE_PATH, tar, size - sizeof zeros, signature, err);
        package->is_signed = 1;
    }
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
    tail end = {0};
    *out = NULL;
    exia_package *package = exia__zeroed(1, sizeof *package);
    if (package == NULL)
        return exia__fail_memory(err);
    exia_status rc = exia__text_copy(&package->path, file, err);
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
        rc = check_record(package, err);
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
    exia__release(package->record);
    exia__release(package->entries);
    exia__release(package);
}
