/* The real server of S3 that a test needs: EXIA_TEST_S3_URL names it ("s3+http://KEY:SECRET@127.0.0.1:9000/bucket",
 * its bucket there), EXIA_TEST_S3_SERVER the script that starts it and EXIA_TEST_S3_DIRECTORY its directory. */
#ifndef TESTS_S3_SERVER_H
#define TESTS_S3_SERVER_H

/* Its URL; without one the test is skipped.  The home is one of this test's. */
const char *server_url(void);
/* The same with a prefix of this test's own, empty at first. */
const char *server_url_own(void);

/* Skip the test where the server cannot be started by it; kill it as -9 does, and start it again. */
void server_can_start(void);
void server_kill(void);
void server_start(void);

/* The notes of uploads in this test's home. */
int server_notes(void);

#endif
