/* The table of drivers, and what the two kinds of handles have in common. */
#ifndef EXIA_STORE_DRIVER_H
#define EXIA_STORE_DRIVER_H

#include <stdatomic.h>

#include "exia/driver.h"

/* What is built in. */
extern const exia_driver exia__driver_file, exia__driver_sqlite;

/* The driver of a URL's scheme, which may come in a module.  @return EXIA_EINVAL: none, and the text
 * lists the known ones */
exia_status exia__driver_find(const exia_driver **out, const char *url, exia_error *err);

const exia_driver *exia__driver_known(const char *scheme);                  /* NULL: none yet */
exia_status exia__driver_check(const exia_driver *driver, exia_error *err); /* is it complete? */
void exia__drivers_lock(void); /* around what makes more known; again in the same thread is fine */
void exia__drivers_unlock(void);

/* Load the module of a scheme.  @return EXIA_ENOTFOUND: no file of its name, EXIA_EUNTRUSTED: somebody
 * else may have written it */
exia_status exia__module_load(const exia_driver **out, const char *scheme, exia_error *err);
/* A scheme of each module of our own; NULL behind the last one. */
const char *exia__module_scheme(size_t index);

/* What drivers in modules get. */
extern const exia_core exia__core;

typedef struct exia__store {
    atomic_uint references;
    unsigned generation; /* of the process that opened it */
    const exia_driver *driver;
    void *self;
} exia__store;

typedef enum exia__side { EXIA__BLOBS, EXIA__RECORDS } exia__side;

exia_status exia__store_open(exia__store *store, const char *url, exia__side side, int mode,
                             const exia_job *job, exia_error *err);
void exia__store_close(exia__store *store);
/* One reference less; whether it was the last one, and the driver has closed. */
int exia__store_drop(exia__store *store);

/* `store` is the handle that a public call got, or NULL.
 * @return EXIA_EINVAL: NULL, EXIA_ECLOSED: of the process before a fork */
exia_status exia__store_usable(const exia__store *store, exia_error *err);

/* Parts of `first` then `more` characters, joined by '/'.  `what` stands in the error. */
typedef struct exia__key_rule {
    const char *what, *first, *more;
} exia__key_rule;
exia_status exia__key_check(const char *key, const exia__key_rule *rule, exia_error *err);
exia_status exia__blob_key_check(const char *key, exia_error *err);

/* What a key may begin with: nothing, part of a key, or a key and '/'.  NULL is nothing. */
exia_status exia__prefix_check(const char *prefix, const exia__key_rule *rule, exia_error *err);

/* For `check`: call `row` with a key and a text as its value. */
exia_status exia__tell_text(exia_record_fn *row, void *payload, const char *key, const char *text,
                            exia_error *err);

#endif
