/* A growing run of bytes that doubles, always with a NUL behind. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

exia_status exia__buffer_reserve(exia__buffer *buffer, size_t more, exia_error *err)
{
    size_t wanted = 0;
    if (__builtin_add_overflow(buffer->size, more, &wanted) ||
        __builtin_add_overflow(wanted, 1, &wanted))
        return exia__fail_memory(err);
    if (wanted <= buffer->capacity)
        return EXIA_OK;
    exia_status rc =
        exia__grow(&buffer->data, &buffer->capacity, wanted < 64 ? 64 : wanted, 1, err);
    if (rc == EXIA_OK)
        buffer->data[buffer->size] = '\0';
    return rc;
}

exia_status exia__buffer_append(exia__buffer *buffer, const void *data, size_t size,
                                exia_error *err)
{
    exia_status rc = exia__buffer_reserve(buffer, size, err);
    if (rc < 0)
        return rc;
    if (size > 0)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return EXIA_OK;
}

exia_status exia__buffer_text(exia__buffer *buffer, const char *text, exia_error *err)
{
    return exia__buffer_append(buffer, text, strlen(text), err);
}

exia_status exia__buffer_format(exia__buffer *buffer, exia_error *err, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    exia_status rc = exia__buffer_reserve(buffer, size < 0 ? 0 : (size_t)size, err);
    if (rc == EXIA_OK && size > 0)
        buffer->size +=
            (size_t)vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, again);
    va_end(again);
    return rc;
}

exia_status exia__buffer_take(char **out, exia__buffer *buffer, exia_error *err)
{
    exia_status rc = exia__buffer_reserve(buffer, 0, err);
    *out = rc < 0 ? NULL : buffer->data;
    if (rc == EXIA_OK)
        *buffer = (exia__buffer){0};
    return rc;
}

void exia__buffer_free(exia__buffer *buffer)
{
    exia__release(buffer->data);
    *buffer = (exia__buffer){0};
}
