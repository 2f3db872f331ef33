/* Workspaces: starting one, adding components, that a failure leaves it as it was. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "support/trace.h"
#include "support/workspaces.h"

static const char *workspace(void)
{
    const char *path = check_path("w");
    check_ok(exia_workspace_new(path, "demo", &err));
    return path;
}

static char *manifest_text(const char *workspace_path)
{
    return check_read_file(check_format("%s/veda.json", workspace_path), NULL);
}

static exia_status add(const char *to, const char *path, const char *kind)
{
    return exia_workspace_add(to, path, kind, check_path("home"), &err);
}

/* The kind of the last component listed. */
static const char *last_kind(const char *workspace_path)
{
    json_t *manifest = NULL;
    char *text = manifest_text(workspace_path);
    check_ok(exia__json_object(&manifest, text, strlen(text), "veda.json", EXIA_EINVAL, &err));
    const json_t *list = json_object_get(manifest, "components");
    const char *kind = check_format(
        "%s", exia__json_string(json_array_get(list, json_array_size(list) - 1), "kind"));
    json_decref(manifest);
    free(text);
    return kind;
}

TEST(a_workspace_is_started_once)
{
    const char *path = check_path("a/b");
    check_fails(EXIA_EINVAL, exia_workspace_new(NULL, "demo", &err));
    check_fails(EXIA_EINVAL, exia_workspace_new("", "demo", &err));
    check_fails(EXIA_EINVAL, exia_workspace_new(path, NULL, &err));
    check_fails(EXIA_EINVAL, exia_workspace_new(path, "Demo", &err));
    check_fails(EXIA_EINVAL, exia_workspace_new(path, "a/b", &err));
    assert_false(exia__path_exists(check_path("a")));
    check_ok(exia_workspace_new(path, "demo", &err));
    char *before = manifest_text(path);
    check_fails(EXIA_EEXISTS, exia_workspace_new(path, "other", &err));
    char *after = manifest_text(path);
    assert_string_equal(before, after);
    free(before);
    free(after);
    check_ok(exia_package_write(NULL, path, check_path("out.veda"), NULL, NULL, &err));
}

TEST(what_cannot_be_added_leaves_the_workspace_as_it_was)
{
    const char *to = workspace(), *file = check_path("file.py");
    write_text(file, "x");
    write_text(check_path("what"), "x");
    assert_int_equal(mkdir(check_path("empty"), 0755), 0);
    assert_int_equal(mkdir(check_path("pipes"), 0755), 0);
    write_text(check_path("pipes/a.py"), "x");
    assert_int_equal(mkfifo(check_path("pipes/pipe"), 0644), 0);
    write_text(check_path("bad\xff.py"), "x");
    assert_int_equal(mkdir(check_format("%s/data", to), 0755), 0);
    write_text(check_format("%s/data/taken.csv", to), "mine");
    write_text(check_path("taken.csv"), "x");
    char *before = manifest_text(to);
    check_fails(EXIA_EINVAL, add(NULL, file, NULL));
    check_fails(EXIA_EINVAL, add(to, NULL, NULL));
    check_fails(EXIA_EINVAL, add(to, "", NULL));
    check_fails(EXIA_ENOTFOUND, add(check_path("nowhere"), file, NULL));
    check_fails(EXIA_ENOTFOUND, add(check_path("empty"), file, NULL));
    check_text("vedapkg new");
    check_fails(EXIA_ENOTFOUND, add(to, check_path("nothing"), NULL));
    check_fails(EXIA_ENOTFOUND, add(to, check_path("nothing"), "code"));
    check_fails(EXIA_EINVAL, add(to, file, "art"));
    check_text("art");
    check_fails(EXIA_EINVAL, add(to, check_path("what"), NULL));
    check_text("guess");
    check_fails(EXIA_EINVAL, add(to, check_path("empty"), NULL));
    check_text("guess");
    check_fails(EXIA_EINVAL, add(to, check_path("pipes"), NULL));
    check_fails(EXIA_EINVAL, add(to, check_path("bad\xff.py"), NULL));
    check_text("UTF-8");
    check_fails(EXIA_EINVAL, add(to, check_directory(), "data"));
    check_text("workspace itself");
    check_fails(EXIA_EINVAL, add(to, to, "data"));
    check_fails(EXIA_EINVAL, add(to, "/", "data"));
    check_fails(EXIA_EEXISTS, add(to, check_path("taken.csv"), NULL));
    check_fails(EXIA_ENOTFOUND, add(to, "digits@1", NULL));
    check_fails(EXIA_ENOTFOUND, add(to, "digits@1", "model"));
    check_fails(EXIA_ENOTFOUND, add(to, "digits@1", "code"));
    char *after = manifest_text(to);
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(system(check_format("test \"$(ls -A '%s')\" = \"data\nveda.json\"", to)), 0);
    assert_false(exia__path_exists(check_path("home")));
}

