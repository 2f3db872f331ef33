/* libFuzzer's side: the variable EXIA_FUZZ names the target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static const struct target {
    const char *name;
    fuzz_run *run;
} targets[] = {
    {"index", fuzz_index},   {"manifest", fuzz_manifest}, {"package", fuzz_package},
    {"record", fuzz_record}, {"version", fuzz_version},
};
static fuzz_run *run;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("EXIA_FUZZ");
    (void)argc, (void)argv;
    for (size_t i = 0; name != NULL && i < sizeof targets / sizeof *targets; i++) {
        if (strcmp(targets[i].name, name) == 0)
            run = targets[i].run;
    }
    if (run == NULL) {
        fprintf(stderr,
                "EXIA_FUZZ must name a target: index, manifest, package, record, version\n");
        exit(2);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(data, size);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    return run == fuzz_package ? fuzz_package_mutate(data, size, most, seed)
                               : LLVMFuzzerMutate(data, size, most);
}
