// Normalization of single images by the moments of groups of channels over the map. Blocks of reductions are
// [32 images, 8], whose 8 rows of threads share the places.
//
// The moments lie among the maps, and in bf16 they are rounded as those: the mean by no more than each number that it
// is taken off was rounded by, the inverse deviation by no more than the results are. Both passes use the same.

// Sums over the rows of threads of a block, in the first of them. All threads must call it.
__device__ __forceinline__ double column_sum(double value) {
    __shared__ double sums[BLOCK / WARP][WARP];
    sums[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    double total = 0.0;
    if (threadIdx.y == 0) {
        for (int row = 0; row < BLOCK / WARP; ++row) total += sums[row][threadIdx.x];
    }
    __syncthreads();
    return total;
}

// For each channel and image the sums over its map of x - s and of its square, where s is the first number of the
// image's group, as in `bn_sums`: sums[C, N, 2]. Bytes 4 V, flops 4 V: 20.0 us.
KERNEL gn_sums(const Value* x, int groups, int c, int area, int n, double* sums) {
    int image = blockIdx.x * WARP + threadIdx.x, channels = c / groups;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        float sum = 0.0f, squares = 0.0f;
        if (image < n) {
            float shift = x[(size_t)(channel / channels * channels) * area * n + image];
            const Value* own = x + (size_t)channel * area * n + image;
            for (int place = threadIdx.y; place < area; place += blockDim.y) {
                float d = own[(size_t)place * n] - shift;
                sum += d;
                squares += d * d;
            }
        }
        double total = column_sum(sum), total_squares = column_sum(squares);
        if (threadIdx.y == 0 && image < n) {
            double* to = sums + ((size_t)channel * n + image) * 2;
            to[0] = total;
            to[1] = total_squares;
        }
    }
}

// Means and 1 / sqrt(variance + eps), to moments[2, groups, N]. One thread a group of an image.
KERNEL gn_moments(const double* sums, const Value* x, int groups, int c, int area, int n, float eps, Value* moments) {
    int at = blockIdx.x * blockDim.x + threadIdx.x, channels = c / groups;
    if (at >= groups * n) return;
    int group = at / n, image = at % n;
    double sum = 0.0, squares = 0.0, count = (double)channels * area;
    for (int channel = group * channels; channel < (group + 1) * channels; ++channel) {
        sum += sums[((size_t)channel * n + image) * 2];
        squares += sums[((size_t)channel * n + image) * 2 + 1];
    }
    double centered = squares - sum * (sum / count);
    double variance = centered > 0.0 || centered != centered ? centered / count : 0.0;
    moments[at] = (float)((double)x[(size_t)group * channels * area * n + image] + sum / count);
    moments[groups * n + at] = (float)(1.0 / sqrt(variance + (double)eps));
}

// y = (x - mean) * inv_std * gamma + beta. Bytes 8 V, flops 3 V: 40.1 us.
KERNEL gn_normalize(const Value* x, const Value* moments, const float* gamma, const float* beta, Value* y, int groups,
                 int c, int area, int n) {
    int row = area * n, channels = c / groups;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* mean = moments + (size_t)(channel / channels) * n;
        const Value* inv_std = mean + (size_t)groups * n;
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            int image = i % n;
            y[base + i] = (x[base + i] - mean[image]) * (inv_std[image] * gamma[channel]) + beta[channel];
        }
    }
}

// For each channel and image the sums over its map of gy and of gy * (x - mean): sums[C, N, 2]. Bytes 8 V, flops 4 V:
// 40.1 us.
KERNEL gn_gradient_sums(const Value* x, const Value* gy, const Value* moments, int groups, int c, int area, int n,
                     double* sums) {
    int image = blockIdx.x * WARP + threadIdx.x, channels = c / groups;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        float sum = 0.0f, centered = 0.0f;
        if (image < n) {
            float mean = moments[(size_t)(channel / channels) * n + image];
            size_t base = (size_t)channel * area * n + image;
            for (int place = threadIdx.y; place < area; place += blockDim.y) {
                size_t at = base + (size_t)place * n;
                sum += gy[at];
                centered += gy[at] * (x[at] - mean);
            }
        }
        double total = column_sum(sum), total_centered = column_sum(centered);
        if (threadIdx.y == 0 && image < n) {
            double* to = sums + ((size_t)channel * n + image) * 2;
            to[0] = total;
            to[1] = total_centered;
        }
    }
}

// Adds the gradients of gamma and beta: one thread a channel, which adds up the images in their order.
KERNEL gn_gradient_params(const double* sums, const Value* moments, int groups, int c, int n, float* ggamma,
                       float* gbeta) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    const Value* inv_std = moments + (size_t)(groups + channel / (c / groups)) * n;
    double sum = 0.0, scaled = 0.0;
    for (int image = 0; image < n; ++image) {
        sum += sums[((size_t)channel * n + image) * 2];
        scaled += sums[((size_t)channel * n + image) * 2 + 1] * inv_std[image];
    }
    gbeta[channel] += (float)sum;
    ggamma[channel] += (float)scaled;
}

// What is taken off the gradients of each group of each image: a constant and a slope, taken[groups, N, 2]. One thread
// a group of an image.
KERNEL gn_gradient_means(const double* sums, const Value* moments, const float* gamma, int groups, int c, int area, int n,
                      float* taken) {
    int at = blockIdx.x * blockDim.x + threadIdx.x, channels = c / groups;
    if (at >= groups * n) return;
    int group = at / n, image = at % n;
    double constant = 0.0, slope = 0.0, count = (double)channels * area, inv = moments[groups * n + at];
    for (int channel = group * channels; channel < (group + 1) * channels; ++channel) {
        constant += gamma[channel] * sums[((size_t)channel * n + image) * 2];
        slope += gamma[channel] * sums[((size_t)channel * n + image) * 2 + 1];
    }
    taken[2 * at] = (float)(constant * inv / count);
    taken[2 * at + 1] = (float)(slope * inv / count * inv * inv);
}

// gx = gamma * inv_std * gy - constant - (x - mean) * slope. Bytes 12 V or 16 V, flops 5 V or 6 V: 60.1 or 80.1 us.
KERNEL gn_gradient(const Value* x, const Value* gy, const Value* moments, const float* gamma, const float* taken,
                Value* gx, int groups, int c, int area, int n, int accumulate) {
    int row = area * n, channels = c / groups;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        size_t first = (size_t)(channel / channels) * n, base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            size_t at = first + i % n;
            float mean = moments[at], scale = gamma[channel] * moments[(size_t)groups * n + at];
            float g = scale * gy[base + i] - taken[2 * at] - (x[base + i] - mean) * taken[2 * at + 1];
            put(gx + base + i, g, accumulate);
        }
    }
}
