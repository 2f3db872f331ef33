/* exia.hpp: the same things as in C, with errors thrown, scopes that free, and callables. */
#include <atomic>
#include <cmath>
#include <fstream>
#include <poll.h>
#include <thread>

#include "exia.hpp"

extern "C" { /* behind all others: cmocka's names are macros */
#include "support/check.h"
}

static_assert(!std::is_copy_constructible_v<exia::pool> &&
              std::is_move_constructible_v<exia::pool>);
static_assert(!std::is_copy_constructible_v<exia::model> && !std::is_copy_assignable_v<exia::rows>);
static_assert(!std::is_copy_constructible_v<exia::lease<int>>);
static_assert(std::is_nothrow_move_constructible_v<exia::lease<int>>);
static_assert(std::is_base_of_v<std::runtime_error, exia::error>);

/* The status that the callable throws, and that its text holds a part. */
template <class F> static exia_status thrown(const char *part, F &&work)
{
    try {
        work();
    } catch (const exia::error &e) {
        if (std::strstr(e.what(), part) == nullptr)
            fail_msg("\"%s\" does not hold \"%s\"", e.what(), part);
        return e.status();
    }
    return EXIA_OK;
}

static std::size_t count(exia::rows rows)
{
    return std::size_t(std::distance(rows.begin(), rows.end()));
}

/* ---- errors, texts, handles ----------------------------------------------------------------- */

TEST(an_error_is_a_runtime_error_with_the_status_and_the_text)
{
    try {
        exia::library library("ftp://x");
        fail();
    } catch (const std::runtime_error &e) {
        auto &why = dynamic_cast<const exia::error &>(e);
        assert_int_equal(why.status(), EXIA_EINVAL);
        assert_non_null(std::strstr(why.what(), "ftp"));
    }
}

TEST(a_text_with_a_nul_is_refused_before_c_sees_its_beginning)
{
    using namespace std::string_view_literals;
    assert_int_equal(thrown("NUL", [] { exia::pool pool("a\0b"sv); }), EXIA_EINVAL);
    assert_int_equal(thrown("", [] { exia::pool pool(""); }), EXIA_EINVAL);
    std::string_view part = std::string_view("demolition").substr(0, 4); /* not ended by a NUL */
    exia::pool pool(part);
}

TEST(what_was_moved_from_is_empty_and_an_error_to_use)
{
    exia::pool pool("p");
    exia::dag dag;
    exia::pool other = std::move(pool);
    exia::dag further = std::move(dag);
    assert_false(bool(pool));
    assert_true(bool(other));
    assert_int_equal(thrown("", [&] { pool.clear(); }), EXIA_EINVAL);
    assert_int_equal(thrown("", [&] { dag.order(); }), EXIA_EINVAL);
    assert_int_equal(thrown("", [&] { dag.add("x"); }), EXIA_EINVAL);
    exia::rows none;
    assert_int_equal(thrown("", [&] { count(std::move(none)); }), EXIA_EINVAL);
    pool = std::move(other);
    pool.clear();
}

/* ---- pool ----------------------------------------------------------------------------------- */

namespace
{
std::atomic<int> alive{0};

struct scale {
    double factor = 10;
    scale()
    {
        ++alive;
    }
    ~scale()
    {
        --alive;
    }
    scale(const scale &) = delete;
};
struct filter {
    double gain;
    int active = 0, uses = 0;
    explicit filter(const exia::needs &needs) : gain(2 * needs.get<scale>(0).factor)
    {
        ++alive;
    }
    ~filter()
    {
        --alive;
    }
    filter(const filter &) = delete;
    void activate()
    {
        active++;
    }
    void passivate()
    {
        active--, uses++;
    }
    bool validate() const
    {
        return uses < 2;
    }
};
} // namespace

