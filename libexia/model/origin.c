/* Where a model came from, when it was not written here: record `origin`/NAME says up to which version.
 * It is written before the versions are, so that none is ever taken for this user's own. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

static const char kind[] = "origin";

/* NULL: none.  `*revision` is what a change of it must find. */
static exia_status read_origin(json_t **out, int64_t *revision, exia_library *library,
                               const char *name, exia_error *err)
{
    char *text = NULL;
    *out = NULL;
    *revision = EXIA_ABSENT;
    exia_status rc = exia__records_get(&text, revision, library->records, kind, name, NULL, err);
    if (rc == EXIA_ENOTFOUND)
        return exia__forgive(err);
    if (rc == EXIA_OK)
        rc = exia__json_object(out, text, strlen(text), "the origin of the model", EXIA_ECORRUPT,
                               err);
    if (rc == EXIA_OK && json_integer_value(json_object_get(*out, "format")) > 1)
        rc = exia__fail(err, EXIA_EVERSION, 0, "the origin of %s is of a newer format", name);
    if (rc == EXIA_OK && (exia__json_string(*out, "library") == NULL ||
                          !json_is_integer(json_object_get(*out, "versions"))))
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the origin of %s is not valid", name);
    if (rc < 0) {
        json_decref(*out);
        *out = NULL;
    }
    exia__release(text);
    return rc;
}

exia_status exia__origin_write(exia_library *library, const char *name, const char *from,
                               int64_t versions, exia_error *err)
{
    char time[EXIA__TIME_SIZE];
    exia_status rc = EXIA_OK;
    exia__time_text(time, exia__now_ms());
    do {
        json_t *was = NULL, *origin = NULL;
        char *text = NULL;
        int64_t revision = 0;
        rc = read_origin(&was, &revision, library, name, err);
        int64_t before = json_integer_value(json_object_get(was, "versions"));
        if (rc == EXIA_OK && before < versions) {
            origin = json_pack("{s:i, s:s, s:I, s:s, s:s}", "format", 1, "library", from,
                               "versions", (json_int_t)versions, "time", time, "who", library->who);
            rc = exia__json_text(&text, origin, err);
            if (rc == EXIA_OK)
                rc = exia__records_put(NULL, library->records, kind, name, text, revision, NULL,
                                       NULL, err);
        }
        json_decref(was);
        json_decref(origin);
        exia__release(text);
    } while (rc == EXIA_ECONFLICT); /* another one restores it too */
    return rc;
}

exia_status exia__origin_read(int64_t *versions, char **why, exia_library *library,
                              const char *name, exia_error *err)
{
    json_t *origin = NULL;
    int64_t revision = 0;
    exia_status rc = read_origin(&origin, &revision, library, name, err);
    *versions = json_integer_value(json_object_get(origin, "versions"));
    if (rc == EXIA_OK && origin != NULL && why != NULL)
        rc = exia__text_format(why, err, "it was restored from a backup of the library %.32s",
                               exia__json_string(origin, "library"));
    json_decref(origin);
    return rc;
}
