/* Loans, for Python: what must be quick about them.
 *
 * Lender.borrow() is a look-up in a dict, one call that takes no lock, and a Lease; giving back is one
 * call.  Whatever cannot be done at once (a wait, a factory, an error) is done by the Python functions
 * that _lease.py hands over, so that there is one place for exceptions, Ctrl-C and callbacks.
 *
 * None of the types but Lender takes part in garbage collection: what a loan refers to is lent by the
 * pool, which holds it as long as the loan is out, so no cycle through a lease is ever garbage. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <stdbool.h>
#include <structmember.h>

#include <exia.h>

/* Of a library that has them; without them every loan takes the slow way. */
#pragma weak exia_component_try_borrow
#pragma weak exia_lease_try_return
exia_status exia_component_try_borrow(exia_lease *, exia_component *, const char *);
exia_status exia_lease_try_return(const exia_lease *);

static struct {
    PyObject *site;   /* (frame) -> Site */
    PyObject *settle; /* (lease, discard): give back what takes longer, or was given back before */
    PyObject *drop;   /* (lease, report): give back what nobody holds any more, perhaps later */
    PyObject *noted;  /* what finalisers left to do; then nothing is quick, for it comes first */
} python;
static PyObject *name_find, *name_borrow_slowly, *name_lasti;
static PyTypeObject *lease_type, *component_type;

static bool nothing_noted(void)
{
    return PyObject_Size(python.noted) == 0;
}

/* ---- where a loan is taken ------------------------------------------------------------------- */

/* The sites used last, by code and instruction.  A site keeps its code, so addresses stay unique; a
 * lease keeps its site, and thereby the text whose address the pool has. */
typedef struct site {
    PyObject *self; /* (code, text, ...) */
    PyObject *code;
    const char *text;
    long instruction;
} site;
enum { SITES = 256 };
static site sites[SITES];

int PyFrame_GetLasti(PyFrameObject *) __attribute__((weak)); /* since Python 3.11 */

static long instruction_of(PyFrameObject *frame)
{
    if (PyFrame_GetLasti != NULL)
        return PyFrame_GetLasti(frame);
    PyObject *number = PyObject_GetAttr((PyObject *)frame, name_lasti);
    long answer = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    return answer;
}

static int fill_site(site *entry, PyObject *code, long instruction, PyFrameObject *frame)
{
    PyObject *made = PyObject_CallFunctionObjArgs(python.site, frame, NULL);
    PyObject *text = made ? PyTuple_GetItem(made, 1) : NULL;
    const char *shown = text ? PyBytes_AsString(text) : NULL;
    if (shown == NULL) {
        Py_XDECREF(made);
        return -1;
    }
    PyObject *before = entry->self;
    *entry = (site){made, code, shown, instruction};
    Py_XDECREF(before);
    return 0;
}

/* Where this frame is now; NULL: an exception is set. */
static const site *site_of(PyFrameObject *frame)
{
    static const site nowhere;
    if (frame == NULL)
        return &nowhere;
    PyObject *code = (PyObject *)PyFrame_GetCode(frame);
    long instruction = instruction_of(frame);
    site *entry = &sites[(((uintptr_t)code >> 5) + (uintptr_t)instruction) % SITES];
    int failed = 0;
    if (entry->code != code || entry->instruction != instruction)
        failed = fill_site(entry, code, instruction, frame);
    Py_DECREF(code);
    return failed ? NULL : entry;
}

/* ---- components ------------------------------------------------------------------------------ */

typedef struct component {
    PyObject_HEAD exia_component *c;
    PyObject *name;
    PyObject *pool;    /* the C pool, so that a loan may outlive the Pool */
    PyObject *objects; /* a list, in which C has places; None: they are C's, shown as addresses */
} component;

static PyObject *component_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *name, *address, *pool, *objects;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "UO!OO:Component", &name, &PyLong_Type, &address, &pool,
                          &objects))
        return NULL;
    void *c = PyLong_AsVoidPtr(address);
    if (c == NULL && PyErr_Occurred())
        return NULL;
    component *self = PyObject_New(component, type);
    if (self == NULL)
        return NULL;
    self->c = c;
    self->name = Py_NewRef(name);
    self->pool = Py_NewRef(pool);
    self->objects = Py_NewRef(objects);
    return (PyObject *)self;
}

