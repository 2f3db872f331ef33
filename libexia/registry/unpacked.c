/* A registered package unpacked where nobody sees it yet: its file is that of the record, what it holds is
 * verified on the way, and the trust file of the home is asked. */
#include "registry/unpacked.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/trust.h"
#include "package/read.h"
#include "registry/publish.h"

exia_status exia__offer_of(const exia__offer **out, exia__offers *offers, const exia__side *side,
                           const json_t *wanted, exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    const char *name = exia__json_string(wanted, "name"),
               *version = exia__json_string(wanted, "version"),
               *tag = exia__json_string(wanted, "tag");
    char *text = NULL;
    exia_status rc = exia__text_format(&text, err, "%s@%s#%s", name, version, tag);
    const exia__spec exact = {
        .text = text, .name = (char *)name, .version = (char *)version, .tag = (char *)tag};
    if (rc == EXIA_OK)
        rc = exia__offer_find(out, offers, side, &exact, &job, err);
    if (rc == EXIA_OK && strcmp(exia__json_string((*out)->event, "digest"),
                                exia__json_string(wanted, "digest")) != 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s@%s was replaced meanwhile", name, version);
    exia__release(text);
    return rc;
}

static exia_status make_row(json_t **out, const exia_package *package, exia_error *err)
{
    static const char *const lists[] = {"components", "dependencies"};
    const json_t *manifest = exia__package_manifest(package);
    json_t *points = json_object_get(manifest, "entry_points");
    char now[EXIA__TIME_SIZE];
    exia__time_text(now, exia__now_ms());
    json_t *row =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "format", 1, "name",
                  exia__package_name(package), "version", exia__package_version(package), "tag",
                  exia__package_tag(package), "digest", exia__package_digest(package), "time", now);
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "entry_points", points ? json_incref(points) : json_object(), err);
    for (size_t i = 0; rc == EXIA_OK && i < 2; i++) {
        json_t *list = json_object_get(manifest, lists[i]);
        rc = exia__json_set(row, lists[i], list ? json_incref(list) : json_array(), err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "requested", json_false(), err);
    *out = rc == EXIA_OK ? row : NULL;
    if (rc < 0)
        json_decref(row);
    return rc;
}

/* Is this what the plan was made for?  A record may have said something else. */
static exia_status check_package(const exia_package *package, const json_t *row,
                                 const json_t *wanted, exia_error *err)
{
    const json_t *ours = json_object_get(row, "dependencies");
    const json_t *planned = json_object_get(wanted, "dependencies");
    if (strcmp(exia__package_digest(package), exia__json_string(wanted, "digest")) == 0 &&
        strcmp(exia__package_name(package), exia__json_string(wanted, "name")) == 0 &&
        strcmp(exia__package_version(package), exia__json_string(wanted, "version")) == 0 &&
        strcmp(exia__package_tag(package), exia__json_string(wanted, "tag")) == 0 &&
        json_equal(ours, planned))
        return EXIA_OK;
    return exia__fail(err, EXIA_ECORRUPT, 0,
                      "the file of %s@%s here is not the package that its record describes: "
                      "unregister it, then register or pull it again",
                      exia__json_string(wanted, "name"), exia__json_string(wanted, "version"));
}

/* By the trust file of the home that it is installed in. */
static exia_status check_trust(const exia_package *package, const exia_registry *registry,
                               exia_error *err)
{
    char *path = NULL;
    json_t *policy = NULL;
    exia_status rc = exia__registry_path(&path, registry, "trust.json", err);
    if (rc == EXIA_OK)
        rc = exia__trust_read(&policy, path, 1, err);
    if (rc == EXIA_OK)
        rc = exia__package_trusted_by(package, policy, 0, err);
    json_decref(policy);
    exia__release(path);
    return rc;
}

/* Its file, as it is registered here. */
static exia_status open_registered(exia_package **out, const exia_registry *registry,
                                   const json_t *wanted, exia__work *work, exia_error *err)
{
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia__parcel parcel = {.fd = -1};
    exia__side here = exia__side_here(registry);
    exia_status rc = exia__offer_of(&offer, &offers, &here, wanted, work, err);
    if (rc == EXIA_OK)
        rc = exia__parcel_of(&parcel, registry, offer, err);
    if (rc == EXIA_OK)
        rc = exia__package_open_fd(out, parcel.fd, parcel.path, err);
    exia__parcel_free(&parcel);
    exia__offers_free(&offers);
    return rc;
}

/* As open as the directory that it goes to. */
static exia_status set_mode(int root, const exia_registry *registry, exia_error *err)
{
    char *path = NULL;
    struct stat info;
    exia_status rc = exia__registry_path(&path, registry, "installed", err);
    if (rc == EXIA_OK && (stat(path, &info) != 0 || fchmod(root, info.st_mode & 0777) != 0))
        rc = exia__fail_errno(err, errno, "cannot give a package the mode of", path);
    exia__release(path);
    return rc;
}

exia_status exia__unpack_registered(json_t **row, const exia_registry *registry,
                                    const json_t *wanted, const char *directory, exia__work *work,
                                    exia_error *err)
{
    exia_job job = exia__work_rest(work);
    const exia_unpack_options whole = {0};
    exia_package *package = NULL;
    int root = -1;
    exia_status rc;
    *row = NULL;
    if ((rc = open_registered(&package, registry, wanted, work, err)) < 0 ||
        (rc = make_row(row, package, err)) < 0 ||
        (rc = check_package(package, *row, wanted, err)) < 0 ||
        (rc = check_trust(package, registry, err)) < 0)
        goto done;
    if (mkdir(directory, 0700) != 0 ||
        (root = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        rc = exia__fail_errno(err, errno, "cannot make the directory", directory);
    if (rc == EXIA_OK)
        rc = exia__package_unpack_into(package, root, directory, &whole, &job, err);
    if (rc == EXIA_OK)
        rc = exia__record_keep(package, root, directory, err);
    if (rc == EXIA_OK)
        rc = set_mode(root, registry, err);
done:
    if (root >= 0)
        close(root);
    exia_package_free(package);
    return rc;
}

exia_status exia__registered_record(char **out, size_t *size, const exia_registry *registry,
                                    const json_t *wanted, exia__work *work, exia_error *err)
{
    exia_package *package = NULL;
    exia_status rc = open_registered(&package, registry, wanted, work, err);
    if (rc == EXIA_OK)
        rc = exia__package_record(out, size, package, err);
    exia_package_free(package);
    return rc;
}
