/* Small questions and changes of a graph whose nodes are 0, 1, 2 ...: what goes through cffi takes
 * several times as long as what the library does.
 *
 * Whatever is not plainly such a one, or fails, is answered with None: others ask it again then, and
 * raise.  The caller sees to it that the graph stays, and that nobody else uses it meanwhile. */
#include "_numbers.h"

#include <exia/dag.h>

enum { MOST = 16 }; /* nodes in a question, edges in a change: they lie on the stack */

static PyObject *listed(const uint32_t *nodes, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyLong_FromUnsignedLong(nodes[i]);
        if (number == NULL || PyList_SetItem(list, (Py_ssize_t)i, number) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* The graph at an address that Python keeps as an int; NULL: an exception is set. */
static exia_dag *dag_at(PyObject *const *arguments, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given == wanted)
        return PyLong_AsVoidPtr(arguments[0]);
    PyErr_SetString(PyExc_TypeError, "other arguments are wanted");
    return NULL;
}

static PyObject *found_from(PyObject *const *arguments, Py_ssize_t given,
                            exia_status ask(const uint32_t **, size_t *, exia_dag *,
                                            const uint32_t *, size_t, exia_error *))
{
    const uint32_t *found;
    uint32_t nodes[MOST];
    size_t count;
    exia_status rc;
    exia_dag *dag = dag_at(arguments, given, 2);
    if (dag == NULL)
        return NULL;
    Py_ssize_t size = PyTuple_Size(arguments[1]);
    unsigned long below = exia_dag_node_count(dag);
    if (size < 0)
        return NULL;
    if (size > MOST)
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!exia__read_number(&nodes[i], PyTuple_GetItem(arguments[1], i), below))
            Py_RETURN_NONE;
    }
    Py_BEGIN_ALLOW_THREADS rc = ask(&found, &count, dag, nodes, (size_t)size, NULL);
    Py_END_ALLOW_THREADS if (rc < 0) Py_RETURN_NONE;
    return listed(found, count);
}

PyObject *exia__descendants(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    (void)module;
    return found_from(arguments, given, exia_dag_descendants);
}

PyObject *exia__ancestors(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    (void)module;
    return found_from(arguments, given, exia_dag_ancestors);
}

PyObject *exia__path(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    const uint32_t *found;
    uint32_t from, to;
    size_t count;
    exia_status rc;
    (void)module;
    exia_dag *dag = dag_at(arguments, given, 3);
    if (dag == NULL)
        return NULL;
    unsigned long below = exia_dag_node_count(dag);
    if (!exia__read_number(&from, arguments[1], below) ||
        !exia__read_number(&to, arguments[2], below))
        Py_RETURN_NONE;
    Py_BEGIN_ALLOW_THREADS rc = exia_dag_path(&found, &count, dag, from, to, NULL);
    Py_END_ALLOW_THREADS if (rc < 0) Py_RETURN_NONE;
    return listed(found, count);
}

/* Two lists of as many nodes, or one of pairs and None, as edges.  Answers how many, or -1. */
static Py_ssize_t read_edges(uint32_t *before, uint32_t *after, PyObject *first, PyObject *second,
                             unsigned long below)
{
    int pairs = second == Py_None;
    if (!PyList_CheckExact(first) || (!pairs && !PyList_CheckExact(second)))
        return -1;
    Py_ssize_t count = PyList_Size(first);
    if (count > MOST || (!pairs && PyList_Size(second) != count))
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *one = PyList_GetItem(first, i);
        if (pairs ? !exia__read_pair(&before[i], &after[i], one, below)
                  : !exia__read_number(&before[i], one, below) ||
                        !exia__read_number(&after[i], PyList_GetItem(second, i), below))
            return -1;
    }
    return count;
}

/* The cycle for which edges were refused; an empty list: they were added. */
PyObject *exia__add_edges(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    const uint32_t *cycle = NULL;
    uint32_t before[MOST], after[MOST];
    size_t size = 0;
    exia_status rc;
    (void)module;
    exia_dag *dag = dag_at(arguments, given, 3);
    if (dag == NULL)
        return NULL;
    Py_ssize_t count =
        read_edges(before, after, arguments[1], arguments[2], exia_dag_node_count(dag));
    if (count < 0)
        Py_RETURN_NONE;
    Py_BEGIN_ALLOW_THREADS rc = exia_dag_add_edges(dag, before, after, (size_t)count, NULL);
    if (rc == EXIA_ECYCLE)
        exia_dag_cycle_shown(&cycle, &size, dag, NULL);
    Py_END_ALLOW_THREADS if (rc < 0 && rc != EXIA_ECYCLE) Py_RETURN_NONE;
    return listed(cycle, size);
}
