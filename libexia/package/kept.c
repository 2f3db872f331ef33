/* RECORD kept with what was unpacked, where tar puts it, too: so a directory can be compared with it when
 * the package's file is gone.  Its SHA-256 is the digest of the package, so whoever knows that knows
 * whether to believe it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/place.h"
#include "package/reader.h"

exia_status exia__package_record(char **out, size_t *size, const exia_package *package,
                                 exia_error *err)
{
    exia__buffer text = {0};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < package->entry_count; i++)
        rc = exia__record_line(&text, &package->entries[i], err);
    *size = text.size;
    if (rc == EXIA_OK)
        rc = exia__buffer_take(out, &text, err);
    exia__buffer_free(&text);
    return rc;
}

exia_status exia__record_keep(const exia_package *package, int root, const char *directory,
                              exia_error *err)
{
    exia__place place = exia__place_open(root, directory);
    char *text = NULL;
    size_t size = 0;
    int fd = -1;
    exia_status rc = exia__package_record(&text, &size, package, err);
    if (rc == EXIA_OK)
        rc = exia__place_directory(&place, EXIA__RECORD_FOLDER, err);
    if (rc == EXIA_OK)
        rc = exia__place_file(&fd, &place, EXIA__RECORD_PATH, 0644, err);
    if (rc == EXIA_OK)
        rc = exia__place_bytes(fd, &place, EXIA__RECORD_PATH, text, size, 0, err);
    if (rc == EXIA_OK) {
        rc = exia__place_file_end(fd, &place, EXIA__RECORD_PATH, 0644, err);
        fd = -1;
    }
    if (rc == EXIA_OK)
        rc = exia__place_mode(&place, EXIA__RECORD_FOLDER, 0755, err);
    if (fd >= 0)
        close(fd);
    exia__place_close(&place);
    exia__release(text);
    return rc;
}

exia_status exia__record_kept(char **out, size_t *size, const char *directory, const char *digest,
                              exia_error *err)
{
    char *path = NULL, hex[EXIA__HEX_SIZE];
    exia_status rc = exia__path_join(&path, directory, EXIA__RECORD_PATH, err);
    *out = NULL;
    if (rc == EXIA_OK)
        rc = exia__file_read(out, size, path, EXIA__MOST_RECORD, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, *out, *size, err);
    if (rc == EXIA_OK && strcmp(hex, digest) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s is not the record of this package", path);
    if (rc < 0) {
        exia__release(*out);
        *out = NULL;
    }
    exia__release(path);
    return rc;
}
