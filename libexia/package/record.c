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

exia_status exia__record_parse(exia__entry **out, char *text, size_t size, size_t count,
                               exia_error *err)
{
    exia_status rc = EXIA_OK;
    exia__buffer line = {0}, again = {0};
    exia__entry *entries = NULL;
    size_t done = 0;
    *out = NULL;
    if (count > size) /* or a small package could claim much memory */
        return exia__fail(err, EXIA_ECORRUPT, 0, "RECORD has fewer lines than the %zu it should",
                          count);
    entries = exia__zeroed(count, sizeof *entries);
    if (entries == NULL)
        rc = exia__fail_memory(err);
    for (char *at = text; rc == EXIA_OK && at < text + size; done++) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        size_t length = end ? (size_t)(end + 1 - at) : 0;
        if (end == NULL || done == count) {
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "RECORD has not the %zu whole lines it should",
                            count);
            break;
        }
        line.size = again.size = 0;
        rc = exia__buffer_append(&line, at, length, err);
        if (rc < 0)
            break;
        take_entry(&entries[done], at);
        rc = exia__record_line(&again, &entries[done], err);
        if (rc == EXIA_OK &&
            (again.size != line.size || memcmp(again.data, line.data, line.size) != 0 ||
             (entries[done].type != 'f' && entries[done].size != 0) ||
             (entries[done].type == 'l' && entries[done].mode != 0777)))
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "RECORD is not valid at line %zu: \"%.*s\"",
                            done + 1, (int)(length > 121 ? 120 : length - 1), line.data);
        at = end + 1;
    }
    if (rc == EXIA_OK && done != count)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "RECORD has %zu lines, not the %zu it should", done,
                        count);
    if (rc == EXIA_OK) {
        *out = entries;
        entries = NULL;
    }
    exia__release(entries);
    exia__buffer_free(&line);
    exia__buffer_free(&again);
    return rc;
}
