// The loss and its gradient. Logits are [N, classes], as they leave and enter a network; the time beside a kernel is
// for 2^24 of them.

// Softmax cross-entropy of each image and, times `weight` / N, its gradient; for the label the target is `at_label` more
// than for the other classes. The number of images whose largest logit is their label's, of equal ones the first, as
// one flag an image. One warp an image, eight images a block of [32, 8]. `losses` and `correct` may be null. Bytes 16 V
// (three reads, of which a cache may serve two), flops about 50 V: 80.1 us.
KERNEL softmax_cross_entropy(const float* logits, const u32* labels, int n, int classes, float target, float at_label,
                             float weight, float* losses, u32* correct, float* gradient) {
    int image = blockIdx.x * blockDim.y + threadIdx.y;
    if (image >= n) return;
    const float* own = logits + (size_t)image * classes;
    int label = labels[image];
    float at = own[label], largest = -INF;
    u32 above = 0;
    for (int c = threadIdx.x; c < classes; c += WARP) {
        largest = fmaxf(largest, own[c]);
        // Spelled so that a comparison with NaN is false.
        above += c < label ? !(own[c] < at) : !(own[c] <= at);
    }
    for (int offset = WARP / 2; offset > 0; offset /= 2) {
        largest = fmaxf(largest, __shfl_down_sync(~0u, largest, offset));
    }
    largest = __shfl_sync(~0u, largest, 0);
    above = warp_sum(above);
    float sum = 0.0f;
    for (int c = threadIdx.x; c < classes; c += WARP) sum += expf(own[c] - largest);
    sum = __shfl_sync(~0u, warp_sum(sum), 0);
    float log_sum = logf(sum), loss = 0.0f, total = target * classes + at_label;
    for (int c = threadIdx.x; c < classes; c += WARP) {
        float log_share = own[c] - largest - log_sum, wanted = c == label ? target + at_label : target;
        loss -= wanted * log_share;
        gradient[(size_t)image * classes + c] = weight * (expf(log_share) * total - wanted) / n;
    }
    loss = warp_sum(loss);
    if (threadIdx.x == 0) {
        if (losses) losses[image] = loss;
        if (correct) correct[image] = above == 0;
    }
}

// The mean of the losses and the number of correct images, to report[0] and [1]. One block.
KERNEL report_loss(const float* losses, const u32* correct, int n, float* report) {
    double sum = 0.0;
    u32 count = 0;
    for (int i = threadIdx.x; i < n; i += BLOCK) {
        sum += losses[i];
        count += correct[i];
    }
    sum = block_sum(sum);
    count = block_sum(count);
    if (threadIdx.x == 0) {
        report[0] = (float)(sum / n);
        report[1] = (float)count;
    }
}
