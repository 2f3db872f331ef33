/* A library of models: immutable numbered versions, aliases that move, a log that is the truth.
 * Threads: any. */
#ifndef EXIA_MODEL_H
#define EXIA_MODEL_H

#include "exia/trust.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct exia_library exia_library;
/* One open version; no later move or removal touches it.  What takes it as const may be called from
 * any thread. */
typedef struct exia_model exia_model;

typedef struct exia_library_options {
    size_t struct_size;
    const char *blobs_url; /* NULL: beside the records, which then must be a directory */
    const char
        *trust_file; /* the policy for pickles; NULL: trust.json in the user's home of Exia */
    int read_only;   /* not zero: nothing is created, every write is EXIA_EDENIED */
} exia_library_options;

/* Open a library, creating it when it is not there.
 *
 * @param url  a directory, or a records URL; NULL: models/ in the home (EXIA_HOME, else the XDG data
 *             directory)
 * @return EXIA_EINVAL: not a URL of a known scheme, EXIA_ECORRUPT: the catalogue is no database,
 *         EXIA_EVERSION: it is of a newer schema, EXIA_EUNSUPPORTED: the store cannot promise an
 *         atomic step, EXIA_ENOTFOUND: read-only, and it is not there, EXIA_EDENIED
 */
EXIA_API exia_status exia_library_open(exia_library **out, const char *url,
                                       const exia_library_options *options, exia_error *err);
EXIA_API void exia_library_free(exia_library *library);

typedef struct exia_slice {
    const void *data;
    size_t size;
} exia_slice;

/* One file of a version: from a path, from memory, or from pieces of memory that shall lie one behind
 * the other, which are not joined first.  Passed in arrays, so it never grows.  Names are
 * [A-Za-z0-9_][A-Za-z0-9._-]{0,127} and not "version.json"; `format` is "safetensors", "bytes", "file"
 * or a word of the caller's own. */
typedef struct exia_part {
    const char *name, *format;
    const char *path; /* give one of path, data and pieces; data also for no bytes */
    const void *data;
    size_t size;
    const exia_slice *pieces;
    size_t piece_count;
} exia_part;

typedef struct exia_write_options {
    size_t struct_size;
    const char *facts;   /* a JSON object, see below */
    const char *alias;   /* move it in the same step, if it stands at `expect` */
    int64_t expect;      /* zero is EXIA_ABSENT: say EXIA_ANY to move it from anywhere */
    const char *message; /* why; goes into the history */
    const char *token;   /* names this intent for a repeated call; NULL: a fresh one */
    int dry_run;         /* not zero: store nothing; see `origin` for what is answered */
} exia_write_options;

/* The facts, all optional: `tags` (an object of texts, numbers and booleans), `metrics` (an object of
 * numbers; "NaN", "Infinity" and "-Infinity" by name), `params` (any object), `parent` (a version of
 * this model, or "other@3"), `environment` (any object; kept once, by digest), `imports` (a list of
 * texts), `origin` (a text: where this was made, when it was not made here: a path, a URL).
 *
 * What has an origin goes by the policy for pickles, wherever the library lies, and comes once: where a
 * version of the model with an origin has the same parts by name and content, nothing is written and
 * that version is the answer.  A dry run answers it, too, else 0. */

/* Publish the next version: the parts, then one commit.  After EXIA_OK it survives a power loss;
 * after a failure nothing is visible.  Numbers have no gaps, under any number of writers.
 *
 * @param[out] version  1, 2, 3 ...
 * @return EXIA_ECONFLICT: the alias stood elsewhere, EXIA_EINVAL: a name, a part or the facts
 */
EXIA_API exia_status exia_model_write(int64_t *version, exia_library *library, const char *name,
                                      const exia_part *parts, size_t part_count,
                                      const exia_write_options *options, const exia_job *job,
                                      exia_error *err);

/* Move an alias to a version (EXIA_ABSENT: remove it).
 *
 * @param expect  where the caller saw it: a version, EXIA_ABSENT or EXIA_ANY
 * @return EXIA_ECONFLICT: it stood elsewhere, EXIA_ENOTFOUND: no such version
 */
