/* The operations on a blob, and what they must tell of it. */
#include "support/operate.h"

#include "support/check.h"

exia_status count_bytes(const void *data, size_t size, void *payload, exia_error *error)
{
    (void)data;
    (void)error;
    *(size_t *)payload += size;
    return EXIA_OK;
}

static exia_status count_right(const void *data, size_t size, void *payload, exia_error *error)
{
    size_t *seen = payload;
    (void)error;
    assert_true(*seen + size <= OPERATE_SIZE);
    assert_memory_equal(data, &OPERATE_BYTES[*seen], size);
    *seen += size;
    return EXIA_OK;
}

static exia_status count_blob(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                              exia_error *error)
{
    (void)error;
    *(size_t *)payload += strcmp(key, "k") == 0 && size == OPERATE_SIZE && modified_ms > 0;
    return EXIA_OK;
}

exia_status operate(int what, exia__blobs *blobs, const exia_job *job)
{
    exia_source source = exia__source_memory(OPERATE_BYTES, OPERATE_SIZE);
    size_t seen = 0;
    uint64_t size = 0;
    int64_t ms = 0;
    exia_status rc = EXIA_OK;
    switch (what) {
    case PUT:
        return exia__blobs_put(blobs, "k", &source, job, &err);
    case GET:
        rc = exia__blobs_get(blobs, "k", 0, UINT64_MAX, count_right, &seen, job, &err);
        assert_int_equal(seen, rc == EXIA_OK ? OPERATE_SIZE : 0);
        return rc;
    case STAT:
        rc = exia__blobs_stat(&size, &ms, blobs, "k", job, &err);
        assert_int_equal(size, rc == EXIA_OK ? OPERATE_SIZE : 0);
        return rc;
    case LIST:
        rc = exia__blobs_list(blobs, "", count_blob, &seen, job, &err);
        assert_int_equal(seen, rc == EXIA_OK ? 1 : 0);
        return rc;
    case TOUCH:
        return exia__blobs_touch(blobs, "k", job, &err);
    case REMOVE:
        return exia__blobs_remove(blobs, "k", job, &err);
    default:
        rc = exia__blobs_now(&ms, blobs, job, &err);
        assert_true(rc < 0 || ms > 1700000000000);
        return rc;
    }
}
