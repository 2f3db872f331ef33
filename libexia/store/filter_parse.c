/* The parser of filters: a lexer with one token in hand, and one function a level of precedence.
 *
 *     filter     = [or] ["order" "by" key {"," key}] ["limit" integer]
 *     or         = and {"or" and}                     key = name ["asc" | "desc"]
 *     and        = not {"and" not}
 *     not        = "not" not | "(" or ")" | test
 *     test       = operand ("=" | "!=" | "<" | "<=" | ">" | ">=") operand
 *                | operand ["not"] "in" ("(" literal {"," literal} ")" | name)
 *                | operand ["not"] "like" string | operand "is" ["not"] "null"
 *     operand    = name | literal                     name = word {"." word}
 *     literal    = string | number | "true" | "false" word = [A-Za-z_][A-Za-z0-9_]* | "\"" .. "\""
 *
 * Keywords may be in capitals, and behind a dot they are words.  What comes out is postfix, so only
 * parentheses and "not" nest, and their depth is capped. */
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "store/filter_program.h"

enum { LONGEST_FILTER = 65536 };

typedef enum token_kind { END, WORD, QUOTED, STRING, NUMBER, SIGN } token_kind;

typedef struct parser {
    const char *text, *at; /* `at`: behind the token */
    const char *token;     /* where it begins */
    size_t size;           /* of the token, its quotes included */
    token_kind kind;
    exia__filter *filter;
    size_t step_room, order_room;
    unsigned depth;
    exia_error *err;
} parser;

/* ---- tokens --------------------------------------------------------------------------------- */

static int is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Characters, not bytes, from 1. */
static size_t position(const parser *p, const char *at)
{
    size_t count = 1;
    for (const char *c = p->text; c < at; c++)
        count += ((unsigned char)*c & 0xc0) != 0x80;
    return count;
}

static exia_status fail_text(const parser *p, const char *at, const char *problem)
{
    return exia__fail(p->err, EXIA_EINVAL, 0, "filter, character %zu: %s", position(p, at),
                      problem);
}

static exia_status expected(const parser *p, const char *what)
{
    if (p->kind == END)
        return exia__fail(p->err, EXIA_EINVAL, 0, "filter, character %zu: expected %s, but it ends",
                          position(p, p->token), what);
    return exia__fail(p->err, EXIA_EINVAL, 0, "filter, character %zu: expected %s, found %.*s",
                      position(p, p->token), what, p->size < 60 ? (int)p->size : 60, p->token);
}

/* The size of a text in quotes, where the quote twice is one; 0: it does not end. */
static size_t quoted_size(const char *at, char quote)
{
    for (size_t i = 1; at[i] != '\0'; i++) {
        if (at[i] == quote && at[i + 1] == quote)
            i++;
        else if (at[i] == quote)
            return i + 1;
    }
    return 0;
}

/* As JSON writes numbers: -?digits[.digits][e[+-]digits]. */
static size_t number_size(const char *at)
{
    size_t size = at[0] == '-';
    size += strspn(at + size, "0123456789");
    if (at[size] == '.' && is_digit(at[size + 1]))
        size += 1 + strspn(at + size + 1, "0123456789");
    if (at[size] == 'e' || at[size] == 'E') {
        size_t sign = at[size + 1] == '+' || at[size + 1] == '-';
        size_t digits = strspn(at + size + 1 + sign, "0123456789");
        size += digits > 0 ? 1 + sign + digits : 0;
    }
    return size;
}

