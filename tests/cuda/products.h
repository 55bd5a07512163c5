// The matrix product that stands in for cuBLAS.
#pragma once

#include <cstddef>

inline float as_is(float value) { return value; }

// c = a b, or c += a b, of [m, k] by [k, n] row by row, of what `factor` makes of the factors.
template <class F = float (*)(float)>
void multiply_matrices(size_t m, size_t n, size_t k, const float* a, size_t row_a, bool a_is_transposed,
                              const float* b, size_t row_b, bool b_is_transposed, float* c, size_t row_c, float alpha,
                              float beta, F factor = as_is) {
    for (size_t i = 0; i < m; ++i) {
        for (size_t j = 0; j < n; ++j) {
            double sum = 0.0;
            for (size_t l = 0; l < k; ++l) {
                float left = a[a_is_transposed ? l * row_a + i : i * row_a + l];
                float right = b[b_is_transposed ? j * row_b + l : l * row_b + j];
                sum += static_cast<double>(factor(left)) * factor(right);
            }
            float& to = c[i * row_c + j];
            // Not read where it does not count, as BLAS has it.
            to = static_cast<float>(alpha * sum + (beta == 0.0f ? 0.0 : static_cast<double>(beta) * to));
        }
    }
}
