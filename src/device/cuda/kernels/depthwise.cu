// Depthwise convolutions, of max(x, 0) if `relu_in`.

// Neighbouring outputs of a row that a thread computes: it reads what their windows share once.
#define OUTPUTS 4

// Dynamic shared memory: the tile of the input, then the weights of the channel.
extern __shared__ float shared[];

// Adds to `sums` one row of taps: OUTPUTS windows that start at `source`, in steps of `lanes` numbers. K and S are
// kernel width and stride of dense windows, or 0 if they are known at run time alone.
template <int K, int S>
__device__ __forceinline__ void slide_row(const float* source, const float* weights, int lanes, int kernel, int stride,
                                          int dilation, float* sums) {
    if (K > 0) {
        float values[(OUTPUTS - 1) * S + K + (K == 0)];
#pragma unroll
        for (int i = 0; i < (OUTPUTS - 1) * S + K; ++i) values[i] = source[i * lanes];
#pragma unroll
        for (int k = 0; k < K; ++k) {
            float weight = weights[k];
#pragma unroll
            for (int i = 0; i < OUTPUTS; ++i) sums[i] += weight * values[i * S + k];
        }
    } else {
        for (int k = 0; k < kernel; ++k) {
            float weight = weights[k];
#pragma unroll
            for (int i = 0; i < OUTPUTS; ++i) sums[i] += weight * source[(i * stride + k * dilation) * lanes];
        }
    }
}

// One tile of [tile_h, tile_w] outputs of `blockDim.x` images of one channel at a time. With `flip` the weights are
// taken from the last to the first: the gradient of a convolution of stride 1 is a convolution with them.
template <int K, int S>
__device__ __forceinline__ void convolve_depthwise(const Window& w, int n, int c, const Value* x, const float* weight,
                                                   int relu_in, int flip, const Value* mask, Value* y, int tile_h,
                                                   int tile_w, int accumulate) {
    int lanes = blockDim.x, taps = w.kernel_h * w.kernel_w;
    int source_h = (tile_h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1;
    int source_w = (tile_w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1;
    float* weights = shared + source_h * source_w * lanes;
    int tiles_w = (w.output_w + tile_w - 1) / tile_w, image_tiles = (n + lanes - 1) / lanes;
    int tile = blockIdx.x / image_tiles;
    int image = blockIdx.x % image_tiles * lanes + threadIdx.x;
    int first_h = tile / tiles_w * tile_h, first_w = tile % tiles_w * tile_w;
    int thread = threadIdx.y * lanes + threadIdx.x;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* source = x + (size_t)channel * w.input_h * w.input_w * n;
        for (int tap = thread; tap < taps; tap += lanes * blockDim.y) {
            weights[tap] = weight[(size_t)channel * taps + (flip ? taps - 1 - tap : tap)];
        }
        for (int place = threadIdx.y; place < source_h * source_w; place += blockDim.y) {
            int h = first_h * w.stride_h - w.pad_h + place / source_w;
            int v = first_w * w.stride_w - w.pad_w + place % source_w;
            bool inside = h >= 0 && h < w.input_h && v >= 0 && v < w.input_w && image < n;
            float value = inside ? source[(size_t)(h * w.input_w + v) * n + image] : 0.0f;
            shared[place * lanes + threadIdx.x] = relu_in ? relu(value) : value;
        }
        __syncthreads();
        size_t base = (size_t)channel * w.output_h * w.output_w * n + image;
        int runs = tile_w / OUTPUTS;
        for (int run = threadIdx.y; run < tile_h * runs; run += blockDim.y) {
            int h = run / runs, v = run % runs * OUTPUTS;
            if (image >= n || first_h + h >= w.output_h || first_w + v >= w.output_w) continue;
            float sums[OUTPUTS] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (int k = 0; k < w.kernel_h; ++k) {
                int at = (h * w.stride_h + k * w.dilation_h) * source_w + v * w.stride_w;
                slide_row<K, S>(shared + at * lanes + threadIdx.x, weights + k * w.kernel_w, lanes, w.kernel_w,
                                w.stride_w, w.dilation_w, sums);
            }
#pragma unroll
            for (int i = 0; i < OUTPUTS; ++i) {
                if (first_w + v + i >= w.output_w) break;
                size_t at = base + (size_t)((first_h + h) * w.output_w + first_w + v + i) * n;
                put(y + at, mask ? masked(sums[i], mask[at]) : sums[i], accumulate);
            }
        }
        __syncthreads();
    }
}

// y = conv(x), or y = conv(max(x, 0)); with `flip`, and `mask` where the forward pass had `relu_in`, the gradient of
// the input at stride 1. Blocks are [images, rows] of BLOCK threads.
// Bytes 8 V at stride 1, 5 V at stride 2 where V is the input's, and 4 V each for mask and accumulation; flops 2 K V,
// or K V / 2 at stride 2. 3x3: 40.1 us; 5x5: 40.1 us (flops 12.5 us); 7x7: 40.1 us (flops 24.5 us); 5x5 at stride 2:
// 25.0 us. A tile is read with its border: of 8 x 8 outputs of 5x5, 2.25 of 1, where the second cache does not help.
#define DEPTHWISE(name, K, S)                                                                                       \
    KERNEL name(Window w, int n, int c, const Value* x, const float* weight, int relu_in, int flip, const Value* mask, \
             Value* y, int tile_h, int tile_w, int accumulate) {                                                    \
        convolve_depthwise<K, S>(w, n, c, x, weight, relu_in, flip, mask, y, tile_h, tile_w, accumulate);           \
    }
DEPTHWISE(depthwise_any, 0, 0)
DEPTHWISE(depthwise_3, 3, 1)
DEPTHWISE(depthwise_5, 5, 1)
DEPTHWISE(depthwise_7, 7, 1)
DEPTHWISE(depthwise_3_stride_2, 3, 2)
DEPTHWISE(depthwise_5_stride_2, 5, 2)
DEPTHWISE(depthwise_7_stride_2, 7, 2)

// The same from global memory alone, one output a thread: for windows whose input does not fit shared memory.
KERNEL depthwise_direct(Window w, int n, int c, const Value* x, const float* weight, int relu_in, int flip,
                     const Value* mask, Value* y, int accumulate) {
    int row = w.output_h * w.output_w * n, taps = w.kernel_h * w.kernel_w;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* source = x + (size_t)channel * w.input_h * w.input_w * n;
        const float* weights = weight + (size_t)channel * taps;
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            int image = i % n, place = i / n;
            int start_h = place / w.output_w * w.stride_h - w.pad_h;
            int start_w = place % w.output_w * w.stride_w - w.pad_w;
            float sum = 0.0f;
            for (int tap = 0; tap < taps; ++tap) {
                int h = start_h + tap / w.kernel_w * w.dilation_h, v = start_w + tap % w.kernel_w * w.dilation_w;
                if (h < 0 || h >= w.input_h || v < 0 || v >= w.input_w) continue;
                float value = source[(size_t)(h * w.input_w + v) * n + image];
                sum += weights[flip ? taps - 1 - tap : tap] * (relu_in ? relu(value) : value);
            }
            put(y + base + i, mask ? masked(sum, mask[base + i]) : sum, accumulate);
        }
    }
}

