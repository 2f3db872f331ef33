/* The library of the deeds has a model "m" of three versions and an alias with a history, a model
 * "other" that shares a blob with it, and parts of both kinds: files and bytes inside an entry. */
#include "support/deeds.h"

#include <unistd.h>

#include "base/file.h"

#include "support/models.h"

enum { LARGE = 20000 };

static const char *beside(const char *folder, const char *name)
{
    return check_format("%s/%s", folder, name);
}

static const char *large_bytes(char letter)
{
    static char bytes[LARGE];
    memset(bytes, letter, sizeof bytes);
    return bytes;
}

/* ---- deeds ----------------------------------------------------------------------------------- */

static exia_status publish(exia_library *library, const char *name, const exia_part *parts,
                           size_t count, const char *facts, const char *alias, const char *token,
                           exia_error *error)
{
    int64_t version = 0;
    exia_write_options options = {.struct_size = sizeof options,
                                  .facts = facts,
                                  .alias = alias,
                                  .expect = EXIA_ANY,
                                  .token = token};
    return exia_model_write(&version, library, name, parts, count, &options, NULL, error);
}

static exia_status open_and_close(exia_library *library, const char *folder, exia_error *error)
{
    (void)library, (void)folder, (void)error;
    return EXIA_OK;
}

static exia_status publish_file(exia_library *library, const char *folder, exia_error *error)
{
    exia_part part = {.name = "file", .format = "file", .path = beside(folder, "file")};
    return publish(library, "m", &part, 1,
                   "{\"metrics\":{\"auc\":0.7},\"environment\":{\"python\":\"3.12\"}}", NULL,
                   "once", error);
}

static exia_status publish_within(exia_library *library, const char *folder, exia_error *error)
{
    exia_part part = {.name = "small", .format = "bytes", .data = "some bytes", .size = 10};
    (void)folder;
    return publish(library, "m", &part, 1, "{\"tags\":{\"team\":\"cv\"}}", NULL, "once", error);
}

static exia_status publish_what_is_there(exia_library *library, const char *folder,
                                         exia_error *error)
{
    exia_part part = {.name = "model", .format = "bytes", .data = large_bytes('b'), .size = LARGE};
    (void)folder;
    return publish(library, "m", &part, 1, NULL, NULL, "once", error);
}

static exia_status publish_with_alias(exia_library *library, const char *folder, exia_error *error)
{
    exia_part parts[] = {
        {.name = "model", .format = "bytes", .data = large_bytes('c'), .size = LARGE},
        {.name = "small", .format = "bytes", .data = "c", .size = 1},
    };
    (void)folder;
    return publish(library, "m", parts, 2, "{\"metrics\":{\"auc\":0.9}}", "live", "once", error);
}

static exia_status publish_first(exia_library *library, const char *folder, exia_error *error)
{
    exia_part part = {.name = "model", .format = "bytes", .data = large_bytes('n'), .size = LARGE};
    (void)folder;
    return publish(library, "new", &part, 1, NULL, "live", "once", error);
}

static exia_status move_alias(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_alias_move(library, "m", "live", 1, 3, "back to the first", error);
}

static exia_status take_alias_away(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_alias_move(library, "m", "live", EXIA_ABSENT, 3, NULL, error);
}

static exia_status roll_back(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_alias_rollback(NULL, library, "m", "live", 3, NULL, error);
}

static exia_status remove_version(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_model_remove(library, "m", 2, "too old", error);
}

static exia_status export_version(exia_library *library, const char *folder, exia_error *error)
{
    return exia_library_export(library, "m@live", beside(folder, "plain"), NULL, error);
}

static exia_status collect(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return deeds_gc(library, 0, error);
}

static exia_status retain(exia_library *library, const char *folder, exia_error *error)
{
    exia_rows *rows = NULL;
    exia_retain_options options = {.struct_size = sizeof options, .apply = 1};
    (void)folder;
    exia_status rc = exia_library_retain(&rows, library, "{\"last\":1}", &options, NULL, error);
    exia_rows_free(rows);
    return rc;
}

/* ---- where they begin ------------------------------------------------------------------------ */

void deeds_prepare(const char *folder)
{
    exia_library *library = NULL;
    exia_part parts[] = {
        {.name = "model", .format = "bytes", .data = large_bytes('a'), .size = LARGE},
        {.name = "small", .format = "bytes", .data = "x", .size = 1},
    };
    check_write_file(beside(folder, "file"), large_bytes('f'), LARGE);
    check_ok(exia_library_open(&library, beside(folder, "library"), NULL, &err));
    check_ok(publish(library, "m", parts, 2, "{\"metrics\":{\"auc\":0.5}}", "live", NULL, &err));
    parts[0].data = large_bytes('b');
    check_ok(publish(library, "m", parts, 1,
                     "{\"metrics\":{\"auc\":0.8},\"environment\":{\"python\":\"3.11\"}}", "live",
                     NULL, &err));
    check_ok(publish(library, "other", parts, 1, NULL, NULL, NULL, &err));
    check_ok(publish(library, "m", parts + 1, 1, "{\"metrics\":{\"auc\":0.6},\"parent\":2}", "live",
                     NULL, &err));
    parts[0].data = large_bytes('d'); /* a blob that dies */
    check_ok(publish(library, "other", parts, 1, NULL, NULL, NULL, &err));
    check_ok(exia_model_remove(library, "other", 2, NULL, &err));
    exia_library_free(library);
}

/* What older versions wrote. */
static void prepare_upgrade(const char *folder)
{
    check_ok(exia__tree_copy("tests/golden/schema-1/home/models", beside(folder, "library"), &err));
}

/* ---- what they leave beside ------------------------------------------------------------------ */

static void check_export(const char *folder)
{
    exia_model *model = NULL;
    if (access(beside(folder, "plain"), F_OK) == 0)
        check_ok(exia_model_open_directory(&model, beside(folder, "plain"), NULL, EXIA_OPEN_VERIFY,
                                           &err));
    exia_model_free(model);
}

const deed deeds[] = {
    {"creating a library", open_and_close, .again = 1},
    {"opening a library", open_and_close, deeds_prepare, .again = 1},
    {"publishing a file", publish_file, deeds_prepare, .again = 1, .writes = 1},
    {"publishing bytes within the entry", publish_within, deeds_prepare, .again = 1},
    {"publishing bytes that are there", publish_what_is_there, deeds_prepare, .again = 1,
     .writes = 1},
    {"publishing with an alias", publish_with_alias, deeds_prepare, .again = 1, .writes = 1},
    {"publishing a model's first version", publish_first, deeds_prepare, .again = 1, .writes = 1},
    {"moving an alias", move_alias, deeds_prepare, .again = 0},
    {"taking an alias away", take_alias_away, deeds_prepare, .again = 0},
    {"a rollback", roll_back, deeds_prepare, .again = 0},
    {"removing a version", remove_version, deeds_prepare, .again = 0},
    {"exporting a version", export_version, deeds_prepare, check_export, .outside = 1},
    {"collecting dead blobs", collect, deeds_prepare, .again = 1},
    {"retaining the last version", retain, deeds_prepare, .again = 1, .steps = 1},
    {"upgrading", open_and_close, prepare_upgrade, .again = 1},
};
const size_t deed_count = sizeof deeds / sizeof *deeds;
