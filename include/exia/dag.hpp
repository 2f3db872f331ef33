/* Graphs in C++; exia/dag.h says what each function does.  See exia.hpp. */
#ifndef EXIA_DAG_HPP
#define EXIA_DAG_HPP

#include "exia/common.hpp"

namespace exia
{

using nodes = span<const uint32_t>;

/* Levels, or cycles: each is some nodes. */
class groups
{
  public:
    explicit groups(const exia_groups &found) : c_(found)
    {
    }
    std::size_t size() const noexcept
    {
        return c_.count;
    }
    bool empty() const noexcept
    {
        return c_.count == 0;
    }
    nodes operator[](std::size_t i) const
    {
        return {c_.nodes + c_.starts[i], c_.starts[i + 1] - c_.starts[i]};
    }

  private:
    exia_groups c_;
};

/* A run that failed: its report says what became of each node. */
class run_error : public error
{
  public:
    run_error(const error &why, rows &&report)
        : error(why), report_(std::make_shared<rows>(std::move(report)))
    {
    }
    rows &report() const noexcept
    {
        return *report_;
    }

  private:
    std::shared_ptr<rows> report_;
};

class dag_cursor : public detail::handle<exia_dag_cursor, exia_dag_cursor_free>
{
  public:
    explicit dag_cursor(exia_dag_cursor *taken) : handle(taken)
    {
    }
    dag_cursor copy() const
    {
        return dag_cursor(detail::made<exia_dag_cursor>(exia_dag_cursor_copy, c()));
    }
    nodes ready()
    {
        const uint32_t *found = nullptr;
        std::size_t count = 0;
        detail::call(exia_dag_cursor_ready, &found, &count, c());
        return {found, count};
    }
    void done(nodes which)
    {
        detail::call(exia_dag_cursor_done, nullptr, c(), which.data(), which.size());
    }
    bool active() const noexcept
    {
        return exia_dag_cursor_active(c()) != 0;
    }
};

class dag : public detail::handle<exia_dag, exia_dag_free>
{
  public:
    dag() : handle(detail::made<exia_dag>(exia_dag_open))
    {
    }
    explicit dag(exia_dag *taken) : handle(taken)
    {
    }

    /* Nodes: one of this name (none by default), `count` without names, or those of numbers. */
    uint32_t add(std::string_view name = {})
    {
        detail::text owned(name);
        const char *one = owned;
        uint32_t node = 0;
        detail::call(exia_dag_add_nodes, &node, c(), &one, std::size_t(1));
        return node;
    }
    uint32_t add_nodes(std::size_t count)
    {
        uint32_t first = 0;
        detail::call(exia_dag_add_nodes, &first, c(), nullptr, count);
        return first;
    }
    std::vector<uint32_t> intern(span<const int64_t> numbers)
    {
        std::vector<uint32_t> found(numbers.size());
        detail::call(exia_dag_intern, found.data(), c(), numbers.data(), numbers.size());
        return found;
    }
    std::vector<uint32_t> remove(nodes which)
    {
        std::vector<uint32_t> moved(size());
        detail::call(exia_dag_remove_nodes, moved.data(), c(), which.data(), which.size());
        return moved;
    }
    std::size_t size() const noexcept
    {
        return exia_dag_node_count(c());
    }
    uint32_t find(std::string_view name) const
    {
        uint32_t node = 0;
        detail::call(exia_dag_find, &node, c(), detail::text(name));
        return node;
    }
    const char *name(uint32_t node) const noexcept
    {
        return exia_dag_name(c(), node);
    }

    /* Edges: before[i] comes before after[i]. */
    void edge(uint32_t before, uint32_t after)
    {
        edges(nodes(&before, 1), nodes(&after, 1));
    }
    void edges(nodes before, nodes after)
    {
        detail::call(exia_dag_add_edges, c(), before.data(), after.data(), pairs(before, after));
    }
    void remove_edges(nodes before, nodes after)
    {
        detail::call(exia_dag_remove_edges, c(), before.data(), after.data(), pairs(before, after));
    }
    std::pair<nodes, nodes> edges() const
    {
        return two(exia_dag_edges);
    }
    std::pair<nodes, nodes> reduce()
    {
        return two(exia_dag_reduce);
    }

