/* What building and sorting a random graph costs an edge, from ten thousand edges to ten million, beside
 * Kahn's algorithm on bare arrays, which copies no edge, checks none and knows no levels; and what a
 * node and an edge take in memory, as the allocator hook sees it. */
#include <exia.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

void bench_sizes();

namespace
{

constexpr double BUDGET =
    1.3; /* of the bare one's time, on as many edges as Debian's packages have */
constexpr uint32_t BUDGET_NODES = 64000, BUDGET_EDGES = 280000;

/* ---- memory ----------------------------------------------------------------------------------- */

std::atomic<size_t> held, most_held;

/* The size lies before the block. */
constexpr size_t BEFORE = alignof(std::max_align_t);

size_t *size_of(void *memory)
{
    return reinterpret_cast<size_t *>(static_cast<char *>(memory) - BEFORE);
}

void *counted_resize(void *memory, size_t size, void *)
{
    size_t old = memory ? *size_of(memory) : 0;
    void *block = std::realloc(memory ? size_of(memory) : nullptr, size + BEFORE);
    if (block == nullptr)
        return nullptr;
    *static_cast<size_t *>(block) = size;
    held += size - old;
    most_held = std::max(held.load(), most_held.load());
    return static_cast<char *>(block) + BEFORE;
}

void counted_release(void *memory, void *)
{
    if (memory == nullptr)
        return;
    held -= *size_of(memory);
    std::free(size_of(memory));
}

/* ---- both contestants -------------------------------------------------------------------------- */

struct edge_list {
    uint32_t nodes;
    std::vector<uint32_t> before, after;
};

edge_list drawn(uint32_t nodes, size_t edges)
{
    edge_list g{nodes, std::vector<uint32_t>(edges), std::vector<uint32_t>(edges)};
    std::mt19937 random(1);
    for (size_t i = 0; i < edges; i++) {
        uint32_t a = random() % nodes, b = random() % (nodes - 1);
        b += b >= a;
        g.before[i] = std::min(a, b);
        g.after[i] = std::max(a, b);
    }
    return g;
}

void check(exia_status status, const exia_error &err)
{
    if (status < 0) {
        std::fprintf(stderr, "bench-dag: %s\n", err.text);
        std::exit(1);
    }
}

exia_dag *built(const edge_list &g)
{
    exia_dag *dag = nullptr;
    exia_error err;
    check(exia_dag_open(&dag, &err), err);
    check(exia_dag_add_nodes(nullptr, dag, nullptr, g.nodes, &err), err);
    check(exia_dag_add_edges(dag, g.before.data(), g.after.data(), g.before.size(), &err), err);
    return dag;
}

void sort(exia_dag *dag)
{
    const uint32_t *order;
    size_t count;
    exia_error err;
    check(exia_dag_order(&order, &count, dag, &err), err);
}

void exia_lap(const edge_list &g)
{
    exia_dag *dag = built(g);
    sort(dag);
    exia_dag_free(dag);
}

void bare_lap(const edge_list &g)
{
    std::vector<uint32_t> starts(g.nodes + 2), targets(g.before.size()), waiting(g.nodes), queue;
    for (size_t i = 0; i < g.before.size(); i++) {
        starts[g.before[i] + 2]++;
        waiting[g.after[i]]++;
    }
    for (size_t i = 2; i < starts.size(); i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < g.before.size(); i++)
        targets[starts[g.before[i] + 1]++] = g.after[i];
    queue.reserve(g.nodes);
    for (uint32_t i = 0; i < g.nodes; i++) {
        if (waiting[i] == 0)
            queue.push_back(i);
    }
    for (size_t head = 0; head < queue.size(); head++) {
        for (uint32_t i = starts[queue[head]]; i < starts[queue[head] + 1]; i++) {
            if (--waiting[targets[i]] == 0)
                queue.push_back(targets[i]);
        }
    }
    if (queue.size() != g.nodes) {
        std::fprintf(stderr, "bench-dag: %zu of %u nodes were sorted\n", queue.size(), g.nodes);
        std::exit(1);
    }
}

/* ---- rows ------------------------------------------------------------------------------------- */

double seconds(void (*lap)(const edge_list &), const edge_list &g)
{
    auto start = std::chrono::steady_clock::now();
    lap(g);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void time_row(const edge_list &g)
{
    size_t edges = g.before.size(), rounds = edges < 1000000 ? 15 : 5;
    std::vector<double> ours, bare, ratios;
    for (size_t i = 0; i <= rounds; i++) {
        double a = seconds(exia_lap, g), b = seconds(bare_lap, g);
        if (i == 0)
            continue; /* the first one warms */
        ours.push_back(a);
        bare.push_back(b);
        ratios.push_back(a / b);
    }
    std::nth_element(ratios.begin(), ratios.begin() + rounds / 2, ratios.end());
    double best = *std::min_element(ours.begin(), ours.end()), ratio = ratios[rounds / 2];
    double other = *std::min_element(bare.begin(), bare.end());
    std::printf("  %10u %10zu %10.2f %10.2f   %7.2f %7.2f", g.nodes, edges, best / edges * 1e9,
                other / edges * 1e9, best / other, ratio);
    if (edges == BUDGET_EDGES)
        std::printf("   budget %.2f: %s", BUDGET, ratio <= BUDGET ? "met" : "missed");
    std::printf("\n");
}

/* Bytes of a node from a graph without edges, those of an edge from what edges add to it. */
void memory_row(const edge_list &g)
{
    size_t before = held;
    exia_dag *dag = built({g.nodes, {}, {}});
    double node = static_cast<double>(held - before) / g.nodes;
    sort(dag);
    double sorted_node = static_cast<double>(held - before) / g.nodes;
    exia_dag_free(dag);
    most_held = held.load();
    dag = built(g);
    size_t edges = g.before.size();
    double edge = (static_cast<double>(held - before) - node * g.nodes) / edges;
    sort(dag);
    double sorted_edge = (static_cast<double>(held - before) - sorted_node * g.nodes) / edges;
    double most = static_cast<double>(most_held - before);
    exia_dag_free(dag);
    std::printf(
        "  %10u %10zu   built: %5.1f a node %5.1f an edge   sorted: %5.1f a node %5.1f an edge   "
        "at most %7.1f MiB\n",
        g.nodes, edges, node, edge, sorted_node, sorted_edge, most / (1 << 20));
}

} // namespace

void bench_sizes()
{
    const exia_allocator counted = {counted_resize, counted_release, nullptr};
    exia_error err;
    std::vector<edge_list> graphs;
    graphs.push_back(drawn(BUDGET_NODES, BUDGET_EDGES));
    for (size_t edges = 10000; edges <= 10000000; edges *= 10)
        graphs.push_back(drawn(static_cast<uint32_t>(edges / 4), edges));
    std::printf(
        "\nDAG: build + sort in C, random edges, ns an edge\n  %10s %10s %10s %10s   exia / "
        "it: best, median\n",
        "nodes", "edges", "exia", "bare Kahn");
    for (const edge_list &g : graphs)
        time_row(g);
    std::printf("\nDAG: memory, bytes by the allocator hook\n");
    check(exia_allocator_set(&counted, &err), err);
    for (const edge_list &g : graphs)
        memory_row(g);
    check(exia_allocator_set(nullptr, &err), err);
}
