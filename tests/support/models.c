/* Short ways to write and look at models. */
#include "support/models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "store/store.h"
#include "support/faulty.h"

exia_library *open_library(void)
{
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, check_path("library"), NULL, &err));
    return library;
}

const char *fresh_folder(void)
{
    static int count;
    check_in_memory();
    return check_path(check_format("%d", count++));
}

exia_library *open_faulty(const char *folder)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options,
                                    .blobs_url = check_format("faulty:file:%s/blobs", folder)};
    faulty_register();
    check_ok(exia__directory_make(folder, &err));
    check_ok(exia_library_open(&library, check_format("faulty:sqlite:%s/catalog.db", folder),
                               &options, &err));
    return library;
}

int64_t write_model(exia_library *library, const char *name, const char *bytes, const char *facts,
                    const char *alias, int64_t expect)
{
    int64_t version = -1;
    exia_part part = {.name = "model", .format = "bytes", .data = bytes, .size = strlen(bytes)};
    exia_write_options options = {
        .struct_size = sizeof options, .facts = facts, .alias = alias, .expect = expect};
    check_ok(exia_model_write(&version, library, name, &part, 1, &options, NULL, &err));
    return version;
}

const char *rows_text(exia_rows *rows)
{
    const char *all = "", *row = NULL;
    exia_status rc = EXIA_OK;
    while ((rc = exia_rows_next(&row, rows, &err)) == EXIA_OK)
        all = check_format("%s%s\n", all, row);
    assert_int_equal(rc, EXIA_DONE);
    exia_rows_free(rows);
    return all;
}

const char *found(exia_library *library, const char *filter)
{
    exia_rows *rows = NULL;
    const char *all = "", *row = NULL;
    check_ok(exia_library_search(&rows, library, filter, &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK) {
        json_t *object = json_loads(row, 0, NULL);
        assert_non_null(object);
        all = check_format("%s%s@%lld ", all, json_string_value(json_object_get(object, "name")),
                           (long long)json_integer_value(json_object_get(object, "version")));
        json_decref(object);
    }
    exia_rows_free(rows);
    return all;
}

int64_t selected(exia_library *library, const char *selector)
{
    exia_model *model = NULL;
    check_reset();
    exia_status rc = exia_model_open(&model, library, selector, 0, &err);
    if (rc < 0) {
        check_status(rc, rc, __FILE__, __LINE__);
        return rc;
    }
    json_t *facts = json_loads(exia_model_facts(model), 0, NULL);
    int64_t version = json_integer_value(json_object_get(facts, "version"));
    json_decref(facts);
    exia_model_free(model);
    return version;
}

const char *bytes_of(exia_library *library, const char *selector)
{
    exia_model *model = NULL;
    exia_view view;
    check_ok(exia_model_open(&model, library, selector, 0, &err));
    check_ok(exia_model_view(&view, model, NULL, &err));
    const char *bytes = check_format("%.*s", (int)view.size, (const char *)view.data);
    exia_model_free(model);
    return bytes;
}

static exia_status count_one(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                             exia_error *why)
{
    (void)key;
    (void)size;
    (void)modified_ms;
    (void)why;
    ++*(size_t *)payload;
    return EXIA_OK;
}

size_t count_blobs(void)
{
    exia__blobs *blobs = NULL;
    size_t count = 0;
    check_ok(exia__blobs_open(&blobs, check_format("file:%s", check_path("library/blobs")),
                              EXIA_STORE_READ, NULL, &err));
    check_ok(exia__blobs_list(blobs, "sha256/", count_one, &count, NULL, &err));
    exia__blobs_free(blobs);
    return count;
}
