/* What is wrong is told by what is there, never by what a call said: directories are hashed again,
 * blobs too, and records are read behind the registry's back. */
#include "support/depot.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "package/version.h"
#include "registry/registry.h"

enum { PATH = 600 };

static const char *text_of(const json_t *row, const char *member)
{
    const char *text = json_string_value(json_object_get(row, member));
    return text ? text : "";
}

/* All rows as an array; NULL: told, or there is no room to read them. */
static json_t *read_rows(exia_registry *registry, int of_installed)
{
    exia_rows *rows = NULL;
    exia_error why = {0};
    const char *line = NULL;
    exia_status rc = of_installed ? exia_registry_installed(&rows, registry, NULL, &why)
                                  : exia_registry_query(&rows, registry, NULL, NULL, &why);
    json_t *list = json_array();
    while (rc == EXIA_OK && (rc = exia_rows_next(&line, rows, &why)) == EXIA_OK)
        json_array_append_new(list, json_loads(line, 0, NULL));
    exia_rows_free(rows);
    if (rc != EXIA_DONE) {
        if (rc != EXIA_ENOSPACE) /* that SQLite needs, and that is told */
            witness_wrong("rows are not read: %s", why.text);
        json_decref(list);
        return NULL;
    }
    return list;
}

/* Is a row of this package, of that time and digest, still there? */
static int still_there(exia_registry *registry, int of_installed, const json_t *row)
{
    size_t i = 0;
    json_t *list = read_rows(registry, of_installed), *now = NULL;
    int same = 0;
    json_array_foreach(list, i, now)
    {
        same |= strcmp(text_of(row, "name"), text_of(now, "name")) == 0 &&
                strcmp(text_of(row, "version"), text_of(now, "version")) == 0 &&
                strcmp(text_of(row, "time"), text_of(now, "time")) == 0 &&
                strcmp(text_of(row, "digest"), text_of(now, "digest")) == 0;
    }
    json_decref(list);
    return same;
}

static int item_of(const json_t *row, int *content)
{
    int item = stock_find(text_of(row, "name"), text_of(row, "version"));
    *content = item < 0 ? STOCK_NONE : stock_content(item, text_of(row, "digest"));
    if (*content == STOCK_NONE)
        witness_wrong("%s@%s is not one of ours", text_of(row, "name"), text_of(row, "version"));
    return item;
}

/* ---- installed ------------------------------------------------------------------------------- */

static int is_as_packed(const char *home, const json_t *row)
{
    char path[PATH];
    int content, item = item_of(row, &content);
    if (content == STOCK_NONE)
        return 0;
    snprintf(path, sizeof path, "%s/installed/%s", home, stock[item].target);
    return stock_tree(path) == stock[item].tree[content];
}

void depot_look_at_installed(exia_registry *registry, const char *home, unsigned die)
{
    json_t *list = read_rows(registry, 1);
    const json_t *row =
        json_array_get(list, json_array_size(list) ? die % json_array_size(list) : 0);
    if (row != NULL && !is_as_packed(home, row) && still_there(registry, 1, row))
        witness_wrong("what is installed as %s@%s is not what was packed", text_of(row, "name"),
                      text_of(row, "version"));
    json_decref(list);
}

static int met(const json_t *list, const char *need)
{
    exia__dependency dependency;
    size_t i = 0;
    json_t *row = NULL;
    if (exia__dependency_parse(&dependency, need, NULL) < 0)
        return 0;
    json_array_foreach(list, i, row)
    {
        if (strcmp(dependency.name, text_of(row, "name")) == 0 &&
            exia__dependency_match(&dependency, text_of(row, "version")))
            return 1;
    }
    return 0;
}

static exia_status is_intended(const char *key, const char *text, int64_t revision, void *payload,
                               exia_error *error)
{
    const char **target = payload;
    (void)key, (void)revision, (void)error;
    if (*target != NULL && strstr(text, *target) != NULL)
        *target = NULL; /* found */
    return EXIA_OK;
}

