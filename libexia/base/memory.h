/* Memory through the allocator hook.  Nothing else in the library calls malloc. */
#ifndef EXIA_BASE_MEMORY_H
#define EXIA_BASE_MEMORY_H

#include <stdarg.h>
#include <stddef.h>

#include "exia/common.h"

/* As realloc; NULL when memory is out, and `memory` is as it was.  `size` 0 gives one byte. */
void *exia__resize(void *memory, size_t size);
void exia__release(void *memory);

/* `count` items of `size` bytes, overflow-checked, as exia__resize. */
void *exia__array(void *memory, size_t count, size_t size);
void *exia__zeroed(size_t count, size_t size);
/* See to it that `*(T **)array`, of `*capacity` items of `size` bytes, has room for `need`: it at
 * least doubles when it grows. */
exia_status exia__grow(void *array, size_t *capacity, size_t need, size_t size, exia_error *err);

/* Each writes a new text and answers EXIA_ENOMEM with `err` filled when memory is out. */
exia_status exia__text_copy(char **out, const char *text, exia_error *err);
exia_status exia__text_copy_n(char **out, const char *text, size_t size, exia_error *err);
exia_status exia__text_format(char **out, exia_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
