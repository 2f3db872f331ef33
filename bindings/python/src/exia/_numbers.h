/* What the files of exia._numbers share. */
#ifndef EXIA_NUMBERS_H
#define EXIA_NUMBERS_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* An int, and no bool, of 0 ... below - 1; a tuple or a list of two.  No exception is set. */
bool exia__read_number(uint32_t *out, PyObject *value, unsigned long below);
bool exia__read_pair(uint32_t *before, uint32_t *after, PyObject *pair, unsigned long below);

PyObject *exia__descendants(PyObject *module, PyObject *const *arguments, Py_ssize_t given);
PyObject *exia__ancestors(PyObject *module, PyObject *const *arguments, Py_ssize_t given);
PyObject *exia__path(PyObject *module, PyObject *const *arguments, Py_ssize_t given);
PyObject *exia__add_edges(PyObject *module, PyObject *const *arguments, Py_ssize_t given);
PyObject *exia__tensors(PyObject *module, PyObject *arguments);

#endif
