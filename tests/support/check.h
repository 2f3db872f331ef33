/* What every C test uses.  A test is a sentence:
 *
 *     TEST(open_refuses_an_unknown_scheme)
 *     {
 *         exia_library *library = NULL;
 *         check_fails(EXIA_EINVAL, exia_library_open(&library, "ftp://x", NULL, &err));
 *     }
 *
 * It registers itself; `main` is in check.c.  An argument on the command line is a filter. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "exia.h"

#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        check_register(#name, name);                                                               \
    }                                                                                              \
    static void name(void)
void check_register(const char *name, void (*test)(void));

/* The error that the checked call should fill: pass &err. */
extern exia_error err;

/* The call succeeds (or answers exactly `status`); a failure shows the library's own text.  A failing
 * call must have filled `err` with its status and one line of text. */
#define check_ok(call) check_status(EXIA_OK, (check_reset(), (call)), __FILE__, __LINE__)
#define check_done(call) check_status(EXIA_DONE, (check_reset(), (call)), __FILE__, __LINE__)
#define check_fails(status, call) check_status(status, (check_reset(), (call)), __FILE__, __LINE__)
void check_reset(void);
void check_status(exia_status expected, exia_status got, const char *file, int line);

/* The last failure's text contains this. */
#define check_text(part) check_text_at(part, __FILE__, __LINE__)
void check_text_at(const char *part, const char *file, int line);

/* A fresh directory, removed after the test; the text lives as long as the test. */
const char *check_directory(void);
/* Let it be in memory, where there is such a place: so many syncs cost nothing.  Call this first. */
void check_in_memory(void);
/* directory/name, and a text made by a format; both live as long as the test. */
const char *check_path(const char *name);
const char *check_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void check_write_file(const char *path, const void *data, size_t size);
/* To be freed with free(). */
char *check_read_file(const char *path, size_t *size);

/* How much to do: `usual`, or `watched` under valgrind, where everything takes thirty times as long. */
long check_rounds(long usual, long watched);

/* Run `work` in a forked child, in the same directory: its answer, or 128 + the signal that ended
 * it. */
int check_in_child(int (*work)(void));

/* Run `work` with the first, second, third ... allocation failing, once and then for ever, until it
 * succeeds.  Each failure must be EXIA_ENOMEM with `err` filled (pass it on), and each run must
 * leave nothing allocated, so `work` frees what it makes. */
void check_survives_no_memory(exia_status (*work)(void *payload, exia_error *err), void *payload);

#endif
