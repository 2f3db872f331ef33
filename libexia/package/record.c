/* RECORD, the authority: a line for each member, in path order.
 *
 *     PATH f MODE SIZE SHA256 | PATH d MODE 0 - | PATH l 0777 0 TARGET | PATH h MODE 0 TARGET
 *
 * Paths and targets are percent-encoded.  A line that is read is written again and compared, so
 * there is one way to say a thing. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/url.h"
#include "package/format.h"

/* Two encoded paths, and what is between. */
enum { MOST_LINE = 2 * 3 * EXIA__MOST_PATH + 128 };

exia_status exia__record_line(exia__buffer *out, const exia__entry *entry, exia_error *err)
{
    char *path = NULL, *target = NULL, hex[EXIA__HEX_SIZE] = "-";
    exia_status rc = exia__percent_encode(&path, entry->path, err);
    if (rc == EXIA_OK && entry->target != NULL)
        rc = exia__percent_encode(&target, entry->target, err);
    if (entry->type == 'f')
        exia__hex(hex, entry->digest, sizeof entry->digest);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(out, err, "%s %c %04o %llu %s\n", path, entry->type,
                                 (unsigned)entry->mode, (unsigned long long)entry->size,
                                 target ? target : hex);
    exia__release(path);
    exia__release(target);
    return rc;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode in place what exia__percent_encode() wrote, up to the next space or line end, which becomes
 * the NUL.  What else stands there is found when the line is compared. */
static char *take_text(char **at)
{
    char *text = *at, *into = *at, *from = *at;
    for (; *from != ' ' && *from != '\n' && *from != '\0'; into++) {
        *into = *from++;
        if (*into == '%' && from[0] != '\0' && from[1] != '\0') {
            int high = hex_digit((char)(from[0] | 32)), low = hex_digit((char)(from[1] | 32));
            if (high < 0 || low < 0 || high + low == 0)
                continue;
            *into = (char)(high * 16 + low);
            from += 2;
        }
    }
    *at = from + (*from != '\0');
    *into = '\0';
    return text;
}

static uint64_t take_number(char **at, unsigned base)
{
    uint64_t value = 0;
    while (**at >= '0' && **at < (char)('0' + base))
        value = value * base + (uint64_t)(*(*at)++ - '0');
    *at += **at != '\0';
    return value;
}

static void take_entry(exia__entry *entry, char *line)
{
    char *value = NULL;
    *entry = (exia__entry){.path = take_text(&line)};
    if (*line != '\0' && strchr("fdlh", *line) != NULL) {
        entry->type = *line++;
        line += *line != '\0';
        entry->mode = (uint32_t)take_number(&line, 8);
        entry->size = take_number(&line, 10);
        value = take_text(&line);
    }
    if (entry->type == 'l' || entry->type == 'h')
        entry->target = value;
    for (size_t i = 0; entry->type == 'f' && i < sizeof entry->digest; i++) {
        if (value[2 * i] == '\0' || value[2 * i + 1] == '\0')
            break;
        entry->digest[i] = (unsigned char)((hex_digit(value[2 * i]) & 15) << 4 |
                                           (hex_digit(value[2 * i + 1]) & 15));
    }
}

uint64_t exia__record_size(const exia__entry *entry)
{
    static const char form[] = " f 0644  \n";
    uint64_t size = exia__percent_size(entry->path) + sizeof form - 1;
    uint64_t last = entry->target != NULL ? exia__percent_size(entry->target)
                    : entry->type == 'f'  ? EXIA__HEX_SIZE - 1
                                          : 1;
    for (uint64_t left = entry->size / 10; left > 0; left /= 10)
        size++;
    for (uint32_t left = entry->mode >> 12; left > 0; left >>= 3) /* one that no package carries */
        size++;
    return size + 1 + last;
}

uint64_t exia__record_most(uint64_t lines)
{
    uint64_t most = ((uint64_t)64 << 20) + 256 * lines;
    return most < EXIA__MOST_RECORD ? most : EXIA__MOST_RECORD;
}

static exia_status not_valid(size_t line, const char *text, size_t size, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "RECORD is not valid at line %zu: \"%.*s\"", line,
                      (int)(size > 120 ? 120 : size), text);
}

exia_status exia__record_check(exia__checked *so_far, const char *text, size_t size,
                               exia_error *err)
{
    exia_status rc = EXIA_OK;
    exia__buffer line = {0}, again = {0};
    const char *at = text, *end = NULL;
    while (rc == EXIA_OK && (end = memchr(at, '\n', (size_t)(text + size - at))) != NULL) {
        exia__entry entry;
        size_t length = (size_t)(end + 1 - at);
        line.size = again.size = 0;
        rc = exia__buffer_append(&line, at, length, err);
        if (rc < 0)
            break;
        take_entry(&entry, line.data);
        rc = exia__record_line(&again, &entry, err);
        so_far->lines++;
        so_far->size += length;
        if (rc == EXIA_OK &&
            (again.size != length || memcmp(again.data, at, length) != 0 ||
             (entry.type != 'f' && entry.size != 0) || (entry.type == 'l' && entry.mode != 0777)))
            rc = not_valid(so_far->lines, at, length - 1, err);
        if (rc == EXIA_OK && so_far->size > exia__record_most(so_far->lines))
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "RECORD is too long up to line %zu",
                            so_far->lines);
        at = end + 1;
    }
    if (rc == EXIA_OK && text + size - at > MOST_LINE)
        rc = not_valid(so_far->lines + 1, at, (size_t)(text + size - at), err);
    exia__buffer_free(&line);
    exia__buffer_free(&again);
    return rc;
}

exia_status exia__record_parse(exia__entry **out, char *text, size_t size, size_t count,
                               exia_error *err)
{
    size_t done = 0;
    *out = NULL;
    if (count > size) /* or a small package could claim much memory */
        return exia__fail(err, EXIA_ECORRUPT, 0, "RECORD has fewer lines than the %zu it should",
                          count);
    exia__entry *entries = exia__zeroed(count, sizeof *entries);
    if (entries == NULL)
        return exia__fail_memory(err);
    for (char *at = text, *end = NULL; at < text + size && done < count; at = end + 1) {
        end = memchr(at, '\n', (size_t)(text + size - at));
        if (end == NULL)
            break;
        take_entry(&entries[done++], at);
        if (done == count && end + 1 == text + size) {
            *out = entries;
            return EXIA_OK;
        }
    }
    exia__release(entries);
    return exia__fail(err, EXIA_ECORRUPT, 0, "RECORD has not the %zu whole lines it should", count);
}
