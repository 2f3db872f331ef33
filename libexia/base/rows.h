/* The one listing type: JSON objects in order. */
#ifndef EXIA_BASE_ROWS_H
#define EXIA_BASE_ROWS_H

#include <jansson.h>

#include "exia/common.h"

exia_status exia__rows_open(exia_rows **out, exia_error *err);
/* Append an object (borrowed; kept as text). */
exia_status exia__rows_add(exia_rows *rows, const json_t *row, exia_error *err);
/* The same, written already. */
exia_status exia__rows_add_text(exia_rows *rows, const char *text, exia_error *err);

#endif
