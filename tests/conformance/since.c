/* What every store must do that tells what is new: each write once, in order, none left out. */
#include <stdlib.h>

#include "conformance/conformance.h"

const char conformance_since = 1;

static exia__records *open_records(void)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, conformance.url("a"), EXIA_STORE_WRITE, NULL, &err));
    return records;
}

static void put(exia__records *records, const char *kind, const char *key, const char *json)
{
    check_ok(exia__records_put(NULL, records, kind, key, json, EXIA_ANY, NULL, NULL, &err));
}

typedef struct told {
    char text[256]; /* the keys, each with a blank behind it */
    int64_t last;
    size_t count;
} told;

static exia_status tell(const char *key, const char *json, int64_t revision, void *payload,
                        exia_error *error)
{
    told *now = payload;
    (void)error;
    assert_non_null(strchr(json, '{'));
    assert_true(revision > now->last);
    now->last = revision;
    if (now->count++ < 8)
        strcat(strcat(now->text, key), " ");
    return EXIA_OK;
}

/* The keys behind `*at`, which goes on to the head. */
static const char *new_since(exia__records *records, const char *kind, int64_t *at)
{
    told now = {.last = *at};
    int64_t head = -1;
    check_ok(exia__records_since(&head, records, kind, *at, tell, &now, NULL, &err));
    assert_true(head >= now.last);
    *at = head;
    return check_format("%s", now.text);
}

TEST(what_was_written_since_a_revision_is_told_in_order)
{
    exia__records *records = open_records();
    int64_t at = 0, zero = 0;
    assert_string_equal(new_since(records, "event", &at), "");
    assert_int_equal(at, 0);
    put(records, "event", "b", "{}");
    put(records, "other", "x", "{}");
    put(records, "event", "a", "{}");
    assert_string_equal(new_since(records, "event", &at), "b a ");
    assert_string_equal(new_since(records, "event", &at), "");
    put(records, "other", "x", "{\"i\":1}");
    int64_t before = at;
    assert_string_equal(new_since(records, "event", &at), "");
    assert_true(at > before); /* of any kind */
    put(records, "event", "b", "{\"i\":1}");
    assert_string_equal(new_since(records, "event", &at), "b ");
    assert_string_equal(new_since(records, "event", &zero), "a b ");
    exia__records_free(records);
}

TEST(what_was_removed_is_not_told_and_the_head_stays)
{
    exia__records *records = open_records();
    int64_t at = 0, later = 0;
    put(records, "event", "a", "{}");
    put(records, "event", "b", "{}");
    assert_string_equal(new_since(records, "event", &at), "a b ");
    check_ok(exia__records_remove(records, "event", "b", EXIA_ANY, NULL, &err));
    assert_string_equal(new_since(records, "event", &later), "a ");
    assert_true(later >= at);
    later = at;
    put(records, "event", "b", "{}");
    assert_string_equal(new_since(records, "event", &later), "b ");
    exia__records_free(records);
}

enum { WRITERS = 3, EACH = 60 };

static int write_some(int number, void *payload)
{
    exia__records *records = payload ? payload : open_records();
    for (int i = 0; i < EACH; i++)
        put(records, i % 3 ? "event" : "other", check_format("%d/%d", number, i), "{}");
    exia__records_free(records);
    return 0;
}

/* The last process reads while the others write: what comes between is told at the next time. */
static int write_or_read(int number, void *payload)
{
    told now = {0};
    if (number < WRITERS)
        return write_some(number, payload);
    exia__records *records = open_records();
    while (now.count < WRITERS * EACH * 2 / 3) {
        int64_t head = 0, before = now.last;
        check_ok(exia__records_since(&head, records, "event", now.last, tell, &now, NULL, &err));
        assert_true(head >= now.last && now.last >= before);
        now.last = head;
    }
    exia__records_free(records);
    return now.count == WRITERS * EACH * 2 / 3 ? 0 : 1;
}

TEST(nothing_is_left_out_while_others_write)
{
    exia__records_free(open_records());
    check_processes(conformance.many_processes ? WRITERS + 1 : 0, write_or_read, NULL);
}

TEST(bad_questions_about_what_is_new_are_refused)
{
    exia__records *records = open_records();
    told now = {0};
    int64_t head = 0;
    check_fails(EXIA_EINVAL,
                exia__records_since(NULL, records, "event", 0, tell, &now, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia__records_since(&head, records, "event", 0, NULL, &now, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_since(&head, records, "NO", 0, tell, &now, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_since(&head, NULL, "event", 0, tell, &now, NULL, &err));
    exia__records_free(records);
}
