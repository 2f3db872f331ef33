/* The graph: bad input first, then order, levels and cycles against slow and simple witnesses, the
 * threaded run, and the exports read back. */
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/check.h"

static exia_dag *open_dag(size_t nodes)
{
    exia_dag *dag = NULL;
    check_ok(exia_dag_open(&dag, &err));
    check_ok(exia_dag_add_nodes(NULL, dag, NULL, nodes, &err));
    return dag;
}

static void edge(exia_dag *dag, uint32_t before, uint32_t after)
{
    check_ok(exia_dag_add_edges(dag, &before, &after, 1, &err));
}

/* Names of one letter each. */
static exia_dag *open_named(const char *letters)
{
    exia_dag *dag = NULL;
    check_ok(exia_dag_open(&dag, &err));
    for (const char *c = letters; *c; c++) {
        const char name[] = {*c, '\0'}, *names[] = {name};
        check_ok(exia_dag_add_nodes(NULL, dag, names, 1, &err));
    }
    return dag;
}

/* "ab bc": a before b, b before c. */
static void edges(exia_dag *dag, const char *text)
{
    for (; *text; text += text[2] ? 3 : 2) {
        const char from[] = {text[0], '\0'}, to[] = {text[1], '\0'};
        uint32_t before, after;
        check_ok(exia_dag_find(&before, dag, from, &err));
        check_ok(exia_dag_find(&after, dag, to, &err));
        edge(dag, before, after);
    }
}

