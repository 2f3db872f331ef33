/* The way from the module's own copy of base/ to the library that loaded it. */
#include "drivers/http/given.h"

#include "base/memory.h"

const exia_core *exia__given;

static void *resize(void *memory, size_t size, void *payload)
{
    (void)payload;
    return exia__given->resize(memory, size);
}

static void release(void *memory, void *payload)
{
    (void)payload;
    exia__given->release(memory);
}

static void forward(int level, const char *topic, const char *text, void *payload)
{
    (void)payload;
    exia__given->log(level, topic, "%s", text);
}

exia_status exia__given_take(const exia_core *core, exia_error *err)
{
    static const exia_allocator allocator = {resize, release, NULL};
    if (core->struct_size < sizeof *core)
        return core->fail(err, EXIA_EVERSION, 0, "it was built for a newer Exia than %s",
                          core->version());
    exia__given = core;
    if (core->resize == exia__resize) /* linked into the library itself */
        return EXIA_OK;
    exia_log_set(forward, NULL);
    return exia_allocator_set(&allocator, err);
}
