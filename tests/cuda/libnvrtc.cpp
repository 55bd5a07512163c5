// A stand-in for NVRTC, libnvrtc.so.12, for tests: it compiles nothing, and gives for any source the head of a PTX file
// that says in what the source stores maps, for the card that is asked for. CELLC_NVRTC is the version that it says to be (12040).
#include <cstdlib>
#include <cstring>
#include <string>

#define API extern "C" __attribute__((visibility("default"))) int

namespace {
std::string ptx;
const char* maps = "";
}

API nvrtcVersion(int* major, int* minor) {
    const char* text = getenv("CELLC_NVRTC");
    int version = text ? atoi(text) : 12040;
    *major = version / 1000;
    *minor = version % 1000 / 10;
    return 0;
}
API nvrtcCreateProgram(void** program, const char* source, const char*, int, const char* const*, const char* const*) {
    constexpr int kInvalidInput = 3;
    *program = &ptx;
    maps = strncmp(source, "#define CELLC_BF16\n", 19) == 0 ? "bf16" : "f32";
    return strstr(source, "KERNEL relu_forward(") ? 0 : kInvalidInput;
}
API nvrtcCompileProgram(void*, int count, const char* const* options) {
    constexpr int kInvalidOption = 5;
    constexpr char kArch[] = "--gpu-architecture=compute_";
    for (int i = 0; i < count; ++i) {
        if (strncmp(options[i], kArch, sizeof kArch - 1) == 0) {
            ptx = std::string("// no kernels for maps in ") + maps + "\n.target sm_" + (options[i] + sizeof kArch - 1);
            return 0;
        }
    }
    return kInvalidOption;
}
API nvrtcGetPTXSize(void*, size_t* size) {
    *size = ptx.size() + 1;
    return 0;
}
API nvrtcGetPTX(void*, char* to) {
    memcpy(to, ptx.c_str(), ptx.size() + 1);
    return 0;
}
API nvrtcGetProgramLogSize(void*, size_t* size) {
    *size = 1;
    return 0;
}
API nvrtcGetProgramLog(void*, char* to) {
    *to = 0;
    return 0;
}
API nvrtcDestroyProgram(void** program) {
    *program = nullptr;
    return 0;
}