TEST(classes_are_components_whose_members_are_the_hooks)
{
    {
        exia::pool pool("demo");
        exia::component_options options;
        options.needs = {"scale"};
        options.max = 2;
        exia::component filters = pool.add<filter>("filter", options);
        pool.add<scale>("scale");
        assert_string_equal(filters.name(), "filter");
        {
            auto first = filters.borrow<filter>(), second = filters.borrow<filter>();
            assert_true(first->gain == 20 && first->active == 1 && first.get() != second.get());
            assert_int_equal(count(filters.loans()), 2);
            assert_int_equal(thrown("", [&] { filters.borrow<filter>(exia::milliseconds(0)); }),
                             EXIA_ETIMEOUT);
            assert_int_equal(alive, 3);
            second.discard();
            assert_int_equal(alive, 2);
        }
        assert_int_equal(filters.borrow<filter>()->uses, 1);
        assert_int_equal(filters.borrow<filter>()->uses, 0); /* valid twice: this is a new one */
        assert_int_equal(count(pool.list()), 2);
        assert_int_equal(pool.plan().order().size(), 2);
        pool.maintain();
        pool.clear();
        pool.close(exia::milliseconds(0));
        assert_int_equal(thrown("", [&] { filters.borrow<filter>(); }), EXIA_ECLOSED);
    }
    assert_int_equal(alive, 0);
}

TEST(lambdas_are_factories_and_are_freed_with_the_pool)
{
    auto kept = std::make_shared<int>(7);
    {
        exia::pool pool("demo");
        pool.add<int>("number", [kept] { return *kept; });
        pool.add<std::string>(
            "text",
            [kept](const exia::needs &needs) {
                return std::make_unique<std::string>(std::size_t(needs.get<int>(0)), 'x');
            },
            [] {
                exia::component_options o;
                o.needs = {"number"};
                return o;
            }());
        assert_int_equal(kept.use_count(), 3);
        assert_string_equal(pool.borrow<std::string>("text")->c_str(), "xxxxxxx");
        assert_false(pool.find("none").has_value());
        assert_int_equal(thrown("none", [&] { pool.borrow<int>("none"); }), EXIA_ENOTFOUND);
        assert_int_equal(thrown("", [&] { pool.add<int>("number", [kept] { return 1; }); }),
                         EXIA_EEXISTS);
        assert_int_equal(kept.use_count(), 3); /* the one that was refused is gone */
        pool.at("number").replace<int>([kept] { return *kept + 1; });
        assert_int_equal(*pool.borrow<int>("number"), 8);
    }
    assert_int_equal(kept.use_count(), 1);
}

TEST(an_exception_in_a_factory_is_the_failure_of_the_borrow)
{
    exia::pool pool("demo");
    pool.add<int>("plain", []() -> int { throw std::out_of_range("the reason\nin two lines"); });
    pool.add<int>("own", []() -> int { throw exia::error(EXIA_EDENIED, "no key", 13); });
    pool.add<int>("odd", []() -> int { throw 7; });
    pool.add<int>("null", [] { return std::unique_ptr<int>(); });
    assert_int_equal(thrown("the reason in two", [&] { pool.borrow<int>("plain"); }), EXIA_EUSER);
    assert_int_equal(thrown("no key", [&] { pool.borrow<int>("own"); }), EXIA_EDENIED);
    assert_int_equal(thrown("exception", [&] { pool.borrow<int>("odd"); }), EXIA_EUSER);
    assert_int_equal(thrown("no object", [&] { pool.borrow<int>("null"); }), EXIA_EUSER);
}

TEST(a_place_is_watched_and_then_borrows)
{
    exia::pool pool("demo");
    exia::component_options one;
    one.max = 1;
    exia::component numbers = pool.add<int>(
        "number", [] { return 5; }, one);
    auto taken = numbers.borrow<int>();
    exia::place place = numbers.open_place();
    exia::lease<int> next;
    struct pollfd watched = {place.fd(), POLLIN, 0};
    assert_int_equal(poll(&watched, 1, 0), 0);
    assert_false(place.borrow<int>().has_value());
    assert_int_equal(place.try_borrow(next), EXIA_ETIMEOUT);
    taken.give_back();
    assert_int_equal(poll(&watched, 1, 10000), 1);
    assert_int_equal(place.try_borrow(next), EXIA_OK);
    assert_int_equal(*next, 5);
    assert_int_equal(thrown("", [&] { taken.give_back(); }), EXIA_EINVAL);
}

