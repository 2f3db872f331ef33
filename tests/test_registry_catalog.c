/* A query among all packages says what the events say, whoever wrote them and whatever became of the
 * rows that are kept beside them: "all" is the same store through a driver that keeps none. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "support/faulty.h"
#include "support/packages.h"

enum { NAMES = 24, VERSIONS = 3 };

static const char *const versions[VERSIONS] = {"1.9", "1.10", "2.0rc1"};

/* ---- events, as a build writes them that keeps no rows ---- */

static const char *name_of(unsigned which)
{
    return check_format("n%02u", which % NAMES);
}

static const char *event_of(const char *name, const char *version, const char *token, unsigned i)
{
    return check_format(
        "{\"format\":1,\"do\":\"register\",\"token\":\"%s\",\"time\":\"2026-01-01T00:%02u:%02u."
        "000Z\",\"supersedes\":[],\"digest\":\"%064x\",\"file\":\"%s.veda\",\"size\":%u,"
        "\"key\":\"packages/%064x.veda\",\"signed\":%s,\"metadata\":{\"manifest\":{\"name\":\"%s\","
        "\"version\":\"%s\",\"description\":\"of %u\",\"components\":[{\"path\":\"code\",\"kind\":"
        "\"%s\"}],\"dependencies\":[\"%s >= 1\"],\"entry_points\":{\"main\":\"a:b\"}}},"
        "\"facts\":{\"i\":%u,\"score\":%u.5,\"stage\":\"%s\",\"long\":\"%080u\"}}",
        token, i / 60 % 60, i % 60, i % 37 == 36 ? i : 7, name, 1 + i % 9, i + 1,
        i % 2 ? "true" : "false", name, version, i, i % 3 ? "code" : "model", name_of(i + 1), i,
        i / 4, i % 5 ? "test" : "prod", i % 7);
}

static void write_events(exia__records *records, unsigned first, unsigned count)
{
    exia_put *puts = calloc(count, sizeof *puts);
    assert_non_null(puts);
    for (unsigned i = 0; i < count; i++) {
        unsigned number = first + i;
        const char *name = name_of(number), *version = versions[number / NAMES % VERSIONS];
        const char *token = check_format("t%06u", number);
        puts[i] = (exia_put){"package", check_format("%s/%s/any/%s", name, version, token),
                             event_of(name, version, token, number), EXIA_ABSENT, NULL};
    }
    check_ok(exia__records_batch(records, puts, count, NULL, &err));
    free(puts);
}

/* ---- two sides on one store ---- */

typedef struct place {
    exia_registry *registry;
    exia__records *records;
    const char *side; /* NULL: the home; else "prod" */
} place;

static void add_remote(exia_registry *registry, const char *name, const char *driver,
                       const char *path)
{
    check_ok(exia_registry_remote_add(
        registry, name, check_format("%ssqlite:%s", driver, check_path(path)),
        check_format("file:%s/packages", check_path("remote")), &err));
}

/* A home, or its remote, with an event for every package. */
static place open_place(const char *side)
{
    check_in_memory();
    place here = {.registry = open_home_with_remote("home"), .side = side};
    const char *path = side ? "remote/records.db" : "home/packages/catalog.db";
    faulty_register();
    add_remote(here.registry, "all", "plain:", path);
    add_remote(here.registry, "lost", "faulty:", path);
    check_ok(exia__records_open(&here.records, check_format("sqlite:%s", check_path(path)),
                                EXIA_STORE_WRITE, NULL, &err));
    write_events(here.records, 0, NAMES * VERSIONS);
    return here;
}

static void close_place(place *here)
{
    exia__records_free(here->records);
    exia_registry_free(here->registry);
}

static size_t count_kept(const place *here)
{
    return count_records(check_path(here->side ? "remote/records.db" : "home/packages/catalog.db"),
                         "offer");
}

static void check_same(const place *here, const char *filter)
{
    const char *ours = query(here->registry, filter, here->side);
    const char *all = query(here->registry, filter, "all");
    if (strcmp(ours, all) != 0)
        fail_msg("%s: by the rows\n%s\nby the events\n%s", filter ? filter : "everything", ours,
                 all);
}

