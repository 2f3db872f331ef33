/* The registry on a store that only appends, where every record may turn up twice and nobody is
 * stopped from claiming what another has: readers sort it out. */
#include "support/log_store.h"
#include "support/packages.h"

TEST(a_package_lives_its_whole_life_on_a_log)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    assert_int_equal(log_lines(), 2); /* one event, doubled by the store */
    check_ok(exia_registry_update(one, "x", "{\"a\": 1}", "log", &err));
    const char *rows = query(two, NULL, "log");
    assert_int_equal(rows_count(rows), 1);
    assert_non_null(strstr(rows, "\"facts\":{\"a\":1}"));
    check_ok(exia_registry_install(NULL, two, "x", "log", NULL, NULL, &err));
    check_ok(exia_registry_unregister(one, "x@1.0", "log", &err));
    assert_string_equal(query(two, NULL, "log"), "");
    check_ok(exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    assert_int_equal(rows_count(query(two, NULL, "log")), 1);
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

TEST(other_content_is_refused_where_it_is_seen_in_time)
{
    exia_registry *one = open_with_log("one");
    check_ok(exia_registry_register(one, pack("x", "1.0"), "log", NULL, &err));
    check_fails(EXIA_EEXISTS,
                exia_registry_register(one, pack_with("x", "1.0", "any", NULL, "other"), "log",
                                       NULL, &err));
    check_fails(EXIA_EEXISTS, exia_registry_register(one, pack("x", "1"), "log", NULL, &err));
    assert_int_equal(rows_count(query(one, NULL, "log")), 1);
    exia_registry_free(one);
    clear_log();
}

static exia_registry *rival_registry;
static const char *rival_file;

static void publish_rival(void)
{
    check_ok(exia_registry_register(rival_registry, rival_file, "log", NULL, &err));
}

TEST(rivals_who_did_not_see_each_other_are_a_conflict_that_the_later_one_is_told)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    const char *file = pack("x", "1.0");
    rival_registry = two;
    rival_file = pack_with("x", "1.0", "any", NULL, "other");
    log_before_append = publish_rival;
    check_fails(EXIA_ECONFLICT, exia_registry_register(one, file, "log", NULL, &err));
    check_text("two packages have this identity");
    assert_non_null(strstr(query(one, NULL, "log"), "\"conflict\":"));
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, one, "x", "log", NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_pull(NULL, two, "x", "log", NULL, NULL, &err));
    check_ok(exia_registry_unregister(two, "x@1.0", "log", &err));
    check_ok(exia_registry_register(one, file, "log", NULL, &err));
    assert_null(strstr(query(two, NULL, "log"), "\"conflict\":"));
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

TEST(rivals_with_the_same_content_are_one_package)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    rival_registry = two;
    rival_file = pack("x", "1.0");
    log_before_append = publish_rival;
    check_ok(exia_registry_register(one, rival_file, "log", NULL, &err));
    assert_int_equal(log_lines(), 4);
    assert_int_equal(rows_count(query(one, NULL, "log")), 1);
    check_ok(exia_registry_install(NULL, one, "x", "log", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

/* ---- the calls that came later ----------------------------------------------------------------- */

static exia_registry *updating;
static const char *rival_facts;

static void update_too(void)
{
    check_ok(exia_registry_update(updating, "x", rival_facts, "log", &err));
}

TEST(updates_that_did_not_see_each_other_leave_one_package_and_the_next_update_settles_it)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), "log", NULL, &err));
    updating = two;
    rival_facts = "{\"by\": 2}";
    log_before_append = update_too;
    check_ok(exia_registry_update(one, "x", "{\"by\": 1}", "log", &err));
    const char *rows = query(one, NULL, "log");
    assert_int_equal(rows_count(rows), 1);
    assert_false(has(rows, "conflict"));
    assert_string_equal(query(two, NULL, "log"), rows); /* both see the same of the two */
    check_ok(exia_registry_update(two, "x", "{\"by\": 3}", "log", &err));
    assert_true(has(query(one, NULL, "log"), "\"facts\":{\"by\":3}"));
    check_ok(exia_registry_unregister(one, "x@1.0", "log", &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_update(two, "x", "{}", "log", &err));
    assert_string_equal(query(two, NULL, "log"), "");
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

TEST(an_update_that_comes_between_does_not_bring_back_what_is_unregistered)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), "log", NULL, &err));
    updating = two;
    rival_facts = "{\"kept\": true}";
    log_before_append = update_too; /* it stands beside the unregister, which did not see it */
    check_ok(exia_registry_unregister(one, "x@1.0", "log", &err));
    assert_true(has(query(one, NULL, "log"), "\"kept\":true"));
    check_ok(exia_registry_unregister(one, "x@1.0", "log", &err));
    assert_string_equal(query(two, NULL, "log"), "");
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

