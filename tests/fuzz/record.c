/* RECORD: what is accepted is written again to the same bytes, and no member of it leads out. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "package/format.h"

/* How deep a path or a link's target ends, from a depth on; negative when it leaves the top. */
static int depth_of(const char *path, int depth)
{
    FUZZ_CHECK(*path != '/');
    while (*path != '\0' && depth >= 0) {
        size_t size = strcspn(path, "/");
        if (size == 2 && path[0] == '.' && path[1] == '.')
            depth--;
        else if (size > 0 && !(size == 1 && path[0] == '.'))
            depth++;
        path += size + (path[size] == '/');
    }
    return depth;
}

static void check_member(const exia__entry *entries, size_t count, const exia__entry *entry)
{
    exia__buffer header = {0};
    exia_error err = {0};
    FUZZ_CHECK(exia__path_fault(entry->path) == NULL);
    FUZZ_CHECK(strstr(entry->path, "//") == NULL);
    FUZZ_CHECK(strncmp(entry->path, "VEDA/", 5) != 0);
    FUZZ_CHECK(exia__entry_find(entries, count, entry->path, strlen(entry->path)) == entry);
    int depth = depth_of(entry->path, 0);
    FUZZ_CHECK(depth > 0);
    if (entry->type == 'l')
        FUZZ_CHECK(depth_of(entry->target, depth - 1) >= 0);
    if (entry->type == 'h')
        FUZZ_CHECK(depth_of(entry->target, 0) > 0);
    FUZZ_CHECK(exia__tar_header(&header, entry, &err) == EXIA_OK);
    FUZZ_CHECK(exia__tar_size(entry) == header.size + entry->size + exia__tar_padding(entry->size));
    exia__buffer_free(&header);
}

void fuzz_record(const uint8_t *data, size_t size)
{
    exia__entry *entries = NULL;
    exia__buffer again = {0};
    exia_error err = {0};
    exia__checked checked = {0};
    size_t count = 0, lines_size = 0;
    char *text = fuzz_copy(data, size);
    for (size_t i = 0; i < size; i++)
        count += data[i] == '\n';
    exia_status rc = exia__record_check(&checked, text, size, &err);
    fuzz_check_error(rc, &err);
    FUZZ_CHECK(rc < 0 ||
               (checked.lines == count && checked.size <= size && memcmp(text, data, size) == 0));
    if (rc == EXIA_OK)
        rc = exia__record_parse(&entries, text, size, count, &err);
    fuzz_check_error(rc, &err);
    FUZZ_CHECK(rc < 0 || checked.size == size);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        FUZZ_CHECK(exia__record_line(&again, &entries[i], &err) == EXIA_OK &&
                   again.size == (lines_size += exia__record_size(&entries[i])));
    if (rc == EXIA_OK) {
        FUZZ_CHECK(again.size == size && (size == 0 || memcmp(again.data, data, size) == 0));
        rc = exia__entries_check(entries, count, EXIA_ECORRUPT, &err);
        fuzz_check_error(rc, &err);
    }
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        check_member(entries, count, &entries[i]);
    exia__release(entries);
    exia__buffer_free(&again);
    free(text);
}