static const char *const filters[] = {
    "",
    "tag = 'any'",
    "tag != 'any'",
    "facts.stage = 'prod'",
    "facts.i >= 20 and facts.i < 40",
    "12 > facts.i",
    "facts.score = 3.5",
    "facts.i = 7 or facts.i = 9",
    "not facts.i > 20",
    "version > '1.9'",
    "version = '1.10.0'",
    "version like '1.%' and facts.i > 30",
    "description like '%3%'",
    "'n03' in dependencies",
    "'model' in components.kind",
    "components.kind = 'model'",
    "dependencies = 'n03'",
    "facts = 1",
    "'main' in entry_points",
    "latest = true",
    "conflict is null",
    "conflict is not null",
    "time > '2026-01-01T00:00:30'",
    "size in (2, 3, 9)",
    "signed = true and size <= 4",
    "facts.none is null",
    "facts.none > 1",
    "name in ('n01', 'n22', 'zz')",
    "name > 'n10' and name <= 'n15'",
    "name = 'n07'",
    "name = 'No Name'",
    "facts.long = '00000000000000000000000000000000000000000000000000000000000000000000000000000003"
    "'",
};
static const char *const orders[] = {
    "time desc",
    "time",
    "facts.score",
    "facts.score desc",
    "facts.long desc",
    "version desc",
    "facts.score desc, version",
    "tag",
    "facts.none",
    "latest desc, facts.score",
    "name desc",
    "facts.late desc",
};

static void check_all_same(const place *here)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        check_same(here, filters[i]);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        for (int limit = 0; limit <= 81; limit = 3 * limit + 1)
            check_same(here,
                       check_format("%sorder by %s limit %d",
                                    i % 2 ? "" : "facts.i > 4 and tag = 'any' ", orders[i], limit));
    }
}

/* ---- the rows follow the events ---- */

TEST(every_filter_gives_the_same_with_rows_and_without)
{
    place here = open_place(NULL);
    assert_int_equal(count_kept(&here), 0);
    check_all_same(&here); /* the first query has made them */
    assert_int_equal(count_kept(&here), NAMES * VERSIONS);
    check_ok(exia_registry_update(here.registry, "n03@1.9", "{\"late\": 1, \"score\": 0.25}", NULL,
                                  &err));
    check_ok(exia_registry_unregister(here.registry, "n04@2.0rc1", NULL, &err));
    check_all_same(&here); /* two are behind */
    close_place(&here);
}

static unsigned next(unsigned *random)
{
    *random = *random * 1103515245 + 12345;
    return *random >> 16;
}

/* One change of one package, through one of the two sides, or as an event of an older build. */
static void change(const place *here, unsigned *random, unsigned number)
{
    exia_error why;
    const char *package =
        check_format("%s@%s", name_of(next(random)), versions[next(random) % VERSIONS]);
    const char *side = next(random) % 2 ? here->side : "all";
    switch (next(random) % 4) {
    case 0:
        write_events(here->records, number + 1000, 1 + next(random) % 3);
        break;
    case 1:
        exia_registry_unregister(here->registry, package, side, &why);
        break;
    case 2:
        exia_registry_merge(here->registry, package, check_format("{\"late\": %u}", number), side,
                            &why);
        break;
    default:
        exia_registry_update(here->registry, package,
                             check_format("{\"i\": %u, \"new\": {\"x\": true}}", number), side,
                             &why);
    }
}

static void check_history(const char *side, unsigned seed)
{
    place here = open_place(side);
    unsigned random = seed;
    for (unsigned i = 0; i < (unsigned)check_rounds(120, 12); i++) {
        change(&here, &random, 10 * i);
        check_same(&here, filters[i % (sizeof filters / sizeof *filters)]);
        if (i % 4 == 0)
            check_same(&here, check_format("order by %s limit 5", orders[i / 4 % 12]));
    }
    check_all_same(&here);
    assert_true(count_kept(&here) > NAMES);
    close_place(&here);
}

TEST(rows_follow_a_random_history_here)
{
    check_history(NULL, 1);
}

TEST(rows_follow_a_random_history_on_a_remote)
{
    check_history("prod", 2);
}

