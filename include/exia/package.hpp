/* Packages and registries in C++; exia/package.h and exia/registry.h are the manual.  See exia.hpp. */
#ifndef EXIA_PACKAGE_HPP
#define EXIA_PACKAGE_HPP

#include <vector>

#include "exia/common.hpp"

namespace exia
{

inline void new_workspace(std::string_view directory, std::string_view name)
{
    detail::call(exia_workspace_new, detail::text(directory), detail::text(name));
}
inline void add_component(std::string_view directory, std::string_view path,
                          std::string_view kind = {}, std::string_view home = {})
{
    detail::call(exia_workspace_add, detail::text(directory), detail::text(path),
                 detail::text(kind), detail::text(home));
}
inline void add_archive(std::string_view directory, std::string_view archive,
                        std::string_view kind = {}, const job &how = {})
{
    detail::work(how, exia_workspace_add_archive, detail::text(directory), detail::text(archive),
                 detail::text(kind));
}
inline void add_entry(std::string_view directory, std::string_view name, std::string_view object)
{
    detail::call(exia_workspace_add_entry, detail::text(directory), detail::text(name),
                 detail::text(object));
}

/* Answers where the file was written. */
inline std::string pack(std::string_view workspace, std::string_view file = {},
                        const exia_pack_options *options = nullptr, const job &how = {})
{
    char *written = nullptr;
    detail::work(how, exia_package_write, &written, detail::text(workspace), detail::text(file),
                 options);
    return detail::take(written);
}

/* A default `signed_file` replaces `file`. */
inline void sign(std::string_view file, std::string_view signed_file = {},
                 const exia_sign_options *options = nullptr, std::string_view trust_file = {},
                 const job &how = {})
{
    detail::work(how, exia_package_sign, detail::text(file), detail::text(signed_file), options,
                 detail::text(trust_file));
}

class package : public detail::handle<exia_package, exia_package_free>
{
  public:
    explicit package(exia_package *taken) : handle(taken)
    {
    }
    explicit package(std::string_view file)
        : handle(detail::made<exia_package>(exia_package_open, detail::text(file)))
    {
    }
    const char *facts() const noexcept
    {
        return exia_package_facts(c());
    }
    rows files() const
    {
        return detail::list(exia_package_files, c());
    }
    rows signatures(std::string_view trust_file = {}) const
    {
        return detail::list(exia_package_signatures, c(), detail::text(trust_file));
    }
    void verify(const exia_verify_options *options = nullptr, const job &how = {}) const
    {
        detail::work(how, exia_package_verify, c(), options);
    }
    void unpack(std::string_view directory, const exia_unpack_options *options = nullptr,
                const job &how = {}) const
    {
        detail::work(how, exia_package_unpack, c(), detail::text(directory), options);
    }
    std::uint64_t size(std::string_view path) const
    {
        std::uint64_t bytes = 0;
        detail::call(exia_package_file_size, &bytes, c(), detail::text(path));
        return bytes;
    }
    /* A whole file, verified. */
    std::string read(std::string_view path, const job &how = {}) const
    {
        std::string data(static_cast<std::size_t>(size(path)), '\0');
        read(&data[0], path, 0, data.size(), how);
        return data;
    }
    void read(void *into, std::string_view path, std::uint64_t offset, std::size_t bytes,
              const job &how = {}) const
    {
        detail::work(how, exia_package_read, into, c(), detail::text(path), offset, bytes);
    }
    void cat(std::string_view path, int fd, const job &how = {}) const
    {
        detail::work(how, exia_package_cat, c(), detail::text(path), fd);
    }
};

/* An empty directory: only verify. */
inline package receive(int fd, std::string_view directory = {},
                       const exia_receive_options *options = nullptr, const job &how = {})
{
    exia_package *came = nullptr;
    detail::work(how, exia_package_receive, &came, fd, detail::text(directory), options);
    return package(came);
}

/* A registry.  Threads: any.  A default `remote` is what is here. */
class registry : public detail::handle<exia_registry, exia_registry_free>
{
  public:
    explicit registry(std::string_view home = {})
        : handle(detail::made<exia_registry>(exia_registry_open, detail::text(home)))
    {
    }
    const char *home() const noexcept
    {
        return exia_registry_home(c());
    }

    void add_remote(std::string_view name, std::string_view records_url,
                    std::string_view packages_url)
    {
        detail::call(exia_registry_remote_add, c(), detail::text(name), detail::text(records_url),
                     detail::text(packages_url));
    }
    void remove_remote(std::string_view name)
    {
        detail::call(exia_registry_remote_remove, c(), detail::text(name));
    }
    rows remotes() const
    {
        return detail::list(exia_registry_remotes, c());
    }
    rows check_remote(std::string_view name) const
    {
        return detail::list(exia_registry_remote_check, c(), detail::text(name));
    }
    rows try_remote(std::string_view name, const job &how = {})
    {
        return detail::work_list(how, exia_registry_remote_try, c(), detail::text(name));
    }