static void component_dealloc(component *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(self->name);
    Py_DECREF(self->pool);
    Py_DECREF(self->objects);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *component_address(component *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(self->c);
}

/* ---- leases ---------------------------------------------------------------------------------- */

enum { PENDING, OPEN, ENDED }; /* PENDING: has no object yet; if it has a loan, nobody knows it */
typedef struct lease {
    PyObject_HEAD exia_lease c;
    component *component;
    PyObject *site;
    PyObject *object; /* when OPEN */
    int state;
} lease;

static lease *lease_new(component *from, PyObject *where)
{
    lease *self = PyObject_New(lease, lease_type);
    if (self == NULL)
        return NULL;
    self->c = (exia_lease){0};
    self->component = (component *)Py_NewRef(from);
    self->site = Py_XNewRef(where);
    self->object = NULL;
    self->state = PENDING;
    return self;
}

/* The loan is there: show its object. */
static int lease_open(lease *self)
{
    PyObject *objects = self->component->objects;
    if (objects == Py_None)
        self->object = PyLong_FromVoidPtr(self->c.object);
    else
        self->object = Py_XNewRef(PyList_GetItem(objects, (Py_ssize_t)self->c.object));
    if (self->object == NULL)
        return -1;
    self->state = OPEN;
    return 0;
}

static PyObject *lease_end(lease *self, int discard)
{
    PyObject *object = self->object, *answer = NULL;
    int was = self->state;
    self->object = NULL;
    self->state = ENDED;
    if (was == OPEN && !discard && nothing_noted() && exia_lease_try_return != NULL &&
        exia_lease_try_return(&self->c) == EXIA_OK)
        answer = Py_NewRef(Py_None);
    else
        answer =
            PyObject_CallFunctionObjArgs(python.settle, self, discard ? Py_True : Py_False, NULL);
    Py_XDECREF(object);
    return answer;
}

/* The loan goes on without its lease: another one takes it over and is given to Python. */
static void lease_drop(lease *self)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    lease *heir = lease_new(self->component, self->site);
    PyObject *done = NULL;
    if (heir != NULL) {
        heir->c = self->c;
        heir->state = ENDED;
        done = PyObject_CallFunctionObjArgs(python.drop, heir,
                                            self->state == OPEN ? Py_True : Py_False, NULL);
    }
    if (done == NULL)
        PyErr_WriteUnraisable(NULL);
    Py_XDECREF(done);
    Py_XDECREF(heir);
    PyErr_Restore(type, value, trace);
}

static void lease_dealloc(lease *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->state != ENDED && self->c.component != NULL)
        lease_drop(self);
    Py_DECREF(self->component);
    Py_XDECREF(self->site);
    Py_XDECREF(self->object);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *lease_close(lease *self, PyObject *unused)
{
    (void)unused;
    return lease_end(self, 0);
}

static PyObject *lease_discard(lease *self, PyObject *unused)
{
    (void)unused;
    return lease_end(self, 1);
}

static PyObject *lease_enter(lease *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self->object ? self->object : Py_None);
}

static PyObject *lease_exit(lease *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)arguments, (void)count;
    if (self->state == OPEN) /* not given back or discarded in the block */
        return lease_end(self, 0);
    return Py_NewRef(Py_None);
}

static PyObject *lease_reduce(lease *self, PyObject *unused)
{
    (void)self, (void)unused;
    PyErr_SetString(PyExc_TypeError, "a Lease is one owner: it cannot be copied or pickled");
    return NULL;
}

static PyObject *lease_repr(lease *self)
{
    return PyUnicode_FromFormat("<exia.Lease of %R%s>", self->component->name,
                                self->state == ENDED ? ", given back" : "");
}

static PyObject *lease_address(lease *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(&self->c);
}

/* ---- lending --------------------------------------------------------------------------------- */

typedef struct lender {
    PyObject_HEAD PyObject *found; /* what was borrowed before: name or class -> Component */
} lender;

static PyObject *lender_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)arguments, (void)keywords;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    lender *self = (lender *)allocate(type, 0);
    if (self != NULL && (self->found = PyDict_New()) == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int lender_traverse(lender *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->found);
    return 0;
}

static int lender_clear(lender *self)
{
    if (self->found != NULL)
        PyDict_Clear(self->found);
    return 0;
}