/* A directory without a row is one that a living or a dead process meant to fill or to empty. */
static void look_for_strangers(exia_registry *registry, const char *home, const json_t *list)
{
    char path[PATH];
    for (int item = 0; item < STOCK_ITEMS; item++) {
        size_t i = 0;
        json_t *row = NULL;
        const char *target = stock[item].target;
        snprintf(path, sizeof path, "%s/installed/%s", home, target);
        int has_row = 0;
        json_array_foreach(list, i, row)
        {
            int content;
            has_row |= item_of(row, &content) == item;
        }
        if (has_row == (access(path, F_OK) == 0))
            continue;
        if (!has_row)
            exia__records_scan(registry->journal, "intent", "", NULL, 0, NULL, is_intended, &target,
                               NULL, NULL);
        if (target != NULL)
            witness_wrong("%s has %s", path, has_row ? "a row and no directory" : "no row");
    }
}

/* Of each name that is installed one is current. */
static void look_for_current(const json_t *list, const char *name)
{
    size_t i = 0;
    json_t *row = NULL;
    int count = 0;
    json_array_foreach(list, i, row)
    {
        count += strcmp(text_of(row, "name"), name) == 0 &&
                 json_is_true(json_object_get(row, "current"));
    }
    if (count != 1)
        witness_wrong("%d versions of %s are current", count, name);
}

static void look_at_rows(exia_registry *registry, const char *home)
{
    size_t i = 0, k = 0;
    json_t *list = read_rows(registry, 1), *row = NULL, *need = NULL;
    if (list == NULL)
        return;
    json_array_foreach(list, i, row)
    {
        look_for_current(list, text_of(row, "name"));
        json_array_foreach(json_object_get(row, "dependencies"), k, need)
        {
            if (!met(list, json_string_value(need)))
                witness_wrong("%s@%s is installed without %s", text_of(row, "name"),
                              text_of(row, "version"), json_string_value(need));
        }
    }
    look_for_strangers(registry, home, list);
    json_decref(list);
}

void depot_look_under_lock(exia_registry *registry, const char *home)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/lock", home);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) != 0)
        witness_wrong("%s cannot be locked", path);
    else
        look_at_rows(registry, home);
    if (lock >= 0)
        close(lock);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

static int blob_is_whole(const char *path)
{
    char hex[EXIA__HEX_SIZE];
    stock_hash(hex, path);
    return hex[0] != '\0' && strncmp(strrchr(path, '/') + 1, hex, EXIA__HEX_SIZE - 1) == 0;
}

