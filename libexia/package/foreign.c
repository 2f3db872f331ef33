/* Archives of others, read by libarchive.  It says what the members are and gives their content; where
 * anything goes is decided here, by the functions and the rules of packages.  Links are made when all
 * members are known and checked, so nothing is ever written through one. */
#include "package/foreign.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "package/format.h"
#include "package/place.h"

enum { BLOCK = 128 << 10 };

typedef struct foreign {
    struct archive *archive;
    const char *file;
    exia__place place;
    exia__work *work;
    exia__entry *entries; /* each with its texts behind `path` */
    size_t count, capacity;
    char *parent;        /* of the member before */
    uint64_t done, free; /* bytes of files */
} foreign;

static exia_status fail_archive(const foreign *f, exia_error *err)
{
    const char *text = archive_error_string(f->archive);
    int code = archive_errno(f->archive);
    if (code == ENOMEM)
        return exia__fail_memory(err);
    if (code == EIO)
        return exia__fail_errno(err, code, "cannot read", f->file);
    if (f->count == 0) /* not one member was found */
        return exia__fail(err, EXIA_EINVAL, code, "%s is no .tar, .tar.gz, .tar.zst or .zip: %s",
                          f->file, text ? text : "it is damaged");
    return exia__fail(err, EXIA_ECORRUPT, code, "cannot read %s: %s", f->file,
                      text ? text : "it is damaged");
}

static exia_status refuse(const foreign *f, const char *path, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_EINVAL, 0, "%s: the member \"%.100s\" %s", f->file, path, why);
}

/* "./a/b/" as "a/b"; its size. */
static const char *plain_path(const char *path, size_t *size)
{
    while (path[0] == '.' && path[1] == '/')
        path += 2 + strspn(path + 2, "/");
    *size = strlen(path);
    while (*size > 1 && path[*size - 1] == '/')
        --*size;
    if (*size == 1 && path[0] == '.')
        *size = 0;
    return path;
}

/* Path and target in one piece of memory. */
static exia_status add_entry(foreign *f, exia__entry entry, const char *path, size_t size,
                             exia_error *err)
{
    size_t more = entry.target ? strlen(entry.target) : 0;
    exia_status rc = exia__grow(&f->entries, &f->capacity, f->count + 1, sizeof *f->entries, err);
    char *texts = rc == EXIA_OK ? exia__resize(NULL, size + more + 2) : NULL;
    if (rc == EXIA_OK && texts == NULL)
        rc = exia__fail_memory(err);
    if (rc < 0)
        return rc;
    memcpy(texts, path, size);
    texts[size] = '\0';
    memcpy(texts + size + 1, entry.target ? entry.target : "", more + 1);
    entry.path = texts;
    entry.target = entry.target ? texts + size + 1 : NULL;
    f->entries[f->count++] = entry;
    return f->count <= EXIA__MOST_MEMBERS
               ? EXIA_OK
               : exia__fail(err, EXIA_EINVAL, 0, "%s has more than 16000000 members", f->file);
}

/* One that is there already is no failure: archives list directories twice, late or never. */
static exia_status make_directory(foreign *f, const char *path, int *made, exia_error *err)
{
    exia_status rc = exia__place_directory(&f->place, path, err);
    *made = rc == EXIA_OK;
    return rc == EXIA_EEXISTS ? exia__forgive(err) : rc;
}

/* The directories above a path; those of the member before are there. */
static exia_status make_parents(foreign *f, const char *path, exia_error *err)
{
    const exia__entry directory = {.type = 'd', .mode = 0755};
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    exia_status rc = EXIA_OK;
    int made = 0;
    if (slash == NULL ||
        (f->parent != NULL && strlen(f->parent) == size && memcmp(f->parent, path, size) == 0))
        return EXIA_OK;
    exia__release(f->parent);
    f->parent = NULL;
    rc = exia__text_copy_n(&f->parent, path, size, err);
    for (size_t at = 1; rc == EXIA_OK && at <= size; at++) {
        if (path[at] != '/')
            continue;
        f->parent[at] = '\0';
        rc = make_directory(f, f->parent, &made, err);
        if (rc == EXIA_OK && made)
            rc = add_entry(f, directory, path, at, err);
        f->parent[at] = path[at];
    }
    if (f->parent != NULL)
        f->parent[size] = '\0';
    return rc;
}

