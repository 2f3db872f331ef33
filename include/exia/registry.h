/* Packages here and elsewhere: register, query, push, pull, install.  Threads: any.
 *
 * `remote` is a name added before, or NULL for what is here; what only reads takes a directory of .veda
 * files, too, which is a path with a "/" in it.  `package` is "name" (the newest
 * version that fits this platform), "name@1.2" or "name@1.2#linux_x86_64". */
#ifndef EXIA_REGISTRY_H
#define EXIA_REGISTRY_H

#include "exia/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct exia_registry exia_registry;
/* Bytes of a package: all; sent or fetched now; not, since they were there already. */
typedef struct exia_transfer {
    uint64_t total, moved, reused;
    char package[328]; /* which one it was: NAME@VERSION#TAG */
} exia_transfer;
typedef struct exia_transfer_options { /* set struct_size to sizeof of it; zeros are the defaults */
    size_t struct_size;
    int dry_run; /* move nothing, and say what would move */
} exia_transfer_options;

/* Open the registry in `home` (NULL: EXIA_HOME, else the XDG data directory), creating it when it is
 * not there; what a crash left half done is undone. */
EXIA_API exia_status exia_registry_open(exia_registry **out, const char *home, exia_error *err);
EXIA_API const char *exia_registry_home(const exia_registry *registry); /* its directory */

/* Remember a remote: records (what there is) and packages (the bytes).
 *
 * @return EXIA_EEXISTS: another one has the name, EXIA_EINVAL: an unknown scheme
 */
EXIA_API exia_status exia_registry_remote_add(exia_registry *registry, const char *name,
                                              const char *records_url, const char *packages_url,
                                              exia_error *err);
/* Forget a remote; what is there stays. */
EXIA_API exia_status exia_registry_remote_remove(exia_registry *registry, const char *name,
                                                 exia_error *err);

/* Rows {name, records, packages}; passwords are not shown. */
EXIA_API exia_status exia_registry_remotes(exia_rows **out, exia_registry *registry,
                                           exia_error *err);

/* Open both sides of a remote and say what is there: rows {store, key, value}, `store` being "records" or
 * "packages", the rest as exia_store_check tells it.  Nothing is made; a side that is not there yet has one
 * row, of key "state". */
EXIA_API exia_status exia_registry_remote_check(exia_rows **out, exia_registry *registry,
                                                const char *remote, exia_error *err);

/* The same, and try out what push and pull need: a blob of 12 MiB is stored where the packages are, read, listed, touched,
 * made anew of its own ranges, and removed.  More rows of "packages": how long each took, and "copies ranges", whether
 * of a new version only what changed is sent.
 *
 * @return EXIA_EDENIED: nothing may be stored there, EXIA_EUNSUPPORTED: it does not list */
EXIA_API exia_status exia_registry_remote_try(exia_rows **out, exia_registry *registry,
                                              const char *remote, const exia_job *job,
                                              exia_error *err);

/* Make a package file known: verified, its bytes kept, then recorded.  Again is no error.
 *
 * @return EXIA_EEXISTS: another package has this identity, EXIA_ECORRUPT
 */
EXIA_API exia_status exia_registry_register(exia_registry *registry, const char *file,
                                            const char *remote, const exia_job *job,
                                            exia_error *err);

/* Forget a package; `name@version` at least, so that no newer one goes by accident.  What is
 * installed stays.  Here its file goes and its identity is free again; a remote keeps both, since
 * others may have it: there the same content may come back, and other content is EXIA_EEXISTS. */
EXIA_API exia_status exia_registry_unregister(exia_registry *registry, const char *package,
                                              const char *remote, exia_error *err);

/* Change what is said about a package; the package itself never changes.  `update` puts `facts` in the
 * place of all that were there.  `merge` keeps the others: a member replaces the one of its name, in
 * objects inside objects too, and null takes it away (RFC 7396).  Where the store writes several records
 * at once, as sqlite: does, nothing is lost that somebody else merges at the same time.  @param facts  a JSON object of at most 1 MiB */
EXIA_API exia_status exia_registry_update(exia_registry *registry, const char *package,
                                          const char *facts, const char *remote, exia_error *err);
