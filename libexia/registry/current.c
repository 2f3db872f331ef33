/* The current version of each package: the record `current`/NAME tells it, and installed/NAME/current is
 * a link that follows, for those who go by paths.
 *
 * A record that names what is not installed counts as none.  So an uninstall is one step, the removal of
 * one row: with it, what is current has moved to the best that remains.  The record and the link are
 * mended behind that, by whoever comes first. */
#include "registry/current.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/version.h"
#include "registry/installed.h"

static const char kind[] = "current";

/* ---- the record ------------------------------------------------------------------------------ */

/* `*out` is NULL when it says nothing: it can be had again from what is installed. */
static exia_status parse(json_t **out, const char *name, const char *text, exia_error *err)
{
    exia_error caught;
    json_t *record = NULL;
    *out = NULL;
    exia_status rc = exia__json_object(&record, text, strlen(text), name, EXIA_ECORRUPT, &caught);
    if (rc == EXIA_ENOMEM)
        return exia__fail_memory(err);
    if (json_integer_value(json_object_get(record, "format")) > 1)
        rc = exia__fail(err, EXIA_EVERSION, 0,
                        "the current version of %s was set by a newer version of Exia", name);
    else if (exia__json_string(record, "version") && exia__json_string(record, "tag"))
        *out = json_incref(record);
    else
        exia__log(EXIA_LOG_WARNING, "registry", "what is current of %s cannot be read", name);
    json_decref(record);
    return rc == EXIA_EVERSION ? rc : EXIA_OK;
}

static exia_status read_one(json_t **out, const exia_registry *registry, const char *name,
                            exia_error *err)
{
    char *text = NULL;
    exia_error caught;
    *out = NULL;
    exia_status rc = exia__records_get(&text, NULL, registry->records, kind, name, NULL, &caught);
    if (rc == EXIA_OK)
        rc = parse(out, name, text, err);
    else
        rc = rc == EXIA_ENOTFOUND ? EXIA_OK : exia__error_pass(err, &caught);
    exia__release(text);
    return rc;
}

static exia_status add_record(const char *key, const char *text, int64_t revision, void *payload,
                              exia_error *err)
{
    json_t *record = NULL;
    (void)revision;
    exia_status rc = parse(&record, key, text, err);
    return rc == EXIA_OK && record != NULL ? exia__json_set(payload, key, record, err) : rc;
}

/* An object of records by name. */
static exia_status read_all(json_t **out, const exia_registry *registry, const char *name,
                            exia_error *err)
{
    json_t *all = json_object(), *one = NULL;
    exia_status rc = all ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && name == NULL)
        rc = exia__records_scan(registry->records, kind, "", NULL, 0, NULL, add_record, all, NULL,
                                err);
    else if (rc == EXIA_OK)
        rc = read_one(&one, registry, name, err);
    if (rc == EXIA_OK && one != NULL)
        rc = exia__json_set(all, name, one, err);
    if (rc < 0)
        json_decref(all);
    *out = rc < 0 ? NULL : all;
    return rc;
}

exia_status exia__current_record(char **out, const char *version, const char *tag, exia_error *err)
{
    json_t *record = json_pack("{s:i, s:s, s:s}", "format", 1, "version", version, "tag", tag);
    exia_status rc = record ? exia__json_text(out, record, err) : exia__fail_memory(err);
    json_decref(record);
    return rc;
}

/* ---- the choice ------------------------------------------------------------------------------ */

static int is_named(const json_t *record, const json_t *row)
{
    return record != NULL &&
           strcmp(exia__json_string(record, "version"), exia__json_string(row, "version")) == 0 &&
           strcmp(exia__json_string(record, "tag"), exia__json_string(row, "tag")) == 0;
}

static int is_before(const json_t *row, const json_t *other)
{
    return other == NULL ||
           exia__spec_before(exia__json_string(row, "version"), exia__json_string(row, "tag"),
                             exia__json_string(other, "version"), exia__json_string(other, "tag"));
}

static int is_better(const json_t *row, const json_t *other)
{
    return exia__tag_fits(exia__json_string(row, "tag")) && is_before(row, other);
}