void depot_look_at_blobs(const char *place, unsigned die)
{
    char pattern[PATH];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s/packages/packages/*.veda", place);
    if (glob(pattern, 0, NULL, &found) == 0) {
        const char *path = found.gl_pathv[die % found.gl_pathc];
        if (!blob_is_whole(path) && access(path, F_OK) == 0)
            witness_wrong("%s is there in part", path);
    }
    globfree(&found);
}

static int has_blob(const char *home, const json_t *row)
{
    char path[PATH];
    int content, item = item_of(row, &content);
    snprintf(path, sizeof path, "%s/packages/blobs/packages/%s.veda", home,
             content == STOCK_NONE ? "" : stock[item].hex[content]);
    return blob_is_whole(path);
}

void depot_look_at_registered(exia_registry *registry, const char *home, unsigned die)
{
    json_t *list = read_rows(registry, 0);
    const json_t *row =
        json_array_get(list, json_array_size(list) ? die % json_array_size(list) : 0);
    if (row != NULL && !has_blob(home, row) && still_there(registry, 0, row))
        witness_wrong("%s@%s is registered in %s, and its file is not whole", text_of(row, "name"),
                      text_of(row, "version"), home);
    json_decref(list);
}

/* ---- at the end ------------------------------------------------------------------------------ */

static long each_entry(const char *directory, void (*look)(const char *path, void *payload),
                       void *payload)
{
    DIR *dir = opendir(directory);
    long count = 0;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[PATH];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (look != NULL)
            look(path, payload);
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

static void look_at_blob(const char *path, void *payload)
{
    (void)payload;
    if (!blob_is_whole(path))
        witness_wrong("%s is there in part", path);
}

static exia_status fetches(const char *key, const char *text, int64_t revision, void *payload,
                           exia_error *error)
{
    const char **name = payload;
    (void)text, (void)revision, (void)error;
    if (*name != NULL && strncmp(strrchr(key, '/') + 1, *name, EXIA__HEX_SIZE - 1) == 0)
        *name = NULL;
    return EXIA_OK;
}

/* Only a pull that was cut may leave something, and the journal knows of it. */
static void look_at_staged(const char *path, void *payload)
{
    const exia_registry *registry = payload;
    const char *name = strrchr(path, '/') + 1;
    if (strstr(name, ".part") != NULL)
        exia__records_scan(registry->journal, "transfer", "pull/", NULL, 0, NULL, fetches, &name,
                           NULL, NULL);
    if (name != NULL)
        witness_wrong("%s was left over", path);
}

/* The link to the current version leads to it. */
static void look_at_link(const char *home, const json_t *row)
{
    char path[PATH], target[PATH], expected[PATH];
    snprintf(path, sizeof path, "%s/installed/%s/current", home, text_of(row, "name"));
    snprintf(expected, sizeof expected, "%s/%s", text_of(row, "version"), text_of(row, "tag"));
    ssize_t size = readlink(path, target, sizeof target - 1);
    target[size < 0 ? 0 : size] = '\0';
    if (json_is_true(json_object_get(row, "current")) && strcmp(target, expected) != 0)
        witness_wrong("%s leads to \"%s\", and %s is current", path, target, expected);
}

void depot_look_at_all(exia_registry *registry, const char *home)
{
    char path[PATH];
    size_t i = 0;
    json_t *row = NULL, *there = read_rows(registry, 1), *known = read_rows(registry, 0);
    look_at_rows(registry, home);
    json_array_foreach(there, i, row)
    {
        look_at_link(home, row);
        if (!is_as_packed(home, row))
            witness_wrong("%s@%s is not what was packed", text_of(row, "name"),
                          text_of(row, "version"));
    }
    json_array_foreach(known, i, row)
    {
        if (!has_blob(home, row))
            witness_wrong("%s@%s has no whole file", text_of(row, "name"), text_of(row, "version"));
    }
    json_decref(there);
    json_decref(known);
    snprintf(path, sizeof path, "%s/packages/blobs/packages", home);
    each_entry(path, look_at_blob, NULL);
    snprintf(path, sizeof path, "%s/staging", home);
    each_entry(path, look_at_staged, registry);
}

static void make_old(const char *path, void *payload)
{
    const time_t then = time(NULL) - 100000;
    (void)payload;
    utimensat(AT_FDCWD, path, (const struct timespec[2]){{.tv_sec = then}, {.tv_sec = then}}, 0);
}

/* The file of a package that is registered? */
static void look_at_named(const char *path, void *payload)
{
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(payload, i, row)
    {
        int content, item = item_of(row, &content);
        if (content != STOCK_NONE && strstr(path, stock[item].hex[content]) != NULL)
            return;
    }
    witness_wrong("%s stays, and no record names it", path);
}

void depot_look_for_orphans(exia_registry *registry, const char *home)
{
    const exia_prune_options options = {.struct_size = sizeof options, .apply = 1};
    exia_error why = {0};
    exia_rows *rows = NULL;
    char path[PATH];
    snprintf(path, sizeof path, "%s/packages/blobs/packages", home);
    each_entry(path, make_old, NULL);
    if (exia_registry_prune(&rows, registry, &options, NULL, &why) < 0)
        witness_wrong("prune fails: %s", why.text);
    exia_rows_free(rows);
    json_t *known = read_rows(registry, 0);
    each_entry(path, look_at_named, known);
    json_decref(known);
}

typedef struct look {
    const char *remote;
    int8_t *offered;
} look;

static exia_status look_at_identity(const char *key, const char *text, int64_t revision,
                                    void *payload, exia_error *error)
{
    const look *at = payload;
    json_t *identity = json_loads(text, 0, NULL);
    (void)revision, (void)error;
    for (int item = 0; item < STOCK_ITEMS; item++) {
        if (strcmp(stock[item].target, key) == 0)
            at->offered[item] = (int8_t)stock_content(item, text_of(identity, "digest"));
    }
    json_decref(identity);
    return EXIA_OK;
}

static exia_status look_at_event(const char *key, const char *text, int64_t revision, void *payload,
                                 exia_error *error)
{
    const look *at = payload;
    char path[PATH];
    json_t *event = json_loads(text, 0, NULL);
    (void)revision, (void)error;
    snprintf(path, sizeof path, "%s/packages/%s", at->remote, text_of(event, "key"));
    if (*text_of(event, "key") != '\0' && !blob_is_whole(path))
        witness_wrong("%s names %s, which is not there", key, path);
    for (int item = 0; item < STOCK_ITEMS; item++) {
        if (strncmp(stock[item].target, key, strlen(stock[item].target)) == 0 &&
            *text_of(event, "key") != '\0' &&
            stock_content(item, text_of(event, "digest")) != at->offered[item])
            witness_wrong("%s has another content than its identity", key);
    }
    json_decref(event);
    return EXIA_OK;
}

void depot_look_at_remote(const char *remote, int8_t offered[STOCK_ITEMS])
{
    char path[PATH];
    exia__records *records = NULL;
    exia_error why = {0};
    look at = {remote, offered};
    snprintf(path, sizeof path, "%s/packages/packages", remote);
    each_entry(path, look_at_blob, NULL);
    snprintf(path, sizeof path, "sqlite:%s/records.db", remote);
    if (exia__records_open(&records, path, EXIA_STORE_READ, NULL, &why) < 0 ||
        exia__records_scan(records, "identity", "", NULL, 0, NULL, look_at_identity, &at, NULL,
                           &why) < 0 ||
        exia__records_scan(records, "package", "", NULL, 0, NULL, look_at_event, &at, NULL, &why) <
            0)
        witness_wrong("%s is not read: %s", path, why.text);
    exia__records_free(records);
}

/* ---- what must stay bounded ------------------------------------------------------------------ */

static void largest(long *peak, long now)
{
    if (now > *peak)
        *peak = now;
}

static void make_idle_old(const char *path, void *payload)
{
    struct stat info;
    if (stat(path, &info) == 0 && time(NULL) - info.st_mtime > 20)
        make_old(path, payload);
}

void depot_measure(depot_peak *peak, const char *place)
{
    static const char *const databases[] = {"packages/catalog.db", "journal.db", "records.db"};
    static const char *const stagings[] = {"staging", "packages/blobs/.staging",
                                           "packages/.staging"};
    char path[PATH];
    struct stat info;
    long staged = 0;
    for (size_t i = 0; i < sizeof databases / sizeof *databases; i++) {
        snprintf(path, sizeof path, "%s/%s-wal", place, databases[i]);
        if (stat(path, &info) == 0)
            largest(&peak->wal, info.st_size);
        snprintf(path, sizeof path, "%s/%s", place, databases[i]);
        if (stat(path, &info) == 0)
            largest(&peak->database, info.st_size);
    }
    for (size_t i = 0; i < sizeof stagings / sizeof *stagings; i++) {
        snprintf(path, sizeof path, "%s/%s", place, stagings[i]);
        staged += each_entry(path, i > 0 ? make_idle_old : NULL, NULL);
    }
    largest(&peak->staged, staged);
}

void depot_measure_process(depot_peak *peak, pid_t pid, int warm)
{
    char path[PATH], text[100] = "";
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    largest(&peak->files, each_entry(path, NULL, NULL));
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (file != NULL && fgets(text, sizeof text, file) != NULL &&
        sscanf(text, "%*d %ld", &pages) == 1)
        largest(warm ? &peak->memory : &peak->memory_first, pages * sysconf(_SC_PAGESIZE));
    if (file != NULL)
        fclose(file);
}

void depot_check_peak(const depot_peak *peak)
{
    print_message(
        "at most: WAL %ld kB, database %ld kB, %ld staged entries, %ld open files, memory %ld "
        "MB at first, %ld MB later\n",
        peak->wal / 1000, peak->database / 1000, peak->staged, peak->files,
        peak->memory_first / 1000000, peak->memory / 1000000);
    assert_in_range(peak->wal, 0, 16 << 20);
    assert_in_range(peak->staged, 0, 100);
    assert_in_range(peak->files, 0, 64);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(peak->memory, 0, peak->memory_first + (64 << 20));
#endif
}
