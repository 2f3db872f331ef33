/* Many processes and threads at one home. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/packages.h"

TEST(eight_processes_that_register_one_identity_leave_one_package)
{
    exia_registry_free(open_home("home"));
    pid_t children[8];
    const char *files[8];
    int good = 0;
    for (int i = 0; i < 8; i++)
        files[i] = pack_with("x", "1.0", "any", NULL, i % 2 ? "odd" : "even");
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            exia_registry *own = NULL;
            exia_status rc = exia_registry_open(&own, check_path("home"), &err);
            if (rc == EXIA_OK)
                rc = exia_registry_register(own, files[i], NULL, NULL, &err);
            exia_registry_free(own);
            _exit(rc == EXIA_OK ? 0 : rc == EXIA_EEXISTS ? 1 : 2);
        }
    }
    for (int i = 0; i < 8; i++) {
        int status = 0;
        waitpid(children[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        good += WEXITSTATUS(status) == 0;
    }
    assert_int_equal(good, 4);
    exia_registry *registry = open_home("home");
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 1);
    assert_false(has(rows, "conflict"));
    exia_registry_free(registry);
}

typedef struct worker {
    pthread_t thread;
    exia_registry *registry;
    const char *file, *name;
    exia_status status;
    exia_error error;
} worker;

static void *work_hard(void *payload)
{
    worker *own = payload;
    exia_rows *rows = NULL;
    exia_status rc = exia_registry_register(own->registry, own->file, NULL, NULL, &own->error);
    if (rc == EXIA_OK)
        rc = exia_registry_install(NULL, own->registry, own->name, NULL, NULL, NULL, &own->error);
    if (rc == EXIA_OK)
        rc = exia_registry_query(&rows, own->registry, NULL, NULL, &own->error);
    exia_rows_free(rows);
    if (rc == EXIA_OK)
        rc = exia_registry_uninstall(own->registry, own->name, &own->error);
    own->status = rc;
    return NULL;
}

TEST(threads_share_one_handle)
{
    exia_registry *registry = open_home("home");
    worker workers[4] = {{0}};
    for (int i = 0; i < 4; i++) {
        workers[i].registry = registry;
        workers[i].name = check_format("p%d", i);
        workers[i].file = pack(workers[i].name, "1.0");
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_hard, &workers[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        err = workers[i].error;
        check_status(EXIA_OK, workers[i].status, __FILE__, __LINE__);
    }
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 4);
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

/* In the midst of a move, under the home's lock, a child is forked, which lives on; then it dies. */
static int fork_and_die(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done, (void)total;
    if (strcmp(step, "moving") != 0)
        return 0;
    if (fork() == 0) {
        char end = 0;
        (void)!read(*(int *)payload, &end, 1); /* until the test closes the other end */
        _exit(0);
    }
    return kill(getpid(), SIGKILL);
}

TEST(a_child_of_a_dead_process_keeps_none_of_its_locks)
{
    const exia_job short_job = {.struct_size = sizeof short_job, .timeout_ms = 1000};
    exia_registry *registry = open_home("home");
    int pipes[2], status = 0;
    add_package(registry, "x", "1.0", NULL);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        exia_job job = {.struct_size = sizeof job, .progress = fork_and_die, .payload = &pipes[0]};
        exia_registry *own = NULL;
        close(pipes[1]);
        exia_registry_open(&own, check_path("home"), &err);
        exia_registry_install(NULL, own, "x", NULL, NULL, &job, &err);
        _exit(1);
    }
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &short_job, &err));
    exia_registry_free(registry);
    exia_registry_free(open_home("home")); /* clears away what it left */
    assert_int_equal(rmdir(check_path("home/staging")), 0);
    close(pipes[1]);
}
