/* What a version was written under, as it was recorded, and as pip reads it.  Others may have written
 * it, so what goes to pip is checked letter by letter: a name and a version, and nothing else. */
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
static const char digits[] = "0123456789";

exia_status exia_model_environment(char **out, const exia_model *model, exia_error *err)
{
    if (out != NULL)
        *out = NULL;
    if (out == NULL || model == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_environment: an argument is NULL");
    if (json_is_object(model->environment)) /* of a plain directory */
        return exia__json_text(out, model->environment, err);
    const char *sha256 = json_string_value(model->environment);
    if (sha256 == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "no environment was recorded");
    return exia__blob_load(out, model->blobs, sha256, err);
}

/* `text` begins with one of `first`, goes on with letters, digits and `more`. */
static int is_word(const char *text, const char *first, const char *more)
{
    if (*text == '\0' || strchr(first, *text) == NULL)
        return 0;
    for (text += strspn(text, letters); *text != '\0'; text += strspn(text, letters)) {
        if (strchr(more, *text) == NULL)
            return 0;
        text++;
    }
    return 1;
}

static exia_status add_package(exia__buffer *lines, const char *name, const json_t *version,
                               exia_error *err)
{
    const char *number = json_string_value(version);
    if (!is_word(name, letters, "._-") || strchr("._-", name[strlen(name) - 1]) != NULL ||
        number == NULL || !is_word(number, digits, ".!+_-"))
        return exia__fail(
            err, EXIA_ECORRUPT, 0,
            "its environment names \"%.80s\" of version %s%.80s%s, which is no package", name,
            number ? "\"" : "", number ? number : "none", number ? "\"" : "");
    return exia__buffer_format(lines, err, "%s==%s\n", name, number);
}

/* A comment, of one line whatever it is made of. */
static exia_status add_comment(exia__buffer *lines, const char *what, const json_t *environment,
                               exia_error *err)
{
    static const char *const keys[] = {"implementation", "python", "platform"};
    const char *told[sizeof keys / sizeof *keys];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = exia__json_string(environment, keys[i]);
        told[i] = text ? text : "unknown";
    }
    exia_status rc = exia__buffer_format(lines, err, "# %s was written under %s %s on %s\n", what,
                                         told[0], told[1], told[2]);
    for (size_t i = 0; rc == EXIA_OK && i + 1 < lines->size; i++) {
        if (lines->data[i] < ' ' || lines->data[i] > '~')
            lines->data[i] = ' ';
    }
    return rc;
}

static exia_status name_version(char **out, const exia_model *model, exia_error *err)
{
    json_t *row = NULL;
    exia_status rc = exia__json_object(&row, model->facts, strlen(model->facts), "the facts",
                                       EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(out, err, "%s@%lld", exia__json_string(row, "name"),
                               (long long)json_integer_value(json_object_get(row, "version")));
    json_decref(row);
    return rc;
}

exia_status exia_model_requirements(char **out, const exia_model *model, exia_error *err)
{
    exia__buffer lines = {0};
    char *text = NULL, *what = NULL;
    const char *name = NULL;
    json_t *environment = NULL, *version = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || model == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_requirements: an argument is NULL");
    exia_status rc = name_version(&what, model, err);
    if (rc < 0)
        goto done;
    rc = exia_model_environment(&text, model, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&environment, text, strlen(text), "the environment", EXIA_ECORRUPT,
                               err);
    if (rc == EXIA_OK)
        rc = add_comment(&lines, what, environment, err);
    json_object_foreach(json_object_get(environment, "packages"), name, version)
    {
        if (rc == EXIA_OK)
            rc = add_package(&lines, name, version, err);
    }
    if (rc == EXIA_OK)
        rc = exia__buffer_take(out, &lines, err);
    if (rc < 0)
        rc = exia__prefix(err, rc, "%s", what);
done:
    exia__buffer_free(&lines);
    exia__release(what);
    exia__release(text);
    json_decref(environment);
    return rc;
}
