// Batch normalization: one channel is one row of the batch.

// Sums over a split of each row of x - s and of its square, where s is the row's first number: near the mean, so that
// a large mean costs no digits of the variance. To partial[C, splits, 2]. Bytes 4 V, flops 4 V: 20.0 us.
//
// T. Chan, G. Golub and R. LeVeque, Algorithms for Computing the Sample Variance, 1983: shifted data.
KERNEL bn_sums(const Value* x, int c, int row, double* partial) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* own = x + (size_t)channel * row;
        float shift = own[0], sum = 0.0f, squares = 0.0f;
        sweep_row(own, own, row, [&](float x, float) {
            float d = x - shift;
            sum += d;
            squares += d * d;
        });
        double total = block_sum((double)sum), total_squares = block_sum((double)squares);
        if (threadIdx.x == 0) {
            double* to = partial + ((size_t)channel * gridDim.x + blockIdx.x) * 2;
            to[0] = total;
            to[1] = total_squares;
        }
    }
}

// Mean and 1 / sqrt(variance + eps) of each channel from its partial sums; moves the running statistics towards mean
// and unbiased variance. One thread a channel.
KERNEL bn_moments(const double* partial, int splits, const Value* x, int c, int row, float eps, float momentum,
               float* mean, float* inv_std, float* running_mean, float* running_var) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    double sum = 0.0, squares = 0.0;
    for (int split = 0; split < splits; ++split) {
        sum += partial[((size_t)channel * splits + split) * 2];
        squares += partial[((size_t)channel * splits + split) * 2 + 1];
    }
    double centered = squares - sum * (sum / row);
    double variance = centered > 0.0 || centered != centered ? centered / row : 0.0;
    double exact = (double)x[(size_t)channel * row] + sum / row;
    mean[channel] = (float)exact;
    inv_std[channel] = (float)(1.0 / sqrt(variance + (double)eps));
    double unbias = row > 1 ? row / (row - 1.0) : 1.0, share = momentum;
    running_mean[channel] = (float)((1.0 - share) * running_mean[channel] + share * exact);
    running_var[channel] = (float)((1.0 - share) * running_var[channel] + share * variance * unbias);
}

// The mean and 1 / sqrt(variance + eps) of running statistics.
KERNEL bn_running_moments(const float* running_mean, const float* running_var, int c, float eps, float* mean,
                       float* inv_std) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    mean[channel] = running_mean[channel];
    inv_std[channel] = (float)(1.0 / sqrt((double)running_var[channel] + (double)eps));
}

// y = (x - mean) * inv_std * gamma + beta; y may be x. Bytes 8 V or 12 V, flops 3 V or 4 V: 40.1 or 60.1 us.
KERNEL bn_normalize(const Value* x, const float* mean, const float* inv_std, const float* gamma, const float* beta,
                 Value* y, int c, int row, int accumulate) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        float center = mean[channel], scale = inv_std[channel] * gamma[channel], shift = beta[channel];
        const Value* own = x + (size_t)channel * row;
        map_row(own, own, y + (size_t)channel * row, row, accumulate,
                [=](float x, float) { return (x - center) * scale + shift; });
    }
}

// Sums over a split of each row of gy and of gy * (x - mean), to partial[C, splits, 2]. Bytes 8 V, flops 4 V: 40.1 us.
KERNEL bn_gradient_sums(const Value* x, const Value* gy, const float* mean, int c, int row, double* partial) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        float center = mean[channel], sum = 0.0f, centered = 0.0f;
        sweep_row(x + (size_t)channel * row, gy + (size_t)channel * row, row, [&](float x, float gy) {
            sum += gy;
            centered += gy * (x - center);
        });
        double total = block_sum((double)sum), total_centered = block_sum((double)centered);
        if (threadIdx.x == 0) {
            double* to = partial + ((size_t)channel * gridDim.x + blockIdx.x) * 2;
            to[0] = total;
            to[1] = total_centered;
        }
    }
}

// Adds the gradients of gamma and beta, and leaves for `bn_gradient` scale, mean, mean of gy and slope of each channel
// in coefficients[C, 4]. One thread a channel.
KERNEL bn_coefficients(const double* partial, int splits, int c, int row, const float* gamma, const float* mean,
                    const float* inv_std, float* ggamma, float* gbeta, float4* coefficients) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    double sum = 0.0, centered = 0.0;
    for (int split = 0; split < splits; ++split) {
        sum += partial[((size_t)channel * splits + split) * 2];
        centered += partial[((size_t)channel * splits + split) * 2 + 1];
    }
    double inv = inv_std[channel];
    gbeta[channel] += (float)sum;
    ggamma[channel] += (float)(centered * inv);
    coefficients[channel] = make_float4(gamma[channel] * inv_std[channel], mean[channel], (float)(sum / row),
                                        (float)(centered * inv * inv / row));
}

// gx = scale * (gy - mean(gy) - (x - mean) * slope). Bytes 12 V or 16 V, flops 5 V or 6 V: 60.1 or 80.1 us.
KERNEL bn_gradient(const Value* x, const Value* gy, const float4* coefficients, Value* gx, int c, int row,
                int accumulate) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        float4 k = coefficients[channel];
        map_row(x + (size_t)channel * row, gy + (size_t)channel * row, gx + (size_t)channel * row, row, accumulate,
                [=](float x, float gy) { return k.x * (gy - k.z - (x - k.y) * k.w); });
    }
}

// The gradient of the input alone, where the statistics do not depend on it: gx = gamma * inv_std * gy. Bytes 8 V or
// 12 V, flops V or 2 V: 40.1 or 60.1 us.
KERNEL bn_gradient_fixed(const Value* gy, const float* gamma, const float* inv_std, Value* gx, int c, int row,
                      int accumulate) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        float scale = gamma[channel] * inv_std[channel];
        const Value* own = gy + (size_t)channel * row;
        map_row(own, own, gx + (size_t)channel * row, row, accumulate,
                [=](float gy, float) { return scale * gy; });
    }
}