static const char *order_of(exia_dag *dag)
{
    const uint32_t *nodes;
    size_t count;
    static char text[64];
    check_ok(exia_dag_order(&nodes, &count, dag, &err));
    for (size_t i = 0; i < count; i++)
        text[i] = exia_dag_name(dag, nodes[i])[0];
    text[count] = '\0';
    return text;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

TEST(each_call_refuses_null)
{
    exia_dag *dag = open_dag(1);
    const uint32_t *nodes, zero = 0;
    uint32_t node;
    size_t count;
    exia_groups groups;
    char *text;
    check_fails(EXIA_EINVAL, exia_dag_open(NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(&node, NULL, NULL, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_edges(NULL, &zero, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, NULL, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, &zero, NULL, 1, &err));
    check_ok(exia_dag_add_edges(dag, NULL, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_dag_find(&node, dag, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_find(NULL, dag, "a", &err));
    check_fails(EXIA_EINVAL, exia_dag_find(&node, NULL, "a", &err));
    check_fails(EXIA_EINVAL, exia_dag_order(NULL, &count, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_order(&nodes, NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_order(&nodes, &count, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_levels(&groups, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_levels(NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycles(&groups, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycles(NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_run(NULL, dag, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_export(NULL, dag, "dot", &err));
    check_fails(EXIA_EINVAL, exia_dag_export(&text, NULL, "dot", &err));
    check_fails(EXIA_EINVAL, exia_dag_export(&text, dag, NULL, &err));
    assert_null(exia_dag_name(NULL, 0));
    assert_null(exia_dag_name(dag, 7));
    assert_int_equal(exia_dag_node_count(NULL), 0);
    exia_dag_free(dag);
    exia_dag_free(NULL);
}

TEST(errors_may_be_dropped)
{
    exia_dag *dag = open_named("ab");
    uint32_t node = 9;
    edges(dag, "ab ba");
    const uint32_t *nodes;
    size_t count;
    assert_int_equal(exia_dag_order(&nodes, &count, dag, NULL), EXIA_ECYCLE);
    assert_int_equal(exia_dag_find(&node, dag, "x", NULL), EXIA_ENOTFOUND);
    exia_dag_free(dag);
}

TEST(an_edge_to_no_node_adds_none_of_its_batch)
{
    exia_dag *dag = open_dag(3);
    const uint32_t before[] = {0, 1, 3}, after[] = {1, 2, 0};
    exia_groups levels;
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, before, after, 3, &err));
    check_text("edge 2 goes from 3 to 0");
    check_ok(exia_dag_levels(&levels, dag, &err));
    assert_int_equal(levels.count, 1);
    exia_dag_free(dag);
    dag = open_dag(0);
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, before, after, 1, &err));
    exia_dag_free(dag);
}

TEST(a_bad_name_adds_none_of_its_batch)
{
    exia_dag *dag = open_named("ab");
    uint32_t node, first = 7;
    const char *taken[] = {"c", "d", "a"}, *twice[] = {"c", NULL, "c"}, *empty[] = {"c", ""};
    const char *latin[] = {"caf\xe9"}, *good[] = {"c", NULL, "d"};
    check_fails(EXIA_EEXISTS, exia_dag_add_nodes(&first, dag, taken, 3, &err));
    check_text("'a' is taken by number 0");
    assert_int_equal(first, 0);
    check_fails(EXIA_EEXISTS, exia_dag_add_nodes(NULL, dag, twice, 3, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, empty, 2, &err));
    check_text("empty");
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, latin, 1, &err));
    check_text("UTF-8");
    assert_int_equal(exia_dag_node_count(dag), 2);
    check_fails(EXIA_ENOTFOUND, exia_dag_find(&node, dag, "c", &err));
    check_text("'c'");
    check_ok(exia_dag_add_nodes(&first, dag, good, 3, &err));
    assert_int_equal(first, 2);
    check_ok(exia_dag_find(&node, dag, "d", &err));
    assert_int_equal(node, 4);
    assert_null(exia_dag_name(dag, 3));
    exia_dag_free(dag);
}

TEST(too_many_nodes_are_refused_before_memory_is_asked_for)
{
    exia_dag *dag = open_dag(1);
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, NULL, SIZE_MAX, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, NULL, UINT32_MAX - 1, &err));
    assert_int_equal(exia_dag_node_count(dag), 1);
    exia_dag_free(dag);
}

TEST(names_are_found_among_many_and_never_move)
{
    enum { COUNT = 20000 };
    exia_dag *dag = open_dag(5); /* some without a name come first */
    const char *early = NULL;
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[32];
        const char *names[] = {name};
        snprintf(name, sizeof name, "node-%u", i * 7919u);
        check_ok(exia_dag_add_nodes(NULL, dag, names, 1, &err));
        if (i == 0)
            early = exia_dag_name(dag, 5);
    }
    assert_ptr_equal(early, exia_dag_name(dag, 5));
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[32];
        uint32_t node;
        snprintf(name, sizeof name, "node-%u", i * 7919u);
        check_ok(exia_dag_find(&node, dag, name, &err));
        assert_int_equal(node, i + 5);
        assert_string_equal(exia_dag_name(dag, node), name);
    }
    exia_dag_free(dag);
}

TEST(an_empty_graph_has_an_order_of_none)
{
    exia_dag *dag = open_dag(0);
    const uint32_t *nodes;
    size_t count = 9;
    exia_groups groups;
    check_ok(exia_dag_order(&nodes, &count, dag, &err));
    assert_int_equal(count, 0);
    check_ok(exia_dag_levels(&groups, dag, &err));
    assert_int_equal(groups.count, 0);
    assert_int_equal(groups.starts[0], 0);
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 0);
    assert_int_equal(groups.starts[0], 0);
    exia_dag_free(dag);
}

TEST(the_order_goes_by_level_and_then_by_insertion)
{
    exia_dag *dag = open_named("abcdef");
    assert_string_equal(order_of(dag), "abcdef");
    edges(dag, "fa");
    assert_string_equal(order_of(dag), "bcdefa");
    edges(dag, "ed eb");
    assert_string_equal(order_of(dag), "cefabd");
    edges(dag, "ab");
    assert_string_equal(order_of(dag), "cefadb");
    exia_dag_free(dag);
}

TEST(the_order_does_not_depend_on_the_order_of_edges)
{
    exia_dag *one = open_named("abcdef"), *other = open_named("abcdef");
    edges(one, "fa fb fc ad be cd");
    edges(other, "cd fc be fb ad fa");
    char *first = strdup(order_of(one));
    assert_string_equal(first, order_of(other));
    free(first);
    exia_dag_free(one);
    exia_dag_free(other);
}

TEST(an_edge_given_twice_is_one_edge)
{
    exia_dag *dag = open_named("ab");
    char *text = NULL;
    edges(dag, "ba ba ba");
    assert_string_equal(order_of(dag), "ba");
    check_ok(exia_dag_export(&text, dag, "dot", &err));
    assert_non_null(strstr(text, "1 -> 0"));
    assert_null(strstr(strstr(text, "1 -> 0") + 1, "1 -> 0"));
    exia_text_free(text);
    exia_dag_free(dag);
}

TEST(answers_follow_a_graph_that_grows)
{
    exia_dag *dag = open_named("abc");
    exia_groups groups;
    edges(dag, "ab bc");
    assert_string_equal(order_of(dag), "abc");
    edges(dag, "ca");
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 1);
    const char *names[] = {"d"};
    check_ok(exia_dag_add_nodes(NULL, dag, names, 1, &err));
    edges(dag, "dd");
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 2);
    exia_dag_free(dag);
}

