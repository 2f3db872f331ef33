/* Leases, and where they are taken.
 *
 * A Lease takes no part in garbage collection: what it refers to is held by the pool while the loan
 * is out, and let go when it is over, so no cycle through a lease is ever garbage. */
#include "_loans.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* ---- where a loan is taken ------------------------------------------------------------------- */

/* The sites used last, by code and instruction. */
static site sites[256];

int PyFrame_GetLasti(PyFrameObject *) __attribute__((weak)); /* since Python 3.11 */

static long instruction_of(PyFrameObject *frame)
{
    if (PyFrame_GetLasti != NULL)
        return PyFrame_GetLasti(frame);
    PyObject *number = PyObject_GetAttr((PyObject *)frame, exia__python.f_lasti);
    long answer = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    return answer;
}

int exia__site_of(site *out, PyFrameObject *frame)
{
    *out = (site){0};
    if (frame == NULL)
        return 0;
    PyObject *code = (PyObject *)PyFrame_GetCode(frame);
    long instruction = instruction_of(frame);
    site *entry = &sites[(((uintptr_t)code >> 5) + (uintptr_t)instruction) % 256];
    Py_DECREF(code); /* the frame has it */
    if (entry->code == code && entry->instruction == instruction) {
        *out = *entry;
        Py_INCREF(out->self);
        return 0;
    }
    PyObject *made = PyObject_CallFunctionObjArgs(exia__python.site, frame, NULL);
    PyObject *text = made ? PyTuple_GetItem(made, 1) : NULL;
    const char *shown = text ? PyBytes_AsString(text) : NULL;
    if (shown == NULL) {
        Py_XDECREF(made);
        return -1;
    }
    PyObject *before = entry->self;
    *out = *entry = (site){code, made, shown, instruction};
    Py_INCREF(out->self);
    Py_XDECREF(
        before); /* which may call Python, and that may borrow: the entry may be another now */
    return 0;
}

/* ---- while this thread is in C ---------------------------------------------------------------- */

static _Thread_local bool looks_back;

PyObject *exia__look_back(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    looks_back = true;
    return Py_NewRef(Py_None);
}

