/* Drivers in modules: found by the name of their system when a URL first needs one, and never unloaded.
 *
 * What is loaded is code.  A directory of EXIA_DRIVER_PATH must be one that nobody else writes to;
 * beside the library there is nothing to ask: who may write there could have written the library. */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/trust.h"
#include "store/driver.h"

enum { LONGEST_SYSTEM = 40 };

/* The modules of our own, their first schemes, and Debian's packages that they need: where they run, and
 * where they are built. */
static const struct {
    const char *name, *scheme, *runs, *builds;
} ours[] = {
    {"exia_s3.so", "s3+https", "libcurl4 libexpat1", "libcurl4-openssl-dev libexpat1-dev"},
};

const char *exia__module_scheme(size_t index)
{
    return index < sizeof ours / sizeof *ours ? ours[index].scheme : NULL;
}

/* Which of them; what has no such entry is somebody else's. */
static const char *needed(const char *name, int builds)
{
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(ours[i].name, name) == 0)
            return builds ? ours[i].builds : ours[i].runs;
    }
    return NULL;
}

/* The directory exia/ beside the file that this code is in: the library, or a program that holds it.
 * NULL: not known, for it was loaded by a relative path. */
static exia_status place_beside(char **out, exia_error *err)
{
    static const char here;
    Dl_info info;
    struct link_map *map = NULL;
    char real[PATH_MAX], *folder = NULL;
    *out = NULL;
    if (dladdr1(&here, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 || map == NULL)
        return EXIA_OK;
    const char *file = *map->l_name != '\0' ? map->l_name : "/proc/self/exe";
    if (*file != '/' || realpath(file, real) == NULL)
        return EXIA_OK;
    exia_status rc = exia__path_folder(&folder, real, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(out, folder, "exia", err);
    exia__release(folder);
    return rc;
}

/* NAME in the directories of EXIA_DRIVER_PATH, or NULL. */
static exia_status find_on_path(char **out, const char *name, exia_error *err)
{
    const char *at = secure_getenv("EXIA_DRIVER_PATH");
    char *why = NULL;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && *out == NULL && at != NULL && *at != '\0') {
        size_t size = strcspn(at, ":");
        if (*at != '/')
            return exia__fail(err, EXIA_EINVAL, 0,
                              "EXIA_DRIVER_PATH has \"%.*s\": write absolute directories",
                              size < 100 ? (int)size : 100, at);
        rc = exia__text_format(out, err, "%.*s/%s", (int)size, at, name);
        if (rc == EXIA_OK && !exia__path_exists(*out)) {
            exia__release(*out);
            *out = NULL;
        }
        at += size + (at[size] == ':');
    }
    if (rc == EXIA_OK && *out != NULL)
        rc = exia__trust_path(&why, *out, err);
    if (rc == EXIA_OK && why != NULL)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0, "not loaded: %.200s", why);
    exia__release(why);
    return rc;
}

/* The file of a module.  @return EXIA_ENOTFOUND: the text says where it was looked for */
static exia_status find_module(char **out, const char *name, exia_error *err)
{
    char *place = NULL;
    const char *builds = needed(name, 1);
    *out = NULL;
    exia_status rc = find_on_path(out, name, err);
    if (rc < 0 || *out != NULL)
        goto done;
    rc = place_beside(&place, err);
    if (rc == EXIA_OK && place != NULL)
        rc = exia__path_join(out, place, name, err);
    if (rc == EXIA_OK && (*out == NULL || !exia__path_exists(*out)))
        rc = exia__fail(err, builds ? EXIA_EUNSUPPORTED : EXIA_ENOTFOUND, 0,
                        "%s is not in %.100s%s%s%s", name,
                        place ? place : "a place beside the library",
                        secure_getenv("EXIA_DRIVER_PATH") ? " or EXIA_DRIVER_PATH" : "",
                        builds ? ": it is built with Exia where these are installed: " : "",
                        builds ? builds : "");
done:
    if (rc < 0) {
        exia__release(*out);
        *out = NULL;
    }
    exia__release(place);
    return rc;
}

/* Of its schemes one is asked for, and all are the system's, so that none takes another's place. */
static exia_status check_schemes(const exia_driver *driver, const char *scheme, size_t system,
                                 exia_error *err)
{
    int asked = 0;
    for (const char *at = driver->schemes; *at != '\0'; at += strspn(at, " ")) {
        size_t size = strcspn(at, " "), own = strcspn(at, "+ ");
        if (size > 0 && (own != system || memcmp(at, scheme, own) != 0))
            return exia__fail(err, EXIA_EINVAL, 0, "it is for the scheme %.*s, which is not %.*s's",
                              (int)size, at, (int)system, scheme);
        asked += size == strlen(scheme) && memcmp(at, scheme, size) == 0;
        at += size;
    }
    return asked ? EXIA_OK
                 : exia__fail(err, EXIA_EINVAL, 0, "it has the schemes \"%s\", and not %s",
                              driver->schemes, scheme);
}

static exia_status load(const exia_driver **out, const char *path, const char *scheme,
                        size_t system, exia_error *err)
{
    exia_driver_entry_fn *entry = NULL;
    exia_error why = {0};
    const char *runs = needed(exia__path_base(path), 0);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "cannot load %s%s%s", dlerror(),
                          runs ? "; it needs the packages " : "", runs ? runs : "");
    void *symbol = dlsym(handle, "exia_driver_entry");
    if (symbol == NULL)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "%s has no symbol exia_driver_entry: it is no driver", path);
    memcpy(&entry, &symbol, sizeof symbol); /* ISO C has no cast from data to function */
    const exia_driver *driver = entry(&exia__core, &why);
    if (driver == NULL) {
        exia_status status = why.status < 0 ? why.status : EXIA_EUSER;
        exia__filled(&why, status);
        return exia__fail(err, status, why.native, "%s", why.text);
    }
    exia_status rc = exia__driver_check(driver, err);
    if (rc == EXIA_OK)
        rc = check_schemes(driver, scheme, system, err);
    if (rc == EXIA_OK)
        rc = exia_driver_register(driver, err);
    if (rc == EXIA_OK)
        *out = driver;
    return rc;
}

exia_status exia__module_load(const exia_driver **out, const char *scheme, exia_error *err)
{
    char name[LONGEST_SYSTEM + sizeof "exia_.so"], *path = NULL;
    size_t system = strcspn(scheme, "+");
    exia_status rc = EXIA_OK;
    *out = NULL;
    if (system > LONGEST_SYSTEM)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "a system's name has %d characters at most",
                          LONGEST_SYSTEM);
    snprintf(name, sizeof name, "exia_%.*s.so", (int)system, scheme);
    exia__drivers_lock();
    *out = exia__driver_known(scheme); /* another thread may have been faster */
    if (*out == NULL) {
        rc = find_module(&path, name, err);
        if (rc == EXIA_OK) {
            rc = load(out, path, scheme, system, err);
            if (rc < 0)
                exia__prefix(err, rc, "%s", name);
        }
    }
    exia__drivers_unlock();
    exia__release(path);
    return rc;
}
