// Runs the steps that the example `cuda_cases` wrote on the kernels compiled for the processor, each argument in
// memory of its own that ends where its region ends, and compares all memories with what the portable CPU kernels
// left of them. Fails if a number is off, or if a kernel was never launched.
#include "kernels_on_cpu.h"
#include "products.h"

#include <algorithm>
#include <tuple>

// Largest error, of the largest number that is compared at a time.
constexpr double kTolerance = 1e-5;

struct Reader {
    std::vector<uint32_t> words;
    size_t at = 0;
    uint32_t word() {
        if (at == words.size()) fprintf(stderr, "the cases end too early\n"), exit(2);
        return words[at++];
    }
    std::vector<uint32_t> take(size_t len) {
        std::vector<uint32_t> taken(len);
        for (auto& word_ : taken) word_ = word();
        return taken;
    }
    std::string text() {
        std::string text;
        for (uint32_t len = word(); len > 0; --len) text += static_cast<char>(word());
        return text;
    }
};

struct Region {
    uint32_t place, start, len;
    bool operator<(const Region& other) const {
        return std::tie(place, start, len) < std::tie(other.place, other.start, other.len);
    }
};

using Memories = std::map<uint32_t, std::vector<uint32_t>>;

// Copies of the regions that one command touches, put back when it is done. One of 16 bytes' alignment keeps it.
class Lent {
public:
    explicit Lent(Memories& memories) : memories_(memories) {}
    float* lend(Region region) {
        auto& copy = copies_[region];
        if (!copy) {
            auto& memory = memories_.at(region.place);
            if (region.start + region.len > memory.size()) {
                fprintf(stderr, "%s: a region ends behind its memory\n", on_cpu::machine.kernel);
                exit(2);
            }
            // Aligned as the region is, no longer than it is.
            size_t lead = region.start % 4;
            copy.reset(static_cast<uint32_t*>(aligned_alloc(16, (lead + region.len + 3) / 4 * 16)));
            memcpy(copy.get() + lead, memory.data() + region.start, region.len * 4);
#if defined(__SANITIZE_ADDRESS__)
            ASAN_POISON_MEMORY_REGION(copy.get() + lead + region.len, (4 - (lead + region.len) % 4) % 4 * 4);
#endif
        }
        return reinterpret_cast<float*>(copy.get() + region.start % 4);
    }
    ~Lent() {
        for (auto& [region, copy] : copies_) {
            memcpy(memories_.at(region.place).data() + region.start, copy.get() + region.start % 4, region.len * 4);
#if defined(__SANITIZE_ADDRESS__)
            ASAN_UNPOISON_MEMORY_REGION(copy.get(), (region.start % 4 + region.len + 3) / 4 * 16);
#endif
        }
    }

private:
    struct Free {
        void operator()(uint32_t* memory) const { free(memory); }
    };
    Memories& memories_;
    std::map<Region, std::unique_ptr<uint32_t, Free>> copies_;
};

static Region read_region(Reader& in) {
    uint32_t place = in.word(), start = in.word(), len = in.word();
    return {place, start, len};
}

static void run_launch(Reader& in, Memories& memories) {
    std::string name = in.text();
    on_cpu::Size size{};
    size.grid = {in.word(), in.word()};
    size.block = {in.word(), in.word()};
    size.shared_bytes = in.word();
    auto found = kernels.find(name);
    if (found == kernels.end()) fprintf(stderr, "there is no kernel %s\n", name.c_str()), exit(2);
    Kernel& kernel = found->second;
    on_cpu::machine.kernel = name.c_str();
    Lent lent(memories);
    // The values, each as long as the kernel's parameter, and their addresses.
    std::vector<std::vector<uint32_t>> values;
    uint32_t count = in.word();
    for (uint32_t i = 0; i < count; ++i) {
        enum { kRegion, kNull, kWords };
        uint32_t kind = in.word();
        std::vector<uint32_t> value(2, 0);
        if (kind == kRegion) {
            float* address = lent.lend(read_region(in));
            memcpy(value.data(), &address, sizeof address);
        } else if (kind == kWords) {
            value = in.take(in.word());
        }
        values.push_back(value);
    }
    bool fits = values.size() == kernel.arguments.size();
    for (size_t i = 0; fits && i < values.size(); ++i) fits = values[i].size() * 4 == kernel.arguments[i];
    if (!fits) fprintf(stderr, "%s is launched with other arguments than it takes\n", name.c_str()), exit(2);
    std::vector<void*> addresses;
    for (auto& value : values) addresses.push_back(value.data());
    ++kernel.launches;
    kernel.run(size, addresses.data());
}