static int add_file(void *payload)
{
    const char *to = payload;
    return exia_workspace_add(to, check_path("file.py"), NULL, check_path("home"), &err) == EXIA_OK;
}

TEST(what_is_listed_is_there_whichever_write_fails)
{
    if (!trace_allowed()) {
        print_message("no process may be traced here\n");
        skip();
    }
    const char *to = check_path("w"), *added = check_path("w/code/file.py");
    trace_plan plan = {.way = TRACE_FAIL, .code = EIO};
    write_text(check_path("file.py"), "x");
    for (trace_end end = {0}; plan.nth <= end.writes; plan.nth++) {
        workspace();
        end = trace_run(add_file, (void *)to, plan);
        assert_true(WIFEXITED(end.status));
        char *text = manifest_text(to);
        int there = exia__path_exists(added);
        assert_int_equal(strstr(text, "code/file.py") != NULL, there);
        assert_true(there || WEXITSTATUS(end.status) == 0);
        free(text);
        check_ok(exia_package_write(NULL, to, check_path("out.veda"), NULL, NULL, &err));
        check_ok(exia__tree_remove(to, &err));
    }
}

TEST(a_manifest_that_is_wrong_is_not_touched)
{
    const char *to = workspace();
    write_text(check_path("a.py"), "x");
    write_text(check_format("%s/veda.json", to), "{\"format\":1}");
    check_fails(EXIA_EINVAL, add(to, check_path("a.py"), NULL));
    check_text("name");
    assert_false(exia__path_exists(check_format("%s/code", to)));
}

TEST(kinds_are_guessed_from_names)
{
    static const char *const cases[][2] = {{"a.py", "code"},          {"b.csv", "data"},
                                           {"c.npy", "data"},         {"d.parquet", "data"},
                                           {"e.md", "doc"},           {"f.txt", "doc"},
                                           {"g.pdf", "doc"},          {"h.yml", "env"},
                                           {"i.env", "env"},          {"requirements.txt", "env"},
                                           {"j.safetensors", "model"}};
    const char *to = workspace();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(check_path(cases[i][0]), "x");
        check_ok(add(to, check_path(cases[i][0]), NULL));
        assert_string_equal(last_kind(to), cases[i][1]);
        assert_true(exia__path_exists(check_format("%s/%s/%s", to, cases[i][1], cases[i][0])));
    }
    assert_int_equal(system(check_format("cd '%s' && mkdir m c d && touch m/version.json m/x.py "
                                         "c/z.csv c/a.md c/x.py d/z.csv d/readme",
                                         check_directory())),
                     0);
    check_ok(add(to, check_path("m"), NULL));
    assert_string_equal(last_kind(to), "model");
    check_ok(add(to, check_format("%s///", check_path("c")), NULL));
    assert_string_equal(last_kind(to), "code");
    check_ok(add(to, check_path("d"), NULL));
    assert_string_equal(last_kind(to), "data");
    check_fails(EXIA_EEXISTS, add(to, check_path("d"), NULL));
    check_ok(add(to, check_path("d"), "doc"));
    check_ok(exia_package_write(NULL, to, check_path("out.veda"), NULL, NULL, &err));
}

