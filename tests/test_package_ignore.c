/* .vedaignore: rule by rule, in trees, and by chance beside git itself. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "package/ignore.h"
#include "package/walk.h"
#include "support/workspaces.h"

/* ---- single rules ---- */

static void ignores(const char *rules, const char *path, int is_directory, int expected)
{
    exia__ignore *list = NULL;
    check_ok(exia__ignore_add(&list, NULL, 0, NULL, &err));
    check_ok(exia__ignore_add(&list, list, 0, rules, &err));
    if (exia__ignored(list, path, is_directory) != expected)
        fail_msg("\"%s\" and %s: not %d", rules, path, expected);
    exia__ignore_free(list);
}

TEST(lines_that_are_no_rules_ignore_nothing)
{
    static const char *const texts[] = {"",    "# a\n\n  \n", "/",   "//", "!",
                                        "!/",  "\r\n",        "a\\", "a[", "[[:what:]]",
                                        "a\t", "a//b",        "/a/"};
    static const char *const paths[] = {"a", "#", "a/b", "a[", "a\\", " "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (size_t k = 0; k < sizeof paths / sizeof *paths; k++)
            ignores(texts[i], paths[k], 0, 0);
    }
}

TEST(what_is_never_packed_can_be_taken_back)
{
    ignores("", ".git", 1, 1);
    ignores("", "a/__pycache__", 1, 1);
    ignores("", "a/b.veda", 0, 1);
    ignores("", ".exia-123", 0, 1);
    ignores("!*.veda", "b.veda", 0, 0);
    ignores("!.git", ".git", 1, 0);
}

TEST(rules_ignore_what_they_say)
{
    ignores("\\#a", "#a", 0, 1);
    ignores("\\!a", "!a", 0, 1);
    ignores("*.log", "a/b/c.log", 0, 1);
    ignores("*.log\n!keep.log", "a/keep.log", 0, 0);
    ignores("!keep.log\n*.log", "keep.log", 0, 1);
    ignores("build/", "a/build", 1, 1);
    ignores("build/", "build", 0, 0);
    ignores("/build", "build", 0, 1);
    ignores("/build", "a/build", 0, 0);
    ignores("a/b", "a/b", 0, 1);
    ignores("a/b", "x/a/b", 0, 0);
    ignores("a/*", "a/b", 0, 1);
    ignores("a/*", "a/b/c", 0, 0);
    ignores("**/b", "b", 0, 1);
    ignores("**/b", "x/y/b", 0, 1);
    ignores("a/**", "a", 1, 0);
    ignores("a/**", "a/b/c", 0, 1);
    ignores("a/**/b", "a/b", 0, 1);
    ignores("a/**/b", "a/x/y/b", 0, 1);
    ignores("a/**/b", "a/x/y/c", 0, 0);
    ignores("a/**/b/**/c", "a/b/x/b/y/c", 0, 1);
    ignores("a/*/c*d/**/e*f", "a/b/ccd/d/x/eff", 0, 1);
    ignores("a/?/b", "a///b", 0, 0);
    ignores("trailing   ", "trailing", 0, 1);
    ignores("escaped\\  ", "escaped ", 0, 1);
    ignores("line\r\nother", "line", 0, 1);
    ignores("last\r", "last", 0, 1);
    ignores("\xEF\xBB\xBFmarked", "marked", 0, 1);
}

TEST(sets_hold_what_they_say)
{
    ignores("[a-c]", "b", 0, 1);
    ignores("[!a-c]", "b", 0, 0);
    ignores("[^a-c]", "d", 0, 1);
    ignores("[]-a]", "^", 0, 1);
    ignores("[]-a]", "-", 0, 0);
    ignores("[a-]", "-", 0, 1);
    ignores("[\\]]", "]", 0, 1);
    ignores("[\\", "[", 0, 0);
    ignores("[a\\-c]", "b", 0, 0);
    ignores("[[:upper:][:digit:]]x", "9x", 0, 1);
    ignores("[[:upper:][:digit:]]x", "ax", 0, 0);
    ignores("[[:punct:]]", "~", 0, 1);
    ignores("[[:space:]]x", " x", 0, 1);
    ignores("[[:]", ":", 0, 1);
    ignores("[[a:]", "[", 0, 1);
    ignores("a[/]b", "a/b", 0, 0);
}

TEST(a_rule_of_many_stars_takes_no_time)
{
    char rule[401], path[4000];
    for (size_t i = 0; i < 400; i++)
        rule[i] = "/**/a*b"[i % 7];
    rule[400] = '\0';
    for (size_t i = 0; i < sizeof path; i++)
        path[i] = "/aaaaaaaaaaaaa"[(i + 1) % 14];
    path[sizeof path - 1] = '\0';
    ignores(rule, path, 0, 0);
}

/* ---- trees ---- */

static exia_status find(exia__walk *walk, const char *from)
{
    exia__work work;
    assert_int_equal(exia__work_begin(&work, NULL, NULL), EXIA_OK);
    return exia__walk_open(walk, from, &work, &err);
}

static int is_member(const exia__walk *walk, const char *path)
{
    return exia__entry_find(walk->entries, walk->count, path, strlen(path)) != NULL;
}

TEST(rules_that_cannot_be_read_are_refused)
{
    static const char *const deeds[] = {"ln -s rules .vedaignore", "mkdir .vedaignore",
                                        "mkfifo .vedaignore", "printf 'a\\0b' >.vedaignore",
                                        "truncate -s 1100000 .vedaignore"};
    exia__walk walk;
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        const char *from = make_workspace(check_format("w%zu", i));
        assert_int_equal(system(check_format("cd '%s' && mkdir sub && cd sub && touch rules && %s",
                                             from, deeds[i])),
                         0);
        check_fails(EXIA_EINVAL, find(&walk, from));
        check_text("sub/.vedaignore");
        exia__walk_free(&walk);
    }
}

