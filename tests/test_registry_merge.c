/* Facts that are merged into those that are there. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/packages.h"

TEST(a_merge_keeps_what_it_does_not_name)
{
    exia_registry *registry = open_home_with_remote("home");
    add_package(registry, "a", "1.0", NULL);
    check_ok(exia_registry_push(NULL, registry, "a", "prod", NULL, NULL, &err));
    static const char *const sides[] = {NULL, "prod"};
    for (size_t i = 0; i < 2; i++) {
        check_ok(exia_registry_update(registry, "a", "{\"x\": 1, \"y\": {\"p\": 1, \"q\": 2}}",
                                      sides[i], &err));
        check_ok(exia_registry_merge(registry, "a",
                                     "{\"y\": {\"p\": null, \"r\": {\"s\": null, \"t\": 5}}, "
                                     "\"z\": [null], \"w\": null}",
                                     sides[i], &err));
        assert_true(has(query(registry, NULL, sides[i]),
                        "\"facts\":{\"x\":1,\"y\":{\"q\":2,\"r\":{\"t\":5}},\"z\":[null]}"));
        check_ok(exia_registry_merge(registry, "a@1.0", "{\"y\": 3}", sides[i], &err));
        assert_true(
            has(query(registry, NULL, sides[i]), "\"facts\":{\"x\":1,\"y\":3,\"z\":[null]}"));
    }
    check_fails(EXIA_EINVAL, exia_registry_merge(registry, "a", "[]", NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_merge(registry, "a", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_merge(NULL, "a", "{}", NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_merge(registry, "b", "{}", NULL, &err));
    char *large = malloc(700001);
    memset(large, 'x', 700000);
    large[700000] = '\0';
    check_ok(
        exia_registry_merge(registry, "a", check_format("{\"one\": \"%s\"}", large), NULL, &err));
    check_fails(
        EXIA_EINVAL,
        exia_registry_merge(registry, "a", check_format("{\"two\": \"%s\"}", large), NULL, &err));
    check_text("more than");
    free(large);
    exia_registry_free(registry);
}

TEST(merges_of_several_processes_lose_nothing)
{
    exia_registry *registry = open_home_with_remote("home");
    add_package(registry, "a", "1.0", NULL);
    check_ok(exia_registry_push(NULL, registry, "a", "prod", NULL, NULL, &err));
    exia_registry_free(registry);
    pid_t children[4];
    int gate[2];
    char byte = 0;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            exia_registry *own = NULL;
            exia_status rc = exia_registry_open(&own, check_path("home"), &err);
            close(gate[1]);
            if (read(gate[0], &byte, 1) != 0) /* all begin at once, when nobody holds it open */
                _exit(2);
            for (int k = 0; rc == EXIA_OK && k < 6; k++)
                rc = exia_registry_merge(own, "a", check_format("{\"f%d_%d\": 1}", i, k), "prod",
                                         &err);
            exia_registry_free(own);
            _exit(rc == EXIA_OK ? 0 : 1);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < 4; i++) {
        int status = 0;
        waitpid(children[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    registry = open_home("home");
    const char *row = query(registry, NULL, "prod");
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 6; k++)
            assert_true(has(row, check_format("\"f%d_%d\":1", i, k)));
    }
    exia_registry_free(registry);
}
