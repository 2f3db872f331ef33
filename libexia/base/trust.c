/* Trust begins with who could have written the bytes: the user's own files need no policy. */
#include "base/trust.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

/* Is this the group that many systems give each user for himself alone, together with a umask of
 * 002?  Then what it may write only he may write. */
static int own_group(gid_t id)
{
    char user_text[4096], group_text[4096];
    struct passwd user_room, *user = NULL;
    struct group group_room, *group = NULL;
    if (getpwuid_r(geteuid(), &user_room, user_text, sizeof user_text, &user) != 0 ||
        user == NULL || user->pw_gid != id ||
        getgrgid_r(id, &group_room, group_text, sizeof group_text, &group) != 0 || group == NULL ||
        strcmp(group->gr_name, user->pw_name) != 0)
        return 0;
    for (char **member = group->gr_mem; *member != NULL; member++) {
        if (strcmp(*member, user->pw_name) != 0)
            return 0;
    }
    return 1;
}

/* `*why` is set when somebody else can write into `path`; above the first one a sticky directory
 * keeps others' hands off what is not theirs. */
static exia_status look(char **why, const char *path, int above, exia_error *err)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return exia__fail_errno(err, errno, "cannot look at", path);
    uid_t me = geteuid();
    if (info.st_uid != me && info.st_uid != 0)
        return exia__text_format(why, err, "%s belongs to another user (%lu)", path,
                                 (unsigned long)info.st_uid);
    mode_t others = info.st_mode & 022;
    /* with an access list these bits are its mask, and it may name anybody */
    if (others == 020 && own_group(info.st_gid) &&
        lgetxattr(path, "system.posix_acl_access", NULL, 0) < 0)
        others = 0;
    if (others != 0 && !(above && (info.st_mode & S_ISVTX)))
        return exia__text_format(why, err, "others may write into %s (mode %03o)", path,
                                 (unsigned)info.st_mode & 0777);
    return EXIA_OK;
}

/* `*why` is set when `directory` is where a home of Exia installs packages: this user wrote what lies
 * there, but somebody else made it. */
static exia_status look_for_packages(char **why, const char *directory, exia_error *err)
{
    const char *name = exia__path_base(directory);
    char *journal = NULL;
    if (strcmp(name, "installed") != 0)
        return EXIA_OK;
    exia_status rc =
        exia__text_format(&journal, err, "%.*sjournal.db", (int)(name - directory), directory);
    if (rc == EXIA_OK && exia__path_exists(journal))
        rc = exia__text_format(why, err, "it came in a package, as all in %s", directory);
    exia__release(journal);
    return rc;
}

exia_status exia__trust_path(char **why, const char *path, exia_error *err)
{
    *why = NULL;
    char *real = realpath(path, NULL);
    if (real == NULL)
        return exia__fail_errno(err, errno, "cannot look at", path);
    exia_status rc = look(why, real, 0, err);
    for (char *slash = strrchr(real, '/'); rc == EXIA_OK && *why == NULL && slash != NULL;
         slash = strrchr(real, '/')) {
        int root = slash == real;
        slash[root] = '\0';
        rc = look(why, real, 1, err);
        if (rc == EXIA_OK && *why == NULL)
            rc = look_for_packages(why, real, err);
        if (root)
            break;
    }
    (free)(real); /* realpath's own memory */
    return rc;
}