EXIA_API exia_status exia_alias_move(exia_library *library, const char *name, const char *alias,
                                     int64_t to, int64_t expect, const char *message,
                                     exia_error *err);

/* Undo the alias' last move not yet undone; where it was first put is not undone.  The target's parts
 * are there with their sizes, or nothing moves.
 *
 * @param[out] version  where it stands now, EXIA_ABSENT: nowhere; may be NULL
 * @return EXIA_ENOTFOUND: nothing to go back to, or the target was removed; EXIA_ECONFLICT
 */
EXIA_API exia_status exia_alias_rollback(int64_t *version, exia_library *library, const char *name,
                                         const char *alias, int64_t expect, const char *message,
                                         exia_error *err);

/* Let the alias stand again where it stood at a time.  That is a move like any other, so a rollback
 * undoes it.
 *
 * @param time  UTC: "2026-01-31" (when that day began) or "2026-01-31T23:59:59Z"
 * @return EXIA_EINVAL: no time, EXIA_ENOTFOUND: it was set later, or that version was removed;
 *         EXIA_ECONFLICT
 */
EXIA_API exia_status exia_alias_rollback_to(int64_t *version, exia_library *library,
                                            const char *name, const char *alias, const char *time,
                                            int64_t expect, const char *message, exia_error *err);

/* Protect an alias, or no longer (`on` zero: say why).  A protected alias moves only for who expects it
 * at a version (not EXIA_ANY) and gives a message, and is never removed: else EXIA_EDENIED.
 *
 * @return EXIA_ENOTFOUND: it stands nowhere */
EXIA_API exia_status exia_alias_protect(exia_library *library, const char *name, const char *alias,
                                        int on, const char *message, exia_error *err);

/* Hide a version for ever; its number is not used again.  @return EXIA_ECONFLICT: aliases are on
 * it, and the text names them */
EXIA_API exia_status exia_model_remove(exia_library *library, const char *name, int64_t version,
                                       const char *message, exia_error *err);

/* The versions that a filter selects, newest first unless it orders them; NULL: all.  Rows {name,
 * version, time, who, why, tags, metrics, params, parent, environment, imports, parts, aliases};
 * the filter sees exactly these:
 *
 *     name = 'digits' and metrics.auc > 0.9 order by metrics.auc desc limit 10
 */
EXIA_API exia_status exia_library_search(exia_rows **out, exia_library *library, const char *filter,
                                         exia_error *err);

/* Every entry of a model's log, oldest first: rows {seq, do, time, who, why, version, moves}, and one
 * that protects an alias has {protect: {alias, on}}. */
EXIA_API exia_status exia_library_history(exia_rows **out, exia_library *library, const char *name,
                                          exia_error *err);

/* The same of one alias: the entries that moved or protected it. */
EXIA_API exia_status exia_alias_history(exia_rows **out, exia_library *library, const char *name,
                                        const char *alias, exia_error *err);

/* Open one version.  `selector` is "x" (the latest), "x@7", "x@champion", "x@latest-1",
 * "x@previous(champion)", "x@best(metrics.auc)" (the maximum) or "x@worst(metrics.loss)" (the
 * minimum); of equals the newer one.
 *
 * @param flags  EXIA_OPEN_VERIFY: read into private memory and check every digest;
 *               EXIA_OPEN_POPULATE: fault the pages in now;
 *               EXIA_OPEN_READ_ONLY: nobody will write to the bytes, so that the mappings take nothing
 *               of what the system may promise (vm.overcommit_memory 2) or of RLIMIT_DATA
 * @return EXIA_EINVAL: not a selector, or EXIA_CACHE_SIZE is no size; EXIA_ENOTFOUND, EXIA_ECORRUPT
 */
enum { EXIA_OPEN_VERIFY = 1, EXIA_OPEN_POPULATE = 2, EXIA_OPEN_READ_ONLY = 4 };
EXIA_API exia_status exia_model_open(exia_model **out, exia_library *library, const char *selector,
                                     unsigned flags, exia_error *err);