    nodes order()
    {
        return one(exia_dag_order);
    }
    nodes keep_order()
    {
        return one(exia_dag_keep_order);
    }
    /* `keys`: one a node; none: all are equal. */
    nodes order_by(span<const int64_t> keys = {})
    {
        return one(exia_dag_order_by, per_node(keys));
    }
    groups levels()
    {
        return grouped(exia_dag_levels);
    }
    groups cycles()
    {
        return grouped(exia_dag_cycles);
    }
    /* The one that the last ECYCLE showed. */
    nodes cycle_shown() const
    {
        const uint32_t *found = nullptr;
        std::size_t count = 0;
        detail::call(exia_dag_cycle_shown, &found, &count, c());
        return {found, count};
    }
    nodes cycle(uint32_t through = EXIA_NO_NODE)
    {
        return one(exia_dag_cycle, through);
    }
    nodes path(uint32_t from, uint32_t to)
    {
        return one(exia_dag_path, from, to);
    }
    nodes descendants(nodes of)
    {
        return one(exia_dag_descendants, of.data(), of.size());
    }
    nodes ancestors(nodes of)
    {
        return one(exia_dag_ancestors, of.data(), of.size());
    }

    struct longest {
        nodes path;
        double length;
    };
    longest longest_path(span<const double> node_weights = {}, span<const double> edge_weights = {})
    {
        const uint32_t *found = nullptr;
        std::size_t count = 0;
        double length = 0;
        if (!edge_weights.empty() && edge_weights.size() != edges().first.size())
            throw error(EXIA_EINVAL, "there must be one weight an edge");
        detail::call(exia_dag_longest_path, &found, &count, &length, c(), per_node(node_weights),
                     edge_weights.data());
        return {{found, count}, length};
    }

    std::string to_text(std::string_view format) const
    {
        return detail::take(detail::made<char>(exia_dag_export, c(), detail::text(format)));
    }
    dag_cursor cursor()
    {
        return dag_cursor(detail::made<exia_dag_cursor>(exia_dag_cursor_open, c()));
    }

    /* Call task(node) once a node, after all before it, from several threads; an exception is the
     * failure of that node.  Answers the report; where tasks may have run, a failure is a run_error,
     * which has it, too. */
    template <class F>
    rows run(F &&task, const job &how = {}, const exia_dag_run_options *options = nullptr)
    {
        using Task = std::remove_reference_t<F>;
        exia_task_fn *each = [](uint32_t node, void *payload, exia_error *why) {
            return detail::guard(why, [&] { (*static_cast<Task *>(payload))(node); });
        };
        exia_rows *report = nullptr;
        void *payload = const_cast<void *>(static_cast<const void *>(std::addressof(task)));
        try {
            if (options == nullptr)
                detail::work(how, exia_dag_run, &report, c(), each, payload);
            else
                detail::work(how, exia_dag_run_with, &report, c(), each, payload, options);
        } catch (const error &why) {
            if (report == nullptr)
                throw;
            throw run_error(why, rows(report));
        } catch (...) {
            exia_rows_free(report);
            throw;
        }
        return rows(report);
    }
    void cancel()
    {
        detail::call(exia_dag_cancel, c());
    }
    /* Where tasks end apart (EXIA_DAG_APART): this one is over. */
    void end(uint32_t node, const exia_error *why = nullptr)
    {
        detail::call(exia_dag_end, c(), node, why);
    }

  private:
    template <class F, class... A> nodes one(F *function, const A &...arguments)
    {
        const uint32_t *found = nullptr;
        std::size_t count = 0;
        detail::call(function, &found, &count, c(), arguments...);
        return {found, count};
    }
    template <class F> std::pair<nodes, nodes> two(F *function) const
    {
        const uint32_t *before = nullptr, *after = nullptr;
        std::size_t count = 0;
        detail::call(function, &before, &after, &count, c());
        return {{before, count}, {after, count}};
    }
    template <class F> groups grouped(F *function)
    {
        exia_groups found{};
        detail::call(function, &found, c());
        return groups(found);
    }
    static std::size_t pairs(nodes before, nodes after)
    {
        if (before.size() != after.size())
            throw error(EXIA_EINVAL, "edges need as many nodes before as after");
        return before.size();
    }
    template <class T> const T *per_node(span<const T> values) const
    {
        if (!values.empty() && values.size() != size())
            throw error(EXIA_EINVAL, "there must be one value a node");
        return values.data();
    }
};

} // namespace exia

#endif
