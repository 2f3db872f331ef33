/* `.veda` files: a workspace packed whole, read, verified and unpacked. */
#ifndef EXIA_PACKAGE_H
#define EXIA_PACKAGE_H

#include "exia/trust.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An open file; its record is checked, not its payload.  Threads: any, until it is freed. */
typedef struct exia_package exia_package;

/* What a package needs, `dependencies` in its veda.json: a list of texts, each a name and up to eight
 * clauses with commas between, which all must hold; "||" stands between alternatives, one of which must.
 * "other" alone admits every final version.
 *
 *     other >= 1.2, < 2     also ==, !=, <=, >
 *     other ~= 1.4.2        1.4.2 or later, within 1.4 (Python)
 *     other ^1.2.3          1.2.3 or later, below 2; ^0.2.3 below 0.3, ^0.0.3 below 0.0.4 (npm, Cargo)
 *     other ~1.2.3          1.2.3 or later, within 1.2; ~1 within 1
 *     other == 1.2.*        whatever begins with 1.2; also != 1.2.*, 1.2.* alone, and * for any
 *     other ^1.2 || >= 3, < 3.4     one or the other (npm); the comma binds more tightly
 *
 * Versions are Python's (PEP 440, but no epoch) or semantic ones, in one order: 1.0.dev1, 1.0a1 (also
 * written 1.0-alpha.1), 1.0b1, 1.0rc1, 1.0, 1.0+cpu, 1.0.post1, 1.0.1; 1.0 and 1.0.0 are the same.  A
 * pre-release or development release is admitted only where a clause of the alternative names one, as in
 * ">= 2.0rc1".  "< 2" does not admit 2.0rc1 nor "> 1" 1.0.post1; "== 1.2" admits 1.2+cpu. */

/* Start a workspace: `directory` (made if need be) with a veda.json of version 0.1.0.
 *
 * @return EXIA_EEXISTS: there is a veda.json, EXIA_EINVAL: the name
 */
EXIA_API exia_status exia_workspace_new(const char *directory, const char *name, exia_error *err);

/* Copy `path`, a file or a directory, to KIND/BASENAME in a workspace and list it as a component.  A
 * path "NAME@SELECTOR" with kind "model" comes out of the library in `home` as a plain directory.
 *
 * @param kind  "code", "model", "data", "env", "doc"; NULL: guessed from the path
 * @param home  NULL: the user's
 * @return EXIA_EEXISTS: something is there already, EXIA_ENOTFOUND
 */
EXIA_API exia_status exia_workspace_add(const char *directory, const char *path, const char *kind,
                                        const char *home, exia_error *err);

/* Unpack an archive, a .tar, .tar.gz, .tar.zst or .zip, to KIND/NAME in a workspace, where NAME is that
 * of the file without these endings, and list it as a component.  It is a stranger's: paths must stay
 * inside and so must links; there are no devices; modes are those that a package carries.
 *
 * @param kind  as for exia_workspace_add(); NULL: guessed from what is in it
 * @return EXIA_EEXISTS: something is there already, EXIA_ENOTFOUND; EXIA_EINVAL: no such archive, or a
 *         member that no package carries; EXIA_ECORRUPT: it is damaged; EXIA_ENOSPACE: its files are
 *         larger than what is free
 */
EXIA_API exia_status exia_workspace_add_archive(const char *directory, const char *archive,
                                                const char *kind, const exia_job *job,
                                                exia_error *err);

/* Name an entry point in the workspace's veda.json; one of that name is replaced.
 *
 * @param object  "module:object": what the package's code has there, which is not looked at now
 * @return EXIA_EINVAL: the name or the object, EXIA_ENOTFOUND: no workspace
 */
EXIA_API exia_status exia_workspace_add_entry(const char *directory, const char *name,
                                              const char *object, exia_error *err);

typedef struct exia_pack_options {
    size_t struct_size;
    int level;                     /* of zstd, 1 to 19; 0: 3 */
    const exia_sign_options *sign; /* as for exia_package_sign(); NULL: it is not signed */
} exia_pack_options;