/* Take the next token in hand. */
static exia_status advance(parser *p)
{
    const char *at = p->at + strspn(p->at, " \t\r\n");
    p->token = at;
    p->kind = SIGN;
    p->size = 1;
    if (*at == '\0') {
        p->kind = END;
        p->size = 0;
    } else if (is_letter(*at)) {
        p->kind = WORD;
        while (is_letter(at[p->size]) || is_digit(at[p->size]))
            p->size++;
    } else if (*at == '\'' || *at == '"') {
        p->kind = *at == '"' ? QUOTED : STRING;
        p->size = quoted_size(at, *at);
        if (p->size == 0)
            return fail_text(p, at, "this quote does not end");
    } else if (is_digit(*at) || (*at == '-' && is_digit(at[1]))) {
        p->kind = NUMBER;
        p->size = number_size(at);
        if (is_letter(at[p->size]) || at[p->size] == '.' || is_digit(at[p->size]))
            return fail_text(p, at, "this is no number; a name like this needs \"..\"");
    } else if ((*at == '<' || *at == '>' || *at == '!') && at[1] == '=') {
        p->size = 2;
    } else if (strchr("=<>(),.", *at) == NULL) {
        while (((unsigned char)at[p->size] & 0xc0) == 0x80)
            p->size++; /* show a character whole */
        return exia__fail(p->err, EXIA_EINVAL, 0, "filter, character %zu: %.*s means nothing here",
                          position(p, at), (int)p->size, at);
    }
    p->at = at + p->size;
    return EXIA_OK;
}

static int is_sign(const parser *p, const char *sign)
{
    return p->kind == SIGN && strlen(sign) == p->size && memcmp(p->token, sign, p->size) == 0;
}

static int is_keyword(const parser *p, const char *word)
{
    return p->kind == WORD && strlen(word) == p->size && strncasecmp(p->token, word, p->size) == 0;
}

static int is_reserved(const parser *p)
{
    static const char *const words[] = {"and",  "or",    "not",   "in", "like",  "is",  "null",
                                        "true", "false", "order", "by", "limit", "asc", "desc"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is_keyword(p, words[i]))
            return 1;
    }
    return 0;
}

/* Skip a keyword or sign if it is in hand; `*yes` says whether. */
static exia_status take(int *yes, parser *p, const char *text)
{
    *yes = is_keyword(p, text) || is_sign(p, text);
    return *yes ? advance(p) : EXIA_OK;
}

static exia_status demand(parser *p, const char *text, const char *what)
{
    int yes = 0;
    exia_status rc = take(&yes, p, text);
    return rc == EXIA_OK && !yes ? expected(p, what) : rc;
}

/* ---- names and literals --------------------------------------------------------------------- */

/* Append what the quotes of the token hold. */
static exia_status unquote(exia__buffer *out, const parser *p)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 1; rc == EXIA_OK && i + 1 < p->size; i++) {
        rc = exia__buffer_append(out, p->token + i, 1, p->err);
        i += p->token[i] == p->token[0]; /* the second of two */
    }
    return rc;
}

static exia_status parse_path(char **out, parser *p)
{
    exia__buffer path = {0};
    int dot = 0;
    exia_status rc = EXIA_OK;
    *out = NULL;
    do {
        if (p->kind == WORD && (dot || !is_reserved(p)))
            rc = exia__buffer_append(&path, p->token, p->size, p->err);
        else if (p->kind == QUOTED && p->size > 2)
            rc = unquote(&path, p);
        else
            rc = expected(p, dot ? "a name behind the dot" : "a name");
        if (rc == EXIA_OK)
            rc = exia__buffer_append(&path, "", 1, p->err);
        if (rc == EXIA_OK)
            rc = advance(p);
        if (rc == EXIA_OK)
            rc = take(&dot, p, ".");
    } while (rc == EXIA_OK && dot);
    if (rc == EXIA_OK)
        rc = exia__buffer_take(out, &path, p->err); /* with the NUL behind: the end of the path */
    exia__buffer_free(&path);
    return rc;
}

static exia_status parse_number(json_t **out, const parser *p)
{
    json_error_t problem;
    *out = json_loadb(p->token, p->size, JSON_DECODE_ANY, &problem);
    if (*out == NULL && json_error_code(&problem) == json_error_numeric_overflow)
        *out = json_loadb(p->token, p->size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &problem);
    if (*out != NULL)
        return EXIA_OK;
    if (json_error_code(&problem) == json_error_out_of_memory)
        return exia__fail_memory(p->err);
    return fail_text(p, p->token, "this number is too large, or begins with a needless 0");
}

