/* Files and directories to be packed, and short ways to pack and unpack them. */
#ifndef TESTS_WORKSPACES_H
#define TESTS_WORKSPACES_H

#include "support/check.h"

void write_text(const char *path, const char *text);
void make_directory(const char *path);
/* Bytes that do not compress, the same for the same seed. */
void make_large(const char *path, size_t size, uint64_t seed);
size_t count_entries(const char *path); /* of a directory */

/* A workspace with a manifest, in the test's directory. */
#define MANIFEST "{\"format\": 1, \"name\": \"demo\", \"version\": \"1.2\"}"
const char *make_workspace(const char *name);

exia_status pack_from(const char *from, const char *file);
exia_package *packed(const char *from, const char *file); /* pack, verify, open */
exia_status unpack(const exia_package *package, const char *to, const char *pattern);

#endif
