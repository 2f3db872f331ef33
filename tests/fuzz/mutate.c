/* A mutator that knows the format.  A change of a single bit never gets past the digests, so a package
 * is taken apart to a stage of its making, changed there, and made to its end again. */
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/json.h"
#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "support/forge.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

enum { MOST_TAR = 64 << 10, MOST_CONTENT = 1 << 10, ROOM = 256 };

/* A package between two stages, and what its stages cannot tell by themselves. */
typedef struct parts {
    forge f;
    char *metadata, *signature, *manifest;
    json_t *json; /* of the manifest */
    char *record; /* cut up by the entries; NULL when RECORD cannot be read */
    exia__entry *entries;
    size_t count;
    int is_long; /* a path has more bytes than a header can be made of */
} parts;

static unsigned chance(unsigned *seed, unsigned limit)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % limit;
}

/* ---- taking apart ---- */

static char *copy_part(const exia__buffer *tar, const char *path)
{
    for (size_t at = 0; at + 2 * EXIA__BLOCK <= tar->size; at += EXIA__BLOCK) {
        const char *header = tar->data + at;
        size_t size = strtoul(header + 124, NULL, 8), room = tar->size - at - EXIA__BLOCK;
        if (strncmp(header, path, 100) == 0)
            return fuzz_copy((const uint8_t *)header + EXIA__BLOCK, size < room ? size : room);
    }
    return NULL;
}

/* The whole tar at once, for libzstd passes over skippable frames. */
static int decompress(exia__buffer *tar, const uint8_t *data, size_t size)
{
    if (exia__buffer_reserve(tar, MOST_TAR + 1, NULL) < 0)
        return 0;
    size_t got = ZSTD_decompress(tar->data, MOST_TAR, data, size);
    if (ZSTD_isError(got))
        return 0;
    tar->size = got;
    tar->data[got] = '\0';
    return 1;
}

/* RECORD as entries, for the numbers of METADATA.json and for changes that both sides share. */
static void read_record(parts *p)
{
    const exia__buffer *record = &p->f.record;
    free(p->record);
    exia__release(p->entries);
    p->entries = NULL;
    p->record = fuzz_copy((const uint8_t *)record->data, record->size);
    p->f.size = p->count = 0;
    for (size_t i = 0; i < record->size; i++)
        p->count += record->data[i] == '\n';
    p->f.change.members = p->count;
    exia__checked checked = {0};
    if (exia__record_check(&checked, p->record, record->size, NULL) < 0 ||
        exia__record_parse(&p->entries, p->record, record->size, p->count, NULL) < 0)
        return;
    for (size_t i = 0; i < p->count; i++) {
        p->f.size += p->entries[i].size;
        p->is_long |= strlen(p->entries[i].path) > EXIA__MOST_PATH;
    }
}

static void take_manifest(parts *p, const char *text)
{
    json_t *json = NULL;
    if (text == NULL || exia__json_object(&json, text, strlen(text), "", EXIA_EINVAL, NULL) < 0)
        return;
    json_decref(p->json);
    exia__release(p->manifest);
    p->manifest = NULL;
    p->json = p->f.manifest = json;
    if (exia__json_text(&p->manifest, json, NULL) < 0)
        abort();
}

static int take_apart(parts *p, const uint8_t *data, size_t size)
{
    exia__buffer tar = {0};
    memset(p, 0, sizeof *p);
    int good = decompress(&tar, data, size);
    char *record = good ? copy_part(&tar, EXIA__RECORD_PATH) : NULL;
    p->metadata = good ? copy_part(&tar, EXIA__METADATA_PATH) : NULL;
    p->f.signature = p->signature = good ? copy_part(&tar, EXIA__SIGNATURE_PATH) : NULL;
    good = record != NULL && p->metadata != NULL;
    if (good) {
        char *manifest = copy_part(&tar, EXIA__MANIFEST_PATH);
        forge_tar(&p->f); /* of no members */
        forge_text(&p->f.record, record);
        while (tar.size > 0 && strcmp(tar.data + (tar.size -= EXIA__BLOCK), EXIA__RECORD_PATH) != 0)
            ;
        exia__buffer_free(&p->f.tar);
        p->f.tar = tar;
        tar = (exia__buffer){0};
        take_manifest(p, manifest);
        read_record(p);
        free(manifest);
    }
    exia__buffer_free(&tar);
    free(record);
    return good;
}

static void release(parts *p)
{
    forge_free(&p->f);
    json_decref(p->json);
    exia__release(p->manifest);
    exia__release(p->entries);
    free(p->metadata);
    free(p->signature);
    free(p->record);
}

/* ---- changing one stage ---- */

static void mutate_buffer(exia__buffer *buffer)
{
    if (exia__buffer_reserve(buffer, ROOM, NULL) == EXIA_OK)
        buffer->size = LLVMFuzzerMutate((uint8_t *)buffer->data, buffer->size, buffer->capacity);
}

static char *mutate_text(const char *text)
{
    size_t size = strnlen(text, EXIA__MOST_PATH - ROOM);
    char *changed = malloc(size + ROOM + 1);
    if (changed == NULL)
        abort();
    memcpy(changed, text, size);
    size = LLVMFuzzerMutate((uint8_t *)changed, size, size + ROOM);
    changed[size] = '\0';
    return changed;
}

