/* What the targets share. */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_check(int good, const char *what, const char *file, int line)
{
    if (good)
        return;
    fprintf(stderr, "%s:%d: a promise is broken: %s\n", file, line, what);
    abort();
}

void fuzz_check_error(exia_status rc, const exia_error *err)
{
    if (rc < 0) {
        FUZZ_CHECK(err->status == rc);
        FUZZ_CHECK(err->text[0] != '\0');
        FUZZ_CHECK(memchr(err->text, '\0', sizeof err->text) != NULL);
        FUZZ_CHECK(strchr(err->text, '\n') == NULL);
    } else {
        FUZZ_CHECK(err->status == EXIA_OK && err->text[0] == '\0');
    }
}

char *fuzz_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}
