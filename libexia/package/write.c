/* Packing: walk, then the members and RECORD as frames, then the tail.  The file is staged beside its
 * place and renamed when it is whole. */
#include <string.h>
#include <unistd.h>

#include <zstd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "exia/package.h"
#include "package/contents.h"

enum { DEFAULT_LEVEL = 3, MOST_LEVEL = 19 };

typedef struct packing {
    exia__walk walk;
    json_t *manifest;
    const exia_sign_options *sign; /* NULL: not signed */
    exia__staged staged;
    exia__framer *framer;
    exia__work work;
} packing;

static exia_status pack_contents(packing *p, exia__metadata *metadata, exia_error *err)
{
    exia_status rc = exia__write_members(&metadata->size, p->framer, &p->walk, &p->work, err);
    metadata->members = p->walk.count;
    metadata->data_frames = exia__framer_count(p->framer);
    if (rc == EXIA_OK)
        rc = exia__write_record(&metadata->record_size, metadata->digest, p->framer, &p->walk,
                                &p->work, err);
    metadata->record_frames = exia__framer_count(p->framer) - metadata->data_frames;
    return rc;
}

static exia_status pack_tail(packing *p, exia__metadata *metadata, exia_error *err)
{
    exia__buffer part = {0};
    char *text = NULL, *signature = NULL;
    exia_status rc = exia__framer_digests(metadata->frames_digest, p->framer, err);
    if (rc == EXIA_OK)
        rc = exia__metadata_text(&text, metadata, err);
    if (rc == EXIA_OK)
        rc = exia__tar_own(&part, EXIA__METADATA_PATH, text, err);
    if (rc == EXIA_OK && part.size > EXIA__MOST_METADATA)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is too large", EXIA__MANIFEST_PATH);
    if (rc == EXIA_OK)
        rc = exia__framer_stored(p->framer, part.data, part.size, err);
    if (rc == EXIA_OK && p->sign != NULL)
        rc = exia__sign_metadata(&signature, text, p->manifest, p->sign, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__tar_end(&part, signature, err);
    if (rc == EXIA_OK)
        rc = exia__framer_stored(p->framer, part.data, part.size, err);
    if (rc == EXIA_OK)
        rc = exia__framer_table(p->framer, err);
    exia__buffer_free(&part);
    exia__release(signature);
    exia__release(text);
    return rc;
}

static exia_status read_manifest(packing *p, exia_error *err)
{
    const exia__entry *entry = exia__entry_find(p->walk.entries, p->walk.count, EXIA__MANIFEST_PATH,
                                                strlen(EXIA__MANIFEST_PATH));
    char *text = NULL;
    int fd = -1;
    if (entry != NULL && entry->type != 'f') /* a link, or not the first name of a file */
        return exia__fail(err, EXIA_EINVAL, 0,
                          "%s is no file, or has another name here: make it a file of its own",
                          EXIA__MANIFEST_PATH);
    if (entry == NULL)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the workspace has no file %s: make one with \"vedapkg new\"",
                          EXIA__MANIFEST_PATH);
    if (entry->size > EXIA__MOST_MANIFEST)
        return exia__fail(err, EXIA_EINVAL, 0, "%s has more than 1 MiB", EXIA__MANIFEST_PATH);
    size_t size = (size_t)entry->size;
    exia_status rc = exia__walk_file(&fd, &p->walk, (size_t)(entry - p->walk.entries), err);
    if (rc == EXIA_OK && (text = exia__resize(NULL, size + 1)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__walk_read(fd, text, size, 0, entry->path, err);
    if (rc == EXIA_OK)
        rc = exia__manifest_parse(&p->manifest, text, size, EXIA__MANIFEST_PATH, EXIA_EINVAL, err);
    if (rc == EXIA_OK)
        rc = exia__manifest_components(p->manifest, p->walk.entries, p->walk.count,
                                       EXIA__MANIFEST_PATH, EXIA_EINVAL, err);
    exia__release(text);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Where the package goes; it must not be a member of itself. */
static exia_status choose_file(char **out, const packing *p, const char *file, exia_error *err)
{
    struct stat info;
    exia_status rc = file != NULL ? exia__text_copy(out, file, err)
                                  : exia__text_format(out, err, "%s-%s-%s.veda",
                                                      exia__json_string(p->manifest, "name"),
                                                      exia__json_string(p->manifest, "version"),
                                                      exia__manifest_tag(p->manifest));
    if (rc < 0 || stat(*out, &info) != 0)
        return rc;
    if (!S_ISREG(info.st_mode)) /* above all no device: the rename would replace it */
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file: name one to write", *out);
    for (size_t i = 0; i < p->walk.count; i++) {
        if (p->walk.stamps[i].inode == info.st_ino && p->walk.stamps[i].device == info.st_dev)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "%s is itself a member of the workspace: write elsewhere, or list it "
                              "in .vedaignore",
                              *out);
    }
    return EXIA_OK;
}

/* Before the long work: the key may be missing, or locked. */
static exia_status try_key(const packing *p, exia_error *err)
{
    char *signature = NULL;
    exia_status rc = EXIA_OK;
    if (p->sign != NULL && p->sign->signature == NULL)
        rc = exia__sign_metadata(&signature, "", p->manifest, p->sign, NULL, err);
    exia__release(signature);
    return rc;
}

exia_status exia_package_write(char **written, const char *workspace, const char *file,
                               const exia_pack_options *options, const exia_job *job,
                               exia_error *err)
{
    exia_pack_options chosen = {0};
    exia_sign_options sign;
    exia__metadata metadata = {.zstd = ZSTD_versionString()};
    packing p = {.walk = {.root = -1}, .staged = {.fd = -1}};
    char *path = NULL;
    if (written != NULL)
        *written = NULL;
    if (workspace == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_write: the workspace is NULL");
    exia_status rc = exia__options(&chosen, sizeof chosen, options, err);
    if (rc == EXIA_OK && (chosen.level < 0 || chosen.level > MOST_LEVEL))
        rc = exia__fail(err, EXIA_EINVAL, 0, "the level %d is not within 1 to 19", chosen.level);
    metadata.level = chosen.level ? chosen.level : DEFAULT_LEVEL;
    if (rc == EXIA_OK && chosen.sign != NULL) {
        rc = exia__sign_options(&sign, chosen.sign, err);
        p.sign = &sign;
    }
    if (rc == EXIA_OK)
        rc = exia__work_begin(&p.work, job, err);
    if (rc == EXIA_OK)
        rc = exia__walk_open(&p.walk, workspace, &p.work, err);
    if (rc == EXIA_OK)
        rc = read_manifest(&p, err);
    if (rc == EXIA_OK)
        rc = try_key(&p, err);
    if (rc == EXIA_OK)
        rc = choose_file(&path, &p, file, err);
    if (rc == EXIA_OK)
        rc = exia__stage(&p.staged, path, EXIA__REPLACE, err);
    if (rc == EXIA_OK)
        rc = exia__framer_open(&p.framer, p.staged.fd, path, metadata.level, p.work.job.threads,
                               err);
    metadata.manifest = p.manifest;
    if (rc == EXIA_OK)
        rc = pack_contents(&p, &metadata, err);
    if (rc == EXIA_OK)
        rc = pack_tail(&p, &metadata, err);
    if (rc == EXIA_OK)
        rc = exia__stage_commit(&p.staged, EXIA__REPLACE, err);
    if (rc == EXIA_OK && written != NULL) {
        *written = path;
        path = NULL;
    }
    exia__framer_free(p.framer);
    exia__stage_free(&p.staged);
    exia__walk_free(&p.walk);
    json_decref(p.manifest);
    exia__release(path);
    return rc;
}
