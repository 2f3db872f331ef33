/* What a run costs a task that does next to nothing: beside Taskflow where its headers are there, in
 * turn, round after round, on graphs that are wide, deep, layered, a star and small.  Taskflow keeps
 * its threads between runs; Exia starts and ends its own in every run, and that is counted. */
#include <exia.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#if __has_include(<taskflow/taskflow.hpp>)
#include <taskflow/taskflow.hpp>
#define HAS_TASKFLOW 1
#endif

void bench_sizes(); /* dag_sizes.cpp */

namespace
{

constexpr int ROUNDS = 15, THREADS = 2;
constexpr double BUDGET = 1.0; /* of Taskflow's time */

struct graph {
    std::string title;
    uint32_t nodes;
    std::vector<uint32_t> before, after;

    void edge(uint32_t from, uint32_t to)
    {
        before.push_back(from);
        after.push_back(to);
    }
};

graph wide(uint32_t nodes)
{
    return {"wide: no edge", nodes, {}, {}};
}

graph deep(uint32_t nodes)
{
    graph g{"deep: one chain", nodes, {}, {}};
    for (uint32_t i = 1; i < nodes; i++)
        g.edge(i - 1, i);
    return g;
}

graph star(uint32_t nodes)
{
    graph g{"star: one before all, one after all", nodes, {}, {}};
    for (uint32_t i = 1; i + 1 < nodes; i++) {
        g.edge(0, i);
        g.edge(i, nodes - 1);
    }
    return g;
}

/* Each node comes after four of the layer before. */
graph layered(uint32_t nodes, uint32_t width)
{
    graph g{"layers of " + std::to_string(width), nodes, {}, {}};
    std::minstd_rand random(1);
    for (uint32_t i = width; i < nodes; i++) {
        uint32_t first = i / width * width - width;
        for (int k = 0; k < 4; k++)
            g.edge(first + static_cast<uint32_t>(random()) % width, i);
    }
    return g;
}

/* The work: one cell each, so that no two threads want the same line all the time. */
std::vector<uint32_t> cells;

exia_status touch(uint32_t node, void *, exia_error *)
{
    cells[node]++;
    return EXIA_OK;
}

void check(exia_status status, const exia_error &err)
{
    if (status < 0) {
        std::fprintf(stderr, "bench-dag: %s\n", err.text);
        std::exit(1);
    }
}

exia_dag *build(const graph &g)
{
    exia_dag *dag = nullptr;
    exia_error err;
    check(exia_dag_open(&dag, &err), err);
    check(exia_dag_add_nodes(nullptr, dag, nullptr, g.nodes, &err), err);
    check(exia_dag_add_edges(dag, g.before.data(), g.after.data(), g.before.size(), &err), err);
    return dag;
}

void run(exia_dag *dag, uint32_t threads, uint32_t priority = 0)
{
    exia_error err;
    exia_job job = {};
    job.struct_size = sizeof job;
    job.threads = threads;
    exia_dag_run_options options = {};
    options.struct_size = sizeof options;
    options.priority = priority;
    check(exia_dag_run_with(nullptr, dag, touch, nullptr, &options, &job, &err), err);
}

struct contestant {
    std::string name;
    std::function<void()> lap;
    bool budget;
};

double lap_ns(const contestant &c)
{
    auto start = std::chrono::steady_clock::now();
    c.lap();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start)
        .count();
}

double median(std::vector<double> values)
{
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

/* The first contestant is Exia's run in two threads. */
void race(const graph &g, const char *what, const std::vector<contestant> &contestants)
{
    std::vector<std::vector<double>> took(contestants.size());
    std::fill(cells.begin(), cells.end(), 0);
    for (int round = 0; round <= ROUNDS; round++) {
        for (size_t i = 0; i < contestants.size(); i++) {
            double ns = lap_ns(contestants[i]) / g.nodes;
            if (round > 0) /* the first one warms */
                took[i].push_back(ns);
        }
    }
    uint32_t each = static_cast<uint32_t>((ROUNDS + 1) * contestants.size());
    for (uint32_t i = 0; i < g.nodes; i++) {
        if (cells[i] != each) {
            std::fprintf(stderr, "bench-dag: node %u was done %u times, not %u\n", i, cells[i],
                         each);
            std::exit(1);
        }
    }
    std::printf("\n%s: %s, %u nodes, %zu edges, ns a task\n  %-40s %9s %9s   exia / it: best, "
                "median\n",
                what, g.title.c_str(), g.nodes, g.before.size(), "", "best", "median");
    for (size_t i = 0; i < contestants.size(); i++) {
        double best = *std::min_element(took[i].begin(), took[i].end());
        std::printf("  %-40s %9.1f %9.1f", contestants[i].name.c_str(), best, median(took[i]));
        if (i > 0) {
            std::vector<double> ratios;
            for (size_t k = 0; k < took[i].size(); k++)
                ratios.push_back(took[0][k] / took[i][k]);
            double ours = *std::min_element(took[0].begin(), took[0].end());
            std::printf("   %7.2f %7.2f", ours / best, median(ratios));
            if (contestants[i].budget)
                std::printf("   budget %.2f: %s", BUDGET,
                            median(ratios) <= BUDGET ? "met" : "missed");
        }
        std::printf("\n");
    }
}

#ifdef HAS_TASKFLOW
void fill(tf::Taskflow &flow, const graph &g)
{
    std::vector<tf::Task> tasks(g.nodes);
    for (uint32_t i = 0; i < g.nodes; i++)
        tasks[i] = flow.emplace([i] { cells[i]++; });
    for (size_t i = 0; i < g.before.size(); i++)
        tasks[g.before[i]].precede(tasks[g.after[i]]);
}
#endif

void race_graph(const graph &g)
{
    exia_dag *dag = build(g);
    std::vector<contestant> runs = {{"exia, two threads", [&] { run(dag, THREADS); }, false}};
    std::vector<contestant> builds = {{"exia, two threads",
                                       [&] {
                                           exia_dag *fresh = build(g);
                                           run(fresh, THREADS);
                                           exia_dag_free(fresh);
                                       },
                                       false}};
#ifdef HAS_TASKFLOW
    tf::Executor executor(THREADS);
    tf::Taskflow flow;
    fill(flow, g);
    runs.push_back({"Taskflow, two threads", [&] { executor.run(flow).wait(); }, true});
    builds.push_back({"Taskflow, two threads",
                      [&] {
                          tf::Taskflow fresh;
                          fill(fresh, g);
                          executor.run(fresh).wait();
                      },
                      true});
#endif
    runs.push_back({"exia, in this thread", [&] { run(dag, 1); }, false});
    runs.push_back(
        {"exia, critical path first", [&] { run(dag, THREADS, EXIA_DAG_CRITICAL); }, false});
    race(g, "run", runs);
    race(g, "build and run", builds);
    exia_dag_free(dag);
}

} // namespace

int main()
{
#ifdef HAS_TASKFLOW
    std::printf("DAG run, C: beside Taskflow %s\n", tf::version());
#else
    std::printf("DAG run, C: Taskflow is skipped, its headers are not there (make bench "
                "TASKFLOW=the directory that holds taskflow/taskflow.hpp)\n");
#endif
    constexpr uint32_t MANY = 200000;
    cells.resize(MANY);
    race_graph(wide(MANY));
    race_graph(deep(MANY));
    race_graph(star(MANY));
    race_graph(layered(MANY, 1000));
    race_graph(layered(MANY, 8));
    race_graph(layered(1000, 10));
    bench_sizes();
    return 0;
}
