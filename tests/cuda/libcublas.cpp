// A stand-in for cuBLAS, libcublas.so.12, for tests: one product, by columns as BLAS has it.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "on_stream.h"
#include "products.h"

#define API extern "C" __attribute__((visibility("default"))) int

namespace {
struct Handle {
    void* stream = nullptr;
    bool is_tf32 = false;
};

// The 10 bits of mantissa that TF32 keeps, rounded to nearest.
float rounded(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&value, &bits, sizeof bits);
    return value;
}
}  // namespace

API cublasCreate_v2(void** to) {
    *to = new Handle{};
    return 0;
}
API cublasDestroy_v2(void* handle) {
    delete static_cast<Handle*>(handle);
    return 0;
}
API cublasSetStream_v2(void* handle, void* stream) {
    static_cast<Handle*>(handle)->stream = stream;
    return 0;
}
API cublasSetMathMode(void* handle, int mode) {
    constexpr int kTf32 = 3;
    static_cast<Handle*>(handle)->is_tf32 = mode == kTf32;
    return 0;
}
API cublasSgemmStridedBatched(void* handle, int a_is_transposed, int b_is_transposed, int m, int n, int k, const float* alpha,
                              const float* a, int row_a, long long stride_a, const float* b, int row_b,
                              long long stride_b, const float* beta, float* c, int row_c, long long stride_c,
                              int batch) {
    constexpr int kInvalidValue = 7;
    bool a_fits = row_a >= (a_is_transposed ? k : m), b_fits = row_b >= (b_is_transposed ? n : k);
    if (m < 0 || n < 0 || k < 0 || batch < 0 || !a_fits || !b_fits || row_c < m) return kInvalidValue;
    // By columns c = a b is by rows c^T = b^T a^T.
    auto [stream, is_tf32] = *static_cast<Handle*>(handle);
    on_stream(stream, [=, is_tf32 = is_tf32, alpha = *alpha, beta = *beta] {
        auto factor = [=](float value) { return is_tf32 ? rounded(value) : value; };
        for (long long i = 0; i < batch; ++i) {
            multiply_matrices(n, m, k, b + i * stride_b, row_b, b_is_transposed, a + i * stride_a, row_a,
                              a_is_transposed, c + i * stride_c, row_c, alpha, beta, factor);
        }
    });
    return 0;
}