static void lender_dealloc(lender *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->found);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* borrow(what, timeout=None) */
static int read_arguments(PyObject *out[2], PyObject *const *given, Py_ssize_t count,
                          PyObject *keywords)
{
    static const char *const names[2] = {"what", "timeout"};
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    if (count > 2) {
        PyErr_Format(PyExc_TypeError, "borrow() takes at most 2 arguments (%zd given)", count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        out[i] = given[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(keywords, i);
        int k = PyUnicode_CompareWithASCIIString(name, names[1]) == 0;
        if (!k && PyUnicode_CompareWithASCIIString(name, names[0]) != 0) {
            PyErr_Format(PyExc_TypeError, "borrow() got an unexpected keyword argument %R", name);
            return -1;
        }
        if (out[k] != NULL) {
            PyErr_Format(PyExc_TypeError, "borrow() got two values for %R", name);
            return -1;
        }
        out[k] = given[count + i];
    }
    if (out[0] == NULL)
        PyErr_SetString(PyExc_TypeError, "borrow() needs an argument: what to borrow");
    return out[0] ? 0 : -1;
}

static component *find(lender *self, PyObject *what)
{
    PyObject *found = PyDict_GetItemWithError(self->found, what);
    if (found != NULL)
        return (component *)Py_NewRef(found);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) /* not hashable */
            return NULL;
        PyErr_Clear();
    }
    found = PyObject_CallMethodObjArgs((PyObject *)self, name_find, what, NULL);
    if (found != NULL && Py_TYPE(found) != component_type) {
        PyErr_Format(PyExc_TypeError, "_find() answered %R", found);
        Py_CLEAR(found);
    }
    return (component *)found;
}

/* A lease of what was asked for; with the loan, if that can be had at once. */
static lease *begin(lender *self, PyObject *what, PyFrameObject *frame, bool at_once)
{
    component *from = find(self, what);
    const site *where = from ? site_of(frame) : NULL;
    lease *loan = where ? lease_new(from, where->self) : NULL;
    if (loan != NULL && at_once && exia_component_try_borrow != NULL)
        exia_component_try_borrow(&loan->c, from->c, where->text);
    Py_XDECREF(from);
    return loan;
}

static bool is_seconds(PyObject *timeout)
{
    return PyFloat_CheckExact(timeout) ? PyFloat_AsDouble(timeout) == PyFloat_AsDouble(timeout)
                                       : PyLong_CheckExact(timeout);
}

static PyObject *lender_borrow(lender *self, PyObject *const *given, Py_ssize_t count,
                               PyObject *keywords)
{
    PyObject *arguments[2] = {NULL, NULL}, *done = NULL;
    if (read_arguments(arguments, given, count, keywords) < 0)
        return NULL;
    PyObject *timeout = arguments[1] ? arguments[1] : Py_None;
    bool at_once = (timeout == Py_None || is_seconds(timeout)) && nothing_noted();
    lease *loan = begin(self, arguments[0], PyEval_GetFrame(), at_once);
    if (loan == NULL)
        return NULL;
    if (loan->c.component == NULL) {
        done =
            PyObject_CallMethodObjArgs((PyObject *)self, name_borrow_slowly, loan, timeout, NULL);
        if (done == NULL)
            goto failed;
        Py_DECREF(done);
    }
    if (lease_open(loan) < 0)
        goto failed;
    return (PyObject *)loan;
failed:
    Py_DECREF(loan);
    return NULL;
}

/* _begin(what, frame): for those who go on in Python */
static PyObject *lender_begin(lender *self, PyObject *arguments)
{
    PyObject *what, *frame;
    if (!PyArg_ParseTuple(arguments, "OO:_begin", &what, &frame))
        return NULL;
    return (PyObject *)begin(self, what, (PyFrameObject *)frame, nothing_noted());
}

/* ---- the module ------------------------------------------------------------------------------ */

static PyObject *lease_show(lease *self, PyObject *unused)
{
    (void)unused;
    if (lease_open(self) < 0)
        return NULL;
    return Py_NewRef(Py_None);
}

static PyObject *lease_taken(lease *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->c.component != NULL);
}

