/* Loans, for Python: what must be quick about them.
 *
 * Lender.borrow() is a look-up in a dict, one call that waits for nothing, and a Lease; giving back is
 * one call more.  Where that does not do, the same is asked without the GIL, for then locks are waited
 * for and factories called.  Errors, and what finalisers left to do, are Python's, in _lease.py. */
#include "_loans.h"

struct exia__python exia__python;

/* ---- lending --------------------------------------------------------------------------------- */

typedef struct lender {
    PyObject_HEAD PyObject *found; /* a dict: what can be borrowed -> component */
} lender;

static int lender_traverse(lender *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->found);
    return 0;
}

static int lender_clear(lender *self)
{
    Py_CLEAR(self->found);
    return 0;
}

static void lender_dealloc(lender *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->found);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* A lease of what was asked for, PENDING. */
static lease *lender_begin(lender *self, PyObject *what, PyFrameObject *frame)
{
    PyObject *component = self->found ? PyDict_GetItemWithError(self->found, what) : NULL;
    if (component != NULL) {
        Py_INCREF(component);
    } else {
        if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_TypeError)) /* not hashable */
            PyErr_Clear();
        if (!PyErr_Occurred())
            component = PyObject_CallMethodObjArgs((PyObject *)self, exia__python.find, what, NULL);
    }
    site where;
    lease *loan = NULL;
    if (component != NULL && exia__site_of(&where, frame) == 0)
        loan = exia__lease_new(component, &where);
    Py_XDECREF(component);
    return loan;
}

/* what, timeout=None */
static int read_arguments(PyObject *out[2], PyObject *const *given, Py_ssize_t count,
                          PyObject *keywords)
{
    static const char *const names[2] = {"what", "timeout"};
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    for (Py_ssize_t i = 0; i < count && i < 2; i++)
        out[i] = given[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(keywords, i);
        int k = 0;
        while (k < 2 && PyUnicode_CompareWithASCIIString(name, names[k]) != 0)
            k++;
        if (k == 2 || out[k] != NULL) {
            PyErr_Format(PyExc_TypeError, "borrow() got %s argument %R",
                         k == 2 ? "an unexpected keyword" : "two values for", name);
            return -1;
        }
        out[k] = given[count + i];
    }
    if (count > 2 || out[0] == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "borrow() takes what to borrow and a timeout, not %zd arguments",
                     count + named);
        return -1;
    }
    return 0;
}

/* What is no plain number is checked by Python.  -1: for ever */
static int read_timeout(int64_t *wait_ms, PyObject *timeout)
{
    double value = 0;
    int over = 0;
    *wait_ms = -1;
    if (timeout == NULL || timeout == Py_None)
        return 0;
    Py_INCREF(timeout);
    if (PyFloat_CheckExact(timeout))
        value = PyFloat_AsDouble(timeout);
    if (!PyLong_CheckExact(timeout) && (!PyFloat_CheckExact(timeout) || value != value)) {
        PyObject *checked = PyObject_CallFunctionObjArgs(exia__python.seconds, timeout, NULL);
        Py_DECREF(timeout);
        if (checked == NULL)
            return -1;
        timeout = checked;
        value = PyFloat_AsDouble(timeout);
    }
    if (PyLong_CheckExact(timeout))
        value = (double)PyLong_AsLongAndOverflow(timeout, &over);
    Py_DECREF(timeout);
    if (over < 0 || value <= 0)
        *wait_ms = 0;
    else if (over == 0 && value < 1e9) { /* thirty years */
        *wait_ms = (int64_t)(value * 1000);
        *wait_ms += (double)*wait_ms < value * 1000;
    }
    return 0;
}

static PyObject *lender_borrow(lender *self, PyObject *const *given, Py_ssize_t count,
                               PyObject *keywords)
{
    PyObject *arguments[2] = {NULL, NULL}, *why = NULL;
    int64_t wait_ms;
    if (read_arguments(arguments, given, count, keywords) < 0 || exia__drain() < 0)
        return NULL;
    lease *loan = lender_begin(self, arguments[0], PyEval_GetFrame());
    if (loan == NULL || read_timeout(&wait_ms, arguments[1]) < 0)
        goto failed;
    if (exia_component_try_borrow(&loan->c, loan->from, loan->where) != EXIA_OK) {
        why = exia__lease_borrow(loan, wait_ms);
        if (why != Py_None) {
            exia__fail(why);
            goto failed;
        }
        Py_DECREF(why);
    }
    if (exia__lease_open(loan) < 0)
        goto failed;
    return (PyObject *)loan;
failed:
    Py_XDECREF(loan);
    return NULL;
}

