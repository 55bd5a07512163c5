// A stand-in for NCCL, libnccl.so, for tests: sums and means over the cards of one process, whose streams wait for each
// other as they would.
#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "on_stream.h"

#define API extern "C" __attribute__((visibility("default"))) int

namespace {

enum Result { kSuccess = 0, kInvalidArgument = 4, kInvalidUsage = 5 };
constexpr int kFloat = 7, kAverage = 4;

// What all communicators that were made together have in common.
struct Clique {
    int cards;
};
struct Communicator {
    Clique* clique;
    int rank;
};
struct Call {
    const float* from;
    float* to;
    size_t count;
    void* stream;
};
// The calls of each communicator since the group has begun, in order.
std::map<Communicator*, std::vector<Call>> calls;
bool is_grouped = false;

// Each stream waits until all have come as far; then the first to run computes the means for all.
void enqueue(const std::vector<Call>& all) {
    struct Meeting {
        std::vector<Call> calls;
        std::vector<size_t> ends;
        bool is_done = false;
    };
    auto meeting = std::make_shared<Meeting>();
    meeting->calls = all;
    for (const Call& call : all) meeting->ends.push_back(end_of_stream(call.stream));
    for (const Call& call : all) {
        (void)call;
        on_stream(call.stream, [meeting] {
            if (meeting->is_done) return;
            meeting->is_done = true;
            auto& calls = meeting->calls;
            for (size_t i = 0; i < calls.size(); ++i) run_stream_until(calls[i].stream, meeting->ends[i]);
            for (size_t at = 0; at < calls[0].count; ++at) {
                double sum = 0.0;
                for (const Call& call : calls) sum += call.from[at];
                for (const Call& call : calls) call.to[at] = static_cast<float>(sum / calls.size());
            }
        });
    }
}

}  // namespace

API ncclCommInitAll(void** to, int cards, const int*) {
    auto clique = new Clique{cards};
    for (int rank = 0; rank < cards; ++rank) to[rank] = new Communicator{clique, rank};
    return kSuccess;
}
API ncclCommDestroy(void* communicator) {
    delete static_cast<Communicator*>(communicator);
    return kSuccess;
}
API ncclGroupStart() {
    if (is_grouped) return kInvalidUsage;
    is_grouped = true;
    return kSuccess;
}
API ncclAllReduce(const void* from, void* to, size_t count, int type, int operation, void* communicator, void* stream) {
    if (!is_grouped) return kInvalidUsage;
    if (type != kFloat || operation != kAverage) return kInvalidArgument;
    calls[static_cast<Communicator*>(communicator)].push_back(
        {static_cast<const float*>(from), static_cast<float*>(to), count, stream});
    return kSuccess;
}
API ncclGroupEnd() {
    if (!is_grouped) return kInvalidUsage;
    is_grouped = false;
    auto all = std::move(calls);
    calls.clear();
    if (all.empty()) return kSuccess;
    size_t cards = all.begin()->first->clique->cards, count = all.begin()->second.size();
    // Every card must have made the same calls, or they would wait for each other for ever.
    if (all.size() != cards) return kInvalidUsage;
    for (size_t i = 0; i < count; ++i) {
        std::vector<Call> met;
        for (auto& [communicator, own] : all) {
            if (own.size() != count || own[i].count != all.begin()->second[i].count) return kInvalidUsage;
            met.push_back(own[i]);
        }
        enqueue(met);
    }
    return kSuccess;
}
