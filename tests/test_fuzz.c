/* What the fuzzers keep, once more: each input that reached something new, under any compiler. */
#include <dirent.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "support/check.h"

static void replay(const char *name, fuzz_run *run)
{
    const char *folder = check_format("tests/fuzz/corpus/%s", name);
    DIR *dir = opendir(folder);
    size_t count = 0, size = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char *data = check_read_file(check_format("%s/%s", folder, entry->d_name), &size);
        run((const uint8_t *)data, size);
        free(data);
        count++;
    }
    closedir(dir);
    assert_true(count > 10);
}

TEST(no_index_of_the_corpus_breaks_a_promise)
{
    replay("index", fuzz_index);
}

TEST(no_manifest_of_the_corpus_breaks_a_promise)
{
    replay("manifest", fuzz_manifest);
}

TEST(no_package_of_the_corpus_breaks_a_promise)
{
    replay("package", fuzz_package);
}

TEST(no_record_of_the_corpus_breaks_a_promise)
{
    replay("record", fuzz_record);
}

TEST(no_version_of_the_corpus_breaks_a_promise)
{
    replay("version", fuzz_version);
}
