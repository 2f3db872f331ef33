/* The parts of a package that are not its payload, as bytes: each is compared with its one encoding and
 * with the parts before it.  Where the bytes come from, a file by position or a stream, is not known
 * here. */
#include <string.h>

#include <zstd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/sign.h"
#include "package/foreign.h"
#include "package/reader.h"

exia_status exia__file_broken(const char *path, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is damaged: %s", path, why);
}

exia_status exia__file_foreign(const char *path, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no package, or cut short: %s", path, why);
}

exia_status exia__package_broken(const exia_package *package, const char *why, exia_error *err)
{
    return exia__file_broken(package->path, why, err);
}

exia_status exia__package_foreign(const exia_package *package, const char *why, exia_error *err)
{
    return exia__file_foreign(package->path, why, err);
}

exia_status exia__package_other(const char *path, const void *begin, size_t size, exia_error *err)
{
    const char *kind = exia__foreign_kind(begin, size);
    if (kind != NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "%s is %s, which is no package: \"vedapkg add --unpack\" takes it into a "
                          "workspace",
                          path, kind);
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no package, or cut short: it %s", path,
                      size >= 4 && exia__get32(begin) == EXIA__FRAME_MAGIC
                          ? "does not end with an index (an archive, .tar.zst, is taken into a "
                            "workspace by \"vedapkg add --unpack\")"
                          : "does not begin with a frame of zstd");
}

/* Raw blocks in the one way we write them, then a checksum. */
exia_status exia__part_stored(char **out, const exia_package *package, const unsigned char *packed,
                              size_t size, size_t plain_size, exia_error *err)
{
    size_t blocks = (plain_size + EXIA__STORED_BLOCK - 1) / EXIA__STORED_BLOCK;
    const unsigned char *at = packed + EXIA__STORED_HEADER;
    int good = size == EXIA__STORED_HEADER + 3 * blocks + plain_size + 4 &&
               exia__get32(packed) == EXIA__FRAME_MAGIC && packed[4] == EXIA__STORED_DESCRIPTOR &&
               exia__get32(packed + 5) == plain_size;
    char *plain = exia__resize(NULL, plain_size + 1);
    *out = NULL;
    if (plain == NULL)
        return exia__fail_memory(err);
    for (size_t left = plain_size; good && left > 0;) {
        size_t more = left < EXIA__STORED_BLOCK ? left : EXIA__STORED_BLOCK;
        uint32_t block = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
        left -= more;
        good = block == ((uint32_t)more << 3 | (left == 0));
        at += 3 + more;
    }
    if (!good || ZSTD_decompress(plain, plain_size, packed, size) != plain_size) {
        exia__release(plain);
        return exia__package_foreign(package, "its metadata cannot be read", err);
    }
    plain[plain_size] = '\0';
    *out = plain;
    return EXIA_OK;
}

