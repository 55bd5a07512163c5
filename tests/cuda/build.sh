#!/usr/bin/env bash
# Compiles the kernels for the processor: build.sh FOLDER, where the example `cuda_cases` wrote them. Makes in f32/ and
# bf16/, for maps stored so, run_cases and run_cases_checked (with the address and undefined-behaviour sanitizers), and in
# lib/ the stand-ins for the driver, NVRTC, cuBLAS and NCCL.
set -euo pipefail
folder=$1
here=$(dirname "$0")

compile=(g++ -std=c++17 -g -Wall -Wextra -Wno-unknown-pragmas -Wno-sign-compare -I"$folder" -I"$here")
hidden=(-O2 -fPIC -fvisibility=hidden)
library=("${compile[@]}" "${hidden[@]}" -shared)
# Kernels have the names that C gives them, for which there is only one place in a library.
sed 's/REGISTER(\(.*\))/\1/' "$folder/kernel_names.h" >"$folder/kernel_names"
mkdir -p "$folder/lib"
for precision in f32 bf16; do
    own=$folder/$precision
    kernels=("${compile[@]}" -I"$own")
    "${kernels[@]}" -O2 -o "$own/run_cases" "$here/run_cases.cpp"
    "${kernels[@]}" -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -o "$own/run_cases_checked" \
        "$here/run_cases.cpp"
    "${kernels[@]}" "${hidden[@]}" -DKERNELS=kernels_$precision -c -o "$own/kernels.o" "$here/kernels_on_cpu.cpp"
    objcopy --localize-symbols="$folder/kernel_names" "$own/kernels.o"
done
"${library[@]}" -Wl,-soname,libcuda.so.1 -o "$folder/lib/libcuda.so.1" "$here/libcuda.cpp" "$folder"/{f32,bf16}/kernels.o
"${library[@]}" -o "$folder/lib/libnvrtc.so.12" "$here/libnvrtc.cpp"
"${library[@]}" -o "$folder/lib/libcublas.so.12" "$here/libcublas.cpp" -L"$folder/lib" -l:libcuda.so.1 \
    '-Wl,-rpath,$ORIGIN'
"${library[@]}" -o "$folder/lib/libnccl.so" "$here/libnccl.cpp" -L"$folder/lib" -l:libcuda.so.1 '-Wl,-rpath,$ORIGIN'