static void run_product(Reader& in, Memories& memories) {
    size_t m = in.word(), n = in.word(), k = in.word(), batch = in.word();
    bool accumulate = in.word();
    Lent lent(memories);
    struct Side {
        float* data;
        size_t row, stride;
        bool is_transposed;
    } sides[3];
    on_cpu::machine.kernel = "a product";
    for (Side& side : sides) {
        side.data = lent.lend(read_region(in));
        side.row = in.word();
        side.is_transposed = in.word();
        side.stride = in.word();
    }
    auto [a, b, c] = sides;
    for (size_t i = 0; i < batch; ++i) {
        multiply_matrices(m, n, k, a.data + i * a.stride, a.row, a.is_transposed, b.data + i * b.stride, b.row,
                          b.is_transposed, c.data + i * c.stride, c.row, 1.0f, accumulate ? 1.0f : 0.0f);
    }
}

static float number(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The error of the worst number, of the largest that was expected.
static double worst_error(const std::vector<uint32_t>& found, const std::vector<uint32_t>& expected) {
    double worst = 0.0, largest = 1e-3;
    for (size_t i = 0; i < found.size(); ++i) {
        float a = number(found[i]), b = number(expected[i]);
        if (found[i] == expected[i] || (a != a && b != b)) continue;
        double error = std::fabs(static_cast<double>(a) - b);
        // Written so that no number is an error.
        if (!(error <= worst)) worst = error != error ? INFINITY : error;
    }
    for (uint32_t bits : expected) {
        double size = std::fabs(number(bits));
        if (size > largest && std::isfinite(size)) largest = size;
    }
    return worst / largest;
}

static Reader read_file(const char* path) {
    Reader in;
    FILE* file = fopen(path, "rb");
    if (!file) perror(path), exit(2);
    for (uint32_t word; fread(&word, sizeof word, 1, file) == 1;) in.words.push_back(word);
    fclose(file);
    return in;
}

int main(int count, char** paths) {
    size_t steps = 0, failed = 0;
    double worst = 0.0;
    for (int file = 1; file < count; ++file) {
        Reader in = read_file(paths[file]);
        while (in.at < in.words.size()) {
            std::string name = in.text();
            Memories memories, expected;
            for (uint32_t i = in.word(); i > 0; --i) {
                uint32_t place = in.word(), len = in.word();
                memories[place] = in.take(len);
            }
            for (uint32_t i = in.word(); i > 0; --i) in.word() == 0 ? run_launch(in, memories) : run_product(in, memories);
            for (uint32_t i = in.word(); i > 0; --i) {
                uint32_t place = in.word(), len = in.word();
                double error = worst_error(memories[place], in.take(len));
                worst = std::max(worst, error);
                if (error > kTolerance) {
                    printf("FAILED %s: memory %u is off by %.1e\n", name.c_str(), place, error);
                    ++failed;
                }
            }
            ++steps;
        }
    }
    for (auto& [name, kernel] : kernels) {
        if (kernel.launches == 0) printf("FAILED no case launches %s\n", name.c_str()), ++failed;
    }
    printf("%zu steps, %zu kernels, worst error %.1e, %zu failures\n", steps, kernels.size(), worst, failed);
    return steps == 0 || failed > 0;
}
