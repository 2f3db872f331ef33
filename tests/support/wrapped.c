/* The part of a wrapping driver that is the same whatever it does to the calls. */
#include "support/wrapped.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/driver.h"

exia_status wrapped_open(void **out, const char *url, int mode, const exia_job *job,
                         exia_error *err)
{
    wrapped *made = calloc(1, sizeof *made);
    if (made == NULL)
        return exia__fail_memory(err);
    url = strchr(url, ':') + 1;
    exia_status rc = exia__driver_find(&made->driver, url, err);
    if (rc == EXIA_OK)
        rc = made->driver->open(&made->self, url, mode, job, err);
    *out = rc < 0 ? NULL : made;
    if (rc < 0)
        free(made);
    return rc;
}

void wrapped_close(void *self)
{
    wrapped *outer = self;
    outer->driver->close(outer->self);
    free(outer);
}

void wrapped_abandon(void *self)
{
    wrapped *outer = self;
    outer->driver->abandon(outer->self);
    free(outer);
}