exia_status exia__current_mark(json_t *rows, const exia_registry *registry, const char *name,
                               exia_error *err)
{
    json_t *records = NULL;
    exia_status rc = read_all(&records, registry, name, err);
    for (size_t first = 0, end = 0; rc == EXIA_OK && first < json_array_size(rows); first = end) {
        const char *of = exia__json_string(json_array_get(rows, first), "name");
        const json_t *record = json_object_get(records, of), *chosen = NULL;
        int named = 0;
        for (end = first; exia__installed_is(json_array_get(rows, end), of) && !named; end++) {
            const json_t *row = json_array_get(rows, end);
            named = is_named(record, row);
            if (named || is_better(row, chosen))
                chosen = row;
        }
        for (end = first; rc == EXIA_OK && exia__installed_is(json_array_get(rows, end), of); end++)
            rc = exia__json_set(json_array_get(rows, end), "current",
                                json_boolean(json_array_get(rows, end) == chosen), err);
    }
    json_decref(records);
    return rc;
}

const json_t *exia__current_among(const json_t *rows, const char *name)
{
    for (size_t i = exia__installed_first(rows, name);
         exia__installed_is(json_array_get(rows, i), name); i++) {
        if (json_is_true(json_object_get(json_array_get(rows, i), "current")))
            return json_array_get(rows, i);
    }
    return NULL;
}

/* ---- the link -------------------------------------------------------------------------------- */

static int leads_to(const char *link, const char *target)
{
    char there[PATH_MAX];
    ssize_t size = readlink(link, there, sizeof there);
    return size >= 0 && (size_t)size == strlen(target) && memcmp(there, target, (size_t)size) == 0;
}

/* Made in the staging, so that it appears in one step; what is no link makes room, and where somebody took the
 * files away, there is a directory for it again. */
static exia_status place_link(const exia__staging *staging, const char *link, const char *target,
                              exia_error *err)
{
    char *made = NULL, *away = NULL, *folder = NULL, token[EXIA__TOKEN_SIZE];
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(&made, staging->path, token, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&away, err, "%s.away", made);
    if (rc == EXIA_OK)
        rc = exia__path_folder(&folder, link, err);
    if (rc == EXIA_OK)
        rc = exia__directory_make(folder, err);
    if (rc == EXIA_OK && symlink(target, made) != 0)
        rc = exia__fail_errno(err, errno, "cannot link", made);
    if (rc == EXIA_OK && rename(made, link) != 0 &&
        (errno != EISDIR || rename(link, away) != 0 || rename(made, link) != 0))
        rc = exia__fail_errno(err, errno, "cannot make the link", link);
    if (rc == EXIA_OK)
        rc = exia__directory_sync(folder, err);
    exia__release(made);
    exia__release(away);
    exia__release(folder);
    return rc;
}

static exia_status remove_link(char *link, exia_error *err)
{
    int gone = unlink(link) == 0;
    if (!gone && errno != ENOENT && errno != ENOTDIR && errno != EISDIR)
        return exia__fail_errno(err, errno, "cannot remove", link);
    *strrchr(link, '/') = '\0';
    return exia__staging_clear(link, 1, gone, err);
}

/* The link of a name, and where it should lead: NULL where `row`, that of the current one, is. */
static exia_status name_link(char **link, char **target, const exia_registry *registry,
                             const char *name, const json_t *row, exia_error *err)
{
    exia_status rc = exia__text_format(link, err, "%s/installed/%s/current", registry->home, name);
    if (rc == EXIA_OK && row != NULL)
        rc = exia__text_format(target, err, "%s/%s", exia__json_string(row, "version"),
                               exia__json_string(row, "tag"));
    return rc;
}

static exia_status follow_link(const exia__staging *staging, const exia_registry *registry,
                               const char *name, const json_t *row, exia_error *err)
{
    char *link = NULL, *target = NULL;
    exia_status rc = name_link(&link, &target, registry, name, row, err);
    if (rc == EXIA_OK && row == NULL)
        rc = remove_link(link, err);
    else if (rc == EXIA_OK && !leads_to(link, target))
        rc = place_link(staging, link, target, err);
    exia__release(link);
    exia__release(target);
    return rc;
}

exia_status exia__current_astray(int *out, const exia_registry *registry, const char *name,
                                 exia_error *err)
{
    char *link = NULL, *target = NULL;
    json_t *rows = NULL;
    exia_status rc = exia__installed_read(&rows, registry, name, err);
    const json_t *row = exia__current_among(rows, name);
    if (rc == EXIA_OK)
        rc = name_link(&link, &target, registry, name, row, err);
    *out = rc == EXIA_OK && target != NULL && !leads_to(link, target);
    exia__release(link);
    exia__release(target);
    json_decref(rows);
    return rc;
}

