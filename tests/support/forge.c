/* The stages of a package, written once more: only the encodings of a header, a line of RECORD and
 * METADATA.json are the library's own. */
#include "support/forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/json.h"
#include "base/memory.h"

static const char manifest[] = FORGE_MANIFEST;
static const char zeros[2 * EXIA__BLOCK];

enum { BEGUN, HAS_TAR, HAS_FRAMES, HAS_TAIL, HAS_FILE };

/* What fails here is no finding. */
static void must(int good)
{
    if (!good)
        abort();
}

static void append(exia__buffer *buffer, const void *data, size_t size)
{
    must(exia__buffer_append(buffer, data, size, NULL) == EXIA_OK);
}

static void append32(exia__buffer *buffer, uint32_t value)
{
    unsigned char bytes[4];
    exia__put32(bytes, value);
    append(buffer, bytes, sizeof bytes);
}

void forge_text(exia__buffer *buffer, const char *text)
{
    buffer->size = 0;
    append(buffer, text, strlen(text));
}

static void digest_of(unsigned char digest[EXIA__DIGEST_SIZE], const void *data, size_t size)
{
    exia__hash *hash = NULL;
    must(exia__hash_open(&hash, NULL) == EXIA_OK);
    must(exia__hash_update(hash, data, size, NULL) == EXIA_OK);
    must(exia__hash_finish(digest, hash, NULL) == EXIA_OK);
    exia__hash_free(hash);
}

/* ---- members ---- */

exia__entry *forge_add(forge *f, char type, const char *path, const char *content)
{
    int is_link = type == 'l' || type == 'h', has_content = content != NULL && !is_link;
    exia__entry entry = {.path = path,
                         .target = is_link ? content : NULL,
                         .size = has_content ? strlen(content) : 0,
                         .mode = type == 'l'   ? 0777
                                 : type == 'd' ? 0755
                                               : 0644,
                         .type = type};
    if (type == 'f')
        digest_of(entry.digest, content, strlen(content));
    must(f->count < FORGE_MEMBERS && f->recorded_count < FORGE_MEMBERS);
    f->entries[f->count] = entry;
    f->content[f->count++] = has_content ? content : NULL;
    f->recorded[f->recorded_count] = entry;
    return &f->recorded[f->recorded_count++];
}

void forge_begin(forge *out)
{
    memset(out, 0, sizeof *out);
    forge_add(out, 'd', "a", NULL);
    forge_add(out, 'f', "a/f", "hello");
    forge_add(out, 'f', EXIA__MANIFEST_PATH, manifest);
}

/* ---- the tar ---- */

void forge_put(exia__buffer *tar, const exia__entry *entry, const void *content)
{
    exia__buffer header = {0};
    must(exia__tar_header(&header, entry, NULL) == EXIA_OK);
    append(tar, header.data, header.size);
    if (content != NULL) {
        append(tar, content, (size_t)entry->size);
        append(tar, zeros, (size_t)exia__tar_padding(entry->size));
    }
    exia__buffer_free(&header);
}

void forge_tar(forge *f)
{
    if (f->stage >= HAS_TAR)
        return;
    f->stage = HAS_TAR;
    for (size_t i = 0; i < f->count; i++)
        forge_put(&f->tar, &f->entries[i], f->content[i]);
    for (size_t i = 0; i < f->recorded_count; i++) {
        must(exia__record_line(&f->record, &f->recorded[i], NULL) == EXIA_OK);
        f->size += f->recorded[i].size;
    }
}

unsigned char *forge_header(forge *f, size_t index)
{
    exia__buffer tar = {0};
    for (size_t i = 0; i <= index; i++)
        forge_put(&tar, &f->entries[i], i < index ? f->content[i] : NULL);
    size_t behind = tar.size;
    exia__buffer_free(&tar);
    return (unsigned char *)f->tar.data + behind - EXIA__BLOCK;
}

