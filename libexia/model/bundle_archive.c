/* Backups in one file: a tar of the same members, compressed by zstd, which any tar opens.  Whatever is
 * in it may be hostile: it is read as a stream, a member has exactly one of three names, is a plain
 * file, and has the size that is expected of it before a byte is looked at. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/bundle.h"

enum { BLOCK = 1 << 18 };

static exia_status fail_archive(struct archive *archive, const char *what, const char *path,
                                exia_error *err)
{
    int code = archive_errno(archive);
    const char *text = archive_error_string(archive);
    if (code == ENOMEM)
        return exia__fail_memory(err);
    if (code > 0 && code != EINVAL && code != EILSEQ)
        return exia__fail_errno(err, code, what, path);
    return exia__fail(err, EXIA_ECORRUPT, code, "%s %s: %s", what, path,
                      text ? text : "it is not valid");
}

/* ---- writing -------------------------------------------------------------------------------- */

exia_status exia__archive_begin(exia__bundle *bundle, exia_error *err)
{
    bundle->blobs = json_object();
    bundle->archive = archive_write_new();
    if (bundle->archive == NULL || bundle->blobs == NULL)
        return exia__fail_memory(err);
    if (archive_write_set_format_pax_restricted(bundle->archive) != ARCHIVE_OK ||
        archive_write_add_filter_zstd(bundle->archive) != ARCHIVE_OK ||
        archive_write_open_fd(bundle->archive, bundle->staged.fd) != ARCHIVE_OK)
        return fail_archive(bundle->archive, "cannot write", bundle->staged.path, err);
    return EXIA_OK;
}

exia_status exia__archive_member(exia__bundle *bundle, const char *member, uint64_t size,
                                 exia_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    exia_status rc = entry ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK) {
        archive_entry_set_pathname(entry, member);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)size);
        archive_entry_set_mtime(entry, exia__now_ms() / 1000, 0);
        if (archive_write_header(bundle->archive, entry) != ARCHIVE_OK)
            rc = fail_archive(bundle->archive, "cannot write", bundle->staged.path, err);
    }
    archive_entry_free(entry);
    const char *hex = exia__path_base(member);
    if (rc == EXIA_OK && strncmp(member, "blobs/", 6) == 0)
        rc = exia__json_set(bundle->blobs, hex, json_true(), err);
    return rc;
}

exia_status exia__archive_write(exia__bundle *bundle, const void *data, size_t size,
                                exia_error *err)
{
    const char *from = data;
    while (size > 0) {
        la_ssize_t put = archive_write_data(bundle->archive, from, size);
        if (put <= 0)
            return fail_archive(bundle->archive, "cannot write", bundle->staged.path, err);
        from += put;
        size -= (size_t)put;
    }
    return EXIA_OK;
}

exia_status exia__archive_close(exia__bundle *bundle, int whole, exia_error *err)
{
    struct archive *archive = bundle->archive;
    exia_status rc = EXIA_OK;
    bundle->archive = NULL;
    if (!whole) /* given up: what is buffered need not be written any more */
        archive_write_fail(archive);
    if (archive_write_close(archive) != ARCHIVE_OK)
        rc = fail_archive(archive, "cannot write", bundle->staged.path, err);
    archive_write_free(archive);
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------- */

typedef struct unpacking {
    struct archive *archive;
    const exia__unbundling *how;
    exia__work *work;
    int logs_ended, listed; /* the list is the last member */
    uint64_t done;
} unpacking;

/* The member's bytes, all of them, to memory or to a file. */
static exia_status read_data(unpacking *now, void *memory, int fd, uint64_t size,
                             const char *member, exia_error *err)
{
    uint64_t left = size;
    char *block = memory ? NULL : exia__resize(NULL, BLOCK);
    exia_status rc = memory || block ? EXIA_OK : exia__fail_memory(err);
    while (rc == EXIA_OK && left > 0) {
        size_t most = left < BLOCK ? (size_t)left : BLOCK;
        char *into = memory ? (char *)memory + (size - left) : block;
        la_ssize_t got = archive_read_data(now->archive, into, most);
        if (got < 0)
            rc = fail_archive(now->archive, "cannot read", member, err);
        else if (got == 0)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s ends too early", member);
        else if (memory == NULL)
            rc = exia__write_all(fd, block, (size_t)got, "a temporary file", err);
        left -= got > 0 ? (uint64_t)got : 0;
        now->done += got > 0 ? (uint64_t)got : 0;
        if (rc == EXIA_OK)
            rc = exia__work_step(now->work, "reading the backup", now->done, 0, err);
    }
    exia__release(block);
    return rc;
}

static exia_status read_text(char **out, unpacking *now, uint64_t size, uint64_t limit,
                             const char *member, exia_error *err)
{
    *out = NULL;
    if (size > limit)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has more than %llu bytes", member,
                          (unsigned long long)limit);
    char *text = exia__resize(NULL, (size_t)size + 1);
    exia_status rc = text ? read_data(now, text, -1, size, member, err) : exia__fail_memory(err);
    if (rc == EXIA_OK) {
        text[size] = '\0';
        *out = text;
        text = NULL;
    }
    exia__release(text);
    return rc;
}