/* ---- dag ------------------------------------------------------------------------------------ */

TEST(a_graph_is_asked_for_orders_and_paths)
{
    exia::dag dag;
    uint32_t load = dag.add("load"), clean = dag.add("clean"), train = dag.add("train");
    dag.edges({load, clean}, {clean, train});
    dag.edge(load, train);
    assert_int_equal(dag.size(), 3);
    assert_int_equal(dag.find("train"), train);
    assert_string_equal(dag.name(clean), "clean");
    std::vector<uint32_t> order(dag.order().begin(), dag.order().end());
    assert_true((order == std::vector<uint32_t>{load, clean, train}));
    exia::groups levels = dag.levels();
    assert_int_equal(levels.size(), 3);
    assert_int_equal(levels[2][0], train);
    assert_true(dag.cycles().empty());
    assert_int_equal(dag.path(load, train).size(), 2);
    assert_int_equal(dag.ancestors({train}).size(), 2);
    assert_int_equal(dag.descendants({load}).size(), 2);
    assert_int_equal(dag.reduce().first.size(), 2);
    assert_int_equal(dag.edges().second.size(), 3);
    assert_true(dag.longest_path(std::vector<double>{1, 2, 4}).length == 7);
    assert_int_equal(dag.order_by({3, 2, 1})[0], load);
    assert_non_null(std::strstr(dag.to_text("dot").c_str(), "digraph"));
    assert_int_equal(thrown("one value a node", [&] { dag.order_by({1}); }), EXIA_EINVAL);
    assert_int_equal(thrown("as many", [&] { dag.edges({load}, {}); }), EXIA_EINVAL);
    dag.keep_order();
    assert_int_equal(thrown("load", [&] { dag.edge(train, load); }), EXIA_ECYCLE);
    assert_int_equal(dag.cycle_shown().size(), 2);
    assert_int_equal(dag.cycle().size(), 0);
    dag.remove_edges({load}, {train});
    assert_int_equal(dag.remove({clean})[train], 1);
    assert_int_equal(dag.intern({7, 8, 7})[2], 2);
    assert_int_equal(dag.add_nodes(3), 4);

    exia::dag_cursor cursor = dag.cursor(), twin = cursor.copy();
    exia::nodes ready = cursor.ready();
    assert_int_equal(ready.size(), dag.size());
    cursor.done(ready);
    assert_false(cursor.active());
    assert_true(twin.active());
}

TEST(tasks_are_callables_and_their_exceptions_are_in_the_report)
{
    exia::dag dag;
    for (const char *name : {"a", "b", "c"})
        dag.add(name);
    dag.edges({0, 1}, {1, 2});
    std::vector<int> done(3);
    exia::job two;
    two.threads = 2;
    auto all = [&](uint32_t node) { done[node] = node == 0 ? 1 : done[node - 1] + 1; };
    assert_int_equal(count(dag.run(all, two)), 3);
    assert_int_equal(done[2], 3);
    auto options = exia::options<exia_dag_run_options>();
    options.retries = 1;
    std::atomic<int> calls{0};
    try {
        dag.run(
            [&](uint32_t node) {
                calls++;
                if (node == 1)
                    throw std::logic_error("b is bad");
            },
            two, &options);
        fail();
    } catch (const exia::run_error &e) {
        assert_int_equal(e.status(), EXIA_EUSER);
        assert_string_equal(e.what(), "node 'b': b is bad");
        std::string report;
        for (std::string_view row : e.report())
            report += row;
        assert_non_null(std::strstr(report.c_str(), "skipped"));
    }
    assert_int_equal(calls, 3);
    assert_int_equal(thrown("", [&] { dag.cancel(); }), EXIA_ENOTFOUND);
    assert_int_equal(thrown("", [&] { dag.end(0); }), EXIA_ENOTFOUND);
}

