/* The header of a safetensors file: eight bytes of length, JSON, then the tensors' bytes one behind the
 * other.  It is checked whole before anything is answered: every tensor has a known type, exactly the
 * bytes its shape needs, and together they cover the rest of the file without a hole or an overlap.
 *
 *     u64 N | N bytes {"__metadata__": {..}, "name": {"dtype", "shape", "data_offsets"}, ..} | bytes */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "model/library.h"

enum { LENGTH_SIZE = 8, HEADER_LIMIT = 100000000 };

typedef struct entry {
    const char *name; /* borrowed from the index */
    exia_tensor tensor;
    size_t first_dimension; /* in `dimensions`, while that may still move */
    uint64_t begin, end;    /* behind the header */
} entry;

struct exia__tensors {
    json_t *index;  /* the header; once it is read, name -> position */
    entry *entries; /* by offset */
    size_t count;
    int64_t *dimensions; /* of all shapes */
    size_t dimension_count;
    uint64_t start; /* where the bytes begin in the part */
};

static const struct {
    const char *name;
    unsigned bits;
} dtypes[] = {{"F32", 32},    {"F64", 64},       {"F16", 16},        {"BF16", 16}, {"I64", 64},
              {"I32", 32},    {"I16", 16},       {"I8", 8},          {"U8", 8},    {"U16", 16},
              {"U32", 32},    {"U64", 64},       {"BOOL", 8},        {"C64", 64},  {"F8_E5M2", 8},
              {"F8_E4M3", 8}, {"F8_E8M0", 8},    {"F8_E5M2FNUZ", 8}, {"F4", 4},    {"F6_E2M3", 6},
              {"F6_E3M2", 6}, {"F8_E4M3FNUZ", 8}};

static exia_status bad(exia_error *err, const char *name, const char *what)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "the tensor %.100s %s", name, what);
}

/* ---- parsing -------------------------------------------------------------------------------- */

static exia_status read_shape(uint64_t *count, entry *out, exia__tensors *all, const json_t *shape,
                              exia_error *err)
{
    size_t i = 0, rank = json_array_size(shape);
    json_t *dimension = NULL;
    uint64_t product = 1;
    if (!json_is_array(shape))
        return bad(err, out->name, "has no shape");
    int64_t *grown = exia__array(all->dimensions, all->dimension_count + rank, sizeof *grown);
    if (grown == NULL)
        return exia__fail_memory(err);
    all->dimensions = grown;
    json_array_foreach(shape, i, dimension)
    {
        json_int_t length = json_integer_value(dimension);
        if (!json_is_integer(dimension) || length < 0)
            return bad(err, out->name, "has a shape that is none");
        if (__builtin_mul_overflow(product, (uint64_t)length, &product))
            return bad(err, out->name, "has a shape that is too large");
        grown[all->dimension_count + i] = length;
    }
    out->first_dimension = all->dimension_count;
    out->tensor.rank = rank;
    all->dimension_count += rank;
    *count = product;
    return EXIA_OK;
}

static exia_status read_dtype(unsigned *bits, entry *out, const json_t *dtype, exia_error *err)
{
    const char *name = json_string_value(dtype);
    if (name == NULL)
        return bad(err, out->name, "has no dtype");
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            out->tensor.dtype = dtypes[i].name;
            *bits = dtypes[i].bits;
            return EXIA_OK;
        }
    }
    return exia__fail(err, EXIA_ECORRUPT, 0, "the tensor %.100s has the unknown dtype %.40s",
                      out->name, name);
}

