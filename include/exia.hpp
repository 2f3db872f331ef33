/* Exia in C++17: the C API of exia.h, header only, link nothing but libexia.
 *
 * Objects    Classes own one handle each: moved, not copied, freed at the end of their scope, in any
 *            order.  A moved-from one is empty: using it is an exia::error (EXIA_EINVAL).  `c()` is the
 *            handle for what the C API can do besides.
 * Errors     Every failure is an exia::error, a std::runtime_error with the status.
 * Callbacks  Factories, tasks and progress are any callables.  An exception in a factory or a task is
 *            its failure (EXIA_EUSER, the text is kept; an exia::error keeps its status); one in a
 *            progress callback ends the call and comes out of it.
 * Texts      Go in as std::string_view; a default one is NULL in C.  Rows are JSON texts; a range-for
 *            gives a view of each, valid until the next.
 * Lent       What is a span, a view or a `const char *` is borrowed as its C function says.
 * Options    Some are the C structs: exia::options<exia_gc_options>() makes one with its size set.
 * The rest   exia_log_set(), exia_allocator_set() and exia_driver_register() own nothing and are
 *            called as they are. */
#ifndef EXIA_HPP
#define EXIA_HPP

#include "exia/common.hpp"
#include "exia/dag.hpp"
#include "exia/model.hpp"
#include "exia/package.hpp"
#include "exia/pool.hpp"

#endif
