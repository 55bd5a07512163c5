// Kernels that scale, reduce or move whole maps. All are bound by memory.

// y = x * factor, where the factors of each channel's images begin `stride` behind those of the channel before.
template <class T>
__device__ __forceinline__ void scale_rows(
    const Value* x, const T* factors, int stride, Value* y, int c, int row, int n, int accumulate) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        size_t base = (size_t)channel * row;
        const T* own = factors + (size_t)channel * stride;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            put(y + base + i, x[base + i] * own[i % n], accumulate);
        }
    }
}

// One factor a map: products that broadcast, and their gradients. Bytes 8 V or 12 V, flops V or 2 V: 40.1 or 60.1 us.
KERNEL scale_maps(const Value* x, const Value* factors, Value* y, int c, int row, int n, int accumulate) {
    scale_rows(x, factors, n, y, c, row, n, accumulate);
}

// One factor an image: drop path, shares of mixes, and their gradients. Bytes and flops as `scale_maps`.
KERNEL scale_images(const Value* x, const float* factors, Value* y, int c, int row, int n, int accumulate) {
    scale_rows(x, factors, 0, y, c, row, n, accumulate);
}

// gx = gy * (1 - share), one share an image: the second operand of a mix. Bytes 8 V or 12 V, flops V or 2 V: 40.1 or
// 60.1 us.
KERNEL scale_images_by_rest(const Value* x, const float* shares, Value* y, int c, int row, int n, int accumulate) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            put(y + base + i, x[base + i] * (1.0f - shares[i % n]), accumulate);
        }
    }
}

// y = share * a + (1 - share) * b, one share an image. Bytes 12 V, flops 4 V: 60.1 us.
KERNEL mix_forward(const Value* a, const Value* b, const float* shares, Value* y, int c, int row, int n) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            float share = shares[i % n];
            y[base + i] = share * a[base + i] + (1.0f - share) * b[base + i];
        }
    }
}

// The sum over each map of a * b, or of `a` alone, times `factor`: [C, area, N] to [C, N]. Blocks are [32 images, 8],
// whose 8 rows of threads share the places. Bytes 8 V or 4 V, flops 2 V or V: 40.1 or 20.0 us.
KERNEL dot_maps(const Value* a, const Value* b, float factor, Value* y, int c, int area, int n, int accumulate) {
    __shared__ float sums[BLOCK / WARP][WARP];
    int image = blockIdx.x * WARP + threadIdx.x;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        float sum = 0.0f;
        if (image < n) {
            size_t base = (size_t)channel * area * n + image;
            for (int place = threadIdx.y; place < area; place += blockDim.y) {
                size_t at = base + (size_t)place * n;
                sum += b ? a[at] * b[at] : a[at];
            }
        }
        sums[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && image < n) {
            float total = 0.0f;
            for (int rows = 0; rows < blockDim.y; ++rows) total += sums[rows][threadIdx.x];
            put(y + (size_t)channel * n + image, total * factor, accumulate);
        }
        __syncthreads();
    }
}

// The gradient of the mean over each map: gx = gy / area. Bytes 4 V or 8 V, flops V or 2 V: 20.0 or 40.1 us.
KERNEL spread_over_maps(const Value* gy, Value* gx, int c, int row, int n, int accumulate) {
    float area = (float)(row / n);
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* own = gy + (size_t)channel * n;
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) put(gx + base + i, own[i % n] / area, accumulate);
    }
}

// Shift by one pixel up and left, zeros behind, or its gradient if `back`. Bytes 8 V or 12 V, flops 0 or V: 40.1 or
// 60.1 us.
KERNEL shift(const Value* x, Value* y, int c, int height, int width, int n, int back, int accumulate) {
    int line = width * n, row = height * line;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            int h = i / line, rest = i % line;
            bool inside = back ? h > 0 && rest >= n : h + 1 < height && rest + n < line;
            int from = back ? i - line - n : i + line + n;
            put(y + base + i, inside ? x[base + from] : 0.0f, accumulate);
        }
    }
}

// Shuffle of channels: as a matrix [groups, C / groups] they are transposed. Bytes 8 V or 12 V: 40.1 or 60.1 us.
KERNEL shuffle(const Value* x, Value* y, int groups, int c, int row, int accumulate) {
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        int from = channel % groups * (c / groups) + channel / groups;
        map_row(x + (size_t)from * row, x + (size_t)from * row, y + (size_t)channel * row, row, accumulate,
                [=](float x, float) { return x; });
    }
}

// [A, B] to [B, A] through a tile in shared memory, so that both sides are whole lines. Blocks are [32, 8].
template <class From, class To>
__device__ __forceinline__ void transpose(const From* x, To* y, int a, int b, int accumulate) {
    // One column more, so that a column lies in 32 banks.
    __shared__ float tile[WARP][WARP + 1];
    for (int i = threadIdx.y; i < WARP; i += blockDim.y) {
        int from_a = blockIdx.y * WARP + i, from_b = blockIdx.x * WARP + threadIdx.x;
        if (from_a < a && from_b < b) tile[i][threadIdx.x] = x[(size_t)from_a * b + from_b];
    }
    __syncthreads();
    for (int i = threadIdx.y; i < WARP; i += blockDim.y) {
        int to_b = blockIdx.x * WARP + i, to_a = blockIdx.y * WARP + threadIdx.x;
        if (to_a < a && to_b < b) put(y + (size_t)to_b * a + to_a, tile[threadIdx.x][i], accumulate);
    }
}

// Images or gradients of logits, [N, C * H * W], to maps. Bytes 8 V or 12 V: 40.1 or 60.1 us.
KERNEL load_maps(const float* x, Value* y, int n, int row, int accumulate) {
    transpose(x, y, n, row, accumulate);
}

// Maps to logits or gradients of images, [N, C * H * W]. Bytes 8 V or 12 V: 40.1 or 60.1 us.
KERNEL store_maps(const Value* x, float* y, int row, int n, int accumulate) {
    transpose(x, y, row, n, accumulate);
}

// y[i, j] = bias[i]: what a dense layer is added to. Bytes 4 V: 20.0 us.
KERNEL fill_rows(const float* bias, Value* y, int rows, int n) {
    size_t len = (size_t)rows * n, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += step) y[i] = bias[i / n];
}

// gbias[i] += sum of gy[i, ..]: one warp a row, eight rows a block of [32, 8]. Bytes 4 V, flops V: 20.0 us.
KERNEL add_row_sums(const Value* gy, float* gbias, int rows, int n) {
    int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += WARP) sum += gy[(size_t)row * n + i];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) gbias[row] += sum;
}

// to[i, j] += sum over s of partial[i, s, j], in the order of s.
KERNEL add_partial_sums(const float* partial, float* to, int outer, int splits, int inner) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= outer * inner) return;
    const float* own = partial + (size_t)(at / inner) * splits * inner + at % inner;
    float sum = 0.0f;
    for (int split = 0; split < splits; ++split) sum += own[(size_t)split * inner];
    to[at] += sum;
}