static int back(exia_status rc)
{
    if (!looks_back)
        return 0;
    looks_back = false;
    PyObject *well = rc >= 0 ? Py_True : Py_False;
    PyObject *done = PyObject_CallFunctionObjArgs(exia__python.back, well, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static atomic_int asking, left;

/* In the child: those who were asking are not there. */
static void after_fork(void)
{
    atomic_store(&asking, 0);
}

int exia__on_wait_open(void)
{
    return pthread_atfork(NULL, NULL, after_fork);
}

/* Runs in a thread that waits.  Who would ask for the GIL when the interpreter has ended would be
 * ended, too, and the pool would still have it in a queue. */
int exia__on_wait(void *unused)
{
    int stop = 0;
    (void)unused;
    atomic_fetch_add(&asking, 1);
    if (!atomic_load(&left)) {
        PyObject *kind, *error, *trace;
        looks_back = true;
        PyGILState_STATE state = PyGILState_Ensure();
        PyObject *answer = PyObject_CallNoArgs(exia__python.ask);
        stop = answer != Py_False;
        if (answer == NULL) {
            PyErr_Fetch(&kind, &error, &trace);
            PyErr_NormalizeException(&kind, &error, &trace);
            answer = PyObject_CallFunctionObjArgs(exia__python.park, kind, error, trace, NULL);
            Py_XDECREF(kind);
            Py_XDECREF(error);
            Py_XDECREF(trace);
        }
        if (answer == NULL) /* one more Ctrl-C */
            PyErr_WriteUnraisable(NULL);
        Py_XDECREF(answer);
        PyGILState_Release(state);
    }
    atomic_fetch_sub(&asking, 1);
    return stop;
}

/* The interpreter ends: nobody asks any more when this returns. */
PyObject *exia__leave(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    atomic_store(&left, 1);
    PyThreadState *thread = PyEval_SaveThread();
    while (atomic_load(&asking) > 0)
        sched_yield();
    PyEval_RestoreThread(thread);
    return Py_NewRef(Py_None);
}

/* ---- leases ---------------------------------------------------------------------------------- */

lease *exia__lease_new(PyObject *component, const site *where)
{
    PyObject *address = PyTuple_GetItem(component, 1);
    void *from = address ? PyLong_AsVoidPtr(address) : NULL;
    lease *self = from ? PyObject_New(lease, exia__python.lease) : NULL;
    if (self == NULL) {
        Py_XDECREF(where->self);
        return NULL;
    }
    self->c = (exia_lease){0};
    self->from = from;
    self->component = Py_NewRef(component);
    self->site = where->self;
    self->where = where->text;
    self->object = NULL;
    self->state = PENDING;
    return self;
}

int exia__drain(void)
{
    PyObject *done = NULL;
    if (PyObject_Size(exia__python.noted) == 0)
        return 0;
    done = PyObject_CallNoArgs(exia__python.drain);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *failure(exia_status rc, const exia_error *err)
{
    bool filled = err->status == rc;
    return Py_BuildValue("iis", (int)rc, filled ? (int)err->native : 0, filled ? err->text : "");
}

PyObject *exia__fail(PyObject *failure)
{
    PyObject *never = failure ? PyObject_CallObject(exia__python.fail, failure) : NULL;
    Py_XDECREF(failure);
    return never;
}

PyObject *exia__lease_borrow(lease *self, int64_t wait_ms)
{
    exia_error err = {0};
    PyThreadState *thread = PyEval_SaveThread();
    exia_status rc = exia_component_borrow(&self->c, self->from, wait_ms, self->where, &err);
    PyEval_RestoreThread(thread);
    if (back(rc) < 0)
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
    if (back(rc) < 0)
        return NULL;
    return rc == EXIA_OK ? Py_NewRef(Py_None) : failure(rc, &err);
}

int exia__lease_open(lease *self)
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
    if (exia__drain() < 0)
        return NULL;
    if (!discard && lease_try_end(self))
        return Py_NewRef(Py_None);
    self->state = ENDED;
    Py_CLEAR(self->object);
    PyThreadState *thread = PyEval_SaveThread();
    exia_status rc =
        discard ? exia_lease_discard(&self->c, &err) : exia_lease_return(&self->c, &err);
    PyEval_RestoreThread(thread);
    if (back(rc) < 0)
        return NULL;
    return rc >= 0 ? Py_NewRef(Py_None) : exia__fail(failure(rc, &err));
}

/* The loan goes on without its lease: another one takes it over and is given to Python. */
static void lease_drop(lease *self)
{
    PyObject *type, *value, *trace, *done = NULL;
    const site where = {NULL, Py_XNewRef(self->site), self->where, 0};
    PyErr_Fetch(&type, &value, &trace);
    lease *heir = exia__lease_new(self->component, &where);
    if (heir != NULL) {
        heir->c = self->c;
        heir->state = ENDED;
        done = PyObject_CallFunctionObjArgs(exia__python.drop, heir,
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
    if (self->state == OPEN)
        return Py_NewRef(self->object);
    PyObject *name = PyTuple_GetItem(self->component, 0);
    PyObject *said = PyUnicode_FromFormat("component %R: this loan was given back before", name);
    PyObject *why = said ? Py_BuildValue("iiO", (int)EXIA_EINVAL, 0, said) : NULL;
    Py_XDECREF(said);
    return exia__fail(why);
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
        exia__lease_open(self) < 0)
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
    "Use it so: in a notebook, `Out[n]` would keep a bare `pool.borrow(...)`, and the loan.\n"
    "The first return counts; a second one, or one more block, raises InvalidError.  A lease\n"
    "that is dropped is returned all the same, with a ResourceWarning at the line where it was\n"
    "taken, and a line in the log.\n\n"
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
     "close($self, /)\n--\n\n"
     "Give the object back, from any thread.  Given back before: InvalidError."},
    {"discard", (PyCFunction)lease_discard, METH_NOARGS,
     "discard($self, /)\n--\n\n"
     "Give back an object that is no longer fit: it is destroyed, and replaced when needed.\n\n"
     "Given back before: InvalidError."},
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
PyType_Spec exia__lease_spec = {.name = "exia._loans.Lease",
                                .basicsize = sizeof(lease),
                                .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
                                         Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                .slots = lease_slots};
