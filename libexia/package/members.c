/* The members of a package in the order in which they come.  Each header is read strictly, checked
 * against all before it, and only then is anything made of it; RECORD comes last and must say what
 * came, so its lines are written from the members and compared. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/feed.h"

enum { HEADER, CONTENT, PADDING, RECORD, RECORD_PADDING, NOTHING }; /* what comes next */

static exia_status damaged(const exia__members *m, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is damaged: %s", m->name, why);
}

static int is_manifest(const exia__entry *entry)
{
    return strcmp(entry->path, EXIA__MANIFEST_PATH) == 0;
}

static exia_status end_content(exia__members *m, exia_error *err)
{
    exia__entry *entry = &m->entries[m->count - 1];
    exia_status rc = exia__hash_finish(entry->digest, m->hash, err);
    int fd = m->fd;
    m->fd = -1;
    if (fd >= 0) {
        exia_status ended =
            exia__place_file_end(fd, m->place, entry->path, entry->mode, rc < 0 ? NULL : err);
        rc = rc < 0 ? rc : ended;
    }
    m->left = exia__tar_padding(entry->size);
    m->next = m->left > 0 ? PADDING : HEADER;
    return rc;
}

static exia_status begin_file(exia__members *m, const exia__entry *entry, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (is_manifest(entry) && entry->size > EXIA__MOST_MANIFEST)
        return damaged(m, "it has no file veda.json of at most 1 MiB", err);
    if (entry->size > m->free)
        return exia__fail(err, EXIA_ENOSPACE, 0,
                          "%s: \"%.80s\" needs %" PRIu64 " bytes, and "
                          "%" PRIu64 " are free",
                          m->name, entry->path, entry->size, m->free);
    m->free -= m->place != NULL ? entry->size : 0;
    m->size += entry->size;
    m->left = entry->size;
    m->done = 0;
    m->next = CONTENT;
    if (m->place != NULL)
        rc = exia__place_file(&m->fd, m->place, entry->path, (mode_t)entry->mode, err);
    return rc == EXIA_OK && m->left == 0 ? end_content(m, err) : rc;
}

static exia_status begin_member(exia__members *m, const exia__entry *entry, exia_error *err)
{
    exia_status rc = exia__entries_check_one(m->entries, m->count - 1, EXIA_ECORRUPT, err);
    m->next = HEADER;
    if (rc == EXIA_OK && m->count > EXIA__MOST_MEMBERS)
        rc = damaged(m, "it has more than 16000000 members", err);
    m->lines_size += exia__record_size(entry);
    if (rc == EXIA_OK && m->lines_size > exia__record_most(m->count))
        rc = damaged(m, "the paths of its members are too long together", err);
    if (rc < 0)
        return rc;
    if (__builtin_add_overflow(m->tar_size, exia__tar_size(entry), &m->tar_size) ||
        m->tar_size > INT64_MAX)
        return damaged(m, "it is larger than 2^63 bytes", err);
    if (entry->type == 'f')
        return begin_file(m, entry, err);
    return entry->type == 'd' && m->place != NULL
               ? exia__place_directory(m->place, entry->path, err)
               : EXIA_OK;
}

static exia_status begin_record(exia__members *m, const exia__entry *record, exia_error *err)
{
    if (m->header_frame == 0 || record->type != 'f' || record->mode != 0644 || record->size == 0 ||
        record->size > EXIA__MOST_RECORD)
        return damaged(m, "RECORD is no member as it should be", err);
    m->record_size = m->left = record->size;
    m->data_frames = m->header_frame - 1;
    m->next = RECORD;
    return EXIA_OK;
}

/* As much of a header as is still missing; when it is whole, what it begins. */
static exia_status take_header(exia__members *m, const char *data, size_t size, size_t *taken,
                               exia_error *err)
{
    exia__entry entry;
    size_t more = m->whole - m->header.size;
    *taken = more < size ? more : size;
    exia_status rc = exia__buffer_append(&m->header, data, *taken, err);
    if (rc < 0 || m->header.size < m->whole)
        return rc;
    rc = exia__tar_read(&entry, &m->whole, m->header.data, m->header.size, err);
    if (rc < 0 || m->header.size < m->whole)
        return rc;
    m->whole = EXIA__BLOCK;
    m->header.size = 0;
    if (strcmp(entry.path, EXIA__RECORD_PATH) == 0) {
        rc = begin_record(m, &entry, err);
        exia__release((char *)entry.path);
        return rc;
    }
    rc = exia__grow(&m->entries, &m->capacity, m->count + 1, sizeof *m->entries, err);
    if (rc < 0) {
        exia__release((char *)entry.path);
        return rc;
    }
    m->entries[m->count++] = entry;
    return begin_member(m, &m->entries[m->count - 1], err);
}