static exia_status parse_literal(json_t **out, parser *p)
{
    exia__buffer text = {0};
    exia_status rc = EXIA_OK;
    *out = NULL;
    if (p->kind == STRING) {
        rc = exia__buffer_append(&text, "", 0, p->err);
        if (rc == EXIA_OK)
            rc = unquote(&text, p);
        if (rc == EXIA_OK && (*out = json_stringn(text.data, text.size)) == NULL)
            rc = exia__fail_memory(p->err);
    } else if (p->kind == NUMBER) {
        rc = parse_number(out, p);
    } else if (is_keyword(p, "true") || is_keyword(p, "false")) {
        *out = json_boolean(is_keyword(p, "true"));
    } else if (is_keyword(p, "null")) {
        rc = fail_text(p, p->token, "null equals nothing: write \"is null\" or \"is not null\"");
    } else {
        rc = expected(p, "a value: 'text', a number, true or false");
    }
    exia__buffer_free(&text);
    return rc == EXIA_OK ? advance(p) : rc;
}

static exia_status parse_operand(exia__operand *out, parser *p)
{
    if (p->kind == QUOTED || (p->kind == WORD && !is_reserved(p)))
        return parse_path(&out->path, p);
    if (p->kind == STRING || p->kind == NUMBER || is_keyword(p, "true") || is_keyword(p, "false") ||
        is_keyword(p, "null"))
        return parse_literal(&out->literal, p);
    return expected(p, "a name or a value");
}

/* ---- conditions ----------------------------------------------------------------------------- */

static exia_status push(parser *p, exia__step *step)
{
    exia__filter *filter = p->filter;
    exia_status rc = exia__grow(&filter->steps, &p->step_room, filter->step_count + 1,
                                sizeof *filter->steps, p->err);
    if (rc == EXIA_OK) {
        filter->steps[filter->step_count++] = *step;
        *step = (exia__step){0};
    }
    return rc;
}

static exia_status parse_list(json_t **out, parser *p)
{
    int more = 1;
    exia_status rc = demand(p, "(", "'(' or a name behind in");
    *out = json_array();
    if (rc == EXIA_OK && *out == NULL)
        rc = exia__fail_memory(p->err);
    while (rc == EXIA_OK && more) {
        json_t *item = NULL;
        rc = parse_literal(&item, p);
        if (rc == EXIA_OK && json_array_append_new(*out, item) != 0)
            rc = exia__fail_memory(p->err);
        if (rc == EXIA_OK)
            rc = take(&more, p, ",");
    }
    return rc == EXIA_OK ? demand(p, ")", "',' or ')'") : rc;
}

static exia_status parse_comparison(exia__step *step, parser *p)
{
    static const char *const signs[] = {"=", "!=", "<", "<=", ">", ">="};
    for (unsigned how = 0; how < sizeof signs / sizeof *signs; how++) {
        if (!is_sign(p, signs[how]))
            continue;
        step->what = EXIA__COMPARE;
        step->how = (exia__how)how;
        exia_status rc = advance(p);
        if (rc == EXIA_OK && how == EXIA__LT && is_sign(p, ">"))
            return fail_text(p, p->token, "write != for \"is not equal\"");
        if (rc == EXIA_OK && how == EXIA__EQ && is_sign(p, "="))
            return fail_text(p, p->token, "write one = for \"is equal\"");
        return rc == EXIA_OK ? parse_operand(&step->right, p) : rc;
    }
    return expected(p, "a comparison, as in name = 'x': = != < <= > >=, in, like, is null");
}

