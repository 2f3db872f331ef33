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
#include "base/json.h"
#include "base/memory.h"

enum { POLICY_LIMIT = 1 << 20 };

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

static exia_status check_list(const json_t *policy, const char *key, const char *path,
                              exia_error *err)
{
    const json_t *list = json_object_get(policy, key);
    size_t i = 0;
    json_t *item = NULL;
    if (list != NULL && !json_is_array(list))
        return exia__fail(err, EXIA_EINVAL, 0, "%s: \"%s\" must be a list of names", path, key);
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item))
            return exia__fail(err, EXIA_EINVAL, 0, "%s: \"%s\" must be a list of names", path, key);
    }
    return EXIA_OK;
}

static exia_status check_policy(const json_t *policy, const char *path, exia_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_int_t format = json_integer_value(json_object_get(policy, "format"));
    if (format != 1)
        return exia__fail(err, format > 1 ? EXIA_EVERSION : EXIA_EINVAL, 0,
                          "%s: \"format\" must be 1", path);
    json_object_foreach((json_t *)policy, key, value)
    {
        if (strcmp(key, "format") != 0 && strcmp(key, "packages") != 0 &&
            strcmp(key, "constructors") != 0)
            return exia__fail(err, EXIA_EINVAL, 0, "%s: \"%.60s\" is not known", path, key);
    }
    exia_status rc = check_list(policy, "packages", path, err);
    return rc < 0 ? rc : check_list(policy, "constructors", path, err);
}

exia_status exia__trust_policy(json_t **out, const char *trust_file, exia_error *err)
{
    char *home = NULL, *path = NULL, *text = NULL, *why = NULL;
    size_t size = 0;
    json_t *policy = NULL;
    exia_status rc = EXIA_OK;
    *out = NULL;
    if (trust_file != NULL) {
        rc = exia__text_copy(&path, trust_file, err);
    } else {
        rc = exia__home(&home, NULL, err);
        if (rc == EXIA_OK)
            rc = exia__path_join(&path, home, "trust.json", err);
    }
    if (rc == EXIA_OK)
        rc = exia__file_read(&text, &size, path, POLICY_LIMIT, err);
    if (rc == EXIA_ENOTFOUND && trust_file == NULL) {
        policy = json_pack("{s:i}", "format", 1);
        rc = policy ? exia__forgive(err) : exia__fail_memory(err);
    } else if (rc == EXIA_OK) {
        rc = exia__json_object(&policy, text, size, path, EXIA_EINVAL, err);
    }
    if (rc == EXIA_OK)
        rc = check_policy(policy, path, err);
    if (rc == EXIA_OK && text != NULL) /* whoever writes it decides what runs */
        rc = exia__trust_path(&why, path, err);
    if (rc == EXIA_OK && why != NULL)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0, "the policy %s is not taken: %s", path, why);
    if (rc == EXIA_OK) {
        *out = policy;
        policy = NULL;
    }
    json_decref(policy);
    exia__release(why);
    exia__release(text);
    exia__release(path);
    exia__release(home);
    return rc;
}
