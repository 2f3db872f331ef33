/* A remote tried out: what a push, a pull and a delta do there is done with a blob that nobody knows, each step timed,
 * and all of it removed.  So a store that does not list, or copies no ranges, shows before a push finds it. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "registry/registry.h"
#include "registry/trial.h"

/* More than two of the least parts that a store may copy, so that most of it can be. */
enum { SIZE = 12 << 20, CUT = 64 << 10 };

typedef struct trial {
    exia__blobs *blobs;
    exia__work *work;
    exia_rows *rows;
    char *bytes;            /* SIZE of them, which do not compress */
    char key[80], made[80]; /* of the blob, and of that made of its ranges */
    int64_t began;
    uint64_t seen; /* bytes that came back as they went */
    int found;
} trial;

/* ---- what is told ----------------------------------------------------------------------------- */

static exia_status tell(trial *t, const char *key, const char *value, exia_error *err)
{
    json_t *row = json_pack("{s:s, s:s, s:s}", "store", "packages", "key", key, "value", value);
    exia_status rc = row ? exia__rows_add(t->rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}

/* How long the step took, and of bytes how fast they were; then the next one begins. */
static exia_status tell_time(trial *t, const char *key, uint64_t bytes, exia_error *err)
{
    char text[64];
    double seconds = (double)(exia__clock_ms() - t->began + 1) / 1000;
    if (bytes > 0)
        snprintf(text, sizeof text, "%.3f s, %.0f MiB/s", seconds,
                 (double)bytes / (1 << 20) / seconds);
    else
        snprintf(text, sizeof text, "%.3f s", seconds);
    exia_status rc = tell(t, key, text, err);
    t->began = exia__clock_ms();
    return rc;
}

/* ---- the steps -------------------------------------------------------------------------------- */

static exia_status fill(trial *t, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    exia_status rc = exia__token(token, err);
    t->bytes = exia__resize(NULL, SIZE);
    if (rc == EXIA_OK && t->bytes == NULL)
        rc = exia__fail_memory(err);
    if (rc < 0)
        return rc;
    snprintf(t->key, sizeof t->key, "trial/%s.a", token);
    snprintf(t->made, sizeof t->made, "trial/%s.b", token);
    uint64_t state = 88172645463325252u; /* of Marsaglia's xorshift */
    for (size_t i = 0; i < SIZE; i += sizeof state) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(t->bytes + i, &state, sizeof state);
    }
    return EXIA_OK;
}

static exia_status compare(const void *data, size_t size, void *payload, exia_error *err)
{
    trial *t = payload;
    (void)err;
    if (t->seen + size <= SIZE && memcmp(data, t->bytes + t->seen, size) == 0)
        t->seen += size;
    return EXIA_OK;
}

static exia_status read_back(trial *t, const char *key, exia_error *err)
{
    exia_job job = exia__work_rest(t->work);
    t->seen = 0;
    exia_status rc = exia__blobs_get(t->blobs, key, 0, SIZE, compare, t, &job, err);
    return rc == EXIA_OK && t->seen != SIZE
               ? exia__fail(err, EXIA_ECORRUPT, 0, "what is read there is not what was stored")
               : rc;
}

static exia_status see(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                       exia_error *err)
{
    trial *t = payload;
    (void)modified_ms, (void)err;
    t->found |= strcmp(key, t->key) == 0 && size == SIZE;
    return EXIA_OK;
}

static exia_status list(trial *t, exia_error *err)
{
    exia_job job = exia__work_rest(t->work);
    exia_status rc = exia__blobs_list(t->blobs, "trial/", see, t, &job, err);
    return rc == EXIA_OK && !t->found
               ? exia__fail(err, EXIA_EUNSUPPORTED, 0, "it does not list what was stored")
               : rc;
}

/* The same bytes once more, all but the last of them copied where that can be. */
static exia_status copy(trial *t, exia_error *err)
{
    exia_job job = exia__work_rest(t->work);
    const exia_piece most = {.size = SIZE - CUT, .key = t->key};
    exia_source source = exia__source_memory(t->bytes, SIZE);
    uint64_t copied = 0;
    exia_status rc = exia__blobs_compose(&copied, t->blobs, t->made, &source, &most, 1, &job, err);
    if (rc == EXIA_OK)
        rc = tell(t, "copies ranges",
                  copied > 0 ? "yes: of a new version a push sends what changed"
                             : "no: of a new version a push sends all",
                  err);
    if (rc == EXIA_OK && copied > 0)
        rc = tell_time(t, "copy most of 12 MiB", SIZE, err);
    return rc == EXIA_OK ? read_back(t, t->made, err) : rc;
}

static exia_status run(trial *t, exia_error *err)
{
    exia_job job = exia__work_rest(t->work);
    exia_source source = {0};
    exia_status rc = fill(t, err);
    if (rc < 0)
        return rc;
    source = exia__source_memory(t->bytes, SIZE);
    t->began = exia__clock_ms();
    if ((rc = exia__blobs_put(t->blobs, t->key, &source, &job, err)) < 0 ||
        (rc = tell_time(t, "store 12 MiB", SIZE, err)) < 0 ||
        (rc = read_back(t, t->key, err)) < 0 || (rc = tell_time(t, "read 12 MiB", SIZE, err)) < 0 ||
        (rc = list(t, err)) < 0 || (rc = tell_time(t, "list", 0, err)) < 0 ||
        (rc = exia__blobs_touch(t->blobs, t->key, &job, err)) < 0 ||
        (rc = tell_time(t, "touch", 0, err)) < 0 || (rc = copy(t, err)) < 0)
        return rc;
    t->began = exia__clock_ms();
    if ((rc = exia__blobs_remove(t->blobs, t->made, &job, err)) < 0 ||
        (rc = exia__blobs_remove(t->blobs, t->key, &job, err)) < 0)
        return rc;
    return tell_time(t, "remove two", 0, err);
}

exia_status exia__trial(exia_rows *rows, const char *packages, const exia_job *job, exia_error *err)
{
    exia__work work;
    trial t = {.rows = rows, .work = &work};
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__blobs_open(&t.blobs, packages, EXIA_STORE_WRITE, job, err);
    if (rc == EXIA_OK)
        rc = run(&t, err);
    if (rc < 0 && *t.key != '\0') { /* as far as that goes */
        (void)exia__blobs_remove(t.blobs, t.made, NULL, NULL);
        (void)exia__blobs_remove(t.blobs, t.key, NULL, NULL);
    }
    exia__blobs_free(t.blobs);
    exia__release(t.bytes);
    return rc;
}