exia_status exia__part_member(const exia_package *package, const char *path, const char *tar,
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
            rc = exia__package_broken(
                package, "a part of its own is no member of a tar as it should be", err);
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
        return exia__package_broken(package, "its METADATA.json lacks something", err);
    if (!exia__hex_valid(digest) || !exia__hex_valid(frames_digest) || members < 1 ||
        members > EXIA__MOST_MEMBERS || size < 0 || record < 1 ||
        (uint64_t)record > exia__record_most((uint64_t)members) || data_frames < 1 ||
        record_frames < 1 || (uint64_t)data_frames > package->frame_count ||
        (uint64_t)record_frames > package->frame_count ||
        (uint64_t)(data_frames + record_frames) + EXIA__FIXED_FRAMES != package->frame_count)
        return exia__package_broken(package, "its METADATA.json has an impossible value", err);
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

exia_status exia__part_metadata(exia_package *package, const char *tar, size_t tar_size,
                                exia_error *err)
{
    char *again = NULL;
    if (tar_size <= EXIA__BLOCK)
        return exia__package_foreign(package, "it has no METADATA.json", err);
    const char *text = tar + EXIA__BLOCK;
    size_t size = strlen(text);
    exia_status rc = exia__part_member(package, EXIA__METADATA_PATH, tar, tar_size, size, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&package->facts, text, size, "METADATA.json", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = take_metadata(package, err);
    if (rc == EXIA_OK)
        rc = exia__metadata_text(&again, &package->metadata, err);
    if (rc == EXIA_OK && strcmp(again, text) != 0)
        rc = exia__package_broken(package, "its METADATA.json is not as it should be written", err);
    if (rc == EXIA_OK) {
        package->facts_text = again;
        again = NULL;
    }
    exia__release(again);
    return rc;
}

size_t exia__digests_size(size_t count)
{
    return EXIA__SKIPPABLE_HEADER + EXIA__DIGESTS_HEADER + count * EXIA__DIGEST_SIZE;
}

exia_status exia__digests_check(const unsigned char *frame, size_t count, const char *path,
                                exia_error *err)
{
    if (exia__get32(frame) != EXIA__DIGESTS_MAGIC ||
        exia__get32(frame + 4) != exia__digests_size(count) - EXIA__SKIPPABLE_HEADER ||
        memcmp(frame + 8, "VEDA", 4) != 0 || exia__get32(frame + 12) != EXIA__FORMAT ||
        exia__get32(frame + 16) != count)
        return exia__file_broken(path, "its digests are not as they should be written", err);
    return EXIA_OK;
}

exia_status exia__part_digests(exia_package *package, const unsigned char *at, exia_error *err)
{
    size_t count = package->frame_count - EXIA__FIXED_FRAMES;
    const unsigned char *digests = at + EXIA__SKIPPABLE_HEADER + EXIA__DIGESTS_HEADER;
    char hex[EXIA__HEX_SIZE];
    exia_status rc = exia__digests_check(at, count, package->path, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, digests, count * EXIA__DIGEST_SIZE, err);
    if (rc == EXIA_OK && strcmp(hex, package->metadata.frames_digest) != 0)
        rc = exia__package_broken(package, "its digests are not those of METADATA.json", err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        package->frames[i].digest = digests + i * EXIA__DIGEST_SIZE;
    return rc;
}

exia_status exia__part_entries(const exia_package *package, uint64_t tar_size, exia_error *err)
{
    const exia__metadata *m = &package->metadata;
    uint64_t tar = 0, size = 0;
    exia_status rc =
        exia__entries_check(package->entries, package->entry_count, EXIA_ECORRUPT, err);
    for (size_t i = 0; rc == EXIA_OK && i < package->entry_count; i++) {
        tar += exia__tar_size(&package->entries[i]);
        size += package->entries[i].size;
    }
    if (rc == EXIA_OK && (tar != tar_size || size != m->size))
        rc = exia__package_broken(package, "its frames have another size than its members", err);
    const exia__entry *manifest = exia__entry_find(
        package->entries, package->entry_count, EXIA__MANIFEST_PATH, strlen(EXIA__MANIFEST_PATH));
    if (rc == EXIA_OK &&
        (manifest == NULL || manifest->type != 'f' || manifest->size > EXIA__MOST_MANIFEST))
        rc = exia__package_broken(package, "it has no file veda.json of at most 1 MiB", err);
    if (rc == EXIA_OK)
        rc = exia__manifest_components(package->manifest, package->entries, package->entry_count,
                                       "its manifest", EXIA_ECORRUPT, err);
    return rc;
}

/* veda.json must say what METADATA.json says. */
exia_status exia__part_manifest(const exia_package *package, const char *text, size_t size,
                                exia_error *err)
{
    json_t *manifest = NULL;
    char *one = NULL, *other = NULL;
    exia_status rc = exia__manifest_parse(&manifest, text ? text : "", size, EXIA__MANIFEST_PATH,
                                          EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&one, manifest, err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&other, package->manifest, err);
    if (rc == EXIA_OK && strcmp(one, other) != 0)
        rc = exia__package_broken(package, "veda.json is not the manifest of METADATA.json", err);
    json_decref(manifest);
    exia__release(one);
    exia__release(other);
    return rc;
}

exia_status exia__part_end(exia_package *package, const char *tar, size_t size, exia_error *err)
{
    static const char zeros[2 * EXIA__BLOCK];
    exia__signature parsed = {0};
    if (size < sizeof zeros || size > EXIA__MOST_SIGNATURE + 4 * EXIA__BLOCK)
        return exia__package_broken(package, "its last frame has an impossible size", err);
    if (memcmp(tar + size - sizeof zeros, zeros, sizeof zeros) != 0)
        return exia__package_broken(package, "it does not end with two zero blocks", err);
    if (size == sizeof zeros)
        return EXIA_OK;
    const char *text = size > 3 * EXIA__BLOCK ? tar + EXIA__BLOCK : "";
    exia_status rc = exia__part_member(package, EXIA__SIGNATURE_PATH, tar, size - sizeof zeros,
                                       strlen(text), err);
    if (rc == EXIA_OK)
        rc = exia__signature_parse(&parsed, text, err);
    exia__signature_clear(&parsed);
    if (rc == EXIA_EINVAL)
        rc = exia__package_broken(package, "its SIGNATURE is none in minisign's format", err);
    return rc == EXIA_OK ? exia__text_copy(&package->signature, text, err) : rc;
}