void forge_sum(unsigned char *header)
{
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < EXIA__BLOCK; i++)
        sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
}

/* ---- frames ---- */

forge_frame *forge_insert(forge *f, size_t index, const void *packed, size_t size, size_t plain)
{
    must(f->frame_count < FORGE_FRAMES && index <= f->frame_count);
    memmove(f->frames + index + 1, f->frames + index,
            (f->frame_count++ - index) * sizeof *f->frames);
    f->frames[index] = (forge_frame){.size = (uint32_t)size, .plain = (uint32_t)plain};
    append(&f->frames[index].packed, packed, size);
    return &f->frames[index];
}

static void compress(exia__buffer *out, const void *data, size_t size)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    must(zstd != NULL);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    out->size = 0;
    must(exia__buffer_reserve(out, ZSTD_compressBound(size), NULL) == EXIA_OK);
    out->size = ZSTD_compress2(zstd, out->data, ZSTD_compressBound(size), data, size);
    must(!ZSTD_isError(out->size));
    ZSTD_freeCCtx(zstd);
}

void forge_pack(forge *f, const void *data, size_t size)
{
    size_t most = f->cut ? f->cut : EXIA__MOST_PLAIN;
    exia__buffer packed = {0};
    for (const char *from = data; size > 0; size -= most, from += most) {
        most = size < most ? size : most;
        compress(&packed, from, most);
        forge_insert(f, f->frame_count, packed.data, packed.size, most);
    }
    exia__buffer_free(&packed);
}

void forge_frames(forge *f)
{
    exia__entry entry = {.path = EXIA__RECORD_PATH, .type = 'f', .mode = 0644};
    exia__buffer member = {0};
    if (f->stage >= HAS_FRAMES)
        return;
    forge_tar(f);
    f->stage = HAS_FRAMES;
    entry.size = f->record.size;
    forge_put(&member, &entry, f->record.data);
    forge_pack(f, f->tar.data, f->tar.size);
    f->data_frames = f->frame_count;
    forge_pack(f, member.data, member.size);
    f->record_frames = f->frame_count - f->data_frames;
    exia__buffer_free(&member);
}

/* ---- the tail ---- */

static void put_digests(forge *f, char *hex)
{
    exia__buffer digests = {0}, frame = {0};
    for (size_t i = 0; i < f->frame_count; i++) {
        unsigned char digest[EXIA__DIGEST_SIZE];
        digest_of(digest, f->frames[i].packed.data, f->frames[i].packed.size);
        append(&digests, digest, sizeof digest);
    }
    must(exia__hash_hex(hex, digests.data, digests.size, NULL) == EXIA_OK);
    append32(&frame, EXIA__DIGESTS_MAGIC);
    append32(&frame, (uint32_t)(EXIA__DIGESTS_HEADER + digests.size));
    append(&frame, "VEDA", 4);
    append32(&frame, EXIA__FORMAT);
    append32(&frame, (uint32_t)f->frame_count);
    append(&frame, digests.data, digests.size);
    forge_insert(f, f->frame_count, frame.data, frame.size, 0);
    exia__buffer_free(&digests);
    exia__buffer_free(&frame);
}

/* Raw blocks in a frame; the checksum is the end of what libzstd makes of the same content. */
static void put_stored(forge *f, const exia__buffer *tar)
{
    exia__buffer frame = {0}, packed = {0};
    compress(&packed, tar->data, tar->size);
    append32(&frame, EXIA__FRAME_MAGIC);
    append(&frame, &(unsigned char){EXIA__STORED_DESCRIPTOR}, 1);
    append32(&frame, (uint32_t)tar->size);
    for (size_t at = 0; at < tar->size; at += EXIA__STORED_BLOCK) {
        size_t left = tar->size - at, more = left < EXIA__STORED_BLOCK ? left : EXIA__STORED_BLOCK;
        unsigned char block[4];
        exia__put32(block, (uint32_t)more << 3 | (more == left));
        append(&frame, block, 3);
        append(&frame, tar->data + at, more);
    }
    append(&frame, packed.data + packed.size - 4, 4);
    forge_insert(f, f->frame_count, frame.data, frame.size, tar->size);
    exia__buffer_free(&frame);
    exia__buffer_free(&packed);
}

