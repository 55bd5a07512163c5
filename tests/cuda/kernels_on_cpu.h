// The kernels of `src/device/cuda/kernels/`, compiled for the processor, by name. `kernels.cu` and `kernel_names.h` are written by the example `cuda_cases`, so that what is tested is
// the text that NVRTC gets.
#pragma once

#define CUDA_ON_CPU_MAIN
#include "cuda_on_cpu.h"
#include "kernels.cu"
#undef KERNEL
#undef WARP
#undef BLOCK
#undef TAPS
#undef OUTPUTS

#include <map>
#include <string>

alignas(16) thread_local float shared[on_cpu::kShared / sizeof(float)];

struct Kernel {
    // Bytes of each argument.
    std::vector<size_t> arguments;
    void (*run)(on_cpu::Size size, void** args);
    size_t launches = 0;
};

#define REGISTER(name)                                                                                             \
    {#name, Kernel{on_cpu::sizes_of(name),                                                                       \
                   [](on_cpu::Size size, void** args) { on_cpu::launch_with(#name, size, shared, name, args); }}},
inline std::map<std::string, Kernel> kernels = {
#include "kernel_names.h"
};
