/* A package file in hand: verified and hashed from one descriptor, so that whatever happens to its name
 * meanwhile, what is published is what was looked at. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/read.h"
#include "registry/delta.h"

void exia__parcel_free(exia__parcel *parcel)
{
    if (parcel->fd >= 0)
        close(parcel->fd);
    exia__release(parcel->path);
    exia__release(parcel->key);
    exia__release(parcel->name);
    exia__release(parcel->version);
    exia__release(parcel->tag);
    exia__release(parcel->digest);
    json_decref(parcel->metadata);
    *parcel = (exia__parcel){.fd = -1};
}

/* Take over what the package says of itself. */
static exia_status describe(exia__parcel *parcel, const exia_package *package, exia_error *err)
{
    const char *facts = exia_package_facts(package);
    exia_status rc;
    if ((rc = exia__text_copy(&parcel->name, exia__package_name(package), err)) < 0 ||
        (rc = exia__text_copy(&parcel->version, exia__package_version(package), err)) < 0 ||
        (rc = exia__text_copy(&parcel->tag, exia__package_tag(package), err)) < 0 ||
        (rc = exia__text_copy(&parcel->digest, exia__package_digest(package), err)) < 0 ||
        (rc = exia__json_object(&parcel->metadata, facts, strlen(facts), parcel->path,
                                EXIA_ECORRUPT, err)) < 0)
        return rc;
    parcel->is_signed = exia__package_signed(package);
    memcpy(parcel->index, exia__package_index(package), sizeof parcel->index);
    return EXIA_OK;
}

static exia_status open_package(exia_package **out, const exia__parcel *parcel, exia_error *err)
{
    return exia__package_open_at(out, parcel->fd, parcel->base, parcel->size, parcel->path, err);
}

/* Verify the package, and hash its file on the way. */
static exia_status read_package(exia__parcel *parcel, exia__work *work, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_package *package = NULL;
    exia_status rc = open_package(&package, parcel, err);
    if (rc == EXIA_OK)
        rc = exia__package_check(digest, package, work, err);
    if (rc == EXIA_OK)
        rc = describe(parcel, package, err);
    if (rc == EXIA_OK) {
        exia__hex(parcel->hex, digest, sizeof digest);
        rc = exia__text_format(&parcel->key, err, "packages/%s.veda", parcel->hex);
    }
    exia_package_free(package);
    return rc;
}

/* Verified and hashed, of a file that must not change meanwhile. */
static exia_status look(exia__parcel *parcel, exia__work *work, exia_error *err)
{
    struct stat before, after;
    if (fstat(parcel->fd, &before) != 0)
        return exia__fail_errno(err, errno, "cannot read", parcel->path);
    exia_status rc = read_package(parcel, work, err);
    /* The ends were read twice, and what is stored is only compared with the hash. */
    if (rc == EXIA_OK && (fstat(parcel->fd, &after) != 0 || before.st_size != after.st_size ||
                          before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
                          before.st_mtim.tv_nsec != after.st_mtim.tv_nsec ||
                          before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
                          before.st_ctim.tv_nsec != after.st_ctim.tv_nsec))
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s changed while it was read", parcel->path);
    return rc;
}

/* A parcel of an open file, which is kept by a duplicate. */
static exia_status begin(exia__parcel *out, int fd, uint64_t base, uint64_t size, const char *path,
                         exia_error *err)
{
    *out = (exia__parcel){.base = base, .size = size};
    out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return out->fd < 0 ? exia__fail_errno(err, errno, "cannot read", path)
                       : exia__text_copy(&out->path, path, err);
}

exia_status exia__parcel_open_at(exia__parcel *out, int fd, uint64_t base, uint64_t size,
                                 const char *path, exia__work *work, exia_error *err)
{
    exia_status rc = begin(out, fd, base, size, path, err);
    if (rc == EXIA_OK)
        rc = look(out, work, err);
    if (rc < 0)
        exia__parcel_free(out);
    return rc;
}

/* Its time changes while we work on it, so that is not compared.  Where modes mean nothing it is copied
 * in the end, and what is stored is compared with the hash. */
exia_status exia__parcel_open_own(exia__parcel *out, int fd, uint64_t size, const char *path,
                                  exia__work *work, exia_error *err)
{
    struct stat info;
    exia_status rc = begin(out, fd, 0, size, path, err);
    if (rc == EXIA_OK && fstat(fd, &info) != 0)
        rc = exia__fail_errno(err, errno, "cannot read", path);
    if (rc == EXIA_OK)
        rc = read_package(out, work, err);
    if (rc == EXIA_OK)
        out->alone = info.st_uid == geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    else
        exia__parcel_free(out);
    return rc;
}

