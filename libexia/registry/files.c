/* A directory of package files, as they come on a disk or from a build: no records, no network.  Of each
 * file the tail is read, and told as the event that would have registered it; so one identity twice
 * is the conflict that it is elsewhere, too.  What is taken is verified whole. */
#include "registry/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "package/read.h"
#include "registry/publish.h"

typedef struct listed {
    char *key;  /* NAME/VERSION/TAG/FILE; of a broken file its name */
    char *text; /* the event; of a broken file what is wrong */
} listed;

struct exia__files {
    char *directory;
    listed *items, *broken;
    size_t count, room, broken_count, broken_room;
};

int exia__files_named(const char *remote)
{
    return remote != NULL &&
           (strchr(remote, '/') != NULL || strcmp(remote, ".") == 0 || strcmp(remote, "..") == 0);
}

void exia__files_free(exia__files *files)
{
    if (files == NULL)
        return;
    for (size_t i = 0; i < files->count; i++) {
        exia__release(files->items[i].key);
        exia__release(files->items[i].text);
    }
    for (size_t i = 0; i < files->broken_count; i++) {
        exia__release(files->broken[i].key);
        exia__release(files->broken[i].text);
    }
    exia__release(files->items);
    exia__release(files->broken);
    exia__release(files->directory);
    exia__release(files);
}

/* The event of a package.  The digest of its file is not known yet, so the key is no blob's. */
static exia_status make_event(char **out, const exia_package *package, const char *file,
                              const struct stat *info, exia_error *err)
{
    char time[EXIA__TIME_SIZE], *key = NULL;
    json_t *metadata = NULL, *event = NULL;
    const char *facts = exia_package_facts(package);
    exia__time_text(time, (int64_t)info->st_mtim.tv_sec * 1000);
    exia_status rc =
        exia__text_format(&key, err, "packages/%s.veda", exia__package_digest(package));
    if (rc == EXIA_OK)
        rc = exia__json_object(&metadata, facts, strlen(facts), file, EXIA_ECORRUPT, err);
    if (rc == EXIA_OK) {
        event = json_pack("{s:i, s:s, s:s, s:s, s:[], s:s, s:s, s:s, s:I, s:b, s:O, s:{}}",
                          "format", 1, "do", "register", "token", file, "time", time, "supersedes",
                          "digest", exia__package_digest(package), "key", key, "file", file, "size",
                          (json_int_t)exia__package_file_size(package), "signed",
                          exia__package_signed(package), "metadata", metadata, "facts");
        rc = event ? exia__json_text(out, event, err) : exia__fail_memory(err);
    }
    json_decref(metadata);
    json_decref(event);
    exia__release(key);
    return rc;
}

static exia_status read_one(exia__files *files, const char *path, const char *file,
                            const struct stat *info, exia_error *err)
{
    exia_package *package = NULL;
    listed one = {0};
    exia_status rc = EXIA_OK;
    if (!exia__text_valid(file, strlen(file)))
        rc = exia__fail(err, EXIA_EINVAL, 0, "its name is no plain UTF-8");
    if (rc == EXIA_OK)
        rc = exia_package_open(&package, path, err);
    if (rc == EXIA_OK)
        rc = make_event(&one.text, package, file, info, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&one.key, err, "%s/%s/%s/%s", exia__package_name(package),
                               exia__package_version(package), exia__package_tag(package), file);
    if (rc == EXIA_OK)
        rc = exia__grow(&files->items, &files->room, files->count + 1, sizeof one, err);
    if (rc == EXIA_OK) {
        files->items[files->count++] = one;
        one = (listed){0};
    }
    exia__release(one.key);
    exia__release(one.text);
    exia_package_free(package);
    return rc;
}

static exia_status add_broken(exia__files *files, const char *file, const char *why,
                              exia_error *err)
{
    listed one = {0};
    exia_status rc = exia__text_copy(&one.key, file, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&one.text, err, "%s is passed over: %s", file, why);
    if (rc == EXIA_OK)
        rc = exia__grow(&files->broken, &files->broken_room, files->broken_count + 1, sizeof one,
                        err);
    if (rc == EXIA_OK) {
        exia__log(EXIA_LOG_WARNING, "registry", "%s", one.text);
        files->broken[files->broken_count++] = one;
        one = (listed){0};
    }
    exia__release(one.key);
    exia__release(one.text);
    return rc;
}

