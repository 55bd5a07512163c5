// Max and average pools. Bytes where the output has as many numbers V as the input; at stride 2 it has a quarter.

// Whether `x` takes the place of the largest number so far: it is larger, or the first NaN.
__device__ __forceinline__ bool beats(float x, float best) { return x > best || (x != x && best == best); }

// The largest number of the window at (oh, ow), and the tap that reads it, -1 for none.
__device__ __forceinline__ float largest(const Window& w, const Value* map, int n, int oh, int ow, int* winner) {
    float best = -INF;
    *winner = -1;
    for (int kh = 0; kh < w.kernel_h; ++kh) {
        int h = oh * w.stride_h + kh * w.dilation_h - w.pad_h;
        for (int kw = 0; kw < w.kernel_w; ++kw) {
            int v = ow * w.stride_w + kw * w.dilation_w - w.pad_w;
            bool inside = h >= 0 && h < w.input_h && v >= 0 && v < w.input_w;
            float value = inside ? map[(size_t)(h * w.input_w + v) * n] : w.zeros ? 0.0f : -INF;
            if (beats(value, best)) {
                best = value;
                *winner = kh * w.kernel_w + kw;
            }
        }
    }
    return best;
}

// The largest number of each window, NaN if there is one, to `y`; to `winners` the tap that reads it. One of the two
// may be missing. Bytes 8 V, flops K V: 40.1 us.
KERNEL max_pool(Window w, int n, int c, const Value* x, Value* y, int* winners) {
    int row = w.output_h * w.output_w * n;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* source = x + (size_t)channel * w.input_h * w.input_w * n;
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            int image = i % n, place = i / n, winner;
            float value = largest(w, source + image, n, place / w.output_w, place % w.output_w, &winner);
            if (y) y[base + i] = value;
            if (winners) winners[base + i] = winner;
        }
    }
}

// The gradient of each window to the place that its winner read. Bytes 12 V or 16 V, flops K V: 60.1 or 80.1 us.
KERNEL max_pool_backward(Window w, int n, int c, const int* winners, const Value* gy, Value* gx, int accumulate) {
    int row = w.input_h * w.input_w * n;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        size_t base = (size_t)channel * row, outputs = (size_t)channel * w.output_h * w.output_w * n;
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
                    size_t at = outputs + (size_t)(oh * w.output_w + ow) * n + image;
                    if (winners[at] == kh * w.kernel_w + kw) sum += gy[at];
                }
            }
            put(gx + base + i, sum, accumulate);
        }
    }
}

// Taps of a window that lie inside the map along one axis.
__device__ __forceinline__ int taps_inside(int output, int kernel, int stride, int dilation, int pad, int input) {
    int count = 0;
    for (int k = 0; k < kernel; ++k) {
        int at = output * stride + k * dilation - pad;
        count += at >= 0 && at < input;
    }
    return count;
}

// What each tap of a window counts in its mean.
__device__ __forceinline__ float share_of_taps(const Window& w, int oh, int ow) {
    if (w.zeros) return 1.0f / (float)(w.kernel_h * w.kernel_w);
    int taps = taps_inside(oh, w.kernel_h, w.stride_h, w.dilation_h, w.pad_h, w.input_h) *
               taps_inside(ow, w.kernel_w, w.stride_w, w.dilation_w, w.pad_w, w.input_w);
    return 1.0f / (float)(taps > 1 ? taps : 1);
}

// The mean of each window inside the map, or with zeros beyond. Bytes 8 V or 12 V, flops K V: 40.1 or 60.1 us.
KERNEL average_pool(Window w, int n, int c, const Value* x, Value* y, int accumulate) {
    int row = w.output_h * w.output_w * n;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* source = x + (size_t)channel * w.input_h * w.input_w * n;
        size_t base = (size_t)channel * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            int image = i % n, place = i / n;
            int ow = place % w.output_w, oh = place / w.output_w;
            float sum = 0.0f;
            for (int kh = 0; kh < w.kernel_h; ++kh) {
                int h = oh * w.stride_h + kh * w.dilation_h - w.pad_h;
                if (h < 0 || h >= w.input_h) continue;
                for (int kw = 0; kw < w.kernel_w; ++kw) {
                    int v = ow * w.stride_w + kw * w.dilation_w - w.pad_w;
                    if (v >= 0 && v < w.input_w) sum += source[(size_t)(h * w.input_w + v) * n + image];
                }
            }
            put(y + base + i, sum * share_of_taps(w, oh, ow), accumulate);
        }
    }
}

// Its gradient. Bytes 8 V or 12 V, flops 2 K V: 40.1 or 60.1 us.
KERNEL average_pool_backward(Window w, int n, int c, const Value* gy, Value* gx, int accumulate) {
    int row = w.input_h * w.input_w * n;
    for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
        const Value* gradient = gy + (size_t)channel * w.output_h * w.output_w * n;
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
                    sum += share_of_taps(w, oh, ow) * gradient[(size_t)(oh * w.output_w + ow) * n + image];
                }
            }
            put(gx + base + i, sum, accumulate);
        }
    }
}
