/* Signatures of versions: what is signed, what a signature is worth, adding one.
 *
 * The record is the version's row without its aliases, which move, and the id of the library: all that
 * a version says of itself, with the digest of each part.  So a signature holds the name, the number, the
 * metadata, the imports and, by the digests, the bytes; whoever reads the bytes compares them with the
 * digests.  The entry that adds a signature has the library's id, too: a version that was restored
 * elsewhere, or exported, keeps it, and where a version was written no other counts. */
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "base/trust.h"
#include "model/library.h"

/* ---- the record ----------------------------------------------------------------------------- */

static const char *const members[] = {"name",   "version",     "time",    "who",
                                      "why",    "tags",        "metrics", "params",
                                      "parent", "environment", "imports", "parts"};
enum { MEMBERS = sizeof members / sizeof *members };

static int is_member(const char *key)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (strcmp(key, members[i]) == 0)
            return 1;
    }
    return 0;
}

/* `library` NULL: as records were before they named it. */
static exia_status fill_record(json_t *record, const json_t *row, const char *library,
                               exia_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    exia_status rc =
        exia__json_set(record, "exia", json_string(library ? "version/2" : "version/1"), err);
    if (rc == EXIA_OK && library != NULL)
        rc = exia__json_set(record, "library", json_string(library), err);
    for (size_t i = 0; i < MEMBERS && rc == EXIA_OK; i++) {
        value = json_object_get(row, members[i]);
        rc = exia__json_set(record, members[i], value ? json_incref(value) : json_null(), err);
    }
    json_object_foreach((json_t *)row, key, value)
    {
        if (rc == EXIA_OK && strcmp(key, "aliases") != 0 && !is_member(key))
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "its row has \"%.60s\", which no version has",
                            key);
    }
    return rc;
}

/* The bytes are compared with `parts`: the row must say the same of them. */
static exia_status compare_parts(const json_t *row, const json_t *parts, exia_error *err)
{
    static const char *const said[] = {"name", "format", "size", "sha256"};
    const json_t *shown = json_object_get(row, "parts");
    int same = json_array_size(shown) == json_array_size(parts);
    for (size_t i = 0; same && i < json_array_size(parts); i++) {
        const json_t *a = json_array_get(shown, i), *b = json_array_get(parts, i);
        for (size_t k = 0; k < sizeof said / sizeof *said; k++)
            same = same && json_equal(json_object_get(a, said[k]), json_object_get(b, said[k]));
    }
    return same ? EXIA_OK : exia__fail(err, EXIA_ECORRUPT, 0, "its row has other parts");
}

