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
    int mode = 0;
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
    static_cast<Handle*>(handle)->mode = mode;
    return 0;
}
API cublasGemmStridedBatchedEx(void* handle, int a_is_transposed, int b_is_transposed, int m, int n, int k,
                               const void* alpha, const void* a, int a_kind, int row_a, long long stride_a,
                               const void* b, int b_kind, int row_b, long long stride_b, const void* beta, void* c,
                               int c_kind, int row_c, long long stride_c, int batch, int compute, int algorithm) {
    constexpr int kInvalidValue = 7, kNotSupported = 15;
    constexpr int kNoReducedSums = 16;
    constexpr int kFloat = 0, kBf16 = 14, kCompute32 = 68, kCompute32Tf32 = 77, kDefault = -1;
    bool a_fits = row_a >= (a_is_transposed ? k : m), b_fits = row_b >= (b_is_transposed ? n : k);
    if (m < 0 || n < 0 || k < 0 || batch < 0 || !a_fits || !b_fits || row_c < m) return kInvalidValue;
    bool is_tf32 = compute == kCompute32Tf32;
    for (int kind : {a_kind, b_kind, c_kind}) {
        if (kind != kFloat && (kind != kBf16 || is_tf32)) return kNotSupported;
    }
    bool is_known = a_kind == b_kind && (c_kind == a_kind || c_kind == kFloat) && (is_tf32 || compute == kCompute32);
    // cuBLAS takes other modes, in which its sums may be worse than those here.
    is_known = is_known && static_cast<Handle*>(handle)->mode == kNoReducedSums;
    if (!is_known || algorithm != kDefault) return kNotSupported;
    auto side = [](const void* data, int kind, int row, bool is_transposed, long long stride) {
        return Side{const_cast<void*>(data), kind == kBf16, static_cast<size_t>(row), is_transposed,
                    static_cast<size_t>(stride)};
    };
    Side left = side(a, a_kind, row_a, a_is_transposed, stride_a), right = side(b, b_kind, row_b, b_is_transposed, stride_b);
    Side to = side(c, c_kind, row_c, false, stride_c);
    float scale = *static_cast<const float*>(alpha), old = *static_cast<const float*>(beta);
    on_stream(static_cast<Handle*>(handle)->stream, [=] {
        auto factor = [=](float value) { return is_tf32 ? rounded(value) : value; };
        // By columns c = a b is by rows c^T = b^T a^T.
        multiply_matrices(n, m, k, batch, right, left, to, scale, old, factor);
    });
    return 0;
}