TEST(keys_keep_their_order_and_links_at_the_top_are_followed)
{
    const char *to = workspace();
    write_text(check_format("%s/veda.json", to),
               "{\"version\":\"1\",\"name\":\"demo\",\"description\":\"d\",\"format\":1}");
    write_text(check_path("real.py"), "content");
    assert_int_equal(symlink("real.py", check_path("link.py")), 0);
    check_ok(add(to, check_path("link.py"), NULL));
    char *text = manifest_text(to);
    assert_true(strstr(text, "version") < strstr(text, "name") &&
                strstr(text, "name") < strstr(text, "description") &&
                strstr(text, "format") < strstr(text, "components"));
    free(text);
    text = check_read_file(check_format("%s/code/link.py", to), NULL);
    assert_string_equal(text, "content");
    free(text);
}

TEST(a_version_of_a_model_comes_as_a_plain_directory)
{
    const char *to = workspace();
    exia_library *library = NULL;
    exia_part part = {.name = "weights", .format = "bytes", .data = "abc", .size = 3};
    int64_t version = 0;
    check_ok(exia__directory_make(check_path("home"), &err));
    check_ok(exia_library_open(&library, check_path("home/models"), NULL, &err));
    check_ok(exia_model_write(&version, library, "digits", &part, 1, NULL, NULL, &err));
    exia_library_free(library);
    check_fails(EXIA_ENOTFOUND, add(to, "digits@2", NULL));
    assert_false(exia__path_exists(check_format("%s/model", to)));
    check_ok(add(to, "digits@1", NULL));
    assert_string_equal(last_kind(to), "model");
    assert_true(exia__path_exists(check_format("%s/model/digits/version.json", to)));
    check_fails(EXIA_EEXISTS, add(to, "digits", "model"));
    exia_model *model = NULL;
    exia_view view;
    check_ok(exia_model_open_directory(&model, check_format("%s/model/digits", to), NULL, 0, &err));
    check_ok(exia_model_view(&view, model, "weights", &err));
    assert_memory_equal(view.data, "abc", 3);
    exia_model_free(model);
}

static exia_status once(void *payload, exia_error *error)
{
    static int nth;
    const char *to = check_format("%s/%d", (const char *)payload, nth++);
    exia_status rc = exia_workspace_new(to, "demo", error);
    if (rc == EXIA_OK)
        rc = exia_workspace_add(to, check_path("a.py"), NULL, NULL, error);
    assert_int_equal(exia__path_exists(check_format("%s/code", to)), rc == EXIA_OK);
    if (rc == EXIA_OK)
        rc = exia_workspace_add_entry(to, "a", "a:x", error);
    return rc;
}

TEST(an_entry_point_is_named_or_nothing_changes)
{
    const char *to = workspace();
    check_ok(exia_workspace_add_entry(to, "predict", "digits:old", &err));
    check_ok(exia_workspace_add_entry(to, "predict", "digits:predict", &err));
    check_ok(exia_workspace_add_entry(to, "other", "a.b:C.d", &err));
    char *before = manifest_text(to);
    assert_null(strstr(before, "digits:old"));
    assert_non_null(strstr(before, "\"predict\": \"digits:predict\""));
    assert_non_null(strstr(before, "\"other\": \"a.b:C.d\""));
    check_fails(EXIA_EINVAL, exia_workspace_add_entry(to, "predict", "digits", &err));
    check_text("\"module:object\"");
    check_fails(EXIA_EINVAL, exia_workspace_add_entry(to, "a/b", "a:b", &err));
    check_fails(EXIA_EINVAL, exia_workspace_add_entry(to, "a", "a:\xff", &err));
    check_fails(EXIA_EINVAL, exia_workspace_add_entry(to, "a", NULL, &err));
    check_fails(EXIA_EINVAL, exia_workspace_add_entry(NULL, "a", "a:b", &err));
    check_fails(EXIA_ENOTFOUND, exia_workspace_add_entry(check_path("no"), "a", "a:b", &err));
    char *after = manifest_text(to);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

TEST(memory_may_run_out_anywhere)
{
    write_text(check_path("a.py"), "x");
    check_survives_no_memory(once, (void *)check_path("many"));
    assert_int_equal(
        system(check_format("test -z \"$(find '%s' -name '.exia-*')\"", check_path("many"))), 0);
}