/* ---- models --------------------------------------------------------------------------------- */

static std::string tensors_file()
{
    std::string header = R"({"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
    header.append((64 - 8 - header.size() % 64 + 64) % 64, ' ');
    std::string file(8, '\0');
    file[0] = char(header.size());
    const float numbers[] = {1, 2, 3, 4};
    return file + header + std::string(reinterpret_cast<const char *>(numbers), sizeof numbers);
}

TEST(versions_are_written_found_and_mapped)
{
    exia::library library(check_path("library"));
    std::string file = tensors_file();
    exia::write_options options;
    options.facts = R"({"metrics":{"auc":0.9}})";
    options.alias = "champion";
    std::vector<exia::part> parts{
        exia::part::bytes("model", file.data(), file.size(), "safetensors"),
        exia::part::bytes("none", nullptr, 0)};
    assert_int_equal(library.write("digits", parts, options), 1);
    assert_int_equal(library.write("digits", parts), 2);
    exia::model model = library.open("digits@champion");
    exia::tensor w = model.tensor("w", "model");
    assert_true(w.dtype() == "F32" && w.shape().size() == 2 && w.as<float>()[3] == 4);
    w.as<float>()[3] = 5;
    assert_int_equal(thrown("F32", [&] { w.as<double>(); }), EXIA_EUNSUPPORTED);
    assert_int_equal(thrown("name one", [&] { model.view(); }), EXIA_EINVAL);
    assert_int_equal(model.view("none").size, 0);
    assert_int_equal(count(model.tensors("model")), 2);
    assert_non_null(std::strstr(model.facts(), "0.9"));
    assert_non_null(std::strstr(model.policy(), "trusted"));
    assert_non_null(std::strstr(library.policy().c_str(), "constructors"));
    assert_int_equal(thrown("environment", [&] { model.environment(); }), EXIA_ENOTFOUND);
    model.advise(EXIA_ADVICE_RANDOM, "model");
    char first[8];
    model.read_into(first, sizeof first, "model");
    assert_memory_equal(first, file.data(), sizeof first);

    std::string found;
    for (std::string_view row : library.search("metrics.auc > 0.5"))
        found += row;
    assert_non_null(std::strstr(found.c_str(), "\"digits\""));
    library.alias("digits", "champion", 2, 1, "better");
    assert_int_equal(library.rollback("digits", "champion"), 1);
    assert_int_equal(thrown("champion", [&] { library.remove("digits", 1); }), EXIA_ECONFLICT);
    assert_int_equal(count(library.history("digits")), 4);
    library.protect("digits", "champion");
    assert_int_equal(thrown("", [&] { library.alias("digits", "champion", 2); }), EXIA_EDENIED);
    library.protect("digits", "champion", false, "done");
    assert_int_equal(count(library.history("digits", "champion")), 5);
    assert_int_equal(thrown("", [&] { library.rollback_to("digits", "champion", "2000-01-01"); }),
                     EXIA_ENOTFOUND);
    std::string secret = check_path("key.pem"), trust = check_path("trust.json");
    assert_non_null(std::strstr(exia::new_key(secret).c_str(), "public_file"));
    exia::trust_key("me", secret.substr(0, secret.size() - 4) + ".pub", trust);
    auto signing = exia::options<exia_sign_options>();
    signing.secret_file = secret.c_str();
    library.sign("digits@1", &signing);
    assert_int_equal(count(library.open("digits@1").signatures()), 1);
    assert_non_null(std::strstr(library.open("digits@1").record().c_str(), "version/2"));
    exia::revoke_key("me", "lost", trust);
    assert_int_equal(count(exia::keys(trust)), 1);
    library.export_to("digits@2", check_path("plain"));
    assert_int_equal(exia::model(std::string_view(check_path("plain"))).view("model").size,
                     file.size());
    assert_int_equal(count(library.retain(R"({"last":1})")), 2);
    exia_gc_totals totals{};
    assert_int_equal(count(library.gc(nullptr, &totals)), 0);
    assert_int_equal(count(library.fsck()), 0);
    assert_int_equal(count(library.backup(check_path("backup"))), 1);
    assert_int_equal(count(exia::library(check_path("twin")).restore(check_path("backup"))), 1);
}

