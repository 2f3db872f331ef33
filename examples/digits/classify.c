/* Reads handwritten digits without Python: opens the model of an installed package, maps its
 * weights where they lie in the file and classifies the test digits of the package.
 *
 *     classify INSTALLED
 *
 * The model is a scaler (mean, scale), layers (weight.0, bias.0, weight.1 ...) with the larger of 0
 * and x between them, and the digit that each output stands for (classes). */
#include <stdio.h>
#include <string.h>

#include <exia.h>

enum { PIXELS = 64, WIDEST = 256, LAYERS = 8 };

struct layer {
    const double *weight, *bias; /* weight[input * outputs + output] */
    size_t outputs;
};

struct network {
    const double *mean, *scale;
    const int64_t *classes;
    struct layer layers[LAYERS];
    size_t count;
};

/* Borrow a tensor and see that it is what the arithmetic below takes it for. */
static exia_status tensor(exia_tensor *out, const exia_model *model, const char *name,
                          const char *dtype, size_t rank, size_t rows, exia_error *err)
{
    exia_status rc = exia_model_tensor(out, model, "weights", name, err);
    if (rc == EXIA_OK && (strcmp(out->dtype, dtype) != 0 || out->rank != rank ||
                          (size_t)out->shape[0] != rows || out->alignment < sizeof(double))) {
        rc = err->status = EXIA_EUNSUPPORTED;
        snprintf(err->text, sizeof err->text, "tensor \"%s\" is not %s with %zu rows", name, dtype,
                 rows);
    }
    return rc;
}

static exia_status map_network(struct network *out, const exia_model *model, exia_error *err)
{
    exia_tensor mean, scale, classes, weight, bias;
    exia_status rc;
    char name[32];
    size_t width = PIXELS;

    if ((rc = tensor(&mean, model, "mean", "F64", 1, PIXELS, err)) < 0 ||
        (rc = tensor(&scale, model, "scale", "F64", 1, PIXELS, err)) < 0)
        return rc;
    out->mean = mean.data;
    out->scale = scale.data;
    for (out->count = 0; out->count < LAYERS; out->count++) {
        snprintf(name, sizeof name, "weight.%zu", out->count);
        rc = tensor(&weight, model, name, "F64", 2, width, err);
        if (rc == EXIA_ENOTFOUND && out->count > 0)
            break; /* that was the last layer */
        if (rc < 0)
            return rc;
        width = (size_t)weight.shape[1];
        snprintf(name, sizeof name, "bias.%zu", out->count);
        if ((rc = tensor(&bias, model, name, "F64", 1, width, err)) < 0)
            return rc;
        if (width > WIDEST) {
            snprintf(err->text, sizeof err->text, "\"%s\" is wider than %d", name, WIDEST);
            return err->status = EXIA_EUNSUPPORTED;
        }
        out->layers[out->count] = (struct layer){weight.data, bias.data, width};
    }
    if ((rc = tensor(&classes, model, "classes", "I64", 1, width, err)) < 0)
        return rc;
    out->classes = classes.data;
    return EXIA_OK;
}

static int64_t classify(const struct network *network, const double *image)
{
    double buffers[2][WIDEST], *in = buffers[0], *sum = buffers[1], *swap;
    size_t width = PIXELS, best = 0;

    for (size_t i = 0; i < PIXELS; i++)
        in[i] = (image[i] - network->mean[i]) / network->scale[i];
    for (size_t number = 0; number < network->count; number++) {
        const struct layer *layer = &network->layers[number];
        memcpy(sum, layer->bias, layer->outputs * sizeof *sum);
        for (size_t i = 0; i < width; i++) {
            double x = number > 0 && in[i] < 0 ? 0 : in[i];
            for (size_t j = 0; j < layer->outputs; j++)
                sum[j] += x * layer->weight[i * layer->outputs + j];
        }
        width = layer->outputs;
        swap = in, in = sum, sum = swap;
    }
    for (size_t j = 1; j < width; j++)
        if (in[j] > in[best])
            best = j;
    return network->classes[best];
}

/* One line of the file: 64 grey values, then the digit that it really is.  1: read, 0: there is no
 * more, -1: it is broken. */
static int read_digit(double *image, double *label, FILE *csv)
{
    for (size_t i = 0; i < PIXELS; i++) {
        int found = fscanf(csv, "%lf ,", &image[i]);
        if (found != 1)
            return i == 0 && found == EOF ? 0 : -1;
    }
    return fscanf(csv, "%lf", label) == 1 ? 1 : -1;
}

int main(int argc, char **argv)
{
    exia_error err = {0};
    exia_model *model = NULL;
    struct network network;
    char path[4096];
    FILE *csv = NULL;
    double image[PIXELS], label;
    size_t count = 0, right = 0;
    int read, failed = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: classify INSTALLED\n");
        return 2;
    }
    /* Instead of 0, EXIA_OPEN_VERIFY reads it all and checks every digest: slower, and safer. */
    snprintf(path, sizeof path, "%s/model/digits", argv[1]);
    if (exia_model_open_directory(&model, path, NULL, 0, &err) < 0 ||
        map_network(&network, model, &err) < 0) {
        fprintf(stderr, "classify: %s\n", err.text);
        goto done;
    }
    snprintf(path, sizeof path, "%s/data/test.csv", argv[1]);
    csv = fopen(path, "r");
    if (csv == NULL) {
        perror(path);
        goto done;
    }
    for (; (read = read_digit(image, &label, csv)) == 1; count++) {
        int64_t digit = classify(&network, image);
        right += digit == (int64_t)label;
        putchar((int)('0' + digit));
    }
    if (count == 0 || read < 0) {
        fprintf(stderr, "%s: digit %zu cannot be read\n", path, count + 1);
        goto done;
    }
    printf("\naccuracy %.6f (%zu of %zu)\n", (double)right / (double)count, right, count);
    failed = 0;
done:
    if (csv != NULL)
        fclose(csv);
    exia_model_free(model); /* the tensors were borrowed from it: they go with it */
    return failed;
}
