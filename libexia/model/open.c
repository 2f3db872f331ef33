/* Open versions.  What a model needs is taken at once (row, parts, descriptors, mappings), so nothing
 * that happens to the library later touches it.  The policy says who may have written it. */
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/trust.h"
#include "model/library.h"

/* ---- who may have written it ---------------------------------------------------------------- */

/* Where a version came from, when it was not written here. */
typedef struct origin {
    json_t *said; /* in its entry; NULL: nothing */
    int restored; /* with a backup */
} origin;

/* A mapped file counts as its writers do; bytes that were compared with the log count as the log. */
static exia_status look_at_parts(char **why, const exia_model *model, unsigned flags,
                                 exia_error *err)
{
    exia_status rc = EXIA_OK;
    *why = NULL;
    for (size_t i = 0; i < model->part_count && rc == EXIA_OK && *why == NULL; i++) {
        if (model->part[i].path != NULL && !model->part[i].cached && !(flags & EXIA_OPEN_VERIFY))
            rc = exia__trust_path(why, model->part[i].path, err);
    }
    return rc;
}

/* What a version's own entry says of its origin comes before what is said of its model. */
static exia_status decide(exia_model *model, exia_library *library, const char *name,
                          const origin *from, unsigned flags, exia_error *err)
{
    char *why = NULL;
    exia_status rc = EXIA_OK;
    if (library->untrusted == NULL && from->said != NULL)
        rc = exia__text_format(&why, err, "it was imported from %s", json_string_value(from->said));
    else if (library->untrusted == NULL && from->restored)
        rc = exia__origin_read(&(int64_t){0}, &why, library, name, err);
    else if (library->untrusted == NULL)
        rc = look_at_parts(&why, model, flags, err);
    if (rc == EXIA_OK)
        rc =
            exia__model_policy_set(model, why ? why : library->untrusted, library->trust_file, err);
    exia__release(why);
    return rc;
}

exia_status exia_library_policy(char **out, const exia_library *library, exia_error *err)
{
    exia_model any = {0};
    if (out != NULL)
        *out = NULL;
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_policy: an argument is NULL");
    exia_status rc =
        exia__model_policy_set(&any, "it comes from elsewhere", library->trust_file, err);
    if (rc == EXIA_OK) {
        *out = any.policy;
        any.policy = NULL;
    }
    exia__release(any.policy);
    exia__release(any.trust_file);
    return rc;
}

/* ---- open ----------------------------------------------------------------------------------- */

exia_status exia__model_new(exia_model **out, json_t *parts, exia_error *err)
{
    *out = NULL;
    exia_model *model = exia__zeroed(1, sizeof *model);
    if (model == NULL)
        return exia__fail_memory(err);
    model->parts = json_incref(parts);
    model->part = exia__zeroed(json_array_size(parts), sizeof *model->part);
    if (model->part == NULL) {
        exia_model_free(model);
        return exia__fail_memory(err);
    }
    model->part_count = json_array_size(parts);
    for (size_t i = 0; i < model->part_count; i++) {
        const json_t *part = json_array_get(parts, i);
        model->part[i].fd = -1;
        model->part[i].name = exia__json_string(part, "name");
        model->part[i].format = exia__json_string(part, "format");
        model->part[i].sha256 = exia__json_string(part, "sha256");
        model->part[i].size = (size_t)json_integer_value(json_object_get(part, "size"));
    }
    *out = model;
    return EXIA_OK;
}

/* The local file where there is one, else the bytes by way of the store. */
static exia_status open_blob(exia__open_part *part, exia_library *library, const char *key,
                             unsigned flags, const exia__work *work, exia_error *err)
{
    char *path = NULL;
    exia_status rc = exia__blobs_local(&path, library->blobs, key, err);
    if (rc == EXIA_OK)
        rc = exia__part_from_file(part, path, flags, err);
    else if (rc == EXIA_EUNSUPPORTED) {
        exia__forgive(err);
        rc = exia__part_from_blob(part, library->blobs, key, flags, work, err);
    }
    exia__release(path);
    /* the log says that it is there */
    return rc == EXIA_ENOTFOUND ? exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s is gone", key)
                                : rc;
}

static exia_status open_parts(exia_model *model, exia_library *library, unsigned flags,
                              const exia__work *work, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < model->part_count && rc == EXIA_OK; i++) {
        const json_t *stored = json_array_get(model->parts, i);
        const char *text = exia__json_string(stored, "inline");
        rc = text ? exia__part_from_text(&model->part[i], text, flags, err)
                  : open_blob(&model->part[i], library, exia__json_string(stored, "key"), flags,
                              work, err);
        if (rc < 0)
            rc = exia__prefix(err, rc, "part %s", model->part[i].name);
    }
    return rc;
}

