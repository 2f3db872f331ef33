/* Errors are written into the caller's struct, never allocated: they work when memory is out. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/name.h"

static exia_log_fn *log_function;
static void *log_payload;

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
const char *exia_version(void)
{
    return TEXT(EXIA_VERSION_MAJOR) "." TEXT(EXIA_VERSION_MINOR) "." TEXT(EXIA_VERSION_PATCH);
}

const char *exia_status_text(exia_status status)
{
    switch (status) {
#define STATUS_CASE(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        EXIA_STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
    case EXIA_STATUS_LAST:
        break;
    }
    return "a status that this version does not know";
}

/* Make `text` one line that any terminal can show: plain UTF-8 without control characters, and no
 * character that was cut in two at the end. */
static void tidy(char *text, size_t size, int cut)
{
    size_t used = strnlen(text, size - 1);
    text[used] = '\0';
    for (size_t i = 0, one = 0; i < used; i += one) {
        const unsigned char *at = (const unsigned char *)text + i;
        one = exia__character_size(text + i, used - i);
        if (one == 2 && at[0] == 0xc2 && at[1] < 0xa0) /* a terminal may obey these, too */
            one = 0;
        if (one > 0)
            continue;
        if (cut && at[0] >= 0xc2 && used - i < 4) {
            text[i] = '\0';
            return;
        }
        text[i] = '?';
        one = 1;
    }
}

static void write_text(exia_error *err, const char *format, va_list arguments)
{
    int size = vsnprintf(err->text, sizeof err->text, format, arguments);
    if (size < 0)
        err->text[0] = '\0';
    tidy(err->text, sizeof err->text, size >= (int)sizeof err->text);
    if (err->text[0] == '\0')
        snprintf(err->text, sizeof err->text, "%s", exia_status_text(err->status));
}

exia_status exia__fail(exia_error *err, exia_status status, int32_t native, const char *format, ...)
{
    if (err != NULL) {
        va_list arguments;
        va_start(arguments, format);
        err->status = status;
        err->native = native;
        write_text(err, format, arguments);
        va_end(arguments);
    }
    return status;
}

exia_status exia__fail_memory(exia_error *err)
{
    return exia__fail(err, EXIA_ENOMEM, 0, "%s", exia_status_text(EXIA_ENOMEM));
}

void exia__filled(exia_error *err, exia_status status)
{
    char text[sizeof err->text];
    snprintf(text, sizeof text, "%.*s", (int)sizeof text, err->text);
    const char *said = err->status < 0 && *text ? text : exia_status_text(status);
    exia__fail(err, status, err->native, "%s", said);
}

static const struct {
    int code;
    exia_status status;
} errno_map[] = {
    {ENOENT, EXIA_ENOTFOUND},
    {ENOTDIR, EXIA_ENOTFOUND},
    {EEXIST, EXIA_EEXISTS},
    {ENOTEMPTY, EXIA_EEXISTS},
    {EACCES, EXIA_EDENIED},
    {EPERM, EXIA_EDENIED},
    {EROFS, EXIA_EDENIED},
    {ENOSPC, EXIA_ENOSPACE},
    {EDQUOT, EXIA_ENOSPACE},
    {EFBIG, EXIA_ENOSPACE},
    {ENOMEM, EXIA_ENOMEM},
    {ENAMETOOLONG, EXIA_EINVAL},
    {EINVAL, EXIA_EINVAL},
    {EISDIR, EXIA_EINVAL},
    {ELOOP, EXIA_EINVAL},
    {EOPNOTSUPP, EXIA_EUNSUPPORTED},
    {ENOSYS, EXIA_EUNSUPPORTED},
    {ETIMEDOUT, EXIA_ETIMEOUT},
    {ECONNREFUSED, EXIA_EUNAVAILABLE},
};

enum { PATH_SHOWN = 150 }; /* bytes, so that the reason behind a long path is not cut off */

exia_status exia__fail_errno(exia_error *err, int code, const char *what, const char *path)
{
    exia_status status = EXIA_EIO;
    for (size_t i = 0; i < sizeof errno_map / sizeof *errno_map; i++) {
        if (errno_map[i].code == code)
            status = errno_map[i].status;
    }
    const char *reason = strerrordesc_np(code); /* unlike strerror, the same in every locale */
    size_t length = strlen(path);
    const char *tail = length > PATH_SHOWN ? path + length - PATH_SHOWN : path;
    while (tail != path && ((unsigned char)*tail & 0xC0) == 0x80)
        tail++; /* to the beginning of a character */
    return exia__fail(err, status, code, "%s %s%s: %s", what, tail == path ? "" : "...", tail,
                      reason ? reason : "unknown error");
}

exia_status exia__prefix(exia_error *err, exia_status status, const char *format, ...)
{
    if (err != NULL) {
        char rest[sizeof err->text], head[sizeof err->text];
        va_list arguments;
        memcpy(rest, err->text, sizeof rest);
        va_start(arguments, format);
        int size = vsnprintf(head, sizeof head, format, arguments);
        va_end(arguments);
        if (size < 0)
            head[0] = '\0';
        size = snprintf(err->text, sizeof err->text, "%s: %s", head, rest);
        tidy(err->text, sizeof err->text, size >= (int)sizeof err->text);
    }
    return status;
}

exia_status exia__forgive(exia_error *err)
{
    if (err != NULL)
        *err = (exia_error){0};
    return EXIA_OK;
}

exia_status exia__options(void *ours, size_t size, const void *theirs, exia_error *err)
{
    size_t given = 0;
    memset(ours, 0, size);
    if (theirs != NULL)
        memcpy(&given, theirs, sizeof given);
    if (theirs != NULL && given < sizeof given)
        return exia__fail(err, EXIA_EINVAL, 0, "struct_size is %zu: set it to sizeof the struct",
                          given);
    for (size_t i = size; i < given; i++) {
        if (((const char *)theirs)[i] != 0)
            return exia__fail(err, EXIA_EUNSUPPORTED, 0,
                              "the options have a field that version %s does not know",
                              exia_version());
    }
    if (theirs != NULL)
        memcpy(ours, theirs, given < size ? given : size);
    memcpy(ours, &size, sizeof size);
    return EXIA_OK;
}

void exia_log_set(exia_log_fn *log, void *payload)
{
    log_function = log;
    log_payload = payload;
}

void exia__log(int level, const char *topic, const char *format, ...)
{
    if (log_function == NULL)
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0)
        return;
    tidy(text, sizeof text, size >= (int)sizeof text);
    log_function(level, topic, text, log_payload);
}
