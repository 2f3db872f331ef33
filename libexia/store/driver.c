/* Which driver serves a URL: the built-in ones, then what was registered, never taken away.  Also
 * what both kinds of handles share: references, the fork generation, the shape of keys. */
#include "store/driver.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/job.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/url.h"

enum { MOST_DRIVERS = 64, LONGEST_KEY = 1024, LONGEST_PART = 200 };

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static const exia_driver *table[MOST_DRIVERS] = {&exia__driver_file, &exia__driver_sqlite};
static size_t table_count = 2;

/* Is the word of `size` bytes in a list of words between spaces? */
static int has_word(const char *list, const char *word, size_t size)
{
    for (const char *at = list; *at != '\0'; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        if (length == size && memcmp(at, word, size) == 0)
            return 1;
        at += length;
    }
    return 0;
}

/* Under the lock. */
static const exia_driver *find_scheme(const char *scheme, size_t size)
{
    for (size_t i = 0; i < table_count; i++) {
        if (has_word(table[i]->schemes, scheme, size))
            return table[i];
    }
    return NULL;
}

static exia_status check_blobs(const char *name, const exia_blobs_ops *ops, exia_error *err)
{
    if (ops->struct_size < sizeof *ops)
        return exia__fail(err, EXIA_EINVAL, 0, "driver %s: struct_size of its blobs is too small",
                          name);
    if (ops->put == NULL || ops->get == NULL || ops->stat == NULL || ops->list == NULL ||
        ops->touch == NULL || ops->remove == NULL || ops->now == NULL)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "driver %s: put, get, stat, list, touch, remove and now are required",
                          name);
    return EXIA_OK;
}

static exia_status check_records(const char *name, const exia_records_ops *ops, exia_error *err)
{
    if (ops->struct_size < sizeof *ops)
        return exia__fail(err, EXIA_EINVAL, 0, "driver %s: struct_size of its records is too small",
                          name);
    if (ops->get == NULL || ops->remove == NULL || ops->scan == NULL ||
        (ops->put == NULL && ops->append == NULL))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "driver %s: get, remove, scan, and one of put and append are required",
                          name);
    return EXIA_OK;
}

static exia_status check_driver(const exia_driver *driver, exia_error *err)
{
    if (driver == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_driver_register: the driver is NULL");
    if (driver->struct_size < sizeof *driver)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the driver's struct_size is %zu, it should be at least %zu",
                          driver->struct_size, sizeof *driver);
    if (driver->name == NULL || *driver->name == '\0' || driver->schemes == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "a driver needs a name and schemes");
    if (driver->open == NULL || driver->close == NULL || driver->abandon == NULL ||
        driver->check == NULL)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "driver %s: open, close, abandon and check are required", driver->name);
    if (driver->blobs == NULL && driver->records == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "driver %s offers neither blobs nor records",
                          driver->name);
    exia_status rc = EXIA_OK;
    if (driver->blobs != NULL)
        rc = check_blobs(driver->name, driver->blobs, err);
    if (rc == EXIA_OK && driver->records != NULL)
        rc = check_records(driver->name, driver->records, err);
    return rc;
}

/* Each scheme is one that URLs can have, and free.  Under the lock. */
static exia_status check_schemes(const exia_driver *driver, exia_error *err)
{
    size_t count = 0;
    for (const char *at = driver->schemes + strspn(driver->schemes, " "); *at != '\0';
         at += strspn(at, " ")) {
        size_t size = strcspn(at, " ");
        size_t good = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
        if (good < size || size < 2 || *at < 'a' || *at > 'z')
            return exia__fail(err, EXIA_EINVAL, 0,
                              "driver %s: \"%.*s\" is no scheme: write [a-z][a-z0-9+.-]+",
                              driver->name, (int)size, at);
        const exia_driver *other = find_scheme(at, size);
        if (other != NULL)
            return exia__fail(err, EXIA_EEXISTS, 0, "driver %s: driver %s has the scheme %.*s",
                              driver->name, other->name, (int)size, at);
        at += size;
        count++;
    }
    if (count == 0)
        return exia__fail(err, EXIA_EINVAL, 0, "driver %s has no scheme", driver->name);
    return EXIA_OK;
}

exia_status exia_driver_register(const exia_driver *driver, exia_error *err)
{
    exia_status rc = check_driver(driver, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&table_lock);
    rc = check_schemes(driver, err);
    if (rc == EXIA_OK && table_count == MOST_DRIVERS)
        rc = exia__fail(err, EXIA_ENOSPACE, 0, "driver %s: there is room for %d drivers",
                        driver->name, MOST_DRIVERS);
    if (rc == EXIA_OK)
        table[table_count++] = driver;
    pthread_mutex_unlock(&table_lock);
    return rc;
}

