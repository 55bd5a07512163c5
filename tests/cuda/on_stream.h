// What the stand-ins for cuBLAS and NCCL ask of the one for the driver.
#pragma once

#include <cstddef>
#include <functional>

#define SHOWN __attribute__((visibility("default")))
// Runs something in the order of a stream, or with the graph that is being recorded there.
SHOWN void on_stream(void* stream, std::function<void()> work);
// How much has been put on a stream, and runs as much of it.
SHOWN size_t end_of_stream(void* stream);
SHOWN void run_stream_until(void* stream, size_t end);