static exia_status read_tensor(entry *out, exia__tensors *all, const json_t *value, exia_error *err)
{
    unsigned bits = 0;
    uint64_t count = 0, size = 0;
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    exia_status rc = read_dtype(&bits, out, json_object_get(value, "dtype"), err);
    if (rc == EXIA_OK)
        rc = read_shape(&count, out, all, json_object_get(value, "shape"), err);
    if (rc < 0)
        return rc;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return bad(err, out->name, "has no valid data_offsets");
    if (__builtin_mul_overflow(count, (uint64_t)bits, &size) || size % 8 != 0)
        return bad(err, out->name, "has a shape that is too large or ends within a byte");
    out->begin = (uint64_t)json_integer_value(begin);
    out->end = (uint64_t)json_integer_value(end);
    if (out->end - out->begin != size / 8)
        return exia__fail(
            err, EXIA_ECORRUPT, 0, "the tensor %.100s has %llu bytes, its shape needs %llu",
            out->name, (unsigned long long)(out->end - out->begin), (unsigned long long)(size / 8));
    out->tensor.size = (size_t)(size / 8);
    return EXIA_OK;
}

static int by_offset(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorted, each must begin where the one before ends, and the last end with the file. */
static exia_status check_cover(const exia__tensors *all, uint64_t bytes, exia_error *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (all->entries[i].begin != at)
            return bad(err, all->entries[i].name, "does not begin where the one before it ends");
        at = all->entries[i].end;
    }
    if (at != bytes)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the tensors have %llu bytes, the file has %llu",
                          (unsigned long long)at, (unsigned long long)bytes);
    return EXIA_OK;
}

static exia_status check_metadata(const json_t *metadata, exia_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    int good = metadata == NULL || json_is_object(metadata);
    json_object_foreach((json_t *)metadata, key, value)
    {
        good = good && json_is_string(value);
    }
    return good ? EXIA_OK : exia__fail(err, EXIA_ECORRUPT, 0, "__metadata__ is no object of texts");
}

static exia_status read_entries(exia__tensors *all, exia_error *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    exia_status rc = check_metadata(json_object_get(all->index, "__metadata__"), err);
    all->entries = exia__zeroed(json_object_size(all->index), sizeof *all->entries);
    if (rc == EXIA_OK && all->entries == NULL)
        rc = exia__fail_memory(err);
    json_object_foreach(all->index, name, value)
    {
        if (rc == EXIA_OK && strcmp(name, "__metadata__") != 0) {
            all->entries[all->count].name = name;
            rc = read_tensor(&all->entries[all->count++], all, value, err);
        }
    }
    return rc;
}

/* Now that nothing moves any more: addresses, and positions into the index. */
static exia_status finish(exia__tensors *all, const exia__open_part *part, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < all->count && rc == EXIA_OK; i++) {
        entry *now = &all->entries[i];
        now->tensor.shape = all->dimensions + now->first_dimension;
        now->tensor.data = (char *)part->data + all->start + now->begin;
        uintptr_t address = (uintptr_t)now->tensor.data;
        now->tensor.alignment = (size_t)(address & -address);
        /* the key stays where it is: only its value is replaced */
        rc = exia__json_set(all->index, now->name, json_integer((json_int_t)i), err);
    }
    return rc;
}

static exia_status parse(exia__tensors **out, const exia__open_part *part, exia_error *err)
{
    const unsigned char *bytes = part->data;
    uint64_t length = 0;
    *out = NULL;
    for (size_t i = LENGTH_SIZE; i-- > 0 && part->size >= LENGTH_SIZE;)
        length = length << 8 | bytes[i];
    if (part->size < LENGTH_SIZE || length > HEADER_LIMIT || length > part->size - LENGTH_SIZE)
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "no safetensors file: %zu bytes do not hold a header of %llu", part->size,
                          (unsigned long long)length);
    if (length == 0 || bytes[LENGTH_SIZE] != '{')
        return exia__fail(err, EXIA_ECORRUPT, 0, "no safetensors file: its header is no object");
    exia__tensors *all = exia__zeroed(1, sizeof *all);
    if (all == NULL)
        return exia__fail_memory(err);
    all->start = LENGTH_SIZE + length;
    exia_status rc = exia__json_object(&all->index, (const char *)bytes + LENGTH_SIZE,
                                       (size_t)length, "the header", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = read_entries(all, err);
    if (rc == EXIA_OK) {
        qsort(all->entries, all->count, sizeof *all->entries, by_offset);
        rc = check_cover(all, part->size - all->start, err);
    }
    if (rc == EXIA_OK)
        rc = finish(all, part, err);
    if (rc == EXIA_OK) {
        *out = all;
        all = NULL;
    }
    exia__tensors_free(all);
    return rc;
}