TEST(two_processes_change_and_ask_at_the_same_time)
{
    place here = open_place(NULL);
    close_place(&here);
    pid_t children[3];
    for (unsigned k = 0; k < 3; k++) {
        children[k] = fork();
        if (children[k] != 0)
            continue;
        place own = {.registry = open_home("home"), .records = open_records(check_path("home"))};
        unsigned random = k;
        for (unsigned i = 0; i < (unsigned)check_rounds(30, 5); i++) {
            change(&own, &random, 10000 * (k + 1) + 10 * i);
            query(own.registry, "facts.i > 10", NULL);
        }
        close_place(&own);
        _exit(0);
    }
    for (unsigned k = 0; k < 3; k++) {
        int status = 0;
        assert_int_equal(waitpid(children[k], &status, 0), children[k]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    here = (place){.registry = open_home("home"), .records = open_records(check_path("home"))};
    check_all_same(&here);
    close_place(&here);
}

/* ---- what cannot be written, and what is lost ---- */

TEST(a_remote_is_read_without_being_written)
{
    place here = open_place("prod");
    check_all_same(&here);
    assert_int_equal(count_kept(&here), 0);
    check_ok(exia_registry_update(here.registry, "n01@1.9", "{\"late\": 1}", "prod", &err));
    assert_int_equal(count_kept(&here), NAMES * VERSIONS); /* who writes keeps them */
    check_all_same(&here);
    close_place(&here);
}

static int ask_as_nobody(void)
{
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0))
        return 1;
    place here = {.registry = open_home("home")};
    size_t count = rows_count(query(here.registry, "facts.i > 10", NULL));
    check_fails(EXIA_EDENIED, exia_registry_update(here.registry, "n01@1.9", "{}", NULL, &err));
    close_place(&here);
    return count == NAMES * VERSIONS - 11 ? 0 : 1;
}

TEST(a_home_that_cannot_be_written_is_asked)
{
    place here = open_place(NULL);
    close_place(&here);
    check_ok(system(check_format("chmod -R a+rX,a-w %s", check_directory())));
    assert_int_equal(check_in_child(ask_as_nobody), 0); /* there are no rows */
    check_ok(system(check_format("chmod -R u+w %s", check_directory())));
    here.registry = open_home("home");
    assert_int_equal(rows_count(query(here.registry, "facts.i > 10", NULL)), NAMES * VERSIONS - 11);
    check_ok(exia_registry_update(here.registry, "n00@1.9", "{\"i\": 0}", NULL, &err));
    exia_registry_free(here.registry);
    check_ok(system(check_format("chmod -R a+rX,a-w %s", check_directory())));
    assert_int_equal(check_in_child(ask_as_nobody), 0); /* one package is behind */
    check_ok(system(check_format("chmod -R u+w %s", check_directory())));
}

static void forget_stamp(const place *here)
{
    check_ok(exia__records_remove(here->records, "registry", "offers", EXIA_ANY, NULL, &err));
}

/* Each call of the store in turn is lost, before it is done or after; then all that follow. */
TEST(rows_are_whole_whichever_call_was_lost)
{
    place here = open_place("prod");
    for (int after = 0; after < 2; after++) {
        long calls = LONG_MAX;
        for (long nth = 1 + after; nth <= calls; nth += check_rounds(3, 40)) {
            exia_error why;
            forget_stamp(&here); /* so that all rows are written */
            write_events(here.records, (unsigned)(1000 + 2000 * after + 3 * nth), 1);
            faulty = (faulty_plan){.nth = nth, .after = after, .for_ever = 1, .status = EXIA_EIO};
            exia_registry_update(here.registry, "n01@1.9", check_format("{\"i\": %ld}", nth),
                                 "lost", &why);
            calls = faulty.calls < nth ? faulty.calls : LONG_MAX;
            faulty = (faulty_plan){0};
            check_same(&here, "facts.i >= 0");
            check_same(&here, "order by facts.i desc limit 3");
        }
        assert_true(calls > NAMES);
    }
    close_place(&here);
}

/* ---- rows that are not what they should be ---- */

static void spoil(const place *here, const char *kind, const char *key, const char *json)
{
    check_ok(exia__records_put(NULL, here->records, kind, key, json, EXIA_ANY, NULL, NULL, &err));
}

TEST(a_row_that_is_none_is_noticed_and_mended)
{
    static const char *const bad[] = {
        "{\"format\":1,\"age\":0,\"row\":{}}",
        "{\"format\":1,\"age\":0,\"row\":{\"name\":\"n05\",\"version\":\"1.9\"}}",
        "{\"format\":1,\"age\":0,\"row\":{\"name\":\"n06\",\"version\":\"1.9\",\"tag\":\"any\"}}",
        "{\"format\":1,\"age\":0,\"row\":{\"name\":\"n05\",\"version\":\"1.99\",\"tag\":\"any\"}}",
        "{\"format\":2,\"age\":0,\"row\":{\"name\":\"n05\",\"version\":\"1.9\",\"tag\":\"any\"}}",
        "{\"age\":0,\"row\":{\"name\":5,\"version\":\"1.9\",\"tag\":\"any\"}}",
    };
    place here = open_place(NULL);
    check_same(&here, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        spoil(&here, "offer", "n05/1.9/any", bad[i]);
        check_same(&here, NULL);
        check_same(&here, NULL); /* it has been written anew */
        char *text = NULL;
        check_ok(exia__records_get(&text, NULL, here.records, "offer", "n05/1.9/any", NULL, &err));
        assert_true(has(text, "\"description\":\"of 5\""));
        exia__release(text);
    }
    close_place(&here);
}

