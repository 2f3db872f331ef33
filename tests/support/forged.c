/* Each reader of the library is tried on the same file, and their answers are compared. */
#include "support/forged.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

const char *forged_file(forge *f)
{
    check_in_memory();
    const char *path = check_path("forged.veda");
    forge_write(f, path);
    return path;
}

int forged_staging_left(void)
{
    DIR *dir = opendir(check_directory());
    int left = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        left |= strncmp(entry->d_name, ".exia-", 6) == 0;
    closedir(dir);
    return left;
}

/* As a stream, whose reader sees what is wrong in another order, it is accepted or refused all the
 * same, whatever comes of it. */
static void receive(const char *file, const char *target, exia_status expected)
{
    exia_error why = {0};
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    exia_job alone = {.struct_size = sizeof alone, .threads = 1};
    exia_status rc = exia_package_receive(NULL, fd, target, NULL, &alone, &why);
    close(fd);
    if ((rc == EXIA_OK) != (expected == EXIA_OK) || (rc != EXIA_OK && why.status != rc))
        fail_msg("by position it is %d (%s), as a stream %d (%s)", expected, err.text, rc,
                 why.text);
    if (target != NULL) {
        assert_int_equal(exia__path_exists(target), rc == EXIA_OK);
        assert_int_equal(exia__tree_remove(target, NULL), EXIA_OK);
    }
    assert_false(forged_staging_left());
}

exia_status forged_use(const char *file)
{
    exia_package *package = NULL;
    const char *target = check_format("%s.out", file);
    exia_status rc = exia_package_open(&package, file, &err);
    if (rc == EXIA_OK) {
        exia_error unpack_err = {0};
        exia_status unpacked = exia_package_unpack(package, target, NULL, NULL, &unpack_err);
        rc = exia_package_verify(package, NULL, NULL, &err);
        /* what does not verify does not unpack; only a frame's own digest is verify's alone */
        if (unpacked != rc && !(unpacked == EXIA_OK && strstr(err.text, "frame") != NULL))
            fail_msg("verify says %d, unpack says %d: %s", rc, unpacked, unpack_err.text);
        assert_int_equal(exia__path_exists(target), unpacked == EXIA_OK);
        assert_false(forged_staging_left());
        if (unpacked == EXIA_OK)
            assert_int_equal(exia__tree_remove(target, NULL), EXIA_OK);
    }
    exia_package_free(package);
    receive(file, NULL, rc);
    receive(file, target, rc);
    return rc;
}

static void leave(forge *f, exia_status expected, const char *text, const char *test)
{
    static int number;
    const char *directory = getenv("EXIA_FORGED");
    if (directory == NULL)
        return;
    const char *name = check_format("%s-%d.veda", test, ++number);
    forge_write(f, check_format("%s/%s", directory, name));
    FILE *index = fopen(check_format("%s/index", directory), "ab");
    assert_non_null(index);
    assert_true(fprintf(index, "%s\t%d\t%s\n", name, expected, text) > 0);
    assert_int_equal(fclose(index), 0);
}

void forged_check(forge *f, exia_status expected, const char *text, const char *test,
                  const char *file, int line)
{
    const char *path = forged_file(f);
    leave(f, expected, text, test);
    check_reset();
    check_status(expected, forged_use(path), file, line);
    check_text_at(text, file, line);
    forge_free(f);
}
