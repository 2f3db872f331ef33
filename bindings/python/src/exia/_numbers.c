/* Lists of Python's integers as columns for C, for graphs whose nodes are 0, 1, 2 ...
 *
 * Nothing of Python's runs meanwhile, so a list stays as it is.  Whatever is no plain integer of a
 * node that is there makes the answer None: others see to it then, and refuse it if need be. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

static bool read_number(uint32_t *out, PyObject *value, unsigned long below)
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

static bool read_pair(uint32_t *before, uint32_t *after, PyObject *pair, unsigned long below)
{
    if (PyTuple_CheckExact(pair))
        return PyTuple_Size(pair) == 2 && read_number(before, PyTuple_GetItem(pair, 0), below) &&
               read_number(after, PyTuple_GetItem(pair, 1), below);
    return PyList_CheckExact(pair) && PyList_Size(pair) == 2 &&
           read_number(before, PyList_GetItem(pair, 0), below) &&
           read_number(after, PyList_GetItem(pair, 1), below);
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
           read_number(numbers_in(numbers) + done, PyList_GetItem(list, done), below))
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
    while (done < count && read_pair(from + done, to + done, PyList_GetItem(list, done), below))
        done++;
    answer = done == count ? PyTuple_Pack(2, before, after) : Py_NewRef(Py_None);
done:
    Py_XDECREF(before);
    Py_XDECREF(after);
    return answer;
}

static PyMethodDef functions[] = {
    {"of_list", of_list, METH_VARARGS, "Copy integers below a limit; None: they are not."},
    {"of_pairs", of_pairs, METH_VARARGS, "Copy pairs of integers below a limit, as two columns."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "exia._numbers",
                                 .m_doc = "Lists of integers as columns for C.",
                                 .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__numbers(void)
{
    return PyModuleDef_Init(&definition);
}
