/* The object pool in C++; exia/pool.h is the manual.  See exia.hpp.
 *
 *     struct line {
 *         std::FILE *file = std::tmpfile();
 *         ~line() { std::fclose(file); }
 *     };
 *     exia::pool pool("demo");
 *     exia::component_options four;
 *     four.max = 4;
 *     exia::component lines = pool.add<line>("line", four);
 *     auto one = lines.borrow<line>(std::chrono::seconds(1)); // given back at the end of the scope
 *     std::fputs("hello", one->file); */
#ifndef EXIA_POOL_HPP
#define EXIA_POOL_HPP

#include <optional>

#include "exia/common.hpp"
#include "exia/dag.hpp"

namespace exia
{

inline constexpr milliseconds forever{-1};

/* The objects of the needed components, in the order they were named. */
class needs
{
  public:
    explicit needs(void *const *objects) : objects_(objects)
    {
    }
    template <class T> T &get(std::size_t i) const
    {
        return *static_cast<T *>(objects_[i]);
    }

  private:
    void *const *objects_;
};

struct component_options {
    std::vector<std::string> needs;
    std::string about; /* a JSON object; empty: none */
    uint32_t max = 0;  /* 0: one object, shared */
    uint32_t min_idle = 0;
    milliseconds idle{0}, life{0}, overdue{0};
};

namespace detail
{

class c_options
{
  public:
    explicit c_options(const component_options &from)
    {
        for (const std::string &need : from.needs)
            names_.push_back(need.c_str());
        c_ = options<exia_component_options>();
        c_.needs = names_.data();
        c_.need_count = names_.size();
        c_.about = from.about.empty() ? nullptr : from.about.c_str();
        c_.max = from.max;
        c_.min_idle = from.min_idle;
        c_.idle_ms = from.idle.count();
        c_.life_ms = from.life.count();
        c_.overdue_ms = from.overdue.count();
    }
    const exia_component_options *c() const
    {
        return &c_;
    }

