/* The model library in C++; exia/model.h says what each function does.  See exia.hpp. */
#ifndef EXIA_MODEL_HPP
#define EXIA_MODEL_HPP

#include "exia/common.hpp"

namespace exia
{

/* One tensor of a safetensors part, borrowed as long as its model lives. */
class tensor
{
  public:
    explicit tensor(const exia_tensor &found) : c_(found)
    {
    }
    std::string_view dtype() const noexcept
    {
        return c_.dtype;
    }
    span<const int64_t> shape() const noexcept
    {
        return {c_.shape, c_.rank};
    }
    std::size_t size() const noexcept
    {
        return c_.size;
    } /* in bytes */
    const exia_tensor &c() const noexcept
    {
        return c_;
    }

    /* Its elements, row by row.  @throw error EXIA_EUNSUPPORTED: they are of another type, or do not
     * lie where a T may lie (copy them, then) */
    template <class T> span<T> as() const
    {
        if (dtype() != name<std::remove_const_t<T>>())
            throw error(EXIA_EUNSUPPORTED, "the tensor is of " + std::string(dtype()));
        if (c_.size > 0 && c_.alignment < alignof(T))
            throw error(EXIA_EUNSUPPORTED, "the tensor's address is not aligned");
        return {static_cast<T *>(c_.data), c_.size / sizeof(T)};
    }

  private:
    template <class T> static constexpr std::string_view name()
    {
        static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "the format has no such type");
        if constexpr (std::is_same_v<T, bool>)
            return "BOOL";
        else if constexpr (std::is_floating_point_v<T>)
            return sizeof(T) == 4 ? "F32" : "F64";
        else if constexpr (std::is_signed_v<T>)
            return sizeof(T) == 1 ? "I8" : sizeof(T) == 2 ? "I16" : sizeof(T) == 4 ? "I32" : "I64";
        else
            return sizeof(T) == 1 ? "U8" : sizeof(T) == 2 ? "U16" : sizeof(T) == 4 ? "U32" : "U64";
    }

    exia_tensor c_;
};

/* One open version. */
class model : public detail::handle<exia_model, exia_model_free>
{
  public:
    explicit model(exia_model *taken) : handle(taken)
    {
    }
    /* A plain directory. */
    explicit model(std::string_view directory, std::string_view trust_file = {}, unsigned flags = 0)
        : handle(detail::made<exia_model>(exia_model_open_directory, detail::text(directory),
                                          detail::text(trust_file), flags))
    {
    }
    const char *facts() const noexcept
    {
        return exia_model_facts(c());
    }
    const char *policy() const noexcept
    {
        return exia_model_policy(c());
    }
    std::string environment() const
    {
        return detail::take(detail::made<char>(exia_model_environment, c()));
    }
    std::string requirements() const
    {
        return detail::take(detail::made<char>(exia_model_requirements, c()));
    }

    /* What a signature is over, and the signatures that there are. */
    std::string record() const
    {
        return detail::take(detail::made<char>(exia_model_record, c()));
    }
    rows signatures() const
    {
        return detail::list(exia_model_signatures, c());
    }

    /* A part by its name; by default the only one. */
    exia_view view(std::string_view part = {}) const
    {
        exia_view out{};
        detail::call(exia_model_view, &out, c(), detail::text(part));
        return out;
    }
    exia::tensor tensor(std::string_view name, std::string_view part = {}) const
    {
        exia_tensor out{};
        detail::call(exia_model_tensor, &out, c(), detail::text(part), detail::text(name));
        return exia::tensor(out);
    }
    rows tensors(std::string_view part = {}) const
    {
        return detail::list(exia_model_tensors, c(), detail::text(part));
    }
    void advise(int advice, std::string_view part = {}, uint64_t offset = 0,
                uint64_t size = 0) const
    {
        detail::call(exia_model_advise, c(), detail::text(part), offset, size, advice);
    }
    void read_into(void *into, std::size_t size, std::string_view part = {}, uint64_t offset = 0,
                   const job &how = {}) const
    {
        detail::work(how, exia_model_read_into, into, size, c(), detail::text(part), offset);
    }
};

/* Keys, in a trust file: the user's by default.  Answers what exia/trust.h says, as JSON. */
inline std::string new_key(std::string_view secret_file = {}, std::string_view password = {})
{
    return detail::take(
        detail::made<char>(exia_key_new, detail::text(secret_file), detail::text(password)));
}
inline rows keys(std::string_view trust_file = {})
{
    return detail::list(exia_keys, detail::text(trust_file));
}
inline void trust_key(std::string_view name, std::string_view key, std::string_view trust_file = {})
{
    detail::call(exia_key_trust, detail::text(trust_file), detail::text(name), detail::text(key));
}
inline void revoke_key(std::string_view name, std::string_view why = {},
                       std::string_view trust_file = {})
{
    detail::call(exia_key_revoke, detail::text(trust_file), detail::text(name), detail::text(why));
}

/* One file of a version to be written; memory must stay until write() returns. */
struct part {
    std::string name, format, path;
    const void *data = nullptr;
    std::size_t size = 0;
    std::vector<exia_slice> pieces;

    static part file(std::string name, std::string path, std::string format = "file")
    {
        return {std::move(name), std::move(format), std::move(path), nullptr, 0, {}};
    }
    static part bytes(std::string name, const void *data, std::size_t size,
                      std::string format = "bytes")
    {
        return {std::move(name), std::move(format), {}, size ? data : "", size, {}};
    }
};

