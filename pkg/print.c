/* What goes to stdout: JSON, one object a line, exactly as the library gave it; or, for people,
 * aligned tables and lists.  Texts may come from a stranger's package, so control characters, which
 * a terminal would obey, are shown as '?'. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "tool.h"

exia_status rows_take(json_t **out, exia_rows *rows, exia_error *err)
{
    json_t *all = must(json_array());
    const char *text = NULL;
    exia_status status = EXIA_OK;

    while ((status = exia_rows_next(&text, rows, err)) == EXIA_OK) {
        json_error_t where;
        json_t *row = json_loads(text, 0, &where);

        if (row == NULL) {
            status = fail(err, EXIA_ECORRUPT, "a row is not JSON: %s", where.text);
            break;
        }
        json_array_append_new(all, row);
    }
    if (status == EXIA_DONE) {
        *out = all;
        return EXIA_OK;
    }
    json_decref(all);
    return status;
}

/* Columns that a text takes on a terminal; control characters count as the '?' they become. */
static size_t text_width(const char *text)
{
    mbstate_t state = {0};
    size_t width = 0;

    while (*text != '\0') {
        wchar_t character = 0;
        size_t length = mbrtowc(&character, text, strlen(text), &state);
        int columns = 1;

        if (length == (size_t)-1 || length == (size_t)-2) {
            memset(&state, 0, sizeof(state));
            length = 1;
        } else {
            columns = wcwidth(character);
        }
        width += columns < 0 ? 1 : (size_t)columns;
        text += length;
    }
    return width;
}

static void put_text(const char *text, size_t width, bool right)
{
    size_t used = text_width(text);
    int padding = width > used ? (int)(width - used) : 0;

    if (right)
        printf("%*s", padding, "");
    fputs(text, stdout);
    if (!right)
        printf("%*s", padding, "");
}

/* Bytes of the control character that a text begins with, 0 where it is another: C0, DEL, C1 (U+0080
 * to U+009F), and what breaks lines or turns their direction (U+2028 to U+202E, U+2066 to U+2069). */
static size_t control_size(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    if (at[0] < ' ' || at[0] == 0x7f)
        return 1;
    if (at[0] == 0xc2 && (at[1] & 0xe0) == 0x80)
        return 2;
    if (at[0] != 0xe2)
        return 0;
    if (at[1] == 0x80 && at[2] >= 0xa8 && at[2] <= 0xae)
        return 3;
    return at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9 ? 3 : 0;
}

static char *clean(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0';) {
        size_t size = control_size(from);
        *to++ = size > 0 ? '?' : *from;
        from += size > 0 ? size : 1;
    }
    *to = '\0';
    return text;
}

static char *size_text(double size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;

    if (size < 1024)
        return format_text("%.0f B", size);
    for (; size >= 1023.95 && unit + 1 < sizeof(units) / sizeof(*units); unit++)
        size /= 1024;
    return format_text("%.1f %s", size, units[unit]);
}

/* "2026-01-31T23:59:59.123Z" without what nobody reads. */
static char *time_text(const char *text)
{
    if (strlen(text) < 20 || text[10] != 'T')
        return format_text("%s", text);
    return format_text("%.10s %.8s", text, text + 11);
}

/* Join what `old` holds and `more`, freeing both. */
static char *join(char *old, const char *between, char *more)
{
    char *text = format_text("%s%s%s", old, *old != '\0' ? between : "", more);

    free(old);
    free(more);
    return text;
}

/* A list as "a, b", an object as "k=v, l=w"; what is nested deeper, as JSON. */
static char *scalar_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return format_text("%s", json_string_value(value));
    case JSON_INTEGER:
        return format_text("%lld", (long long)json_integer_value(value));
    case JSON_REAL:
        return format_text("%.6g", json_real_value(value));
    case JSON_TRUE:
        return format_text("yes");
    case JSON_FALSE:
        return format_text("no");
    case JSON_NULL:
        return format_text("-");
    default:
        return must(json_dumps(value, JSON_COMPACT));
    }
}

