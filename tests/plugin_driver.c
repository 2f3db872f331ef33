/* A module with a driver that keeps nothing.  The host's variables below may make it misbehave. */
#include "exia/driver.h"

extern __attribute__((weak)) const char *driver_mode;
extern __attribute__((weak)) const char *driver_schemes;
extern __attribute__((weak)) void (*driver_entered)(void);

EXIA_API exia_driver_entry_fn exia_driver_entry;

static exia_status open_store(void **out, const char *url, int mode, const exia_job *job,
                              exia_error *err)
{
    static int self;
    (void)url;
    (void)mode;
    (void)job;
    (void)err;
    *out = &self;
    return EXIA_OK;
}

static void close_store(void *self)
{
    (void)self;
}

static exia_status check(void *self, exia_record_fn *row, void *payload, exia_error *err)
{
    (void)self;
    return row("kept", "0", 0, payload, err);
}

static exia_status get(void *self, const char *kind, const char *key, exia_record_fn *found,
                       void *payload, const exia_job *job, exia_error *err)
{
    (void)self;
    (void)kind;
    (void)job;
    return found(key, "{}", 1, payload, err);
}

static exia_status append(void *self, const char *kind, const char *key, const char *json,
                          const char *token, const exia_job *job, exia_error *err)
{
    (void)self;
    (void)kind;
    (void)key;
    (void)json;
    (void)token;
    (void)job;
    (void)err;
    return EXIA_OK;
}

static exia_status drop(void *self, const char *kind, const char *key, int64_t expect,
                        const exia_job *job, exia_error *err)
{
    (void)self;
    (void)kind;
    (void)key;
    (void)expect;
    (void)job;
    (void)err;
    return EXIA_OK;
}

static exia_status scan(void *self, const char *kind, const char *prefix, const char *after,
                        size_t limit, const char *filter, exia_record_fn *found, void *payload,
                        const exia_job *job, exia_error *err)
{
    (void)limit;
    (void)after;
    (void)filter;
    return get(self, kind, prefix, found, payload, job, err);
}

const exia_driver *exia_driver_entry(const exia_core *core, exia_error *err)
{
    static const exia_records_ops records = {
        .struct_size = sizeof records, .get = get, .append = append, .remove = drop, .scan = scan};
    static exia_driver driver = {.struct_size = sizeof driver,
                                 .name = "keeps nothing",
                                 .open = open_store,
                                 .close = close_store,
                                 .abandon = close_store,
                                 .check = check,
                                 .records = &records};
    char mode = &driver_mode != NULL ? driver_mode[0] : '\0';
    size_t wanted = sizeof *core + (mode == 'n' ? sizeof(void *) : 0); /* n: of a newer Exia */
    if (core->struct_size < wanted) {
        core->fail(err, EXIA_EVERSION, 0, "it needs a newer Exia than %s", core->version());
        return NULL;
    }
    if (&driver_entered != NULL && driver_entered != NULL)
        driver_entered();
    if (mode == 's') /* silent */
        return NULL;
    driver.schemes = &driver_schemes != NULL ? driver_schemes : "";
    driver.struct_size = mode == 'o' ? sizeof driver - sizeof(void *) : sizeof driver; /* older */
    driver.close = mode == 'h' ? NULL : close_store; /* half of one */
    return &driver;
}