static exia_status copy_content(foreign *f, int fd, const char *path, uint64_t *size,
                                exia_error *err)
{
    const void *data = NULL;
    size_t more = 0;
    la_int64_t at = 0;
    int got = ARCHIVE_OK;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK &&
           (got = archive_read_data_block(f->archive, &data, &more, &at)) == ARCHIVE_OK) {
        if (at < 0 || (uint64_t)at + more > f->free)
            return exia__fail(err, EXIA_ENOSPACE, 0, "%s: \"%.100s\" is larger than what is free",
                              f->file, path);
        rc = exia__place_bytes(fd, &f->place, path, data, more, (uint64_t)at, err);
        *size = (uint64_t)at + more > *size ? (uint64_t)at + more : *size;
        if (rc == EXIA_OK)
            rc = exia__work_step(f->work, "unpacking", f->done + *size, 0, err);
    }
    return rc == EXIA_OK && got != ARCHIVE_EOF ? fail_archive(f, err) : rc;
}

static exia_status take_file(foreign *f, struct archive_entry *from, const char *path,
                             exia__entry *entry, exia_error *err)
{
    uint64_t told = archive_entry_size_is_set(from) ? (uint64_t)archive_entry_size(from) : 0;
    int fd = -1;
    if (archive_entry_is_encrypted(from))
        return refuse(f, path, "is encrypted", err);
    if (told > f->free)
        return exia__fail(err, EXIA_ENOSPACE, 0, "%s: \"%.100s\" is larger than what is free",
                          f->file, path);
    entry->mode = (entry->mode & EXIA__MODES) | 0600;
    exia_status rc = exia__place_file(&fd, &f->place, path, entry->mode, err);
    if (rc == EXIA_EEXISTS)
        return refuse(f, path, "is there twice", err);
    if (rc < 0)
        return rc;
    rc = copy_content(f, fd, path, &entry->size, err);
    if (rc == EXIA_OK && told > entry->size) { /* a hole at the end */
        entry->size = told;
        rc = exia__place_size(fd, &f->place, path, told, err);
    }
    f->done += entry->size;
    f->free -= entry->size < f->free ? entry->size : f->free;
    exia_status ended = exia__place_file_end(fd, &f->place, path, entry->mode, rc < 0 ? NULL : err);
    return rc < 0 ? rc : ended;
}

static exia_status take_member(foreign *f, struct archive_entry *from, exia_error *err)
{
    exia__entry entry = {.mode = archive_entry_perm(from)};
    const char *given = archive_entry_pathname(from), *target = archive_entry_hardlink(from);
    char *path = NULL;
    size_t size = 0;
    int made = 0;
    if (given == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "%s has a member whose name cannot be read",
                          f->file);
    given = plain_path(given, &size);
    entry.type = target != NULL                             ? 'h'
                 : archive_entry_filetype(from) == AE_IFREG ? 'f'
                 : archive_entry_filetype(from) == AE_IFDIR ? 'd'
                 : archive_entry_filetype(from) == AE_IFLNK ? 'l'
                                                            : '?';
    if (size == 0 && entry.type == 'd') /* the top itself */
        return EXIA_OK;
    exia_status rc = exia__text_copy_n(&path, given, size, err);
    const char *why = rc == EXIA_OK ? exia__path_fault(path) : NULL;
    if (why == NULL && entry.type == '?')
        why = "is no file, directory or link: no package carries it";
    if (rc == EXIA_OK && why != NULL)
        rc = refuse(f, path, why, err);
    if (rc == EXIA_OK)
        rc = make_parents(f, path, err);
    if (rc == EXIA_OK && entry.type == 'f')
        rc = take_file(f, from, path, &entry, err);
    if (rc == EXIA_OK && entry.type == 'd') {
        entry.mode = (entry.mode & EXIA__MODES) | 0700;
        rc = make_directory(f, path, &made, err);
    }
    if (entry.type == 'h')
        entry.target = plain_path(target, &size);
    if (entry.type == 'l') {
        entry.mode = 0777;
        entry.target = archive_entry_symlink(from);
        entry.target = entry.target ? entry.target : "";
    }
    if (rc == EXIA_OK)
        rc = add_entry(f, entry, path, strlen(path), err);
    exia__release(path);
    return rc;
}

static exia_status take_members(foreign *f, exia_error *err)
{
    struct archive_entry *entry = NULL;
    exia_status rc = EXIA_OK;
    int got = ARCHIVE_OK;
    while (rc == EXIA_OK && (got = archive_read_next_header(f->archive, &entry)) >= ARCHIVE_WARN &&
           got != ARCHIVE_EOF) {
        rc = take_member(f, entry, err);
        if (rc == EXIA_OK)
            rc = exia__work_step(f->work, "unpacking", f->done, 0, err);
    }
    return rc < 0 || got == ARCHIVE_EOF ? rc : fail_archive(f, err);
}

static int in_path_order(const void *a, const void *b)
{
    const exia__entry *one = a, *other = b;
    int order = exia__path_order(one->path, other->path);
    return order != 0 ? order : (one->path > other->path) - (one->path < other->path);
}

