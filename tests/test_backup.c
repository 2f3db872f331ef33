/* A library is backed up while it lives, and restored: whole, again, in part, further. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "store/store.h"
#include "support/faulty.h"
#include "support/models.h"

enum { CANNOT_MOUNT = 77 };

static exia_library *open_other(const char *name)
{
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, check_path(name), NULL, &err));
    return library;
}

/* One part of 20,000 equal bytes: a blob. */
static int64_t write_large(exia_library *library, const char *name, char byte)
{
    char bytes[20001] = "";
    memset(bytes, byte, 20000);
    return write_model(library, name, bytes, NULL, NULL, 0);
}

/* Two models, with all that a log can say. */
static exia_library *fill(void)
{
    exia_library *library = open_library();
    int64_t version = 0;
    write_model(library, "a", "one",
                "{\"metrics\":{\"auc\":0.1,\"loss\":\"NaN\"},\"environment\":{\"os\":\"x\"}}",
                "champion", 0);
    write_large(library, "a", 'x');
    write_large(library, "a", 'y');
    check_ok(exia_alias_move(library, "a", "champion", 2, 1, "why", &err));
    check_ok(exia_alias_move(library, "a", "champion", 3, 2, NULL, &err));
    check_ok(exia_alias_rollback(&version, library, "a", "champion", 3, NULL, &err));
    check_ok(exia_model_remove(library, "a", 3, NULL, &err));
    write_large(library, "b.c", 'x');
    return library;
}

static const char *backup(exia_library *library, const char *path)
{
    exia_rows *rows = NULL;
    check_ok(exia_library_backup(&rows, library, check_path(path), NULL, NULL, &err));
    return rows_text(rows);
}

static const char *restore(exia_library *library, const char *path)
{
    exia_rows *rows = NULL;
    check_ok(exia_library_restore(&rows, library, check_path(path), NULL, NULL, &err));
    return rows_text(rows);
}

/* Everything a library says: its logs, and its rows. */
static const char *content(exia_library *library)
{
    static const char *const names[] = {"a", "b.c"};
    exia_rows *rows = NULL;
    const char *all = "";
    check_ok(exia_library_search(&rows, library, NULL, &err));
    all = rows_text(rows);
    for (int i = 0; i < 2; i++) {
        if (exia_library_history(&rows, library, names[i], &err) == EXIA_OK)
            all = check_format("%s%s", all, rows_text(rows));
    }
    return all;
}

static void check_whole(exia_library *library)
{
    exia_model *model = NULL;
    char *environment = NULL;
    assert_string_equal(bytes_of(library, "a@1"), "one");
    check_ok(exia_model_open(&model, library, "a@champion", EXIA_OPEN_VERIFY, &err));
    exia_model_free(model);
    check_ok(exia_model_open(&model, library, "a@1", 0, &err));
    check_ok(exia_model_environment(&environment, model, &err));
    assert_string_equal(environment, "{\"os\":\"x\"}");
    exia_text_free(environment);
    exia_model_free(model);
    check_ok(exia_model_open(&model, library, "b.c", EXIA_OPEN_VERIFY, &err));
    exia_model_free(model);
}

/* All files below a directory with their sizes, as find tells them. */
static const char *files_in(const char *path)
{
    char text[8192] = "";
    FILE *pipe =
        popen(check_format("cd '%s' && find . -type f -printf '%%P %%s %%i\\n' | sort", path), "r");
    assert_non_null(pipe);
    size_t size = fread(text, 1, sizeof text - 1, pipe);
    text[size] = '\0';
    assert_int_equal(pclose(pipe), 0);
    return check_format("%s", text);
}

/* ---- there and back ------------------------------------------------------------------------- */

static void go_there_and_back(const char *path)
{
    exia_library *library = fill(), *other = open_other("other");
    assert_string_equal(backup(library, path), "{\"name\":\"a\",\"entries\":7,\"new\":7}\n"
                                               "{\"name\":\"b.c\",\"entries\":1,\"new\":1}\n");
    assert_string_equal(restore(other, path), "{\"name\":\"a\",\"entries\":7,\"new\":7}\n"
                                              "{\"name\":\"b.c\",\"entries\":1,\"new\":1}\n");
    assert_string_equal(content(other), content(library));
    check_whole(other);
    const char *files = files_in(check_path("other/blobs"));
    const char *all = content(other);
    assert_string_equal(restore(other, path), "{\"name\":\"a\",\"entries\":7,\"new\":0}\n"
                                              "{\"name\":\"b.c\",\"entries\":1,\"new\":0}\n");
    assert_string_equal(content(other), all);
    assert_string_equal(files_in(check_path("other/blobs")), files);
    /* both go on by themselves */
    assert_int_equal(write_model(other, "a", "four", NULL, "champion", 2), 4);
    exia_library_free(library);
    exia_library_free(other);
}

