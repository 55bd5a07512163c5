// The matrix product that stands in for cuBLAS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

// The upper half of a float, rounded to nearest as the cards' own conversion is.
struct Bf16 {
    uint16_t bits;
    operator float() const {
        uint32_t word = static_cast<uint32_t>(bits) << 16;
        float value;
        memcpy(&value, &word, sizeof value);
        return value;
    }
    Bf16& operator=(float value) {
        uint32_t word;
        memcpy(&word, &value, sizeof word);
        uint32_t half = 0x7fff + (word >> 16 & 1);
        bits = static_cast<uint16_t>(value != value ? 0x7fff : (word + half) >> 16);
        return *this;
    }
};

// A side of a product, row by row; of several products, `stride` apart.
struct Side {
    void* data;
    bool is_bf16;
    size_t row;
    bool is_transposed;
    size_t stride;
};

inline float as_is(float value) { return value; }

// c = alpha a b + beta c of [m, k] by [k, n], of what `factor` makes of the factors.
template <class T, class R, class F>
void multiply_typed(size_t m, size_t n, size_t k, size_t batch, Side a, Side b, Side c, float alpha, float beta, F factor) {
    for (size_t product = 0; product < batch; ++product) {
        auto left = static_cast<const T*>(a.data) + product * a.stride;
        auto right = static_cast<const T*>(b.data) + product * b.stride;
        for (size_t i = 0; i < m; ++i) {
            for (size_t j = 0; j < n; ++j) {
                double sum = 0.0;
                for (size_t l = 0; l < k; ++l) {
                    float x = left[a.is_transposed ? l * a.row + i : i * a.row + l];
                    float y = right[b.is_transposed ? j * b.row + l : l * b.row + j];
                    sum += static_cast<double>(factor(x)) * factor(y);
                }
                R& to = (static_cast<R*>(c.data) + product * c.stride)[i * c.row + j];
                // Not read where it does not count, as BLAS has it.
                to = static_cast<float>(alpha * sum + (beta == 0.0f ? 0.0 : static_cast<double>(beta) * to));
            }
        }
    }
}

// Such a product, of sides that cuBLAS takes together: both factors in single precision, or both in bf16. False for
// others.
template <class F = float (*)(float)>
bool multiply_matrices(size_t m, size_t n, size_t k, size_t batch, Side a, Side b, Side c, float alpha, float beta,
                       F factor = as_is) {
    if (a.is_bf16 != b.is_bf16 || (c.is_bf16 && !a.is_bf16)) return false;
    auto multiply = !a.is_bf16  ? multiply_typed<float, float, F>
                    : c.is_bf16 ? multiply_typed<Bf16, Bf16, F>
                                : multiply_typed<Bf16, float, F>;
    multiply(m, n, k, batch, a, b, c, alpha, beta, factor);
    return true;
}