void exia__tensors_free(exia__tensors *tensors)
{
    if (tensors == NULL)
        return;
    json_decref(tensors->index);
    exia__release(tensors->entries);
    exia__release(tensors->dimensions);
    exia__release(tensors);
}

/* ---- questions ------------------------------------------------------------------------------ */

/* The header of a part, read by the first who asks; of two at one time the later throws its away. */
static exia_status tensors_of(const exia__tensors **out, const exia_model *model, const char *name,
                              exia_error *err)
{
    exia__open_part *part = NULL;
    exia_status rc = exia__model_part(&part, model, name, err);
    if (rc < 0)
        return rc;
    exia__tensors *known = atomic_load_explicit(&part->tensors, memory_order_acquire);
    if (known == NULL) {
        exia__tensors *made = NULL;
        if (strcmp(part->format, "safetensors") != 0)
            return exia__fail(err, EXIA_EUNSUPPORTED, 0, "part %s is %.40s, not safetensors",
                              part->name, part->format);
        rc = parse(&made, part, err);
        if (rc < 0)
            return exia__prefix(err, rc, "part %s", part->name);
        if (atomic_compare_exchange_strong(&part->tensors, &known, made))
            known = made;
        else
            exia__tensors_free(made);
    }
    *out = known;
    return EXIA_OK;
}

exia_status exia_model_tensor(exia_tensor *out, const exia_model *model, const char *part,
                              const char *name, exia_error *err)
{
    const exia__tensors *all = NULL;
    if (out != NULL)
        *out = (exia_tensor){0};
    if (out == NULL || model == NULL || name == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_tensor: an argument is NULL");
    exia_status rc = tensors_of(&all, model, part, err);
    if (rc < 0)
        return rc;
    const json_t *at = json_object_get(all->index, name);
    if (!json_is_integer(at))
        return exia__fail(err, EXIA_ENOTFOUND, 0, "there is no tensor %.128s", name);
    *out = all->entries[json_integer_value(at)].tensor;
    return EXIA_OK;
}

static exia_status add_row(exia_rows *rows, const exia__tensors *all, const entry *now,
                           exia_error *err)
{
    json_t *shape = json_array(), *row = NULL;
    exia_status rc = shape ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; i < now->tensor.rank && rc == EXIA_OK; i++)
        rc = exia__json_append(shape, json_integer(now->tensor.shape[i]), err);
    if (rc == EXIA_OK) {
        row = json_pack("{s:s, s:s, s:O, s:I, s:I}", "name", now->name, "dtype", now->tensor.dtype,
                        "shape", shape, "offset", (json_int_t)(all->start + now->begin), "size",
                        (json_int_t)now->tensor.size);
        rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    }
    json_decref(row);
    json_decref(shape);
    return rc;
}

exia_status exia_model_tensors(exia_rows **out, const exia_model *model, const char *part,
                               exia_error *err)
{
    const exia__tensors *all = NULL;
    exia_rows *rows = NULL;
    json_t *first = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || model == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_tensors: an argument is NULL");
    exia_status rc = tensors_of(&all, model, part, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    if (rc == EXIA_OK) {
        json_t *metadata = json_object_get(all->index, "__metadata__");
        first = json_pack("{s:o}", "metadata", metadata ? json_incref(metadata) : json_object());
        rc = first ? exia__rows_add(rows, first, err) : exia__fail_memory(err);
    }
    for (size_t i = 0; i < (all ? all->count : 0) && rc == EXIA_OK; i++)
        rc = add_row(rows, all, &all->entries[i], err);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    json_decref(first);
    exia_rows_free(rows);
    return rc;
}