/* The same where it may take long: a blob of a remote store that is not here yet comes by the job.
 *
 * @return EXIA_ECANCELLED, EXIA_ETIMEOUT: what came of a blob is gone on with by the next call
 */
EXIA_API exia_status exia_model_open_with(exia_model **out, exia_library *library,
                                          const char *selector, unsigned flags, const exia_job *job,
                                          exia_error *err);

/* Write a version as a plain directory, which must not be there yet: version.json and one file a
 * part, named as the part.  It appears whole or not at all. */
EXIA_API exia_status exia_library_export(exia_library *library, const char *selector,
                                         const char *directory, const exia_job *job,
                                         exia_error *err);

/* Open such a directory; no library is needed.  @param trust_file  as in exia_library_options */
EXIA_API exia_status exia_model_open_directory(exia_model **out, const char *directory,
                                               const char *trust_file, unsigned flags,
                                               exia_error *err);

/* The version's row, as exia_library_search() gives it: JSON, borrowed. */
EXIA_API const char *exia_model_facts(const exia_model *model);

/* What a pickle inside may do: JSON, borrowed.  {"trusted": true} where only this user can have
 * written the model, else {"trusted": false, "why", "packages": [..], "constructors": [..]}: the
 * policy's lists, to which a loader must keep.  A library that mapped the parts without EXIA_OPEN_
 * VERIFY has not read their digests.
 *
 * Either also has {"signed": {by, key, comment, library}} where a signature by a trusted key
 * (exia/trust.h) is why, or may be: after EXIA_OPEN_VERIFY it makes the model trusted; without, what was mapped can
 * still change, so copy a part, compare the copy's SHA-256 with the facts, and trust the copy. */
EXIA_API const char *exia_model_policy(const exia_model *model);

/* The same of anything that would come from elsewhere, such as by an import: what the policy lists.
 * JSON, to be freed with exia_text_free(). */
EXIA_API exia_status exia_library_policy(char **out, const exia_library *library, exia_error *err);

/* What the version was written under: the object that was given as `environment` in the facts (whose
 * row holds only its digest).  JSON, to be freed with exia_text_free().
 *
 * @return EXIA_ENOTFOUND: none was recorded
 */
EXIA_API exia_status exia_model_environment(char **out, const exia_model *model, exia_error *err);

/* The packages among it, pinned, one a line: the text of a file that `pip install -r` takes.  `packages`
 * in that object names them, {"numpy": "2.1.0"}; what is no name and no version is EXIA_ECORRUPT.  To be
 * freed with exia_text_free().
 *
 * @return EXIA_ENOTFOUND: no environment was recorded, EXIA_ECORRUPT
 */
EXIA_API exia_status exia_model_requirements(char **out, const exia_model *model, exia_error *err);
EXIA_API void exia_model_free(exia_model *model);

/* ---- signatures ----------------------------------------------------------------------------- */

/* What a signature of this version is over, to the byte: its row without `aliases`, and with
 * `"exia": "version/2"` and the library's id, as one JSON object.
 *
 *     {"environment":null,"exia":"version/2","imports":[],"library":"5f0c8b...","metrics":{"auc":0.5},
 *      "name":"digits","params":{},"parent":null,"parts":[{"format":"bytes","name":"model",
 *      "sha256":"2c26b46b...","size":3}],"tags":{},"time":"2026-01-31T23:59:59.123Z","version":7,
 *      "who":"me@here","why":null}
 *
 * (without the line breaks).  No space and no line break is outside of texts; the keys of each object
 * are in the order of their bytes.  Texts are UTF-8, with \" \\ \b \f \n \r \t and, for the other bytes
 * below 0x20, \u00XX (upper-case) written so, and all else as it is.  Integers are decimal; other
 * numbers are as C's "%.17g" writes them, without '+' and leading zeros in an exponent, and with ".0"
 * behind where there is neither a point nor an exponent.  To be freed with exia_text_free(). */