TEST(progress_may_stop_a_call_or_throw_out_of_it)
{
    exia::library library(check_path("library"));
    std::string large(8 << 20, 'x');
    std::vector<exia::part> parts{exia::part::bytes("model", large.data(), large.size())};
    exia::job how;
    how.progress = [](std::string_view, uint64_t, uint64_t) { return false; };
    assert_int_equal(thrown("", [&] { library.write("m", parts, {}, how); }), EXIA_ECANCELLED);
    how.progress = [](std::string_view, uint64_t, uint64_t) -> bool {
        throw std::range_error("out of progress");
    };
    bool out = false;
    try {
        library.write("m", parts, {}, how);
    } catch (const std::range_error &) {
        out = true;
    }
    assert_true(out);
    assert_int_equal(count(library.search()), 0);
}

/* ---- packages ------------------------------------------------------------------------------- */

TEST(a_package_goes_to_a_remote_and_is_installed_from_there)
{
    std::string workspace = check_path("workspace"), text = check_path("greeting.txt");
    std::ofstream(text) << "hello\n";
    exia::new_workspace(workspace, "hello");
    exia::add_component(workspace, text, "doc");
    exia::add_entry(workspace, "greet", "greeting:greet");
    std::string file = exia::pack(workspace, check_path("hello.veda"));
    exia::package package(file);
    package.verify();
    assert_non_null(std::strstr(package.facts(), "\"digest\""));
    assert_true(count(package.files()) >= 2);
    package.unpack(check_path("unpacked"));

    std::string secret = check_path("key.pem"), trust = check_path("trust.json");
    auto signing = exia::options<exia_sign_options>();
    auto strictly = exia::options<exia_verify_options>();
    exia::new_key(secret);
    exia::trust_key("me", check_path("key.pub"), trust);
    signing.secret_file = secret.c_str();
    strictly.require_signature = 1;
    strictly.trust_file = trust.c_str();
    assert_int_equal(thrown("is not signed", [&] { package.verify(&strictly); }), EXIA_EUNTRUSTED);
    exia::sign(file, {}, &signing);
    exia::package(file).verify(&strictly);
    assert_int_equal(count(exia::package(file).signatures(trust)), 1);

    exia::registry here(check_path("home")), there(check_path("other"));
    for (exia::registry *each : {&here, &there})
        each->add_remote("depot", check_format("sqlite:%s", check_path("depot.db")),
                         check_format("file:%s", check_path("depot")));
    assert_int_equal(count(here.remotes()), 1);
    here.add(file);
    here.update("hello@0.1.0", R"({"seen":true})");
    assert_true(here.push("hello", "depot").moved > 0);
    assert_int_equal(count(there.query({}, "depot")), 1);
    assert_int_equal(count(here.check_files({}, "depot")), 0);
    assert_true(count(here.try_remote("depot")) > 0);
    assert_true(there.pull("hello", "depot").total > 0);
    assert_int_equal(count(there.plan("hello")), 1);
    std::string directory = there.install("hello");
    assert_true(std::ifstream(directory + "/doc/greeting.txt").good());
    assert_int_equal(count(there.installed()), 1);
    assert_int_equal(count(there.needs("hello")), 1);
    assert_non_null(
        std::strstr(there.which(directory + "/doc/greeting.txt").c_str(), "hello@0.1.0"));
    there.uninstall("hello");
    here.remove("hello@0.1.0");
    here.remove_remote("depot");
    assert_non_null(here.home());
    assert_true(count(exia::store_check(check_format("sqlite:%s", check_path("depot.db")))) > 0);
    assert_non_null(std::strstr(exia::cache_show().c_str(), "\"directory\""));
    assert_non_null(std::strstr(exia::cache_clear().c_str(), "\"freed\""));
    assert_int_equal(thrown("", [&] { here.install("hello"); }), EXIA_ENOTFOUND);
}