TEST(inner_rules_win_over_outer_ones_and_hold_inside_only)
{
    const char *from = make_workspace("w");
    exia__walk walk;
    assert_int_equal(
        system(check_format("cd '%s' && mkdir -p a/b c out && touch x.o a/x.o a/b/x.o "
                            "c/x.o a/only c/only a/b/deep c/deep out/in out/.vedaignore && "
                            "printf '*.o\\nout/\\n' >.vedaignore && "
                            "printf '!*.o\\n/only\\nb/deep\\n' >a/.vedaignore && "
                            "printf '*.o\\n' >a/b/.vedaignore && "
                            "printf '!in\\n' >out/.vedaignore",
                            from)),
        0);
    check_ok(find(&walk, from));
    static const char *const in[] = {"a/x.o", "c/only", "c/deep", "a/b", "c"};
    static const char *const out[] = {"x.o",      "a/b/x.o", "c/x.o", "a/only",
                                      "a/b/deep", "out/in",  "out"};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        assert_true(is_member(&walk, in[i]));
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        assert_false(is_member(&walk, out[i]));
    exia__walk_free(&walk);
}

/* ---- beside git ---- */

static uint64_t state;
static unsigned chance(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

/* One rule of parts that mean something, more often than not. */
static void add_rule(char *text, size_t room)
{
    static const char *const parts[] = {
        "a",           "b",  "c",  "a",   "b",   "ab",   "x.o",  "*",    "*",      "?",
        "**",          "/",  "/",  "**/", "/**", "/**/", "[ab]", "[!a]", "[^b-z]", "*.o",
        "[[:alpha:]]", "[a", "\\", "\\*", "\\a", " ",    "***",  "-"};
    char rule[100] = "";
    if (chance(4) == 0)
        strcat(rule, "!");
    for (unsigned i = 0, count = 1 + chance(5); i < count; i++)
        strcat(rule, parts[chance(sizeof parts / sizeof *parts)]);
    if (chance(5) == 0)
        strcat(rule, "/");
    strcat(rule, chance(20) ? "\n" : "\r\n");
    strncat(text, rule, room - strlen(text) - 1);
}

static const char *const folders[] = {"",        "a/", "a/b/", "b/",    "b/a/",
                                      "b/a/ab/", "c/", "c/a/", "c/a/b/"};
static const char *const names[] = {"a",   "b",   "c", "ab", "ba", "abc",
                                    "x.o", "b.o", "*", "a*", "-",  "[a"};

static void make_tree(const char *top)
{
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (*folders[i] != '\0')
            make_directory(check_format("%s/%s", top, folders[i]));
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            char path[200];
            struct stat info;
            snprintf(path, sizeof path, "%s/%s%s", top, folders[i], names[k]);
            if (stat(path, &info) != 0)
                write_text(path, "");
        }
    }
}

/* All paths of the tree that git ignores must be missing, and no others. */
static void compare(const char *git, const char *top, const char *shown)
{
    char command[1000], line[200];
    exia__walk walk;
    snprintf(command, sizeof command,
             "cd '%s' && find . -mindepth 1 -name '.vedaignore' -o -name .gitignore -o -printf "
             "'%%P\\n' | "
             "%s check-ignore --no-index --stdin -n -v",
             top, git);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    check_ok(find(&walk, top));
    while (fgets(line, sizeof line, pipe) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *path = strchr(line, '\t') + 1;
        int none = strncmp(line, "::", 2) == 0;
        char *rule = none ? line : strchr(strchr(line, ':') + 1, ':') + 1;
        int ignored = !none && *rule != '!';
        if (is_member(&walk, path) == ignored)
            fail_msg("%s: git says %s; %s", path, line, shown);
    }
    exia__walk_free(&walk);
    assert_int_equal(pclose(pipe) & ~0x100, 0); /* 1: nothing was ignored */
}

TEST(what_git_ignores_is_ignored_and_nothing_else)
{
    const char *top = check_path("tree"), *rounds = getenv("EXIA_ROUNDS");
    char git[500];
    if (system("git --version >/dev/null 2>&1") != 0)
        skip();
    snprintf(git, sizeof git,
             "env -i PATH=\"$PATH\" HOME=/nowhere GIT_CONFIG_NOSYSTEM=1 git --git-dir='%s' "
             "--work-tree=.",
             check_path("git"));
    make_directory(top);
    make_tree(top);
    assert_int_equal(system(check_format("cd '%s' && %s init -q 2>&1", top, git)), 0);
    for (int round = 0; round < (rounds ? atoi(rounds) : 40); round++) {
        char shown[4000] = "";
        state = (uint64_t)round;
        for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
            char text[700] = "", path[200];
            unsigned count = i == 0 ? 1 + chance(6) : chance(3) == 0 ? 1 + chance(3) : 0;
            for (unsigned k = 0; k < count; k++)
                add_rule(text, sizeof text);
            snprintf(path, sizeof path, "%s/%s.vedaignore", top, folders[i]);
            write_text(path, text);
            snprintf(path, sizeof path, "%s/%s.gitignore", top, folders[i]);
            write_text(path, text);
            snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%s: %s", folders[i],
                     text);
        }
        compare(git, top, shown);
    }
}
