// What all kernels share. The files of this folder are one translation unit, in the order of `source.rs`.
//
// Maps are [C, H, W, N], images innermost: neighbouring threads take neighbouring images of one place, so every
// load of a warp is one or a few whole lines at any stride of a window. A channel is one row of H * W * N numbers;
// `blockIdx.y` walks over channels and `blockIdx.x` over a row, so that indices within a row fit 32 bits.
//
// Sums are taken in an order that shapes alone fix: a thread adds what is its own, a block its threads by halves,
// and a second kernel the blocks one after the other. There is no atomic operation.
//
// Beside each kernel stand its bytes and flops for maps of V = C * H * W * N numbers, K taps a window, and the time
// that an H100 SXM cannot beat: max(bytes / 3.35e12, flops / 67e12) seconds, for the reference map [128, 32, 32, 128]
// of V = 2^24. One pass over it, read or write, is 2^26 bytes: 20.0 us. Tables, coefficients and partial sums that
// are less than a hundredth of a map are left out.
//
// Those are the bytes of maps in single precision. With CELLC_BF16 the numbers of maps and their gradients, `Value`, are
// stored in bf16, in 2 bytes: 8 V becomes 4 V, and where memory binds the time is half. Everything else keeps its 4
// bytes or more, and all arithmetic is in single precision or double: a number is rounded when it is stored.

struct Window {
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    int input_h, input_w, output_h, output_w;
    // A pool takes what it covers beyond the map for zeros.
    int zeros;
};

typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef CELLC_BF16
// The upper half of a float: sign, its 8 bits of exponent, and 7 of mantissa.
struct bf16 {
    unsigned short bits;
    __device__ __forceinline__ operator float() const { return __uint_as_float((u32)bits << 16); }
    // To nearest, and to even in the middle, which carries into the exponent where it must; NaN stays NaN. There is no
    // constructor from float, so that what is computed of values is a float everywhere.
    __device__ __forceinline__ bf16& operator=(float value) {
        u32 word = __float_as_uint(value), rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
        bits = (unsigned short)(value != value ? word >> 16 | 0x40u : rounded);
        return *this;
    }
};
typedef bf16 Value;
#else
typedef float Value;
#endif

// Neighbours that are loaded and stored together: 16 bytes.
template <class T>
struct alignas(16) Pack {
    static constexpr int kSize = 16 / sizeof(T);
    T at[kSize];
};

#define WARP 32
// Threads of a block, but where a kernel says otherwise.
#define BLOCK 256
// Four blocks on a multiprocessor leave 64 registers for a thread, of which no kernel needs more; told so, the compiler
// spills none.
#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK, 4)
#define INF __int_as_float(0x7f800000)

__device__ __forceinline__ float relu(float x) { return x < 0.0f ? 0.0f : x; }

__device__ __forceinline__ float masked(float g, float x) { return x > 0.0f ? g : 0.0f; }

template <class T, class V>
__device__ __forceinline__ void put(T* y, V value, int accumulate) {
    *y = accumulate ? *y + value : value;
}

__device__ __forceinline__ bool is_aligned(const void* p) { return ((size_t)p & 15) == 0; }

// The place of a thread among those that share a channel, and their number.
__device__ __forceinline__ int lane_of_row() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int lanes_of_row() { return gridDim.x * blockDim.x; }

// y = f(a, b) for every number of rows of `len`, added if `accumulate`; a pack at a time where all three rows allow it.
// `a` and `b` may be the same.
template <class T, class F>
__device__ __forceinline__ void map_row(const T* a, const T* b, T* y, size_t len, int accumulate, F f) {
    constexpr int kPack = Pack<T>::kSize;
    size_t start = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    size_t step = (size_t)gridDim.x * blockDim.x;
    size_t done = 0;
    if (is_aligned(a) && is_aligned(b) && is_aligned(y)) {
        for (size_t i = start; i < len / kPack; i += step) {
            Pack<T> u = ((const Pack<T>*)a)[i], v = ((const Pack<T>*)b)[i], w = {};
            if (accumulate) w = ((const Pack<T>*)y)[i];
#pragma unroll
            for (int k = 0; k < kPack; ++k) put(w.at + k, f(u.at[k], v.at[k]), accumulate);
            ((Pack<T>*)y)[i] = w;
        }
        done = len / kPack * kPack;
    }
    for (size_t i = done + start; i < len; i += step) put(y + i, f(a[i], b[i]), accumulate);
}

// Calls f(a, b) on every pair of numbers of two rows that is this thread's.
template <class T, class F>
__device__ __forceinline__ void sweep_row(const T* a, const T* b, int len, F f) {
    constexpr int kPack = Pack<T>::kSize;
    int start = lane_of_row(), step = lanes_of_row(), done = 0;
    if (is_aligned(a) && is_aligned(b)) {
        for (int i = start; i < len / kPack; i += step) {
            Pack<T> u = ((const Pack<T>*)a)[i], v = ((const Pack<T>*)b)[i];
#pragma unroll
            for (int k = 0; k < kPack; ++k) f(u.at[k], v.at[k]);
        }
        done = len / kPack * kPack;
    }
    for (int i = done + start; i < len; i += step) f(a[i], b[i]);
}

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
    for (int offset = WARP / 2; offset > 0; offset /= 2) value += __shfl_down_sync(~0u, value, offset);
    return value;
}

// The sum over a block of BLOCK threads, in thread 0. All threads must call it.
template <class T>
__device__ __forceinline__ T block_sum(T value) {
    __shared__ T sums[BLOCK / WARP];
    value = warp_sum(value);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = value;
    __syncthreads();
    T total = 0;
    if (threadIdx.x == 0) {
        for (int warp = 0; warp < BLOCK / WARP; ++warp) total += sums[warp];
    }
    __syncthreads();
    return total;
}
