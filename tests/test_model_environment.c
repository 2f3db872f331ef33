/* What a version was written under, and the file of requirements that pip makes of it. */
#include "support/models.h"

#include <string.h>

static exia_status requirements(const char **out, const char *environment)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    char *text = NULL;
    *out = NULL;
    write_model(library, "m", "x", check_format("{\"environment\": %s}", environment), NULL, 0);
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    exia_library_free(library);
    exia_status rc = exia_model_requirements(&text, model, &err);
    if (text != NULL)
        *out = check_format("%s", text);
    exia_text_free(text);
    exia_model_free(model);
    return rc;
}

TEST(what_is_no_name_and_no_version_never_reaches_pip)
{
    static const char *const packages[] = {
        "\"x\\n--index-url=http://evil\": \"1\"",
        "\"x\": \"1\\nevil\"",
        "\"x @ http://evil\": \"1\"",
        "\"-e .\": \"1\"",
        "\"-e\": \"1\"",
        "\".x\": \"1\"",
        "\"x-\": \"1\"",
        "\"x[extra]\": \"1\"",
        "\"\\u00e9\": \"1\"",
        "\"\": \"1\"",
        "\"x\": \"\"",
        "\"x\": \"v1\"",
        "\"x\": \"1 ; python_version\"",
        "\"x\": \"1,<2\"",
        "\"x\": \"1\\\\\"",
        "\"x\": null",
        "\"x\": 1",
        "\"x\": [\"1\"]",
    };
    const char *text = NULL;
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++) {
        const char *all =
            check_format("{\"packages\": {\"a\": \"1\", %s, \"z\": \"1\"}}", packages[i]);
        check_fails(EXIA_ECORRUPT, requirements(&text, all));
        check_text("m@");
        check_text("which is no package");
        assert_null(text);
    }
}

TEST(a_version_of_which_nothing_was_recorded_has_no_requirements)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    char *text = NULL;
    write_model(library, "m", "x", NULL, NULL, 0);
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    check_fails(EXIA_ENOTFOUND, exia_model_requirements(&text, model, &err));
    check_text("m@1: no environment");
    check_fails(EXIA_EINVAL, exia_model_requirements(&text, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_requirements(NULL, model, &err));
    exia_model_free(model);
    exia_library_free(library);
}

TEST(packages_are_pinned_one_a_line_below_a_comment)
{
    const char *text = NULL;
    check_ok(requirements(&text,
                          "{\"packages\": {\"ab.c-d_1\": \"1!2.0rc1+cpu\", \"z\": \"2026\"}, "
                          "\"implementation\": \"CPython\", \"python\": \"3.11.2\"}"));
    assert_string_equal(text, "# m@1 was written under CPython 3.11.2 on unknown\n"
                              "ab.c-d_1==1!2.0rc1+cpu\nz==2026\n");
    check_ok(requirements(&text, "{}"));
    assert_string_equal(text, "# m@2 was written under unknown unknown on unknown\n");
    check_ok(requirements(&text, "{\"packages\": [\"x\"]}"));
    assert_string_equal(text, "# m@3 was written under unknown unknown on unknown\n");
}

TEST(a_comment_hides_no_line)
{
    const char *text = NULL;
    check_ok(requirements(&text, "{\"python\": \"3\\nevil==1\\u2028evil==2\\u0085evil==3\\r\", "
                                 "\"packages\": {\"a\": \"1\"}}"));
    const char *line = strchr(text, '\n');
    assert_string_equal(line, "\na==1\n");
    for (; text < line; text++)
        assert_in_range(*text, ' ', '~');
}

static exia_status ask(void *model, exia_error *why)
{
    char *text = NULL;
    exia_status rc = exia_model_requirements(&text, model, why);
    exia_text_free(text);
    return rc;
}

TEST(requirements_survive_no_memory)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    write_model(library, "m", "x", "{\"environment\": {\"packages\": {\"a\": \"1\"}}}", NULL, 0);
    check_ok(exia_library_export(library, "m", check_path("out"), NULL, &err));
    exia_library_free(library);
    check_ok(exia_model_open_directory(&model, check_path("out"), NULL, 0, &err));
    check_survives_no_memory(ask, model);
    exia_model_free(model);
}
