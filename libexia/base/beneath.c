/* Opening below a directory, and matching names: what the walk, the ignore rules and the unpacking
 * share. */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same by hand, part by part, where a sandbox or a debugger does not know openat2.  The paths have
 * no ".." in them. */
static int open_by_parts(int at, const char *path, int flags, mode_t mode)
{
    char part[256];
    int here = at;
    for (;;) {
        size_t size = strcspn(path, "/");
        int last = path[size] == '\0', fd = -1;
        if (size < sizeof part) {
            memcpy(part, path, size);
            part[size] = '\0';
            fd = openat(here, part, (last ? flags : O_PATH | O_DIRECTORY) | O_CLOEXEC | O_NOFOLLOW,
                        mode);
        } else {
            errno = ENAMETOOLONG;
        }
        if (here != at) {
            int code = errno;
            close(here);
            errno = code;
        }
        if (last || fd < 0)
            return fd;
        here = fd;
        path += size + 1;
    }
}

int exia__open_beneath(int at, const char *path, int flags, mode_t mode)
{
    static atomic_int missing; /* asked once */
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    while (!atomic_load(&missing)) { /* EAGAIN: something was renamed while the kernel looked */
        long fd = syscall(SYS_openat2, at, path, &how, sizeof how);
        if (fd < 0 && errno == ENOSYS)
            atomic_store(&missing, 1);
        else if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
            return (int)fd;
    }
    return open_by_parts(at, path, flags, mode);
}

/* Behind "[...]" at `glob` when it is closed, else NULL; `*in` says whether `c` is in it. */
static const char *match_set(const char *glob, const char *end, unsigned char c, int *in)
{
    const char *at = glob + 1;
    int negated = at < end && (*at == '!' || *at == '^');
    at += negated;
    *in = 0;
    for (const char *first = at; at < end && (*at != ']' || at == first);) {
        at += *at == '\\' && at + 1 < end;
        unsigned char low = (unsigned char)*at++, high = low;
        if (at + 1 < end && *at == '-' && at[1] != ']') {
            at += 1 + (at[1] == '\\' && at + 2 < end);
            high = (unsigned char)*at++;
        }
        *in |= low <= c && c <= high;
    }
    *in ^= negated;
    return at < end ? at + 1 : NULL;
}

/* Match one element of the glob at the text; 0, or how far both move. */
static int match_one(const char **glob, const char *end, const char **text, const char *text_end,
                     int crosses)
{
    const char *g = *glob, *t = *text, *behind = NULL;
    int in = 0;
    if (*g == '?' && (crosses || *t != '/')) {
        g++, t++;
        while (t < text_end && ((unsigned char)*t & 0xC0) == 0x80)
            t++;
    } else if (*g == '[' && (behind = match_set(g, end, (unsigned char)*t, &in)) != NULL) {
        if (!in || (*t == '/' && !crosses))
            return 0;
        g = behind, t++;
    } else {
        g += *g == '\\' && g + 1 < end;
        if (*g != *t)
            return 0;
        g++, t++;
    }
    *glob = g;
    *text = t;
    return 1;
}

int exia__glob(const char *glob, size_t glob_size, const char *text, size_t text_size, int crosses)
{
    const char *end = glob + glob_size, *text_end = text + text_size;
    const char *star = NULL, *star_text = NULL; /* the last '*', and what it has taken so far */
    for (;;) {
        if (glob < end && *glob == '*') {
            star = ++glob;
            star_text = text;
        } else if (text == text_end && glob == end) {
            return 1;
        } else if (text < text_end && glob < end &&
                   match_one(&glob, end, &text, text_end, crosses)) {
            continue;
        } else if (star != NULL && star_text < text_end && (crosses || *star_text != '/')) {
            glob = star;
            text = ++star_text;
        } else {
            return 0;
        }
    }
}
