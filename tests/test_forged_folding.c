/* Names that differ by case or normalisation only are names of their own, as in the file systems of
 * Linux.  Where one folds them, nothing is written over: the package is refused there. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "support/forged.h"

/* ---- a file system that folds names ---------------------------------------------------------- */

static int folding;

/* In lower case, and an e with an acute accent as two characters; names in a directory only. */
static const char *fold(char *folded, int at, const char *name)
{
    size_t size = 0;
    if (!folding || at == AT_FDCWD || strlen(name) > 255)
        return name;
    for (; *name != '\0'; name++) {
        if (strncmp(name, "\xc3\xa9", 2) == 0) {
            memcpy(folded + size, "e\xcc\x81", 3);
            size += 3;
            name++;
        } else {
            folded[size++] = (char)(*name >= 'A' && *name <= 'Z' ? *name + 32 : *name);
        }
    }
    folded[size] = '\0';
    return folded;
}

/* These stand before the C library's.  openat2 is not known, so that all comes here. */
#define NEXT(name, type) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))
#pragma GCC visibility push(default)
long syscall(long number, ...)
{
    long words[6];
    va_list arguments;
    va_start(arguments, number);
    for (size_t i = 0; i < 6; i++)
        words[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_openat2) {
        errno = ENOSYS;
        return -1;
    }
    return NEXT("syscall", long (*)(long, ...))(number, words[0], words[1], words[2], words[3],
                                                words[4], words[5]);
}

int openat(int at, const char *path, int flags, ...)
{
    char folded[800];
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return NEXT("openat", int (*)(int, const char *, int, ...))(at, fold(folded, at, path), flags,
                                                                mode);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    char folded[800];
    return NEXT("mkdirat", int (*)(int, const char *, mode_t))(at, fold(folded, at, path), mode);
}

int symlinkat(const char *target, int at, const char *path)
{
    char folded[800];
    return NEXT("symlinkat", int (*)(const char *, int, const char *))(target, at,
                                                                       fold(folded, at, path));
}

int linkat(int from_at, const char *from, int at, const char *path, int flags)
{
    char old[800], folded[800];
    return NEXT("linkat", int (*)(int, const char *, int, const char *, int))(
        from_at, fold(old, from_at, from), at, fold(folded, at, path), flags);
}
#pragma GCC visibility pop

/* ---- what comes of it ------------------------------------------------------------------------ */

/* Two members, in path order. */
static void check_pair(char type, const char *path, const char *with, char other_type,
                       const char *other, const char *other_with)
{
    exia_package *package = NULL;
    const char *target = check_path("out");
    forge f = {0};
    forge_add(&f, 'f', "file", "hello");
    forge_add(&f, type, path, with);
    forge_add(&f, other_type, other, other_with);
    forge_add(&f, 'f', EXIA__MANIFEST_PATH, FORGE_MANIFEST);
    check_accepted(&f);
    check_ok(exia_package_open(&package, forged_file(&f), &err));
    folding = 1;
    check_fails(EXIA_EEXISTS, exia_package_unpack(package, target, NULL, NULL, &err));
    check_text("cannot");
    folding = 0;
    assert_false(exia__path_exists(target));
    assert_false(forged_staging_left());
    exia_package_free(package);
    forge_free(&f);
}

TEST(names_that_differ_by_case_only_are_refused_where_they_are_one_name)
{
    check_pair('f', "readME", "one", 'f', "readme", "two");
    check_pair('d', "readME", NULL, 'd', "readme", NULL);
    check_pair('d', "readME", NULL, 'f', "readme", "two");
    check_pair('l', "readME", ".", 'd', "readme", NULL); /* what lies in it would go elsewhere */
    check_pair('d', "readME", NULL, 'l', "readme", ".");
    check_pair('l', "readME", "file", 'f', "readme", "two");
    check_pair('f', "readME", "one", 'h', "readme", "file");
}

TEST(names_that_differ_by_normalisation_only_are_refused_where_they_are_one_name)
{
    check_pair('f', "re\xcc\x81", "one", 'f', "r\xc3\xa9", "two");
    check_pair('l', "re\xcc\x81", ".", 'd', "r\xc3\xa9", NULL);
}