TEST(levels_are_the_longest_way_from_a_source)
{
    exia_dag *dag = open_named("abcdef");
    exia_groups levels;
    edges(dag, "ab bc ac ed");
    check_ok(exia_dag_levels(&levels, dag, &err));
    assert_int_equal(levels.count, 3);
    const uint32_t nodes[] = {0, 4, 5, 1, 3, 2};
    const size_t starts[] = {0, 3, 5, 6};
    assert_memory_equal(levels.nodes, nodes, sizeof nodes);
    assert_memory_equal(levels.starts, starts, sizeof starts);
    edges(dag, "ca");
    check_fails(EXIA_ECYCLE, exia_dag_levels(&levels, dag, &err));
    assert_int_equal(levels.count, 0);
    exia_dag_free(dag);
}

TEST(a_cycle_is_shown_by_name_and_as_short_as_it_is)
{
    const uint32_t *nodes;
    size_t count;
    exia_dag *dag = open_named("abcdef");
    edges(dag, "bc cd de eb ce"); /* b c e b is shorter than b c d e b */
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    assert_string_equal(err.text, "a cycle of 3: 'b' -> 'c' -> 'e' -> 'b'");
    assert_null(nodes);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err)); /* and again */
    assert_string_equal(err.text, "a cycle of 3: 'b' -> 'c' -> 'e' -> 'b'");
    exia_dag_free(dag);
    dag = open_named("ab");
    edges(dag, "bb");
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    assert_string_equal(err.text, "a cycle of 1: 'b' -> 'b'");
    exia_dag_free(dag);
    dag = open_dag(2);
    edge(dag, 0, 1);
    edge(dag, 1, 0);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    assert_string_equal(err.text, "a cycle of 2: 0 -> 1 -> 0");
    exia_dag_free(dag);
}

TEST(a_long_cycle_shows_its_ends_and_its_length)
{
    const uint32_t *nodes;
    size_t count;
    exia_dag *dag = open_dag(100000);
    for (uint32_t i = 0; i < 100000; i++)
        edge(dag, i, (i + 1) % 100000);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    check_text("a cycle of 100000: 0 -> 1 -> 2 -> ");
    check_text(" more ... -> 99999 -> 0");
    exia_dag_free(dag);
}

TEST(a_long_name_is_cut_between_characters)
{
    const uint32_t *nodes;
    size_t count;
    exia_dag *dag = NULL;
    char name[400] = "";
    for (int i = 0; i < 100; i++)
        strcat(name, "\xc3\xa4");
    const char *names[] = {name, "b\nc"};
    check_ok(exia_dag_open(&dag, &err));
    check_ok(exia_dag_add_nodes(NULL, dag, names, 2, &err));
    edge(dag, 0, 1);
    edge(dag, 1, 0);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    json_t *valid = json_string(err.text); /* refuses what is not UTF-8 */
    assert_non_null(valid);
    json_decref(valid);
    check_text("...' -> 'b?c'");
    exia_dag_free(dag);
}

