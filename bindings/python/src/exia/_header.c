/* The header of a safetensors file as a dict of tuples: a file may have a hundred thousand tensors, and
 * Python's JSON makes ten objects of each.
 *
 *     {"__metadata__":{"key":"text"},"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},..}
 *
 * Read is what writers write: without a space, in this order, metadata first, no escape in a name.
 * Whatever else may be JSON, or is wrong, makes the answer None: others read it then, or say why not. */
#include "_numbers.h"

#include <string.h>

enum {
    DIGITS = 18,
    RANK = 64
}; /* more digits might not fit, more dimensions not be on the stack */

/* Where the reader is; `at` NULL: what is there is not what is read here. */
typedef struct scan {
    const char *at, *end;
} scan;

static bool skip(scan *scan, const char *text)
{
    size_t size = strlen(text);
    bool there =
        scan->at && (size_t)(scan->end - scan->at) >= size && memcmp(scan->at, text, size) == 0;
    scan->at = there ? scan->at + size : NULL;
    return there;
}

static bool next_is(const scan *scan, char letter)
{
    return scan->at && scan->at < scan->end && *scan->at == letter;
}

/* A text without an escape, up to its closing quote. */
static Py_ssize_t read_text(const char **out, scan *scan)
{
    if (!skip(scan, "\""))
        return 0;
    *out = scan->at;
    while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\' &&
           (unsigned char)*scan->at >= ' ')
        scan->at++;
    Py_ssize_t size = scan->at - *out;
    return skip(scan, "\"") ? size : 0;
}

static long long read_number(scan *scan)
{
    const char *start = scan->at;
    long long number = 0;
    while (scan->at && scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9' &&
           scan->at - start < DIGITS)
        number = number * 10 + (*scan->at++ - '0');
    if (scan->at == start || (*start == '0' && scan->at - start > 1))
        scan->at = NULL;
    return number;
}

static PyObject *read_shape(scan *scan)
{
    long long lengths[RANK];
    Py_ssize_t rank = 0;
    skip(scan, "[");
    while (scan->at && !next_is(scan, ']') && rank < RANK) {
        if (rank > 0)
            skip(scan, ",");
        lengths[rank++] = read_number(scan);
    }
    if (!skip(scan, "]"))
        return NULL;
    PyObject *shape = PyTuple_New(rank);
    for (Py_ssize_t i = 0; shape != NULL && i < rank; i++) {
        PyObject *length = PyLong_FromLongLong(lengths[i]);
        if (length == NULL || PyTuple_SetItem(shape, i, length) < 0)
            Py_CLEAR(shape);
    }
    return shape;
}

/* One entry behind its name as (dtype, shape, start, end); NULL: none, or an exception is set. */
static PyObject *read_tensor(scan *scan, long long base, long long size)
{
    const char *dtype = NULL;
    PyObject *tensor = NULL;
    skip(scan, "{\"dtype\":");
    Py_ssize_t length = read_text(&dtype, scan);
    skip(scan, ",\"shape\":");
    PyObject *shape = read_shape(scan);
    skip(scan, ",\"data_offsets\":[");
    long long start = read_number(scan);
    skip(scan, ",");
    long long end = read_number(scan);
    if (skip(scan, "]}") && shape != NULL && start <= end && end <= size)
        tensor = Py_BuildValue("s#OLL", dtype, length, shape, base + start, base + end);
    Py_XDECREF(shape);
    return tensor;
}

/* One entry with its name; a pad is read and left out. */
static bool read_entry(PyObject *tensors, scan *scan, long long base, long long size)
{
    static const char pad[] = "__pad.", metadata[] = "__metadata__";
    const char *text = NULL;
    Py_ssize_t length = read_text(&text, scan);
    if (!skip(scan, ":") ||
        (length == sizeof metadata - 1 && memcmp(text, metadata, sizeof metadata - 1) == 0))
        return false;
    bool is_pad = length >= (Py_ssize_t)sizeof pad - 1 && memcmp(text, pad, sizeof pad - 1) == 0;
    PyObject *tensor = read_tensor(scan, base, size);
    PyObject *name = tensor ? PyUnicode_DecodeUTF8(text, length, NULL) : NULL;
    bool good = name != NULL && (is_pad || PyDict_SetItem(tensors, name, tensor) == 0);
    Py_XDECREF(name);
    Py_XDECREF(tensor);
    return good;
}

/* The object of texts at the beginning, which others read: only its end is sought here.  Where there
 * is none, nothing is read. */
static PyObject *read_metadata(scan *scan)
{
    static const char key[] = "{\"__metadata__\":";
    bool quoted = false;
    if ((size_t)(scan->end - scan->at) < sizeof key || memcmp(scan->at, key, sizeof key - 1) != 0)
        return PyBytes_FromStringAndSize("{}", 2);
    const char *start = scan->at += sizeof key - 1;
    if (!next_is(scan, '{'))
        return NULL;
    for (scan->at++; scan->at < scan->end && (quoted || *scan->at != '}'); scan->at++) {
        if (*scan->at == '"')
            quoted = !quoted;
        else if (quoted && *scan->at == '\\')
            scan->at++;
        else if (!quoted && *scan->at == '{')
            return NULL;
    }
    if (scan->at >= scan->end)
        return NULL;
    return PyBytes_FromStringAndSize(start, ++scan->at - start);
}

/* tensors(header, base, size): (the metadata's JSON, {name: (dtype, shape, start, end)}); None. */
PyObject *exia__tensors(PyObject *module, PyObject *arguments)
{
    Py_ssize_t length;
    long long base, size;
    scan now = {0};
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#LL:tensors", &now.at, &length, &base, &size))
        return NULL;
    now.end = now.at + length;
    const char *begin = now.at;
    PyObject *tensors = PyDict_New(), *metadata = tensors ? read_metadata(&now) : NULL;
    bool first = now.at == begin, good = metadata != NULL && (!first || skip(&now, "{"));
    while (good && !next_is(&now, '}')) {
        good = (first || skip(&now, ",")) && read_entry(tensors, &now, base, size);
        first = false;
    }
    good = good && skip(&now, "}");
    while (good && next_is(&now, ' '))
        now.at++;
    PyObject *answer = good && now.at == now.end ? PyTuple_Pack(2, metadata, tensors) : NULL;
    Py_XDECREF(metadata);
    Py_XDECREF(tensors);
    if (answer != NULL || (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_MemoryError)))
        return answer;
    PyErr_Clear(); /* a name that is no UTF-8 */
    Py_RETURN_NONE;
}