/* The text that `entry` now owns a changed copy of is freed by the caller. */
static char *mutate_entry(parts *p, unsigned *seed)
{
    exia__entry *entry = &p->entries[chance(seed, (unsigned)p->count)], saved = *entry;
    exia__entry *other = &p->entries[chance(seed, (unsigned)p->count)];
    char *text = NULL;
    switch (chance(seed, 7)) {
    case 0:
        entry->path = text = mutate_text(entry->path);
        break;
    case 1:
        entry->type = "lh"[chance(seed, 2)];
        entry->mode = entry->type == 'l' ? 0777 : other->mode;
        entry->target = text = mutate_text(saved.target ? saved.target : other->path);
        break;
    case 2:
        entry->type = "fd"[chance(seed, 2)];
        break;
    case 3:
        entry->mode = chance(seed, 01000);
        break;
    case 4:
        entry->size = chance(seed, MOST_CONTENT);
        break;
    case 5:
        *entry = *other;
        *other = saved;
        break;
    default:
        entry->path = other->path;
        break;
    }
    return text;
}

/* One member is changed in RECORD, and the tar is made anew of that: both sides agree. */
static void mutate_member(parts *p, unsigned *seed)
{
    static char content[MOST_CONTENT + 1];
    if (p->entries == NULL || p->count == 0 || p->count > FORGE_MEMBERS || p->is_long)
        return;
    memset(content, 'x', MOST_CONTENT);
    char *text = mutate_entry(p, seed);
    forge_free(&p->f);
    p->f.change.members = 0;
    for (size_t i = 0; i < p->count; i++) {
        const exia__entry *e = &p->entries[i];
        size_t size = e->size < MOST_CONTENT ? (size_t)e->size : MOST_CONTENT;
        const char *with = e->type == 'l' || e->type == 'h' ? (e->target ? e->target : "")
                           : e->type == 'd'                 ? NULL
                                                            : content + MOST_CONTENT - size;
        if (e->type == 'f' && p->manifest && strcmp(e->path, EXIA__MANIFEST_PATH) == 0)
            with = p->manifest;
        forge_add(&p->f, e->type, e->path, with)->mode = e->mode;
        p->f.entries[i].mode = e->mode;
    }
    forge_tar(&p->f);
    free(text);
}

/* The manifest changes in veda.json and in METADATA.json. */
static void mutate_manifest(parts *p, unsigned *seed)
{
    char *text = p->manifest ? mutate_text(p->manifest) : NULL;
    take_manifest(p, text);
    mutate_member(p, seed);
    free(text);
}

static void mutate_frames(parts *p, unsigned *seed)
{
    static const unsigned char skippable[] = {0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'};
    forge *f = &p->f;
    if (chance(seed, 2))
        f->cut = EXIA__BLOCK + f->tar.size / (1 + chance(seed, 5));
    forge_frames(f);
    if (chance(seed, 2))
        forge_tail(f);
    forge_frame *frame = &f->frames[chance(seed, (unsigned)f->frame_count)], saved = *frame;
    forge_frame *other = &f->frames[chance(seed, (unsigned)f->frame_count)];
    switch (chance(seed, 6)) {
    case 0:
        frame->size += chance(seed, 2) ? 1 + chance(seed, 16) : -(1 + chance(seed, 16));
        break;
    case 1:
        frame->plain += EXIA__BLOCK * (1 - 2 * chance(seed, 2));
        other->plain -= EXIA__BLOCK * (1 - 2 * chance(seed, 2));
        break;
    case 2:
        *frame = *other;
        *other = saved;
        break;
    case 3:
        forge_insert(f, (size_t)(frame - f->frames), skippable, sizeof skippable, 0);
        break;
    case 4:
        mutate_buffer(&frame->packed);
        frame->size = (uint32_t)frame->packed.size;
        break;
    default: /* only cut in another way */
        break;
    }
}

size_t fuzz_package_mutate(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    parts p;
    unsigned kind = chance(&seed, 10);
    char *text = NULL;
    int good = kind > 0 && take_apart(&p, data, size);
    if (kind == 0 || !good) {
        if (kind > 0)
            release(&p);
        return LLVMFuzzerMutate(data, size, most);
    }
    if (kind == 1) {
        mutate_buffer(&p.f.tar);
    } else if (kind == 2) {
        mutate_buffer(&p.f.record);
        read_record(&p);
    } else if (kind == 3) {
        p.f.metadata = text = mutate_text(p.metadata);
    } else if (kind == 4) {
        p.f.signature = text = mutate_text(p.signature ? p.signature : "");
    } else if (kind == 5) {
        mutate_manifest(&p, &seed);
    } else if (kind < 8) {
        mutate_frames(&p, &seed);
    } else {
        mutate_member(&p, &seed);
    }
    forge_file(&p.f);
    good = p.f.file.size <= most;
    if (good)
        memcpy(data, p.f.file.data, size = p.f.file.size);
    release(&p);
    free(text);
    return good ? size : LLVMFuzzerMutate(data, size, most);
}