    void add(std::string_view file, std::string_view remote = {}, const job &how = {})
    {
        detail::work(how, exia_registry_register, c(), detail::text(file), detail::text(remote));
    }
    void remove(std::string_view package, std::string_view remote = {})
    {
        detail::call(exia_registry_unregister, c(), detail::text(package), detail::text(remote));
    }
    void update(std::string_view package, std::string_view facts, std::string_view remote = {})
    {
        detail::call(exia_registry_update, c(), detail::text(package), detail::text(facts),
                     detail::text(remote));
    }
    void merge(std::string_view package, std::string_view facts, std::string_view remote = {})
    {
        detail::call(exia_registry_merge, c(), detail::text(package), detail::text(facts),
                     detail::text(remote));
    }
    rows query(std::string_view filter = {}, std::string_view remote = {}) const
    {
        return detail::list(exia_registry_query, c(), detail::text(filter), detail::text(remote));
    }
    exia_transfer push(std::string_view package, std::string_view remote,
                       const exia_transfer_options *options = nullptr, const job &how = {})
    {
        exia_transfer moved{};
        detail::work(how, exia_registry_push, &moved, c(), detail::text(package),
                     detail::text(remote), options);
        return moved;
    }
    exia_transfer pull(std::string_view package, std::string_view remote,
                       const exia_transfer_options *options = nullptr, const job &how = {})
    {
        exia_transfer moved{};
        detail::work(how, exia_registry_pull, &moved, c(), detail::text(package),
                     detail::text(remote), options);
        return moved;
    }

    std::string url(std::string_view package, std::string_view remote, int64_t seconds = 3600)
    {
        return detail::take(detail::made<char>(exia_registry_url, c(), detail::text(package),
                                               detail::text(remote), seconds));
    }

    /* Answers the package's directory. */
    std::string install(std::string_view package, std::string_view remote = {},
                        const exia_install_options *options = nullptr, const job &how = {})
    {
        char *directory = nullptr;
        detail::work(how, exia_registry_install, &directory, c(), detail::text(package),
                     detail::text(remote), options);
        return detail::take(directory);
    }
    rows plan(std::string_view package, std::string_view remote = {},
              const exia_install_options *options = nullptr, const job &how = {}) const
    {
        return detail::work_list(how, exia_registry_plan, c(), detail::text(package),
                                 detail::text(remote), options);
    }
    /* Packages with all that they need as one file, and back; what a side has, for options->have. */
    rows export_bundle(const std::vector<std::string> &packages, std::string_view file,
                       const exia_export_options *options = nullptr, const job &how = {})
    {
        std::vector<const char *> names;
        for (const std::string &name : packages)
            names.push_back(name.c_str());
        return detail::work_list(how, exia_registry_export, c(), names.data(), names.size(),
                                 detail::text(file), options);
    }
    rows import_bundle(std::string_view file, const job &how = {})
    {
        return detail::work_list(how, exia_registry_import, c(), detail::text(file));
    }
    std::string have(std::string_view remote = {}, const job &how = {}) const
    {
        char *lines = nullptr;
        detail::work(how, exia_registry_have, &lines, c(), detail::text(remote));
        return detail::take(lines);
    }
    rows installed(std::string_view package = {}) const
    {
        return detail::list(exia_registry_installed, c(), detail::text(package));
    }
    rows needs(std::string_view package) const
    {
        return detail::list(exia_registry_needs, c(), detail::text(package));
    }
    std::string which(std::string_view path) const
    {
        return detail::take(detail::made<char>(exia_registry_which, c(), detail::text(path)));
    }
    void activate(std::string_view package, std::string_view expect = {})
    {
        detail::call(exia_registry_activate, c(), detail::text(package), detail::text(expect));
    }
    void uninstall(std::string_view package)
    {
        detail::call(exia_registry_uninstall, c(), detail::text(package));
    }
    rows check(std::string_view package = {}, const exia_check_options *options = nullptr,
               const job &how = {})
    {
        return detail::work_list(how, exia_registry_check, c(), detail::text(package), options);
    }
    rows check_files(std::string_view package = {}, std::string_view remote = {},
                     const exia_check_options *options = nullptr, const job &how = {})
    {
        return detail::work_list(how, exia_registry_check_files, c(), detail::text(package),
                                 detail::text(remote), options);
    }
    rows prune(const exia_prune_options *options = nullptr, const job &how = {})
    {
        return detail::work_list(how, exia_registry_prune, c(), options);
    }
};

} // namespace exia

#endif