TEST(cycles_are_groups_in_order_of_their_first_node)
{
    exia_groups groups;
    exia_dag *dag = open_named("abcdefgh");
    edges(dag, "fc cf ha ad dh ee bg gc fa");
    check_ok(exia_dag_cycles(&groups, dag, &err));
    const uint32_t nodes[] = {0, 3, 7, 2, 5, 4};
    const size_t starts[] = {0, 3, 5, 6};
    assert_int_equal(groups.count, 3);
    assert_memory_equal(groups.nodes, nodes, sizeof nodes);
    assert_memory_equal(groups.starts, starts, sizeof starts);
    exia_dag_free(dag);
}

TEST(random_graphs_agree_with_reachability)
{
    enum { NODES = 24 };
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        unsigned char reach[NODES][NODES] = {{0}};
        exia_dag *dag = open_dag(NODES);
        uint32_t count = next_random(&seed) % 60;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t a = next_random(&seed) % NODES, b = next_random(&seed) % NODES;
            if (round % 2 && a > b)
                continue;
            edge(dag, a, b);
            reach[a][b] = 1;
        }
        for (int k = 0; k < NODES; k++)
            for (int i = 0; i < NODES; i++)
                for (int j = 0; j < NODES; j++)
                    reach[i][j] |= reach[i][k] & reach[k][j];
        exia_groups groups;
        unsigned char member[NODES] = {0};
        check_ok(exia_dag_cycles(&groups, dag, &err));
        for (size_t g = 0; g < groups.count; g++)
            for (size_t i = groups.starts[g]; i < groups.starts[g + 1]; i++)
                member[groups.nodes[i]] = (unsigned char)(g + 1);
        int cyclic = 0;
        for (int i = 0; i < NODES; i++) {
            assert_int_equal(member[i] != 0, reach[i][i]);
            cyclic |= reach[i][i];
            for (int j = 0; j < NODES; j++)
                if (member[i] && member[j])
                    assert_int_equal(member[i] == member[j], reach[i][j] && reach[j][i]);
        }
        const uint32_t *order;
        size_t ordered, place[NODES];
        exia_status rc = exia_dag_order(&order, &ordered, dag, &err);
        assert_int_equal(rc, cyclic ? EXIA_ECYCLE : EXIA_OK);
        for (size_t i = 0; i < ordered; i++)
            place[order[i]] = i;
        for (size_t i = 0; i < ordered; i++)
            for (size_t j = 0; j < ordered; j++)
                if (reach[i][j])
                    assert_true(place[i] < place[j]);
        exia_dag_free(dag);
    }
}

TEST(chains_and_rings_of_two_million_nodes_need_no_deep_stack)
{
    enum { COUNT = 2000000 };
    exia_dag *dag = open_dag(COUNT);
    uint32_t *before = malloc(COUNT * sizeof *before), *after = malloc(COUNT * sizeof *after);
    assert_non_null(before);
    assert_non_null(after);
    for (uint32_t i = 0; i < COUNT; i++) { /* from the last to the first, against insertion */
        before[i] = COUNT - 1 - i;
        after[i] = i + 1 < COUNT ? COUNT - 2 - i : COUNT - 1;
    }
    const uint32_t *order;
    size_t count;
    exia_groups groups;
    check_ok(exia_dag_add_edges(dag, before, after, COUNT - 1, &err));
    check_ok(exia_dag_order(&order, &count, dag, &err));
    assert_int_equal(order[0], COUNT - 1);
    assert_int_equal(order[COUNT - 1], 0);
    check_ok(exia_dag_levels(&groups, dag, &err));
    assert_int_equal(groups.count, COUNT);
    check_ok(exia_dag_add_edges(dag, before, after, COUNT, &err));
    edge(dag, 0, COUNT - 1);
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 1);
    assert_int_equal(groups.starts[1], COUNT);
    check_fails(EXIA_ECYCLE, exia_dag_order(&order, &count, dag, &err));
    free(before);
    free(after);
    exia_dag_free(dag);
}