struct write_options {
    std::string facts;          /* a JSON object; empty: none */
    std::string alias;          /* empty: none is moved */
    int64_t expect = EXIA_ANY;  /* where it must stand */
    std::string message, token; /* empty: none */
    bool dry_run = false;       /* store nothing */
};

/* A library.  Threads: any. */
class library : public detail::handle<exia_library, exia_library_free>
{
  public:
    explicit library(std::string_view url = {}, const exia_library_options *options = nullptr)
        : handle(detail::made<exia_library>(exia_library_open, detail::text(url), options))
    {
    }

    int64_t write(std::string_view name, const std::vector<part> &parts,
                  const write_options &options = {}, const job &how = {})
    {
        std::vector<exia_part> given;
        for (const part &one : parts)
            given.push_back({one.name.c_str(), one.format.c_str(),
                             one.path.empty() ? nullptr : one.path.c_str(), one.data, one.size,
                             one.pieces.empty() ? nullptr : one.pieces.data(), one.pieces.size()});
        auto said = exia::options<exia_write_options>();
        said.facts = or_null(options.facts);
        said.alias = or_null(options.alias);
        said.expect = options.expect;
        said.message = or_null(options.message);
        said.token = or_null(options.token);
        said.dry_run = options.dry_run;
        int64_t version = 0;
        detail::work(how, exia_model_write, &version, c(), detail::text(name), given.data(),
                     given.size(), &said);
        return version;
    }
    model open(std::string_view selector, unsigned flags = 0)
    {
        return model(detail::made<exia_model>(exia_model_open, c(), detail::text(selector), flags));
    }
    /* Where it may come from a remote store. */
    model open(std::string_view selector, unsigned flags, const job &how)
    {
        exia_model *opened = nullptr;
        detail::work(how, exia_model_open_with, &opened, c(), detail::text(selector), flags);
        return model(opened);
    }
    /* What the policy lists, for what would come from elsewhere. */
    std::string policy() const
    {
        return detail::take(detail::made<char>(exia_library_policy, c()));
    }
    void remove(std::string_view name, int64_t version, std::string_view message = {})
    {
        detail::call(exia_model_remove, c(), detail::text(name), version, detail::text(message));
    }
    void alias(std::string_view name, std::string_view alias, int64_t to, int64_t expect = EXIA_ANY,
               std::string_view message = {})
    {
        detail::call(exia_alias_move, c(), detail::text(name), detail::text(alias), to, expect,
                     detail::text(message));
    }
    int64_t rollback(std::string_view name, std::string_view alias, int64_t expect = EXIA_ANY,
                     std::string_view message = {})
    {
        int64_t version = 0;
        detail::call(exia_alias_rollback, &version, c(), detail::text(name), detail::text(alias),
                     expect, detail::text(message));
        return version;
    }
    /* Where it stood at a time, in UTC: "2026-01-31". */
    int64_t rollback_to(std::string_view name, std::string_view alias, std::string_view time,
                        int64_t expect = EXIA_ANY, std::string_view message = {})
    {
        int64_t version = 0;
        detail::call(exia_alias_rollback_to, &version, c(), detail::text(name), detail::text(alias),
                     detail::text(time), expect, detail::text(message));
        return version;
    }
    void protect(std::string_view name, std::string_view alias, bool on = true,
                 std::string_view message = {})
    {
        detail::call(exia_alias_protect, c(), detail::text(name), detail::text(alias), int(on),
                     detail::text(message));
    }
    rows search(std::string_view filter = {})
    {
        return detail::list(exia_library_search, c(), detail::text(filter));
    }
    rows history(std::string_view name)
    {
        return detail::list(exia_library_history, c(), detail::text(name));
    }
    rows history(std::string_view name, std::string_view alias)
    {
        return detail::list(exia_alias_history, c(), detail::text(name), detail::text(alias));
    }
    void export_to(std::string_view selector, std::string_view directory, const job &how = {})
    {
        detail::work(how, exia_library_export, c(), detail::text(selector),
                     detail::text(directory));
    }

    void sign(std::string_view selector, const exia_sign_options *options = nullptr)
    {
        detail::call(exia_model_sign, c(), detail::text(selector), options);
    }

    rows retain(std::string_view rules, const exia_retain_options *options = nullptr,
                const job &how = {})
    {
        return detail::work_list(how, exia_library_retain, c(), detail::text(rules), options);
    }
    rows gc(const exia_gc_options *options = nullptr, exia_gc_totals *totals = nullptr,
            const job &how = {})
    {
        return detail::work_list(how, exia_library_gc, totals, c(), options);
    }
    rows fsck(const exia_fsck_options *options = nullptr, exia_fsck_totals *totals = nullptr,
              const job &how = {})
    {
        return detail::work_list(how, exia_library_fsck, totals, c(), options);
    }
    rows backup(std::string_view path, const exia_backup_options *options = nullptr,
                const job &how = {})
    {
        return detail::work_list(how, exia_library_backup, c(), detail::text(path), options);
    }
    rows restore(std::string_view path, const exia_backup_options *options = nullptr,
                 const job &how = {})
    {
        return detail::work_list(how, exia_library_restore, c(), detail::text(path), options);
    }

  private:
    static const char *or_null(const std::string &text)
    {
        return text.empty() ? nullptr : text.c_str();
    }
};

} // namespace exia

#endif
