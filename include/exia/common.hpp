/* What every other C++ header needs: errors, handles, texts, rows, long calls.  See exia.hpp. */
#ifndef EXIA_COMMON_HPP
#define EXIA_COMMON_HPP

#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

#include "exia.h"

namespace exia
{

using std::chrono::milliseconds;

/* Why a call failed. */
class error : public std::runtime_error
{
  public:
    error(exia_status status, const std::string &text, int32_t native = 0)
        : std::runtime_error(text), status_(status), native_(native)
    {
    }
    explicit error(const exia_error &why) : error(why.status, why.text, why.native)
    {
    }
    exia_status status() const noexcept
    {
        return status_;
    }
    int32_t native() const noexcept
    {
        return native_;
    } /* errno, HTTP status ... or 0 */

  private:
    exia_status status_;
    int32_t native_;
};

inline const char *version()
{
    return exia_version();
}
inline const char *status_text(exia_status status)
{
    return exia_status_text(status);
}

/* A C struct of options that are all at their defaults. */
template <class T> T options()
{
    T made{};
    made.struct_size = sizeof made;
    return made;
}

/* Some of another's objects, lying one behind the other. */
template <class T> class span
{
  public:
    span() = default;
    span(T *data, std::size_t size) : data_(data), size_(size)
    {
    }
    template <class C, class = std::enable_if_t<
                           std::is_convertible_v<decltype(std::declval<C &>().data()), T *>>>
    span(C &&container) : data_(container.data()), size_(container.size())
    {
    }
    /* As an argument only: the list ends with the call. */
    span(std::initializer_list<std::remove_const_t<T>> list) : size_(list.size())
    {
        data_ = std::data(list);
    }
    T *data() const noexcept
    {
        return data_;
    }
    std::size_t size() const noexcept
    {
        return size_;
    }
    bool empty() const noexcept
    {
        return size_ == 0;
    }
    T *begin() const noexcept
    {
        return data_;
    }
    T *end() const noexcept
    {
        return data_ + size_;
    }
    T &operator[](std::size_t i) const
    {
        return data_[i];
    }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

namespace detail
{

/* A text for C: ended by a NUL, and NULL where the view is a default one. */
class text
{
  public:
    text(std::string_view view) : null_(view.data() == nullptr), text_(view)
    {
        if (std::memchr(text_.data(), 0, text_.size()) != nullptr)
            throw error(EXIA_EINVAL, "a text with a NUL in it is none for C");
    }
    operator const char *() const noexcept
    {
        return null_ ? nullptr : text_.c_str();
    }

  private:
    bool null_;
    std::string text_;
};

inline exia_status check(exia_status rc, const exia_error &err)
{
    if (rc < 0)
        throw err.status == rc ? error(err) : error(rc, exia_status_text(rc));
    return rc;
}

/* Call a function of the C API, whose last parameter is the error. */
template <class F, class... A> exia_status call(F *function, const A &...arguments)
{
    exia_error err{};
    return check(function(arguments..., &err), err);
}

inline std::string take(char *text)
{
    std::unique_ptr<char, void (*)(char *)> owned(text, exia_text_free);
    return text ? std::string(text) : std::string();
}

template <class T, void (*Free)(T *)> class handle
{
  public:
    T *c() const noexcept
    {
        return pointer_.get();
    }
    explicit operator bool() const noexcept
    {
        return pointer_ != nullptr;
    }

  protected:
    handle() = default;
    explicit handle(T *pointer) : pointer_(pointer)
    {
    }

  private:
    struct deleter {
        void operator()(T *pointer) const noexcept
        {
            Free(pointer);
        }
    };
    std::unique_ptr<T, deleter> pointer_;
};

/* The pointer that comes through a first parameter `**out`. */
template <class T, class F, class... A> T *made(F *function, const A &...arguments)
{
    T *out = nullptr;
    call(function, &out, arguments...);
    return out;
}

inline exia_status fill(exia_error *err, exia_status status, int32_t native, const char *said)
{
    if (err != nullptr) {
        err->status = status;
        err->native = native;
        std::size_t size = 0;
        for (; said[size] != '\0' && size < sizeof err->text - 1; size++)
            err->text[size] = said[size] == '\n' ? ' ' : said[size];
        while (said[size] != '\0' && size > 0 && (said[size] & 0xC0) == 0x80)
            size--; /* not within a character */
        err->text[size] = '\0';
    }
    return status;
}

/* Do what C called for; an exception becomes a failure.  The end of a thread is none: it goes on. */
template <class F> exia_status guard(exia_error *err, F &&work)
{
    try {
        work();
        return EXIA_OK;
#if defined(__GLIBCXX__)
    } catch (abi::__forced_unwind &) {
        throw;
#endif
    } catch (const error &e) {
        return fill(err, e.status() < 0 ? e.status() : EXIA_EUSER, e.native(), e.what());
    } catch (const std::bad_alloc &) {
        return fill(err, EXIA_ENOMEM, 0, "out of memory");
    } catch (const std::exception &e) {
        return fill(err, EXIA_EUSER, 0, e.what());
    } catch (...) {
        return fill(err, EXIA_EUSER, 0, "an exception that is no std::exception");
    }
}

} // namespace detail

/* The answer to a listing: JSON objects, once.
 *
 *     for (std::string_view row : library.search("metrics.auc > 0.9"))
 *         std::cout << row << '\n'; */
class rows : public detail::handle<exia_rows, exia_rows_free>
{
  public:
    rows() = default;
    explicit rows(exia_rows *taken) : handle(taken)
    {
    }

    /* The next row, valid until the one after it; false: there is none. */
    bool next(std::string_view &row)
    {
        const char *text = nullptr;
        bool more = detail::call(exia_rows_next, &text, c()) == EXIA_OK;
        row = more ? std::string_view(text) : std::string_view();
        return more;
    }

    class iterator
    {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string_view *;
        using reference = const std::string_view &;

        iterator() = default;
        explicit iterator(rows *from) : from_(from)
        {
            ++*this;
        }
        reference operator*() const
        {
            return row_;
        }
        pointer operator->() const
        {
            return &row_;
        }
        iterator &operator++()
        {
            if (!from_->next(row_))
                from_ = nullptr;
            return *this;
        }
        void operator++(int)
        {
            ++*this;
        }
        bool operator==(const iterator &other) const
        {
            return from_ == other.from_;
        }
        bool operator!=(const iterator &other) const
        {
            return from_ != other.from_;
        }

      private:
        rows *from_ = nullptr;
        std::string_view row_;
    };
    iterator begin()
    {
        return iterator(this);
    }
    iterator end()
    {
        return iterator();
    }
};

/* How a long call may work; what is zero or empty is the default.  `progress` (step, done, total)
 * runs in the calling thread about ten times a second; when it answers false the call ends with
 * EXIA_ECANCELLED. */
struct job {
    uint32_t threads = 0;
    milliseconds timeout{0}, total{0};
    std::function<bool(std::string_view, uint64_t, uint64_t)> progress;
};

namespace detail
{

class running
{
  public:
    explicit running(const job &how) : how_(how)
    {
        c_ = options<exia_job>();
        c_.threads = how.threads;
        c_.timeout_ms = how.timeout.count();
        c_.total_ms = how.total.count();
        c_.payload = this;
        if (how.progress)
            c_.progress = on_progress;
    }
    const exia_job *c() const
    {
        return &c_;
    }
    void rethrow() const
    {
        if (thrown_)
            std::rethrow_exception(thrown_);
    }

  private:
    static int on_progress(const char *step, uint64_t done, uint64_t total, void *payload)
    {
        running *self = static_cast<running *>(payload);
        int ends = 1;
        exia_status rc = guard(nullptr, [&] {
            try {
                ends = !self->how_.progress(step, done, total);
            } catch (const std::exception &) {
                self->thrown_ = std::current_exception();
                throw;
            }
        });
        return rc < 0 ? 1 : ends;
    }

    const job &how_;
    exia_job c_;
    std::exception_ptr thrown_;
};

/* Call a function whose last parameters are the job and the error. */
template <class F, class... A> exia_status work(const job &how, F *function, const A &...arguments)
{
    running now(how);
    exia_error err{};
    exia_status rc = function(arguments..., now.c(), &err);
    now.rethrow();
    return check(rc, err);
}

template <class F, class... A> rows list(F *function, const A &...arguments)
{
    return rows(made<exia_rows>(function, arguments...));
}

template <class F, class... A> rows work_list(const job &how, F *function, const A &...arguments)
{
    exia_rows *out = nullptr;
    work(how, function, &out, arguments...);
    return rows(out);
}

} // namespace detail

/* What stands behind a URL: rows {key, value}. */
inline rows store_check(std::string_view url)
{
    return detail::list(exia_store_check, detail::text(url));
}

/* The cache of blobs of remote stores, a JSON object; cleared of all that nobody uses just now. */
inline std::string cache_show()
{
    return detail::take(detail::made<char>(exia_cache_show));
}
inline std::string cache_clear()
{
    return detail::take(detail::made<char>(exia_cache_clear));
}

} // namespace exia

#endif
