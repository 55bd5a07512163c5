// CUDA C on a processor, for tests: include this before the kernels and compile as C++17, one file of a program with
// CUDA_ON_CPU_MAIN.
//
// Each thread of a block is a fiber that runs until it finishes or waits at a barrier; nothing runs at the same time.
// Blocks, and the threads of a block, start and go on in the order that CELLC_ORDER names: `forward` (the default),
// `reverse` or `random`. A kernel whose threads need each other's results without a barrier between gives other
// results in another order. A barrier that some threads of a block never reach ends the program, even where those
// threads have returned, which a card lets pass.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Static where it stands in a function; one program's threads would not share it, but only one runs kernels.
#define __shared__ thread_local

struct uint2_ {
    unsigned x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float __int_as_float(int bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

namespace on_cpu {

enum class State { Running, AtBlockBarrier, AtWarpBarrier, Done };

constexpr unsigned kWarp = 32, kMaxThreads = 1024;
constexpr size_t kStack = 128 << 10, kShared = 48 << 10;

struct Fiber {
    std::unique_ptr<char[]> stack{new char[kStack]};
    unsigned thread = 0, mask = 0;
    uint2_ index{};
    State state = State::Running;
#if defined(__x86_64__)
    void* stack_pointer = nullptr;
#else
    ucontext_t context;
#endif
};

// The block that runs.
struct Machine {
    uint2_ block{}, block_size{}, grid_size{};
    Fiber* current = nullptr;
    void (*body)(void*) = nullptr;
    void* body_data = nullptr;
    uint64_t slots[kMaxThreads];
    std::vector<std::unique_ptr<Fiber>> fibers;
    const char* kernel = "";
#if defined(__x86_64__)
    void* scheduler = nullptr;
#else
    ucontext_t scheduler;
#endif
};
inline Machine machine;

#if defined(__x86_64__)
// Keeps the registers that a call preserves on the old stack and takes those on the new one.
extern "C" void on_cpu_switch(void** from, void* to);
#if defined(CUDA_ON_CPU_MAIN)
__asm__(
    ".text\n.globl on_cpu_switch\n.type on_cpu_switch,@function\non_cpu_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
    ".size on_cpu_switch,.-on_cpu_switch\n");
#endif
inline void to_scheduler(Fiber& fiber) { on_cpu_switch(&fiber.stack_pointer, machine.scheduler); }
inline void to_fiber(Fiber& fiber) { on_cpu_switch(&machine.scheduler, fiber.stack_pointer); }
#else
inline void to_scheduler(Fiber& fiber) { swapcontext(&fiber.context, &machine.scheduler); }
inline void to_fiber(Fiber& fiber) { swapcontext(&machine.scheduler, &fiber.context); }
#endif

// What a fiber does: one thread after the other, as the scheduler hands them to it.
inline void fiber_main() {
    for (;;) {
        machine.body(machine.body_data);
        machine.current->state = State::Done;
        to_scheduler(*machine.current);
    }
}

inline void prepare(Fiber& fiber) {
#if defined(__x86_64__)
    auto top = reinterpret_cast<uintptr_t>(fiber.stack.get() + kStack) & ~uintptr_t{15};
    auto words = reinterpret_cast<void**>(top);
    // The return address of `fiber_main`, which never returns, keeps the stack aligned as a call would.
    *--words = nullptr;
    *--words = reinterpret_cast<void*>(&fiber_main);
    for (int saved = 0; saved < 6; ++saved) *--words = nullptr;
    fiber.stack_pointer = words;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
#endif
}

[[noreturn]] inline void fail(const char* what) {
    fprintf(stderr, "%s, block (%u, %u): %s\n", machine.kernel, machine.block.x, machine.block.y, what);
    abort();
}

inline void resume(Fiber& fiber) {
    machine.current = &fiber;
    to_fiber(fiber);
    machine.current = nullptr;
}

inline void wait(State state, unsigned mask) {
    Fiber& fiber = *machine.current;
    fiber.state = state;
    fiber.mask = mask;
    to_scheduler(fiber);
}

// The indices below `count` in the order that the environment asks for.
inline std::vector<unsigned> order_of(unsigned count) {
    static const char* wanted = getenv("CELLC_ORDER");
    static uint32_t random = 1;
    std::vector<unsigned> order(count);
    bool is_reverse = wanted && !strcmp(wanted, "reverse");
    for (unsigned i = 0; i < count; ++i) order[i] = is_reverse ? count - 1 - i : i;
    if (wanted && !strcmp(wanted, "random")) {
        for (unsigned i = count; i > 1; --i) {
            random = random * 1664525u + 1013904223u;
            std::swap(order[i - 1], order[(random >> 8) % i]);
        }
    }
    return order;
}

// Lets those go on whose barrier is complete; false if there are none.
inline bool release(std::vector<Fiber*>& waiting, unsigned threads) {
    unsigned at_block = 0, arrived[kMaxThreads / kWarp] = {};
    for (Fiber* fiber : waiting) {
        at_block += fiber->state == State::AtBlockBarrier;
        if (fiber->state == State::AtWarpBarrier) arrived[fiber->thread / kWarp] |= 1u << fiber->thread % kWarp;
    }
    bool is_released = false;
    for (Fiber* fiber : waiting) {
        unsigned warp = fiber->thread / kWarp, lanes = threads - warp * kWarp;
        unsigned wanted = fiber->mask & (lanes >= kWarp ? ~0u : (1u << lanes) - 1);
        bool may_go = fiber->state == State::AtBlockBarrier ? at_block == threads : (arrived[warp] & wanted) == wanted;
        if (may_go) fiber->state = State::Running, is_released = true;
    }
    return is_released;
}

inline void run_block(unsigned threads) {
    auto& fibers = machine.fibers;
    while (fibers.size() < threads) {
        fibers.push_back(std::make_unique<Fiber>());
        prepare(*fibers.back());
    }
    std::vector<Fiber*> waiting;
    size_t used = 0;
    for (unsigned thread : order_of(threads)) {
        Fiber& fiber = *fibers[used];
        fiber.thread = thread;
        fiber.index = {thread % machine.block_size.x, thread / machine.block_size.x};
        fiber.state = State::Running;
        resume(fiber);
        if (fiber.state != State::Done) waiting.push_back(&fiber), ++used;
    }
    while (!waiting.empty()) {
        if (!release(waiting, threads)) fail("some threads wait at a barrier that others never reach");
        std::vector<Fiber*> still;
        for (Fiber* fiber : waiting) {
            if (fiber->state == State::Running) resume(*fiber);
            if (fiber->state != State::Done) still.push_back(fiber);
        }
        waiting.swap(still);
    }
}

inline void barrier() { wait(State::AtBlockBarrier, 0); }

template <class T>
T exchange(unsigned mask, T value, unsigned lane) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a lane hands over at most eight bytes");
    unsigned thread = machine.current->thread, first = thread / kWarp * kWarp;
    memcpy(&machine.slots[thread], &value, sizeof value);
    wait(State::AtWarpBarrier, mask);
    T taken;
    memcpy(&taken, &machine.slots[first + lane], sizeof taken);
    wait(State::AtWarpBarrier, mask);
    return taken;
}

// Dynamic shared memory as the kernels see it, of the bytes that a launch asks for.
inline void lend_shared(float* memory, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(memory, kShared);
#endif
    // No number, so that what nobody wrote is noticed.
    memset(memory, 0xff, kShared);
#if defined(__SANITIZE_ADDRESS__)
    size_t end = (bytes + 7) / 8 * 8;
    ASAN_POISON_MEMORY_REGION(reinterpret_cast<char*>(memory) + end, kShared - end);
#else
    (void)bytes;
#endif
}

struct Size {
    uint2_ grid, block;
    unsigned shared_bytes;
};

template <class F>
void launch(const char* kernel, Size size, float* shared, F body) {
    unsigned threads = size.block.x * size.block.y;
    machine.kernel = kernel;
    machine.grid_size = size.grid;
    machine.block_size = size.block;
    machine.body = [](void* data) { (*static_cast<F*>(data))(); };
    machine.body_data = &body;
    if (threads == 0 || threads > kMaxThreads) fail("no or too many threads in a block");
    if (size.grid.x == 0 || size.grid.y == 0 || size.grid.y > 65535) fail("no or too many blocks");
    if (size.shared_bytes > kShared) fail("too much shared memory");
    for (unsigned block : order_of(size.grid.x * size.grid.y)) {
        machine.block = {block % size.grid.x, block / size.grid.x};
        lend_shared(shared, size.shared_bytes);
        run_block(threads);
    }
    lend_shared(shared, kShared);
}

// A kernel with its arguments as the driver takes them: the addresses of their values.
template <class... P, size_t... I>
void launch_with(const char* name, Size size, float* shared, void (*kernel)(P...), void** args,
                 std::index_sequence<I...>) {
    launch(name, size, shared, [&] { kernel(*static_cast<P*>(args[I])...); });
}
template <class... P>
void launch_with(const char* name, Size size, float* shared, void (*kernel)(P...), void** args) {
    launch_with(name, size, shared, kernel, args, std::index_sequence_for<P...>());
}
template <class... P>
std::vector<size_t> sizes_of(void (*)(P...)) {
    return {sizeof(P)...};
}

// A kernel as the driver knows it.
struct Kernel {
    // Bytes of each argument.
    std::vector<size_t> arguments;
    void (*run)(Size size, void** args);
    size_t launches = 0;
};
using Kernels = std::map<std::string, Kernel>;

}  // namespace on_cpu

#define threadIdx (on_cpu::machine.current->index)
#define blockIdx (on_cpu::machine.block)
#define blockDim (on_cpu::machine.block_size)
#define gridDim (on_cpu::machine.grid_size)
#define __syncthreads() on_cpu::barrier()

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
    unsigned lane = on_cpu::machine.current->thread % on_cpu::kWarp;
    return on_cpu::exchange(mask, value, lane + delta < on_cpu::kWarp ? lane + delta : lane);
}
template <class T>
T __shfl_sync(unsigned mask, T value, unsigned lane) {
    return on_cpu::exchange(mask, value, lane);
}
