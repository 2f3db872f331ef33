/* Versions and what others ask of them: one syntax, one order, one way to match. */
#ifndef EXIA_PACKAGE_VERSION_H
#define EXIA_PACKAGE_VERSION_H

#include "exia/common.h"

enum { EXIA__VERSION_SIZE = 129, EXIA__CLAUSES = 8 }; /* with the NUL; clauses of one dependency */

/* [0-9][0-9A-Za-z.+-]*, at most 128 characters, and PEP 440 ("1.2", "1.2rc1", "1.2.post3.dev4",
 * "1.2+cpu"; no epoch) or semver ("1.2.0-nightly.20260131") can read it.  @return EXIA_EINVAL */
exia_status exia__version_check(const char *version, exia_error *err);

/* Negative, zero, positive as `a` comes before, equals (perhaps in another spelling: "1.0" and
 * "1.0.0", "1.0-rc.1" and "1.0rc1") or comes after `b`.  The order is PEP 440's; what only semver
 * reads is a pre-release, its words ordered among "alpha", "beta" and "rc" by the alphabet.  Both
 * must have passed exia__version_check(); one that has not comes before all others. */
int exia__version_compare(const char *a, const char *b);

/* Is it a pre-release or a development release?  Nobody gets one without asking. */
int exia__version_is_pre(const char *version);

/* "other >= 1.2, < 2 || ^3", taken apart. */
typedef struct exia__dependency {
    char name[EXIA__VERSION_SIZE];
    size_t count; /* 0: any version */
    struct {
        int begins; /* behind "||": an alternative to all clauses before it; not of the first one */
        char
            op[3]; /* "==", "!=", "<", "<=", ">", ">=", "~=", "^", "~"; "=*", "!*": of 1.2.*; "*" */
        char version[EXIA__VERSION_SIZE];
    } clauses[EXIA__CLAUSES];
} exia__dependency;

/* @return EXIA_EINVAL, naming what is wrong in `text` */
exia_status exia__dependency_parse(exia__dependency *out, const char *text, exia_error *err);

/* Where the name stands in a text, for whoever needs no more. */
const char *exia__dependency_name(size_t *size, const char *text);

/* Does a version fulfil every clause of an alternative?  What each admits, exia/package.h says: as PEP 440, and for ^ and
 * ~ as npm and Cargo. */
int exia__dependency_match(const exia__dependency *dependency, const char *version);

#endif