/* ---- run ------------------------------------------------------------------------------------ */

typedef struct work {
    exia_dag *dag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char text[256]; /* names in the order in which tasks began */
    size_t began, running, most;
    const char *fails;    /* these nodes fail */
    size_t meet;          /* a task waits until so many run at once */
    int calls, cancel_at; /* of progress */
    int released;         /* a held task may go on */
    const char *held;
    pthread_t caller;
    int strange; /* a progress call from another thread */
} work;

static void work_open(work *w, exia_dag *dag)
{
    *w = (work){.dag = dag, .fails = "", .held = "", .cancel_at = -1, .caller = pthread_self()};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
}

static void work_close(work *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
}

static exia_status note(uint32_t node, void *payload, exia_error *error)
{
    work *w = payload;
    char name = exia_dag_name(w->dag, node)[0];
    pthread_mutex_lock(&w->lock);
    w->text[w->began++] = name;
    if (++w->running > w->most)
        w->most = w->running;
    pthread_cond_broadcast(&w->changed);
    while (w->most < w->meet)
        pthread_cond_wait(&w->changed, &w->lock);
    while (strchr(w->held, name) && !w->released)
        pthread_cond_wait(&w->changed, &w->lock);
    w->running--;
    pthread_mutex_unlock(&w->lock);
    if (name == 'z')
        return EXIA_EIO; /* and says nothing */
    if (strchr(w->fails, name) == NULL)
        return EXIA_OK;
    error->status = EXIA_EUSER;
    error->native = 7;
    snprintf(error->text, sizeof error->text, "%c is tired", name);
    return EXIA_EUSER;
}

static int progress(const char *step, uint64_t done, uint64_t total, void *payload)
{
    work *w = payload;
    assert_non_null(step);
    pthread_mutex_lock(&w->lock);
    w->strange |= !pthread_equal(w->caller, pthread_self()) || done > total;
    int stop = ++w->calls >= w->cancel_at && w->cancel_at >= 0;
    if (stop || w->calls >= 3) {
        w->released = 1;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return stop;
}

static json_t *next_row(exia_rows *rows)
{
    const char *text;
    if (exia_rows_next(&text, rows, NULL) != EXIA_OK)
        return NULL;
    json_t *row = json_loads(text, 0, NULL);
    assert_non_null(row);
    return row;
}

/* The first letters of the states, by node. */
static const char *states_of(exia_rows *rows)
{
    static char text[64];
    size_t count = 0;
    for (json_t *row; (row = next_row(rows)) != NULL; json_decref(row)) {
        const char *state = json_string_value(json_object_get(row, "state"));
        assert_int_equal(json_integer_value(json_object_get(row, "node")), count);
        assert_int_equal(json_is_string(json_object_get(row, "error")), *state == 'f');
        int ran = *state == 'd' || *state == 'f';
        assert_int_equal(json_is_real(json_object_get(row, "start_ms")), ran);
        assert_true(!ran || json_real_value(json_object_get(row, "end_ms")) >=
                                json_real_value(json_object_get(row, "start_ms")));
        text[count++] = *state;
    }
    text[count] = '\0';
    exia_rows_free(rows);
    return text;
}

TEST(one_thread_runs_in_the_order_of_the_order)
{
    work w;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 1};
    exia_dag *dag = open_named("abcdef");
    edges(dag, "fa ed eb");
    work_open(&w, dag);
    check_ok(exia_dag_run(&rows, dag, note, &w, &job, &err));
    assert_string_equal(w.text, "cefabd");
    assert_string_equal(states_of(rows), "dddddd");
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    work_close(&w);
    exia_dag_free(dag);
}

TEST(a_cycle_runs_nothing)
{
    work w;
    exia_rows *rows = NULL;
    exia_dag *dag = open_named("abc");
    edges(dag, "bc cb");
    work_open(&w, dag);
    check_fails(EXIA_ECYCLE, exia_dag_run(&rows, dag, note, &w, NULL, &err));
    check_text("'b' -> 'c' -> 'b'");
    assert_null(rows);
    assert_int_equal(w.began, 0);
    work_close(&w);
    exia_dag_free(dag);
}