/* Sorted, and of directories that are listed twice one is left. */
static void sort_entries(foreign *f)
{
    size_t kept = 0;
    if (f->count > 0)
        qsort(f->entries, f->count, sizeof *f->entries, in_path_order);
    for (size_t i = 0; i < f->count; i++) {
        if (kept > 0 && f->entries[i].type == 'd' && f->entries[kept - 1].type == 'd' &&
            strcmp(f->entries[kept - 1].path, f->entries[i].path) == 0)
            exia__release((char *)f->entries[i].path);
        else
            f->entries[kept++] = f->entries[i];
    }
    f->count = kept;
}

/* Hard links, which are files for all that follows, whichever of them comes first. */
static exia_status link_files(foreign *f, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < f->count; i++) {
        exia__entry *entry = &f->entries[i];
        if (entry->type != 'h')
            continue;
        size_t size = strlen(entry->target);
        const exia__entry *file = exia__entry_find(f->entries, f->count, entry->target, size);
        if (file == NULL || file->type != 'f')
            return refuse(f, entry->path, "is a hard link to no file in the archive", err);
        entry->mode = file->mode;
        rc = exia__place_hard_link(&f->place, entry->path, file->path, err);
        if (rc == EXIA_EEXISTS)
            rc = refuse(f, entry->path, "is there twice", err);
    }
    for (size_t i = 0; i < f->count; i++)
        f->entries[i].type = f->entries[i].type == 'h' ? 'f' : f->entries[i].type;
    return rc;
}

static exia_status finish(foreign *f, exia_error *err)
{
    sort_entries(f);
    exia_status rc = link_files(f, err);
    if (rc == EXIA_OK)
        rc = exia__entries_check(f->entries, f->count, EXIA_EINVAL, err);
    if (rc == EXIA_EINVAL)
        rc = exia__prefix(err, rc, "%s", f->file);
    for (size_t i = 0; rc == EXIA_OK && i < f->count; i++) {
        if (f->entries[i].type == 'l')
            rc = exia__place_link(&f->place, f->entries[i].path, f->entries[i].target, err);
    }
    for (size_t i = f->count; rc == EXIA_OK && i-- > 0;) {
        if (f->entries[i].type == 'd')
            rc = exia__place_mode(&f->place, f->entries[i].path, f->entries[i].mode, err);
    }
    return rc;
}

static exia_status open_archive(foreign *f, int fd, exia_error *err)
{
    struct statvfs info;
    if (fstatvfs(f->place.root, &info) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return exia__fail_errno(err, errno, "cannot unpack", f->file);
    f->free = info.f_blocks == 0 ? INT64_MAX : (uint64_t)info.f_bavail * info.f_frsize;
    f->archive = archive_read_new();
    if (f->archive == NULL)
        return exia__fail_memory(err);
    if (archive_read_support_filter_gzip(f->archive) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(f->archive) != ARCHIVE_OK ||
        archive_read_support_format_tar(f->archive) != ARCHIVE_OK ||
        archive_read_support_format_zip(f->archive) != ARCHIVE_OK)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "this libarchive cannot read archives: %s",
                          archive_error_string(f->archive));
    return archive_read_open_fd(f->archive, fd, BLOCK) == ARCHIVE_OK ? EXIA_OK
                                                                     : fail_archive(f, err);
}

exia_status exia__foreign_unpack(int fd, const char *file, int root, exia__work *work,
                                 exia_error *err)
{
    foreign f = {.file = file, .place = exia__place_open(root, file), .work = work};
    /* names are bytes: in the locale C libarchive would lose those of others; for this thread alone */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
    exia_status rc = open_archive(&f, fd, err);
    if (rc == EXIA_OK)
        rc = take_members(&f, err);
    if (rc == EXIA_OK)
        rc = finish(&f, err);
    archive_read_free(f.archive);
    if (utf8 != (locale_t)0) {
        uselocale(before);
        freelocale(utf8);
    }
    for (size_t i = 0; i < f.count; i++)
        exia__release((char *)f.entries[i].path);
    exia__release(f.entries);
    exia__release(f.parent);
    exia__place_close(&f.place);
    return rc;
}

size_t exia__foreign_stem(const char *name)
{
    static const char *const ends[] = {".tar.gz", ".tar.zst", ".tgz", ".tzst", ".tar", ".zip"};
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        if (size > end && strcmp(name + size - end, ends[i]) == 0)
            return size - end;
    }
    return size;
}

const char *exia__foreign_kind(const void *bytes, size_t size)
{
    static const struct {
        size_t at, size;
        const char *bytes, *kind;
    } known[] = {
        {0, 4, "PK\3\4", "a .zip archive"},
        {0, 2, "\x1f\x8b", "a .gz file"},
        {257, 5, "ustar", "a .tar archive"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (size >= known[i].at + known[i].size &&
            memcmp((const char *)bytes + known[i].at, known[i].bytes, known[i].size) == 0)
            return known[i].kind;
    }
    return NULL;
}
