/* Verifying: a pass that only looks, over everything or what lies at one path. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "package/reader.h"

exia_status exia__package_check_manifest(const exia_package *package, exia__work *work,
                                         exia_error *err)
{
    const exia__entry *entry = exia__entry_find(package->entries, package->entry_count,
                                                EXIA__MANIFEST_PATH, strlen(EXIA__MANIFEST_PATH));
    char *text = exia__resize(NULL, (size_t)entry->size);
    exia_status rc = text ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__package_read_entry(text, package, (size_t)(entry - package->entries), 0,
                                      (size_t)entry->size, work, err);
    if (rc == EXIA_OK)
        rc = exia__part_manifest(package, text, (size_t)entry->size, err);
    exia__release(text);
    return rc;
}

/* The members that are verified: at a path and below it. */
typedef struct chosen {
    size_t first, end;
} chosen;

static int is_chosen(size_t index, void *payload)
{
    const chosen *which = payload;
    return which->first <= index && index < which->end;
}

static exia_status choose(chosen *out, const exia_package *package, const char *path,
                          exia_error *err)
{
    size_t size = strlen(path);
    exia_status rc = exia__package_find(&out->first, package, path, err);
    if (rc < 0)
        return rc;
    out->end = out->first + 1;
    if (package->entries[out->first].type == 'h') { /* what it is made of */
        rc = exia__package_find(&out->first, package, package->entries[out->first].target, err);
        out->end = out->first + 1;
    }
    if (package->entries[out->first].type == 'd')
        while (out->end < package->entry_count &&
               strncmp(package->entries[out->end].path, path, size) == 0 &&
               package->entries[out->end].path[size] == '/')
            out->end++;
    return rc;
}

exia_status exia__package_check(unsigned char *file_digest, const exia_package *package,
                                exia__work *work, exia_error *err)
{
    static const exia__visitor all = {.step = "verifying", .check_frames = 1};
    exia_status rc = exia__package_visit(file_digest, package, &all, NULL, work, err);
    return rc == EXIA_OK ? exia__package_check_manifest(package, work, err) : rc;
}

exia_status exia_package_verify(const exia_package *package, const exia_verify_options *options,
                                const exia_job *job, exia_error *err)
{
    static const exia__visitor some = {.wanted = is_chosen, .step = "verifying", .check_frames = 1};
    exia_verify_options how = {0};
    chosen which = {0};
    exia__work work;
    if (package == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_verify: the package is NULL");
    exia_status rc = exia__options(&how, sizeof how, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__package_trusted(package, how.trust_file, how.require_signature, err);
    if (rc == EXIA_OK && how.path != NULL)
        rc = choose(&which, package, how.path, err);
    if (rc < 0 || how.quick) /* all else that is quick was done when it was opened */
        return rc;
    return how.path ? exia__package_visit(NULL, package, &some, &which, &work, err)
                    : exia__package_check(NULL, package, &work, err);
}
