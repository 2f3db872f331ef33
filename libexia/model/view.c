/* What a caller does with a part: sees its bytes, says how it will use them, has them read into memory
 * of its own.  Advice is given for whole pages around what is named. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "model/library.h"

#ifndef MADV_POPULATE_READ /* a kernel of 5.14 knows it, whatever the headers were */
#define MADV_POPULATE_READ 22
#endif

enum { PIECE = 8 << 20 };

exia_status exia_model_view(exia_view *out, const exia_model *model, const char *part,
                            exia_error *err)
{
    exia__open_part *found = NULL;
    if (out == NULL || model == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_view: an argument is NULL");
    *out = (exia_view){.fd = -1};
    exia_status rc = exia__model_part(&found, model, part, err);
    if (rc == EXIA_OK)
        *out = (exia_view){found->data, found->size, found->path, found->fd, found->writable, 0};
    return rc;
}

static exia_status within(const exia__open_part *part, uint64_t offset, uint64_t size,
                          exia_error *err)
{
    if (offset <= part->size && size <= part->size - offset)
        return EXIA_OK;
    return exia__fail(err, EXIA_EINVAL, 0, "part %s has %zu bytes: %llu at %llu are beyond its end",
                      part->name, part->size, (unsigned long long)size, (unsigned long long)offset);
}

static exia_status advise_pages(const exia__open_part *part, size_t offset, size_t size, int advice,
                                exia_error *err)
{
    size_t before = offset % (size_t)sysconf(_SC_PAGESIZE);
    void *start = (char *)part->data + offset - before;
    if (madvise(start, size + before, advice) == 0)
        return EXIA_OK;
    if (advice == MADV_POPULATE_READ && errno == EINVAL)
        return advise_pages(part, offset, size, MADV_WILLNEED, err);
    if (errno == EFAULT) /* what would be SIGBUS to who touches it */
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s was truncated: it had %zu bytes", part->path,
                          part->size);
    return exia__fail_errno(err, errno, "cannot advise on", part->path);
}

exia_status exia_model_advise(const exia_model *model, const char *part, uint64_t offset,
                              uint64_t size, int advice, exia_error *err)
{
    static const int known[] = {[EXIA_ADVICE_NORMAL] = MADV_NORMAL,
                                [EXIA_ADVICE_RANDOM] = MADV_RANDOM,
                                [EXIA_ADVICE_SEQUENTIAL] = MADV_SEQUENTIAL,
                                [EXIA_ADVICE_WILL_NEED] = MADV_WILLNEED,
                                [EXIA_ADVICE_POPULATE] = MADV_POPULATE_READ};
    exia__open_part *found = NULL;
    if (model == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_advise: the model is NULL");
    if (advice < 0 || advice >= (int)(sizeof known / sizeof *known))
        return exia__fail(err, EXIA_EINVAL, 0, "%d is no advice", advice);
    exia_status rc = exia__model_part(&found, model, part, err);
    if (rc == EXIA_OK)
        rc = within(found, offset, size, err);
    if (rc < 0)
        return rc;
    size_t length = (size_t)(size ? size : found->size - offset);
    if (found->mapped == 0 || length == 0)
        return EXIA_OK;
    return advise_pages(found, (size_t)offset, length, known[advice], err);
}

exia_status exia_model_read_into(void *into, size_t size, const exia_model *model, const char *part,
                                 uint64_t offset, const exia_job *job, exia_error *err)
{
    exia__open_part *found = NULL;
    exia__work work;
    if (model == NULL || (into == NULL && size > 0))
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_read_into: an argument is NULL");
    exia_status rc = exia__model_part(&found, model, part, err);
    if (rc == EXIA_OK)
        rc = within(found, offset, size, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    for (size_t done = 0; done < size && rc == EXIA_OK;) {
        size_t piece = size - done < PIECE ? size - done : PIECE;
        char *to = (char *)into + done;
        rc = exia__work_step(&work, "reading", done, size, err);
        if (rc == EXIA_OK && found->mapped == 0)
            memcpy(to, (const char *)found->data + offset + done, piece);
        else if (rc == EXIA_OK)
            rc = exia__read_at(found->fd, to, piece, offset + done, found->path, err);
        done += piece;
    }
    return rc;
}