EXIA_API exia_status exia_registry_merge(exia_registry *registry, const char *package,
                                         const char *facts, const char *remote, exia_error *err);

/* The packages that a filter selects (NULL: all): by name, newest version first, unless it orders.
 * Rows {name, version, tag, digest, file, size, time, facts, signed, description, components,
 * dependencies, entry_points, latest}; `latest` is true of the newest of its name and tag, a final version if
 * there is one.  A row with `conflict`, which says why, cannot be installed, and may have no more than
 * an identity.  Of a remote that nothing was pushed to yet: none.
 *
 *     name = 'vision' and version >= '1.10'              versions compare as versions
 *     latest = true and time > '2026-01-31'              times are UTC: 2026-01-31T23:59:59.000Z
 *     'numbers' in dependencies                          what needs it, in whichever version
 *     'model' in components.kind or 'main' in entry_points
 *     facts.stage = 'prod' and size < 1000000 order by time desc limit 10
 */
EXIA_API exia_status exia_registry_query(exia_rows **out, exia_registry *registry,
                                         const char *filter, const char *remote, exia_error *err);

/* Send a package that is registered here to a remote, or fetch one from there.  The bytes come
 * before the record; what is there already is not sent again.
 *
 * Only what is new moves.  A push has the remote copy what other versions of the package have there
 * already, where its store can do that (file:, s3:); a pull takes what packages have that are registered
 * here, and reads the rest by ranges, with all threads.  A transfer that was cut goes on when it is
 * repeated, by any process.  What a pull brings is verified as a whole before anything shows.
 *
 * @param[out] out  may be NULL; a dry run tells what would move, to a push that of a store which sends no
 * more than it must
 * @param options   NULL: the defaults
 * @return EXIA_EEXISTS: another package has this identity; EXIA_ECORRUPT: the file there is not what its
 * record says
 */
EXIA_API exia_status exia_registry_push(exia_transfer *out, exia_registry *registry,
                                        const char *package, const char *remote,
                                        const exia_transfer_options *options, const exia_job *job,
                                        exia_error *err);
EXIA_API exia_status exia_registry_pull(exia_transfer *out, exia_registry *registry,
                                        const char *package, const char *remote,
                                        const exia_transfer_options *options, const exia_job *job,
                                        exia_error *err);

/* A URL at which whoever has it can read a remote's package for so many seconds, without keys: to be freed
 * with exia_text_free().  S3 gives them, for seven days at most; what is read is checked by exia_package_verify()
 * and the digest that exia_registry_query() tells.  @return EXIA_EUNSUPPORTED: the remote has none */
EXIA_API exia_status exia_registry_url(char **url, exia_registry *registry, const char *package,
                                       const char *remote, int64_t seconds, exia_error *err);

typedef struct exia_install_options {
    size_t struct_size;
    int upgrade; /* not zero: needs are met by the newest versions, not by what is installed */
    /* A lock file, "veda.lock": exactly which packages are taken.  What it lists is taken so and not
     * otherwise, unless this is an upgrade; afterwards it lists what was taken for all that was asked
     * for with it.  Not there: it is written.  NULL: none */
    const char *lock;
    int locked; /* not zero: only what the lock file lists, which must be there and is not written */
    int keep_current; /* not zero: another version that is current stays so */
} exia_install_options;

/* Install the package and all it needs, or nothing; what is missing here is pulled from `remote`
 * (NULL: only from what is here) and stays registered.  Needs are met by what is installed, else by
 * the newest version that fits all who ask.  Again is no error.
 *
 * `remote` may also be a directory of package files: a text with a "/" in it.  Of `package` NULL, with
 * `locked` only, all that the lock file lists is installed, as what was asked for or came along there;
 * what is installed besides stays.  Several processes may install with one lock file at a time: each
 * keeps what the others wrote.
 *
 * Versions and platforms of a package lie side by side, and one that runs here is current: what
 * installed/NAME/current, a link, leads to, and what is loaded when no version is named.  That is the
 * package asked for, from now on, unless the options keep another; what only came along for it does so
 * where no version was current.  No code of a package is run.
 *
 * @param[out] directory  where the package lies; of a whole lock file HOME/installed; may be NULL
 * @param      options    NULL: the defaults
 * @return EXIA_ENOTFOUND: it is not there, or needs do not go together, with who asks for what;
 * EXIA_ECYCLE: packages need each other; EXIA_ECONFLICT: two packages have one identity, or one is not
 * that of the lock file; EXIA_EUNSUPPORTED: too many combinations; EXIA_ECORRUPT
 */