/* Pack a workspace: files, directories, links that stay inside it, hard links as such.  Left out is
 * what .vedaignore lists, in gitignore's language, here and in directories below, and .git,
 * __pycache__ and *.veda unless it takes them back.  A package carries no times, owners or extended
 * attributes, and of a mode the bits 0755.  The same input and zstd version give the same bytes, with
 * any number of threads; each takes about 10 MiB, at the highest levels up to 90.
 *
 * @param file  NULL: NAME-VERSION-TAG.veda in the working directory; it appears whole or not at all
 * @param[out] written  where it went; may be NULL
 * @return EXIA_ECONFLICT: a file changed meanwhile, EXIA_EINVAL: the manifest, with the field named,
 *         or a member that no package carries (a device, a link that leads out, a path at VEDA/);
 *         for the key as exia_package_sign()
 */
EXIA_API exia_status exia_package_write(char **written, const char *workspace, const char *file,
                                        const exia_pack_options *options, const exia_job *job,
                                        exia_error *err);

/* Open a package: its index, its metadata and its record, not its payload.
 *
 * @return EXIA_ECORRUPT: truncated, changed or no package at all; EXIA_EVERSION
 */
EXIA_API exia_status exia_package_open(exia_package **out, const char *file, exia_error *err);

/* What METADATA.json holds, to the byte: format, the manifest, the digest, the compression.  JSON,
 * borrowed.  It is what a signature is over, and by its digests that is over every file. */
EXIA_API const char *exia_package_facts(const exia_package *package);

/* The members: rows {path, type: file | directory | link | hardlink, mode, size, sha256, target,
 * component}, in the record's order. */
EXIA_API exia_status exia_package_files(exia_rows **out, const exia_package *package,
                                        exia_error *err);

typedef struct exia_verify_options {
    size_t struct_size;
    int quick;              /* not zero: index, metadata, record and signature, not the payload */
    int require_signature;  /* not zero: by a key that is trusted, or it is refused */
    const char *trust_file; /* NULL: trust.json in the user's home of Exia */
    const char *path;       /* only the member there and what lies below it; NULL: everything */
} exia_verify_options;

/* Read the payload and compare it with the record, frame by frame, on all threads.  A signature need
 * not be there unless the options or the trust file require one; but one by a listed key must be of
 * this package.
 *
 * @return EXIA_ECORRUPT: the text names the first frame, or member, that is not as recorded;
 *         EXIA_EUNTRUSTED: the signature; EXIA_ENOTFOUND: no such path
 */
EXIA_API exia_status exia_package_verify(const exia_package *package,
                                         const exia_verify_options *options, const exia_job *job,
                                         exia_error *err);

typedef struct exia_unpack_options {
    size_t struct_size;
    const char *pattern;   /* only what matches (fnmatch, '*' crosses '/'), or lies below a match */
    const char *component; /* only what lies at this path, which the manifest lists */
    int unsynced;          /* not zero: a crash of the system may lose it just after */
    int require_signature; /* as for exia_package_verify() */
    const char *trust_file; /* as there */
} exia_unpack_options;

/* Unpack into `directory`, which must be absent or empty, and not the working directory, verifying
 * on the way; it appears whole or not at all.
 *
 * @return EXIA_EEXISTS: the directory is not empty, EXIA_ENOTFOUND: nothing matches, EXIA_ECORRUPT,
 *         EXIA_EUNTRUSTED: the signature, as for exia_package_verify(); EXIA_ECONFLICT: somebody else
 *         renames what lies beside it
 */
EXIA_API exia_status exia_package_unpack(const exia_package *package, const char *directory,
                                         const exia_unpack_options *options, const exia_job *job,
                                         exia_error *err);

/* The size of a file, or of the one that a hard link stands for.
 *
 * @return EXIA_ENOTFOUND: no such path, EXIA_EINVAL: it is no file
 */
