// The kernels as `libcuda.cpp` finds them: compiled once for each text, with KERNELS the name of the function that gives
// them.
#include "kernels_on_cpu.h"

on_cpu::Kernels& KERNELS() { return kernels; }
