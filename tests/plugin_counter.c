/* A plugin as its author writes it: two components, no symbol of Exia.  A host that has the two
 * variables below may make it misbehave, and learns what it released. */
#include <stdlib.h>

#include "exia/pool.h"

extern __attribute__((weak)) const char *plugin_mode;
extern __attribute__((weak)) int plugin_released;

EXIA_API exia_status exia_plugin_entry(exia_pool *pool, const exia_plugin_core *core,
                                       exia_error *err);

static exia_status create(void **out, void *const *needs, void *payload, exia_error *err)
{
    (void)err;
    int *object = malloc(sizeof *object);
    *object = payload ? *(int *)needs[0] + 1 : 41;
    *out = object;
    return EXIA_OK;
}

static void destroy(void *object, void *payload)
{
    (void)payload;
    free(object);
}

static void release(void *payload)
{
    (void)payload;
    if (&plugin_released != NULL)
        plugin_released++;
}

static int is_mode(char mode)
{
    return &plugin_mode != NULL && plugin_mode[0] == mode;
}

exia_status exia_plugin_entry(exia_pool *pool, const exia_plugin_core *core, exia_error *err)
{
    static const char *const one[] = {"plugin_one"}, *const two[] = {"plugin_two"};
    exia_factory first = {
        .struct_size = sizeof first, .create = create, .destroy = destroy, .release = release};
    exia_factory second = first;
    exia_component_options plain = {.struct_size = sizeof plain};
    exia_component_options needing = {.struct_size = sizeof needing,
                                      .needs = one,
                                      .need_count = 1,
                                      .about = "{\"title\": \"one more\"}",
                                      .max = 0};
    if (core->struct_size < sizeof *core)
        return core->fail(err, EXIA_EVERSION, 0, "this plugin needs a newer Exia");
    second.payload = &second; /* only to be told from the first */
    if (is_mode('c')) {       /* a cycle with the second */
        plain.needs = two;
        plain.need_count = 1;
    }
    exia_status rc = core->add(pool, "plugin_one", &first, &plain, err);
    if (rc == EXIA_OK && is_mode('h'))
        return core->fail(err, EXIA_EUSER, 5, "half of it is enough");
    if (rc == EXIA_OK && is_mode('s'))
        return EXIA_EIO;                                   /* and silent */
    if (rc == EXIA_OK && (is_mode('n') || is_mode('w'))) { /* made for a newer Exia */
        struct {
            exia_component_options options;
            int64_t more;
        } newer = {.options = needing, .more = is_mode('n')};
        newer.options.struct_size = sizeof newer;
        return core->add(pool, "plugin_two", &second, &newer.options, err);
    }
    if (rc == EXIA_OK && is_mode('i'))
        core->add(pool, "not a name", &second, &needing, NULL); /* and does not mind */
    if (rc == EXIA_OK && is_mode('t'))
        rc = core->add(pool, "plugin_one", &second, &needing, err);
    else if (rc == EXIA_OK)
        rc = core->add(pool, "plugin_two", &second, &needing, err);
    return rc;
}