TEST(a_failure_skips_its_descendants_and_nothing_else)
{
    for (uint32_t threads = 1; threads <= 3; threads++) {
        work w;
        exia_rows *rows = NULL;
        exia_job job = {sizeof job, .threads = threads};
        exia_dag *dag = open_named("abcdef");
        edges(dag, "ab bc cd ae ef ed");
        work_open(&w, dag);
        w.fails = "b";
        check_fails(EXIA_EUSER, exia_dag_run(&rows, dag, note, &w, &job, &err));
        assert_string_equal(err.text, "node 'b': b is tired");
        assert_int_equal(err.native, 7);
        assert_string_equal(states_of(rows), "dfssdd");
        work_close(&w);
        exia_dag_free(dag);
    }
}

TEST(a_failure_without_words_is_told_by_its_status)
{
    work w;
    exia_rows *rows = NULL;
    exia_dag *dag = open_named("z");
    work_open(&w, dag);
    check_fails(EXIA_EIO, exia_dag_run(&rows, dag, note, &w, NULL, &err));
    check_text("node 'z': ");
    check_text(exia_status_text(EXIA_EIO));
    assert_string_equal(states_of(rows), "f");
    work_close(&w);
    exia_dag_free(dag);
}

TEST(independent_tasks_run_at_the_same_time)
{
    work w;
    exia_job job = {sizeof job, .threads = 4};
    exia_dag *dag = open_named("abcdef");
    edges(dag, "ab ac ad ae bf cf df ef");
    work_open(&w, dag);
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    assert_int_equal(w.began, 6);
    assert_int_equal(w.text[0], 'a');
    assert_int_equal(w.text[5], 'f');
    work_close(&w);
    exia_dag_free(dag);
    dag = open_named("bcde");
    work_open(&w, dag);
    w.meet = 4;
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    assert_int_equal(w.most, 4);
    work_close(&w);
    exia_dag_free(dag);
}

TEST(progress_comes_in_the_calling_thread_also_when_nothing_moves)
{
    work w;
    exia_job job = {sizeof job, .threads = 2, .progress = progress, .payload = &w};
    exia_dag *dag = open_named("ab");
    work_open(&w, dag);
    w.held = "a"; /* until the third call */
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    assert_true(w.calls >= 3);
    assert_int_equal(w.strange, 0);
    work_close(&w);
    exia_dag_free(dag);
}

TEST(a_cancel_lets_running_tasks_end_and_starts_no_other)
{
    work w;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 2, .progress = progress, .payload = &w};
    exia_dag *dag = open_named("abcde");
    edges(dag, "ab bc");
    work_open(&w, dag);
    w.held = "ade"; /* all workers are held when the second call cancels */
    w.cancel_at = 2;
    check_fails(EXIA_ECANCELLED, exia_dag_run(&rows, dag, note, &w, &job, &err));
    assert_int_equal(w.began, 2);
    assert_string_equal(states_of(rows), "dccdc");
    work_close(&w);
    work_open(&w, dag);
    w.cancel_at = 1;
    job.threads = 1;
    check_fails(EXIA_ECANCELLED, exia_dag_run(&rows, dag, note, &w, &job, &err));
    assert_int_equal(w.began, 0);
    assert_string_equal(states_of(rows), "ccccc");
    work_close(&w);
    exia_dag_free(dag);
}

static exia_status outlast(uint32_t node, void *payload, exia_error *error)
{
    (void)node;
    (void)error;
    struct timespec pause = {.tv_nsec = 5000000};
    while (nanosleep(&pause, &pause) != 0)
        continue;
    atomic_fetch_add((atomic_int *)payload, 1);
    return EXIA_OK;
}