TEST(a_home_installs_checks_repairs_and_prunes_what_a_log_has)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    exia_check_options repair = {sizeof repair, 0, 1, "log"};
    exia_prune_options apply = {sizeof apply, 1};
    exia_rows *rows = NULL;
    check_ok(exia_registry_register(one, pack("base", "1.0"), "log", NULL, &err));
    check_ok(exia_registry_register(one, pack_with("app", "1.0", "any", "\"base >= 1\"", "app"),
                                    "log", NULL, &err));
    check_ok(exia_registry_plan(&rows, two, "app", "log", NULL, NULL, &err));
    assert_int_equal(rows_count(rows_text(rows)), 2);
    check_ok(exia_registry_install(NULL, two, "app", "log", NULL, NULL, &err));
    check_ok(exia_registry_unregister(two, "app@1.0", NULL, &err));
    check_write_file(check_path("two/installed/app/1.0/any/code/main.py"), "spoilt", 6);
    check_ok(exia_registry_check(&rows, two, "app", &repair, NULL, &err));
    assert_true(has(rows_text(rows), "\"repaired\":true"));
    check_ok(exia_registry_check(&rows, two, NULL, NULL, NULL, &err));
    assert_string_equal(rows_text(rows), "");
    check_ok(exia_registry_uninstall(two, "app", &err));
    check_ok(exia_registry_prune(&rows, two, &apply, NULL, &err));
    assert_true(has(rows_text(rows), "\"name\":\"base\""));
    assert_string_equal(installed(two, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

TEST(a_bundle_is_made_of_what_a_log_has_and_its_list_of_what_is_had)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two"), *far = open_home("far");
    const char *package = "app", *file = check_path("app.tar");
    exia_export_options options = {.struct_size = sizeof options, .remote = "log"};
    char *have = NULL, *url = NULL;
    check_ok(exia_registry_register(one, pack("base", "1.0"), "log", NULL, &err));
    check_ok(exia_registry_register(one, pack_with("app", "1.0", "any", "\"base >= 1\"", "app"),
                                    "log", NULL, &err));
    check_ok(exia_registry_have(&have, two, "log", NULL, &err));
    assert_int_equal(rows_count(have), 2);
    check_ok(exia_registry_export(NULL, two, &package, 1, file, &options, NULL, &err));
    check_ok(exia_registry_import(NULL, far, file, NULL, &err));
    assert_int_equal(rows_count(query(far, NULL, NULL)), 2);
    check_fails(EXIA_EUNSUPPORTED, exia_registry_url(&url, two, "app", "log", 60, &err));
    options.have = have;
    check_ok(exia_registry_unregister(one, "base@1.0", "log", &err));
    check_ok(exia_registry_export(NULL, two, &package, 1, file, &options, NULL, &err));
    check_ok(exia_registry_import(NULL, far, file, NULL, &err));
    exia_text_free(have);
    exia_registry_free(one);
    exia_registry_free(two);
    exia_registry_free(far);
    clear_log();
}

TEST(a_conflict_on_a_log_is_shown_to_every_reader_and_refused_by_every_call)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    exia_registry *third = open_with_log("third");
    const char *package = "x", *file = pack("x", "1.0");
    exia_export_options options = {.struct_size = sizeof options, .remote = "log"};
    exia_rows *rows = NULL;
    char *text = NULL;
    rival_registry = two;
    rival_file = pack_with("x", "1.0", "any", NULL, "other");
    log_before_append = publish_rival;
    check_fails(EXIA_ECONFLICT, exia_registry_register(one, file, "log", NULL, &err));
    check_ok(exia_registry_register(one, file, NULL, NULL, &err));
    assert_true(has(query(third, "conflict like '%two packages%'", "log"), "\"name\":\"x\""));
    check_fails(EXIA_ECONFLICT, exia_registry_pull(NULL, third, "x", "log", NULL, NULL, &err));
    check_text("remote log: x@1.0#any: two packages have this identity");
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, third, "x", "log", NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_plan(&rows, third, "x", "log", NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_update(third, "x", "{}", "log", &err));
    check_fails(EXIA_ECONFLICT, exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_url(&text, third, "x", "log", 60, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_export(NULL, third, &package, 1, check_path("x.tar"),
                                                     &options, NULL, &err));
    check_ok(exia_registry_have(&text, third, "log", NULL, &err));
    assert_string_equal(text, ""); /* nobody has what nobody can use */
    exia_text_free(text);
    assert_string_equal(query(third, NULL, NULL), "");
    check_ok(exia_registry_install(NULL, one, "x", NULL, NULL, NULL, &err)); /* ours is known */
    check_ok(exia_registry_unregister(third, "x@1.0", "log", &err));
    check_ok(exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, third, "x", "log", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
    exia_registry_free(third);
    clear_log();
}
