/* Versions are read once into ranges of their own text: the numbers of the release, the words of
 * the pre-release, post, dev and local parts.  PEP 440 reads first; what it cannot read is tried as
 * semver, whose pre-release is a list of words as well.  Digits are compared as text, so no number
 * is too large, and nothing is allocated. */
#include "package/version.h"

#include <string.h>

#include "base/error.h"
#include "base/name.h"

typedef struct word {
    const char *text;
    size_t size;
} word;

enum { MOST_WORDS = EXIA__VERSION_SIZE / 2 + 1 };

typedef struct parsed {
    word release[MOST_WORDS], pre[MOST_WORDS], local[MOST_WORDS];
    size_t release_count, pre_count, local_count;
    word post, dev; /* text is NULL where there is none */
} parsed;

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* As strncasecmp, whatever the locale. */
static int compare_text(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int left = a[i] >= 'A' && a[i] <= 'Z' ? a[i] + 32 : a[i];
        int right = b[i] >= 'A' && b[i] <= 'Z' ? b[i] + 32 : b[i];
        if (left != right || left == '\0')
            return left - right;
    }
    return 0;
}

static int is_number(word w)
{
    for (size_t i = 0; i < w.size; i++) {
        if (!is_digit(w.text[i]))
            return 0;
    }
    return w.size > 0;
}

/* Zeros in front do not count; an empty number is zero. */
static int compare_numbers(word a, word b)
{
    while (a.size > 0 && *a.text == '0')
        a.text++, a.size--;
    while (b.size > 0 && *b.text == '0')
        b.text++, b.size--;
    if (a.size != b.size)
        return a.size < b.size ? -1 : 1;
    return a.size == 0 ? 0 : memcmp(a.text, b.text, a.size);
}

