/* Opening a library: two stores that belong together.  The records carry an id (library/id), the blobs
 * carry it too (library-id), and a pair that does not match is never written to: a collector that took
 * one for the other would remove every blob. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/trust.h"
#include "base/url.h"
#include "model/library.h"

exia_status exia__library_lock(exia_library *library, exia_error *err)
{
    /* before the lock: in a forked child another thread may hold it for ever */
    if (library->generation != exia__generation())
        return exia__fail(err, EXIA_ECLOSED, 0,
                          "the library was opened before a fork: open it again in the child");
    pthread_mutex_lock(&library->mutex);
    return EXIA_OK;
}

void exia__library_unlock(exia_library *library)
{
    pthread_mutex_unlock(&library->mutex);
}

/* ---- the id --------------------------------------------------------------------------------- */

static const char id_blob[] = "library-id";

/* The id of the records; EXIA_ENOTFOUND: there is none yet. */
static exia_status read_record_id(exia_library *library, exia_error *err)
{
    char *text = NULL;
    json_t *record = NULL;
    exia_status rc = exia__records_get(&text, NULL, library->records, "library", "id", NULL, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&record, text, strlen(text), "the record library/id", EXIA_ECORRUPT,
                               err);
    if (rc == EXIA_OK) {
        json_int_t format = json_integer_value(json_object_get(record, "format"));
        const char *id = exia__json_string(record, "id");
        if (format > 1)
            rc = exia__fail(err, EXIA_EVERSION, 0, "the library is of format %lld",
                            (long long)format);
        else if (format != 1 || id == NULL || *id == '\0' || strlen(id) >= EXIA__TOKEN_SIZE)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "the record library/id is not valid");
        else
            rc = exia__text_copy(&library->id, id, err);
    }
    json_decref(record);
    exia__release(text);
    return rc;
}

static exia_status note_entry(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *err)
{
    (void)key;
    (void)json;
    (void)revision;
    (void)err;
    *(int *)payload = 1;
    return EXIA_DONE;
}

/* Where nothing is in a log yet, all that is derived from it is there: that is said in one step with
 * the id, and a batch keeps it so. */
static exia_status write_record_id(exia_library *library, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE], id[128];
    const exia_put puts[] = {
        {.kind = "library", .key = "id", .json = id, .expect = EXIA_ABSENT},
        {.kind = "library", .key = "derived", .json = "{\"format\":1}", .expect = EXIA_ABSENT}};
    int used = 0;
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = exia__records_scan(library->records, "log", NULL, NULL, 1, NULL, note_entry, &used,
                                NULL, err);
    if (rc < 0)
        return rc;
    snprintf(id, sizeof id, "{\"format\":1,\"id\":\"%s\"}", token);
    rc = exia__records_batch(library->records, puts,
                             exia__records_can_batch(library->records) && !used ? 2 : 1, NULL, err);
    if (rc == EXIA_ECONFLICT) /* somebody was faster */
        rc = exia__forgive(err);
    return rc == EXIA_OK ? read_record_id(library, err) : rc;
}

/* The id of the blobs, "" where there is none. */
static exia_status read_blob_id(char id[EXIA__TOKEN_SIZE], exia_library *library, exia_error *err)
{
    uint64_t size = 0;
    memset(id, 0, EXIA__TOKEN_SIZE);
    exia_status rc = exia__blobs_stat(&size, NULL, library->blobs, id_blob, NULL, err);
    if (rc == EXIA_OK && (size == 0 || size >= EXIA__TOKEN_SIZE))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s is not valid", id_blob);
    if (rc == EXIA_OK)
        rc = exia__blob_read(id, size, library->blobs, id_blob, NULL, err);
    return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
}