EXIA_API exia_status exia_package_file_size(uint64_t *out, const exia_package *package,
                                            const char *path, exia_error *err);

/* Read `size` bytes at `offset` of a file; only the frames that hold them are read.  The whole of it is
 * compared with the record; a part is compared with the digests of its frames.  The signature is not
 * looked at: a quick exia_package_verify() does that.
 *
 * @return EXIA_EINVAL: there are not so many; else as exia_package_file_size(); EXIA_ECORRUPT
 */
EXIA_API exia_status exia_package_read(void *into, const exia_package *package, const char *path,
                                       uint64_t offset, size_t size, const exia_job *job,
                                       exia_error *err);

/* Write a file to the descriptor `fd`, as for a pipe, in order.  What was written is good only when
 * EXIA_OK is answered: the digest is known last.
 *
 * @return as exia_package_read()
 */
EXIA_API exia_status exia_package_cat(const exia_package *package, const char *path, int fd,
                                      const exia_job *job, exia_error *err);
EXIA_API void exia_package_free(exia_package *package);

typedef struct exia_receive_options {
    size_t struct_size;
    const char *name;       /* of the stream, for errors; NULL: "the stream" */
    int require_signature;  /* as for exia_package_verify() */
    const char *trust_file; /* the same */
    int unsynced;           /* as for exia_package_unpack() */
} exia_receive_options;

/* Read a package in order from a pipe, a socket or a file that is open for reading, from where it
 * stands to its end, and verify it on the way.  Its index comes last, so each part is checked as it
 * comes, and of the payload nothing is kept.  What exia_package_open() and exia_package_verify()
 * accept, this accepts, and nothing else.
 *
 * @param[out] out   what came, to be asked for its facts, files and signatures, not for its payload;
 *                   may be NULL
 * @param directory  unpack into it, which must be absent or empty, and not the working directory; it
 *                   appears whole or not at all.  NULL: only verify
 * @return EXIA_ECORRUPT: truncated, changed, no package, or something behind it; EXIA_EVERSION;
 *         EXIA_EUNTRUSTED: the signature; EXIA_EEXISTS: the directory is not empty; EXIA_ENOSPACE:
 *         the files are larger than what is free; EXIA_ETIMEOUT: nothing came for the job's
 *         timeout_ms
 */
EXIA_API exia_status exia_package_receive(exia_package **out, int fd, const char *directory,
                                          const exia_receive_options *options, const exia_job *job,
                                          exia_error *err);

/* ---- signatures ----------------------------------------------------------------------------- */

/* Sign a package: all of it is verified, then it is copied with the signature at its end, in place of
 * one that it had.  The payload is copied as it is, and the package's digest stays.  The same package,
 * key and comment give the same bytes.
 *
 * @param signed_file  NULL: `file` is replaced; either appears whole or not at all
 * @param options      `comment` NULL: "hello@1.0#any"; a `signature` made elsewhere is over what
 *                     exia_package_facts() gives, which in the package is VEDA/METADATA.json
 * @param trust_file   says whether such a key is trusted; NULL: trust.json in the user's home of Exia
 * @return EXIA_ECORRUPT: it does not verify, EXIA_ENOTFOUND: no such file or key, EXIA_EINVAL: what
 *         is there is no regular file, EXIA_EDENIED: the password is missing (native ENOKEY) or wrong,
 *         or others may read the key; EXIA_EUNTRUSTED: the signature given is not of this package, or
 *         by no key that is trusted
 */
EXIA_API exia_status exia_package_sign(const char *file, const char *signed_file,
                                       const exia_sign_options *options, const char *trust_file,
                                       const exia_job *job, exia_error *err);

/* The signature of a package, if it has one: a row {state, key, by, comment, why, signature} as from
 * exia_model_signatures(). */
EXIA_API exia_status exia_package_signatures(exia_rows **out, const exia_package *package,
                                             const char *trust_file, exia_error *err);

#ifdef __cplusplus
}
#endif
#endif
