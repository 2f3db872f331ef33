/* Signatures against the examples that AWS publishes for S3, and what they depend on. */
#include "base/memory.h"
#include "drivers/http/given.h"
#include "drivers/s3/sigv4.h"
#include "store/driver.h"
#include "support/check.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* The published examples are all of one key, day, region and bucket. */
static exia__sigv4 example(const char *method, const char *path, const char *query,
                           const exia__sigv4_header *headers, size_t count)
{
    return (exia__sigv4){.method = method,
                         .path = path,
                         .query = query,
                         .headers = headers,
                         .header_count = count,
                         .payload = EMPTY,
                         .time = "20130524T000000Z",
                         .region = "us-east-1",
                         .service = "s3",
                         .key = "AKIAIOSFODNN7EXAMPLE",
                         .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
}

static const char *sign(const exia__sigv4 *request)
{
    char *text = NULL;
    check_ok(exia__sigv4_sign(&text, request, &err));
    const char *kept = check_format("%s", text);
    exia__release(text);
    return kept;
}

#define CREDENTIAL                                                                                 \
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"         \
    "SignedHeaders="

TEST(the_published_get_of_a_range_is_signed_as_published)
{
    static const exia__sigv4_header headers[] = {{"x-amz-date", "20130524T000000Z"},
                                                 {"range", "bytes=0-9"},
                                                 {"x-amz-content-sha256", EMPTY},
                                                 {"host", "examplebucket.s3.amazonaws.com"}};
    exia__sigv4 request = example("GET", "/test.txt", "", headers, 4);
    assert_string_equal(
        sign(&request),
        CREDENTIAL "host;range;x-amz-content-sha256;x-amz-date,"
                   "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(the_published_put_with_a_dollar_in_its_key_is_signed_as_published)
{
    static const char body[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    static const exia__sigv4_header headers[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                                 {"host", "examplebucket.s3.amazonaws.com"},
                                                 {"x-amz-content-sha256", body},
                                                 {"x-amz-date", "20130524T000000Z"},
                                                 {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    exia__sigv4 request = example("PUT", "/test%24file.text", "", headers, 5);
    request.payload = body;
    assert_string_equal(
        sign(&request),
        CREDENTIAL "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
                   "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(the_published_requests_with_parameters_are_signed_as_published)
{
    static const exia__sigv4_header headers[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                                 {"x-amz-content-sha256", EMPTY},
                                                 {"x-amz-date", "20130524T000000Z"}};
    exia__sigv4 lifecycle = example("GET", "/", "lifecycle=", headers, 3);
    exia__sigv4 list = example("GET", "/", "max-keys=2&prefix=J", headers, 3);
    assert_string_equal(
        sign(&lifecycle),
        CREDENTIAL "host;x-amz-content-sha256;x-amz-date,"
                   "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    assert_string_equal(
        sign(&list),
        CREDENTIAL "host;x-amz-content-sha256;x-amz-date,"
                   "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(the_published_url_for_a_reader_without_keys_is_signed_as_published)
{
    static const exia__sigv4_header headers[] = {{"host", "examplebucket.s3.amazonaws.com"}};
    exia__sigv4 request = example("GET", "/test.txt", "", headers, 1);
    char *query = NULL;
    check_ok(exia__given_take(&exia__core, &err));
    check_ok(exia__sigv4_presign(&query, &request, 86400, NULL, &err));
    assert_string_equal(
        query, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
               "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date="
               "20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
               "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    exia__release(query);
    check_ok(exia__sigv4_presign(&query, &request, 60, "a/b+c=", &err));
    assert_non_null(strstr(query, "X-Amz-Expires=60&X-Amz-Security-Token=a%2Fb%2Bc%3D&X-Amz-S"));
    exia__release(query);
}

static exia_status use_presign(void *payload, exia_error *error)
{
    char *query = NULL;
    exia_status rc = exia__sigv4_presign(&query, payload, 60, "token", error);
    exia__release(query);
    return rc;
}

TEST(a_signature_depends_on_all_that_is_asked)
{
    static const exia__sigv4_header headers[] = {{"host", "h"}}, others[] = {{"host", "h2"}};
    const exia__sigv4 plain = example("GET", "/a", "", headers, 1);
    exia__sigv4 changed[10];
    for (size_t i = 0; i < 10; i++)
        changed[i] = plain;
    changed[0].method = "PUT";
    changed[1].path = "/b";
    changed[2].query = "a=";
    changed[3].headers = others;
    changed[4].payload = "other";
    changed[5].time = "20130524T000001Z";
    changed[6].time = "20130525T000000Z";
    changed[7].region = "eu-west-1";
    changed[8].service = "ec2";
    changed[9].secret = "other";
    const char *first = strstr(sign(&plain), "Signature=");
    for (size_t i = 0; i < 10; i++)
        assert_string_not_equal(strstr(sign(&changed[i]), "Signature="), first);
}

TEST(a_request_that_cannot_be_signed_is_refused)
{
    exia__sigv4_header headers[17];
    char *text = NULL;
    for (size_t i = 0; i < 17; i++)
        headers[i] = (exia__sigv4_header){"a", "b"};
    exia__sigv4 request = example("GET", "/", "", headers, 17);
    check_fails(EXIA_EINVAL, exia__sigv4_sign(&text, &request, &err));
    request.header_count = 1;
    request.time = "2013";
    check_fails(EXIA_EINVAL, exia__sigv4_sign(&text, &request, &err));
    assert_null(text);
}

static exia_status use_sign(void *payload, exia_error *error)
{
    char *text = NULL;
    exia_status rc = exia__sigv4_sign(&text, payload, error);
    exia__release(text);
    return rc;
}

TEST(signing_survives_that_memory_is_out)
{
    static const exia__sigv4_header headers[] = {{"host", "h"}};
    exia__sigv4 request = example("GET", "/a", "", headers, 1);
    check_survives_no_memory(use_sign, &request);
    check_ok(exia__given_take(&exia__core, &err));
    check_survives_no_memory(use_presign, &request);
}
