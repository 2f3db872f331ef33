/* What the two files of the module share. */
#ifndef EXIA_LOANS_H
#define EXIA_LOANS_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <stdbool.h>
#include <structmember.h>

#include <exia.h>

extern struct exia__python { /* for one interpreter: others are refused */
    PyTypeObject *lease;
    PyObject *site;    /* (frame) -> Site */
    PyObject *fail;    /* (status, native, text): raise what it means */
    PyObject *seconds; /* (timeout): check it */
    PyObject *drop;    /* (lease, report): give back what nobody holds any more, perhaps later */
    PyObject *noted;   /* what finalisers left to do ... */
    PyObject *drain;   /* (): do it */
    PyObject *ask;     /* (): is this thread, which waits in C, to stop? */
    PyObject *back;    /* (well): it is back from C, where it was asked, or parked something */
    PyObject *park;    /* (kind, exception, traceback): keep it until C has returned */
    PyObject *find, *f_lasti; /* names */
} exia__python;

/* A line that borrows.  A site keeps its code, so that addresses stay unique; a lease keeps its site,
 * and thereby the text whose address the pool has. */
typedef struct site {
    PyObject *code, *self; /* self: (code, text, ...) */
    const char *text;
    long instruction;
} site;

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

/* Where the frame is now (NULL: nowhere); a reference to out->self is the caller's.
 * @return -1: an exception is set */
int exia__site_of(site *out, PyFrameObject *frame);

extern PyType_Spec exia__lease_spec;
lease *exia__lease_new(PyObject *component, const site *where); /* takes over where->self */
/* Answer with None, or with (status, native, text), which exia__fail() takes and raises. */
PyObject *exia__lease_borrow(lease *self, int64_t wait_ms);
PyObject *exia__fail(PyObject *failure);
/* The loan is there: find its object. */
int exia__lease_open(lease *self);
/* Do what finalisers left to do. */
int exia__drain(void);

/* What happened while this thread was in C is seen to when it is back. */
PyObject *exia__look_back(PyObject *module, PyObject *unused);

/* An exia_wait_fn; and the end of all asking. */
int exia__on_wait_open(void);
int exia__on_wait(void *unused);
PyObject *exia__leave(PyObject *module, PyObject *unused);

#endif