  private:
    std::vector<const char *> names_;
    exia_component_options c_;
};

template <class T, class = void> struct can_activate : std::false_type {
};
template <class T>
struct can_activate<T, std::void_t<decltype(std::declval<T &>().activate())>> : std::true_type {
};
template <class T, class = void> struct can_passivate : std::false_type {
};
template <class T>
struct can_passivate<T, std::void_t<decltype(std::declval<T &>().passivate())>> : std::true_type {
};
template <class T, class = void> struct can_validate : std::false_type {
};
template <class T>
struct can_validate<T, std::void_t<decltype(std::declval<T &>().validate())>> : std::true_type {
};

/* How objects of T are made: by a callable that answers a T or a std::unique_ptr<T>, from the needs or
 * from nothing.  Its hooks are the members of T that there are. */
template <class T, class Make> class maker
{
  public:
    explicit maker(Make make) : make_(std::move(make))
    {
    }

    exia_factory factory()
    {
        exia_factory made = options<exia_factory>();
        made.create = create;
        made.destroy = [](void *object, void *) { delete static_cast<T *>(object); };
        made.release = [](void *payload) { delete static_cast<maker *>(payload); };
        made.payload = this;
        if constexpr (can_activate<T>::value)
            made.activate = [](void *object, void *, exia_error *why) {
                return guard(why, [&] { static_cast<T *>(object)->activate(); });
            };
        if constexpr (can_passivate<T>::value)
            made.passivate = [](void *object, void *, exia_error *why) {
                return guard(why, [&] { static_cast<T *>(object)->passivate(); });
            };
        if constexpr (can_validate<T>::value)
            made.validate = [](void *object, void *, exia_error *why) {
                return guard(why, [&] { validate(*static_cast<T *>(object)); });
            };
        return made;
    }

  private:
    static exia_status create(void **out, void *const *objects, void *payload, exia_error *err)
    {
        return guard(err, [&] {
            Make &make = static_cast<maker *>(payload)->make_;
            if constexpr (std::is_invocable_v<Make &, const needs &>)
                *out = own(make(needs(objects))).release();
            else
                *out = own(make()).release();
        });
    }
    static std::unique_ptr<T> own(std::unique_ptr<T> object)
    {
        return object ? std::move(object)
                      : throw error(EXIA_EUSER, "the factory answered no object");
    }
    static std::unique_ptr<T> own(T &&object)
    {
        return std::make_unique<T>(std::move(object));
    }
    static void validate(T &object)
    {
        if constexpr (std::is_convertible_v<decltype(object.validate()), bool>) {
            if (!object.validate())
                throw error(EXIA_EUSER, "it is not valid any more");
        } else {
            object.validate();
        }
    }

    Make make_;
};

/* By T's own constructor, from the needs or from nothing; T need not be movable. */
template <class T> struct construct {
    std::unique_ptr<T> operator()(const needs &objects) const
    {
        if constexpr (std::is_constructible_v<T, const needs &>)
            return std::make_unique<T>(objects);
        else
            return std::make_unique<T>();
    }
};

} // namespace detail

/* One loan of a T, given back at the end of its scope.  T must be what the component holds. */
template <class T> class lease
{
  public:
    lease() = default;
    explicit lease(const exia_lease &taken) : c_(taken)
    {
    }
    lease(lease &&other) noexcept : c_(std::exchange(other.c_, {}))
    {
    }
    lease &operator=(lease &&other) noexcept
    {
        std::swap(c_, other.c_);
        return *this;
    }
    ~lease()
    {
        if (c_.object != nullptr && exia_lease_try_return(&c_) != EXIA_OK)
            exia_lease_return(&c_, nullptr);
    }

    T *get() const noexcept
    {
        return static_cast<T *>(c_.object);
    }
    T *operator->() const noexcept
    {
        return get();
    }
    std::add_lvalue_reference_t<T> operator*() const
    {
        return *get();
    }
    explicit operator bool() const noexcept
    {
        return c_.object != nullptr;
    }
    const exia_lease &c() const noexcept
    {
        return c_;
    }

    /* Before the end of the scope, to see its failure. */
    void give_back()
    {
        exia_lease ended = std::exchange(c_, {});
        detail::call(exia_lease_return, &ended);
    }
    /* The object is no longer fit. */
    void discard()
    {
        exia_lease ended = std::exchange(c_, {});
        detail::call(exia_lease_discard, &ended);
    }

  private:
    exia_lease c_{};
};

/* A place in the queue, for an event loop. */
class place : public detail::handle<exia_place, exia_place_free>
{
  public:
    explicit place(exia_place *taken) : handle(taken)
    {
    }
    int fd() const noexcept
    {
        return exia_place_fd(c());
    }

    /* None: it is not its turn yet. */
    template <class T> std::optional<lease<T>> borrow(const char *where = nullptr)
    {
        exia_error err{};
        exia_lease out{};
        exia_status rc = exia_place_borrow(&out, c(), where, &err);
        if (rc == EXIA_ETIMEOUT)
            return std::nullopt;
        detail::check(rc, err);
        return lease<T>(out);
    }
    /* @return EXIA_OK; EXIA_ETIMEOUT: not its turn yet; EXIA_DONE: call borrow() */
    template <class T> exia_status try_borrow(lease<T> &out, const char *where = nullptr)
    {
        exia_error err{};
        exia_lease taken{};
        exia_status rc = exia_place_try_borrow(&taken, c(), where, &err);
        if (rc == EXIA_OK)
            out = lease<T>(taken);
        return rc == EXIA_ETIMEOUT ? rc : detail::check(rc, err);
    }
};

/* A name resolved once: a plain value, valid as long as its pool. */
class component
{
  public:
    explicit component(exia_component *found) : c_(found)
    {
    }
    exia_component *c() const noexcept
    {
        return c_;
    }
    const char *name() const noexcept
    {
        return exia_component_name(c_);
    }

