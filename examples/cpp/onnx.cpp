/* Runs an ONNX model out of a library by onnxruntime's C API, on the bytes of the mapping.
 *
 *     onnx LIBONNXRUNTIME LIBRARY SELECTOR <row
 *
 * A model in the ORT format (what onnxruntime saves with session.save_model_format = ORT; part format
 * "ort") is used where it lies: the options below make the session keep neither a copy of the file nor
 * of its weights, so several processes share them.  Of an .onnx file onnxruntime parses a copy of all
 * weights, whatever it is given; nothing here can change that.  The line at the end says how much
 * memory of its own the session took.
 *
 * One float input of shape [1, n] from standard input, the first output as floats.  The runtime is
 * opened by its path, as pip installs it (onnxruntime/capi/libonnxruntime.so.VERSION); the header
 * onnxruntime_c_api.h comes with onnxruntime's releases. */
#include <dlfcn.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <onnxruntime_c_api.h>

#include <exia.hpp>

namespace
{

const OrtApi *api;

void check(OrtStatus *status)
{
    if (status == nullptr)
        return;
    std::string said = api->GetErrorMessage(status);
    api->ReleaseStatus(status);
    throw std::runtime_error(said);
}

/* The newest version of the API that both this header and that library know. */
void load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "OrtGetApiBase") : nullptr;
    if (symbol == nullptr)
        throw std::runtime_error(dlerror());
    const OrtApiBase *base = reinterpret_cast<const OrtApiBase *(*)()>(symbol)();
    api = base->GetApi(ORT_API_VERSION);
    if (api == nullptr)
        throw std::runtime_error(std::string(base->GetVersionString()) +
                                 " is older than the header");
}

/* KiB of memory that is this process' own, not a file's. */
long own_memory()
{
    long size = 0;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (std::sscanf(line.c_str(), "RssAnon: %ld", &size) == 1)
            break;
    return size;
}

/* What the runtime made, until it goes out of scope, also by an exception. */
template <typename T, void (*OrtApi::*release)(T *)> struct held {
    T *c = nullptr;

    held() = default;
    held(const held &) = delete;
    ~held()
    {
        (api->*release)(c);
    }
};

/* A name in memory of the runtime's allocator. */
struct text {
    OrtAllocator *allocator;
    char *c = nullptr;

    text(OrtAllocator *from) : allocator(from)
    {
    }
    text(const text &) = delete;
    ~text()
    {
        allocator->Free(allocator, c);
    }
};

struct session {
    exia::model model; /* its bytes are the session's: it goes last */
    held<OrtEnv, &OrtApi::ReleaseEnv> env;
    held<OrtSessionOptions, &OrtApi::ReleaseSessionOptions> options;
    held<OrtSession, &OrtApi::ReleaseSession> made;

    session(exia::model opened) : model(std::move(opened))
    {
        exia_view view = model.view("model");
        check(api->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "exia", &env.c));
        check(api->CreateSessionOptions(&options.c));
        check(api->SetIntraOpNumThreads(options.c, 1));
        for (const char *option :
             {"session.use_ort_model_bytes_directly",
              "session.use_ort_model_bytes_for_initializers", "session.disable_prepacking"})
            check(api->AddSessionConfigEntry(options.c, option, "1"));
        check(api->CreateSessionFromArray(env.c, view.data, view.size, options.c, &made.c));
    }

    std::vector<float> run(std::vector<float> row)
    {
        OrtAllocator *allocator = nullptr;
        check(api->GetAllocatorWithDefaultOptions(&allocator));
        text input(allocator), output(allocator);
        held<OrtMemoryInfo, &OrtApi::ReleaseMemoryInfo> place;
        held<OrtValue, &OrtApi::ReleaseValue> in, out;
        held<OrtTensorTypeAndShapeInfo, &OrtApi::ReleaseTensorTypeAndShapeInfo> shape;
        const int64_t size[] = {1, int64_t(row.size())};
        std::size_t count = 0;
        float *found = nullptr;
        check(api->SessionGetInputName(made.c, 0, allocator, &input.c));
        check(api->SessionGetOutputName(made.c, 0, allocator, &output.c));
        check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &place.c));
        check(api->CreateTensorWithDataAsOrtValue(place.c, row.data(), row.size() * sizeof(float),
                                                  size, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                                                  &in.c));
        check(api->Run(made.c, nullptr, &input.c, &in.c, 1, &output.c, 1, &out.c));
        check(api->GetTensorTypeAndShape(out.c, &shape.c));
        check(api->GetTensorShapeElementCount(shape.c, &count));
        check(api->GetTensorMutableData(out.c, reinterpret_cast<void **>(&found)));
        return std::vector<float>(found, found + count);
    }
};

} // namespace

int main(int argc, char **argv)
{
    if (argc != 4) {
        std::cerr << "usage: onnx LIBONNXRUNTIME LIBRARY SELECTOR <row\n";
        return 2;
    }
    try {
        load(argv[1]);
        exia::model model = exia::library(argv[2]).open(argv[3]);
        std::vector<float> row(std::istream_iterator<float>(std::cin), {});
        std::size_t size = model.view("model").size / 1024;
        long before = own_memory();
        session now(std::move(model));
        for (float x : now.run(row))
            std::cout << x << '\n';
        std::cout << "the model has " << size << " KiB, its session took " << own_memory() - before
                  << " KiB\n";
        return 0;
    } catch (const std::exception &e) {
        std::cerr << "onnx: " << e.what() << '\n';
        return 1;
    }
}
