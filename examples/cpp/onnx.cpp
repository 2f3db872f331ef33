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

struct session {
    OrtEnv *env = nullptr;
    OrtSessionOptions *options = nullptr;
    OrtSession *c = nullptr;
    exia::model model; /* its bytes are the session's: it goes last */

    session(exia::model opened) : model(std::move(opened))
    {
        exia_view view = model.view("model");
        check(api->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "exia", &env));
        check(api->CreateSessionOptions(&options));
        check(api->SetIntraOpNumThreads(options, 1));
        check(api->AddSessionConfigEntry(options, "session.use_ort_model_bytes_directly", "1"));
        check(api->AddSessionConfigEntry(options, "session.use_ort_model_bytes_for_initializers",
                                         "1"));
        check(api->AddSessionConfigEntry(options, "session.disable_prepacking", "1"));
        check(api->CreateSessionFromArray(env, view.data, view.size, options, &c));
    }
    session(const session &) = delete;
    ~session()
    {
        api->ReleaseSession(c);
        api->ReleaseSessionOptions(options);
        api->ReleaseEnv(env);
    }

    std::vector<float> run(std::vector<float> row)
    {
        OrtAllocator *allocator = nullptr;
        OrtMemoryInfo *place = nullptr;
        OrtValue *in = nullptr, *out = nullptr;
        OrtTensorTypeAndShapeInfo *shape = nullptr;
        char *input = nullptr, *output = nullptr;
        const int64_t size[] = {1, int64_t(row.size())};
        std::size_t count = 0;
        float *found = nullptr;
        check(api->GetAllocatorWithDefaultOptions(&allocator));
        check(api->SessionGetInputName(c, 0, allocator, &input));
        check(api->SessionGetOutputName(c, 0, allocator, &output));
        check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &place));
        check(api->CreateTensorWithDataAsOrtValue(place, row.data(), row.size() * sizeof(float),
                                                  size, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                                                  &in));
        check(api->Run(c, nullptr, &input, &in, 1, &output, 1, &out));
        check(api->GetTensorTypeAndShape(out, &shape));
        check(api->GetTensorShapeElementCount(shape, &count));
        check(api->GetTensorMutableData(out, reinterpret_cast<void **>(&found)));
        std::vector<float> answer(found, found + count);
        api->ReleaseTensorTypeAndShapeInfo(shape);
        api->ReleaseValue(out);
        api->ReleaseValue(in);
        api->ReleaseMemoryInfo(place);
        check(api->AllocatorFree(allocator, input));
        check(api->AllocatorFree(allocator, output));
        return answer;
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
