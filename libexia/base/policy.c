/* The trust file: what pickles from elsewhere may do, and whose signatures count.  It is read whole and
 * checked whole at each question, so that no mistake in it ever allows more than it says. */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/sign.h"
#include "base/trust.h"

enum { POLICY_LIMIT = 1 << 20 };

/* ---- reading -------------------------------------------------------------------------------- */

static exia_status check_members(const json_t *object, const char *const *known, const char *path,
                                 exia_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0)
            i++;
        if (known[i] == NULL)
            return exia__fail(err, EXIA_EINVAL, 0, "%s: \"%.60s\" is not known", path, key);
    }
    return EXIA_OK;
}

static exia_status check_list(const json_t *policy, const char *key, const char *path,
                              exia_error *err)
{
    const json_t *list = json_object_get(policy, key);
    size_t i = 0;
    json_t *item = NULL;
    if (list != NULL && !json_is_array(list))
        return exia__fail(err, EXIA_EINVAL, 0, "%s: \"%s\" must be a list of names", path, key);
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item))
            return exia__fail(err, EXIA_EINVAL, 0, "%s: \"%s\" must be a list of names", path, key);
    }
    return EXIA_OK;
}

/* A text, or where it may be left out nothing at all; null is neither. */
static int is_text(const json_t *object, const char *key, int needed)
{
    const json_t *value = json_object_get(object, key);
    return value ? json_is_string(value) && json_string_length(value) > 0 : !needed;
}

static exia_status check_key(exia__public_key *point, const json_t *key, const char *path,
                             exia_error *err)
{
    static const char *const members[] = {"name", "key", "revoked", "why", NULL};
    if (!json_is_object(key) || !is_text(key, "name", 1) || !is_text(key, "key", 1) ||
        !is_text(key, "revoked", 0) || !is_text(key, "why", 0))
        return exia__fail(
            err, EXIA_EINVAL, 0,
            "%s: each of \"keys\" must be {\"name\", \"key\"}, and once it is revoked "
            "\"revoked\" and \"why\"",
            path);
    exia_status rc = check_members(key, members, path, err);
    if (rc < 0)
        return rc;
    rc = exia__name_check(exia__json_string(key, "name"), "key's name", err);
    return rc < 0 ? exia__prefix(err, rc, "%s", path)
                  : exia__public_key_parse(point, exia__json_string(key, "key"), path, err);
}

/* Every key well-formed, none under two names, no name for two. */
static exia_status check_keys(const json_t *policy, const char *path, exia_error *err)
{
    const json_t *keys = json_object_get(policy, "keys");
    size_t i = 0;
    json_t *key = NULL, *seen = json_object();
    if (keys != NULL && !json_is_array(keys)) {
        json_decref(seen);
        return exia__fail(err, EXIA_EINVAL, 0, "%s: \"keys\" must be a list", path);
    }
    exia_status rc = seen ? EXIA_OK : exia__fail_memory(err);
    json_array_foreach(keys, i, key)
    {
        exia__public_key point;
        const char *name = exia__json_string(key, "name"), *text = exia__json_string(key, "key");
        if (rc == EXIA_OK)
            rc = check_key(&point, key, path, err);
        if (rc == EXIA_OK &&
            (json_object_get(seen, name) != NULL || json_object_get(seen, text) != NULL))
            rc = exia__fail(err, EXIA_EINVAL, 0, "%s: \"keys\" has %s, or its key, twice", path,
                            name);
        if (rc == EXIA_OK)
            rc = exia__json_set(seen, name, json_true(), err);
        if (rc == EXIA_OK)
            rc = exia__json_set(seen, text, json_true(), err);
    }
    json_decref(seen);
    return rc;
}

static exia_status check_policy(const json_t *policy, const char *path, exia_error *err)
{
    static const char *const members[] = {"format", "packages",          "constructors",
                                          "keys",   "require_signature", NULL};
    const json_t *require = json_object_get(policy, "require_signature");
    json_int_t format = json_integer_value(json_object_get(policy, "format"));
    if (format != 1)
        return exia__fail(err, format > 1 ? EXIA_EVERSION : EXIA_EINVAL, 0,
                          "%s: \"format\" must be 1", path);
    exia_status rc = check_members(policy, members, path, err);
    if (rc == EXIA_OK && require != NULL && !json_is_boolean(require))
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s: \"require_signature\" must be true or false",
                        path);
    if (rc == EXIA_OK)
        rc = check_list(policy, "packages", path, err);
    if (rc == EXIA_OK)
        rc = check_list(policy, "constructors", path, err);
    return rc < 0 ? rc : check_keys(policy, path, err);
}