exia_status exia__driver_find(const exia_driver **out, const char *url, exia_error *err)
{
    char *scheme = NULL, *shown = NULL, known[160] = "";
    size_t used = 0;
    *out = NULL;
    if (url == NULL || *url == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "the URL is %s", url ? "empty" : "NULL");
    exia_status rc = exia__url_scheme(&scheme, url, err);
    if (rc == EXIA_OK)
        rc = exia__url_redact(&shown, url, err);
    if (rc < 0)
        goto done;
    pthread_mutex_lock(&table_lock);
    if (scheme != NULL)
        *out = find_scheme(scheme, strlen(scheme));
    for (size_t i = 0; *out == NULL && i < table_count && used < sizeof known - 1; i++) {
        int size = snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                            table[i]->schemes);
        used += size < 0 ? 0 : (size_t)size;
    }
    pthread_mutex_unlock(&table_lock);
    if (scheme == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "\"%.60s\" is a plain path; here a URL is needed, of scheme %s", shown,
                        known);
    else if (*out == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "this version has no driver for the scheme \"%.40s\"; it has %s", scheme,
                        known);
done:
    exia__release(shown);
    exia__release(scheme);
    return rc;
}

exia_status exia__store_open(exia__store *store, const char *url, exia__side side, int mode,
                             const exia_job *job, exia_error *err)
{
    const exia_driver *driver = NULL;
    exia_status rc = exia__driver_find(&driver, url, err);
    if (rc < 0)
        return rc;
    if (side == EXIA__BLOBS ? driver->blobs == NULL : driver->records == NULL)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s: keeps %s, and here %s are needed",
                          driver->name, driver->blobs ? "blobs" : "records",
                          side == EXIA__BLOBS ? "blobs" : "records");
    if (mode != EXIA_STORE_READ && mode != EXIA_STORE_WRITE)
        return exia__fail(err, EXIA_EINVAL, 0, "%d is no mode of opening a store", mode);
    atomic_init(&store->references, 1);
    store->generation = exia__generation();
    store->driver = driver;
    return driver->open(&store->self, url, mode, job, err);
}

void exia__store_close(exia__store *store)
{
    if (store->generation == exia__generation())
        store->driver->close(store->self);
    else
        store->driver->abandon(store->self);
}

int exia__store_drop(exia__store *store)
{
    if (atomic_fetch_sub_explicit(&store->references, 1, memory_order_acq_rel) != 1)
        return 0;
    exia__store_close(store);
    return 1;
}

exia_status exia__store_usable(const exia__store *store, exia_error *err)
{
    if (store == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the store's handle is NULL");
    if (store->generation != exia__generation())
        return exia__fail(err, EXIA_ECLOSED, 0,
                          "this handle was opened before a fork: open the store in this process");
    return EXIA_OK;
}

/* A key; with `open_end` its last part may be missing or unfinished. */
static exia_status check(const char *key, const exia__key_rule *rule, int open_end, exia_error *err)
{
    const char *problem = NULL, *at = key;
    if (key == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the %s is NULL", rule->what);
    if (strnlen(key, LONGEST_KEY + 1) > LONGEST_KEY)
        return exia__fail(err, EXIA_EINVAL, 0, "the %s \"%.40s...\" has more than %d characters",
                          rule->what, key, LONGEST_KEY);
    while (problem == NULL && (*at != '\0' || !open_end)) {
        size_t size = strspn(at, rule->more);
        if (size == 0)
            problem = "has an empty part";
        else if (strchr(rule->first, *at) == NULL)
            problem = "has a part that begins with '.', '-', '+' or '#'";
        else if (size > LONGEST_PART)
            problem = "has a part of more than 200 characters";
        else if (at[size] != '/' && at[size] != '\0')
            problem = "has a character that keys cannot have";
        at += size;
        if (problem == NULL && *at == '\0')
            break;
        at += problem == NULL;
    }
    if (problem != NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the %s \"%.100s\" %s", rule->what, key, problem);
    return EXIA_OK;
}

exia_status exia__key_check(const char *key, const exia__key_rule *rule, exia_error *err)
{
    return check(key, rule, 0, err);
}

exia_status exia__prefix_check(const char *prefix, const exia__key_rule *rule, exia_error *err)
{
    return prefix == NULL ? EXIA_OK : check(prefix, rule, 1, err);
}

exia_status exia__tell_text(exia_record_fn *row, void *payload, const char *key, const char *text,
                            exia_error *err)
{
    json_t *value = json_string(text);
    char *json = NULL;
    if (value == NULL) /* also when its bytes are no UTF-8 */
        value = json_string("(not UTF-8)");
    exia_status rc = value ? exia__json_text(&json, value, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = row(key, json, 0, payload, err);
    exia__release(json);
    json_decref(value);
    return rc;
}
