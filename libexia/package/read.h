/* An open package, for the registry: what exia/package.h does not show. */
#ifndef EXIA_PACKAGE_READ_H
#define EXIA_PACKAGE_READ_H

#include <jansson.h>
#include <sys/stat.h>

#include "base/job.h"
#include "exia/package.h"

/* One compressed frame of the file; `digest` is the SHA-256 of its bytes in the file, NULL for the
 * frames of the tail (digests, METADATA.json, the end), which no digest covers. */
typedef struct exia__frame {
    uint64_t offset;      /* in the file */
    uint64_t start;       /* of its content, in the tar stream */
    uint32_t size, plain; /* in the file, decompressed (0: a skippable frame) */
    const unsigned char *digest;
} exia__frame;

/* exia_package_open() on a file that is open for reading (kept by a duplicate; never read from its
 * position); `file` is for errors.  So one who has looked at a file opens that very one. */
exia_status exia__package_open_fd(exia_package **out, int fd, const char *file, exia_error *err);
/* The same with one that lies in `size` bytes of a larger file, from `base` on. */
exia_status exia__package_open_at(exia_package **out, int fd, uint64_t base, uint64_t size,
                                  const char *file, exia_error *err);

/* Can it be a package at all?  @return EXIA_EINVAL: a directory, a pipe, a device */
exia_status exia__package_regular(const struct stat *info, const char *file, exia_error *err);

/* All of these are borrowed from the package. */
const char *exia__package_digest(const exia_package *package); /* SHA-256 of RECORD, in hex */
const char *exia__package_index(const exia_package *package);  /* as exia__index has it */
const char *exia__package_name(const exia_package *package);
const char *exia__package_version(const exia_package *package);
const char *exia__package_tag(const exia_package *package); /* the platform, "any" */
const json_t *exia__package_manifest(const exia_package *package);
uint64_t exia__package_size(const exia_package *package);      /* bytes of all files, unpacked */
uint64_t exia__package_file_size(const exia_package *package); /* bytes of the .veda */
size_t exia__package_member_count(const exia_package *package);
int exia__package_signed(const exia_package *package); /* it carries a signature, unchecked */
/* May it be used by a policy (exia__trust_policy())?  Not when a key that this lists did not make the
 * signature that is there; nor, where it or `required` wants one, without one by such a key that still
 * counts.  @return EXIA_EUNTRUSTED */
exia_status exia__package_trusted_by(const exia_package *package, const json_t *policy,
                                     int required, exia_error *err);
/* By the trust file; NULL: trust.json in the home, which need not be there. */
exia_status exia__package_trusted(const exia_package *package, const char *trust_file, int required,
                                  exia_error *err);
/* Every frame in the order of the file, but the seek table behind them. */
const exia__frame *exia__package_frames(size_t *count, const exia_package *package);

/* Is every byte as recorded, whoever signed it?  @param file_digest  the SHA-256 of the file, of the bytes
 * that were looked at; may be NULL.  @return EXIA_ECORRUPT */
exia_status exia__package_check(unsigned char *file_digest, const exia_package *package,
                                exia__work *work, exia_error *err);

/* Unpack and verify into the open directory `root`, which is empty and the caller's alone (0700);
 * `directory` names it in errors.  Modes are applied to what is in it, not to itself.  Nothing is
 * synced or renamed, no signature is looked at, and after a failure the caller removes what is there. */
exia_status exia__package_unpack_into(const exia_package *package, int root, const char *directory,
                                      const exia_unpack_options *options, const exia_job *job,
                                      exia_error *err);

/* RECORD to the byte; to be freed. */
exia_status exia__package_record(char **out, size_t *size, const exia_package *package,
                                 exia_error *err);
/* Keep it in the directory that the package was unpacked into, as VEDA/RECORD. */
exia_status exia__record_keep(const exia_package *package, int root, const char *directory,
                              exia_error *err);
/* That which a directory keeps; to be freed.
 * @return EXIA_ENOTFOUND, EXIA_ECORRUPT: it is not that of the package with this digest */
exia_status exia__record_kept(char **out, size_t *size, const char *directory, const char *digest,
                              exia_error *err);

/* What is otherwise in a directory than in a RECORD, of which the `size` bytes at `text` are changed:
 * an array of {path, problem, expected, found} in path order, what is too much behind.  `problem` is
 * "missing", "extra", "type", "size", "digest", "mode", "target" or "unreadable".
 *
 * @param quick  not zero: no content is read, so no digest is compared
 * @return EXIA_ECORRUPT: the text is no RECORD
 */
exia_status exia__record_compare(json_t **out, char *text, size_t size, int root,
                                 const char *directory, int quick, exia__work *work,
                                 exia_error *err);

#endif