TEST(a_row_without_events_is_taken_out)
{
    static const char stray[] = "{\"format\":1,\"age\":0,\"row\":{\"name\":\"z\"}}";
    static const char whole[] = "{\"format\":1,\"age\":0,\"row\":{\"name\":\"z\","
                                "\"version\":\"1.0\",\"tag\":\"any\"}}";
    place here = open_place(NULL);
    char *text = NULL;
    check_same(&here, NULL);
    spoil(&here, "offer", "z/1.0/any", stray);
    check_same(&here, NULL); /* it is noticed */
    check_same(&here, NULL);
    check_ok(exia__records_get(&text, NULL, here.records, "offer", "z/1.0/any", NULL, &err));
    assert_string_equal(text, "{\"format\":1}");
    exia__release(text);
    spoil(&here, "offer", "z/1.0/any", whole);
    forget_stamp(&here);
    check_same(&here, NULL);
    close_place(&here);
}

TEST(a_stamp_that_says_nothing_is_as_none)
{
    static const char *const bad[] = {
        "{}",
        "{\"format\":1}",
        "{\"format\":1,\"at\":-5}",
        "{\"format\":1,\"at\":\"9\"}",
        "{\"format\":1,\"at\":9007199254740993}",
        "{\"at\":10}",
    };
    place here = open_place(NULL);
    check_same(&here, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        spoil(&here, "offer", "n05/1.9/any", "{\"format\":1}");
        spoil(&here, "registry", "offers", bad[i]);
        check_same(&here, "facts.i < 10");
        assert_int_equal(count_kept(&here), NAMES * VERSIONS);
    }
    forget_stamp(&here);
    check_all_same(&here);
    close_place(&here);
}

TEST(what_a_newer_library_keeps_is_left_alone)
{
    static const char newer[] = "{\"format\":2,\"at\":\"elsewhere\"}";
    static const char row[] = "{\"format\":2,\"age\":1,\"row\":{\"name\":\"n05\"}}";
    for (int remote = 0; remote < 2; remote++) {
        place here = open_place(remote ? "prod" : NULL);
        char *text = NULL;
        spoil(&here, "registry", "offers", newer);
        spoil(&here, "offer", "n05/1.9/any", row);
        check_ok(exia_registry_update(here.registry, "n05@1.9", "{\"i\": 3}", here.side, &err));
        check_same(&here, "facts.i < 10");
        check_ok(exia__records_get(&text, NULL, here.records, "registry", "offers", NULL, &err));
        assert_string_equal(text, newer);
        exia__release(text);
        check_ok(exia__records_get(&text, NULL, here.records, "offer", "n05/1.9/any", NULL, &err));
        assert_string_equal(text, row);
        exia__release(text);
        close_place(&here);
        check_ok(system(check_format("rm -rf %s %s", check_path("home"), check_path("remote"))));
    }
}

TEST(a_forged_row_is_not_installed)
{
    place here = open_place(NULL);
    check_same(&here, NULL);
    spoil(&here, "offer", "free/1.0/any",
          "{\"format\":1,\"age\":0,\"row\":{\"name\":\"free\",\"version\":\"1.0\",\"tag\":\"any\"}"
          "}");
    assert_int_equal(rows_count(query(here.registry, "name >= 'free' and name < 'g'", NULL)), 1);
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, here.registry, "free", NULL, NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_registry_push(NULL, here.registry, "free", "prod", NULL, NULL, &err));
    close_place(&here);
}

/* ---- no memory ---- */

static exia_status ask_in_rows(void *payload, exia_error *error)
{
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status rc = exia_registry_open(&registry, payload, error);
    if (rc == EXIA_OK)
        rc = exia_registry_query(&rows, registry, "size > 0 order by time desc limit 1", NULL,
                                 error);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return rc;
}

TEST(a_query_survives_a_lack_of_memory)
{
    place here = open_place(NULL);
    const char *home = check_path("home");
    check_same(&here, NULL);
    write_events(here.records, 3000, 2); /* two are behind */
    close_place(&here);
    check_survives_no_memory(ask_in_rows, (void *)(uintptr_t)home);
}