/* Behind the left operand. */
static exia_status parse_test(exia__step *step, parser *p)
{
    int yes = 0;
    exia_status rc = take(&yes, p, "is");
    if (rc < 0)
        return rc;
    if (yes) {
        step->what = EXIA__NULL;
        rc = take(&step->negated, p, "not");
        return rc == EXIA_OK ? demand(p, "null", "null") : rc;
    }
    rc = take(&step->negated, p, "not");
    if (rc == EXIA_OK)
        rc = take(&yes, p, "in");
    if (rc < 0)
        return rc;
    if (yes) {
        step->what = EXIA__IN;
        if (p->kind == QUOTED || (p->kind == WORD && !is_reserved(p)))
            return parse_path(&step->right.path, p);
        return parse_list(&step->right.literal, p);
    }
    rc = take(&yes, p, "like");
    if (rc < 0)
        return rc;
    if (yes) {
        step->what = EXIA__LIKE;
        return p->kind == STRING ? parse_literal(&step->right.literal, p)
                                 : expected(p, "a 'text' behind like");
    }
    return step->negated ? expected(p, "in or like behind not") : parse_comparison(step, p);
}

static void free_step(exia__step *step)
{
    exia__release(step->left.path);
    exia__release(step->right.path);
    json_decref(step->left.literal);
    json_decref(step->right.literal);
}

static exia_status parse_or(parser *p);

static exia_status parse_not(parser *p)
{
    exia__step step = {0};
    int yes = 0;
    const char *began = p->token;
    exia_status rc = EXIA_OK;
    if (p->depth == EXIA__FILTER_DEPTH)
        return fail_text(p, began, "this is nested too deep");
    p->depth++;
    if (is_keyword(p, "not")) {
        rc = advance(p);
        if (rc == EXIA_OK)
            rc = parse_not(p);
        step.what = EXIA__NOT;
    } else {
        rc = take(&yes, p, "(");
        if (rc == EXIA_OK && yes) {
            rc = parse_or(p);
            if (rc == EXIA_OK)
                rc = demand(p, ")", "and, or, ')'");
            p->depth--;
            return rc;
        }
        if (rc == EXIA_OK)
            rc = parse_operand(&step.left, p);
        if (rc == EXIA_OK)
            rc = parse_test(&step, p);
    }
    p->depth--;
    if (rc == EXIA_OK)
        rc = push(p, &step);
    free_step(&step);
    return rc;
}

static exia_status parse_and(parser *p)
{
    int more = 0;
    exia_status rc = parse_not(p);
    while (rc == EXIA_OK && (rc = take(&more, p, "and")) == EXIA_OK && more) {
        rc = parse_not(p);
        if (rc == EXIA_OK)
            rc = push(p, &(exia__step){.what = EXIA__AND});
    }
    return rc;
}

static exia_status parse_or(parser *p)
{
    int more = 0;
    exia_status rc = parse_and(p);
    while (rc == EXIA_OK && (rc = take(&more, p, "or")) == EXIA_OK && more) {
        rc = parse_and(p);
        if (rc == EXIA_OK)
            rc = push(p, &(exia__step){.what = EXIA__OR});
    }
    return rc;
}

/* ---- order, limit, all ---------------------------------------------------------------------- */

static exia_status parse_key(parser *p)
{
    exia__filter *filter = p->filter;
    exia__order key = {0};
    int ascending = 0;
    exia_status rc = parse_path(&key.path, p);
    if (rc == EXIA_OK)
        rc = take(&key.descending, p, "desc");
    if (rc == EXIA_OK && !key.descending)
        rc = take(&ascending, p, "asc");
    if (rc == EXIA_OK)
        rc = exia__grow(&filter->orders, &p->order_room, filter->order_count + 1,
                        sizeof *filter->orders, p->err);
    if (rc == EXIA_OK) {
        filter->orders[filter->order_count++] = key;
        key.path = NULL;
    }
    exia__release(key.path);
    return rc;
}

