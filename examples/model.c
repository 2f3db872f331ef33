/* Writes a model from C with an alias, opens it by that alias and maps its tensor.
 *
 *     cc model.c $(pkg-config --cflags --libs exia) && ./a.out LIBRARY_DIRECTORY */
#include <stdio.h>
#include <string.h>

#include <exia.h>

/* Tensors lie in a safetensors file: the size of a JSON header (8 bytes, little-endian), the
 * header, the numbers.  Spaces bring the header to 64 bytes, so that the numbers are aligned. */
static const char header[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}";
static const float numbers[2][3] = {{1, 2, 3}, {4, 5, 6}};
static const uint64_t header_size = 64;

int main(int argc, char **argv)
{
    char file[8 + 64 + sizeof numbers];
    const exia_part part = {"weights", "safetensors", .data = file, .size = sizeof file};
    const exia_write_options options = {
        sizeof options,
        .facts = "{\"metrics\": {\"accuracy\": 0.9}, \"tags\": {\"team\": \"docs\"}}",
        .alias = "champion", .expect = EXIA_ANY, .message = "an example"};
    exia_error err = {0};
    exia_library *library = NULL;
    exia_model *model = NULL;
    exia_rows *rows = NULL;
    exia_tensor w;
    const char *row;
    int64_t version;
    int failed = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: %s LIBRARY_DIRECTORY\n", argv[0]);
        return 2;
    }
    memcpy(file, &header_size, 8);
    snprintf(file + 8, 65, "%-64s", header);
    memcpy(file + 8 + 64, numbers, sizeof numbers);

    if (exia_library_open(&library, argv[1], NULL, &err) < 0 ||
        exia_model_write(&version, library, "example", &part, 1, &options, NULL, &err) < 0 ||
        exia_model_open(&model, library, "example@champion", 0, &err) < 0 ||
        exia_model_tensor(&w, model, "weights", "w", &err) < 0)
        goto done;
    printf("version %lld: w is %s, %lld x %lld, and its last number is %g\n", (long long)version,
           w.dtype, (long long)w.shape[0], (long long)w.shape[1], ((const float *)w.data)[5]);

    if (exia_library_search(&rows, library, "metrics.accuracy > 0.8 limit 3", &err) < 0)
        goto done;
    while (exia_rows_next(&row, rows, &err) == EXIA_OK)
        printf("%s\n", row); /* a JSON object */
    failed = 0;
done:
    if (failed)
        fprintf(stderr, "model: %s\n", err.text);
    exia_rows_free(rows);
    exia_model_free(model); /* in any order: a child keeps its parent alive */
    exia_library_free(library);
    return failed;
}
