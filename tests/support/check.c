/* The runner: tests register themselves before main, cmocka runs them, each with a directory of its
 * own when it asks for one. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/name.h"

enum { MOST_TESTS = 400 };
static struct CMUnitTest tests[MOST_TESTS];
static size_t test_count;
static char **texts;
static size_t text_count;
static const char *directory;
static char *home; /* of the user, as the tests see him */
static int in_memory;
exia_error err;

/* What the tests do depends on nothing that the user has at home, and leaves nothing there. */
static void leave_home(void)
{
    static const char *const others[] = {"EXIA_HOME", "EXIA_CACHE_SIZE", "XDG_DATA_HOME",
                                         "XDG_CACHE_HOME"};
    setenv("HOME", home, 1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unsetenv(others[i]);
}

static void run(void **state)
{
    void (*test)(void);
    memcpy(&test, state, sizeof test);
    leave_home();
    test();
}

static int finish(void **state)
{
    (void)state;
    int failed = directory ? exia__tree_remove(directory, NULL) < 0 : 0;
    directory = NULL;
    in_memory = 0;
    while (text_count > 0)
        free(texts[--text_count]);
    free(texts);
    texts = NULL;
    return failed;
}

void check_register(const char *name, void (*test)(void))
{
    if (test_count == MOST_TESTS)
        abort();
    struct CMUnitTest *slot = &tests[test_count++];
    *slot = (struct CMUnitTest){.name = name, .test_func = run, .teardown_func = finish};
    memcpy(&slot->initial_state, &test, sizeof test);
}

static char *make_directory(const char *root)
{
    char *made = NULL;
    if (asprintf(&made, "%s/exia-test-XXXXXX", root ? root : "/tmp") < 0 || !mkdtemp(made))
        abort();
    return made;
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    home = make_directory(getenv("TMPDIR"));
    int failed = _cmocka_run_group_tests(name, tests, test_count, NULL, NULL) != 0;
    failed |= exia__tree_remove(home, NULL) < 0;
    free(home);
    return failed;
}

void check_reset(void)
{
    memset(&err, 0, sizeof err);
    err.text[sizeof err.text - 1] = 'x'; /* a filled text is terminated by the library */
}

void check_status(exia_status expected, exia_status got, const char *file, int line)
{
    if (got != expected) {
        print_error("expected \"%s\", got \"%s\": %.*s\n", exia_status_text(expected),
                    exia_status_text(got), got < 0 ? (int)sizeof err.text : 0, err.text);
        _fail(file, line);
    }
    if (got < 0 && (err.status != got || err.text[0] == '\0' ||
                    memchr(err.text, '\0', sizeof err.text) == NULL || strchr(err.text, '\n'))) {
        print_error("\"%s\" did not fill its error with one line\n", exia_status_text(got));
        _fail(file, line);
    }
    if (got < 0 && !exia__text_valid(err.text, strlen(err.text))) {
        print_error("a terminal may obey \"%s\"\n", err.text);
        _fail(file, line);
    }
    if (got >= 0 && (err.status != EXIA_OK || err.text[0] != '\0')) {
        print_error("a call that succeeded filled its error: %.*s\n", (int)sizeof err.text,
                    err.text);
        _fail(file, line);
    }
}

void check_text_at(const char *part, const char *file, int line)
{
    if (strstr(err.text, part) == NULL) {
        print_error("\"%s\" is not in \"%s\"\n", part, err.text);
        _fail(file, line);
    }
}

static const char *remember(char *text)
{
    texts = realloc(texts, (text_count + 1) * sizeof *texts);
    if (text == NULL || texts == NULL)
        abort();
    return texts[text_count++] = text;
}

const char *check_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    va_end(arguments);
    return remember(text);
}

void check_in_memory(void)
{
    in_memory = access("/dev/shm", W_OK) == 0;
}

const char *check_directory(void)
{
    if (directory == NULL) {
        directory = remember(make_directory(in_memory ? "/dev/shm" : getenv("TMPDIR")));
    }
    return directory;
}

const char *check_path(const char *name)
{
    return check_format("%s/%s", check_directory(), name);
}

void check_write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        print_error("cannot write %s\n", path);
        abort();
    }
}

char *check_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    size_t capacity = 0, used = 0, got = 0;
    if (file == NULL) {
        print_error("cannot read %s\n", path);
        abort();
    }
    do {
        capacity = capacity ? 2 * capacity : 65536;
        data = realloc(data, capacity + 1);
        if (data == NULL)
            abort();
        got = fread(data + used, 1, capacity - used, file);
        used += got;
    } while (used == capacity);
    fclose(file);
    data[used] = '\0';
    if (size != NULL)
        *size = used;
    return data;
}

long check_rounds(long usual, long watched)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL ? watched : usual;
}

int check_in_child(int (*work)(void))
{
    int status = 0;
    check_directory(); /* made here, so that both have the same one */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* it ends as another program: what a fork abandons is no leak to report */
        char result[4];
        snprintf(result, sizeof result, "%d", work() & 0xff);
        execl("/bin/sh", "sh", "-c", "exit $0", result, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