TEST(a_library_goes_into_a_directory_and_back)
{
    go_there_and_back("backup");
}

TEST(a_library_goes_into_one_file_and_back)
{
    go_there_and_back("backup.tar.zst");
    assert_int_equal(
        system(check_format("tar --zstd -tf '%s' >/dev/null 2>&1", check_path("backup.tar.zst"))),
        0);
}

TEST(who_wants_no_error_gets_a_whole_backup_too)
{
    exia_library *library = fill(), *other = open_other("other");
    check_ok(exia_library_backup(NULL, library, check_path("b.tar.zst"), NULL, NULL, NULL));
    backup(library, "c.tar.zst");
    assert_int_equal(
        system(check_format("a=$(zstd -dc '%s' | wc -c) && test $a = $(zstd -dc '%s' | wc -c)",
                            check_path("b.tar.zst"), check_path("c.tar.zst"))),
        0);
    restore(other, "b.tar.zst");
    assert_string_equal(content(other), content(library));
    exia_library_free(library);
    exia_library_free(other);
}

TEST(a_restore_brings_back_the_blobs_that_were_lost)
{
    exia_library *library = fill();
    backup(library, "b");
    assert_int_equal(system(check_format("rm -r '%s'", check_path("library/blobs/sha256"))), 0);
    assert_int_equal(selected(library, "b.c@1"), EXIA_ECORRUPT);
    restore(library, "b");
    check_whole(library);
    exia_library_free(library);
}

TEST(an_empty_library_goes_there_and_back)
{
    exia_library *library = open_library(), *other = open_other("other");
    assert_string_equal(backup(library, "backup"), "");
    assert_string_equal(backup(library, "backup.tar.zst"), "");
    assert_string_equal(restore(other, "backup"), "");
    assert_string_equal(restore(other, "backup.tar.zst"), "");
    exia_library_free(library);
    exia_library_free(other);
}

TEST(a_blob_that_only_a_removed_version_names_is_left_out)
{
    exia_library *library = fill();
    backup(library, "backup");
    /* y was removed; x is there once, for both models; and the environment */
    int count = 0;
    for (const char *at = files_in(check_path("backup/blobs")); *at != '\0'; at++)
        count += *at == '\n';
    assert_int_equal(count, 2);
    exia_library_free(library);
}

TEST(only_the_models_that_are_named_go_and_come)
{
    const char *const names[] = {"b.c"}, *const none[] = {"nobody"};
    exia_backup_options options = {
        .struct_size = sizeof options, .models = names, .model_count = 1};
    exia_backup_options missing = {.struct_size = sizeof missing, .models = none, .model_count = 1};
    exia_library *library = fill(), *other = open_other("other"), *third = open_other("third");
    check_ok(exia_library_backup(NULL, library, check_path("b"), &options, NULL, &err));
    restore(other, "b");
    assert_string_equal(found(other, NULL), "b.c@1 ");
    backup(library, "all.tar.zst");
    check_ok(exia_library_restore(NULL, third, check_path("all.tar.zst"), &options, NULL, &err));
    assert_string_equal(found(third, NULL), "b.c@1 ");
    check_fails(EXIA_ENOTFOUND,
                exia_library_backup(NULL, library, check_path("n"), &missing, NULL, &err));
    check_text("nobody");
    check_fails(EXIA_ENOTFOUND,
                exia_library_restore(NULL, third, check_path("b"), &missing, NULL, &err));
    check_text("nobody");
    /* a second run with other models keeps the first's */
    options.models = (const char *const[]){"a"};
    check_ok(exia_library_backup(NULL, library, check_path("b"), &options, NULL, &err));
    restore(third, "b");
    assert_string_equal(content(third), content(library));
    exia_library_free(library);
    exia_library_free(other);
    exia_library_free(third);
}