EXIA_API exia_status exia_model_record(char **out, const exia_model *model, exia_error *err);

/* Sign a version: every part is compared with its digest, then the signature is added to the log.  It
 * goes with the version wherever that is exported to.
 *
 * @param options  `comment` NULL: "digits@7" and the time
 * @return EXIA_ENOTFOUND: no such version, or no such key; EXIA_EDENIED: the password is missing
 *         (native ENOKEY) or wrong, or others may read the key; EXIA_EUNTRUSTED: the signature given
 *         is not of this version, or by no key that is trusted
 */
EXIA_API exia_status exia_model_sign(exia_library *library, const char *selector,
                                     const exia_sign_options *options, exia_error *err);

/* The signatures of a version: rows {state, key, by, comment, why, library, signature}.  `state` is
 * "good", "revoked", "unknown" (`key`, an id, is of no key in the trust file) or "bad" (not of this
 * version); `by` and `why` are what the trust file says; `library` is where it was signed, which for a
 * version that was exported or restored may be another one than here (null: it was signed before that
 * was said); `signature` is minisign's text. */
EXIA_API exia_status exia_model_signatures(exia_rows **out, const exia_model *model,
                                           exia_error *err);

/* ---- parts ---------------------------------------------------------------------------------- */

/* The bytes of one part.
 *
 * A local file is mapped: opening takes the same time whatever its size, and all processes share its
 * pages.  Writing changes this mapping only, page by page.  Where the system does not promise the
 * memory for that (see EXIA_OPEN_READ_ONLY), a part is mapped for reading only; to write to it then
 * ends the process.  On a network file system, and to be verified, it is read into memory, in large
 * pieces.
 *
 * A blob of a remote store is brought into the cache, and is then such a file: `cache/blobs` in EXIA_HOME
 * when that is set, else `exia/blobs` in the XDG cache directory.  It is named by its SHA-256, with which
 * it was compared as it came in, and is not removed while it is open here.  The cache holds
 * EXIA_CACHE_SIZE bytes ("500M", "10G"; "0": there is none), by default 10 GiB and at most half of what
 * is free on its disk; what was not used for longest goes first.  Where it is full, cannot be written
 * or may be written by others, the blob is read into memory, and the log (exia_log_set()) says why.
 *
 * A file that another process truncates is lost to a mapping: touching what is gone is SIGBUS.
 * Nothing here does that: the files of a library are written without any right to write (as the umask
 * allows, r--r--r--), never changed, and only unlinked, which leaves mappings whole.  So it takes the
 * owner, or root, to do harm; where such a one is not trusted, EXIA_OPEN_VERIFY reads all at once and
 * exia_model_read_into() answers EXIA_ECORRUPT.  The files of a plain directory are as whoever keeps
 * it handles them. */
typedef struct exia_view {
    void *data; /* starts on a 64-byte boundary */
    size_t size;
    const char *path; /* NULL and fd -1: in memory */
    int fd;
    int writable; /* 0: for reading only */
    uint64_t offset;
} exia_view;

/* View a part; borrowed until the model is freed, and always there until then.
 *
 * @param part  its name; NULL: the only one
 */
EXIA_API exia_status exia_model_view(exia_view *out, const exia_model *model, const char *part,
                                     exia_error *err);

/* How the bytes will be used. */
enum {
    EXIA_ADVICE_NORMAL = 0,
    EXIA_ADVICE_RANDOM = 1,     /* here and there: read nothing ahead */
    EXIA_ADVICE_SEQUENTIAL = 2, /* from the beginning to the end: read far ahead */
    EXIA_ADVICE_WILL_NEED = 3,  /* soon: begin to read now, and do not wait for it */
    EXIA_ADVICE_POPULATE = 4    /* at once: return when the pages are here (Linux 5.14; before that
                                 * as will need) */
};

/* Tell the system how `size` bytes (0: all that follow) at `offset` of a part will be used.  It may
 * be done again, otherwise.  Of a part in memory there is nothing to tell: EXIA_OK.
 *
 * @return EXIA_EINVAL: no such advice, or beyond the end; EXIA_ECORRUPT: populate found the file
 *         truncated
 */
