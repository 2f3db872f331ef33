/* Stores as the modules above see them: an open URL, its operations checked and counted.
 *
 * Handles are reference-counted (open: one; keep: one more; free: one less) and may be used from any
 * thread.  Every call checks its key and the fork generation, then the driver does the work. */
#ifndef EXIA_STORE_STORE_H
#define EXIA_STORE_STORE_H

#include "exia/driver.h"

typedef struct exia__blobs exia__blobs;
typedef struct exia__records exia__records;

/* `mode` is EXIA_STORE_READ or EXIA_STORE_WRITE.
 * @return EXIA_EINVAL: no URL of a known scheme, EXIA_EUNSUPPORTED: the system has no such side */
exia_status exia__blobs_open(exia__blobs **out, const char *url, int mode, const exia_job *job,
                             exia_error *err);
exia__blobs *exia__blobs_keep(exia__blobs *blobs);
void exia__blobs_free(exia__blobs *blobs);

/* @return EXIA_EEXISTS: the key is taken, whoever was first; what is there is durable, so a caller
 * whose keys are digests may go on */
exia_status exia__blobs_put(exia__blobs *blobs, const char *key, const exia_source *source,
                            const exia_job *job, exia_error *err);
/* The same, with the pieces copied that the store has already; where it cannot, or does not have them
 * as said, all is put.  @param[out] copied  bytes that were not sent; may be NULL */
exia_status exia__blobs_compose(uint64_t *copied, exia__blobs *blobs, const char *key,
                                const exia_source *source, const exia_piece *pieces, size_t count,
                                const exia_job *job, exia_error *err);
int exia__blobs_can_compose(const exia__blobs *blobs);
/* As put, under the key that `name` tells when all of `source` was read, once and in order; EXIA_DONE
 * from it stores nothing.  @return EXIA_EUNSUPPORTED: this store cannot, and has read nothing */
exia_status exia__blobs_put_as(exia__blobs *blobs, const exia_source *source, exia_name_fn *name,
                               void *payload, const exia_job *job, exia_error *err);
int exia__blobs_can_put_as(const exia__blobs *blobs);
/* As put, of a file that is the caller's alone (driver.h): a store of files links it, and reads nothing;
 * another one puts `source`, which has the same bytes. */
exia_status exia__blobs_adopt(exia__blobs *blobs, const char *key, int fd,
                              const exia_source *source, const exia_job *job, exia_error *err);
exia_status exia__blobs_get(exia__blobs *blobs, const char *key, uint64_t offset, uint64_t size,
                            exia_sink_fn *sink, void *payload, const exia_job *job,
                            exia_error *err);
/* Both outs may be NULL. */
exia_status exia__blobs_stat(uint64_t *size, int64_t *modified_ms, exia__blobs *blobs,
                             const char *key, const exia_job *job, exia_error *err);
exia_status exia__blobs_list(exia__blobs *blobs, const char *prefix, exia_blob_fn *found,
                             void *payload, const exia_job *job, exia_error *err);
exia_status exia__blobs_touch(exia__blobs *blobs, const char *key, const exia_job *job,
                              exia_error *err);
exia_status exia__blobs_remove(exia__blobs *blobs, const char *key, const exia_job *job,
                               exia_error *err);
exia_status exia__blobs_now(int64_t *ms, exia__blobs *blobs, const exia_job *job, exia_error *err);
/* The file that holds the blob; EXIA_EUNSUPPORTED when the store has no files.  Free with
 * exia__release. */
exia_status exia__blobs_local(char **path, exia__blobs *blobs, const char *key, exia_error *err);

/* A URL at which whoever has it may read the blob for so many seconds; EXIA_EUNSUPPORTED when the store has
 * none.  Free with exia__release. */
exia_status exia__blobs_url(char **url, exia__blobs *blobs, const char *key, int64_t seconds,
                            exia_error *err);

/* Sources.  A memory source borrows its bytes; a file source borrows the fd. */
exia_source exia__source_memory(const void *data, size_t size);
exia_source exia__source_file(const int *fd, uint64_t size);

exia_status exia__records_open(exia__records **out, const char *url, int mode, const exia_job *job,
                               exia_error *err);
exia__records *exia__records_keep(exia__records *records);
void exia__records_free(exia__records *records);
int exia__records_can_put(const exia__records *records); /* zero: append only */

/* One record as a text to be freed; `revision` may be NULL.  @return EXIA_ENOTFOUND */
exia_status exia__records_get(char **json, int64_t *revision, exia__records *records,
                              const char *kind, const char *key, const exia_job *job,
                              exia_error *err);
/* `token` NULL: a fresh one. `revision` may be NULL. */
exia_status exia__records_put(int64_t *revision, exia__records *records, const char *kind,
                              const char *key, const char *json, int64_t expect, const char *token,
                              const exia_job *job, exia_error *err);
exia_status exia__records_append(exia__records *records, const char *kind, const char *key,
                                 const char *json, const char *token, const exia_job *job,
                                 exia_error *err);
exia_status exia__records_remove(exia__records *records, const char *kind, const char *key,
                                 int64_t expect, const exia_job *job, exia_error *err);
int exia__records_can_batch(const exia__records *records); /* zero: no several puts in one step */
/* Several puts: one step where the store has one, else one after the other until one fails. */
exia_status exia__records_batch(exia__records *records, const exia_put *puts, size_t count,
                                const exia_job *job, exia_error *err);
exia_status exia__records_scan(exia__records *records, const char *kind, const char *prefix,
                               const char *after, size_t limit, const char *filter,
                               exia_record_fn *found, void *payload, const exia_job *job,
                               exia_error *err);
/* As the driver's; where it has no index all of the kind with the prefix come, in no order. */
exia_status exia__records_seek(int *ordered, exia__records *records, const exia_seek *seek,
                               exia_record_fn *found, void *payload, const exia_job *job,
                               exia_error *err);

/* Not zero: rows can be kept beside other records, for there are batches, an index and `since`. */
int exia__records_can_keep_rows(const exia__records *records);
/* As the driver's.  @return EXIA_EUNSUPPORTED */
exia_status exia__records_since(int64_t *head, exia__records *records, const char *kind,
                                int64_t revision, exia_record_fn *found, void *payload,
                                const exia_job *job, exia_error *err);

/* Split what a person gave into the two URLs: a plain path PATH becomes sqlite:PATH/catalog.db and
 * file:PATH/blobs; a records URL stays, and `*blobs` is NULL.  Free with exia__release. */
exia_status exia__store_urls(char **records, char **blobs, const char *url, exia_error *err);

#endif