TEST(the_time_allowed_ends_a_run)
{
    atomic_int began = 0;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 1, .total_ms = 1};
    exia_dag *dag = open_named("abc");
    edges(dag, "ab bc");
    check_fails(EXIA_ETIMEOUT, exia_dag_run(&rows, dag, outlast, &began, &job, &err));
    check_text("1 ms");
    assert_int_equal(atomic_load(&began), 1);
    assert_string_equal(states_of(rows), "dcc");
    job.total_ms = -1;
    check_fails(EXIA_EINVAL, exia_dag_run(&rows, dag, outlast, &began, &job, &err));
    exia_dag_free(dag);
}

enum { MANY = 3000 };
typedef struct many {
    const uint32_t *before, *after;
    size_t edges;
    atomic_uchar done[MANY];
    atomic_int bad;
} many;

static exia_status mark(uint32_t node, void *payload, exia_error *error)
{
    many *m = payload;
    (void)error;
    if (atomic_exchange(&m->done[node], 1) != 0)
        atomic_fetch_add(&m->bad, 1);
    return EXIA_OK;
}

static exia_status mark_checked(uint32_t node, void *payload, exia_error *error)
{
    many *m = payload;
    for (size_t i = 0; i < m->edges; i++) {
        if (m->after[i] == node && !atomic_load(&m->done[m->before[i]]))
            atomic_fetch_add(&m->bad, 1);
    }
    return mark(node, payload, error);
}

TEST(many_tasks_run_once_each_and_after_all_before_them)
{
    enum { EDGES = 9000 };
    static uint32_t before[EDGES], after[EDGES];
    static many m;
    uint32_t seed = 42;
    exia_dag *dag = open_dag(MANY);
    for (size_t i = 0; i < EDGES; i++) {
        uint32_t a = next_random(&seed) % MANY, b = next_random(&seed) % (MANY - 1);
        b += b >= a;
        before[i] = a < b ? a : b;
        after[i] = a < b ? b : a;
    }
    check_ok(exia_dag_add_edges(dag, before, after, EDGES, &err));
    for (uint32_t threads = 2; threads <= 8; threads *= 2) {
        exia_job job = {sizeof job, .threads = threads};
        memset(&m, 0, sizeof m);
        m.before = before;
        m.after = after;
        m.edges = EDGES;
        check_ok(exia_dag_run(NULL, dag, threads == 2 ? mark_checked : mark, &m, &job, &err));
        assert_int_equal(atomic_load(&m.bad), 0);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(atomic_load(&m.done[i]), 1);
    }
    exia_dag_free(dag);
}

static exia_status fail_always(uint32_t node, void *payload, exia_error *error)
{
    (void)node;
    (void)payload;
    error->status = EXIA_EUSER;
    strcpy(error->text, "bad bytes: \xff");
    return EXIA_EUSER;
}

TEST(a_doomed_chain_of_a_million_nodes_is_skipped_without_a_deep_stack)
{
    enum { COUNT = 1000000 };
    exia_dag *dag = open_dag(COUNT);
    uint32_t *before = malloc(COUNT * sizeof *before), *after = malloc(COUNT * sizeof *after);
    for (uint32_t i = 0; i + 1 < COUNT; i++) {
        before[i] = i;
        after[i] = i + 1;
    }
    exia_job job = {sizeof job, .threads = 2};
    check_ok(exia_dag_add_edges(dag, before, after, COUNT - 1, &err));
    check_fails(EXIA_EUSER, exia_dag_run(NULL, dag, fail_always, NULL, &job, &err));
    check_text("node 0: ");
    free(before);
    free(after);
    exia_dag_free(dag);
}

TEST(an_empty_graph_runs)
{
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 4};
    exia_dag *dag = open_dag(0);
    check_ok(exia_dag_run(&rows, dag, fail_always, NULL, &job, &err));
    assert_string_equal(states_of(rows), "");
    exia_dag_free(dag);
}

/* ---- export --------------------------------------------------------------------------------- */