static exia_status open_file(exia__parcel *parcel, const char *path, exia_error *err)
{
    struct stat info;
    exia_status rc = exia__text_copy(&parcel->path, path, err);
    if (rc < 0)
        return rc;
    parcel->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not block */
    if (parcel->fd < 0 || fstat(parcel->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", path);
    parcel->size = (uint64_t)info.st_size;
    return exia__package_regular(&info, path, err);
}

exia_status exia__parcel_open(exia__parcel *out, const char *path, exia__work *work,
                              exia_error *err)
{
    *out = (exia__parcel){.fd = -1};
    exia_status rc = open_file(out, path, err);
    if (rc == EXIA_OK)
        rc = look(out, work, err);
    if (rc < 0)
        exia__parcel_free(out);
    return rc;
}

/* ---- a copy ------------------------------------------------------------------------------------- */

/* Will the file be stored, if it is what it says?  Then a copy is made in any case. */
static exia_status is_new(int *out, const exia_registry *registry, const exia__parcel *file,
                          exia__work *work, exia_error *err)
{
    const exia__side here = exia__side_here(registry);
    exia__parcel said = {.fd = -1};
    exia_package *package = NULL;
    int known = 0;
    *out = 0;
    exia_status rc = exia__text_copy(&said.path, file->path, err);
    if (rc == EXIA_OK)
        rc = open_package(&package, file, err);
    if (rc == EXIA_OK)
        rc = describe(&said, package, err);
    if (rc == EXIA_OK) /* what is wrong with that is told when the file was verified */
        *out = exia__publish_known(&known, &here, &said, work, NULL) == EXIA_OK && !known;
    exia__parcel_free(&said);
    exia_package_free(package);
    return rc;
}

/* A file without a name, which goes with the process.  EXIA_DONE: there are none such here. */
static exia_status copy_file(int *out, const exia_registry *registry, const exia__parcel *file,
                             exia__work *work, exia_error *err)
{
    enum { PIECE = 32 << 20 };
    char *staging = NULL;
    exia_status rc = exia__registry_path(&staging, registry, "staging", err);
    if (rc == EXIA_OK && (*out = open(staging, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0)
        rc = EXIA_DONE;
    for (uint64_t at = 0; rc == EXIA_OK && at < file->size; at += PIECE) {
        uint64_t size = file->size - at < PIECE ? file->size - at : PIECE;
        rc = exia__work_step(work, "copying", at, file->size, err);
        if (rc == EXIA_OK)
            rc = exia__copy_range(*out, file->fd, at, size, file->path, err);
        if (rc == EXIA_OK) /* let the disk begin */
            (void)sync_file_range(*out, (off_t)at, (off_t)size, SYNC_FILE_RANGE_WRITE);
    }
    exia__release(staging);
    return rc;
}

exia_status exia__parcel_take(exia__parcel *out, const exia_registry *registry, const char *path,
                              exia__work *work, exia_error *err)
{
    exia__parcel file = {.fd = -1};
    int wanted = 0, copy = -1;
    *out = file;
    exia_status rc = open_file(&file, path, err);
    if (rc == EXIA_OK)
        rc = is_new(&wanted, registry, &file, work, err);
    if (rc == EXIA_OK)
        rc = wanted ? copy_file(&copy, registry, &file, work, err) : EXIA_DONE;
    if (rc == EXIA_OK)
        rc = exia__parcel_open_own(out, copy, file.size, path, work, err);
    else if (rc == EXIA_DONE)
        rc = exia__parcel_open_at(out, file.fd, 0, file.size, path, work, err);
    if (copy >= 0)
        close(copy);
    exia__parcel_free(&file);
    return rc;
}

/* ---- of an offer -------------------------------------------------------------------------------- */

exia_status exia__parcel_describe(exia__parcel *out, const exia__offer *offer, exia_error *err)
{
    exia__parcel parcel = {.fd = -1};
    const json_t *event = offer->event;
    exia_status rc;
    *out = parcel;
    if ((rc = exia__text_copy(&parcel.key, exia__json_string(event, "key"), err)) < 0 ||
        (rc = exia__text_copy(&parcel.name, offer->name, err)) < 0 ||
        (rc = exia__text_copy(&parcel.version, offer->version, err)) < 0 ||
        (rc = exia__text_copy(&parcel.tag, offer->tag, err)) < 0 ||
        (rc = exia__text_copy(&parcel.digest, exia__json_string(event, "digest"), err)) < 0) {
        exia__parcel_free(&parcel);
        return rc;
    }
    memcpy(parcel.hex, parcel.key + strlen("packages/"), EXIA__HEX_SIZE - 1);
    parcel.size = (uint64_t)json_integer_value(json_object_get(event, "size"));
    parcel.is_signed = json_is_true(json_object_get(event, "signed"));
    parcel.metadata = json_incref(json_object_get(event, "metadata"));
    *out = parcel;
    return EXIA_OK;
}

exia_status exia__parcel_of(exia__parcel *out, const exia_registry *registry,
                            const exia__offer *offer, exia_error *err)
{
    struct stat info;
    exia__index index = {0};
    exia_status rc = exia__parcel_describe(out, offer, err);
    if (rc == EXIA_OK)
        rc = exia__blobs_local(&out->path, registry->blobs, out->key, err);
    if (rc == EXIA_OK) {
        out->fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (out->fd < 0 || fstat(out->fd, &info) != 0)
            rc = exia__fail_errno(err, errno, "cannot read", out->path);
        else if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != out->size)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s has not its recorded size", out->path);
    }
    /* not from the record, which may be an older one; of a damaged file the push will tell */
    if (rc == EXIA_OK && exia__index_of_parcel(&index, out, NULL) == EXIA_OK)
        memcpy(out->index, index.hex, sizeof out->index);
    exia__index_free(&index);
    if (rc == EXIA_ECORRUPT || rc == EXIA_ENOTFOUND)
        exia__prefix(err, rc, "register or pull %s@%s again", offer->name, offer->version);
    if (rc < 0)
        exia__parcel_free(out);
    return rc;
}
