/* A remote "log" whose records are only ever appended, for tests of what its readers make of that. */
#ifndef TESTS_LOG_STORE_H
#define TESTS_LOG_STORE_H

#include "exia.h"

/* The registry in check_path(HOME) with that remote; all homes of a test share it, until it is cleared. */
exia_registry *open_with_log(const char *home);
void clear_log(void);
size_t log_lines(void); /* two for each event */

extern void (*log_before_append)(void); /* called once: a rival who comes between */

#endif
