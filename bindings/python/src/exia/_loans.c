/* Loans, for Python: what must be quick about them.
 *
 * Lender.borrow() is a look-up in a dict, one call that takes no lock, and a Lease; giving back is one
 * call more.  Where that does not do, the same is asked without the GIL, for then locks are taken and
 * factories called.  Waiting, errors and what finalisers left to do are Python's, in _lease.py.
 *
 * A Lease takes no part in garbage collection: what it refers to is held by the pool while the loan
 * is out, and let go when it is over, so no cycle through a lease is ever garbage. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <structmember.h>

#include <exia.h>

static struct { /* for one interpreter: others are refused */
    PyTypeObject *lease;
    PyObject *site;    /* (frame) -> Site */
    PyObject *fail;    /* (status, native, text): raise what it means */
    PyObject *seconds; /* (timeout): check it */
    PyObject *drop;    /* (lease, report): give back what nobody holds any more, perhaps later */
    PyObject *noted;   /* what finalisers left to do ... */
    PyObject *drain;   /* (): do it */
    PyObject *ask;     /* (): is this thread, which waits in C, to stop? */
    PyObject *awake;   /* (): it waits no longer */
    PyObject *park;    /* (kind, exception, traceback): keep it until C has returned */
    PyObject *find, *f_lasti; /* names */
} python;

/* ---- where a loan is taken ------------------------------------------------------------------- */

/* The sites used last, by code and instruction.  A site keeps its code, so addresses stay unique; a
 * lease keeps its site, and thereby the text whose address the pool has. */
typedef struct site {
    PyObject *code, *self; /* self: (code, text, ...) */
    const char *text;
    long instruction;
} site;
static site sites[256];

int PyFrame_GetLasti(PyFrameObject *) __attribute__((weak)); /* since Python 3.11 */

static long instruction_of(PyFrameObject *frame)
{
    if (PyFrame_GetLasti != NULL)
        return PyFrame_GetLasti(frame);
    PyObject *number = PyObject_GetAttr((PyObject *)frame, python.f_lasti);
    long answer = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    return answer;
}

static const site *site_of(PyFrameObject *frame)
{
    static const site nowhere;
    if (frame == NULL)
        return &nowhere;
    PyObject *code = (PyObject *)PyFrame_GetCode(frame);
    long instruction = instruction_of(frame);
    site *entry = &sites[(((uintptr_t)code >> 5) + (uintptr_t)instruction) % 256];
    Py_DECREF(code); /* the frame has it */
    if (entry->code == code && entry->instruction == instruction)
        return entry;
    PyObject *made = PyObject_CallFunctionObjArgs(python.site, frame, NULL);
    PyObject *text = made ? PyTuple_GetItem(made, 1) : NULL;
    const char *shown = text ? PyBytes_AsString(text) : NULL;
    if (shown == NULL) {
        Py_XDECREF(made);
        return NULL;
    }
    PyObject *before = entry->self;
    *entry = (site){code, made, shown, instruction};
    Py_XDECREF(before);
    return entry;
}

/* ---- leases ---------------------------------------------------------------------------------- */

enum { PENDING, OPEN, ENDED }; /* PENDING: if it has a loan already, nobody knows that object */
typedef struct lease {
    PyObject_HEAD exia_lease c;
    exia_component *from;
    PyObject *component; /* (name, address, pool, objects) */
    PyObject *site;      /* NULL: unknown */
    const char *where;   /* its text */
    PyObject *object;    /* when OPEN */
    int state;
} lease;

static lease *lease_new(PyObject *component, const site *where)
{
    PyObject *address = PyTuple_GetItem(component, 1);
    void *from = address ? PyLong_AsVoidPtr(address) : NULL;
    lease *self = from ? PyObject_New(lease, python.lease) : NULL;
    if (self == NULL)
        return NULL;
    self->c = (exia_lease){0};
    self->from = from;
    self->component = Py_NewRef(component);
    self->site = Py_XNewRef(where->self);
    self->where = where->text;
    self->object = NULL;
    self->state = PENDING;
    return self;
}

