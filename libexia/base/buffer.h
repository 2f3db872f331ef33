/* A growing run of bytes.  Zero-initialise, append, take or free. */
#ifndef EXIA_BASE_BUFFER_H
#define EXIA_BASE_BUFFER_H

#include "exia/common.h"

typedef struct exia__buffer {
    char *data; /* NUL behind `size` once something was appended; NULL before */
    size_t size, capacity;
} exia__buffer;

exia_status exia__buffer_reserve(exia__buffer *buffer, size_t more, exia_error *err);
exia_status exia__buffer_append(exia__buffer *buffer, const void *data, size_t size,
                                exia_error *err);
exia_status exia__buffer_text(exia__buffer *buffer, const char *text, exia_error *err);
exia_status exia__buffer_format(exia__buffer *buffer, exia_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Hand the bytes over as a text (never NULL) and leave the buffer empty. */
exia_status exia__buffer_take(char **out, exia__buffer *buffer, exia_error *err);
void exia__buffer_free(exia__buffer *buffer);

#endif