static PyObject *lender_lease(lender *self, PyObject *arguments)
{
    PyObject *what, *frame;
    if (!PyArg_ParseTuple(arguments, "OO:_lease", &what, &frame))
        return NULL;
    return (PyObject *)lender_begin(self, what, (PyFrameObject *)frame);
}

PyDoc_STRVAR(borrow_doc,
             "borrow($self, what, timeout=None)\n--\n\n"
             "Borrow an object, building it and what it needs if there is room.\n\n"
             "Parameters\n----------\n"
             "what\n    A name; or the class or callable that makes the objects, or made them\n"
             "    before `replace` or `reload`, if it does for one component only.\n"
             "timeout\n    Seconds to wait for a return.  None: as long as it takes; "
             "Ctrl-C ends the wait.\n\n"
             "Returns\n-------\n"
             "Lease\n    In a `with` block it gives the object, and takes it back.\n\n"
             "Raises\n------\n"
             "TimeoutError\n    None came back in time; or none can, for others keep them "
             "all for life.\n"
             "CycleError\n    A factory or hook borrows its own component, or what needs it;\n"
             "    or who has it waits, in the end, for this very call.\n"
             "NotFoundError\n    There is no such component, or no such need.\n"
             "ClosedError\n    The pool is closed, or is just being closed.\n"
             "Exception\n    Whatever the factory raised, the very exception.\n");
static PyMethodDef lender_methods[] = {
    {"borrow", (PyCFunction)(void (*)(void))lender_borrow, METH_FASTCALL | METH_KEYWORDS,
     borrow_doc},
    {"_lease", (PyCFunction)lender_lease, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef lender_members[] = {
    {"_found", T_OBJECT, offsetof(lender, found), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot lender_slots[] = {
    {Py_tp_doc, "What lends: the quick part of a Pool."},
    {Py_tp_dealloc, lender_dealloc},
    {Py_tp_traverse, lender_traverse},
    {Py_tp_clear, lender_clear},
    {Py_tp_methods, lender_methods},
    {Py_tp_members, lender_members},
    {0, NULL},
};
static PyType_Spec lender_spec = {.name = "exia._loans.Lender",
                                  .basicsize = sizeof(lender),
                                  .flags =
                                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                                  .slots = lender_slots};

/* ---- the module ------------------------------------------------------------------------------ */

static PyObject *hand_over(PyObject *module, PyObject *functions)
{
    (void)module;
    if (!PyArg_ParseTuple(functions, "OOOOOOOOO:hand_over", &exia__python.site, &exia__python.fail,
                          &exia__python.seconds, &exia__python.drop, &exia__python.noted,
                          &exia__python.drain, &exia__python.ask, &exia__python.back,
                          &exia__python.park))
        return NULL;
    Py_INCREF(functions); /* and what is in it, as long as the process lives */
    return Py_NewRef(Py_None);
}

static int execute(PyObject *module)
{
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError, "exia: subinterpreters are not supported yet");
        return -1;
    }
    if (exia__on_wait_open() != 0) {
        PyErr_NoMemory();
        return -1;
    }
    exia__python.find = PyUnicode_InternFromString("_find");
    exia__python.f_lasti = PyUnicode_InternFromString("f_lasti");
    exia__python.lease = (PyTypeObject *)PyType_FromSpec(&exia__lease_spec);
    PyObject *lends = PyType_FromSpec(&lender_spec);
    PyObject *address = PyLong_FromVoidPtr((void *)(intptr_t)exia__on_wait);
    int failed = !exia__python.find || !exia__python.f_lasti || !exia__python.lease || !lends ||
                 PyModule_AddType(module, exia__python.lease) < 0 ||
                 PyModule_AddType(module, (PyTypeObject *)lends) < 0;
    failed = failed || !address || PyModule_AddObjectRef(module, "on_wait", address) < 0;
    Py_XDECREF(address);
    Py_XDECREF(lends);
    return failed ? -1 : 0;
}

static PyMethodDef functions[] = {
    {"hand_over", hand_over, METH_VARARGS, "Take the functions for what is not quick."},
    {"look_back", exia__look_back, METH_NOARGS, "See to this thread when it is back from C."},
    {"leave", exia__leave, METH_NOARGS, "Let no waiting thread enter Python from now on."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "exia._loans",
                                 .m_doc = "Loans: what must be quick about them.",
                                 .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__loans(void)
{
    return PyModuleDef_Init(&definition);
}
