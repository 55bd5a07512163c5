// Runs the steps that the example `cuda_cases` wrote on the kernels compiled for the processor, each argument in
// memory of its own that ends where its region ends, and compares all memories with what the portable CPU kernels
// left of them. Fails if a number is off, or if a kernel was never launched. Whether maps are in single precision or in
// bf16 is what the kernels were compiled for.
#define CUDA_ON_CPU_MAIN
#include "kernels_on_cpu.h"
#include "products.h"

#include <algorithm>
#include <tuple>

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

// Numbers as they are stored.
struct Memory {
    size_t number_bytes;
    std::vector<unsigned char> bytes;

    Memory(bool holds_values, const std::vector<uint32_t>& words)
        : number_bytes(holds_values ? sizeof(Value) : sizeof(float)), bytes(words.size() * number_bytes) {
        // Of a number that bf16 has, the upper half.
        size_t skipped = sizeof(float) - number_bytes;
        for (size_t i = 0; i < words.size(); ++i) {
            auto word = reinterpret_cast<const unsigned char*>(&words[i]);
            memcpy(&bytes[i * number_bytes], word + skipped, number_bytes);
        }
    }
    size_t size() const { return bytes.size() / number_bytes; }
    uint32_t word(size_t i) const {
        uint32_t word = 0;
        memcpy(reinterpret_cast<unsigned char*>(&word) + sizeof(float) - number_bytes, &bytes[i * number_bytes], number_bytes);
        return word;
    }
};

using Memories = std::map<uint32_t, Memory>;

// Copies of the regions that one command touches, put back when it is done. One of 16 bytes' alignment keeps it.
class Lent {
public:
    explicit Lent(Memories& memories) : memories_(memories) {}
    void* lend(Region region) {
        auto& copy = copies_[region];
        Span span = span_of(region);
        if (!copy) {
            auto& memory = memories_.at(region.place);
            if (region.start + region.len > memory.size()) {
                fprintf(stderr, "%s: a region ends behind its memory\n", on_cpu::machine.kernel);
                exit(2);
            }
            // Aligned as the region is, no longer than it is.
            copy.reset(static_cast<unsigned char*>(aligned_alloc(16, span.whole)));
            memcpy(copy.get() + span.lead, memory.bytes.data() + span.start, span.len);
#if defined(__SANITIZE_ADDRESS__)
            ASAN_POISON_MEMORY_REGION(copy.get() + span.lead + span.len, span.whole - span.lead - span.len);
#endif
        }
        return copy.get() + span.lead;
    }
    bool holds_bf16(Region region) const { return memories_.at(region.place).number_bytes == 2; }
    ~Lent() {
        for (auto& [region, copy] : copies_) {
            Span span = span_of(region);
            memcpy(memories_.at(region.place).bytes.data() + span.start, copy.get() + span.lead, span.len);
#if defined(__SANITIZE_ADDRESS__)
            ASAN_UNPOISON_MEMORY_REGION(copy.get(), span.whole);
#endif
        }
    }

private:
    struct Free {
        void operator()(unsigned char* memory) const { free(memory); }
    };
    // Bytes: where a region starts and how long it is, what its copy has before it, and how long that is altogether.
    struct Span {
        size_t start, len, lead, whole;
    };
    Span span_of(Region region) const {
        size_t bytes = memories_.at(region.place).number_bytes;
        size_t start = region.start * bytes, len = region.len * bytes, lead = start % 16;
        return {start, len, lead, (lead + len + 15) / 16 * 16};
    }
    Memories& memories_;
    std::map<Region, std::unique_ptr<unsigned char, Free>> copies_;
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
    on_cpu::Kernel& kernel = found->second;
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
            void* address = lent.lend(read_region(in));
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
    Side sides[3];
    on_cpu::machine.kernel = "a product";
    for (Side& side : sides) {
        Region region = read_region(in);
        side.data = lent.lend(region);
        side.is_bf16 = lent.holds_bf16(region);
        side.row = in.word();
        side.is_transposed = in.word();
        side.stride = in.word();
    }
    bool is_done = multiply_matrices(m, n, k, batch, sides[0], sides[1], sides[2], 1.0f, accumulate ? 1.0f : 0.0f);
    if (!is_done) fprintf(stderr, "cuBLAS has no product of such sides\n"), exit(2);
}

static float number(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The error of the worst number, of the largest that was expected, behind the part `of_itself` that each may have.
static double worst_error(const Memory& found, const std::vector<uint32_t>& expected, double of_itself) {
    double worst = 0.0, largest = 1e-3;
    for (size_t i = 0; i < found.size(); ++i) {
        float a = number(found.word(i)), b = number(expected[i]);
        if (found.word(i) == expected[i] || (a != a && b != b)) continue;
        double error = std::fabs(static_cast<double>(a) - b) - of_itself * std::fabs(b);
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
    // By what is allowed.
    std::map<std::pair<float, float>, double> worst;
    for (int file = 1; file < count; ++file) {
        Reader in = read_file(paths[file]);
        while (in.at < in.words.size()) {
            std::string name = in.text();
            Memories memories;
            for (uint32_t i = in.word(); i > 0; --i) {
                uint32_t place = in.word(), holds_values = in.word(), len = in.word();
                memories.insert_or_assign(place, Memory(holds_values, in.take(len)));
            }
            for (uint32_t i = in.word(); i > 0; --i) in.word() == 0 ? run_launch(in, memories) : run_product(in, memories);
            for (uint32_t i = in.word(); i > 0; --i) {
                uint32_t place = in.word();
                float of_itself = number(in.word()), of_largest = number(in.word());
                uint32_t len = in.word();
                double error = worst_error(memories.at(place), in.take(len), of_itself);
                double& category = worst[{of_itself, of_largest}];
                category = std::max(category, error);
                if (error > of_largest) {
                    printf("FAILED %s: memory %u is off by %.1e of the largest\n", name.c_str(), place, error);
                    ++failed;
                }
            }
            ++steps;
        }
    }
    for (auto& [name, kernel] : kernels) {
        if (kernel.launches == 0) printf("FAILED no case launches %s\n", name.c_str()), ++failed;
    }
    printf("%zu steps, %zu kernels, %zu failures; worst errors:\n", steps, kernels.size(), failed);
    for (auto& [allowed, error] : worst) {
        auto [of_itself, of_largest] = allowed;
        printf("  %.1e of the largest beside %.1e of each, where %.1e is allowed\n", error, of_itself, of_largest);
    }
    return steps == 0 || failed > 0;
}
