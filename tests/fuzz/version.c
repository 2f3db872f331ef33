/* Versions have one order, and a dependency admits what that order says.  The input is three versions
 * and a dependency, a line each. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "package/version.h"

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static void check_order(const char *a, const char *b, const char *c)
{
    int ab = sign(exia__version_compare(a, b)), bc = sign(exia__version_compare(b, c));
    FUZZ_CHECK(exia__version_compare(a, a) == 0);
    FUZZ_CHECK(ab == -sign(exia__version_compare(b, a)));
    if (ab == bc || bc == 0)
        FUZZ_CHECK(sign(exia__version_compare(a, c)) == ab);
}

/* What a clause alone admits, in the words of its operator. */
static void check_clause(const exia__dependency *whole, size_t index, const char *version)
{
    exia__dependency one = {.count = 1, .clauses = {whole->clauses[index]}};
    one.clauses[0].begins = 0;
    const char *op = one.clauses[0].op, *asked = one.clauses[0].version;
    int order = exia__version_compare(version, asked);
    FUZZ_CHECK(exia__version_check(asked, NULL) == EXIA_OK);
    if (!exia__dependency_match(&one, version))
        return;
    if (strcmp(op, "<") == 0)
        FUZZ_CHECK(order < 0);
    if (strcmp(op, ">") == 0)
        FUZZ_CHECK(order > 0);
    if (strcmp(op, ">=") == 0 || strcmp(op, "~=") == 0 || strcmp(op, "^") == 0 ||
        strcmp(op, "~") == 0)
        FUZZ_CHECK(order >= 0);
    FUZZ_CHECK(!exia__version_is_pre(version) || exia__version_is_pre(asked));
}

/* A dependency admits what one of its alternatives admits. */
static void check_alternatives(const exia__dependency *whole, const char *version)
{
    int any = whole->count == 0 && exia__dependency_match(whole, version);
    for (size_t i = 0, end; i < whole->count; i = end) {
        exia__dependency one = {0};
        for (end = i; end < whole->count && (end == i || !whole->clauses[end].begins); end++)
            one.clauses[one.count++] = whole->clauses[end];
        one.clauses[0].begins = 0;
        any |= exia__dependency_match(&one, version);
    }
    FUZZ_CHECK(exia__dependency_match(whole, version) == any);
}

void fuzz_version(const uint8_t *data, size_t size)
{
    char *text = fuzz_copy(data, size), *lines[4] = {text, "", "", ""};
    exia__dependency dependency;
    exia_error err = {0};
    for (size_t i = 1; i < 4; i++) {
        char *end = strchr(lines[i - 1], '\n');
        if (end == NULL)
            break;
        *end = '\0';
        lines[i] = end + 1;
    }
    for (size_t i = 0; i < 3; i++) {
        exia_error one = {0};
        fuzz_check_error(exia__version_check(lines[i], &one), &one);
    }
    check_order(lines[0], lines[1], lines[2]);
    check_order(lines[2], lines[0], lines[1]);
    exia_status rc = exia__dependency_parse(&dependency, lines[3], &err);
    fuzz_check_error(rc, &err);
    FUZZ_CHECK(rc == EXIA_OK || dependency.count == 0);
    int all = rc == EXIA_OK && exia__version_check(lines[0], NULL) == EXIA_OK;
    for (size_t i = 0; all && i < dependency.count; i++)
        check_clause(&dependency, i, lines[0]);
    if (all)
        check_alternatives(&dependency, lines[0]);
    free(text);
}
