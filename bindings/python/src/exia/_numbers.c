/* Lists of Python's integers and texts as columns of numbers for C: the ends of edges in a graph
 * whose nodes are 0, 1, 2 ..., and the keys of an order.
 *
 * Nothing of Python's runs meanwhile, so a list stays as it is.  Whatever is not plainly what is
 * expected makes the answer None: others see to it then, and refuse it if need be. */
#include "_numbers.h"

#include <stdlib.h>
#include <string.h>

/* ---- the ends of edges ------------------------------------------------------------------------ */

bool exia__read_number(uint32_t *out, PyObject *value, unsigned long below)
{
    int overflow = 0;
    if (!PyLong_CheckExact(value)) /* a bool has a type of its own */
        return false;
    long number = PyLong_AsLongAndOverflow(value, &overflow);
    if (overflow != 0 || number < 0 || (unsigned long)number >= below)
        return false;
    *out = (uint32_t)number;
    return true;
}

bool exia__read_pair(uint32_t *before, uint32_t *after, PyObject *pair, unsigned long below)
{
    if (PyTuple_CheckExact(pair))
        return PyTuple_Size(pair) == 2 &&
               exia__read_number(before, PyTuple_GetItem(pair, 0), below) &&
               exia__read_number(after, PyTuple_GetItem(pair, 1), below);
    return PyList_CheckExact(pair) && PyList_Size(pair) == 2 &&
           exia__read_number(before, PyList_GetItem(pair, 0), below) &&
           exia__read_number(after, PyList_GetItem(pair, 1), below);
}

static PyObject *room_for(Py_ssize_t count)
{
    return PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(uint32_t));
}

static uint32_t *numbers_in(PyObject *bytes)
{
    return (uint32_t *)(void *)PyBytes_AsString(bytes);
}

static PyObject *of_list(PyObject *module, PyObject *arguments)
{
    PyObject *list;
    unsigned long below;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!k:of_list", &PyList_Type, &list, &below))
        return NULL;
    Py_ssize_t count = PyList_Size(list), done = 0;
    PyObject *numbers = room_for(count);
    if (numbers == NULL)
        return NULL;
    while (done < count &&
           exia__read_number(numbers_in(numbers) + done, PyList_GetItem(list, done), below))
        done++;
    if (done == count)
        return numbers;
    Py_DECREF(numbers);
    Py_RETURN_NONE;
}

static PyObject *of_pairs(PyObject *module, PyObject *arguments)
{
    PyObject *list, *answer = NULL;
    unsigned long below;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!k:of_pairs", &PyList_Type, &list, &below))
        return NULL;
    Py_ssize_t count = PyList_Size(list), done = 0;
    PyObject *before = room_for(count), *after = before ? room_for(count) : NULL;
    if (after == NULL)
        goto done;
    uint32_t *from = numbers_in(before), *to = numbers_in(after);
    while (done < count &&
           exia__read_pair(from + done, to + done, PyList_GetItem(list, done), below))
        done++;
    answer = done == count ? PyTuple_Pack(2, before, after) : Py_NewRef(Py_None);
done:
    Py_XDECREF(before);
    Py_XDECREF(after);
    return answer;
}

/* ---- keys ------------------------------------------------------------------------------------- */

/* The first bytes beside the text: most comparisons need no more, and no look elsewhere. */
typedef struct text {
    uint64_t first;
    const char *bytes;
    Py_ssize_t size, index;
} text;

/* By UTF-8, which is by code points, as Python compares. */
static int compare(const void *left, const void *right)
{
    const text *a = left, *b = right;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, (size_t)(a->size < b->size ? a->size : b->size));
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static bool read_text(text *out, PyObject *value, Py_ssize_t index)
{
    if (!PyUnicode_CheckExact(value))
        return false;
    *out = (text){.index = index};
    out->bytes = PyUnicode_AsUTF8AndSize(value, &out->size);
    if (out->bytes == NULL) { /* half of a surrogate pair */
        PyErr_Clear();
        return false;
    }
    for (Py_ssize_t i = 0; i < 8; i++)
        out->first = out->first << 8 | (i < out->size ? (unsigned char)out->bytes[i] : 0);
    return true;
}

static bool is_integer(int64_t *out, PyObject *value)
{
    int overflow = 0;
    *out = PyLong_CheckExact(value) ? PyLong_AsLongLongAndOverflow(value, &overflow) : 0;
    return PyLong_CheckExact(value) && overflow == 0;
}

/* A text of at most eight bytes as a number that compares as it does. */
static bool is_short(int64_t *out, PyObject *value)
{
    text one;
    if (!read_text(&one, value, 0) || one.size > 8 || memchr(one.bytes, '\0', (size_t)one.size))
        return false;
    *out = (int64_t)(one.first ^ (uint64_t)INT64_MIN);
    return true;
}

/* Keys that are numbers by themselves need not be sorted.  Answers whether all are. */
static bool read_keys(int64_t *out, PyObject *list, Py_ssize_t count,
                      bool read(int64_t *, PyObject *))
{
    Py_ssize_t done = 0;
    while (done < count && read(&out[done], PyList_GetItem(list, done)))
        done++;
    return done == count;
}

static PyObject *ranks(PyObject *module, PyObject *list)
{
    (void)module;
    if (!PyList_CheckExact(list))
        Py_RETURN_NONE;
    Py_ssize_t count = PyList_Size(list), done = 0;
    text *texts = PyMem_Malloc((size_t)count * sizeof *texts);
    PyObject *answer = texts ? PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t))
                             : PyErr_NoMemory();
    if (answer == NULL)
        goto done;
    int64_t *rank = (int64_t *)(void *)PyBytes_AsString(answer), last = 0;
    if (read_keys(rank, list, count, is_integer) || read_keys(rank, list, count, is_short))
        goto done;
    while (done < count && read_text(texts + done, PyList_GetItem(list, done), done))
        done++;
    if (done < count) {
        Py_DECREF(answer);
        answer = Py_NewRef(Py_None);
        goto done;
    }
    qsort(texts, (size_t)count, sizeof *texts, compare);
    for (Py_ssize_t i = 0; i < count; i++) {
        last += i > 0 && compare(&texts[i - 1], &texts[i]) != 0;
        rank[texts[i].index] = last;
    }
done:
    PyMem_Free(texts);
    return answer;
}

static PyMethodDef functions[] = {
    {"of_list", of_list, METH_VARARGS, "Copy integers below a limit; None: they are not."},
    {"of_pairs", of_pairs, METH_VARARGS, "Copy pairs of integers below a limit, as two columns."},
    {"ranks", ranks, METH_O,
     "Give each integer or text a number that compares as it does; as int64."},
    {"descendants", (PyCFunction)(void (*)(void))exia__descendants, METH_FASTCALL,
     "Ask the graph at an address; None: ask another way."},
    {"ancestors", (PyCFunction)(void (*)(void))exia__ancestors, METH_FASTCALL,
     "Ask the graph at an address; None: ask another way."},
    {"path", (PyCFunction)(void (*)(void))exia__path, METH_FASTCALL,
     "Ask the graph at an address; None: ask another way."},
    {"add_edges", (PyCFunction)(void (*)(void))exia__add_edges, METH_FASTCALL,
     "Add edges; the cycle that they would close; None: add them another way."},
    {"tensors", exia__tensors, METH_VARARGS,
     "Read the header of a safetensors file; None: it is to be read another way."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "exia._numbers",
                                 .m_doc = "What takes C to be quick.", .m_methods = functions,
                                 .m_slots = slots};

PyMODINIT_FUNC PyInit__numbers(void)
{
    return PyModuleDef_Init(&definition);
}
