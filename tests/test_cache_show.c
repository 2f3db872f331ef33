/* The cache as people see it, and what clearing leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "exia/store.h"
#include "support/cached.h"

enum { KIB = 1024 };

static const char *taken(char *text)
{
    const char *kept = check_format("%s", text);
    exia_text_free(text);
    return kept;
}

static const char *show(void)
{
    char *text = NULL;
    check_ok(exia_cache_show(&text, &err));
    return taken(text);
}

static const char *clear(void)
{
    char *text = NULL;
    check_ok(exia_cache_clear(&text, &err));
    return taken(text);
}

static void check_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("%s is not in %s", part, text);
}

TEST(where_there_is_no_cache_its_show_says_why)
{
    char *text = NULL;
    exia__blobs *blobs = cached_open("0");
    check_fails(EXIA_EINVAL, exia_cache_show(NULL, &err));
    check_fails(EXIA_EINVAL, exia_cache_clear(NULL, &err));
    check_fails(EXIA_EUNSUPPORTED, exia_cache_show(&text, &err));
    check_text("EXIA_CACHE_SIZE is 0");
    setenv("EXIA_CACHE_SIZE", "many", 1);
    check_fails(EXIA_EINVAL, exia_cache_clear(&text, &err));
    assert_null(text);
    exia__blobs_free(blobs);
}

TEST(what_is_kept_is_told_and_cleared_and_comes_again)
{
    exia__blobs *blobs = cached_open("1M");
    blob one = cached_put(blobs, 1, 20 * KIB), two = cached_put(blobs, 2, 30 * KIB);
    cached_check(blobs, &one);
    cached_check(blobs, &two);
    check_has(show(), "\"limit\":1048576");
    check_has(show(), "\"bytes\":51200,\"blobs\":2,\"freed\":0}");
    check_has(show(), check_format("\"directory\":\"%s\"", cached_path(NULL)));
    check_has(clear(), "\"bytes\":0,\"blobs\":0,\"freed\":51200}");
    assert_int_equal(cached_bytes(NULL), 0);
    cached_check(blobs, &one);
    check_has(show(), "\"bytes\":20480,\"blobs\":1");
    exia__blobs_free(blobs);
}

TEST(what_is_open_or_on_its_way_is_not_cleared)
{
    exia__blobs *blobs = cached_open("1M");
    blob one = cached_put(blobs, 1, 20 * KIB), two = cached_put(blobs, 2, 30 * KIB);
    exia__cached open = {0};
    const char *part = cached_part(&two);
    check_ok(cached_fetch(&open, blobs, &one, 0, &err));
    cached_check(blobs, &two);
    check_write_file(part, "left", 4);
    check_has(clear(), "\"bytes\":20480,\"blobs\":1");
    assert_true(cached_right(open.fd, &one) && cached_has(one.sha256));
    assert_int_equal(access(part, F_OK), -1);
    check_write_file(part, "comes", 5);
    FILE *coming = fopen(part, "r");
    assert_non_null(coming);
    assert_int_equal(flock(fileno(coming), LOCK_EX), 0); /* as who brings it */
    clear();
    assert_int_equal(access(part, F_OK), 0);
    fclose(coming);
    cached_close(&open);
    clear();
    assert_int_equal(cached_bytes(NULL), 0);
    exia__blobs_free(blobs);
}
