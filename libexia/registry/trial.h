/* A remote tried out. */
#ifndef EXIA_REGISTRY_TRIAL_H
#define EXIA_REGISTRY_TRIAL_H

#include "exia/common.h"

/* Do at the URL what push and pull do, and append rows {store, key, value}. */
exia_status exia__trial(exia_rows *rows, const char *packages, const exia_job *job,
                        exia_error *err);

#endif