TEST(a_protected_alias_and_one_that_went_back_to_a_time_are_so_there_too)
{
    exia_library *library = open_library(), *other = open_other("other");
    exia_rows *rows = NULL;
    int64_t version = 0;
    for (int i = 1; i <= 3; i++)
        write_model(library, "a", check_format("%d", i), NULL, "live", EXIA_ANY);
    check_ok(
        exia_alias_rollback_to(&version, library, "a", "live", "2100-01-01", EXIA_ANY, NULL, &err));
    assert_int_equal(version, 3);
    check_ok(exia_alias_protect(library, "a", "live", 1, "ours", &err));
    backup(library, "backup.tar.zst");
    restore(other, "backup.tar.zst");
    assert_string_equal(content(other), content(library));
    check_ok(exia_alias_history(&rows, library, "a", "live", &err));
    const char *history = rows_text(rows);
    check_ok(exia_alias_history(&rows, other, "a", "live", &err));
    assert_string_equal(rows_text(rows), history);
    check_fails(EXIA_EDENIED, exia_alias_move(other, "a", "live", 1, EXIA_ANY, NULL, &err));
    exia_library_free(library);
    exia_library_free(other);
}

/* ---- further -------------------------------------------------------------------------------- */

TEST(a_second_run_adds_what_is_new_and_the_target_gets_the_rest)
{
    exia_library *library = fill(), *other = open_other("other");
    backup(library, "backup");
    restore(other, "backup");
    const char *before = files_in(check_path("backup/logs"));
    write_large(library, "a", 'z');
    write_model(library, "d", "new", NULL, NULL, 0);
    assert_string_equal(backup(library, "backup"), "{\"name\":\"a\",\"entries\":8,\"new\":1}\n"
                                                   "{\"name\":\"b.c\",\"entries\":1,\"new\":0}\n"
                                                   "{\"name\":\"d\",\"entries\":1,\"new\":1}\n");
    const char *after = files_in(check_path("backup/logs"));
    assert_non_null(strstr(after, "a/0000000000000008.jsonl"));
    for (const char *line = before; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *kept = check_format("%.*s", (int)(strchr(line, '\n') - line), line);
        assert_non_null(strstr(after, kept)); /* the same file, not written again */
    }
    assert_string_equal(restore(other, "backup"), "{\"name\":\"a\",\"entries\":8,\"new\":1}\n"
                                                  "{\"name\":\"b.c\",\"entries\":1,\"new\":0}\n"
                                                  "{\"name\":\"d\",\"entries\":1,\"new\":1}\n");
    assert_string_equal(content(other), content(library));
    exia_library_free(library);
    exia_library_free(other);
}

TEST(a_target_that_went_on_by_itself_is_left_alone_or_is_a_conflict)
{
    exia_library *library = fill(), *other = open_other("other");
    backup(library, "backup");
    restore(other, "backup");
    write_model(other, "a", "own", NULL, NULL, 0);
    const char *all = content(other);
    assert_non_null(strstr(restore(other, "backup"), "\"name\":\"a\",\"entries\":7,\"new\":0"));
    write_model(library, "a", "another", NULL, NULL, 0);
    write_large(library, "b.c", 'z');
    backup(library, "backup");
    check_fails(EXIA_ECONFLICT,
                exia_library_restore(NULL, other, check_path("backup"), NULL, NULL, &err));
    check_text("entry 8 of the log of a");
    assert_string_equal(content(other), all); /* b.c neither */
    backup(library, "backup.tar.zst");
    check_fails(EXIA_ECONFLICT,
                exia_library_restore(NULL, other, check_path("backup.tar.zst"), NULL, NULL, &err));
    check_text("entry 8 of the log of a");
    assert_string_equal(content(other), all);
    exia_library_free(library);
    exia_library_free(other);
}

static void publish_too(void *payload)
{
    write_model(payload, "b.c", "mine", NULL, NULL, 0);
}

TEST(a_restore_beside_a_writer_is_a_conflict_only_where_the_writer_was_first)
{
    exia_library *library = fill();
    int first = 0, second = 0;
    backup(library, "b");
    faulty_register();
    for (long nth = 1;; nth++) {
        const char *folder = check_path(check_format("target%ld", nth));
        exia_library_options options = {.struct_size = sizeof options,
                                        .blobs_url = check_format("file:%s/blobs", folder)};
        exia_library *target = NULL, *writer = open_other(check_format("target%ld", nth));
        check_ok(exia_library_open(&target, check_format("faulty:sqlite:%s/catalog.db", folder),
                                   &options, &err));
        faulty = (faulty_plan){.nth = nth, .instead = publish_too, .payload = writer};
        exia_status rc = exia_library_restore(NULL, target, check_path("b"), NULL, NULL, &err);
        int reached = faulty.calls >= nth;
        faulty = (faulty_plan){0};
        int lost = strcmp(bytes_of(target, "b.c@1"), "mine") == 0;
        assert_int_equal(rc, lost ? EXIA_ECONFLICT : EXIA_OK);
        first += lost;
        second += !lost && selected(target, "b.c") == 2;
        exia_library_free(target);
        exia_library_free(writer);
        if (!reached)
            break;
    }
    assert_true(first > 0 && second > 0);
    exia_library_free(library);
}

