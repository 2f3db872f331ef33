/* Safetensors headers: good ones by name and by offset, bad ones refused whole. */
#include "support/models.h"

#include <jansson.h>
#include <stdlib.h>

/* A part of that format: the header's length, the header, `size` bytes counting up. */
static exia_model *open_tensors(const char *header, size_t size)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    int64_t version = 0;
    size_t length = strlen(header), all = 8 + length + size;
    unsigned char *data = calloc(1, all);
    for (size_t i = 0; i < 8; i++)
        data[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(data + 8, header, length);
    for (size_t i = 0; i < size; i++)
        data[8 + length + i] = (unsigned char)i;
    exia_part part = {.name = "model", .format = "safetensors", .data = data, .size = all};
    check_ok(exia_model_write(&version, library, "m", &part, 1, NULL, NULL, &err));
    free(data);
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    exia_library_free(library);
    return model;
}

static void check_bad(const char *header, size_t size, const char *text)
{
    exia_model *model = open_tensors(header, size);
    exia_tensor tensor;
    exia_rows *rows = NULL;
    check_fails(EXIA_ECORRUPT, exia_model_tensor(&tensor, model, NULL, "a", &err));
    check_text("part model");
    check_text(text);
    assert_null(tensor.data);
    check_fails(EXIA_ECORRUPT, exia_model_tensors(&rows, model, NULL, &err));
    assert_null(rows);
    exia_model_free(model);
}

TEST(tensors_are_found_by_name)
{
    exia_model *model =
        open_tensors("{\"__metadata__\":{\"exia\":\"tensors/1\"},"
                     "\"b\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[8,14]},"
                     "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                     "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[8,8]},"
                     "\"one\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[14,15]}}   ",
                     15);
    exia_tensor tensor;
    exia_view view;
    exia_rows *rows = NULL;
    check_ok(exia_model_view(&view, model, NULL, &err));
    check_ok(exia_model_tensor(&tensor, model, NULL, "b", &err));
    assert_string_equal(tensor.dtype, "U8");
    assert_int_equal(tensor.rank, 2);
    assert_int_equal(tensor.shape[0], 2);
    assert_int_equal(tensor.shape[1], 3);
    assert_int_equal(tensor.size, 6);
    assert_int_equal(((unsigned char *)tensor.data)[0], 8);
    assert_int_equal((uintptr_t)tensor.data % tensor.alignment, 0);
    assert_int_not_equal((uintptr_t)tensor.data % (2 * tensor.alignment), 0);
    check_ok(exia_model_tensor(&tensor, model, "model", "one", &err));
    assert_int_equal(tensor.rank, 0);
    assert_int_equal(tensor.size, 1);
    check_ok(exia_model_tensor(&tensor, model, "model", "none", &err));
    assert_int_equal(tensor.size, 0);
    check_fails(EXIA_ENOTFOUND, exia_model_tensor(&tensor, model, NULL, "c", &err));
    check_fails(EXIA_ENOTFOUND, exia_model_tensor(&tensor, model, NULL, "__metadata__", &err));
    check_fails(EXIA_ENOTFOUND, exia_model_tensor(&tensor, model, "other", "a", &err));
    check_fails(EXIA_EINVAL, exia_model_tensor(&tensor, model, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_tensor(NULL, model, NULL, "a", &err));
    check_fails(EXIA_EINVAL, exia_model_tensor(&tensor, NULL, NULL, "a", &err));
    check_ok(exia_model_tensors(&rows, model, NULL, &err));
    const char *wanted[] = {"{\"metadata\":{\"exia\":\"tensors/1\"}}", "\"a\"", "\"none\"", "\"b\"",
                            "\"one\""};
    for (size_t i = 0; i < 5; i++) {
        const char *row = NULL;
        check_ok(exia_rows_next(&row, rows, &err));
        assert_non_null(strstr(row, wanted[i]));
        json_t *object = json_loads(row, 0, NULL);
        size_t offset = (size_t)json_integer_value(json_object_get(object, "offset"));
        if (i == 3)
            assert_int_equal(((unsigned char *)view.data)[offset], 8);
        json_decref(object);
    }
    exia_rows_free(rows);
    exia_model_free(model);
}

TEST(a_file_without_tensors_is_good)
{
    exia_model *model = open_tensors("{}", 0);
    exia_tensor tensor;
    exia_rows *rows = NULL;
    check_fails(EXIA_ENOTFOUND, exia_model_tensor(&tensor, model, NULL, "a", &err));
    check_ok(exia_model_tensors(&rows, model, NULL, &err));
    assert_string_equal(rows_text(rows), "{\"metadata\":{}}\n");
    exia_model_free(model);
}

