/* Many write one library at once: processes, forked and killed ones among them, and threads. */
#include "support/models.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- many writers --------------------------------------------------------------------------- */

enum { WRITERS = 8, EACH = 12 };

static int write_some(int writer)
{
    exia_library *library = NULL;
    exia_error why;
    if (exia_library_open(&library, check_path("library"), NULL, &why) < 0)
        return 1;
    for (int i = 0; i < EACH; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d/%d", writer, i);
        exia_part part = {.name = "model", .format = "bytes", .data = text, .size = strlen(text)};
        int64_t version = 0;
        exia_write_options options = {
            .struct_size = sizeof options, .alias = "newest", .expect = EXIA_ANY};
        if (exia_model_write(&version, library, "m", &part, 1, &options, NULL, &why) < 0) {
            fprintf(stderr, "writer %d: %s\n", writer, why.text);
            return 2;
        }
    }
    exia_library_free(library);
    return 0;
}

TEST(eight_processes_write_one_name_and_every_version_is_there_once)
{
    pid_t children[WRITERS];
    check_directory();
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(write_some(i));
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    exia_library *library = open_library();
    int seen[WRITERS][EACH] = {{0}};
    for (int version = 1; version <= WRITERS * EACH; version++) {
        int writer = -1, i = -1;
        const char *bytes = bytes_of(library, check_format("m@%d", version));
        assert_int_equal(sscanf(bytes, "%d/%d", &writer, &i), 2);
        assert_true(writer >= 0 && writer < WRITERS && i >= 0 && i < EACH);
        assert_int_equal(seen[writer][i]++, 0);
    }
    assert_int_equal(selected(library, "m@newest"), WRITERS * EACH);
    assert_int_equal(selected(library, "m"), WRITERS * EACH);
    exia_library_free(library);
}

TEST(a_forked_child_is_told_to_open_the_library_again)
{
    exia_library *library = open_library();
    write_model(library, "m", "hello", NULL, NULL, 0);
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    int answer[2];
    assert_int_equal(pipe(answer), 0);
    pid_t child = fork();
    if (child == 0) {
        exia_rows *rows = NULL;
        exia_view view = {0};
        char good = exia_library_search(&rows, library, NULL, &err) == EXIA_ECLOSED &&
                    exia_model_view(&view, model, NULL, &err) == EXIA_OK &&
                    memcmp(view.data, "hello", 5) == 0;
        exia_model_free(model);
        exia_library_free(library);
        if (write(answer[1], &good, 1) == 1)
            raise(SIGKILL); /* a leak checker would count the connection, which a child must drop */
        _exit(1);
    }
    char good = 0;
    int status = -1;
    assert_int_equal(read(answer[0], &good, 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(good);
    close(answer[0]);
    close(answer[1]);
    assert_int_equal(selected(library, "m"), 1);
    exia_model_free(model);
    exia_library_free(library);
}

/* A child that is killed while it stores its second version. */
static int kill_myself(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done;
    (void)total;
    if (strcmp(step, payload) == 0)
        raise(SIGKILL);
    return 0;
}

TEST(a_writer_killed_while_it_stores_leaves_the_library_as_it_was)
{
    exia_library_free(open_library());
    const char *path = check_path("weights");
    check_write_file(path, "many bytes", 10);
    pid_t child = fork();
    if (child == 0) {
        exia_library *library = NULL;
        int64_t version = 0;
        exia_part part = {.name = "model", .format = "file", .path = path};
        exia_job job = {
            .struct_size = sizeof job, .progress = kill_myself, .payload = (void *)"storing"};
        exia_library_open(&library, check_path("library"), NULL, NULL);
        exia_model_write(&version, library, "m", &part, 1, NULL, &job, NULL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    exia_library *library = open_library();
    assert_int_equal(selected(library, "m"), EXIA_ENOTFOUND);
    assert_int_equal(write_model(library, "m", "x", NULL, NULL, 0), 1);
    exia_library_free(library);
}

TEST(what_a_killed_writer_was_told_is_there_is_there)
{
    exia_library_free(open_library());
    for (int told = 1; told <= 4; told++) {
        int said[2];
        const char *name = check_format("m%d", told);
        assert_int_equal(pipe(said), 0);
        pid_t child = fork();
        if (child == 0) {
            exia_library *library = NULL;
            int64_t version = 0;
            exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
            exia_library_open(&library, check_path("library"), NULL, NULL);
            while (exia_model_write(&version, library, name, &part, 1, NULL, NULL, NULL) == EXIA_OK)
                (void)!write(said[1], "x", 1);
            _exit(1);
        }
        char byte = 0;
        for (int i = 0; i < told; i++)
            assert_int_equal(read(said[0], &byte, 1), 1);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        exia_library *library = open_library();
        int64_t latest = selected(library, name);
        assert_true(latest >= told);
        for (int64_t version = 1; version <= latest; version++)
            assert_int_equal(selected(library, check_format("%s@%d", name, (int)version)), version);
        assert_int_equal(write_model(library, name, "y", NULL, NULL, 0), latest + 1);
        exia_library_free(library);
        close(said[0]);
        close(said[1]);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { THREADS = 4, TURNS = 6 };

typedef struct worker {
    exia_library *library;
    exia_error error;
    int number;
    exia_status rc;
} worker;

static exia_status turn(worker *now, int i)
{
    char text[32];
    int64_t version = 0;
    exia_rows *rows = NULL;
    exia_model *model = NULL;
    exia_view view;
    snprintf(text, sizeof text, "%d/%d", now->number, i);
    exia_part part = {.name = "model", .format = "bytes", .data = text, .size = strlen(text)};
    exia_write_options options = {
        .struct_size = sizeof options, .alias = "newest", .expect = EXIA_ANY};
    exia_status rc =
        exia_model_write(&version, now->library, "m", &part, 1, &options, NULL, &now->error);
    snprintf(text, sizeof text, "m@%d", (int)version);
    if (rc == EXIA_OK)
        rc = exia_model_open(&model, now->library, text, 0, &now->error);
    if (rc == EXIA_OK)
        rc = exia_model_view(&view, model, NULL, &now->error);
    if (rc == EXIA_OK && (view.size != part.size || view.data == NULL))
        rc = EXIA_ECORRUPT;
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, now->library, "name like 'm%'", &now->error);
    exia_rows_free(rows);
    exia_model_free(model);
    return rc;
}

static void *work(void *payload)
{
    worker *now = payload;
    for (int i = 0; i < TURNS && now->rc == EXIA_OK; i++)
        now->rc = turn(now, i);
    return NULL;
}

TEST(threads_share_one_library)
{
    worker workers[THREADS];
    pthread_t threads[THREADS];
    exia_library *library = open_library();
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.library = library, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (workers[i].rc < 0)
            fail_msg("thread %d: %s", i, workers[i].error.text);
    }
    assert_int_equal(selected(library, "m@newest"), THREADS * TURNS);
    exia_library_free(library);
}
