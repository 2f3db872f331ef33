/* Members and the rules they keep together.  Both sides use them: the writer on what it found, the
 * reader on what RECORD claims, before anything is written. */
#include <string.h>

#include "base/error.h"
#include "package/format.h"

static int rank(char c)
{
    return c == '\0' ? 0 : c == '/' ? 1 : 1 + (unsigned char)c;
}

int exia__path_order(const char *a, const char *b)
{
    while (*a == *b && *a != '\0')
        a++, b++;
    return rank(*a) - rank(*b);
}

const char *exia__path_fault(const char *path)
{
    const char *part = path;
    if (*path == '\0')
        return "is empty";
    if (*path == '/')
        return "is absolute";
    if (strnlen(path, EXIA__MOST_PATH + 1) > EXIA__MOST_PATH)
        return "has more than 4095 bytes";
    for (;;) {
        size_t size = strcspn(part, "/");
        if (size == 0)
            return "has an empty part";
        if (size > EXIA__MOST_PART)
            return "has a part of more than 255 bytes";
        if ((size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.'))
            return "has a part \".\" or \"..\"";
        if (part[size] == '\0')
            return NULL;
        part += size + 1;
    }
}

const exia__entry *exia__entry_find(const exia__entry *entries, size_t count, const char *path,
                                    size_t size)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *other = entries[middle].path;
        size_t same = 0;
        while (same < size && path[same] == other[same])
            same++;
        int order = rank(same < size ? path[same] : '\0') - rank(other[same]);
        if (order == 0)
            return &entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static exia_status fault(const exia__entry *entry, exia_status bad, const char *why,
                         exia_error *err)
{
    return exia__fail(err, bad, 0, "the member \"%.120s\" %s", entry->path, why);
}

/* Follow a symbolic link's text from where it lies; NULL, or what is wrong with it. */
static const char *link_fault(const exia__entry *entries, size_t count, const exia__entry *link)
{
    char at[EXIA__MOST_PATH + 1];
    const char *slash = strrchr(link->path, '/'), *part = link->target;
    size_t size = slash ? (size_t)(slash - link->path) : 0;
    memcpy(at, link->path, size);
    if (strnlen(part, EXIA__MOST_PATH + 1) > EXIA__MOST_PATH)
        return "is a link with a target of more than 4095 bytes";
    if (*part == '\0' || *part == '/')
        return "is a link to an absolute path: only links inside the package are possible";
    for (;;) {
        size_t more = strcspn(part, "/");
        if (more == 2 && part[0] == '.' && part[1] == '.') {
            if (size == 0)
                return "is a link that leads out of the package";
            while (size > 0 && at[size - 1] != '/')
                size--;
            size -= size > 0;
        } else if (more > 0 && !(more == 1 && part[0] == '.')) {
            if (size + 1 + more > EXIA__MOST_PATH)
                return "is a link to a path of more than 4095 bytes";
            if (size > 0)
                at[size++] = '/';
            memcpy(at + size, part, more);
            size += more;
            const exia__entry *found = exia__entry_find(entries, count, at, size);
            if (found == NULL)
                return "is a link to something that is not in the package";
            if (part[more] != '\0' && found->type != 'd')
                return "is a link that passes through something that is no directory";
        }
        if (part[more] == '\0')
            return NULL;
        part += more + 1;
    }
}

static const char *hard_link_fault(const exia__entry *entries, const exia__entry *link)
{
    const exia__entry *file =
        exia__entry_find(entries, (size_t)(link - entries), link->target, strlen(link->target));
    if (file == NULL || file->type != 'f')
        return "is a hard link to no file before it";
    return file->mode == link->mode ? NULL : "is a hard link with another mode than its file";
}

static const char *parent_fault(const exia__entry *entries, const exia__entry *entry)
{
    const char *slash = strrchr(entry->path, '/');
    if (slash == NULL)
        return NULL;
    const exia__entry *parent = exia__entry_find(entries, (size_t)(entry - entries), entry->path,
                                                 (size_t)(slash - entry->path));
    return parent && parent->type == 'd' ? NULL : "lies in something that is no listed directory";
}

static const char *entry_fault(const exia__entry *entries, const exia__entry *entry)
{
    const char *why = exia__path_fault(entry->path);
    if (why == NULL)
        why = parent_fault(entries, entry);
    if (why != NULL)
        return why;
    if (strncmp(entry->path, "VEDA", 4) == 0 && (entry->path[4] == '\0' || entry->path[4] == '/'))
        return "has the name VEDA, which is kept for the package itself";
    if (entry > entries && exia__path_order(entry[-1].path, entry->path) >= 0)
        return strcmp(entry[-1].path, entry->path) == 0 ? "is listed twice"
                                                        : "is not in path order";
    if ((entry->mode & ~(uint32_t)EXIA__MODES) != 0 && entry->type != 'l')
        return "has a mode that no package carries";
    if (entry->size > INT64_MAX - 2 * EXIA__BLOCK)
        return "is too large";
    return entry->type == 'h' ? hard_link_fault(entries, entry) : NULL;
}

exia_status exia__entries_check_one(const exia__entry *entries, size_t index, exia_status bad,
                                    exia_error *err)
{
    const char *why = entry_fault(entries, &entries[index]);
    return why ? fault(&entries[index], bad, why, err) : EXIA_OK;
}

exia_status exia__entries_check(const exia__entry *entries, size_t count, exia_status bad,
                                exia_error *err)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const exia__entry *entry = &entries[i];
        const char *why = entry_fault(entries, entry);
        if (why == NULL && entry->type == 'l')
            why = link_fault(entries, count, entry);
        if (why == NULL &&
            (__builtin_add_overflow(total, exia__tar_size(entry), &total) || total > INT64_MAX))
            why = "makes the package larger than 2^63 bytes";
        if (why != NULL)
            return fault(entry, bad, why, err);
    }
    return EXIA_OK;
}