static int compare_words(word a, word b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = compare_text(a.text, b.text, common);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static word take_digits(const char **at)
{
    word w = {*at, 0};
    while (is_digit(**at))
        ++*at, w.size++;
    return w;
}

/* Take `[.-]? name [.-]? digits?` when one of the names (spelling, what it means) stands here. */
typedef struct spelling {
    const char *text, *meaning;
} spelling;

static int take_named(const char **at, const spelling *names, word *name, word *number)
{
    const char *from = *at + (**at == '.' || **at == '-');
    for (; names->text != NULL; names++) {
        size_t size = strlen(names->text);
        if (compare_text(from, names->text, size) != 0)
            continue;
        const char *behind = from + size;
        if ((*behind == '.' || *behind == '-') && is_digit(behind[1]))
            behind++;
        *name = (word){names->meaning, strlen(names->meaning)};
        *number = take_digits(&behind);
        *at = behind;
        return 1;
    }
    return 0;
}

/* Words between dots (in a local part also '-') up to the end or `stop`. */
static int take_words(const char **at, word *words, size_t *count, const char *between, char stop)
{
    for (;;) {
        word w = {*at, 0};
        while (is_word(**at) || (**at == '-' && strchr(between, '-') == NULL))
            ++*at, w.size++;
        if (w.size == 0 || *count == MOST_WORDS)
            return 0;
        words[(*count)++] = w;
        if (**at == '\0' || **at == stop)
            return 1;
        if (strchr(between, **at) == NULL)
            return 0;
        ++*at;
    }
}

static int parse_local(parsed *out, const char *at)
{
    if (*at == '\0')
        return 1;
    return *at++ == '+' && take_words(&at, out->local, &out->local_count, ".-", '\0');
}

static int parse_pep440(parsed *out, const char *at)
{
    static const spelling pre[] = {{"alpha", "alpha"}, {"a", "alpha"},    {"beta", "beta"},
                                   {"b", "beta"},      {"preview", "rc"}, {"pre", "rc"},
                                   {"rc", "rc"},       {"c", "rc"},       {NULL, NULL}};
    static const spelling post[] = {{"post", ""}, {"rev", ""}, {"r", ""}, {NULL, NULL}};
    static const spelling dev[] = {{"dev", ""}, {NULL, NULL}};
    word name;
    if (take_named(&at, pre, &out->pre[0], &out->pre[1]))
        out->pre_count = 2;
    if (*at == '-' && is_digit(at[1])) {
        at++;
        out->post = take_digits(&at);
    } else {
        take_named(&at, post, &name, &out->post);
    }
    take_named(&at, dev, &name, &out->dev);
    return parse_local(out, at);
}

static int parse_semver(parsed *out, const char *at)
{
    static const spelling names[] = {{"a", "alpha"}, {"b", "beta"}, {"c", "rc"}, {NULL, NULL}};
    if (*at++ != '-' || !take_words(&at, out->pre, &out->pre_count, ".", '+'))
        return 0;
    for (const spelling *n = names; n->text != NULL; n++) {
        if (out->pre[0].size == 1 && compare_text(out->pre[0].text, n->text, 1) == 0)
            out->pre[0] = (word){n->meaning, strlen(n->meaning)};
    }
    return parse_local(out, at);
}

static int parse(parsed *out, const char *version)
{
    const char *at = version;
    size_t size = strnlen(version, EXIA__VERSION_SIZE);
    out->release_count = out->pre_count = out->local_count = 0; /* their words are many */
    out->post = out->dev = (word){NULL, 0};
    if (size == EXIA__VERSION_SIZE || !is_digit(*at))
        return 0;
    out->release[out->release_count++] = take_digits(&at);
    while (*at == '.' && is_digit(at[1])) {
        at++;
        out->release[out->release_count++] = take_digits(&at);
    }
    if (*at == '\0' || parse_pep440(out, at))
        return 1;
    out->pre_count = out->local_count = 0;
    out->post = out->dev = (word){NULL, 0};
    return parse_semver(out, at);
}

static int compare_release(const parsed *a, const parsed *b, size_t most)
{
    static const word zero = {"", 0};
    for (size_t i = 0; i < most && (i < a->release_count || i < b->release_count); i++) {
        int order = compare_numbers(i < a->release_count ? a->release[i] : zero,
                                    i < b->release_count ? b->release[i] : zero);
        if (order != 0)
            return order;
    }
    return 0;
}

/* Lists of words: numbers come before (in a pre-release) or after (in a local part) other words;
 * where one list ends it comes first. */
static int compare_lists(const word *a, size_t a_count, const word *b, size_t b_count, int numbers)
{
    for (size_t i = 0; i < a_count && i < b_count; i++) {
        int left = a[i].size == 0 || is_number(a[i]), right = b[i].size == 0 || is_number(b[i]);
        int order = left != right ? (left ? numbers : -numbers)
                    : left        ? compare_numbers(a[i], b[i])
                                  : compare_words(a[i], b[i]);
        if (order != 0)
            return order;
    }
    return (a_count > b_count) - (a_count < b_count);
}

/* A development release of the final one comes first, the pre-releases, then what is final. */
static int pre_rank(const parsed *v)
{
    if (v->pre_count > 0)
        return 1;
    return v->dev.text != NULL && v->post.text == NULL ? 0 : 2;
}

static int compare_public(const parsed *a, const parsed *b)
{
    int order = compare_release(a, b, MOST_WORDS);
    if (order == 0)
        order = pre_rank(a) - pre_rank(b);
    if (order == 0)
        order = compare_lists(a->pre, a->pre_count, b->pre, b->pre_count, -1);
    if (order == 0)
        order = (a->post.text != NULL) - (b->post.text != NULL);
    if (order == 0)
        order = compare_numbers(a->post, b->post);
    if (order == 0)
        order = (a->dev.text == NULL) - (b->dev.text == NULL);
    return order != 0 ? order : compare_numbers(a->dev, b->dev);
}

static int compare_parsed(const parsed *a, const parsed *b)
{
    int order = compare_public(a, b);
    return order ? order : compare_lists(a->local, a->local_count, b->local, b->local_count, 1);
}

exia_status exia__version_check(const char *version, exia_error *err)
{
    parsed v;
    if (version == NULL || *version == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "the version is empty");
    if (!parse(&v, version))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the version \"%.128s\" is not valid: write it like 1.2, 1.2rc1, "
                          "1.2.post1, 1.2.0-beta.1 or 1.2+cpu",
                          version);
    return EXIA_OK;
}