static char *metadata_text(const forge *f, const char *frames_digest)
{
    exia__metadata m = {.zstd = "1.5.4", .level = 3};
    const exia__metadata *change = &f->change;
    json_t *own = NULL;
    char *text = NULL;
    must(exia__json_object(&own, manifest, sizeof manifest - 1, "", EXIA_EINVAL, NULL) == EXIA_OK);
    must(exia__hash_hex(m.digest, f->record.data, f->record.size, NULL) == EXIA_OK);
    memcpy(m.frames_digest, frames_digest, sizeof m.frames_digest);
    m.manifest = f->manifest ? f->manifest : own;
    m.members = change->members ? change->members : f->recorded_count;
    m.size = change->size ? change->size : f->size;
    m.record_size = change->record_size ? change->record_size : f->record.size;
    m.data_frames = change->data_frames ? change->data_frames : f->data_frames;
    m.record_frames = change->record_frames ? change->record_frames : f->record_frames;
    must(exia__metadata_text(&text, &m, NULL) == EXIA_OK);
    json_decref(own);
    return text;
}

static void put_own(exia__buffer *tar, const char *path, const char *content)
{
    exia__entry entry = {.path = path, .type = 'f', .mode = 0644, .size = strlen(content)};
    forge_put(tar, &entry, content);
}

void forge_tail(forge *f)
{
    char frames_digest[EXIA__HEX_SIZE];
    exia__buffer tar = {0};
    if (f->stage >= HAS_TAIL)
        return;
    forge_frames(f);
    f->stage = HAS_TAIL;
    put_digests(f, frames_digest);
    char *text = metadata_text(f, frames_digest);
    put_own(&tar, EXIA__METADATA_PATH, f->metadata ? f->metadata : text);
    put_stored(f, &tar);
    tar.size = 0;
    if (f->signature != NULL)
        put_own(&tar, EXIA__SIGNATURE_PATH, f->signature);
    append(&tar, f->end ? f->end : zeros, sizeof zeros);
    put_stored(f, &tar);
    exia__buffer_free(&tar);
    exia__release(text);
}

/* ---- the file ---- */

void forge_file(forge *f)
{
    if (f->stage >= HAS_FILE)
        return;
    forge_tail(f);
    f->stage = HAS_FILE;
    for (size_t i = 0; i < f->frame_count; i++)
        append(&f->file, f->frames[i].packed.data, f->frames[i].packed.size);
    append32(&f->file, EXIA__TABLE_MAGIC);
    append32(&f->file, (uint32_t)(f->frame_count * EXIA__TABLE_ENTRY + EXIA__TABLE_FOOTER));
    for (size_t i = 0; i < f->frame_count; i++) {
        append32(&f->file, f->frames[i].size);
        append32(&f->file, f->frames[i].plain);
    }
    append32(&f->file, (uint32_t)f->frame_count);
    append(&f->file, "", 1);
    append32(&f->file, EXIA__FOOTER_MAGIC);
}

void forge_write(forge *f, const char *path)
{
    forge_file(f);
    FILE *file = fopen(path, "wb");
    must(file != NULL && fwrite(f->file.data, 1, f->file.size, file) == f->file.size);
    must(fclose(file) == 0);
}

void forge_free(forge *f)
{
    while (f->frame_count > 0)
        exia__buffer_free(&f->frames[--f->frame_count].packed);
    exia__buffer_free(&f->tar);
    exia__buffer_free(&f->record);
    exia__buffer_free(&f->file);
    f->data_frames = f->record_frames = 0;
    f->size = 0;
    f->stage = BEGUN;
}
