/* What transfers leave when they end half way: a line in journal.db, and a file in staging/ that is their
 * lock.  A pull's file, HEX.part, holds what has arrived, and is kept a month; a push's, HEX.to-REMOTE, is
 * empty.  Files that nobody holds and no line speaks of go when the home is opened. */
#include "registry/journal.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"

#define FORGOTTEN_MS ((int64_t)30 * 24 * 3600 * 1000)

exia_status exia__journal_begin(char **key, const exia_registry *registry, const char *what,
                                const exia__side *side, const exia__parcel *parcel, exia_error *err)
{
    char *text = NULL;
    json_t *line = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I}", "format", 1, "do", what, "name",
                             parcel->name, "version", parcel->version, "tag", parcel->tag, "time",
                             (json_int_t)exia__now_ms());
    exia_status rc = line ? exia__json_text(&text, line, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__text_format(key, err, "%s/%s/%s", what, side->name, parcel->hex);
    if (rc == EXIA_OK)
        rc = exia__records_put(NULL, registry->journal, "transfer", *key, text, EXIA_ANY, NULL,
                               NULL, err);
    json_decref(line);
    exia__release(text);
    return rc;
}

exia_status exia__journal_end(const exia_registry *registry, const char *key, exia_error *err)
{
    return exia__records_remove(registry->journal, "transfer", key, EXIA_ANY, NULL, err);
}

exia_status exia__journal_file(char **out, const exia_registry *registry, const char *hex,
                               const char *to, exia_error *err)
{
    return exia__text_format(out, err, "%s/staging/%s.%s%s", registry->home, hex,
                             to ? "to-" : "part", to ? to : "");
}

/* ---- what was left ---- */

typedef struct leftover {
    const exia_registry *registry;
    json_t *wanted; /* the SHA-256 of each pull that may go on */
} leftover;

/* Forget a line that is old, and keep in mind what the others fetch. */
static exia_status look_at_line(const char *key, const char *text, int64_t revision, void *payload,
                                exia_error *err)
{
    const leftover *left = payload;
    const char *hex = strrchr(key, '/');
    json_t *line = NULL;
    exia_status rc = exia__json_object(&line, text, strlen(text), key, EXIA_ECORRUPT, err);
    int64_t age = exia__now_ms() - json_integer_value(json_object_get(line, "time"));
    json_decref(line);
    if (rc < 0)
        return rc;
    if (age >= FORGOTTEN_MS)
        rc = exia__records_remove(left->registry->journal, "transfer", key, revision, NULL, err);
    if (rc == EXIA_ECONFLICT) /* it was begun anew */
        rc = exia__forgive(err);
    else if (age >= FORGOTTEN_MS)
        return rc;
    if (rc == EXIA_OK && hex != NULL && strncmp(key, "pull/", 5) == 0)
        rc = exia__json_set(left->wanted, hex + 1, json_true(), err);
    return rc;
}

/* The file of a transfer that will not go on, or that needs none to do so. */
static int is_over(const char *name, const json_t *wanted)
{
    char hex[EXIA__HEX_SIZE] = "";
    if (strlen(name) < EXIA__HEX_SIZE || name[EXIA__HEX_SIZE - 1] != '.')
        return 0;
    memcpy(hex, name, EXIA__HEX_SIZE - 1);
    const char *what = name + EXIA__HEX_SIZE;
    return exia__hex_valid(hex) && (strncmp(what, "to-", 3) == 0 ||
                                    (strcmp(what, "part") == 0 && !json_object_get(wanted, hex)));
}

/* Who holds the lock lives; who waits for it sees that the file has no name any more. */
static exia_status drop_file(const exia_registry *registry, const char *name, exia_error *err)
{
    char *path = NULL;
    int lock = -1;
    exia_status rc = exia__text_format(&path, err, "%s/staging/%s", registry->home, name);
    if (rc == EXIA_OK)
        rc = exia__lock_try(&lock, path, err);
    if (rc == EXIA_OK)
        unlink(path);
    exia__lock_drop(lock);
    exia__release(path);
    return rc < 0 ? rc : EXIA_OK;
}

static exia_status drop_files(const leftover *left, exia_error *err)
{
    char *path = NULL;
    DIR *dir = NULL;
    exia_status rc = exia__registry_path(&path, left->registry, "staging", err);
    if (rc == EXIA_OK && (dir = opendir(path)) == NULL)
        rc = exia__fail_errno(err, errno, "cannot read", path);
    for (struct dirent *item; rc == EXIA_OK && dir && (item = readdir(dir)) != NULL;) {
        if (is_over(item->d_name, left->wanted))
            rc = drop_file(left->registry, item->d_name, err);
    }
    if (dir != NULL)
        closedir(dir);
    exia__release(path);
    return rc;
}

void exia__transfers_forget(const exia_registry *registry)
{
    exia_error why;
    leftover left = {registry, json_object()};
    exia_status rc = left.wanted ? EXIA_OK : exia__fail_memory(&why);
    if (rc == EXIA_OK)
        rc = exia__records_scan(registry->journal, "transfer", "", NULL, 0, NULL, look_at_line,
                                &left, NULL, &why);
    if (rc == EXIA_OK)
        rc = drop_files(&left, &why);
    if (rc < 0)
        exia__log(EXIA_LOG_WARNING, "registry", "old transfers stay: %s", why.text);
    json_decref(left.wanted);
}
