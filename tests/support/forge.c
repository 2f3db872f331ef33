/* Forged packages are made by the library's own framer, so that all but the one lie is right. */
#include "support/forge.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "package/frames.h"
#include "support/check.h"

static const char manifest[] = "{\"format\":1,\"name\":\"forged\",\"version\":\"1\"}";

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
    if (type == 'f') {
        exia__hash *hash = NULL;
        check_ok(exia__hash_open(&hash, &err));
        check_ok(exia__hash_update(hash, content, strlen(content), &err));
        check_ok(exia__hash_finish(entry.digest, hash, &err));
        exia__hash_free(hash);
    }
    assert_true(f->count < FORGE_MEMBERS && f->recorded_count < FORGE_MEMBERS);
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

static void put(exia__framer *framer, const exia__entry *entry, const char *content, char pad)
{
    char padding[EXIA__BLOCK];
    exia__buffer header = {0};
    memset(padding, pad, sizeof padding);
    check_ok(exia__tar_header(&header, entry, &err));
    exia__framer_member(framer, exia__tar_size(entry));
    check_ok(exia__framer_add(framer, header.data, header.size, &err));
    if (content != NULL) {
        check_ok(exia__framer_add(framer, content, (size_t)entry->size, &err));
        check_ok(exia__framer_add(framer, padding, exia__tar_padding(entry->size), &err));
    }
    exia__buffer_free(&header);
}

static void put_stored(exia__framer *framer, const char *path, const char *content)
{
    exia__entry entry = {.path = path, .type = 'f', .mode = 0644, .size = strlen(content)};
    exia__buffer tar = {0};
    static const char zeros[2 * EXIA__BLOCK];
    check_ok(exia__tar_header(&tar, &entry, &err));
    check_ok(exia__buffer_append(&tar, content, entry.size, &err));
    check_ok(exia__buffer_append(&tar, zeros, exia__tar_padding(entry.size), &err));
    if (strcmp(path, EXIA__SIGNATURE_PATH) == 0)
        check_ok(exia__buffer_append(&tar, zeros, sizeof zeros, &err));
    check_ok(exia__framer_stored(framer, tar.data, tar.size, &err));
    exia__buffer_free(&tar);
}

void forge_write(forge *f, const char *path)
{
    static const char zeros[2 * EXIA__BLOCK];
    exia__framer *framer = NULL;
    exia__buffer record = {0};
    exia__metadata m = {.zstd = "1.5.4", .level = 3};
    json_t *own = NULL;
    char *text = NULL;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    check_ok(exia__framer_open(&framer, fd, path, 3, &err));
    for (size_t i = 0; i < f->count; i++)
        put(framer, &f->entries[i], f->content[i], f->padding ? *f->padding : '\0');
    if (f->behind != NULL) {
        exia__framer_member(framer, EXIA__BLOCK);
        check_ok(exia__framer_add(framer, f->behind, EXIA__BLOCK, &err));
    }
    check_ok(exia__framer_cuts(framer, &exia__cuts_record, &err));
    m.data_frames = exia__framer_count(framer);
    for (size_t i = 0; i < f->recorded_count && f->record == NULL; i++) {
        check_ok(exia__record_line(&record, &f->recorded[i], &err));
        m.size += f->recorded[i].size;
    }
    if (f->record != NULL)
        check_ok(exia__buffer_text(&record, f->record, &err));
    exia__entry entry = {.path = EXIA__RECORD_PATH, .type = 'f', .mode = 0644, .size = record.size};
    put(framer, &entry, record.data, '\0');
    check_ok(exia__framer_flush(framer, &err));
    m.record_frames = exia__framer_count(framer) - m.data_frames;
    check_ok(exia__hash_hex(m.digest, record.data, record.size, &err));
    check_ok(exia__framer_digests(m.frames_digest, framer, &err));
    check_ok(exia__json_object(&own, manifest, sizeof manifest - 1, "manifest", EXIA_EINVAL, &err));
    m.manifest = f->manifest ? f->manifest : own;
    m.members = f->change.members ? f->change.members : f->recorded_count;
    m.size = f->change.size ? f->change.size : m.size;
    m.record_size = f->change.record_size ? f->change.record_size : record.size;
    check_ok(exia__metadata_text(&text, &m, &err));
    put_stored(framer, EXIA__METADATA_PATH, f->metadata ? f->metadata : text);
    if (f->signature != NULL)
        put_stored(framer, EXIA__SIGNATURE_PATH, f->signature);
    else
        check_ok(exia__framer_stored(framer, f->end ? f->end : zeros, sizeof zeros, &err));
    check_ok(exia__framer_table(framer, &err));
    exia__framer_free(framer);
    exia__buffer_free(&record);
    exia__release(text);
    json_decref(own);
    close(fd);
}
