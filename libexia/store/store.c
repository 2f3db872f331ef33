/* What a person gives as a store: split into the URLs of its two sides, and looked at. */
#include "store/store.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "base/url.h"
#include "exia/store.h"
#include "store/driver.h"

/* SCHEME:DIRECTORY/NAME */
static exia_status side_url(char **out, const char *scheme, const char *directory, const char *name,
                            exia_error *err)
{
    char *path = NULL;
    exia_status rc = exia__path_join(&path, directory, name, err);
    if (rc == EXIA_OK)
        rc = exia__url_from_path(out, scheme, path, err);
    exia__release(path);
    return rc;
}

exia_status exia__store_urls(char **records, char **blobs, const char *url, exia_error *err)
{
    char *scheme = NULL, *its_records = NULL, *its_blobs = NULL;
    exia_status rc = EXIA_OK;
    if (records == NULL || blobs == NULL || url == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__store_urls: an argument is NULL");
    *records = *blobs = NULL;
    if (*url == '\0' || strpbrk(url, "\n\r") != NULL) {
        rc = exia__fail(err, EXIA_EINVAL, 0, "\"%.100s\" is no path or URL: it %s", url,
                        *url ? "has a line break" : "is empty");
        goto done;
    }
    rc = exia__url_scheme(&scheme, url, err);
    if (rc == EXIA_OK && scheme != NULL)
        rc = exia__text_copy(&its_records, url, err);
    if (rc == EXIA_OK && scheme == NULL)
        rc = side_url(&its_records, "sqlite", url, "catalog.db", err);
    if (rc == EXIA_OK && scheme == NULL)
        rc = side_url(&its_blobs, "file", url, "blobs", err);
    if (rc < 0)
        goto done;
    *records = its_records;
    *blobs = its_blobs;
    its_records = its_blobs = NULL;
done:
    exia__release(scheme);
    exia__release(its_records);
    exia__release(its_blobs);
    return rc;
}

/* The row {key, value}; takes `value`. */
static exia_status add_row(exia_rows *rows, const char *key, json_t *value, exia_error *err)
{
    json_t *row = json_object();
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "key", json_string(key), err);
    if (rc == EXIA_OK) {
        rc = exia__json_set(row, "value", value, err);
        value = NULL;
    }
    if (rc == EXIA_OK)
        rc = exia__rows_add(rows, row, err);
    json_decref(value);
    json_decref(row);
    return rc;
}

static exia_status add_found(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *err)
{
    json_t *value = NULL;
    (void)revision;
    exia_status rc =
        exia__json_parse(&value, json, strlen(json), "a driver's fact", EXIA_ECORRUPT, err);
    return rc < 0 ? rc : add_row(payload, key, value, err);
}

static exia_status check_side(exia_rows *rows, const char *url, exia_error *err)
{
    exia__store store = {0};
    const exia_driver *driver = NULL;
    char *shown = NULL;
    exia_status rc = exia__driver_find(&driver, url, err);
    if (rc < 0)
        return rc;
    rc = exia__store_open(&store, url, driver->blobs ? EXIA__BLOBS : EXIA__RECORDS, EXIA_STORE_READ,
                          NULL, err);
    if (rc < 0)
        return rc;
    rc = exia__url_redact(&shown, url, err);
    if (rc == EXIA_OK)
        rc = add_row(rows, "url", json_string(shown), err);
    if (rc == EXIA_OK)
        rc = add_row(rows, "driver", json_string(driver->name), err);
    if (rc == EXIA_OK)
        rc = add_row(rows, "blobs", json_boolean(driver->blobs != NULL), err);
    if (rc == EXIA_OK)
        rc = add_row(rows, "records", json_boolean(driver->records != NULL), err);
    if (rc == EXIA_OK)
        rc = driver->check(store.self, add_found, rows, err);
    exia__store_close(&store);
    exia__release(shown);
    return rc;
}

exia_status exia_store_check(exia_rows **out, const char *url, exia_error *err)
{
    exia_rows *rows = NULL;
    char *records = NULL, *blobs = NULL;
    if (out == NULL || url == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_store_check: an argument is NULL");
    *out = NULL;
    exia_status rc = exia__store_urls(&records, &blobs, url, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    if (rc == EXIA_OK)
        rc = check_side(rows, records, err);
    if (rc == EXIA_OK && blobs != NULL)
        rc = check_side(rows, blobs, err);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    exia__release(records);
    exia__release(blobs);
    return rc;
}
