// The two kernels around the matrix products of convolutions other than depthwise. The products themselves are
// cuBLAS's: of [M, K] by [K, P], flops 2 M K P and bytes 4 (M K + K P + M P), of bf16 half. A 1x1 convolution of the reference map to
// as many channels has 4.29e9 flops: 64.1 us, where its bytes need 40.1 us.

// Rows [channels, taps] of what the windows at places from `first` on read, each `places * N` long: max(x, 0) if
// `relu_in`, zeros beyond the map. `x` begins at the first of the channels. Bytes 4 V + 4 K V at stride 1, flops 0 or
// K V. 3x3: 200 us; 1x1 with `relu_in`: 40.1 us.
KERNEL im2col(Window w, int n, int channels, const Value* x, int relu_in, int first, int places, Value* columns) {
    int taps = w.kernel_h * w.kernel_w, row = places * n;
    for (int line = blockIdx.y; line < channels * taps; line += gridDim.y) {
        int tap = line % taps, channel = line / taps;
        int down = tap / w.kernel_w * w.dilation_h - w.pad_h, right = tap % w.kernel_w * w.dilation_w - w.pad_w;
        const Value* source = x + (size_t)channel * w.input_h * w.input_w * n;
        Value* to = columns + (size_t)line * row;
        for (int i = lane_of_row(); i < row; i += lanes_of_row()) {
            int image = i % n, place = first + i / n;
            int h = place / w.output_w * w.stride_h + down, v = place % w.output_w * w.stride_w + right;
            bool inside = h >= 0 && h < w.input_h && v >= 0 && v < w.input_w;
            float value = inside ? source[(size_t)(h * w.input_w + v) * n + image] : 0.0f;
            to[i] = relu_in ? relu(value) : value;
        }
    }
}

// The gradients of such rows, of all places, added up at what they were read from; zero where `mask` is not positive.
// Bytes 4 V + 4 K V at stride 1, and 4 V each for mask and accumulation; flops K V. 3x3: 200 us.
KERNEL col2im(Window w, int n, int channels, const Value* columns, const Value* mask, Value* gx, int accumulate) {
    int taps = w.kernel_h * w.kernel_w, row = w.input_h * w.input_w * n;
    size_t outputs = (size_t)w.output_h * w.output_w * n;
    for (int channel = blockIdx.y; channel < channels; channel += gridDim.y) {
        const Value* own = columns + (size_t)channel * taps * outputs;
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
                    sum += own[(kh * w.kernel_w + kw) * outputs + (size_t)(oh * w.output_w + ow) * n + image];
                }
            }
            put(gx + base + i, mask ? masked(sum, mask[base + i]) : sum, accumulate);
        }
    }
}
