/* The keys of the trust file: listed, trusted, revoked.  The file is changed under a lock on its
 * directory and replaced in one step, so that readers see it before or after and need no lock. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/job.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "base/sign.h"
#include "base/trust.h"
#include "exia/trust.h"

enum { LOCK_MS = 30000 };

exia_status exia_keys(exia_rows **out, const char *trust_file, exia_error *err)
{
    json_t *policy = NULL, *key = NULL;
    exia_rows *rows = NULL;
    size_t i = 0;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_keys: out is NULL");
    *out = NULL;
    exia_status rc = exia__trust_policy(&policy, trust_file, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    json_array_foreach(json_object_get(policy, "keys"), i, key)
    {
        exia__public_key point;
        char id[EXIA__KEY_ID_SIZE];
        const char *text = exia__json_string(key, "key");
        json_t *row = NULL;
        if (rc == EXIA_OK)
            rc = exia__public_key_parse(&point, text, "the key", err);
        if (rc == EXIA_OK) {
            exia__key_id_text(id, point.id);
            row = json_pack("{s:O, s:s, s:s, s:s?, s:s?}", "name", json_object_get(key, "name"),
                            "id", id, "key", text, "revoked", exia__json_string(key, "revoked"),
                            "why", exia__json_string(key, "why"));
            rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
        }
        json_decref(row);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    json_decref(policy);
    return rc;
}

/* ---- changing ------------------------------------------------------------------------------- */

