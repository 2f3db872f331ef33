/* Packages as older code wrote them: they open as ever, and today's writer makes the same bytes.
 *
 *     EXIA_GOLDEN=DIRECTORY build/tests/test_package_golden     write them there instead */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "base/json.h"
#include "package/read.h"
#include "support/workspaces.h"

#define LONG "a-name-that-is-longer-than-the-field-of-a-tar-header-"

static void run(const char *command)
{
    assert_int_equal(system(command), 0);
}

/* Content in which cuts fall, and which compresses well: pieces in an order of chance. */
static void make_pieces(const char *path, size_t size, uint64_t seed)
{
    enum { PIECE = 512, PIECES = 32 };
    size_t total = 0;
    const char *source = check_path("pieces");
    make_large(source, PIECES * PIECE, 11);
    char *pieces = check_read_file(source, &total), *data = malloc(size);
    for (size_t i = 0; i < size; i += PIECE) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(data + i, pieces + (seed >> 57) % PIECES * PIECE,
               size - i < PIECE ? size - i : PIECE);
    }
    check_write_file(path, data, size);
    free(pieces);
    free(data);
}

/* Every type of member, every mode, names of every kind. */
static void make_members(const char *from)
{
    run(check_format(
        "cd '%s' && mkdir -p code/deep/" LONG LONG " 'empty directory' && "
        "printf x >code/run && chmod 750 code/run && printf y >code/read && "
        "chmod 444 code/read && : >empty && printf z >code/deep/" LONG LONG "/file && "
        "ln -s deep/" LONG LONG "/file code/link && ln -s ../code code/around && "
        "ln code/run another && ln code/run code/zz && "
        "printf 1 >'with space' && printf 2 >'a%%41' && printf 3 >\"$(printf '\\377')\" "
        "&& printf 4 >\"$(printf 'new\\nline')\" && printf 5 >\"$(printf "
        "'\\303\\274')\" && printf 6 >code.x && printf 7 >code-x && "
        "mkdir ignored && printf '*.o\\nignored/\\n!keep.o\\n' >.vedaignore && "
        "printf 8 >a.o && printf 9 >keep.o && printf 10 >ignored/x",
        from));
}

/* Frames of every kind: of a file's own, cut at content, to the end of a file, stored. */
static void make_frames(const char *from)
{
    run(check_format("cd '%s' && mkdir few", from));
    make_pieces(check_format("%s/large", from), (4 << 20) + 12345, 5);
    make_large(check_format("%s/noise", from), 131 << 10, 2);
    for (size_t i = 0; i < 30; i++)
        make_pieces(check_format("%s/few/%02zu", from, i), 40000 + 1111 * i, 3 + i);
    run(check_format("cd '%s' && truncate -s 2500000 sparse", from));
}

static void make_least(const char *from)
{
    (void)from;
}

static const struct {
    const char *name;
    void (*make)(const char *from);
    int level;
} goldens[] = {{"least", make_least, 0}, {"members", make_members, 19}, {"frames", make_frames, 0}};
enum { GOLDENS = sizeof goldens / sizeof *goldens };

static const char *golden_path(size_t i)
{
    const char *other = getenv("EXIA_GOLDEN");
    return check_format("%s/%s.veda", other ? other : "tests/golden/package-1", goldens[i].name);
}

static const char *pack_golden(size_t i, const char *from, const char *file, uint32_t threads)
{
    exia_pack_options options = {.struct_size = sizeof options, .level = goldens[i].level};
    exia_job job = {.struct_size = sizeof job, .threads = threads};
    check_ok(exia_package_write(NULL, from, file, &options, &job, &err));
    return file;
}

static const char *make_source(size_t i)
{
    umask(022);
    const char *from = make_workspace(goldens[i].name);
    goldens[i].make(from);
    return from;
}

static int same_zstd(const exia_package *package)
{
    json_t *facts = json_loads(exia_package_facts(package), 0, NULL);
    const char *version = exia__json_string(json_object_get(facts, "compression"), "zstd");
    int same = version != NULL && strcmp(version, ZSTD_versionString()) == 0;
    json_decref(facts);
    return same;
}

TEST(the_writer_makes_the_packages_of_before)
{
    for (size_t i = 0; i < GOLDENS; i++) {
        exia_package *before = NULL, *now = NULL;
        const char *from = make_source(i), *file = check_path("now.veda");
        if (getenv("EXIA_GOLDEN") != NULL)
            pack_golden(i, from, golden_path(i), 1);
        check_ok(exia_package_open(&before, golden_path(i), &err));
        for (uint32_t threads = 1; threads <= 8; threads *= 2) {
            check_ok(exia_package_open(&now, pack_golden(i, from, file, threads), &err));
            assert_string_equal(exia__package_digest(before), exia__package_digest(now));
            if (same_zstd(before))
                run(check_format("cmp '%s' '%s'", golden_path(i), file));
            exia_package_free(now);
        }
        exia_package_free(before);
    }
}

TEST(the_packages_of_before_are_read)
{
    for (size_t i = 0; i < GOLDENS; i++) {
        exia_package *package = NULL;
        const char *from = make_source(i), *to = check_path(check_format("%s-to", goldens[i].name));
        check_ok(exia_package_open(&package, golden_path(i), &err));
        check_ok(exia_package_verify(package, NULL, NULL, &err));
        check_ok(unpack(package, to, NULL));
        run(check_format("rm -rf '%s/ignored' '%s/a.o' && diff -r --no-dereference '%s' '%s'", from,
                         from, from, to));
        exia_package_free(package);
    }
}