static PyMemberDef component_members[] = {
    {"name", T_OBJECT, offsetof(component, name), READONLY, NULL},
    {"pool", T_OBJECT, offsetof(component, pool), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef component_getset[] = {
    {"address", (getter)component_address, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot component_slots[] = {
    {Py_tp_doc, "A name resolved once: Component(name, address, pool, objects)."},
    {Py_tp_new, component_new},
    {Py_tp_dealloc, component_dealloc},
    {Py_tp_members, component_members},
    {Py_tp_getset, component_getset},
    {0, NULL},
};
static PyType_Spec component_spec = {"exia._loans.Component", sizeof(component), 0,
                                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                                     component_slots};

PyDoc_STRVAR(
    lease_doc,
    "One loan: `.object`, until it is given back.\n\n"
    "As a context manager it gives the object, and takes it back at the end of the block.  The "
    "first\n"
    "return counts; a second one raises InvalidError.  A lease that is dropped is returned all "
    "the\n"
    "same, with a ResourceWarning at the line where it was taken, and a line in the log.\n\n"
    "Examples\n--------\n"
    ">>> import exia\n"
    ">>> pool = exia.Pool(\"demo\")\n"
    ">>> pool.add(\"words\", list)\n"
    ">>> lease = pool.borrow(\"words\")\n"
    ">>> lease.object.append(\"hello\")\n"
    ">>> lease.close()\n"
    ">>> pool.close()\n");
static PyMethodDef lease_methods[] = {
    {"close", (PyCFunction)lease_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nGive the object back, from any thread.")},
    {"discard", (PyCFunction)lease_discard, METH_NOARGS,
     PyDoc_STR("discard($self, /)\n--\n\nGive back an object that is no longer fit: it is "
               "destroyed, and replaced when needed.")},
    {"__enter__", (PyCFunction)lease_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))lease_exit, METH_FASTCALL, NULL},
    {"__reduce__", (PyCFunction)lease_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {"_open", (PyCFunction)lease_show, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef lease_members[] = {
    {"object", T_OBJECT, offsetof(lease, object), READONLY, "What is lent; None: given back."},
    {"_component", T_OBJECT, offsetof(lease, component), READONLY, NULL},
    {"_site", T_OBJECT, offsetof(lease, site), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef lease_getset[] = {
    {"_address", (getter)lease_address, NULL, "Of the exia_lease.", NULL},
    {"_taken", (getter)lease_taken, NULL, "Whether there is, or was, a loan.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot lease_slots[] = {
    {Py_tp_doc, (void *)lease_doc},
    {Py_tp_dealloc, lease_dealloc},
    {Py_tp_repr, lease_repr},
    {Py_tp_methods, lease_methods},
    {Py_tp_members, lease_members},
    {Py_tp_getset, lease_getset},
    {0, NULL},
};
static PyType_Spec lease_spec = {
    "exia._loans.Lease", sizeof(lease), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, lease_slots};

PyDoc_STRVAR(borrow_doc, "borrow($self, what, timeout=None)\n--\n\n"
                         "Borrow an object, building it and what it needs if there is room.\n\n"
                         "Parameters\n----------\n"
                         "what\n    A name; or the class or callable that was added.\n"
                         "timeout\n    Seconds to wait for a return.  None: as long as it takes; "
                         "Ctrl-C ends the wait.\n\n"
                         "Raises\n------\n"
                         "TimeoutError\n    All objects are lent.\n"
                         "NotFoundError\n    There is no such component, or no such need.\n"
                         "Exception\n    Whatever the factory raised, the very exception.\n");
static PyMethodDef lender_methods[] = {
    {"borrow", (PyCFunction)(void (*)(void))lender_borrow, METH_FASTCALL | METH_KEYWORDS,
     borrow_doc},
    {"_begin", (PyCFunction)lender_begin, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef lender_members[] = {
    {"_found", T_OBJECT, offsetof(lender, found), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot lender_slots[] = {
    {Py_tp_doc, "What lends: the quick part of a Pool, which finds, waits and builds."},
    {Py_tp_new, lender_new},
    {Py_tp_dealloc, lender_dealloc},
    {Py_tp_traverse, lender_traverse},
    {Py_tp_clear, lender_clear},
    {Py_tp_methods, lender_methods},
    {Py_tp_members, lender_members},
    {0, NULL},
};
static PyType_Spec lender_spec = {"exia._loans.Lender", sizeof(lender), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                                  lender_slots};

static PyObject *hand_over(PyObject *module, PyObject *arguments)
{
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOOO:hand_over", &python.site, &python.settle, &python.drop,
                          &python.noted))
        return NULL;
    Py_INCREF(arguments); /* and with it what it holds, for as long as the process lives */
    return Py_NewRef(Py_None);
}

static int add_type(PyObject *module, PyTypeObject **out, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(spec);
    if (type == NULL || PyModule_AddType(module, type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    if (out != NULL)
        *out = type;
    else
        Py_DECREF(type);
    return 0;
}

static int execute(PyObject *module)
{
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError, "exia: subinterpreters are not supported yet");
        return -1;
    }
    name_find = PyUnicode_InternFromString("_find");
    name_borrow_slowly = PyUnicode_InternFromString("_borrow_slowly");
    name_lasti = PyUnicode_InternFromString("f_lasti");
    if (name_find == NULL || name_borrow_slowly == NULL || name_lasti == NULL)
        return -1;
    if (add_type(module, &component_type, &component_spec) < 0 ||
        add_type(module, &lease_type, &lease_spec) < 0 || add_type(module, NULL, &lender_spec) < 0)
        return -1;
    return 0;
}

static PyMethodDef functions[] = {
    {"hand_over", hand_over, METH_VARARGS, PyDoc_STR("Take the functions for what is not quick.")},
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