    /* `where`: EXIA_HERE, for those who look for leaks. */
    template <class T>
    lease<T> borrow(milliseconds wait = forever, const char *where = nullptr) const
    {
        exia_lease out{};
        if (exia_component_try_borrow(&out, c_, where) != EXIA_OK)
            detail::call(exia_component_borrow, &out, c_, int64_t(wait.count()), where);
        return lease<T>(out);
    }
    place open_place() const
    {
        return place(detail::made<exia_place>(exia_place_open, c_));
    }
    rows loans() const
    {
        return detail::list(exia_component_loans, c_);
    }

    /* Put another factory behind it, as pool::add().  `options` NULL: they stay. */
    template <class T, class Make = detail::construct<T>>
    void replace(Make make = {}, const component_options *options = nullptr, bool rebuild = false)
    {
        auto owned = std::make_unique<detail::maker<T, Make>>(std::move(make));
        exia_factory factory = owned->factory();
        std::optional<detail::c_options> given;
        if (options != nullptr)
            given.emplace(*options);
        detail::call(exia_component_replace, c_, &factory, given ? given->c() : nullptr,
                     int(rebuild));
        static_cast<void>(owned.release()); /* the pool's from now on */
    }

  private:
    exia_component *c_;
};

class pool : public detail::handle<exia_pool, exia_pool_free>
{
  public:
    explicit pool(std::string_view name)
        : handle(detail::made<exia_pool>(exia_pool_open, detail::text(name)))
    {
    }

    /* A component of T's: made by `make`, a callable that answers a T or a std::unique_ptr<T> and
     * takes an exia::needs or nothing; or by T's own constructor.  T's members activate(),
     * passivate() and validate() (false, or an exception: replaced) are called where there are any. */
    template <class T, class Make>
    component add(std::string_view name, Make make, const component_options &options = {})
    {
        auto owned = std::make_unique<detail::maker<T, Make>>(std::move(make));
        exia_factory factory = owned->factory();
        component added = add(name, factory, options);
        static_cast<void>(owned.release()); /* the pool's from now on */
        return added;
    }
    template <class T> component add(std::string_view name, const component_options &options = {})
    {
        return add<T>(name, detail::construct<T>(), options);
    }
    component add(std::string_view name, const exia_factory &factory,
                  const component_options &options = {})
    {
        detail::c_options given(options);
        return component(detail::made<exia_component>(exia_pool_add, c(), detail::text(name),
                                                      &factory, given.c()));
    }
    void load(std::string_view shared_object)
    {
        detail::call(exia_pool_load, c(), detail::text(shared_object));
    }

    std::optional<component> find(std::string_view name) const
    {
        exia_component *found = exia_pool_find(c(), detail::text(name));
        return found ? std::optional<component>(found) : std::nullopt;
    }
    /* @throw error EXIA_ENOTFOUND */
    component at(std::string_view name) const
    {
        if (std::optional<component> found = find(name))
            return *found;
        throw error(EXIA_ENOTFOUND, "there is no component " + std::string(name));
    }
    template <class T>
    lease<T> borrow(std::string_view name, milliseconds wait = forever,
                    const char *where = nullptr) const
    {
        return at(name).borrow<T>(wait, where);
    }

    void on_wait(exia_wait_fn *ask, void *payload)
    {
        detail::call(exia_pool_on_wait, c(), ask, payload);
    }
    rows list() const
    {
        return detail::list(exia_pool_list, c());
    }
    dag plan() const
    {
        return dag(detail::made<exia_dag>(exia_pool_plan, c()));
    }
    void maintain()
    {
        detail::call(exia_pool_maintain, c());
    }
    void clear()
    {
        detail::call(exia_pool_clear, c());
    }
    void close(milliseconds wait = forever)
    {
        detail::call(exia_pool_close, c(), int64_t(wait.count()));
    }
};

} // namespace exia

#endif