TEST(a_restored_library_is_backed_up_and_restored_as_the_first_was)
{
    exia_library *library = fill(), *other = open_other("other"), *third = open_other("third");
    backup(library, "one");
    restore(other, "one");
    backup(other, "two.tar.zst");
    restore(third, "two.tar.zst");
    restore(third, "one");
    assert_string_equal(content(third), content(library));
    check_whole(third);
    assert_non_null(strstr(restore(library, "two.tar.zst"), "\"new\":0"));
    exia_library_free(library);
    exia_library_free(other);
    exia_library_free(third);
}

TEST(blobs_lie_under_other_keys_where_those_of_the_backup_are_taken)
{
    exia_library *library = fill(), *other = open_other("other");
    exia__records *records = NULL;
    const char *hex = NULL;
    backup(library, "backup");
    char text[8192];
    snprintf(text, sizeof text, "%s", files_in(check_path("backup/blobs")));
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strstr(line, " 20000 ") != NULL)
            hex = check_format("%.64s", strrchr(line, '/') + 1);
    }
    assert_non_null(hex);
    const char *mark = check_format("sha256/%.2s/%s", hex, hex);
    check_ok(exia__records_open(&records, check_format("sqlite:%s", check_path("other/catalog.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, records, "gc", mark, "{}", EXIA_ANY, NULL, NULL, &err));
    exia__records_free(records);
    restore(other, "backup");
    check_whole(other);
    assert_true(exia__path_exists(check_format("%s/%s.1", check_path("other/blobs"), mark)));
    /* where the bytes lie is no difference */
    assert_non_null(strstr(restore(other, "backup"), "\"name\":\"a\",\"entries\":7,\"new\":0"));
    backup(other, "second");
    assert_non_null(strstr(restore(library, "second"), "\"name\":\"a\",\"entries\":7,\"new\":0"));
    exia_library_free(library);
    exia_library_free(other);
}

TEST(another_handle_finds_what_was_restored_and_a_check_finds_nothing)
{
    exia_library *library = fill(), *other = open_other("other"), *beside = open_other("other");
    exia_fsck_totals totals = {0};
    exia_rows *rows = NULL;
    write_model(beside, "own", "x", "{\"metrics\":{\"auc\":0.2}}", NULL, 0);
    assert_string_equal(found(beside, "metrics.auc > 0"), "own@1 ");
    backup(library, "backup");
    restore(other, "backup");
    assert_string_equal(found(beside, "metrics.auc > 0 order by metrics.auc"), "a@1 own@1 ");
    check_ok(exia_library_fsck(&rows, &totals, beside, NULL, NULL, &err));
    const char *findings = rows_text(rows);
    if (totals.errors > 0 || totals.warnings > 0)
        fail_msg("%s", findings);
    assert_int_equal(totals.entries, 9);
    exia_library_free(library);
    exia_library_free(other);
    exia_library_free(beside);
}

/* ---- trust ---------------------------------------------------------------------------------- */

static int is_trusted(exia_library *library, const char *selector)
{
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, selector, 0, &err));
    int trusted = strstr(exia_model_policy(model), "{\"trusted\":true") != NULL;
    if (!trusted)
        assert_non_null(strstr(exia_model_policy(model), "restored from a backup"));
    exia_model_free(model);
    return trusted;
}

TEST(what_was_restored_goes_by_the_policy_and_what_is_written_here_does_not)
{
    exia_library *library = fill(), *other = open_other("other");
    write_model(other, "mine", "x", NULL, NULL, 0);
    assert_true(is_trusted(library, "a"));
    assert_true(is_trusted(other, "mine"));
    backup(library, "backup");
    restore(other, "backup");
    assert_false(is_trusted(other, "a@1"));
    assert_false(is_trusted(other, "a@champion"));
    assert_false(is_trusted(other, "b.c"));
    assert_true(is_trusted(other, "mine"));
    assert_int_equal(write_model(other, "a", "own", NULL, NULL, 0), 4);
    assert_true(is_trusted(other, "a@4"));
    assert_false(is_trusted(other, "a@2"));
    restore(library, "backup"); /* nothing came, so nothing is from elsewhere */
    assert_true(is_trusted(library, "a@1"));
    exia_library_free(library);
    exia_library_free(other);
}