exia_status exia__trust_place(char **out, const char *trust_file, exia_error *err)
{
    char *home = NULL;
    *out = NULL;
    if (trust_file != NULL)
        return exia__text_copy(out, trust_file, err);
    exia_status rc = exia__home(&home, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(out, home, "trust.json", err);
    exia__release(home);
    return rc;
}

static exia_status empty_policy(json_t **out, exia_error *err)
{
    *out = json_pack("{s:i}", "format", 1);
    return *out ? exia__forgive(err) : exia__fail_memory(err);
}

exia_status exia__trust_read(json_t **out, const char *path, int absent_is_empty, exia_error *err)
{
    char *text = NULL, *why = NULL;
    size_t size = 0;
    json_t *policy = NULL;
    exia_status rc = exia__file_read(&text, &size, path, POLICY_LIMIT, err);
    *out = NULL;
    if (rc == EXIA_ENOTFOUND && absent_is_empty) {
        rc = empty_policy(&policy, err);
    } else if (rc == EXIA_OK) {
        rc = exia__json_object(&policy, text, size, path, EXIA_EINVAL, err);
    }
    if (rc == EXIA_OK)
        rc = check_policy(policy, path, err);
    if (rc == EXIA_OK && text != NULL) /* whoever writes it decides what runs */
        rc = exia__trust_path(&why, path, err);
    if (rc == EXIA_OK && why != NULL)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0, "the policy %s is not taken: %s", path, why);
    if (rc == EXIA_OK) {
        *out = policy;
        policy = NULL;
    }
    json_decref(policy);
    exia__release(why);
    exia__release(text);
    return rc;
}

exia_status exia__trust_policy(json_t **out, const char *trust_file, exia_error *err)
{
    char *path = NULL;
    *out = NULL;
    exia_status rc = exia__trust_place(&path, trust_file, err);
    if (rc == EXIA_EINVAL && trust_file == NULL)
        rc = empty_policy(out, err); /* without a home nobody wrote one there */
    else if (rc == EXIA_OK)
        rc = exia__trust_read(out, path, trust_file == NULL, err);
    exia__release(path);
    return rc;
}

/* ---- signatures ----------------------------------------------------------------------------- */

/* The best that a listed key makes of the signature: two keys may have one id. */
static exia_status judge_key(const char **state, const json_t **found, const json_t *key,
                             const exia__signature *signature, const void *data, size_t size,
                             exia_error *err)
{
    exia__public_key point;
    exia_status rc = exia__public_key_parse(&point, exia__json_string(key, "key"), "a key", err);
    if (rc < 0 || memcmp(point.id, signature->id, sizeof point.id) != 0)
        return rc;
    rc = exia__signature_check(signature, &point, data, size, err);
    if (rc < 0 && rc != EXIA_EUNTRUSTED)
        return rc;
    int good = rc == EXIA_OK;
    if (good || *found == NULL) {
        *state = !good ? "bad" : exia__json_string(key, "revoked") ? "revoked" : "good";
        *found = key;
    }
    return good ? EXIA_OK : exia__forgive(err);
}

exia_status exia__trust_judge(json_t **out, const json_t *policy, const char *signature,
                              const void *data, size_t size, exia_error *err)
{
    exia__signature parsed;
    char id[EXIA__KEY_ID_SIZE];
    const char *state = "unknown";
    const json_t *found = NULL;
    size_t i = 0;
    json_t *key = NULL;
    *out = NULL;
    exia_status rc = exia__signature_parse(&parsed, signature, err);
    if (rc == EXIA_EINVAL) {
        exia__forgive(err);
        *out =
            json_pack("{s:s, s:n, s:n, s:n, s:n}", "state", "bad", "key", "by", "comment", "why");
        return *out ? EXIA_OK : exia__fail_memory(err);
    }
    json_array_foreach(json_object_get(policy, "keys"), i, key)
    {
        if (rc == EXIA_OK)
            rc = judge_key(&state, &found, key, &parsed, data, size, err);
    }
    if (rc == EXIA_OK) {
        exia__key_id_text(id, parsed.id);
        *out = json_pack("{s:s, s:s, s:s?, s:s, s:s?}", "state", state, "key", id, "by",
                         exia__json_string(found, "name"), "comment", parsed.comment, "why",
                         exia__json_string(found, "why"));
        if (*out == NULL)
            rc = exia__fail_memory(err);
    }
    exia__signature_clear(&parsed);
    return rc;
}

/* One that was made elsewhere: only a good one is of use to anybody. */
static exia_status check_given(const char *signature, const char *what, const char *trust_file,
                               const void *data, size_t size, exia_error *err)
{
    json_t *policy = NULL, *judged = NULL;
    exia_status rc = exia__trust_policy(&policy, trust_file, err);
    if (rc == EXIA_OK)
        rc = exia__trust_judge(&judged, policy, signature, data, size, err);
    const char *state = exia__json_string(judged, "state"), *key = exia__json_string(judged, "key");
    if (rc == EXIA_OK && strcmp(state, "bad") == 0)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0,
                        "the signature, by the key %s, is not taken: it is not of this %s",
                        key ? key : "?", what);
    else if (rc == EXIA_OK && strcmp(state, "good") != 0)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0,
                        "the signature, by the key %s, is not taken: the key %s", key,
                        strcmp(state, "revoked") == 0 ? "was revoked" : "is not trusted");
    json_decref(judged);
    json_decref(policy);
    return rc;
}

exia_status exia__trust_sign(char **out, const exia_sign_options *options, const char *comment,
                             const char *what, const char *trust_file, const void *data,
                             size_t size, exia_error *err)
{
    exia__secret_key *key = NULL;
    *out = NULL;
    if (options->signature != NULL) {
        exia_status rc = check_given(options->signature, what, trust_file, data, size, err);
        return rc < 0 ? rc : exia__text_copy(out, options->signature, err);
    }
    exia_status rc = exia__secret_key_read(&key, options->secret_file, options->password, err);
    if (rc == EXIA_OK)
        rc = exia__signature_make(out, key, options->comment ? options->comment : comment, data,
                                  size, err);
    exia__secret_key_free(key);
    return rc;
}
