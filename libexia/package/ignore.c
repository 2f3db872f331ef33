/* .vedaignore, in the language of gitignore as git itself reads it, odd corners included: a match is by
 * bytes, and of '*' and "**" only the last of each is remembered, as an earlier one could not do more
 * for the rest than they can. */
#include "package/ignore.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* The last: what a crash left. */
static const char always[] = ".git\n__pycache__\n*.veda\n.exia-*\n";

typedef struct ignore_rule {
    const char *text, *end;
    const char *literal; /* up to here nothing is special */
    int taken_back, directory, anchored;
} ignore_rule;

struct exia__ignore {
    const exia__ignore *outer;
    exia__ignore *next;
    size_t base; /* bytes of a path before what the rules look at */
    char *text;
    ignore_rule *rules;
    size_t count;
};

/* ---- one rule against one path ---------------------------------------------------------------------- */

static int in_class(const char *name, size_t size, unsigned char c, int *known)
{
    static const struct {
        const char *name, *ranges; /* pairs: from, to */
    } classes[] = {{"alnum", "09AZaz"},   {"alpha", "AZaz"},
                   {"blank", "\t\t  "},   {"cntrl", "\1\37\177\177"},
                   {"digit", "09"},       {"graph", "!~"},
                   {"lower", "az"},       {"print", " ~"},
                   {"punct", "!/:@[`{~"}, {"space", "\t\n\r\r  "},
                   {"upper", "AZ"},       {"xdigit", "09AFaf"}};
    int in = 0;
    *known = 0;
    for (size_t i = 0; i < sizeof classes / sizeof *classes && !*known; i++) {
        *known = strlen(classes[i].name) == size && memcmp(classes[i].name, name, size) == 0;
        for (const char *at = classes[i].ranges; *known && *at != '\0'; at += 2)
            in |= (unsigned char)at[0] <= c && c <= (unsigned char)at[1];
    }
    return in;
}

/* Of "[:name:]" the closing ']', or NULL: a '[' like any other letter. */
static const char *class_end(const char *at, const char *end)
{
    const char *close =
        at + 1 < end && at[1] == ':' ? memchr(at + 2, ']', (size_t)(end - at - 2)) : NULL;
    return close != NULL && close > at + 2 && close[-1] == ':' ? close : NULL;
}

/* Behind the set that is opened at `at` when `c` is in it; else, also when it is not closed, NULL. */
static const char *match_set(const char *at, const char *end, unsigned char c)
{
    int negated = at + 1 < end && (at[1] == '!' || at[1] == '^'), in = 0, known = 1;
    unsigned char low = 0; /* what a '-' may follow */
    at += 1 + negated;
    for (const char *first = at; at < end && (*at != ']' || at == first); at++) {
        const char *close = *at == '[' ? class_end(at, end) : NULL;
        int range = *at == '-' && low != 0 && at + 1 < end && at[1] != ']';
        if (close != NULL) {
            in |= in_class(at + 2, (size_t)(close - at - 3), c, &known);
            if (!known)
                return NULL;
            at = close;
            low = 0;
            continue;
        }
        at += range;
        at += *at == '\\';
        if (at == end)
            return NULL;
        unsigned char high = (unsigned char)*at;
        in |= range ? low <= c && c <= high : high == c;
        low = range ? 0 : high;
    }
    return at < end && in != negated ? at + 1 : NULL;
}

/* Behind the element at `at` when it matches `c`, else NULL. */
static const char *match_one(const char *at, const char *end, char c)
{
    if (*at == '?')
        return c != '/' ? at + 1 : NULL;
    if (*at == '[')
        return c != '/' ? match_set(at, end, (unsigned char)c) : NULL;
    at += *at == '\\';
    return at < end && *at == c ? at + 1 : NULL;
}

/* Does a run of stars at `at`, up to `behind`, stand for any number of directories? */
static int crosses(const ignore_rule *rule, const char *at, const char *behind)
{
    return behind - at > 1 && (at <= rule->literal || at[-1] == '/') &&
           (behind == rule->end || *behind == '/' ||
            (*behind == '\\' && behind + 1 < rule->end && behind[1] == '/'));
}

