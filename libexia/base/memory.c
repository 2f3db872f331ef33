/* The allocator hook and what is built on it.  The only file that names realloc and free. */
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void *standard_resize(void *memory, size_t size, void *payload)
{
    (void)payload;
    return realloc(memory, size);
}

static void standard_release(void *memory, void *payload)
{
    (void)payload;
    free(memory);
}

static const exia_allocator standard = {standard_resize, standard_release, NULL};
static exia_allocator current = {standard_resize, standard_release, NULL};

exia_status exia_allocator_set(const exia_allocator *allocator, exia_error *err)
{
    if (allocator != NULL && (allocator->resize == NULL || allocator->release == NULL))
        return exia__fail(err, EXIA_EINVAL, 0, "an allocator needs both resize and release");
    current = allocator ? *allocator : standard;
    return EXIA_OK;
}

void *exia__resize(void *memory, size_t size)
{
    return current.resize(memory, size ? size : 1, current.payload);
}

void exia__release(void *memory)
{
    if (memory != NULL)
        current.release(memory, current.payload);
}

void *exia__array(void *memory, size_t count, size_t size)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return exia__resize(memory, total);
}

void *exia__zeroed(size_t count, size_t size)
{
    void *memory = exia__array(NULL, count, size);
    if (memory != NULL)
        memset(memory, 0, count * size);
    return memory;
}

exia_status exia__grow(void *array, size_t *capacity, size_t need, size_t size, exia_error *err)
{
    enum { FIRST = 8 };
    size_t room = *capacity > SIZE_MAX / 2 ? need : 2 * *capacity;
    void *items = NULL;
    if (need <= *capacity)
        return EXIA_OK;
    room = room < need ? need : room;
    room = room < FIRST ? FIRST : room;
    memcpy(&items, array, sizeof items); /* a T ** is no void ** */
    items = exia__array(items, room, size);
    if (items == NULL)
        return exia__fail_memory(err);
    memcpy(array, &items, sizeof items);
    *capacity = room;
    return EXIA_OK;
}

exia_status exia__text_copy(char **out, const char *text, exia_error *err)
{
    return exia__text_copy_n(out, text, strlen(text), err);
}

exia_status exia__text_copy_n(char **out, const char *text, size_t size, exia_error *err)
{
    *out = size < SIZE_MAX ? exia__resize(NULL, size + 1) : NULL;
    if (*out == NULL)
        return exia__fail_memory(err);
    memcpy(*out, text, size);
    (*out)[size] = '\0';
    return EXIA_OK;
}

exia_status exia__text_format(char **out, exia_error *err, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    *out = size < 0 ? NULL : exia__resize(NULL, (size_t)size + 1);
    if (*out != NULL)
        vsnprintf(*out, (size_t)size + 1, format, again);
    va_end(again);
    return *out ? EXIA_OK : exia__fail_memory(err);
}

void exia_text_free(char *text)
{
    exia__release(text);
}