int exia__version_compare(const char *a, const char *b)
{
    parsed left, right;
    int a_valid = parse(&left, a), b_valid = parse(&right, b);
    if (!a_valid || !b_valid)
        return a_valid || b_valid ? a_valid - b_valid : strcmp(a, b);
    return compare_parsed(&left, &right);
}

static int is_pre(const parsed *v)
{
    return v->pre_count > 0 || v->dev.text != NULL;
}

int exia__version_is_pre(const char *version)
{
    parsed v;
    return parse(&v, version) && is_pre(&v);
}

static exia_status bad_dependency(const char *text, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_EINVAL, 0,
                      "the dependency \"%.100s\" %s: write it like \"other >= 1.2, < 2\"", text,
                      why);
}

/* "1.2.*" and "*": what stands before the star, or "0". */
static exia_status parse_star(char op[3], char *version, const char *text, exia_error *err)
{
    size_t size = strlen(version) - 1;
    parsed v;
    if (strcmp(op, "==") != 0 && strcmp(op, "!=") != 0)
        return bad_dependency(text, "has a * behind something else than == or !=", err);
    if (size == 0 && op[0] == '=') {
        strcpy(op, "*");
        strcpy(version, "0");
        return EXIA_OK;
    }
    version[size > 0 && version[size - 1] == '.' ? size - 1 : 0] = '\0';
    if (!parse(&v, version) || v.pre_count + v.local_count > 0 || v.post.text || v.dev.text)
        return bad_dependency(text, "has a * that does not follow numbers, as in 1.2.*", err);
    strcpy(op, op[0] == '=' ? "=*" : "!*");
    return EXIA_OK;
}

static exia_status parse_clause(exia__dependency *out, const char **at, const char *text,
                                exia_error *err)
{
    static const char *const operators[] = {"==", "!=", "<=", ">=", "~=", "<", ">", "^", "~"};
    enum { OPERATORS = sizeof operators / sizeof *operators };
    parsed v;
    size_t which = 0;
    *at += strspn(*at, " ");
    while (which < OPERATORS && strncmp(*at, operators[which], strlen(operators[which])) != 0)
        which++;
    if (out->count == EXIA__CLAUSES)
        return bad_dependency(text, "has more than 8 clauses", err);
    char *version = out->clauses[out->count].version, *op = out->clauses[out->count].op;
    strcpy(op, operators[which % OPERATORS]); /* none: "==", which a * may go without */
    *at += which < OPERATORS ? strlen(op) : 0;
    *at += strspn(*at, " ");
    size_t size = strcspn(*at, " ,|");
    if (size >= EXIA__VERSION_SIZE)
        return bad_dependency(text, "has a version of more than 128 characters", err);
    memcpy(version, *at, size);
    version[size] = '\0';
    *at += size;
    *at += strspn(*at, " ");
    int star = size > 0 && version[size - 1] == '*';
    if (which == OPERATORS && !star)
        return bad_dependency(text, "has no ==, !=, <, <=, >, >=, ~=, ^ or ~ where one should be",
                              err);
    if (star) {
        exia_status rc = parse_star(op, version, text, err);
        out->count += rc == EXIA_OK;
        return rc;
    }
    if (!parse(&v, version))
        return bad_dependency(text, "has a version that is not valid", err);
    if (strcmp(op, "~=") == 0 && v.release_count < 2)
        return bad_dependency(text, "needs two numbers at least behind ~=", err);
    out->count++;
    return EXIA_OK;
}