static exia_status take_content(exia__members *m, const char *data, size_t size, exia_error *err)
{
    const exia__entry *entry = &m->entries[m->count - 1];
    exia_status rc = exia__hash_update(m->hash, data, size, err);
    if (rc == EXIA_OK && is_manifest(entry))
        rc = exia__buffer_append(&m->manifest, data, size, err);
    if (rc == EXIA_OK && m->fd >= 0)
        rc = exia__place_bytes(m->fd, m->place, entry->path, data, size, m->done, err);
    m->done += size;
    m->left -= size;
    return rc == EXIA_OK && m->left == 0 ? end_content(m, err) : rc;
}

static exia_status take_padding(exia__members *m, const char *data, size_t size, exia_error *err)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '\0')
            return exia__fail(
                err, EXIA_ECORRUPT, 0,
                "%s is damaged: the padding of \"%.100s\" is not as recorded", m->name,
                m->next == PADDING ? m->entries[m->count - 1].path : EXIA__RECORD_PATH);
    }
    m->left -= size;
    if (m->left == 0)
        m->next = m->next == PADDING ? HEADER : NOTHING;
    return EXIA_OK;
}

static exia_status end_record(exia__members *m, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    if (m->recorded != m->count || m->line_done != m->line.size)
        return damaged(m, "RECORD has fewer lines than there are members", err);
    exia_status rc = exia__hash_finish(digest, m->hash, err);
    if (rc == EXIA_OK)
        exia__hex(m->digest, digest, sizeof digest);
    m->left = exia__tar_padding(m->record_size);
    m->next = m->left > 0 ? RECORD_PADDING : NOTHING;
    return rc;
}

/* Compare with the line of the member that is next, or with what is left of it. */
static exia_status take_record(exia__members *m, const char *data, size_t size, size_t *taken,
                               exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (m->line_done == m->line.size) {
        if (m->recorded == m->count)
            return damaged(m, "RECORD has more lines than there are members", err);
        m->line.size = m->line_done = 0;
        rc = exia__record_line(&m->line, &m->entries[m->recorded++], err);
        if (rc < 0)
            return rc;
    }
    size_t more = m->line.size - m->line_done;
    *taken = more < size ? more : size;
    if (memcmp(m->line.data + m->line_done, data, *taken) != 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s is damaged: \"%.100s\" is not as recorded",
                          m->name, m->entries[m->recorded - 1].path);
    rc = exia__hash_update(m->hash, data, *taken, err);
    m->line_done += *taken;
    m->left -= *taken;
    return rc == EXIA_OK && m->left == 0 ? end_record(m, err) : rc;
}

exia_status exia__members_add(exia__members *m, const void *data, size_t size, exia_error *err)
{
    exia_status rc = EXIA_OK;
    const char *begin = data, *end = begin + size;
    m->frames++;
    if (m->whole == 0)
        m->whole = EXIA__BLOCK;
    if (m->hash == NULL)
        rc = exia__hash_open(&m->hash, err);
    size_t taken = 0;
    for (const char *at = begin; rc == EXIA_OK && at < end; at += taken) {
        size_t here = (size_t)(end - at);
        taken = here < m->left ? here : (size_t)m->left;
        if (m->next == HEADER && m->header.size == 0)
            m->header_frame = at == begin ? m->frames : 0;
        if (m->next == HEADER)
            rc = take_header(m, at, here, &taken, err);
        else if (m->next == CONTENT)
            rc = take_content(m, at, taken, err);
        else if (m->next == RECORD)
            rc = take_record(m, at, taken, &taken, err);
        else if (m->next != NOTHING)
            rc = take_padding(m, at, taken, err);
        else
            rc = damaged(m, "something lies behind RECORD", err);
    }
    return rc;
}

exia_status exia__members_end(const exia__members *m, exia_error *err)
{
    if (m->next == NOTHING)
        return EXIA_OK;
    return m->next == HEADER && m->header.size == 0
               ? damaged(m, "it has no RECORD", err)
               : damaged(m, "its last member is cut short", err);
}

void exia__members_free(exia__members *m)
{
    if (m->fd >= 0)
        close(m->fd);
    for (size_t i = 0; i < m->count; i++)
        exia__release((char *)m->entries[i].path);
    exia__release(m->entries);
    exia__buffer_free(&m->header);
    exia__buffer_free(&m->line);
    exia__buffer_free(&m->manifest);
    exia__hash_free(m->hash);
}
