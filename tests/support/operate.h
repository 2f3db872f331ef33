/* Each operation on blobs once, on the blob "k", for tests of what befalls them. */
#ifndef TESTS_OPERATE_H
#define TESTS_OPERATE_H

#include "store/store.h"

enum { PUT, GET, STAT, LIST, TOUCH, REMOVE, NOW, OPERATIONS };

#define OPERATE_BYTES "bytes" /* what the blob has */
enum { OPERATE_SIZE = sizeof OPERATE_BYTES - 1 };

/* Fills the test's `err`; what it answers with is checked when it succeeds. */
exia_status operate(int what, exia__blobs *blobs, const exia_job *job);

/* A sink that counts: its payload is a size_t. */
exia_status count_bytes(const void *data, size_t size, void *payload, exia_error *error);

#endif