static int match(const ignore_rule *rule, const char *path)
{
    const char *at = rule->text, *end = rule->end, *next = NULL;
    const char *star = NULL, *star_path = NULL;   /* behind a '*', and what it took so far */
    const char *stars = NULL, *stars_path = NULL; /* the same of "**" */
    for (;;) {
        if (at < end && *at == '*') {
            const char *behind = at;
            while (behind < end && *behind == '*')
                behind++;
            star = behind;
            star_path = path;
            if (crosses(rule, at, behind)) {
                stars = behind;
                stars_path = path;
                star = NULL;
                if (behind == end)
                    return 1;
                behind += *behind == '/'; /* no directory at all, to begin with */
            }
            at = behind;
        } else if (at == end && *path == '\0') {
            return 1;
        } else if (at < end && *path != '\0' && (next = match_one(at, end, *path)) != NULL) {
            at = next;
            path++;
        } else if (star != NULL && *star_path != '\0' && *star_path != '/') {
            at = star;
            path = ++star_path;
        } else if (stars != NULL && *stars_path != '\0') {
            star = NULL;
            at = stars;
            path = stars_path++;
        } else {
            return 0;
        }
    }
}

int exia__ignored(const exia__ignore *ignore, const char *path, int is_directory)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (; ignore != NULL; ignore = ignore->outer) {
        for (size_t i = ignore->count; i-- > 0;) {
            const ignore_rule *rule = &ignore->rules[i];
            if ((is_directory || !rule->directory) &&
                match(rule, rule->anchored ? path + ignore->base : name))
                return !rule->taken_back;
        }
    }
    return 0;
}

/* ---- reading the rules ------------------------------------------------------------------------------ */

/* One line; nothing when it is no rule. */
static void read_rule(ignore_rule *out, const char *line, size_t size)
{
    const char *kept = line; /* behind the last that is no blank, or an escaped one */
    size -= size > 0 && line[size - 1] == '\r';
    for (const char *at = line; at < line + size; at++) {
        int escaped = *at == '\\' && at + 1 < line + size;
        at += escaped;
        if (*at != ' ' || escaped)
            kept = at + 1;
    }
    *out = (ignore_rule){.text = line, .end = kept};
    if (line == kept || *line == '#') {
        out->end = line;
        return;
    }
    out->taken_back = *line == '!';
    out->text += out->taken_back;
    out->directory = out->end > out->text && out->end[-1] == '/';
    out->end -= out->directory;
    out->anchored = memchr(out->text, '/', (size_t)(out->end - out->text)) != NULL;
    out->text += out->anchored && *out->text == '/';
    out->literal = out->text;
    while (out->literal < out->end && strchr("*?[\\", *out->literal) == NULL)
        out->literal++;
}

static exia_status read_rules(exia__ignore *ignore, exia_error *err)
{
    size_t capacity = 0;
    const char *line = ignore->text;
    line += strncmp(line, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; /* what some editors begin a file with */
    while (*line != '\0') {
        size_t size = strcspn(line, "\n");
        exia_status rc =
            exia__grow(&ignore->rules, &capacity, ignore->count + 1, sizeof *ignore->rules, err);
        if (rc < 0)
            return rc;
        read_rule(&ignore->rules[ignore->count], line, size);
        ignore->count += ignore->rules[ignore->count].end > ignore->rules[ignore->count].text;
        line += size + (line[size] == '\n');
    }
    return EXIA_OK;
}

exia_status exia__ignore_add(exia__ignore **list, const exia__ignore *outer, size_t base,
                             const char *text, exia_error *err)
{
    exia__ignore *ignore = exia__zeroed(1, sizeof *ignore);
    if (ignore == NULL)
        return exia__fail_memory(err);
    ignore->next = *list;
    *list = ignore;
    ignore->outer = outer;
    ignore->base = base;
    exia_status rc = exia__text_copy(&ignore->text, text ? text : always, err);
    return rc == EXIA_OK ? read_rules(ignore, err) : rc;
}

void exia__ignore_free(exia__ignore *list)
{
    while (list != NULL) {
        exia__ignore *next = list->next;
        exia__release(list->text);
        exia__release(list->rules);
        exia__release(list);
        list = next;
    }
}
