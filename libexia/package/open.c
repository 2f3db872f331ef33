/* Opening: from the end of the file backwards, the seek table, METADATA.json, the digests, RECORD.
 * Each part is capped by the one before and compared with its one encoding, so when a package is open
 * all but its payload is known to be whole. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/index.h"
#include "package/reader.h"

static exia_status read_source(void *into, uint64_t offset, size_t size, void *payload,
                               exia_error *err)
{
    const exia_package *package = payload;
    return exia__read_at(package->fd, into, size, package->base + offset, package->path, err);
}

static exia_status read_table(exia__index *index, exia_package *package, exia_error *err)
{
    exia_source source = {read_source, package->file_size, NULL, package};
    exia_status rc = exia__index_open(index, &source, package->path, 0, err);
    package->frames = index->frames;
    package->frame_count = index->count;
    return rc;
}

static const char *frame_bytes(const exia__index *index, size_t i)
{
    return index->end + (index->frames[i].offset - index->from);
}

/* The content of a stored frame. */
static exia_status read_stored(char **out, const exia_package *package, const exia__index *index,
                               size_t i, exia_error *err)
{
    const exia__frame *frame = &package->frames[i];
    return exia__part_stored(out, package, (const unsigned char *)frame_bytes(index, i),
                             frame->size, frame->plain, err);
}

static exia_status read_metadata(exia_package *package, const exia__index *index, exia_error *err)
{
    size_t i = package->frame_count - 2;
    char *tar = NULL;
    exia_status rc = read_stored(&tar, package, index, i, err);
    if (rc == EXIA_OK)
        rc = exia__part_metadata(package, tar, package->frames[i].plain, err);
    exia__release(tar);
    return rc;
}

static exia_status read_digests(exia_package *package, exia__index *index, exia_error *err)
{
    size_t i = package->frame_count - EXIA__FIXED_FRAMES, size = package->frames[i].size;
    exia_status rc = exia__index_digests(index, package->path, err);
    if (rc < 0)
        return rc;
    package->digests = exia__resize(NULL, size);
    if (package->digests == NULL)
        return exia__fail_memory(err);
    memcpy(package->digests, frame_bytes(index, i), size);
    memcpy(package->index, index->hex, sizeof package->index);
    return exia__part_digests(package, package->digests, err);
}

/* The lines are checked as they come, so that memory grows with what is good only. */
static exia_status load_record(exia__buffer *tar, const exia_package *package, exia_error *err)
{
    const exia__metadata *m = &package->metadata;
    size_t end = EXIA__BLOCK + (size_t)m->record_size;
    exia__checked so_far = {0};
    exia__loader loader = {0};
    void *packed = NULL;
    size_t room = 0;
    exia_status rc = exia__loader_open(&loader, err);
    for (size_t i = 0; i < m->record_frames && rc == EXIA_OK; i++) {
        size_t index = (size_t)m->data_frames + i, plain = package->frames[index].plain;
        rc = exia__buffer_reserve(tar, plain, err);
        if (rc == EXIA_OK)
            rc = exia__frame_read(&packed, &room, package, index, err);
        if (rc == EXIA_OK)
            rc = exia__frame_open(tar->data + tar->size, &loader, package, index, packed, 1, err);
        if (rc < 0)
            break;
        tar->size += plain;
        size_t from = EXIA__BLOCK + so_far.size, to = tar->size < end ? tar->size : end;
        if (from < to)
            rc = exia__record_check(&so_far, tar->data + from, to - from, err);
    }
    exia__loader_free(&loader);
    exia__release(packed);
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

static exia_status read_end(exia_package *package, const exia__index *index, exia_error *err)
{
    size_t i = package->frame_count - 1;
    char *tar = NULL;
    exia_status rc = read_stored(&tar, package, index, i, err);
    if (rc == EXIA_OK)
        rc = exia__part_end(package, tar, package->frames[i].plain, err);
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

exia_status exia__package_regular(const struct stat *info, const char *file, exia_error *err)
{
    if (S_ISDIR(info->st_mode))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "%s is a directory, and no package: if it is a workspace, pack it first",
                          file);
    return S_ISREG(info->st_mode) ? EXIA_OK
                                  : exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", file);
}

exia_status exia__package_open_fd(exia_package **out, int fd, const char *file, exia_error *err)
{
    struct stat info;
    *out = NULL;
    if (fstat(fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", file);
    exia_status rc = exia__package_regular(&info, file, err);
    if (rc < 0)
        return rc;
    return exia__package_open_at(out, fd, 0, (uint64_t)info.st_size, file, err);
}

exia_status exia__package_open_at(exia_package **out, int fd, uint64_t base, uint64_t size,
                                  const char *file, exia_error *err)
{
    exia__index index = {0};
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
        rc = read_table(&index, package, err);
    if (rc == EXIA_OK)
        rc = read_metadata(package, &index, err);
    if (rc == EXIA_OK)
        rc = read_digests(package, &index, err);
    if (rc == EXIA_OK)
        rc = read_record(package, err);
    if (rc == EXIA_OK)
        rc = exia__part_entries(package, package->frames[package->metadata.data_frames].start, err);
    if (rc == EXIA_OK)
        rc = locate_members(package, err);
    if (rc == EXIA_OK)
        rc = read_end(package, &index, err);
    index.frames = NULL; /* they are the package's now */
    exia__index_free(&index);
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
