/* .vedaignore.  A rule is matched part by part, so that "**" may stand for any number of them; one
 * "**" is remembered at a time, which is enough, as a later one can take over what it took. */
#include <string.h>

#include "base/beneath.h"
#include "base/memory.h"
#include "package/walk.h"

static const char always[] =
    ".git\n__pycache__\n*.veda\n.exia-*\n"; /* the last: what a crash left */

exia_status exia__ignore_open(exia__ignore *out, const char *text, exia_error *err)
{
    return exia__text_format(&out->text, err, "%s%s", always, text ? text : "");
}

void exia__ignore_free(exia__ignore *ignore)
{
    exia__release(ignore->text);
    ignore->text = NULL;
}

static size_t part_size(const char *at, const char *end)
{
    const char *slash = memchr(at, '/', (size_t)(end - at));
    return (size_t)((slash ? slash : end) - at);
}

/* Behind the part and its slash. */
static const char *next_part(const char *at, const char *end)
{
    at += part_size(at, end);
    return at < end ? at + 1 : at;
}

static int match_parts(const char *rule, const char *rule_end, const char *path,
                       const char *path_end)
{
    const char *stars = NULL, *stars_path = NULL;
    for (;;) {
        size_t size = part_size(rule, rule_end);
        if (rule < rule_end && size == 2 && rule[0] == '*' && rule[1] == '*') {
            rule = stars = next_part(rule, rule_end);
            stars_path = path;
            if (rule == rule_end) /* "x/ **" is what lies in x, not x */
                return path < path_end;
        } else if (rule == rule_end && path == path_end) {
            return 1;
        } else if (rule < rule_end && path < path_end &&
                   exia__glob(rule, size, path, part_size(path, path_end), 0)) {
            rule = next_part(rule, rule_end);
            path = next_part(path, path_end);
        } else if (stars != NULL && stars_path < path_end) {
            rule = stars;
            path = stars_path = next_part(stars_path, path_end);
        } else {
            return 0;
        }
    }
}

static int match_rule(const char *rule, size_t size, const char *path, int is_directory)
{
    const char *end = path + strlen(path);
    if (size > 0 && rule[size - 1] == '/') {
        if (!is_directory)
            return 0;
        size--;
    }
    int anchored = memchr(rule, '/', size) != NULL;
    if (size > 0 && rule[0] == '/')
        rule++, size--;
    if (size == 0)
        return 0;
    if (!anchored && strrchr(path, '/') != NULL)
        path = strrchr(path, '/') + 1;
    return match_parts(rule, rule + size, path, end);
}

int exia__ignored(const exia__ignore *ignore, const char *path, int is_directory)
{
    int ignored = 0;
    for (const char *line = ignore->text; *line != '\0';) {
        size_t size = strcspn(line, "\n"), used = size;
        const char *rule = line;
        line += size + (line[size] == '\n');
        used -= used > 0 && rule[used - 1] == '\r';
        while (used > 0 && (rule[used - 1] == ' ' || rule[used - 1] == '\t') &&
               (used < 2 || rule[used - 2] != '\\'))
            used--;
        if (used == 0 || *rule == '#')
            continue;
        int taken_back = *rule == '!';
        if (ignored == taken_back &&
            match_rule(rule + taken_back, used - (size_t)taken_back, path, is_directory))
            ignored = !taken_back;
    }
    return ignored;
}