// The output along one axis whose tap `k` reads place `i`, or -1.
__device__ __forceinline__ int reader_of(int i, int k, int pad, int dilation, int stride, int outputs) {
    int start = i + pad - k * dilation;
    if (start < 0 || start % stride != 0) return -1;
    int output = start / stride;
    return output < outputs ? output : -1;
}

// The gradient of the input at any stride, gathered from the outputs that read each place. Bytes 5 V at stride 2, and
// 4 V each for mask and accumulation, where V is the input's; flops K V / 2: 25.0 us.
KERNEL depthwise_backward_strided(Window w, int n, int c, const Value* gy, const float* weight, const Value* mask,
                               Value* gx, int accumulate) {
    int row = w.input_h * w.input_w * n;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* gradient = gy + (size_t)channel * w.output_h * w.output_w * n;
        const float* weights = weight + (size_t)channel * w.kernel_h * w.kernel_w;
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            int image = i % n, place = i / n;
            int v = place % w.input_w, h = place / w.input_w;
            float sum = 0.0f;
            for (int kh = 0; kh < w.kernel_h; ++kh) {
                int oh = reader_of(h, kh, w.pad_h, w.dilation_h, w.stride_h, w.output_h);
                if (oh < 0) continue;
                for (int kw = 0; kw < w.kernel_w; ++kw) {
                    int ow = reader_of(v, kw, w.pad_w, w.dilation_w, w.stride_w, w.output_w);
                    if (ow < 0) continue;
                    sum += weights[kh * w.kernel_w + kw] * gradient[(size_t)(oh * w.output_w + ow) * n + image];
                }
            }
            put(gx + base + i, mask ? masked(sum, mask[base + i]) : sum, accumulate);
        }
    }
}

// Taps whose sums a thread keeps at a time.
#define TAPS 8

// Partial sums of the gradient of the weight: partial[C, splits, taps]. Bytes 8 V at stride 1 and 5 V at stride 2 for
// every TAPS taps, but for what the second cache keeps; flops 2 K V or K V / 2. 3x3: 80.1 us, 5x5: 160 us and 7x7:
// 280 us without that cache; 40.1 us with all of it.
KERNEL depthwise_backward_weight(Window w, int n, int c, const Value* x, const Value* gy, int relu_in, float* partial) {
    int taps = w.kernel_h * w.kernel_w, row = w.output_h * w.output_w * n;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* source = x + (size_t)channel * w.input_h * w.input_w * n;
        const Value* gradient = gy + (size_t)channel * row;
        float* to = partial + ((size_t)channel * gridDim.x + blockIdx.x) * taps;
        for (int first = 0; first < taps; first += TAPS) {
            float sums[TAPS];
            int down[TAPS], right[TAPS];
#pragma unroll
            for (int i = 0; i < TAPS; ++i) {
                int tap = first + i;
                sums[i] = 0.0f;
                down[i] = tap / w.kernel_w * w.dilation_h - w.pad_h;
                right[i] = tap % w.kernel_w * w.dilation_w - w.pad_w;
            }
            for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
                int image = i % n, place = i / n;
                int start_h = place / w.output_w * w.stride_h, start_w = place % w.output_w * w.stride_w;
                float g = gradient[i];
#pragma unroll
                for (int j = 0; j < TAPS; ++j) {
                    int h = start_h + down[j], v = start_w + right[j];
                    // Behind the last tap is another place of the map, whose sum nobody reads.
                    if (h >= 0 && h < w.input_h && v >= 0 && v < w.input_w) {
                        float value = source[(size_t)(h * w.input_w + v) * n + image];
                        sums[j] += g * (relu_in ? relu(value) : value);
                    }
                }
            }
#pragma unroll
            for (int i = 0; i < TAPS; ++i) {
                float sum = block_sum(sums[i]);
                if (threadIdx.x == 0 && first + i < taps) to[first + i] = sum;
            }
        }
    }
}
