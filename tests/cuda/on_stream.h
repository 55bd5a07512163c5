// What the stand-in for cuBLAS asks of the one for the driver.
#pragma once

#include <functional>

// Runs something in the order of the stream: at once, or with the graph that is being recorded.
__attribute__((visibility("default"))) void on_stream(std::function<void()> work);