static const char name_ends[] = " =!<>~^*,|";

const char *exia__dependency_name(size_t *size, const char *text)
{
    text += strspn(text, " ");
    *size = strcspn(text, name_ends);
    return text;
}

exia_status exia__dependency_parse(exia__dependency *out, const char *text, exia_error *err)
{
    memset(out, 0, sizeof *out);
    size_t size = 0;
    const char *at = exia__dependency_name(&size, text);
    if (size >= sizeof out->name)
        return bad_dependency(text, "has a name of more than 128 characters", err);
    memcpy(out->name, at, size);
    exia_status rc = exia__name_check_lower(out->name, "name of the dependency", err);
    at += size;
    at += strspn(at, " ");
    for (int begins = 0; rc == EXIA_OK && *at != '\0';) {
        rc = parse_clause(out, &at, text, err);
        if (rc < 0)
            break;
        out->clauses[out->count - 1].begins = begins;
        if (*at == '\0')
            break;
        begins = strncmp(at, "||", 2) == 0;
        if (!begins && *at != ',')
            rc = bad_dependency(text, "has no comma and no || where one should be", err);
        at += 1 + begins;
        if (rc == EXIA_OK && *at == '\0')
            rc = bad_dependency(text, "ends where a clause should be", err);
    }
    if (rc < 0)
        memset(out, 0, sizeof *out);
    return rc;
}

/* How many numbers of a release the versions that are compatible with it share: up to the first one
 * that is not zero. */
static size_t caret(const parsed *asked)
{
    static const word zero = {"", 0};
    size_t count = 1;
    while (count < asked->release_count && compare_numbers(asked->release[count - 1], zero) == 0)
        count++;
    return count;
}

static int clause_match(const char *op, const parsed *asked, const parsed *v)
{
    int order = asked->local_count > 0 ? compare_parsed(v, asked) : compare_public(v, asked);
    int same_release = compare_release(v, asked, MOST_WORDS) == 0;
    int same_pre = compare_lists(v->pre, v->pre_count, asked->pre, asked->pre_count, -1) == 0;
    switch (op[0]) {
    case '*':
        return 1;
    case '=':
        return op[1] == '*' ? compare_release(v, asked, asked->release_count) == 0 : order == 0;
    case '!':
        return op[1] == '*' ? compare_release(v, asked, asked->release_count) != 0 : order != 0;
    case '^':
        return order >= 0 && compare_release(v, asked, caret(asked)) == 0;
    case '~':
        if (op[1] == '=')
            return order >= 0 && compare_release(v, asked, asked->release_count - 1) == 0;
        return order >= 0 && compare_release(v, asked, asked->release_count > 1 ? 2 : 1) == 0;
    case '<':
        if (op[1] == '=')
            return order <= 0;
        return order < 0 && !(same_release && is_pre(v) && !is_pre(asked));
    default:
        if (op[1] == '=')
            return order >= 0;
        return order > 0 &&
               !(same_release && same_pre && v->post.text && !asked->post.text && !asked->dev.text);
    }
}

int exia__dependency_match(const exia__dependency *dependency, const char *version)
{
    parsed v, asked;
    if (!parse(&v, version))
        return 0;
    int holds = 1, pre_named = !is_pre(&v); /* so far, in the alternative */
    for (size_t i = 0; i < dependency->count; i++) {
        if (dependency->clauses[i].begins) {
            if (holds && pre_named)
                return 1;
            holds = 1;
            pre_named = !is_pre(&v);
        }
        holds = holds && parse(&asked, dependency->clauses[i].version) &&
                clause_match(dependency->clauses[i].op, &asked, &v);
        pre_named |= holds && is_pre(&asked);
    }
    return holds && pre_named;
}