static exia_status follow_record(const exia_registry *registry, const char *name, const json_t *row,
                                 exia_error *err)
{
    json_t *record = NULL;
    char *text = NULL;
    exia_status rc = read_one(&record, registry, name, err);
    if (rc == EXIA_OK && row == NULL)
        rc = exia__records_remove(registry->records, kind, name, EXIA_ANY, NULL, err);
    else if (rc == EXIA_OK && !is_named(record, row))
        rc = exia__current_record(&text, exia__json_string(row, "version"),
                                  exia__json_string(row, "tag"), err);
    if (rc == EXIA_OK && text != NULL)
        rc =
            exia__records_put(NULL, registry->records, kind, name, text, EXIA_ANY, NULL, NULL, err);
    exia__release(text);
    json_decref(record);
    return rc;
}

exia_status exia__current_follow(const exia__staging *staging, const exia_registry *registry,
                                 const char *name, exia_error *err)
{
    json_t *rows = NULL;
    exia_status rc = exia__installed_read(&rows, registry, name, err);
    const json_t *row = exia__current_among(rows, name);
    if (rc == EXIA_OK)
        rc = follow_record(registry, name, row, err);
    if (rc == EXIA_OK)
        rc = follow_link(staging, registry, name, row, err);
    json_decref(rows);
    return rc;
}

/* ---- activate -------------------------------------------------------------------------------- */

/* Is what is current what the caller expects? */
static exia_status check_expected(const json_t *row, const char *name, const char *expect,
                                  exia_error *err)
{
    exia__spec expected = {0};
    char *text = NULL;
    int holds = row == NULL;
    if (expect == NULL)
        return EXIA_OK;
    if (strcmp(expect, "none") != 0) {
        exia_status rc = exia__text_format(&text, err, "%s@%s", name, expect);
        if (rc == EXIA_OK)
            rc = exia__spec_parse(&expected, text, err);
        exia__release(text);
        if (rc < 0)
            return rc;
        holds = row != NULL && exia__installed_match(&expected, row);
    }
    exia__spec_free(&expected);
    if (holds)
        return EXIA_OK;
    if (row == NULL)
        return exia__fail(err, EXIA_ECONFLICT, 0, "no version of %s is current, not %.100s", name,
                          expect);
    return exia__fail(err, EXIA_ECONFLICT, 0, "%s@%s#%s is current, not %.100s", name,
                      exia__json_string(row, "version"), exia__json_string(row, "tag"), expect);
}

/* The best of the installed ones that a selector means; one for another platform by its tag only. */
static const json_t *select_row(const json_t *rows, const exia__spec *selector)
{
    const json_t *chosen = NULL;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (exia__installed_match(selector, row) &&
            (selector->tag != NULL || exia__tag_fits(exia__json_string(row, "tag"))) &&
            is_before(row, chosen))
            chosen = row;
    }
    return chosen;
}

typedef struct wish {
    exia__spec package;
    const char *expect;
} wish;

static exia_status activate(exia__staging *staging, const exia_registry *registry, void *payload,
                            exia_error *err)
{
    const wish *asked = payload;
    const char *name = asked->package.name;
    json_t *rows = NULL, *targets = NULL;
    char *text = NULL, *target = NULL;
    exia_error caught;
    exia_status rc = exia__installed_read(&rows, registry, name, err);
    const json_t *row = select_row(rows, &asked->package);
    if (rc == EXIA_OK && row == NULL)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not installed", asked->package.text);
    if (rc == EXIA_OK)
        rc = check_expected(exia__current_among(rows, name), name, asked->expect, err);
    if (rc == EXIA_OK)
        rc = exia__installed_target(&target, row, err);
    if (rc == EXIA_OK)
        rc = exia__current_record(&text, exia__json_string(row, "version"),
                                  exia__json_string(row, "tag"), err);
    if (rc == EXIA_OK && (targets = json_pack("[s]", target)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__staging_intend(staging, registry, targets, err);
    staging->changing = rc == EXIA_OK;
    if (rc == EXIA_OK)
        rc =
            exia__records_put(NULL, registry->records, kind, name, text, EXIA_ANY, NULL, NULL, err);
    if (rc == EXIA_OK && exia__current_follow(staging, registry, name, &caught) < 0)
        exia__staging_leave_for_later(staging, &caught); /* current it is: the record says so */
    json_decref(rows);
    json_decref(targets);
    exia__release(text);
    exia__release(target);
    return rc;
}

exia_status exia_registry_activate(exia_registry *registry, const char *package, const char *expect,
                                   exia_error *err)
{
    wish asked = {.expect = expect};
    exia__work work;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc == EXIA_OK)
        rc = exia__spec_parse(&asked.package, package, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__change(registry, activate, &asked, &work, err);
    exia__spec_free(&asked.package);
    return rc;
}