EXIA_API exia_status exia_model_advise(const exia_model *model, const char *part, uint64_t offset,
                                       uint64_t size, int advice, exia_error *err);

/* Read bytes of a part into memory of the caller (pinned for a GPU, huge pages, another NUMA node),
 * in large pieces and without touching the mapping: they are the file's, whatever was written to the
 * mapping.  Of a part in memory they are copied from there.
 *
 * @return EXIA_EINVAL: beyond the end, EXIA_ECORRUPT: the file was truncated, EXIA_ECANCELLED,
 *         EXIA_ETIMEOUT
 */
EXIA_API exia_status exia_model_read_into(void *into, size_t size, const exia_model *model,
                                          const char *part, uint64_t offset, const exia_job *job,
                                          exia_error *err);

/* One tensor of a safetensors part. */
typedef struct exia_tensor {
    const char *dtype; /* as the format writes it: "F32", "I64" */
    const int64_t *shape;
    size_t rank;
    void *data;
    size_t size, alignment; /* bytes; what its address really has */
} exia_tensor;

/* Find a tensor by name; borrowed as the view is.  @return EXIA_ENOTFOUND, EXIA_EUNSUPPORTED: the
 * part is no safetensors file, EXIA_ECORRUPT: its header is not valid */
EXIA_API exia_status exia_model_tensor(exia_tensor *out, const exia_model *model, const char *part,
                                       const char *name, exia_error *err);

/* The tensors of a part: rows {name, dtype, shape, offset, size}, by offset, which counts from the
 * beginning of the part; and first a row {metadata: {..}}. */
EXIA_API exia_status exia_model_tensors(exia_rows **out, const exia_model *model, const char *part,
                                        exia_error *err);

/* ---- upkeep --------------------------------------------------------------------------------- */

typedef struct exia_retain_options {
    size_t struct_size;
    const char *name; /* of one model; NULL: all */
    int apply;        /* not zero: remove; else only tell what would be removed */
} exia_retain_options;

/* Remove the versions that no rule keeps, each by an entry of its own in the log, the oldest first;
 * exia_library_gc() then frees their space.  The rules are a JSON object, at least one of:
 *
 *     {"last": 5,                     the newest versions of each model
 *      "younger_days": 30,
 *      "best": {"metrics.auc": 3},    of each model, the highest numbers there
 *      "worst": {"metrics.loss": 3},  the lowest
 *      "where": "tags.keep = true",   what a filter selects
 *      "aliases": "ever"}             what an alias was on; what one is on ("now") stays anyway
 *
 * @param[out] out  rows {name, version, time, size, do, why} of every version; do is "keep", or
 *                  "removed" (only told: "remove")
 * @return EXIA_EINVAL: the rules
 */
EXIA_API exia_status exia_library_retain(exia_rows **out, exia_library *library, const char *rules,
                                         const exia_retain_options *options, const exia_job *job,
                                         exia_error *err);

typedef struct exia_gc_options {
    size_t struct_size;
    int64_t grace_ms; /* what was stored or used so recently stays; 0: 7 days */
    int dry_run;      /* not zero: change nothing, tell what would be removed */
    int wait;         /* not zero: stay for half the grace, and remove at once what is marked now */
} exia_gc_options;

/* Blobs and their bytes. */
typedef struct exia_gc_totals {
    uint64_t blobs, bytes;           /* all that there are */
    uint64_t removed, removed_bytes; /* by a dry run: that would be */
    uint64_t marked, marked_bytes;   /* they go half a grace later, by the next call */
    uint64_t young, young_bytes;     /* dead too, and younger than the grace */
} exia_gc_totals;