TEST(an_unknown_format_is_refused_and_the_known_ones_are_named)
{
    exia_dag *dag = open_dag(1);
    char *text = NULL;
    check_fails(EXIA_EINVAL, exia_dag_export(&text, dag, "png", &err));
    check_text("dot, mermaid or json, not png");
    assert_null(text);
    exia_dag_free(dag);
}

TEST(any_name_is_escaped)
{
    const char *names[] = {"a \"b\" \\n\nc", "1. <i>&amp;</i> #35; `x` v1.2-rc",
                           "\x01\t\x7f\xc3\xa4", NULL};
    exia_dag *dag = NULL;
    char *text = NULL;
    check_ok(exia_dag_open(&dag, &err));
    check_ok(exia_dag_add_nodes(NULL, dag, names, 4, &err));
    edge(dag, 0, 1);
    edge(dag, 0, 3);
    edge(dag, 0, 1);
    check_ok(exia_dag_export(&text, dag, "dot", &err));
    assert_string_equal(text, "digraph {\n"
                              "  0 [label=\"a \\\"b\\\" \\\\n\\nc\"];\n"
                              "  1 [label=\"1. <i>&amp;amp;</i> #35; `x` v1.2-rc\"];\n"
                              "  2 [label=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\"];\n"
                              "  3;\n"
                              "  0 -> 1;\n  0 -> 3;\n}\n");
    exia_text_free(text);
    check_ok(exia_dag_export(&text, dag, "mermaid", &err));
    assert_string_equal(
        text, "flowchart TD\n"
              "  n0[\"a #34;b#34; #92;n<br/>c\"]\n"
              "  n1[\"1#46; #60;i#62;#38;amp#59;#60;#47;i#62; #35;35#59; #96;x#96; v1.2-rc\"]\n"
              "  n2[\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\"]\n"
              "  n3[\"3\"]\n"
              "  n0 --> n1\n  n0 --> n3\n");
    exia_text_free(text);
    check_ok(exia_dag_export(&text, dag, "json", &err));
    json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    json_t *nodes = json_object_get(json, "nodes"), *list = json_object_get(json, "edges");
    assert_int_equal(json_array_size(nodes), 4);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(json_string_value(json_array_get(nodes, i)), names[i]);
    assert_true(json_is_null(json_array_get(nodes, 3)));
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(list, 1), 1)), 3);
    json_decref(json);
    exia_text_free(text);
    exia_dag_free(dag);
}

/* ---- out of memory -------------------------------------------------------------------------- */

static exia_status nothing(uint32_t node, void *payload, exia_error *error)
{
    (void)node;
    (void)payload;
    (void)error;
    return EXIA_OK;
}

static exia_status whole_life(void *payload, exia_error *error)
{
    const char *names[] = {"a", "b", "c"};
    const uint32_t before[] = {0, 1}, after[] = {1, 2}, back = 2, first = 0;
    static const char *const formats[] = {"dot", "mermaid", "json"};
    const exia_job *job = payload;
    exia_dag *dag = NULL;
    exia_rows *rows = NULL;
    exia_groups groups;
    const uint32_t *order;
    size_t count;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, names, 3, error);
    assert_int_equal(exia_dag_node_count(dag), rc == EXIA_OK ? 3 : 0);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 2, error);
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_run(&rows, dag, nothing, NULL, job, error);
    for (size_t i = 0; i < 3 && rc == EXIA_OK; i++) {
        char *text = NULL;
        rc = exia_dag_export(&text, dag, formats[i], error);
        exia_text_free(text);
    }
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, &back, &first, 1, error);
    if (rc == EXIA_OK)
        rc = exia_dag_cycles(&groups, dag, error);
    if (rc == EXIA_OK && groups.count != 1)
        rc = EXIA_EIO;
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, error) == EXIA_ECYCLE ? EXIA_OK : error->status;
    exia_rows_free(rows);
    exia_dag_free(dag);
    return rc;
}

TEST(each_allocation_may_fail)
{
    exia_job job = {sizeof job, .threads = 1};
    check_survives_no_memory(whole_life, &job);
    job.threads = 3;
    check_survives_no_memory(whole_life, &job);
}