static exia_status look_at(exia__files *files, const char *file, exia_error *err)
{
    static const char ending[] = ".veda";
    size_t size = strlen(file), behind = sizeof ending - 1;
    struct stat info;
    char *path = NULL;
    exia_error why;
    if (*file == '.' || size <= behind || strcmp(file + size - behind, ending) != 0)
        return EXIA_OK;
    exia_status rc = exia__path_join(&path, files->directory, file, err);
    if (rc == EXIA_OK && stat(path, &info) != 0) {
        exia__fail_errno(&why, errno, "cannot read", path);
        rc = add_broken(files, file, why.text, err);
    } else if (rc == EXIA_OK && S_ISREG(info.st_mode)) {
        rc = read_one(files, path, file, &info, &why);
        rc = rc == EXIA_ENOMEM ? exia__error_pass(err, &why)
             : rc < 0          ? add_broken(files, file, why.text, err)
                               : EXIA_OK;
    }
    exia__release(path);
    return rc;
}

static int by_key(const void *left, const void *right)
{
    const listed *a = left, *b = right;
    return strcmp(a->key, b->key);
}

exia_status exia__files_open(exia__files **out, const char *directory, exia_error *err)
{
    exia__files *files = exia__zeroed(1, sizeof *files);
    *out = NULL;
    if (files == NULL)
        return exia__fail_memory(err);
    exia_status rc = exia__text_copy(&files->directory, directory, err);
    DIR *dir = rc == EXIA_OK ? opendir(directory) : NULL;
    if (rc == EXIA_OK && dir == NULL)
        rc = exia__fail_errno(err, errno, "cannot read the directory of packages", directory);
    for (struct dirent *item; rc == EXIA_OK && (item = readdir(dir)) != NULL;)
        rc = look_at(files, item->d_name, err);
    if (dir != NULL)
        closedir(dir);
    if (rc == EXIA_OK && files->count > 0)
        qsort(files->items, files->count, sizeof *files->items, by_key);
    if (rc == EXIA_OK && files->broken_count > 0)
        qsort(files->broken, files->broken_count, sizeof *files->broken, by_key);
    if (rc == EXIA_OK)
        *out = files;
    else
        exia__files_free(files);
    return rc;
}

exia_status exia__files_scan(const exia__files *files, const char *prefix, exia_record_fn *found,
                             void *payload, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < files->count; i++) {
        const listed *one = &files->items[i];
        if (strncmp(one->key, prefix, strlen(prefix)) == 0)
            rc = found(one->key, one->text, 1, payload, err);
    }
    return rc < 0 ? rc : EXIA_OK;
}

const char *exia__files_broken(const exia__files *files, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < files->broken_count; i++) {
        const char *file = files->broken[i].key;
        if (strncmp(file, name, size) == 0 && (file[size] == '-' || file[size] == '.'))
            return files->broken[i].text;
    }
    return NULL;
}

exia_status exia__files_take(exia_transfer *moved, const exia_registry *registry,
                             const exia__files *files, const exia__offer *offer, int dry_run,
                             exia__work *work, exia_error *err)
{
    uint64_t size = (uint64_t)json_integer_value(json_object_get(offer->event, "size"));
    exia__parcel parcel = {.fd = -1};
    exia__side here = exia__side_here(registry);
    char *path = NULL;
    *moved = (exia_transfer){.total = size, .moved = size};
    if (dry_run)
        return EXIA_OK;
    exia_status rc =
        exia__path_join(&path, files->directory, exia__json_string(offer->event, "file"), err);
    if (rc == EXIA_OK)
        rc = exia__parcel_take(&parcel, registry, path, work, err);
    if (rc == EXIA_OK &&
        (strcmp(parcel.name, offer->name) != 0 || strcmp(parcel.version, offer->version) != 0 ||
         strcmp(parcel.tag, offer->tag) != 0 ||
         strcmp(parcel.digest, exia__json_string(offer->event, "digest")) != 0))
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s was replaced meanwhile", path);
    if (rc == EXIA_OK)
        rc = exia__publish(moved, registry, &here, &parcel, NULL, work, err);
    exia__parcel_free(&parcel);
    exia__release(path);
    return rc;
}