EXIA_API exia_status exia_registry_install(char **directory, exia_registry *registry,
                                           const char *package, const char *remote,
                                           const exia_install_options *options, const exia_job *job,
                                           exia_error *err);

/* What exia_registry_install() would do: rows {name, version, tag, digest, from, size, passed_over}, what
 * is needed first, the package last; `from` is "installed", "here" or the remote, `size` the bytes of the
 * package's file (null: installed), and `passed_over` says why a newer version is not taken where it does
 * not go together with the rest (null: there is none).  Nothing changes.
 *
 * @return as there */
EXIA_API exia_status exia_registry_plan(exia_rows **out, exia_registry *registry,
                                        const char *package, const char *remote,
                                        const exia_install_options *options, const exia_job *job,
                                        exia_error *err);

/* What is installed: rows {name, version, tag, digest, directory, time, entry_points, components,
 * dependencies, requested, current}, by name, newest version first; `requested` is what did not only
 * come along for others, and has `resolved`, too: {NAME: "VERSION#TAG"} of all that was chosen for it.
 * @param package  NULL: all */
EXIA_API exia_status exia_registry_installed(exia_rows **out, exia_registry *registry,
                                             const char *package, exia_error *err);

/* What an installed package goes with: rows as of exia_registry_installed(), each behind all that it needs,
 * the package itself last.  It is the current version unless one is named.  Of what it needs it is what was
 * resolved for it when it was installed; where that is gone, the current version, else the best, but none
 * that somebody among them does not admit.  So code of several versions side by side is loaded right.
 *
 * @return EXIA_ENOTFOUND: it is not installed, or something that it needs is not */
EXIA_API exia_status exia_registry_needs(exia_rows **out, exia_registry *registry,
                                         const char *package, exia_error *err);

/* Make an installed package the current one of its name.  One for another platform must be named with
 * its tag.
 *
 * @param expect  what must be current for it to happen: "1.2", "1.2#any" or "none"; NULL: anything
 * @return EXIA_ENOTFOUND: it is not installed, EXIA_ECONFLICT: another one than expected is current, and
 *         the text names it
 */
EXIA_API exia_status exia_registry_activate(exia_registry *registry, const char *package,
                                            const char *expect, exia_error *err);

/* The package that `path` was installed by, as "name@version#tag".  Links are followed, that to the
 * current version too.  @return EXIA_ENOTFOUND */
EXIA_API exia_status exia_registry_which(char **package, exia_registry *registry, const char *path,
                                         exia_error *err);

/* Take an installed package away.  If it was the current one, the best that remains is: a final version
 * before a pre-release, then the newest; or none.
 *
 * @return EXIA_ECONFLICT: installed packages need it, and the text names them
 */
EXIA_API exia_status exia_registry_uninstall(exia_registry *registry, const char *package,
                                             exia_error *err);

typedef struct exia_check_options {
    size_t struct_size;
    int quick;          /* not zero: no file is read, so no digest is compared */
    int repair;         /* not zero: what is not as it was installed is unpacked anew */
    const char *remote; /* where a package that is to be repaired is pulled from when it is not
                           registered here; NULL: it stays as it is */
} exia_check_options;

/* Compare what is installed with its record, file by file: rows {name, version, tag, path, problem,
 * expected, found, repaired, why}, none when all is well.  `problem` is "missing", "extra", "type",
 * "size", "digest", "mode", "target" (of a link), "unreadable", or "record" when there is nothing to
 * compare with; `path` is null for the package as a whole, and "current" for the link to the current
 * version.  A repair puts a package unpacked anew in place of the old one, in one step, and nothing that
 * was added to that is kept; `why` says why a row is not `repaired`, where it was to be.
 *
 * @param package  NULL: all
 * @param job      its progress counts bytes
 * @return EXIA_ENOTFOUND: it is not installed
 */