/* What the library knows of the version. */
static exia_status find(exia_model **out, origin *from, exia_library *library,
                        const exia__selector *selector, exia_error *err)
{
    exia__fold *fold = NULL;
    exia__version *version = NULL;
    int64_t number = 0;
    exia_model *model = NULL;
    exia_status rc = exia__library_lock(library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_refresh(&fold, library, selector->name, err);
    if (rc == EXIA_OK)
        rc = exia__selector_resolve(&number, selector, library, fold, err);
    if (rc == EXIA_OK)
        rc = exia__version_get(&version, library, fold, number, err);
    if (rc == EXIA_OK)
        rc = exia__version_text(version, fold, err);
    if (rc == EXIA_OK)
        rc = exia__model_new(&model, version->parts, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&model->facts, version->text, err);
    if (rc == EXIA_OK)
        model->environment = json_incref(json_object_get(version->row, "environment"));
    if (rc == EXIA_OK && library->id != NULL)
        rc = exia__text_copy(&model->library, library->id, err);
    if (rc == EXIA_OK)
        model->signatures = json_incref(version->signatures);
    if (rc == EXIA_OK)
        from->said = json_incref(version->origin);
    /* an origin is written before the entries that it speaks of, so it is known with the head */
    if (rc == EXIA_OK && fold->origin_head != fold->head) {
        rc = exia__origin_read(&fold->foreign, NULL, library, fold->name, err);
        fold->origin_head = rc == EXIA_OK ? fold->head : 0;
    }
    from->restored = rc == EXIA_OK && number <= fold->foreign;
    if (rc == EXIA_OK)
        model->at_home = !from->restored;
    exia__library_unlock(library);
    if (rc == EXIA_OK) {
        *out = model;
        model = NULL;
    }
    exia_model_free(model);
    return rc;
}

exia_status exia__open_flags(unsigned flags, exia_error *err)
{
    unsigned known = EXIA_OPEN_VERIFY | EXIA_OPEN_POPULATE | EXIA_OPEN_READ_ONLY;
    unsigned unknown = flags & ~known;
    return unknown ? exia__fail(err, EXIA_EINVAL, 0, "%#x is no flag of an open", unknown)
                   : EXIA_OK;
}

exia_status exia_model_open_with(exia_model **out, exia_library *library, const char *selector,
                                 unsigned flags, const exia_job *job, exia_error *err)
{
    exia__work work;
    exia__selector parsed = {0};
    exia_model *model = NULL;
    origin from = {0};
    if (out != NULL)
        *out = NULL;
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_open: an argument is NULL");
    exia_status rc = exia__open_flags(flags, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__selector_parse(&parsed, selector, err);
    if (rc == EXIA_OK)
        rc = find(&model, &from, library, &parsed, err);
    if (rc == EXIA_OK) {
        model->blobs = exia__blobs_keep(library->blobs);
        rc = open_parts(model, library, flags, &work, err);
        if (rc < 0)
            rc = exia__prefix(err, rc, "%s", selector);
    }
    if (rc == EXIA_OK)
        rc = decide(model, library, parsed.name, &from, flags, err);
    if (rc == EXIA_OK) {
        *out = model;
        model = NULL;
    }
    exia_model_free(model);
    json_decref(from.said);
    exia__selector_free(&parsed);
    return rc;
}

exia_status exia_model_open(exia_model **out, exia_library *library, const char *selector,
                            unsigned flags, exia_error *err)
{
    return exia_model_open_with(out, library, selector, flags, NULL, err);
}

void exia_model_free(exia_model *model)
{
    if (model == NULL)
        return;
    for (size_t i = 0; i < model->part_count; i++)
        exia__part_close(&model->part[i]);
    exia__release(model->part);
    json_decref(model->parts);
    json_decref(model->environment);
    json_decref(model->signatures);
    exia__blobs_free(model->blobs);
    exia__release(model->facts);
    exia__release(model->policy);
    exia__release(model->library);
    exia__release(model->trust_file);
    exia__release(model);
}

/* ---- questions ------------------------------------------------------------------------------ */

const char *exia_model_facts(const exia_model *model)
{
    return model ? model->facts : NULL;
}

const char *exia_model_policy(const exia_model *model)
{
    return model ? model->policy : NULL;
}

static exia_status name_parts(const exia_model *model, exia_error *err)
{
    exia__buffer names = {0};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < model->part_count && rc == EXIA_OK; i++)
        rc = exia__buffer_format(&names, err, "%s%s", i ? ", " : "", model->part[i].name);
    if (rc == EXIA_OK)
        rc = exia__fail(err, EXIA_EINVAL, 0, "there are %zu parts, name one of them: %s",
                        model->part_count, names.data);
    exia__buffer_free(&names);
    return rc;
}

exia_status exia__model_part(exia__open_part **out, const exia_model *model, const char *name,
                             exia_error *err)
{
    *out = NULL;
    if (name == NULL && model->part_count > 1)
        return name_parts(model, err);
    for (size_t i = 0; i < model->part_count; i++) {
        if (name == NULL || strcmp(model->part[i].name, name) == 0) {
            *out = &model->part[i];
            return EXIA_OK;
        }
    }
    return exia__fail(err, EXIA_ENOTFOUND, 0, "there is no part %.128s", name);
}
