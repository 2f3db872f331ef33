/* A driver around another one: the URL "its-scheme:file:/x" opens "file:/x" inside it. */
#ifndef TESTS_WRAPPED_H
#define TESTS_WRAPPED_H

#include "exia.h"
#include "exia/driver.h"

/* What such a driver's `self` is. */
typedef struct wrapped {
    const exia_driver *driver;
    void *self;
} wrapped;

exia_status wrapped_open(void **out, const char *url, int mode, const exia_job *job,
                         exia_error *err);
void wrapped_close(void *self);
void wrapped_abandon(void *self);

#endif
