// What is done with the gradient of P parameters. All are bound by memory; the time beside a kernel is for P = 2^24.
//
// `factors` has the weight decay of each parameter, 0 for those that have none, and -1 for frozen ones. `report` is, in
// this order, the loss, the number of correct images, the norm of the gradient and what clipping scales it by.
// `scalars` are the step's: the rate, the root of Adam's second bias, and the share of the new in averages.

// Whether the step is to be done.
__device__ __forceinline__ bool is_sound(const float* report) {
    return fabsf(report[0]) < INF && fabsf(report[2]) < INF;
}

// The gradient that clipping sees, where it lies, and the sums of its squares, one a block. Bytes 12 P or 16 P, flops 2 P
// or 4 P, in double precision half: 60.1 or 80.1 us.
KERNEL penalize(const float* params, const float* factors, float* gradient, size_t len, int is_decayed,
                double* partial) {
    size_t step = (size_t)gridDim.x * blockDim.x;
    double sum = 0.0;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += step) {
        float factor = factors[i], g = factor < 0.0f ? 0.0f : gradient[i];
        if (is_decayed && factor > 0.0f) g += factor * params[i];
        gradient[i] = g;
        sum += (double)g * g;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// The norm of the gradient from the sums of the blocks, and what clipping to `max_norm` scales it by, to report[2] and
// [3]; 0 is no clipping. One block.
KERNEL clip_scale(const double* partial, int blocks, float max_norm, float* report) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < blocks; i += BLOCK) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        double norm = sqrt(sum);
        report[2] = (float)norm;
        report[3] = max_norm > 0.0f && norm > max_norm ? (float)(max_norm / norm) : 1.0f;
    }
}

// Moves parameters by f(i, p, g), which gives the new p.
template <class F>
__device__ __forceinline__ void move_params(float* params, const float* gradient, const float* factors,
                                            const float* report, size_t len, int is_decayed, F f) {
    if (!is_sound(report)) return;
    float scale = report[3];
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += step) {
        float g = gradient[i] * scale, p = params[i], factor = factors[i];
        if (is_decayed && factor > 0.0f) g += factor * p;
        params[i] = f(i, p, g);
    }
}

// Stochastic gradient descent; `velocity` is null without momentum. Bytes 24 P or 16 P, flops 7 P or 5 P: 120.2 or
// 80.1 us.
KERNEL sgd(float* params, const float* gradient, const float* factors, const float* report, const float* scalars,
           size_t len, int is_decayed, float* velocity, float momentum, int is_nesterov) {
    float rate = scalars[0];
    move_params(params, gradient, factors, report, len, is_decayed, [=](size_t i, float p, float g) {
        if (!velocity) return p - rate * g;
        float v = g + momentum * velocity[i];
        velocity[i] = v;
        return p - rate * (is_nesterov ? g + momentum * v : v);
    });
}

// RMSProp as TensorFlow has it. Bytes 32 P, flops 12 P: 160.3 us.
KERNEL rms_prop(float* params, const float* gradient, const float* factors, const float* report, const float* scalars,
                size_t len, int is_decayed, float* mean_square, float* velocity, float decay, float momentum,
                float eps) {
    float rate = scalars[0];
    move_params(params, gradient, factors, report, len, is_decayed, [=](size_t i, float p, float g) {
        float s = mean_square[i];
        s += (1.0f - decay) * (g * g - s);
        float v = momentum * velocity[i] + rate * g / sqrtf(s + eps);
        mean_square[i] = s;
        velocity[i] = v;
        return p - v;
    });
}

// Adam. Bytes 32 P, flops 14 P: 160.3 us.
KERNEL adam(float* params, const float* gradient, const float* factors, const float* report, const float* scalars,
            size_t len, int is_decayed, float* mean, float* mean_square, float new_mean, float new_square, float eps) {
    float rate = scalars[0], root = scalars[1];
    move_params(params, gradient, factors, report, len, is_decayed, [=](size_t i, float p, float g) {
        float m = mean[i], s = mean_square[i];
        m += new_mean * (g - m);
        s += new_square * (g * g - s);
        mean[i] = m;
        mean_square[i] = s;
        return p - rate * m / (sqrtf(s) / root + eps);
    });
}

// Moves averages towards values. Bytes 12 P, flops 3 P: 60.1 us.
KERNEL move_averages(float* averages, const float* values, const float* report, const float* scalars, size_t len) {
    if (!is_sound(report)) return;
    float share = scalars[2];
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += step) {
        averages[i] += share * (values[i] - averages[i]);
    }
}
