/* What the files of the registry share.
 *
 *     HOME/config.json          remotes                     config.c
 *     HOME/packages/            catalog.db, blobs/          offer.c, catalog.c, publish.c
 *     HOME/journal.db           transfers, intents          transfer.c, staging.c
 *     HOME/staging/             what is not finished        staging.c
 *     HOME/installed/N/V/TAG    what is installed           install.c, uninstall.c, repair.c
 *     HOME/installed/N/current  a link to V/TAG             current.c
 *     HOME/lock                 held while any of it changes for good; never removed */
#ifndef EXIA_REGISTRY_REGISTRY_H
#define EXIA_REGISTRY_REGISTRY_H

#include <jansson.h>

#include "base/job.h"
#include "exia/registry.h"
#include "store/store.h"

struct exia_registry {
    char *home;
    exia__records *records; /* kinds: package, identity, offer, registry, installed, current */
    exia__blobs *blobs;
    exia__records *journal; /* kinds: transfer, intent; NULL: the home cannot be written */
    unsigned generation;    /* of forks */
};

/* The checks of every entry: no NULL, not in a forked child. */
exia_status exia__registry_enter(const exia_registry *registry, exia_error *err);
/* ... and that the home can be written. */
exia_status exia__registry_enter_write(const exia_registry *registry, exia_error *err);
exia_status exia__registry_path(char **out, const exia_registry *registry, const char *below,
                                exia_error *err);

/* Report now, whatever the time: a new step begins. */
exia_status exia__work_phase(exia__work *work, const char *step, exia_error *err);

/* Pass on an error that was caught. */
exia_status exia__error_pass(exia_error *err, const exia_error *caught);

/* ---- locks: flock on a file; they end with the process ---- */

/* Wait for the lock on `path`, a file that is made or a directory/, as long as `work` allows.
 * @return EXIA_ETIMEOUT */
exia_status exia__lock_take(int *fd, const char *path, exia__work *work, exia_error *err);
/* The same without waiting: EXIA_DONE when somebody holds it. */
exia_status exia__lock_try(int *fd, const char *path, exia_error *err);
void exia__lock_drop(int fd); /* -1 is fine */
/* EXIA_ETIMEOUT, with who holds the lock if that is known. */
exia_status exia__lock_fail(const char *path, const exia__work *work, exia_error *err);
exia_status exia__home_lock(int *fd, const exia_registry *registry, exia__work *work,
                            exia_error *err);

/* ---- sides: here, or a remote ---- */

typedef struct exia__files exia__files; /* files.h */

typedef struct exia__side {
    const char *name;       /* of the remote, borrowed; NULL: here */
    exia__records *records; /* NULL: nothing was ever written there */
    exia__blobs *blobs;     /* NULL unless asked for */
    exia__files *files;     /* in the place of both: a directory of package files; NULL: none */
} exia__side;

enum { EXIA__RECORDS_ONLY = 0, EXIA__WITH_BLOBS = 1 };
exia_status exia__side_open(exia__side *out, exia_registry *registry, const char *remote, int mode,
                            int with_blobs, const exia_job *job, exia_error *err);
void exia__side_free(exia__side *side);
/* This side, borrowed from the registry: not to be freed. */
exia__side exia__side_here(const exia_registry *registry);
/* Put "remote NAME: " before an error of that side, once. */
exia_status exia__side_fail(const exia__side *side, exia_status status, exia_error *err);

/* The URLs of a remote, with their secrets.  @return EXIA_ENOTFOUND */
exia_status exia__remote_urls(char **records, char **packages, const exia_registry *registry,
                              const char *name, exia_error *err);

/* ---- selectors: name, name@version, name@version#tag ---- */

typedef struct exia__spec {
    char *text, *name;    /* all of it; the package */
    char *version, *tag;  /* NULL: not said */
    const char *platform; /* without a tag: what it has to run on, borrowed; NULL: this machine */
} exia__spec;

exia_status exia__spec_parse(exia__spec *out, const char *text, exia_error *err);
void exia__spec_free(exia__spec *selector);
/* Whether a package of this identity is meant; without a tag any platform's is. */
int exia__spec_match(const exia__spec *selector, const char *name, const char *version,
                     const char *tag);
/* Of two that match and run here, is the first meant?  A final version before a pre-release, then the
 * newer one, then one that was made for this platform. */
int exia__spec_before(const char *version, const char *tag, const char *other_version,
                      const char *other_tag);
/* Whether a package with this tag runs on this machine; on a platform, which is named by its tag. */
int exia__tag_fits(const char *tag);
int exia__tag_fits_on(const char *tag, const char *platform);
/* The tag of this machine. */
const char *exia__platform(void);

/* ---- offers: what the events of one identity come to ---- */

typedef struct exia__offer {
    char *name, *version, *tag;
    json_t *event;   /* the live event that speaks for it; NULL when none can be read */
    json_t *live;    /* the tokens that the next event supersedes */
    exia_status bad; /* EXIA_OK, or why it cannot be used: ECONFLICT, EVERSION, ECORRUPT */
    char *why;       /* the same for people; NULL with EXIA_OK */
    int latest;      /* the newest of its name and tag that can be used; a final one if there is */
} exia__offer;

typedef struct exia__offers {
    exia__offer *items; /* by name, newest version first, by tag */
    size_t count, capacity;
} exia__offers;

/* The offers of one package, or of all (`name` NULL). */
exia_status exia__offers_read(exia__offers *out, const exia__side *side, const char *name,
                              const exia_job *job, exia_error *err);
void exia__offers_free(exia__offers *offers);
/* For qsort: by what they are sorted. */
int exia__offer_compare(const void *left, const void *right);
/* The row of exia_registry_query(). */
exia_status exia__offer_row(json_t **out, const exia__offer *offer, exia_error *err);
/* EXIA_OK, or the error that its `bad` stands for. */
exia_status exia__offer_check(const exia__offer *offer, exia_error *err);
/* The one of a side that a selector means: the newest that runs here.
 * @return EXIA_ENOTFOUND, and what exia__offer_check() says */
exia_status exia__offer_select(const exia__offer **out, const exia__offers *offers,
                               const exia__spec *selector, const exia__side *side, exia_error *err);
/* Both at once; `offers` keeps what `out` points to. */
exia_status exia__offer_find(const exia__offer **out, exia__offers *offers, const exia__side *side,
                             const exia__spec *selector, const exia_job *job, exia_error *err);

#endif