EXIA_API exia_status exia_registry_check(exia_rows **out, exia_registry *registry,
                                         const char *package, const exia_check_options *options,
                                         const exia_job *job, exia_error *err);

/* Compare the files of registered packages with their records, here (`remote` NULL) or on a remote, which is read
 * for it: rows as exia_registry_check() has them, where `path` is the key of the file and `problem` is "missing",
 * "size", "digest", "unreadable", or "record" where that cannot be used.  A push does not find what rotted there, a pull
 * refuses it.  A repair puts a good copy in the place of the file: on a remote what is registered here, all of it; here
 * what the remote of the options has.
 *
 * @param package  NULL: all
 * @param options  quick: only sizes
 * @param job      its progress counts bytes
 * @return EXIA_ENOTFOUND: it is not registered
 */
EXIA_API exia_status exia_registry_check_files(exia_rows **out, exia_registry *registry,
                                               const char *package, const char *remote,
                                               const exia_check_options *options,
                                               const exia_job *job, exia_error *err);

typedef struct exia_prune_options {
    size_t struct_size;
    int apply; /* not zero: do it; else nothing is changed */
} exia_prune_options;

/* Uninstall what only came along for packages that are gone or do well without, and clear away what
 * processes left that died, files of packages too that no record has named for a day: rows {name, version, tag,
 * directory, why}, of a leftover only the last two.
 *
 * @param options  NULL: only tell what would go
 */
EXIA_API exia_status exia_registry_prune(exia_rows **out, exia_registry *registry,
                                         const exia_prune_options *options, const exia_job *job,
                                         exia_error *err);

/* ---- bundles: packages with all that they need in one file, for a site without a network ----
 *
 * A bundle is a plain tar, which any tool opens: bundle.json lists the packages with their digests, and
 * each file behind it is a package. */

typedef struct exia_export_options {
    size_t struct_size;
    const char *remote; /* what is missing here is pulled from there, and stays; NULL: nothing is */
    const char
        *have; /* the lines of exia_registry_have() of the other side: left out; NULL: none */
    int only;  /* not zero: these packages alone, not what they need */
    const char *const
        *platforms; /* tags, as "linux_aarch64": what it is for, each of them with all that is
                                     needed there; NULL: this platform */
    size_t platform_count;
} exia_export_options;

/* Write packages and all that they need, as registered here, to `file`: whole or not at all, in the
 * place of one that is there.  Needs are met by the newest version that fits, for this platform or those
 * that the options name; of a package that is named with its tag for that one.
 *
 * @param[out] out  rows {name, version, tag, digest, file, size, state}, `state` being "exported" or
 *                  "left out", which has no file; may be NULL
 * @return EXIA_ENOTFOUND: one is not registered here, EXIA_EEXISTS: the other side has one with other
 * content
 */
EXIA_API exia_status exia_registry_export(exia_rows **out, exia_registry *registry,
                                          const char *const *packages, size_t count,
                                          const char *file, const exia_export_options *options,
                                          const exia_job *job, exia_error *err);

/* Register all packages of a bundle.  All are verified before the first is registered; those that are
 * here are skipped, so an import that was cut short goes on.
 *
 * @param[out] out  rows as above, `state` being "imported" or "there already"; may be NULL
 * @return EXIA_ECORRUPT: it is none, or not whole, EXIA_EEXISTS: another package has an identity,
 * EXIA_ENOTFOUND: what was left out of it is not here
 */
EXIA_API exia_status exia_registry_import(exia_rows **out, exia_registry *registry,
                                          const char *file, const exia_job *job, exia_error *err);

/* What a side has, a line "NAME@VERSION#TAG DIGEST" each.  Free with exia_text_free. */
EXIA_API exia_status exia_registry_have(char **out, exia_registry *registry, const char *remote,
                                        const exia_job *job, exia_error *err);
EXIA_API void exia_registry_free(exia_registry *registry);

#ifdef __cplusplus
}
#endif
#endif
