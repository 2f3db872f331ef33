/* Which driver serves a URL: the built-in ones, then what was registered or came in a module, never
 * taken away: who only looks one up takes no lock.  Also what both kinds of handles share:
 * references, the fork generation, the shape of keys. */
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

static const exia_driver *table[MOST_DRIVERS] = {&exia__driver_file, &exia__driver_sqlite};
static atomic_size_t table_count = 2; /* what is below it never changes again */

/* For those who add.  It is held while a module is loaded, whose own code may register a driver, so the
 * same thread may take it again; and a fork waits for it, so that the child finds it free. */
static pthread_mutex_t growing = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void exia__drivers_lock(void)
{
    pthread_mutex_lock(&growing);
}

void exia__drivers_unlock(void)
{
    pthread_mutex_unlock(&growing);
}

/* The child's thread is not the one that took the lock, so it cannot give it back. */
static void renew_lock(void)
{
    growing = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}

__attribute__((constructor)) static void hold_at_forks(void)
{
    pthread_atfork(exia__drivers_lock, exia__drivers_unlock, renew_lock);
}

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

static const exia_driver *find_scheme(const char *scheme, size_t size)
{
    size_t count = atomic_load_explicit(&table_count, memory_order_acquire);
    for (size_t i = 0; i < count; i++) {
        if (has_word(table[i]->schemes, scheme, size))
            return table[i];
    }
    return NULL;
}

const exia_driver *exia__driver_known(const char *scheme)
{
    return find_scheme(scheme, strlen(scheme));
}

static exia_status check_blobs(const char *name, const exia_blobs_ops *ops, exia_error *err)
{
    if (ops->struct_size < sizeof *ops)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "driver %s: struct_size of its blobs is too small: it was built for an "
                          "older Exia",
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
        return exia__fail(err, EXIA_EINVAL, 0,
                          "driver %s: struct_size of its records is too small: it was built for "
                          "an older Exia",
                          name);
    if (ops->get == NULL || ops->remove == NULL || ops->scan == NULL ||
        (ops->put == NULL && ops->append == NULL))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "driver %s: get, remove, scan, and one of put and append are required",
                          name);
    return EXIA_OK;
}

exia_status exia__driver_check(const exia_driver *driver, exia_error *err)
{
    if (driver == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_driver_register: the driver is NULL");
    if (driver->struct_size < sizeof *driver)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the driver's struct_size is %zu, it should be at least %zu: it was "
                          "built for an older Exia",
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

/* Each scheme is one that URLs can have, and free. */
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
    exia_status rc = exia__driver_check(driver, err);
    if (rc < 0)
        return rc;
    exia__drivers_lock();
    size_t count = atomic_load_explicit(&table_count, memory_order_relaxed);
    rc = check_schemes(driver, err);
    if (rc == EXIA_OK && count == MOST_DRIVERS)
        rc = exia__fail(err, EXIA_ENOSPACE, 0, "driver %s: there is room for %d drivers",
                        driver->name, MOST_DRIVERS);
    if (rc == EXIA_OK) {
        table[count] = driver;
        atomic_store_explicit(&table_count, count + 1, memory_order_release);
    }
    exia__drivers_unlock();
    return rc;
}

static void add_known(char *out, size_t room, const char *schemes)
{
    size_t used = strlen(out);
    snprintf(out + used, room - used, "%s%s", used > 0 ? ", " : "", schemes);
}

/* The schemes of all drivers, for an error; those in modules that are not loaded yet, too. */
static void list_known(char *out, size_t room)
{
    size_t count = atomic_load_explicit(&table_count, memory_order_acquire);
    const char *scheme = NULL;
    *out = '\0';
    for (size_t i = 0; i < count; i++)
        add_known(out, room, table[i]->schemes);
    for (size_t i = 0; (scheme = exia__module_scheme(i)) != NULL; i++) {
        if (find_scheme(scheme, strlen(scheme)) == NULL)
            add_known(out, room, scheme);
    }
}

exia_status exia__driver_find(const exia_driver **out, const char *url, exia_error *err)
{
    char *scheme = NULL, *shown = NULL, known[160];
    exia_error why = {0};
    *out = NULL;
    if (url == NULL || *url == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "the URL is %s", url ? "empty" : "NULL");
    exia_status rc = exia__url_scheme(&scheme, url, err);
    if (rc < 0)
        return rc;
    if (scheme == NULL) {
        rc = exia__url_redact(&shown, url, err);
        list_known(known, sizeof known);
        if (rc == EXIA_OK)
            rc = exia__fail(err, EXIA_EINVAL, 0,
                            "\"%.60s\" is a plain path; here a URL is needed, of scheme %s", shown,
                            known);
        goto done;
    }
    *out = exia__driver_known(scheme);
    if (*out != NULL)
        goto done;
    rc = exia__module_load(out, scheme, &why);
    list_known(known, sizeof known);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__fail(err, EXIA_EINVAL, 0, "no driver for the scheme \"%.40s\": there are %s; %s",
                        scheme, known, why.text);
    else if (rc < 0)
        rc = exia__fail(err, rc, why.native, "%s", why.text);
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
