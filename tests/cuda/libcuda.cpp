// A stand-in for the CUDA driver, libcuda.so.1, for tests: memory is the host's, kernels are those of
// `kernels_on_cpu.h`, and everything is done when a call returns. CELLC_CARDS sets how many cards there are (1), and
// CELLC_DRIVER the version of CUDA that it says to run (13000).
#include "kernels_on_cpu.h"
#include "on_stream.h"

#include <functional>

namespace {

using Address = unsigned long long;
enum Result { kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kInvalidDevice = 101, kNotFound = 500 };
thread_local void* current = nullptr;
std::map<Address, size_t> allocations;
char context, stream, module;
using Recorded = std::vector<std::function<void()>>;
std::unique_ptr<Recorded> recording;

int number_of(const char* variable, int otherwise) {
    const char* text = getenv(variable);
    return text ? atoi(text) : otherwise;
}
int cards() { return number_of("CELLC_CARDS", 1); }

// Whether so many bytes from an address on lie in one allocation.
bool is_allocated(Address address, size_t bytes) {
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return false;
    auto [start, size] = *--next;
    return address + bytes <= start + size;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

// Runs something at once, or later with the graph that is recorded.
void on_stream(std::function<void()> work) { recording ? recording->push_back(std::move(work)) : work(); }

API cuInit(unsigned) { return cards() > 0 ? kSuccess : kNoDevice; }
API cuDriverGetVersion(int* version) {
    *version = number_of("CELLC_DRIVER", 13000);
    return kSuccess;
}
API cuDeviceGetCount(int* count) {
    *count = cards();
    return kSuccess;
}
API cuDeviceGet(int* device, int number) {
    *device = number;
    return number < cards() ? kSuccess : kInvalidDevice;
}
API cuDeviceGetName(char* name, int len, int) {
    snprintf(name, len, "stand-in");
    return kSuccess;
}
API cuDeviceGetAttribute(int* value, int attribute, int) {
    constexpr int kMajor = 75, kMinor = 76;
    *value = attribute == kMajor ? 8 : 0;
    return attribute == kMajor || attribute == kMinor ? kSuccess : kInvalidValue;
}
API cuDevicePrimaryCtxRetain(void** to, int) {
    *to = &context;
    return kSuccess;
}
API cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }
API cuCtxSetCurrent(void* wanted) {
    current = wanted;
    return kSuccess;
}
API cuStreamCreate(void** to, unsigned) {
    *to = &stream;
    return current ? kSuccess : kInvalidValue;
}
API cuStreamDestroy_v2(void*) { return kSuccess; }
API cuStreamSynchronize(void*) { return kSuccess; }
API cuMemAlloc_v2(Address* to, size_t bytes) {
    if (!current || bytes == 0) return kInvalidValue;
    void* memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!memory) return kOutOfMemory;
    // No number, so that what nobody wrote is noticed.
    memset(memory, 0xff, bytes);
    *to = reinterpret_cast<Address>(memory);
    allocations[*to] = bytes;
    return kSuccess;
}
API cuMemFree_v2(Address address) {
    if (allocations.erase(address) == 0) return kInvalidValue;
    free(reinterpret_cast<void*>(address));
    return kSuccess;
}
API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void*) {
    if (!current || recording || !is_allocated(to, bytes)) return kInvalidValue;
    memcpy(reinterpret_cast<void*>(to), from, bytes);
    return kSuccess;
}
API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void*) {
    if (!current || recording || !is_allocated(from, bytes)) return kInvalidValue;
    memcpy(to, reinterpret_cast<void*>(from), bytes);
    return kSuccess;
}
API cuModuleLoadData(void** to, const void* image) {
    *to = &module;
    // PTX says so in its head.
    return strstr(static_cast<const char*>(image), ".target sm_80") ? kSuccess : kInvalidValue;
}
API cuModuleUnload(void*) { return kSuccess; }
API cuModuleGetFunction(void** to, void*, const char* name) {
    auto found = kernels.find(name);
    if (found == kernels.end()) return kNotFound;
    *to = &found->second;
    return kSuccess;
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void*, void** args, void**) {
    if (!current || gx == 0 || gy == 0 || gy > 65535 || gz != 1 || bx * by == 0 || bx * by > 1024 || bz != 1 ||
        shared_bytes > on_cpu::kShared) {
        return kInvalidValue;
    }
    auto& kernel = *static_cast<Kernel*>(function);
    // The driver, too, has taken the values when the call returns.
    std::vector<std::vector<uint64_t>> values;
    for (size_t i = 0; i < kernel.arguments.size(); ++i) {
        values.emplace_back((kernel.arguments[i] + 7) / 8);
        memcpy(values.back().data(), args[i], kernel.arguments[i]);
    }
    on_stream([=, &kernel]() mutable {
        std::vector<void*> addresses;
        for (auto& value : values) addresses.push_back(value.data());
        kernel.run({{gx, gy}, {bx, by}, shared_bytes}, addresses.data());
    });
    return kSuccess;
}
API cuStreamBeginCapture_v2(void*, int) {
    if (recording) return kInvalidValue;
    recording = std::make_unique<Recorded>();
    return kSuccess;
}
API cuStreamEndCapture(void*, void** graph) {
    if (!recording) return kInvalidValue;
    *graph = recording.release();
    return kSuccess;
}
API cuGraphInstantiateWithFlags(void** to, void* graph, unsigned long long) {
    *to = new Recorded(*static_cast<Recorded*>(graph));
    return kSuccess;
}
API cuGraphDestroy(void* graph) {
    delete static_cast<Recorded*>(graph);
    return kSuccess;
}
API cuGraphExecDestroy(void* graph) { return cuGraphDestroy(graph); }
API cuGraphLaunch(void* graph, void*) {
    if (!current || recording) return kInvalidValue;
    for (auto& work : *static_cast<Recorded*>(graph)) work();
    return kSuccess;
}
API cuGetErrorName(int, const char** name) {
    *name = "CUDA_ERROR";
    return kSuccess;
}
API cuGetErrorString(int, const char** text) {
    *text = "the stand-in says no";
    return kSuccess;
}
