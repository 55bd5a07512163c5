// The kernels of `src/device/cuda/kernels/`, compiled for the processor, by name. `kernels.cu` and `kernel_names.h` are
// written by the example `cuda_cases`, so that what is tested is the text that NVRTC gets.
#pragma once

#include "cuda_on_cpu.h"

// The driver's stand-in has two texts of them, which agree on their names alone.
namespace {

#include "kernels.cu"
#undef KERNEL
#undef WARP
#undef BLOCK
#undef TAPS
#undef OUTPUTS

alignas(16) thread_local float shared[on_cpu::kShared / sizeof(float)];

#define REGISTER(name)                                                                                             \
    {#name, on_cpu::Kernel{on_cpu::sizes_of(name), [](on_cpu::Size size, void** args) {                             \
                               on_cpu::launch_with(#name, size, shared, name, args);                                 \
                           }}},
on_cpu::Kernels kernels = {
#include "kernel_names.h"
};

}  // namespace
