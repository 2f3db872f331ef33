/* Names are short and plain, so that they are safe in paths, keys, URLs and selectors alike. */
#include "base/name.h"

#include <string.h>

#include "base/error.h"

static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

static exia_status check(const char *name, const char *what, int allow_upper, exia_error *err)
{
    if (name == NULL || *name == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "the %s is empty", what);
    size_t size = strnlen(name, 129);
    if (size > 128)
        return exia__fail(err, EXIA_EINVAL, 0, "the %s %.40s... has more than 128 characters", what,
                          name);
    for (size_t i = 0; i < size; i++) {
        int good = strchr(lower, name[i]) || (allow_upper && strchr(upper, name[i])) ||
                   (i > 0 && strchr(".-", name[i]));
        if (!good)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "the %s \"%.60s%s\" is not valid at character %zu: use %sa-z, 0-9, _ "
                              "and, not first, . and -",
                              what, name, size > 60 ? "..." : "", i + 1,
                              allow_upper ? "A-Z, " : "");
    }
    return EXIA_OK;
}

exia_status exia__name_check(const char *name, const char *what, exia_error *err)
{
    return check(name, what, 1, err);
}

exia_status exia__name_check_lower(const char *name, const char *what, exia_error *err)
{
    return check(name, what, 0, err);
}

size_t exia__character_size(const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned char c = at[0];
    size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;
    if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4 || more >= size)
        return 0;
    for (size_t k = 1; k <= more; k++) {
        if ((at[k] & 0xc0) != 0x80)
            return 0;
    }
    if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || /* too long, surrogate */
        (c == 0xf0 && at[1] < 0x90) || (c == 0xf4 && at[1] > 0x8f))
        return 0;
    return more + 1;
}

int exia__text_valid(const char *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        size_t one = exia__character_size(text + i, size - i);
        if (one == 0)
            return 0;
        i += one;
    }
    return 1;
}
