#!/usr/bin/env bash
# Compiles the kernels for the processor: build.sh FOLDER, where the example `cuda_cases` wrote them. Makes there
# run_cases and run_cases_checked (with the address and undefined-behaviour sanitizers), and in lib/ the stand-ins for
# the driver, NVRTC, cuBLAS and NCCL.
set -euo pipefail
folder=$1
here=$(dirname "$0")

compile=(g++ -std=c++17 -g -Wall -Wextra -Wno-unknown-pragmas -Wno-sign-compare -I"$folder" -I"$here")
mkdir -p "$folder/lib"
"${compile[@]}" -O2 -o "$folder/run_cases" "$here/run_cases.cpp"
"${compile[@]}" -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -o "$folder/run_cases_checked" \
    "$here/run_cases.cpp"
library=("${compile[@]}" -O2 -fPIC -shared -fvisibility=hidden)
"${library[@]}" -Wl,-soname,libcuda.so.1 -o "$folder/lib/libcuda.so.1" "$here/libcuda.cpp"
"${library[@]}" -o "$folder/lib/libnvrtc.so.12" "$here/libnvrtc.cpp"
"${library[@]}" -o "$folder/lib/libcublas.so.12" "$here/libcublas.cpp" -L"$folder/lib" -l:libcuda.so.1 \
    '-Wl,-rpath,$ORIGIN'
"${library[@]}" -o "$folder/lib/libnccl.so" "$here/libnccl.cpp" -L"$folder/lib" -l:libcuda.so.1 '-Wl,-rpath,$ORIGIN'