static exia_status take_log(unpacking *now, const char *member, uint64_t size, exia_error *err)
{
    char name[129], expected[EXIA__MEMBER_SIZE], *text = NULL;
    const char *begin = member + sizeof "logs/" - 1, *slash = strchr(begin, '/');
    size_t length = slash ? (size_t)(slash - begin) : sizeof name;
    if (length >= sizeof name)
        return exia__fail(err, EXIA_ECORRUPT, 0, "\"%.100s\" is no member of a backup", member);
    memcpy(name, begin, length);
    name[length] = '\0';
    int64_t first = strtoll(slash + 1, NULL, 10);
    exia__bundle_log_path(expected, name, first);
    if (first < 1 || strcmp(member, expected) != 0 || exia__name_check(name, "model", NULL) < 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "\"%.100s\" is no member of a backup", member);
    if (now->logs_ended)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s comes behind the blobs", member);
    exia_status rc = read_text(&text, now, size, EXIA__BUNDLE_LOG_LIMIT, member, err);
    if (rc == EXIA_OK)
        rc = now->how->log(name, first, text, (size_t)size, now->how->payload, err);
    exia__release(text);
    return rc;
}

/* A file without a name, where large ones may lie. */
static exia_status open_temporary(int *fd, exia_error *err)
{
    const char *folder = secure_getenv("TMPDIR");
    char *path = NULL;
    if (folder == NULL || *folder != '/')
        folder = "/var/tmp";
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0)
        return EXIA_OK;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        return exia__fail_errno(err, errno, "cannot make a temporary file in", folder);
    exia_status rc = exia__path_join(&path, folder, "exia-XXXXXX", err);
    if (rc == EXIA_OK && (*fd = mkostemp(path, O_CLOEXEC)) < 0)
        rc = exia__fail_errno(err, errno, "cannot make a temporary file in", folder);
    if (rc == EXIA_OK)
        unlink(path);
    exia__release(path);
    return rc;
}

static exia_status take_blob(unpacking *now, const char *member, uint64_t size, exia_error *err)
{
    char expected[EXIA__MEMBER_SIZE];
    const char *hex = exia__path_base(member);
    int fd = -1;
    if (!exia__hex_valid(hex))
        return exia__fail(err, EXIA_ECORRUPT, 0, "\"%.100s\" is no member of a backup", member);
    exia__bundle_blob_path(expected, hex);
    if (strcmp(member, expected) != 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "\"%.100s\" is no member of a backup", member);
    const json_t *wanted = json_object_get(now->how->wanted, hex);
    if (wanted == NULL)
        return EXIA_OK;
    if (size > (uint64_t)json_integer_value(wanted))
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has %llu bytes, its log says %llu", member,
                          (unsigned long long)size, (unsigned long long)json_integer_value(wanted));
    exia_status rc = open_temporary(&fd, err);
    if (rc == EXIA_OK)
        rc = read_data(now, NULL, fd, size, member, err);
    if (rc == EXIA_OK)
        rc = now->how->blob(hex, fd, size, now->how->payload, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status take_list(unpacking *now, const char *member, uint64_t size, exia_error *err)
{
    char *text = NULL;
    json_t *list = NULL;
    exia_status rc = read_text(&text, now, size, EXIA__BUNDLE_LIST_LIMIT, member, err);
    if (rc == EXIA_OK)
        rc = exia__bundle_list(&list, text, (size_t)size, err);
    if (rc == EXIA_OK)
        rc = now->how->list(list, now->how->payload, err);
    json_decref(list);
    exia__release(text);
    now->listed = 1;
    return rc;
}

static exia_status take_member(unpacking *now, struct archive_entry *entry, exia_error *err)
{
    const char *member = archive_entry_pathname(entry);
    if (member == NULL || !exia__text_valid(member, strlen(member)))
        return exia__fail(err, EXIA_ECORRUPT, 0, "a member has no valid name");
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != NULL ||
        archive_entry_symlink(entry) != NULL || !archive_entry_size_is_set(entry) ||
        archive_entry_size(entry) < 0 || archive_entry_sparse_count(entry) > 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%.100s is no plain file", member);
    if (now->listed)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%.100s comes behind the list", member);
    uint64_t size = (uint64_t)archive_entry_size(entry);
    if (strncmp(member, "logs/", 5) == 0)
        return take_log(now, member, size, err);
    exia_status rc = now->logs_ended ? EXIA_OK : now->how->logs_end(now->how->payload, err);
    now->logs_ended = 1;
    if (rc < 0)
        return rc;
    if (strncmp(member, "blobs/", 6) == 0)
        return take_blob(now, member, size, err);
    if (strcmp(member, "backup.json") == 0)
        return take_list(now, member, size, err);
    return exia__fail(err, EXIA_ECORRUPT, 0, "\"%.100s\" is no member of a backup", member);
}

exia_status exia__unbundle_archive(int fd, const exia__unbundling *how, int logs_only,
                                   exia__work *work, exia_error *err)
{
    unpacking now = {.how = how, .work = work, .archive = archive_read_new()};
    struct archive_entry *entry = NULL;
    int got = ARCHIVE_OK;
    exia_status rc = now.archive ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && (archive_read_support_format_tar(now.archive) != ARCHIVE_OK ||
                          archive_read_support_filter_zstd(now.archive) != ARCHIVE_OK ||
                          archive_read_open_fd(now.archive, fd, BLOCK) != ARCHIVE_OK))
        rc = fail_archive(now.archive, "cannot read", "the backup", err);
    while (rc == EXIA_OK && (got = archive_read_next_header(now.archive, &entry)) == ARCHIVE_OK) {
        const char *member = archive_entry_pathname(entry);
        if (logs_only && member != NULL && strncmp(member, "logs/", 5) != 0)
            break;
        rc = take_member(&now, entry, err);
    }
    if (rc == EXIA_OK && got != ARCHIVE_OK && got != ARCHIVE_EOF)
        rc = fail_archive(now.archive, "cannot read", "the backup", err);
    if (rc == EXIA_OK && !logs_only && !now.listed)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "it is not whole: its list is missing");
    archive_read_free(now.archive);
    return rc;
}