static exia_status check_id(const exia_library *library, const char *blob_id, exia_error *err)
{
    if (strcmp(library->id, blob_id) == 0)
        return EXIA_OK;
    return exia__fail(err, EXIA_ECONFLICT, 0,
                      "the blobs belong to another library (%.32s, the records are of %.32s): give "
                      "the URL of its own blobs, or open it read-only",
                      blob_id, library->id);
}

exia_status exia__library_check_id(exia_library *library, exia_error *err)
{
    char blob_id[EXIA__TOKEN_SIZE];
    exia_status rc = read_blob_id(blob_id, library, err);
    if (rc == EXIA_OK && (library->id == NULL || blob_id[0] == '\0'))
        rc = exia__fail(err, EXIA_ECONFLICT, 0,
                        "nothing says that the blobs belong to this library: the %s is missing",
                        library->id ? "blob library-id" : "record library/id");
    return rc == EXIA_OK ? check_id(library, blob_id, err) : rc;
}

/* The blob is read first: it is written last, so where it is, the record is too. */
static exia_status identify(exia_library *library, exia_error *err)
{
    char blob_id[EXIA__TOKEN_SIZE] = "";
    exia_status rc = library->read_only ? EXIA_OK : read_blob_id(blob_id, library, err);
    if (rc < 0)
        return rc;
    rc = read_record_id(library, err);
    if (library->read_only)
        return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc; /* somebody is creating it now */
    if (rc == EXIA_ENOTFOUND && blob_id[0] != '\0')
        return exia__fail(err, EXIA_ECONFLICT, 0,
                          "the blobs belong to another library (%.32s), the records are new: give "
                          "blobs that are new too",
                          blob_id);
    if (rc == EXIA_ENOTFOUND) {
        exia__forgive(err);
        rc = write_record_id(library, err);
    }
    if (rc == EXIA_OK && blob_id[0] == '\0') {
        exia_source source = exia__source_memory(library->id, strlen(library->id));
        rc = exia__blobs_put(library->blobs, id_blob, &source, NULL, err);
        if (rc == EXIA_EEXISTS)
            rc = exia__forgive(err);
        if (rc == EXIA_OK)
            rc = read_blob_id(blob_id, library, err);
    }
    return rc == EXIA_OK ? check_id(library, blob_id, err) : rc;
}

/* ---- open ----------------------------------------------------------------------------------- */

/* Could others have written what lies in a directory library?  Its catalogue files and the folder of
 * its blobs are asked here; a blob is asked again when it is opened. */
