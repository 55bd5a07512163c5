// Kernels that treat every number on its own. All are bound by memory.

template <class T>
__device__ __forceinline__ void fill_row(T* y, size_t len, T value) {
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += step) y[i] = value;
}

// y = 0. Bytes 4 V: 20.0 us.
KERNEL zero_values(Value* y, size_t len) { fill_row(y, len, Value()); }

// y = 0 for `len` numbers of any kind. Bytes 4 len.
KERNEL zero_words(u32* y, size_t len) { fill_row(y, len, 0u); }

// y = x for `len` numbers of any kind. Bytes 8 len.
KERNEL copy_words(const u32* x, u32* y, size_t len) {
    map_row(x, x, y, len, 0, [](u32 x, u32) { return x; });
}

// Parameters as products read them. Bytes 8 P, or 6 P to bf16: 40.1 or 30.1 us for P = 2^24.
KERNEL round_params(const float* params, Value* rounded, size_t len) {
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += step) rounded[i] = params[i];
}

// y = max(x, 0); NaN stays NaN. Bytes 8 V, flops V: 40.1 us.
KERNEL relu_forward(const Value* x, Value* y, size_t len) {
    map_row(x, x, y, len, 0, [](float x, float) { return relu(x); });
}

// y = min(max(x, 0), 6); NaN stays NaN. Bytes 8 V, flops 2 V: 40.1 us.
KERNEL relu6_forward(const Value* x, Value* y, size_t len) {
    map_row(x, x, y, len, 0, [](float x, float) {
        x = relu(x);
        return x > 6.0f ? 6.0f : x;
    });
}

// y = 1 / (1 + exp(-x)). Bytes 8 V, flops about 20 V: 40.1 us.
KERNEL sigmoid_forward(const Value* x, Value* y, size_t len) {
    map_row(x, x, y, len, 0, [](float x, float) { return 1.0f / (1.0f + expf(-x)); });
}

// y = a + b. Bytes 12 V, flops V: 60.1 us.
KERNEL add_forward(const Value* a, const Value* b, Value* y, size_t len) {
    map_row(a, b, y, len, 0, [](float a, float b) { return a + b; });
}

// y = x, or y += x. Bytes 8 V or 12 V: 40.1 or 60.1 us.
KERNEL copy_or_add(const Value* x, Value* y, size_t len, int accumulate) {
    map_row(x, x, y, len, accumulate, [](float x, float) { return x; });
}

// y = a * b, added if `accumulate`; a gradient of it too. Bytes 12 V or 16 V, flops V or 2 V: 60.1 or 80.1 us.
KERNEL multiply(const Value* a, const Value* b, Value* y, size_t len, int accumulate) {
    map_row(a, b, y, len, accumulate, [](float a, float b) { return a * b; });
}

// gx = gy where x > 0. Bytes 12 V or 16 V, flops V or 2 V: 60.1 or 80.1 us.
KERNEL relu_backward(const Value* x, const Value* gy, Value* gx, size_t len, int accumulate) {
    map_row(x, gy, gx, len, accumulate, [](float x, float gy) { return masked(gy, x); });
}

// gx = gy where 0 < x < 6. Bytes 12 V or 16 V, flops 2 V or 3 V: 60.1 or 80.1 us.
KERNEL relu6_backward(const Value* x, const Value* gy, Value* gx, size_t len, int accumulate) {
    map_row(x, gy, gx, len, accumulate,
            [](float x, float gy) { return masked(masked(gy, x), 6.0f - x); });
}

// gx = gy * y * (1 - y). Bytes 12 V or 16 V, flops 3 V or 4 V: 60.1 or 80.1 us.
KERNEL sigmoid_backward(const Value* y, const Value* gy, Value* gx, size_t len, int accumulate) {
    map_row(y, gy, gx, len, accumulate, [](float y, float gy) { return gy * y * (1.0f - y); });
}

// A bijection of 32 bits that spreads every input bit ("lowbias32" of Chris Wellons' hash search).
__device__ __forceinline__ u32 spread_bits(u32 z) {
    z ^= z >> 16;
    z *= 0x7feb352du;
    z ^= z >> 15;
    z *= 0x846ca68bu;
    return z ^ (z >> 16);
}

// y = 0 where the hash of seed and index is below the threshold, else x * scale; added if `accumulate`. The masks
// are those of the CPU. Bytes 8 V or 12 V, flops V or 2 V and 16 V on integers: 40.1 or 60.1 us.
KERNEL dropout(const Value* x, Value* y, size_t len, const u32* seed, u32 threshold, float scale, int accumulate) {
    u32 low = seed[0], high = seed[1];
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += step) {
        u32 hash = spread_bits(spread_bits((u32)i ^ low) + (high ^ (u32)(i >> 32)));
        put(y + i, hash < threshold ? 0.0f : x[i] * scale, accumulate);
    }
}