static exia_status parse_order(parser *p)
{
    int more = 0;
    exia_status rc = demand(p, "by", "by behind order");
    do {
        if (rc == EXIA_OK)
            rc = parse_key(p);
        if (rc == EXIA_OK)
            rc = take(&more, p, ",");
    } while (rc == EXIA_OK && more);
    return rc;
}

static exia_status parse_limit(parser *p)
{
    json_t *number = NULL;
    if (p->kind != NUMBER)
        return expected(p, "a number of rows behind limit");
    const char *began = p->token;
    exia_status rc = parse_literal(&number, p);
    if (rc == EXIA_OK && (!json_is_integer(number) || json_integer_value(number) < 0))
        rc = fail_text(p, began, "limit needs a whole number from 0 on");
    if (rc == EXIA_OK)
        p->filter->limit = (size_t)json_integer_value(number);
    json_decref(number);
    return rc;
}

static exia_status parse_all(parser *p)
{
    int yes = 0;
    exia_status rc = advance(p);
    if (rc == EXIA_OK && p->kind != END && !is_keyword(p, "order") && !is_keyword(p, "limit"))
        rc = parse_or(p);
    if (rc == EXIA_OK)
        rc = take(&yes, p, "order");
    if (rc == EXIA_OK && yes)
        rc = parse_order(p);
    if (rc == EXIA_OK)
        rc = take(&yes, p, "limit");
    if (rc == EXIA_OK && yes)
        rc = parse_limit(p);
    if (rc == EXIA_OK && p->kind != END)
        rc = expected(p, p->filter->limit != SIZE_MAX ? "the end behind limit"
                         : p->filter->order_count > 0 ? "',', asc, desc, limit or the end"
                                                      : "and, or, order by, limit or the end");
    return rc;
}

static exia_status check_text(const char *text, exia_error *err)
{
    size_t size = strnlen(text, LONGEST_FILTER + 1);
    if (size > LONGEST_FILTER)
        return exia__fail(err, EXIA_EINVAL, 0, "the filter has more than %d bytes", LONGEST_FILTER);
    json_t *probe = json_stringn(text, size); /* NULL when it is no UTF-8 */
    if (probe == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the filter is not valid UTF-8");
    json_decref(probe);
    return EXIA_OK;
}

exia_status exia__filter_parse(exia__filter **out, const char *text, exia_error *err)
{
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__filter_parse: out is NULL");
    *out = NULL;
    text = text ? text : "";
    exia_status rc = check_text(text, err);
    exia__filter *filter = rc < 0 ? NULL : exia__zeroed(1, sizeof *filter);
    if (rc == EXIA_OK && filter == NULL)
        rc = exia__fail_memory(err);
    if (rc < 0)
        return rc;
    filter->limit = SIZE_MAX;
    parser p = {.text = text, .at = text, .token = text, .filter = filter, .err = err};
    rc = parse_all(&p);
    if (rc == EXIA_OK)
        *out = filter;
    else
        exia__filter_free(filter);
    return rc;
}

exia_status exia__filter_path(char **out, const char *text, exia_error *err)
{
    *out = NULL;
    if (text == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the name of a field is NULL");
    exia_status rc = check_text(text, err);
    if (rc < 0)
        return rc;
    parser p = {.text = text, .at = text, .token = text, .err = err};
    rc = advance(&p);
    if (rc == EXIA_OK)
        rc = parse_path(out, &p);
    if (rc == EXIA_OK && p.kind != END)
        rc = expected(&p, "the end of the name");
    if (rc < 0) {
        exia__release(*out);
        *out = NULL;
        return exia__prefix(err, rc, "\"%.60s\" names no field", text);
    }
    return EXIA_OK;
}

void exia__filter_free(exia__filter *filter)
{
    if (filter == NULL)
        return;
    for (size_t i = 0; i < filter->step_count; i++)
        free_step(&filter->steps[i]);
    for (size_t i = 0; i < filter->order_count; i++)
        exia__release(filter->orders[i].path);
    exia__release(filter->steps);
    exia__release(filter->orders);
    exia__release(filter);
}