static exia_status make_record(char **out, const exia_model *model, const char *library,
                               exia_error *err)
{
    json_t *row = NULL, *record = NULL;
    *out = NULL;
    exia_status rc = exia__json_object(&row, model->facts, strlen(model->facts), "the facts",
                                       EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = compare_parts(row, model->parts, err);
    if (rc == EXIA_OK && (record = json_object()) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = fill_record(record, row, library, err);
    if (rc == EXIA_OK)
        rc = exia__json_canonical(out, record, err);
    json_decref(record);
    json_decref(row);
    return rc;
}

exia_status exia_model_record(char **out, const exia_model *model, exia_error *err)
{
    if (out != NULL)
        *out = NULL;
    if (out == NULL || model == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_record: an argument is NULL");
    return make_record(out, model, model->library, err);
}

/* ---- kept with a version -------------------------------------------------------------------- */

int exia__signature_valid(const json_t *holder)
{
    const json_t *library = json_object_get(holder, "library");
    return json_is_string(json_object_get(holder, "signature")) &&
           (library == NULL || json_is_string(library));
}

exia_status exia__signature_add(json_t **all, const json_t *holder, exia_error *err)
{
    if (*all == NULL)
        *all = json_array();
    return exia__json_append(*all,
                             json_pack("{s:O, s:O*}", "signature",
                                       json_object_get(holder, "signature"), "library",
                                       json_object_get(holder, "library")),
                             err);
}

/* ---- what they are worth -------------------------------------------------------------------- */

/* The answer of exia__trust_judge(), and {library, signature}. */
static exia_status judge(json_t **out, const exia_model *model, const json_t *policy,
                         const json_t *signature, exia_error *err)
{
    char *record = NULL;
    const char *text = exia__json_string(signature, "signature");
    const char *library = exia__json_string(signature, "library");
    exia_status rc = make_record(&record, model, library, err);
    *out = NULL;
    if (rc == EXIA_OK)
        rc = exia__trust_judge(out, policy, text, record, strlen(record), err);
    if (rc == EXIA_OK && model->at_home && library != NULL && model->library != NULL &&
        strcmp(library, model->library) != 0)
        rc = exia__json_set(*out, "state", json_string("bad"), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(*out, "library", library ? json_string(library) : json_null(), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(*out, "signature", json_string(text), err);
    exia__release(record);
    return rc;
}

/* One answer a signature. */
static exia_status judge_all(json_t **out, const exia_model *model, const json_t *policy,
                             exia_error *err)
{
    size_t i = 0;
    json_t *signature = NULL, *all = json_array();
    exia_status rc = all ? EXIA_OK : exia__fail_memory(err);
    *out = NULL;
    json_array_foreach(model->signatures, i, signature)
    {
        json_t *judged = NULL;
        if (rc == EXIA_OK) {
            rc = judge(&judged, model, policy, signature, err);
            if (rc == EXIA_OK)
                rc = exia__json_append(all, json_incref(judged), err);
            json_decref(judged);
        }
    }
    if (rc == EXIA_OK) {
        *out = all;
        all = NULL;
    }
    json_decref(all);
    return rc;
}

static const json_t *find_state(const json_t *judged, const char *state)
{
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach((json_t *)judged, i, one)
    {
        if (strcmp(exia__json_string(one, "state"), state) == 0)
            return one;
    }
    return NULL;
}

static const char *known(const json_t *one, const char *key)
{
    const char *text = exia__json_string(one, key);
    return text ? text : "?";
}

/* What the signatures add to `why` the policy applies.  `*good` is one that counts, or NULL.
 * @return EXIA_EUNTRUSTED: what is signed is something else */
static exia_status weigh(char **said, const json_t **good, const json_t *judged, exia_error *err)
{
    const json_t *bad = find_state(judged, "bad"), *revoked = find_state(judged, "revoked");
    const json_t *unknown = find_state(judged, "unknown");
    *said = NULL;
    *good = find_state(judged, "good");
    if (*good != NULL)
        return exia__text_format(said, err,
                                 "; it is signed by %s, but not all of its parts were "
                                 "compared with their digests",
                                 known(*good, "by"));
    if (bad != NULL)
        return exia__fail(err, EXIA_EUNTRUSTED, 0,
                          "what lies here is not what was signed: the signature by the key %s (%s) "
                          "is not of this version",
                          known(bad, "key"), known(bad, "by"));
    if (revoked != NULL) {
        const char *why = exia__json_string(revoked, "why");
        return exia__text_format(
            said, err, "; its signature counts no more: the key %s (%s) was revoked%s%s",
            known(revoked, "key"), known(revoked, "by"), why ? ": " : "", why ? why : "");
    }
    if (unknown != NULL)
        return exia__text_format(said, err, "; it is signed by the key %s, which is not trusted",
                                 known(unknown, "key"));
    return exia__text_copy(said, "", err);
}

static json_t *list_of(const json_t *policy, const char *key)
{
    json_t *list = json_object_get(policy, key);
    return list ? json_incref(list) : json_array();
}

static exia_status answer(char **out, const exia_model *model, const json_t *policy,
                          const json_t *judged, const char *why, exia_error *err)
{
    const json_t *good = NULL;
    char *said = NULL, *whole = NULL;
    json_t *answered = NULL;
    int compared = 1;
    for (size_t i = 0; i < model->part_count; i++)
        compared = compared && model->part[i].compared;
    exia_status rc = weigh(&said, &good, judged, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&whole, err, "%s%s", why, said);
    if (rc == EXIA_OK) {
        answered = good != NULL && compared
                       ? json_pack("{s:b}", "trusted", 1)
                       : json_pack("{s:b, s:s, s:o, s:o}", "trusted", 0, "why", whole, "packages",
                                   list_of(policy, "packages"), "constructors",
                                   list_of(policy, "constructors"));
        if (good != NULL)
            rc = exia__json_set(answered, "signed",
                                json_pack("{s:O, s:O, s:O, s:O}", "by", json_object_get(good, "by"),
                                          "key", json_object_get(good, "key"), "comment",
                                          json_object_get(good, "comment"), "library",
                                          json_object_get(good, "library")),
                                err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_text(out, answered, err);
    json_decref(answered);
    exia__release(whole);
    exia__release(said);
    return rc;
}

exia_status exia__model_policy_set(exia_model *model, const char *why, const char *trust_file,
                                   exia_error *err)
{
    json_t *policy = NULL, *judged = NULL;
    exia_status rc = EXIA_OK;
    if (trust_file != NULL)
        rc = exia__text_copy(&model->trust_file, trust_file, err);
    if (rc < 0 || why == NULL)
        return rc < 0 ? rc : exia__text_copy(&model->policy, "{\"trusted\":true}", err);
    if (!exia__text_valid(why, strlen(why))) /* a path may hold any bytes, JSON may not */
        why = "others may write where it lies";
    rc = exia__trust_policy(&policy, trust_file, err);
    if (rc == EXIA_OK)
        rc = judge_all(&judged, model, policy, err);
    if (rc == EXIA_OK)
        rc = answer(&model->policy, model, policy, judged, why, err);
    json_decref(judged);
    json_decref(policy);
    return rc;
}

exia_status exia_model_signatures(exia_rows **out, const exia_model *model, exia_error *err)
{
    exia_rows *rows = NULL;
    json_t *policy = NULL, *judged = NULL, *one = NULL;
    size_t i = 0;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || model == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_signatures: an argument is NULL");
    exia_status rc = exia__trust_policy(&policy, model->trust_file, err);
    if (rc == EXIA_OK)
        rc = judge_all(&judged, model, policy, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    json_array_foreach(judged, i, one)
    {
        if (rc == EXIA_OK)
            rc = exia__rows_add(rows, one, err);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    json_decref(judged);
    json_decref(policy);
    return rc;
}

/* ---- adding one ----------------------------------------------------------------------------- */

typedef struct signing {
    int64_t number;
    char *signature;
    const char *library;
} signing;

static exia_status build_sign(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                              exia_error *err)
{
    const signing *now = payload;
    *result = now->number;
    exia_status rc = exia__fold_missing(fold, err);
    if (rc == EXIA_OK && !exia__fold_has(fold, now->number))
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "version %lld of %s was removed",
                        (long long)now->number, fold->name);
    if (rc == EXIA_OK)
        rc = exia__json_set(entry, "version", json_pack("{s:I}", "number", (json_int_t)now->number),
                            err);
    if (rc == EXIA_OK)
        rc = exia__json_set(entry, "signature", json_string(now->signature), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(entry, "library", json_string(now->library), err);
    return rc;
}

exia_status exia_model_sign(exia_library *library, const char *selector,
                            const exia_sign_options *options, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE], time[EXIA__TIME_SIZE], *record = NULL, *comment = NULL;
    exia_sign_options ours;
    exia_model *model = NULL;
    json_t *row = NULL;
    const char *name = NULL;
    signing now = {0};
    if (library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_sign: the library is NULL");
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = exia__message_check(ours.message, err);
    if (rc == EXIA_OK && library->read_only)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    if (rc == EXIA_OK) /* nobody signs what is not there, or is not what the record says */
        rc = exia_model_open(&model, library, selector, EXIA_OPEN_VERIFY, err);
    if (rc == EXIA_OK)
        rc = exia_model_record(&record, model, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&row, record, strlen(record), "the record", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK) {
        name = exia__json_string(row, "name");
        now.number = json_integer_value(json_object_get(row, "version"));
        now.library = model->library;
        exia__time_text(time, exia__now_ms());
        rc = exia__text_format(&comment, err, "%s@%lld %s", name, (long long)now.number, time);
    }
    if (rc == EXIA_OK)
        rc = exia__trust_sign(&now.signature, &ours, comment, "version", library->trust_file,
                              record, strlen(record), err);
    if (rc == EXIA_OK)
        rc = exia__token(token, err);
    exia__intent intent = {.verb = "sign",
                           .token = token,
                           .message = ours.message,
                           .build = build_sign,
                           .payload = &now};
    if (rc == EXIA_OK)
        rc = exia__library_commit(&now.number, library, name, &intent, err);
    exia__release(now.signature);
    exia__release(comment);
    exia__release(record);
    json_decref(row);
    exia_model_free(model);
    return rc;
}
