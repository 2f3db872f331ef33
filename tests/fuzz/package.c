/* The whole reader, by position and as a stream: both agree; what is accepted unpacks into one
 * directory and nowhere else, and libarchive sees the same; what is not leaves nothing.  Also the
 * index alone. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/file.h"
#include "fuzz/fuzz.h"
#include "package/reader.h"
#include "support/forge.h"

static char arena_path[64];

static void remove_arena(void)
{
    (void)rmdir(arena_path);
}

/* An empty directory in memory, one for the process. */
static const char *arena(void)
{
    if (arena_path[0] == '\0') {
        snprintf(arena_path, sizeof arena_path, "%s/exia-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        FUZZ_CHECK(mkdtemp(arena_path) != NULL && atexit(remove_arena) == 0);
        setenv("EXIA_HOME", "/nonexistent", 1); /* nobody's keys */
    }
    return arena_path;
}

/* How many things lie in a directory, whatever they are. */
static size_t count_in(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;
    FUZZ_CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static int file_of(const uint8_t *data, size_t size)
{
    int fd = memfd_create("package", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static exia_status open_bytes(exia_package **out, const uint8_t *data, size_t size)
{
    exia_error err = {0};
    int fd = file_of(data, size);
    exia_status rc = exia__package_open_fd(out, fd, "a.veda", &err);
    close(fd);
    fuzz_check_error(rc, &err);
    FUZZ_CHECK(rc == EXIA_OK || rc == EXIA_ECORRUPT || rc == EXIA_EVERSION);
    FUZZ_CHECK((rc == EXIA_OK) == (*out != NULL));
    return rc;
}

/* libarchive reads the same members, in the same order, without a warning. */
static void compare_with_libarchive(const exia_package *package, const uint8_t *data, size_t size)
{
    static const char *const own[] = {EXIA__RECORD_PATH, EXIA__METADATA_PATH, EXIA__SIGNATURE_PATH};
    struct archive *archive = archive_read_new();
    struct archive_entry *found = NULL;
    size_t at = 0, count = package->entry_count, more = exia__package_signed(package) ? 3 : 2;
    FUZZ_CHECK(archive != NULL);
    archive_read_support_filter_zstd(archive);
    archive_read_support_format_tar(archive);
    FUZZ_CHECK(archive_read_open_memory(archive, data, size) == ARCHIVE_OK);
    for (; archive_read_next_header(archive, &found) == ARCHIVE_OK; at++) {
        FUZZ_CHECK(at < count + more);
        const char *path = archive_entry_pathname(found), *hard = archive_entry_hardlink(found);
        if (at >= count) {
            FUZZ_CHECK(strcmp(path, own[at - count]) == 0);
            continue;
        }
        const exia__entry *entry = &package->entries[at];
        size_t length = strlen(entry->path);
        FUZZ_CHECK(strncmp(path, entry->path, length) == 0);
        FUZZ_CHECK(strcmp(path + length, entry->type == 'd' ? "/" : "") == 0);
        FUZZ_CHECK((entry->type == 'h') == (hard != NULL));
        if (entry->type == 'h') {
            FUZZ_CHECK(strcmp(hard, entry->target) == 0);
            continue;
        }
        FUZZ_CHECK(archive_entry_filetype(found) == (entry->type == 'f'   ? AE_IFREG
                                                     : entry->type == 'd' ? AE_IFDIR
                                                                          : AE_IFLNK));
        FUZZ_CHECK((uint64_t)archive_entry_size(found) == entry->size);
        FUZZ_CHECK(archive_entry_perm(found) == entry->mode);
        if (entry->type == 'l')
            FUZZ_CHECK(strcmp(archive_entry_symlink(found), entry->target) == 0);
    }
    FUZZ_CHECK(at == count + more);
    FUZZ_CHECK(archive_errno(archive) == 0);
    archive_read_free(archive);
}

/* Nothing but the directory itself, and that only when all went well. */
static void check_and_remove(const char *target, exia_status rc)
{
    FUZZ_CHECK(count_in(arena()) == (rc == EXIA_OK));
    FUZZ_CHECK(exia__tree_remove(target, NULL) == EXIA_OK);
}

/* As a stream it is accepted or refused as it is by position. */
static void receive(const char *target, exia_status expected, const uint8_t *data, size_t size)
{
    exia_job alone = {.struct_size = sizeof alone, .threads = 1};
    exia_error err = {0};
    int fd = file_of(data, size);
    exia_status rc = exia_package_receive(NULL, fd, target, NULL, &alone, &err);
    close(fd);
    fuzz_check_error(rc, &err);
    FUZZ_CHECK((rc == EXIA_OK) == (expected == EXIA_OK));
    check_and_remove(target, rc);
}

void fuzz_package(const uint8_t *data, size_t size)
{
    exia_package *package = NULL;
    exia_error err = {0}, unpack_err = {0};
    exia_job alone = {.struct_size = sizeof alone, .threads = 1};
    char target[80];
    snprintf(target, sizeof target, "%s/out", arena());
    exia_status rc = open_bytes(&package, data, size);
    if (rc < 0) {
        receive(target, rc, data, size);
        return;
    }
    rc = exia_package_verify(package, NULL, &alone, &err);
    exia_status unpacked = exia_package_unpack(package, target, NULL, &alone, &unpack_err);
    fuzz_check_error(rc, &err);
    fuzz_check_error(unpacked, &unpack_err);
    FUZZ_CHECK(rc == EXIA_OK || rc == EXIA_ECORRUPT || rc == EXIA_EUNTRUSTED);
    /* a frame that is not what was written is verify's alone */
    FUZZ_CHECK(unpacked == rc || (unpacked == EXIA_OK && strstr(err.text, ": frame ") != NULL));
    check_and_remove(target, unpacked);
    receive(target, rc, data, size);
    if (rc == EXIA_OK)
        compare_with_libarchive(package, data, size);
    exia_package_free(package);
}

/* The input is what lies behind the frames of a good package. */
void fuzz_index(const uint8_t *data, size_t size)
{
    static forge f;
    static size_t frames;
    if (frames == 0) {
        forge_begin(&f);
        f.cut = EXIA__BLOCK;
        forge_file(&f);
        frames = f.file.size - f.frame_count * EXIA__TABLE_ENTRY - EXIA__SKIPPABLE_HEADER -
                 EXIA__TABLE_FOOTER;
    }
    exia_package *package = NULL;
    exia_rows *rows = NULL;
    exia_error err = {0};
    uint64_t at = 0;
    f.file.size = frames;
    FUZZ_CHECK(exia__buffer_append(&f.file, data, size, NULL) == EXIA_OK);
    if (open_bytes(&package, (uint8_t *)f.file.data, f.file.size) < 0)
        return;
    for (size_t i = 0; i < package->frame_count; i++) {
        FUZZ_CHECK(package->frames[i].offset == at);
        at += package->frames[i].size;
    }
    FUZZ_CHECK(at == frames);
    FUZZ_CHECK(exia_package_facts(package) != NULL);
    FUZZ_CHECK(exia_package_files(&rows, package, &err) == EXIA_OK);
    exia_rows_free(rows);
    exia_package_free(package);
}
