/* Rows are texts one behind the other in one buffer, each ended by its NUL. */
#include "base/rows.h"

#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"

struct exia_rows {
    exia__buffer texts;
    size_t next; /* where in `texts` the next row begins */
};

exia_status exia__rows_open(exia_rows **out, exia_error *err)
{
    *out = exia__zeroed(1, sizeof **out);
    return *out ? EXIA_OK : exia__fail_memory(err);
}

exia_status exia__rows_add(exia_rows *rows, const json_t *row, exia_error *err)
{
    char *text = NULL;
    exia_status rc = exia__json_shown(&text, row, err);
    if (rc == EXIA_OK)
        rc = exia__rows_add_text(rows, text, err);
    exia__release(text);
    return rc;
}

exia_status exia__rows_add_text(exia_rows *rows, const char *text, exia_error *err)
{
    return exia__buffer_append(&rows->texts, text, strlen(text) + 1, err);
}

exia_status exia_rows_next(const char **row, exia_rows *rows, exia_error *err)
{
    if (row == NULL || rows == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_rows_next: an argument is NULL");
    *row = NULL;
    if (rows->next == rows->texts.size)
        return EXIA_DONE;
    *row = rows->texts.data + rows->next;
    rows->next += strlen(*row) + 1;
    return EXIA_OK;
}

void exia_rows_free(exia_rows *rows)
{
    if (rows != NULL)
        exia__buffer_free(&rows->texts);
    exia__release(rows);
}