static char *members_text(const json_t *value)
{
    char *text = format_text("%s", "");
    const char *key = NULL;
    json_t *member = NULL;
    size_t index = 0;

    if (json_is_array(value)) {
        json_array_foreach(value, index, member) text = join(text, ", ", scalar_text(member));
        return text;
    }
    json_object_foreach((json_t *)value, key, member)
    {
        char *pair = join(format_text("%s", key), "=", scalar_text(member));
        text = join(text, ", ", pair);
    }
    return text;
}

char *value_text(const json_t *value, enum cell_kind kind)
{
    char *text = NULL;

    if (value == NULL)
        return format_text("-");
    if (kind == CELL_SIZE && json_is_number(value))
        return size_text(json_number_value(value));
    if (kind == CELL_TIME && json_is_string(value))
        text = time_text(json_string_value(value));
    else if (json_is_array(value) || json_is_object(value))
        text = members_text(value);
    else
        text = scalar_text(value);
    if (*text == '\0') {
        free(text);
        text = format_text("-");
    }
    return clean(text);
}

void print_table(const json_t *rows, const struct column *columns)
{
    size_t row_count = json_array_size(rows);
    size_t count = 0;
    size_t *widths = NULL;
    char **cells = NULL;

    while (columns[count].heading != NULL)
        count++;
    widths = must(calloc(count, sizeof(*widths)));
    cells = must(calloc(count * (row_count + 1), sizeof(*cells)));
    for (size_t i = 0; i < count * (row_count + 1); i++) {
        const struct column *column = &columns[i % count];
        const json_t *row = i < count ? NULL : json_array_get(rows, i / count - 1);
        size_t width = 0;

        cells[i] = row == NULL ? format_text("%s", column->heading)
                               : value_text(json_object_get(row, column->key), column->kind);
        width = text_width(cells[i]);
        if (width > widths[i % count])
            widths[i % count] = width;
    }
    for (size_t i = 0; i < count * (row_count + 1); i++) {
        const struct column *column = &columns[i % count];
        bool right = column->kind == CELL_NUMBER || column->kind == CELL_SIZE;
        bool last = i % count == count - 1;

        put_text(cells[i], last && !right ? 0 : widths[i % count], right);
        fputs(last ? "\n" : "  ", stdout);
        free(cells[i]);
    }
    free(cells);
    free(widths);
}

exia_status print_rows(const struct call *call, exia_rows *rows, const struct column *columns,
                       const char *none, exia_error *err)
{
    json_t *all = NULL;
    const char *row = NULL;
    exia_status status = EXIA_OK;

    if (call->json) {
        while ((status = exia_rows_next(&row, rows, err)) == EXIA_OK)
            puts(row);
        return status == EXIA_DONE ? EXIA_OK : status;
    }
    status = rows_take(&all, rows, err);
    if (status == EXIA_OK && json_array_size(all) > 0)
        print_table(all, columns);
    else if (status == EXIA_OK)
        say(call, "%s", none);
    json_decref(all);
    return status;
}

/* With the fewest digits that read back as the same: 0.93, not 0.93000000000000005. */
void print_json(const json_t *object)
{
    bool same = false;

    for (size_t digits = 15; !same; digits++) {
        char *text = must(json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(digits)));
        json_t *again = must(json_loads(text, 0, NULL));

        same = digits == 17 || json_equal(again, object);
        if (same)
            puts(text);
        json_decref(again);
        free(text);
    }
}

void print_answer(const struct call *call, json_t *object, const char *text)
{
    must(object);
    job_end();
    if (call->json)
        print_json(object);
    else if (text != NULL && isatty(STDOUT_FILENO)) {
        char *shown = clean(format_text("%s", text));
        puts(shown);
        free(shown);
    } else if (text != NULL) {
        puts(text); /* a path as it is, for the next program */
    }
    json_decref(object);
}

json_t *json_path(const char *path)
{
    json_t *value = json_string(path);

    if (value == NULL) {
        char *ascii = format_text("%s", path);
        for (char *c = ascii; *c != '\0'; c++)
            *c = (*c & 0x80) != 0 ? '?' : *c;
        value = must(json_string(ascii));
        free(ascii);
    }
    return value;
}

void print_fact(const char *key, const json_t *value, enum cell_kind kind)
{
    char *text = NULL;

    if (value == NULL || json_is_null(value))
        return;
    text = value_text(value, kind);
    if (strcmp(text, "-") != 0)
        printf("%-13s %s\n", key, text);
    free(text);
}