TEST(headers_that_are_not_as_the_format_says_are_refused)
{
#define ONE(dtype, shape, offsets)                                                                 \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    const struct {
        const char *header;
        size_t size;
        const char *text;
    } bad[] = {
        {"", 0, "header"},
        {"[]", 0, "no object"},
        {" {}", 0, "no object"},
        {"{", 0, "JSON"},
        {"{}x", 0, "JSON"},
        {"{\"a\":1}", 0, "tensor a"},
        {"{\"a\":{}}", 0, "dtype"},
        {"{\"__metadata__\":[]}", 0, "__metadata__"},
        {"{\"__metadata__\":{\"x\":1}}", 0, "__metadata__"},
        {ONE("\"F31\"", "[1]", "[0,4]"), 4, "F31"},
        {ONE("4", "[1]", "[0,4]"), 4, "dtype"},
        {ONE("\"F32\"", "1", "[0,4]"), 4, "shape"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, "shape"},
        {ONE("\"F32\"", "[1.0]", "[0,4]"), 4, "shape"},
        {ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, "too large"},
        {ONE("\"F32\"", "[9223372036854775807]", "[0,4]"), 4, "too large"},
        {ONE("\"F32\"", "[4611686018427387904,2]", "[0,0]"), 0, "too large"},
        {ONE("\"F4\"", "[3]", "[0,2]"), 2, "within a byte"},
        {ONE("\"F32\"", "[1]", "[0,3]"), 3, "needs 4"},
        {ONE("\"F32\"", "[1]", "[4,0]"), 4, "data_offsets"},
        {ONE("\"F32\"", "[1]", "[-4,0]"), 4, "data_offsets"},
        {ONE("\"F32\"", "[1]", "[0]"), 4, "data_offsets"},
        {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, "data_offsets"},
        {ONE("\"F32\"", "[1]", "[0.0,4]"), 4, "data_offsets"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 5, "the file has 5"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 3, "the file has 3"},
        {ONE("\"F32\"", "[1]", "[1,5]"), 5, "begin"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "begin"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
         5, "begin"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
         1, "JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_bad(bad[i].header, bad[i].size, bad[i].text);
}

TEST(a_length_that_does_not_fit_is_refused)
{
    static const unsigned char bad[][9] = {
        {1, 0, 0, 0, 0, 0, 0, 0, 0},
        {2, 0, 0, 0, 0, 0, 0, 0, '{'},
        {255, 255, 255, 255, 255, 255, 255, 255, '{'},
        {1, 225, 245, 5, 0, 0, 0, 0, '{'}, /* 100,000,001 */
    };
    exia_library *library = open_library();
    exia_tensor tensor;
    for (size_t i = 0; i < 4 + 9; i++) {
        exia_model *model = NULL;
        int64_t version = 0;
        exia_part part = {.name = "model",
                          .format = "safetensors",
                          .data = bad[i < 4 ? i : 0],
                          .size = i < 4 ? 9 : i - 4};
        check_ok(exia_model_write(&version, library, "m", &part, 1, NULL, NULL, &err));
        check_ok(exia_model_open(&model, library, "m", 0, &err));
        check_fails(EXIA_ECORRUPT, exia_model_tensor(&tensor, model, NULL, "a", &err));
        exia_model_free(model);
    }
    exia_library_free(library);
}

TEST(only_safetensors_have_tensors)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    exia_tensor tensor;
    exia_rows *rows = NULL;
    write_model(library, "m", "{}", NULL, NULL, 0);
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    check_fails(EXIA_EUNSUPPORTED, exia_model_tensor(&tensor, model, NULL, "a", &err));
    check_text("bytes");
    check_fails(EXIA_EUNSUPPORTED, exia_model_tensors(&rows, model, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_tensors(NULL, model, NULL, &err));
    exia_model_free(model);
    exia_library_free(library);
}

TEST(a_thousand_tensors_are_found)
{
    const char *header = "{";
    char *text = malloc(200000), *at = text;
    *at++ = '{';
    for (int i = 0; i < 1000; i++)
        at +=
            sprintf(at, "%s\"layer.%d\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[%d,%d]}",
                    i ? "," : "", i, 2 * i, 2 * i + 2);
    strcpy(at, "}");
    header = text;
    exia_model *model = open_tensors(header, 2000);
    for (int i = 0; i < 1000; i++) {
        exia_tensor tensor;
        check_ok(exia_model_tensor(&tensor, model, NULL, check_format("layer.%d", i), &err));
        assert_int_equal(((unsigned char *)tensor.data)[1], (unsigned char)(2 * i + 1));
    }
    free(text);
    exia_model_free(model);
}
