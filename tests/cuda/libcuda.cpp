// A stand-in for the CUDA driver, libcuda.so.1, for tests: memory is the host's, kernels are those of
// `kernels_on_cpu.h`, for maps in single precision or in bf16 as the PTX says. Streams are as late as a card may be: what is put on one runs when something waits for it, and not
// before, so that an order that nothing asks for is not kept. CELLC_CARDS sets how many cards there are (1), and
// CELLC_DRIVER the version of CUDA that it says to run (13000), CELLC_CAPABILITY the cards' compute capability (80). To the folder CELLC_LAUNCHES it writes how many kernels
// each card ran, `launches-N`.
#define CUDA_ON_CPU_MAIN
#include "cuda_on_cpu.h"
#include "on_stream.h"

#include <deque>
#include <mutex>

// Of `kernels_on_cpu.cpp`.
on_cpu::Kernels& kernels_f32();
on_cpu::Kernels& kernels_bf16();

namespace {

using Address = unsigned long long;
using Work = std::function<void()>;
enum Result { kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kInvalidDevice = 101, kNotFound = 500 };

// What is put on a stream and has not run, after as many as have.
struct Stream {
    int card = 0;
    size_t launches = 0;
    size_t done = 0;
    std::deque<Work> waiting;
    std::unique_ptr<std::vector<Work>> recording;
    size_t end() const { return done + waiting.size(); }
};
// A place on a stream.
struct Event {
    Stream* stream = nullptr;
    size_t end = 0;
};

constexpr int kMaxCards = 8;
// Threads take turns: only one runs kernels.
std::recursive_mutex turn;
char contexts[kMaxCards];
thread_local void* current = nullptr;
std::map<Address, size_t> allocations;
std::map<Address, int> card_of;
std::map<Address, size_t> pinned;
std::vector<Stream*> streams;

int number_of(const char* variable, int otherwise) {
    const char* text = getenv(variable);
    return text ? atoi(text) : otherwise;
}
int capability() { return number_of("CELLC_CAPABILITY", 80); }
int cards() { return number_of("CELLC_CARDS", 1); }
int current_card() { return current ? static_cast<char*>(current) - contexts : -1; }

bool is_within(const std::map<Address, size_t>& memory, Address address, size_t bytes) {
    auto next = memory.upper_bound(address);
    if (next == memory.begin()) return false;
    auto [start, size] = *--next;
    return address + bytes <= start + size;
}
// Whether so many bytes from an address on lie in one allocation of the current card.
bool is_allocated(Address address, size_t bytes) {
    if (!is_within(allocations, address, bytes)) return false;
    return (--card_of.upper_bound(address))->second == current_card();
}
bool is_pinned(const void* address, size_t bytes) {
    return is_within(pinned, reinterpret_cast<Address>(address), bytes);
}

void run_until(Stream& stream, size_t end) {
    while (stream.done < end && !stream.waiting.empty()) {
        Work work = std::move(stream.waiting.front());
        stream.waiting.pop_front();
        work();
        ++stream.done;
    }
}

void run_all() {
    for (Stream* stream : streams) run_until(*stream, stream->end());
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int
#define TAKE_TURN std::lock_guard<std::recursive_mutex> hold(turn)

void on_stream(void* stream, Work work) {
    TAKE_TURN;
    auto& to = *static_cast<Stream*>(stream);
    to.recording ? to.recording->push_back(std::move(work)) : to.waiting.push_back(std::move(work));
}
size_t end_of_stream(void* stream) { return static_cast<Stream*>(stream)->end(); }
void run_stream_until(void* stream, size_t end) { run_until(*static_cast<Stream*>(stream), end); }

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
    return number < cards() && number < kMaxCards ? kSuccess : kInvalidDevice;
}
API cuDeviceGetName(char* name, int len, int) {
    snprintf(name, len, "stand-in");
    return kSuccess;
}
API cuDeviceGetAttribute(int* value, int attribute, int) {
    constexpr int kMajor = 75, kMinor = 76;
    *value = attribute == kMajor ? capability() / 10 : capability() % 10;
    return attribute == kMajor || attribute == kMinor ? kSuccess : kInvalidValue;
}
API cuDevicePrimaryCtxRetain(void** to, int card) {
    *to = &contexts[card];
    return kSuccess;
}
API cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }
API cuCtxSetCurrent(void* wanted) {
    current = wanted;
    return kSuccess;
}
API cuStreamCreate(void** to, unsigned) {
    TAKE_TURN;
    if (!current) return kInvalidValue;
    auto stream = new Stream;
    stream->card = current_card();
    streams.push_back(stream);
    *to = stream;
    return kSuccess;
}
API cuStreamDestroy_v2(void* stream) {
    TAKE_TURN;
    auto own = static_cast<Stream*>(stream);
    run_until(*own, own->end());
    if (const char* folder = getenv("CELLC_LAUNCHES"); folder && own->launches > 0) {
        FILE* file = fopen((std::string(folder) + "/launches-" + std::to_string(own->card)).c_str(), "w");
        if (file) fprintf(file, "%zu", own->launches), fclose(file);
    }
    // Kept, since events may point to it.
    return kSuccess;
}
API cuStreamSynchronize(void* stream) {
    TAKE_TURN;
    auto own = static_cast<Stream*>(stream);
    run_until(*own, own->end());
    return kSuccess;
}
API cuStreamWaitEvent(void* stream, void* event, unsigned) {
    TAKE_TURN;
    Event of = *static_cast<Event*>(event);
    if (of.stream) on_stream(stream, [of] { run_until(*of.stream, of.end); });
    return kSuccess;
}
API cuEventCreate(void** to, unsigned) {
    *to = new Event;
    return current ? kSuccess : kInvalidValue;
}
API cuEventRecord(void* event, void* stream) {
    TAKE_TURN;
    auto of = static_cast<Stream*>(stream);
    if (of->recording || of->card != current_card()) return kInvalidValue;
    *static_cast<Event*>(event) = {of, of->end()};
    return kSuccess;
}
API cuEventSynchronize(void* event) {
    TAKE_TURN;
    auto of = static_cast<Event*>(event);
    if (of->stream) run_until(*of->stream, of->end);
    return kSuccess;
}
API cuEventDestroy_v2(void* event) {
    delete static_cast<Event*>(event);
    return kSuccess;
}
API cuMemAlloc_v2(Address* to, size_t bytes) {
    TAKE_TURN;
    if (!current || bytes == 0) return kInvalidValue;
    void* memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!memory) return kOutOfMemory;
    // No number, so that what nobody wrote is noticed.
    memset(memory, 0xff, bytes);
    *to = reinterpret_cast<Address>(memory);
    allocations[*to] = bytes;
    card_of[*to] = current_card();
    return kSuccess;
}
API cuMemFree_v2(Address address) {
    TAKE_TURN;
    // The driver waits for the card, too.
    run_all();
    if (allocations.erase(address) == 0) return kInvalidValue;
    card_of.erase(address);
    free(reinterpret_cast<void*>(address));
    return kSuccess;
}
API cuMemHostAlloc(void** to, size_t bytes, unsigned) {
    TAKE_TURN;
    *to = malloc(bytes);
    pinned[reinterpret_cast<Address>(*to)] = bytes;
    return current && *to ? kSuccess : kOutOfMemory;
}
API cuMemFreeHost(void* address) {
    TAKE_TURN;
    run_all();
    if (pinned.erase(reinterpret_cast<Address>(address)) == 0) return kInvalidValue;
    free(address);
    return kSuccess;
}
API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
    TAKE_TURN;
    if (!current || static_cast<Stream*>(stream)->recording || !is_allocated(to, bytes)) return kInvalidValue;
    auto target = reinterpret_cast<void*>(to);
    if (is_pinned(from, bytes)) {
        on_stream(stream, [=] { memcpy(target, from, bytes); });
    } else {
        // Pageable memory has been read when the call returns.
        std::vector<char> copy(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
        on_stream(stream, [=] { memcpy(target, copy.data(), bytes); });
    }
    return kSuccess;
}
API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
    TAKE_TURN;
    if (!current || static_cast<Stream*>(stream)->recording || !is_allocated(from, bytes)) return kInvalidValue;
    on_stream(stream, [=] { memcpy(to, reinterpret_cast<void*>(from), bytes); });
    // Pageable memory has been written when the call returns.
    if (!is_pinned(to, bytes)) return cuStreamSynchronize(stream);
    return kSuccess;
}
API cuModuleLoadData(void** to, const void* image) {
    auto ptx = static_cast<const char*>(image);
    *to = strstr(ptx, "bf16") ? &kernels_bf16() : &kernels_f32();
    return strstr(ptx, (".target sm_" + std::to_string(capability())).c_str()) ? kSuccess : kInvalidValue;
}
API cuModuleUnload(void*) { return kSuccess; }
API cuModuleGetFunction(void** to, void* module, const char* name) {
    auto& kernels = *static_cast<on_cpu::Kernels*>(module);
    auto found = kernels.find(name);
    if (found == kernels.end()) return kNotFound;
    *to = &found->second;
    return kSuccess;
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void* stream, void** args, void**) {
    TAKE_TURN;
    if (!current || gx == 0 || gy == 0 || gy > 65535 || gz != 1 || bx * by == 0 || bx * by > 1024 || bz != 1 ||
        shared_bytes > on_cpu::kShared || static_cast<Stream*>(stream)->card != current_card()) {
        return kInvalidValue;
    }
    auto& kernel = *static_cast<on_cpu::Kernel*>(function);
    // The driver, too, has taken the values when the call returns.
    std::vector<std::vector<uint64_t>> values;
    for (size_t i = 0; i < kernel.arguments.size(); ++i) {
        values.emplace_back((kernel.arguments[i] + 7) / 8);
        memcpy(values.back().data(), args[i], kernel.arguments[i]);
    }
    on_stream(stream, [=, &kernel]() mutable {
        ++static_cast<Stream*>(stream)->launches;
        std::vector<void*> addresses;
        for (auto& value : values) addresses.push_back(value.data());
        kernel.run({{gx, gy}, {bx, by}, shared_bytes}, addresses.data());
    });
    return kSuccess;
}
API cuStreamBeginCapture_v2(void* stream, int) {
    TAKE_TURN;
    auto own = static_cast<Stream*>(stream);
    if (own->recording) return kInvalidValue;
    own->recording = std::make_unique<std::vector<Work>>();
    return kSuccess;
}
API cuStreamEndCapture(void* stream, void** graph) {
    TAKE_TURN;
    auto own = static_cast<Stream*>(stream);
    if (!own->recording) return kInvalidValue;
    *graph = own->recording.release();
    return kSuccess;
}
API cuGraphInstantiateWithFlags(void** to, void* graph, unsigned long long) {
    *to = new std::vector<Work>(*static_cast<std::vector<Work>*>(graph));
    return kSuccess;
}
API cuGraphDestroy(void* graph) {
    delete static_cast<std::vector<Work>*>(graph);
    return kSuccess;
}
API cuGraphExecDestroy(void* graph) {
    TAKE_TURN;
    run_all();
    return cuGraphDestroy(graph);
}
API cuGraphLaunch(void* graph, void* stream) {
    TAKE_TURN;
    if (!current || static_cast<Stream*>(stream)->recording) return kInvalidValue;
    on_stream(stream, [graph] {
        for (auto& work : *static_cast<std::vector<Work>*>(graph)) work();
    });
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
