/* Where the server is, and its life and death. */
#include "support/s3_server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "support/check.h"

const char *server_url(void)
{
    static int told;
    const char *url = getenv("EXIA_TEST_S3_URL");
    if (url == NULL) {
        if (!told++)
            print_message("EXIA_TEST_S3_URL is not set: make test-services sets it\n");
        skip();
    }
    setenv("EXIA_HOME", check_path("home"), 1);
    return url;
}

const char *server_url_own(void)
{
    return check_format("%s%s", server_url(), strrchr(check_directory(), '/'));
}

void server_can_start(void)
{
    if (getenv("EXIA_TEST_S3_SERVER") == NULL || getenv("EXIA_TEST_S3_DIRECTORY") == NULL)
        skip();
}

void server_kill(void)
{
    char *text = check_read_file(check_format("%s/pid", getenv("EXIA_TEST_S3_DIRECTORY")), NULL);
    kill(atoi(text), SIGKILL);
    free(text);
}

void server_start(void)
{
    assert_int_equal(system(check_format("%s start %s >/dev/null", getenv("EXIA_TEST_S3_SERVER"),
                                         getenv("EXIA_TEST_S3_DIRECTORY"))),
                     0);
}

static exia_status count_note(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *error)
{
    (void)json;
    (void)revision;
    (void)error;
    *(int *)payload += strncmp(key, "s3/", 3) == 0;
    return EXIA_OK;
}

int server_notes(void)
{
    exia__records *notes = NULL;
    int count = 0;
    check_ok(exia__records_open(&notes, check_format("sqlite:%s", check_path("home/journal.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_scan(notes, "note", "", NULL, 0, NULL, count_note, &count, NULL, &err));
    exia__records_free(notes);
    return count;
}