static exia_status look_inside(char **why, const char *directory, exia_error *err)
{
    char *path = NULL;
    exia_status rc = exia__trust_path(why, directory, err);
    if (rc < 0 || *why != NULL)
        return rc;
    DIR *listing = opendir(directory);
    if (listing == NULL)
        return exia__fail_errno(err, errno, "cannot read", directory);
    const struct dirent *entry = NULL;
    while (rc == EXIA_OK && *why == NULL && (errno = 0, entry = readdir(listing)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        rc = exia__path_join(&path, directory, entry->d_name, err);
        if (rc == EXIA_OK)
            rc = exia__trust_path(why, path, err);
        if (rc == EXIA_ENOTFOUND)
            rc = exia__forgive(err); /* a temporary file of a writer, gone meanwhile */
        exia__release(path);
        path = NULL;
    }
    if (rc == EXIA_OK && *why == NULL && entry == NULL && errno != 0)
        rc = exia__fail_errno(err, errno, "cannot read", directory);
    closedir(listing);
    return rc;
}

static exia_status open_stores(exia_library *library, const char *url,
                               const exia_library_options *options, exia_error *err)
{
    int mode = options->read_only ? EXIA_STORE_READ : EXIA_STORE_WRITE;
    char *records = NULL, *blobs = NULL, *scheme = NULL;
    exia_status rc = exia__url_scheme(&scheme, url, err);
    if (rc == EXIA_OK && scheme == NULL && !options->read_only)
        rc = exia__directory_make(url, err);
    if (rc == EXIA_OK)
        rc = exia__store_urls(&records, &blobs, url, err);
    if (rc == EXIA_OK && blobs == NULL && options->blobs_url == NULL) {
        /* an unknown scheme is the better word; nothing is created to find that out */
        rc = exia__records_open(&library->records, records, EXIA_STORE_READ, NULL, err);
        if (rc != EXIA_EINVAL && rc != EXIA_EUNSUPPORTED && rc != EXIA_ENOMEM)
            rc = exia__fail(err, EXIA_EINVAL, 0,
                            "a library at a records URL needs blobs_url, where its files are kept");
    }
    if (rc == EXIA_OK) {
        rc = exia__records_open(&library->records, records, mode, NULL, err);
        if (rc == EXIA_ENOTFOUND && scheme == NULL && err != NULL && err->native == ENOENT)
            rc = exia__fail(err, rc, ENOENT,
                            "there is no model library in %s yet: the first write makes it", url);
    }
    if (rc == EXIA_OK && !exia__records_can_put(library->records))
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0,
                        "these records cannot promise an atomic step, which a library needs");
    if (rc == EXIA_OK)
        rc = exia__blobs_open(&library->blobs, options->blobs_url ? options->blobs_url : blobs,
                              mode, NULL, err);
    if (rc == EXIA_OK)
        rc = identify(library, err);
    if (rc == EXIA_OK)
        rc = scheme == NULL
                 ? look_inside(&library->untrusted, url, err)
                 : exia__text_copy(&library->untrusted,
                                   "the records are behind a URL, where others may write", err);
    exia__release(records);
    exia__release(blobs);
    exia__release(scheme);
    return rc;
}

exia_status exia_library_open(exia_library **out, const char *url,
                              const exia_library_options *options, exia_error *err)
{
    exia_library_options ours;
    char *home = NULL, *standard = NULL;
    exia_library *library = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_open: out is NULL");
    *out = NULL;
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK && url != NULL && *url == '\0')
        rc = exia__fail(err, EXIA_EINVAL, 0, "the URL of the library is empty");
    if (rc == EXIA_OK && url == NULL) {
        rc = exia__home(&home, NULL, err);
        if (rc == EXIA_OK)
            rc = exia__path_join(&standard, home, "models", err);
        url = standard;
    }
    if (rc < 0)
        goto done;
    library = exia__zeroed(1, sizeof *library);
    if (library == NULL || (library->fold_index = json_object()) == NULL ||
        pthread_mutex_init(&library->mutex, NULL) != 0) {
        rc = exia__fail_memory(err);
        goto done;
    }
    library->has_mutex = 1;
    library->seen_mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    library->read_only = ours.read_only != 0;
    library->generation = exia__generation();
    rc = exia__who(&library->who, err);
    if (rc == EXIA_OK && ours.trust_file != NULL)
        rc = exia__text_copy(&library->trust_file, ours.trust_file, err);
    if (rc == EXIA_OK)
        rc = open_stores(library, url, &ours, err);
    if (rc == EXIA_OK) {
        *out = library;
        library = NULL;
    }
done:
    exia_library_free(library);
    exia__release(standard);
    exia__release(home);
    return rc;
}

void exia_library_free(exia_library *library)
{
    if (library == NULL)
        return;
    for (size_t i = 0; i < library->fold_count; i++)
        exia__fold_free(library->folds[i]);
    exia__release(library->folds);
    exia__version_forget(library, NULL, 0);
    exia__seen_free(library);
    json_decref(library->fold_index);
    exia__records_free(library->records);
    exia__blobs_free(library->blobs);
    if (library->has_mutex) {
        pthread_mutex_destroy(&library->mutex);
        pthread_mutex_destroy(&library->seen_mutex);
    }
    exia__release(library->id);
    exia__release(library->who);
    exia__release(library->trust_file);
    exia__release(library->untrusted);
    exia__release(library);
}