/* Remove the blobs that no version names any more.  A blob that is dead, and has been for the grace,
 * is marked first; it is removed by a call half a grace later (of cron's, say; or `wait`), when no
 * version has come to name it.  Writers and other collectors go on meanwhile, also on other machines;
 * no writer may be stopped for longer than the grace.  Stopped at any point, the next call goes on.
 *
 * @param[out] out     rows {key, size, modified, do, why} of the dead blobs; do is "removed" (by a
 *                     dry run "remove"), "marked", "young", or "busy": another collector has it
 * @param[out] totals  may be NULL
 * @return EXIA_ECONFLICT: the blobs are another library's, EXIA_ECORRUPT: a log cannot be read, so
 *         nobody knows what lives; EXIA_EVERSION: a log has entries of a newer version
 */
EXIA_API exia_status exia_library_gc(exia_rows **out, exia_gc_totals *totals, exia_library *library,
                                     const exia_gc_options *options, const exia_job *job,
                                     exia_error *err);

typedef struct exia_fsck_options {
    size_t struct_size;
    int repair; /* not zero: mend what can be mended; else nothing is changed */
    int quick;  /* not zero: compare sizes only, do not read the bytes */
} exia_fsck_options;

typedef struct exia_fsck_totals {
    uint64_t models, entries, blobs, bytes; /* that were looked at; bytes of all blobs */
    uint64_t errors, warnings, repaired;    /* errors and warnings that are left; what was mended */
} exia_fsck_totals;

/* Check a library: every log, every blob that a version names (its bytes by `job`'s threads), what is
 * derived from the logs, what collectors left.  Writers may go on meanwhile.
 *
 * Mended: a part whose bytes are lost or altered, when another copy of them is there (the log then
 * names that one); a missing `library-id`; marks that nobody needs; derived records.
 *
 * @param[out] out     rows {severity, what, name, version, key, text, repaired}; severity is "error" (a
 *                     version cannot be read, or a log), "warning" or "info"; none: all is well
 * @param[out] totals  may be NULL
 */
EXIA_API exia_status exia_library_fsck(exia_rows **out, exia_fsck_totals *totals,
                                       exia_library *library, const exia_fsck_options *options,
                                       const exia_job *job, exia_error *err);

/* ---- backups -------------------------------------------------------------------------------- */

typedef struct exia_backup_options {
    size_t struct_size;
    const char *const *models; /* only these; NULL: all */
    size_t model_count;
} exia_backup_options;

/* Back up a library while others write to it: every model as it stood at one moment of the call.
 * `path` is a directory, or one new file when it ends in ".tar.zst".  A directory that holds a backup
 * of this library gets what is new; it is a backup at all times, also when the call is killed.  A file
 * appears whole or not at all.
 *
 * @param[out] out  rows {name, entries, new}: entries of the model's log; may be NULL
 * @return EXIA_EEXISTS: the file is there, EXIA_ECONFLICT: a backup of another library, or another
 *         call is writing to it, EXIA_ECORRUPT: bytes of the library are lost, EXIA_ENOSPACE
 */
EXIA_API exia_status exia_library_backup(exia_rows **out, exia_library *library, const char *path,
                                         const exia_backup_options *options, const exia_job *job,
                                         exia_error *err);

/* Bring a backup into a library, empty or not.  Content decides: a model that is not there comes as
 * it was, one whose log is the beginning of the backup's gets the rest, and one that has it all stays.
 * A blob of a version that is here already is stored again where it was lost or cut short; what then
 * lies under another name than the log says, exia_library_fsck with `repair` puts right.
 * All that is added was verified before; a model appears in the states that it had.  Again is no
 * error.  What was restored is from elsewhere, so its pickles go by the policy, wherever it lies.  The
 * blobs of one file pass, one at a time, through a temporary file in TMPDIR, else /var/tmp.
 *
 * @param[out] out  rows {name, entries, new}; may be NULL
 * @return EXIA_ECONFLICT: a model has other entries than the backup; the text names both, and nothing
 *         was changed; EXIA_ECORRUPT: it is no backup, or not what was written; EXIA_EVERSION
 */
EXIA_API exia_status exia_library_restore(exia_rows **out, exia_library *library, const char *path,
                                          const exia_backup_options *options, const exia_job *job,
                                          exia_error *err);

#ifdef __cplusplus
}
#endif
#endif