/* A lock on the directory, which leaves no file behind. */
static exia_status lock(int *fd, const char *path, exia_error *err)
{
    char *folder = NULL;
    int64_t begin = exia__clock_ms();
    exia_status rc = exia__path_folder(&folder, path, err);
    if (rc == EXIA_OK && (*fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        rc = exia__fail_errno(err, errno, "cannot open", folder);
    while (rc == EXIA_OK && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            rc = exia__fail_errno(err, errno, "cannot lock", folder);
        else if (exia__clock_ms() - begin > LOCK_MS)
            rc = exia__fail(err, EXIA_ETIMEOUT, 0, "another process keeps %s locked", folder);
        else
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    exia__release(folder);
    return rc;
}

/* Whatever the umask is, nobody else may write it: such a file would not be taken. */
static exia_status write_policy(const char *path, const json_t *policy, exia_error *err)
{
    exia__staged staged = {.fd = -1};
    struct stat info;
    char *text = NULL;
    exia_status rc = exia__json_pretty(&text, policy, err);
    if (rc == EXIA_OK)
        rc = exia__stage(&staged, path, EXIA__REPLACE, err);
    if (rc == EXIA_OK &&
        (fstat(staged.fd, &info) != 0 || fchmod(staged.fd, info.st_mode & 0644) != 0))
        rc = exia__fail_errno(err, errno, "cannot write", path);
    if (rc == EXIA_OK)
        rc = exia__write_all(staged.fd, text, strlen(text), path, err);
    if (rc == EXIA_OK)
        rc = exia__stage_commit(&staged, EXIA__REPLACE, err);
    exia__stage_free(&staged);
    exia__release(text);
    return rc;
}

/* What is to be done to the list of keys.  EXIA_DONE: nothing. */
typedef struct change {
    exia_status (*apply)(const struct change *now, json_t *keys, exia_error *err);
    const char *name, *key, *why;
} change;

static exia_status change_policy(const char *trust_file, const change *now, exia_error *err)
{
    char *path = NULL, *folder = NULL;
    json_t *policy = NULL, *keys = NULL;
    int fd = -1;
    exia_status rc = exia__trust_place(&path, trust_file, err);
    if (rc == EXIA_OK)
        rc = exia__path_folder(&folder, path, err);
    if (rc == EXIA_OK && trust_file == NULL)
        rc = exia__directory_make(folder, err);
    if (rc == EXIA_OK)
        rc = lock(&fd, path, err);
    if (rc == EXIA_OK)
        rc = exia__trust_read(&policy, path, 1, err);
    if (rc == EXIA_OK && json_object_get(policy, "keys") == NULL)
        rc = exia__json_set(policy, "keys", json_array(), err);
    keys = json_object_get(policy, "keys");
    if (rc == EXIA_OK)
        rc = now->apply(now, keys, err);
    if (rc == EXIA_OK)
        rc = write_policy(path, policy, err);
    if (fd >= 0)
        close(fd);
    json_decref(policy);
    exia__release(folder);
    exia__release(path);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}

static exia_status add_key(const change *now, json_t *keys, exia_error *err)
{
    size_t i = 0;
    json_t *key = NULL;
    json_array_foreach(keys, i, key)
    {
        const char *name = exia__json_string(key, "name");
        int same_name = strcmp(name, now->name) == 0;
        int same_key = strcmp(exia__json_string(key, "key"), now->key) == 0;
        if (same_key && exia__json_string(key, "revoked") != NULL)
            return exia__fail(err, EXIA_EUNTRUSTED, 0, "the key was revoked: %s, %s", name,
                              exia__json_string(key, "revoked"));
        if (same_key && same_name)
            return EXIA_DONE;
        if (same_key)
            return exia__fail(err, EXIA_EEXISTS, 0, "the key is trusted already, as %s", name);
        if (same_name)
            return exia__fail(err, EXIA_EEXISTS, 0, "%s has another key: take another name", name);
    }
    return exia__json_append(keys, json_pack("{s:s, s:s}", "name", now->name, "key", now->key),
                             err);
}

static exia_status revoke_key(const change *now, json_t *keys, exia_error *err)
{
    char time[EXIA__TIME_SIZE];
    size_t i = 0;
    json_t *key = NULL;
    exia__time_text(time, exia__now_ms());
    int found = 0, changed = 0;
    exia_status rc = EXIA_OK;
    json_array_foreach(keys, i, key)
    {
        exia__public_key point;
        char id[EXIA__KEY_ID_SIZE];
        const char *text = exia__json_string(key, "key");
        if (rc == EXIA_OK)
            rc = exia__public_key_parse(&point, text, "a key", err);
        if (rc < 0)
            break;
        exia__key_id_text(id, point.id);
        if (strcmp(exia__json_string(key, "name"), now->name) != 0 &&
            strcmp(text, now->name) != 0 && strcmp(id, now->name) != 0)
            continue;
        found = 1;
        if (exia__json_string(key, "revoked") != NULL)
            continue;
        changed = 1;
        rc = exia__json_set(key, "revoked", json_string(time), err);
        if (rc == EXIA_OK && now->why != NULL)
            rc = exia__json_set(key, "why", json_string(now->why), err);
    }
    if (rc == EXIA_OK && !found)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "there is no key %.100s", now->name);
    return rc == EXIA_OK && !changed ? EXIA_DONE : rc;
}

/* The key in a text, or in a file: the line behind the comment, or the only one. */
static exia_status read_key(char out[EXIA__KEY_TEXT_SIZE], const char *key, exia_error *err)
{
    exia__public_key point;
    char *text = NULL, *line = NULL;
    if (exia__public_key_parse(&point, key, "", NULL) == EXIA_OK) {
        memcpy(out, key, EXIA__KEY_TEXT_SIZE);
        return EXIA_OK;
    }
    if (strlen(key) == EXIA__KEY_TEXT_SIZE - 1 && !exia__path_exists(key))
        return exia__public_key_parse(&point, key, "the key", err);
    exia_status rc = exia__file_read(&text, NULL, key, EXIA__SIGNATURE_LIMIT, err);
    if (rc == EXIA_OK) {
        line = text;
        if (strncmp(line, "untrusted comment:", 18) == 0)
            line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n');
        size_t size = strcspn(line, "\n");
        if (line[size] == '\n' && line[size + 1] == '\0')
            line[size] = '\0';
        rc = exia__public_key_parse(&point, line, key, err);
    }
    if (rc == EXIA_OK)
        memcpy(out, line, EXIA__KEY_TEXT_SIZE);
    exia__release(text);
    return rc;
}

exia_status exia_key_trust(const char *trust_file, const char *name, const char *key,
                           exia_error *err)
{
    char text[EXIA__KEY_TEXT_SIZE];
    if (name == NULL || key == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_key_trust: the name or the key is NULL");
    exia_status rc = exia__name_check(name, "key's name", err);
    if (rc == EXIA_OK)
        rc = read_key(text, key, err);
    change now = {add_key, name, text, NULL};
    return rc < 0 ? rc : change_policy(trust_file, &now, err);
}

exia_status exia_key_revoke(const char *trust_file, const char *name, const char *why,
                            exia_error *err)
{
    if (name == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_key_revoke: the name is NULL");
    if (why != NULL && (*why == '\0' || !exia__text_valid(why, strlen(why))))
        return exia__fail(err, EXIA_EINVAL, 0, "why a key is revoked is one line of text");
    change now = {revoke_key, name, NULL, why};
    return change_policy(trust_file, &now, err);
}
