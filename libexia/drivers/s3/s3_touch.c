/* A touch is a copy onto itself, which is as young as the server's clock says: in one step, or where that is too
 * large for it in parts. */
#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3_parts.h"

#define MOST_COPIED ((uint64_t)5 << 30) /* in one step, as S3 has it */

static exia_status copy_whole(long *status, exia__s3 *self, const char *key, exia_work *work,
                              exia_error *err)
{
    exia__s3_call call = {0};
    exia_status rc = exia__s3_call_open(&call, self, "touch", "PUT", key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_header(&call, "x-amz-copy-source", err, "%s", call.path);
    if (rc == EXIA_OK) /* without it the copy onto itself is refused, as it changes nothing */
        rc = exia__s3_call_header(&call, "x-amz-metadata-directive", err, "%s", "REPLACE");
    call.answered = exia__s3_call_checked;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, work, "touching", err);
    *status = call.x.status;
    exia__s3_call_free(&call);
    return rc;
}

static exia_status copy_in_parts(exia__s3 *self, const char *key, uint64_t size, const char *etag,
                                 exia_work *work, exia_error *err)
{
    const exia__s3_upload upload = {
        .self = self, .what = "touch", .key = key, .total = size, .replace = 1, .work = work};
    const exia_piece all = {.size = size, .key = key};
    exia__s3_plan plan = {0};
    exia_status rc = exia__s3_plan_make(&plan, size, &all, 1, err);
    for (size_t i = 0; i < plan.count; i++)
        plan.parts[i].pin = etag;
    if (rc == EXIA_OK)
        rc = exia__s3_upload_run(&upload, &plan, err);
    exia__release(plan.parts);
    return rc;
}

exia_status exia__s3_touch(void *payload, const char *key, const exia_job *job, exia_error *err)
{
    exia__s3 *self = payload;
    exia_work *work = NULL;
    exia_error why = {0};
    uint64_t size = 0;
    int64_t modified_ms = 0;
    char etag[EXIA__S3_ETAG_SIZE] = "";
    long status = 0;
    exia_status rc = exia__s3_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__given->work_open(&work, job, err);
    if (rc < 0)
        return rc;
    rc = copy_whole(&status, self, key, work, &why);
    if (rc < 0 && status == 400)
        (void)exia__s3_look(&size, &modified_ms, etag, self, key, work, NULL);
    if (size > MOST_COPIED)
        rc = copy_in_parts(self, key, size, etag, work, err);
    else if (rc < 0)
        rc = exia__fail(err, rc, why.native, "%s", why.text);
    exia__release(work);
    return rc;
}