static int drain(void)
{
    PyObject *done = NULL;
    if (PyObject_Size(python.noted) == 0)
        return 0;
    done = PyObject_CallNoArgs(python.drain);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *failure(exia_status rc, const exia_error *err)
{
    bool filled = err->status == rc;
    return Py_BuildValue("iis", (int)rc, filled ? (int)err->native : 0, filled ? err->text : "");
}

static PyObject *fail(PyObject *failure)
{
    PyObject *never = failure ? PyObject_CallObject(python.fail, failure) : NULL;
    Py_XDECREF(failure);
    return never;
}

/* This thread is back from a call in which it was asked whether to wait on. */
static _Thread_local bool asked;
static int awake(void)
{
    if (!asked)
        return 0;
    asked = false;
    PyObject *done = PyObject_CallNoArgs(python.awake);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Answer with None, or with (status, native, text). */
static PyObject *lease_borrow(lease *self, int64_t wait_ms)
{
    exia_error err = {0};
    PyThreadState *thread = PyEval_SaveThread();
    exia_status rc = exia_component_borrow(&self->c, self->from, wait_ms, self->where, &err);
    PyEval_RestoreThread(thread);
    if (awake() < 0)
        return NULL;
    return rc == EXIA_OK ? Py_NewRef(Py_None) : failure(rc, &err);
}

/* The same by a place in the queue; `try`: unless a factory is to be asked, which is EXIA_DONE. */
static PyObject *lease_borrow_by(lease *self, PyObject *arguments)
{
    PyObject *address;
    int try;
    exia_error err = {0};
    if (!PyArg_ParseTuple(arguments, "O!p:_borrow_by", &PyLong_Type, &address, &try))
        return NULL;
    exia_place *place = PyLong_AsVoidPtr(address);
    PyThreadState *thread = PyEval_SaveThread();
    exia_status rc = try ? exia_place_try_borrow(&self->c, place, self->where, &err)
                         : exia_place_borrow(&self->c, place, self->where, &err);
    PyEval_RestoreThread(thread);
    if (awake() < 0)
        return NULL;
    return rc == EXIA_OK ? Py_NewRef(Py_None) : failure(rc, &err);
}

/* The loan is there: find its object. */
static int lease_open(lease *self)
{
    PyObject *objects = PyTuple_GetItem(self->component, 3);
    if (objects == NULL)
        return -1;
    if (objects == Py_None) /* they are C's */
        self->object = PyLong_FromVoidPtr(self->c.object);
    else
        self->object = Py_XNewRef(PyList_GetItem(objects, (Py_ssize_t)self->c.object));
    if (self->object == NULL)
        return -1;
    self->state = OPEN;
    return 0;
}

static bool lease_try_end(lease *self)
{
    if (self->state != OPEN || exia_lease_try_return(&self->c) != EXIA_OK)
        return false;
    self->state = ENDED;
    Py_CLEAR(self->object);
    return true;
}

static PyObject *lease_end(lease *self, bool discard)
{
    exia_error err = {0};
    if (drain() < 0)
        return NULL;
    if (!discard && lease_try_end(self))
        return Py_NewRef(Py_None);
    self->state = ENDED;
    Py_CLEAR(self->object);
    PyThreadState *thread = PyEval_SaveThread();
    exia_status rc =
        discard ? exia_lease_discard(&self->c, &err) : exia_lease_return(&self->c, &err);
    PyEval_RestoreThread(thread);
    if (rc >= 0)
        return Py_NewRef(Py_None);
    return fail(failure(rc, &err));
}

/* The loan goes on without its lease: another one takes it over and is given to Python. */
static void lease_drop(lease *self)
{
    PyObject *type, *value, *trace, *done = NULL;
    const site where = {NULL, self->site, self->where, 0};
    PyErr_Fetch(&type, &value, &trace);
    lease *heir = lease_new(self->component, &where);
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
    Py_XDECREF(self->object);
    Py_XDECREF(self->site);
    Py_DECREF(self->component);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *lease_close(lease *self, PyObject *unused)
{
    (void)unused;
    return lease_end(self, false);
}

static PyObject *lease_discard(lease *self, PyObject *unused)
{
    (void)unused;
    return lease_end(self, true);
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
        return lease_end(self, false);
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
    return PyUnicode_FromFormat("<exia.Lease of %R%s>", PyTuple_GetItem(self->component, 0),
                                self->state == ENDED ? ", given back" : "");
}

static PyObject *lease_address(lease *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(&self->c);
}

/* ---- for those who go on in Python ---- */

static PyObject *lease_try_open(lease *self, PyObject *unused)
{
    (void)unused;
    if (self->state == PENDING &&
        (self->c.component != NULL ||
         exia_component_try_borrow(&self->c, self->from, self->where) == EXIA_OK) &&
        lease_open(self) < 0)
        return NULL;
    return PyBool_FromLong(self->state == OPEN);
}

static PyObject *lease_try_close(lease *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(self->state != OPEN || lease_try_end(self));
}

PyDoc_STRVAR(
    lease_doc,
    "One loan: `.object`, until it is given back.\n\n"
    "As a context manager it gives the object, and takes it back at the end of the block.\n"
    "The first return counts; a second one raises InvalidError.  A lease that is dropped is\n"
    "returned all the same, with a ResourceWarning at the line where it was taken, and a\n"
    "line in the log.\n\n"
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
     "close($self, /)\n--\n\nGive the object back, from any thread."},
    {"discard", (PyCFunction)lease_discard, METH_NOARGS,
     "discard($self, /)\n--\n\n"
     "Give back an object that is no longer fit: it is destroyed, and replaced when needed."},
    {"__enter__", (PyCFunction)lease_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))lease_exit, METH_FASTCALL, NULL},
    {"__reduce__", (PyCFunction)lease_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {"_borrow_by", (PyCFunction)lease_borrow_by, METH_VARARGS, NULL},
    {"_try_open", (PyCFunction)lease_try_open, METH_NOARGS, NULL},
    {"_try_close", (PyCFunction)lease_try_close, METH_NOARGS, NULL},
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
static PyType_Spec lease_spec = {.name = "exia._loans.Lease",
                                 .basicsize = sizeof(lease),
                                 .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
                                          Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 .slots = lease_slots};

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
            component = PyObject_CallMethodObjArgs((PyObject *)self, python.find, what, NULL);
    }
    const site *where = component ? site_of(frame) : NULL;
    lease *loan = where ? lease_new(component, where) : NULL;
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
        PyObject *checked = PyObject_CallFunctionObjArgs(python.seconds, timeout, NULL);
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
    if (read_arguments(arguments, given, count, keywords) < 0 || drain() < 0)
        return NULL;
    lease *loan = lender_begin(self, arguments[0], PyEval_GetFrame());
    if (loan == NULL || read_timeout(&wait_ms, arguments[1]) < 0)
        goto failed;
    if (exia_component_try_borrow(&loan->c, loan->from, loan->where) != EXIA_OK) {
        why = lease_borrow(loan, wait_ms);
        if (why != Py_None) {
            fail(why);
            goto failed;
        }
        Py_DECREF(why);
    }
    if (lease_open(loan) < 0)
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

/* ---- while C waits ---------------------------------------------------------------------------- */

static atomic_int asking, left;

/* Runs in a thread that waits.  Who would ask for the GIL when the interpreter has ended would be
 * ended, too, and the pool would still have it in a queue. */
static int on_wait(void *unused)
{
    int stop = 0;
    (void)unused;
    atomic_fetch_add(&asking, 1);
    if (!atomic_load(&left)) {
        asked = true;
        PyObject *kind, *error, *trace;
        PyGILState_STATE state = PyGILState_Ensure();
        PyObject *answer = PyObject_CallNoArgs(python.ask);
        stop = answer != Py_False;
        if (answer == NULL) {
            PyErr_Fetch(&kind, &error, &trace);
            PyErr_NormalizeException(&kind, &error, &trace);
            answer = PyObject_CallFunctionObjArgs(python.park, kind, error, trace, NULL);
            Py_XDECREF(kind);
            Py_XDECREF(error);
            Py_XDECREF(trace);
        }
        Py_XDECREF(answer);
        PyGILState_Release(state);
    }
    atomic_fetch_sub(&asking, 1);
    return stop;
}

/* The interpreter ends: nobody asks any more when this returns. */
static PyObject *leave(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    atomic_store(&left, 1);
    PyThreadState *thread = PyEval_SaveThread();
    while (atomic_load(&asking) > 0)
        sched_yield();
    PyEval_RestoreThread(thread);
    return Py_NewRef(Py_None);
}

/* ---- the module ------------------------------------------------------------------------------ */

static PyObject *hand_over(PyObject *module, PyObject *functions)
{
    (void)module;
    if (!PyArg_ParseTuple(functions, "OOOOOOOOO:hand_over", &python.site, &python.fail,
                          &python.seconds, &python.drop, &python.noted, &python.drain, &python.ask,
                          &python.awake, &python.park))
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
    python.find = PyUnicode_InternFromString("_find");
    python.f_lasti = PyUnicode_InternFromString("f_lasti");
    python.lease = (PyTypeObject *)PyType_FromSpec(&lease_spec);
    PyObject *lends = PyType_FromSpec(&lender_spec);
    PyObject *address = PyLong_FromVoidPtr((void *)(intptr_t)on_wait);
    int failed = !python.find || !python.f_lasti || !python.lease || !lends ||
                 PyModule_AddType(module, python.lease) < 0 ||
                 PyModule_AddType(module, (PyTypeObject *)lends) < 0;
    failed = failed || !address || PyModule_AddObjectRef(module, "on_wait", address) < 0;
    Py_XDECREF(address);
    Py_XDECREF(lends);
    return failed ? -1 : 0;
}

static PyMethodDef functions[] = {
    {"hand_over", hand_over, METH_VARARGS, "Take the functions for what is not quick."},
    {"leave", leave, METH_NOARGS, "Let no waiting thread enter Python from now on."},
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
