// Kernels are known by name and by the chips that their machine code is for. A launch is counted
// and does nothing; one that the device would refuse is refused.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../device.h"
#include "state.h"

namespace {

struct Dim3 {
  unsigned x, y, z;
};

struct Image {
  bool machine_code;  // else PTX, which is compiled for any newer chip
  int architecture;   // 90 for 9.0
};
using Images = std::vector<Image>;

struct Kernel {
  std::string name;
  const Images* images;
};

// From the address that stands for a kernel; under the mutex of the state.
std::map<const void*, Kernel>& kernels() {
  static auto* kernels = new std::map<const void*, Kernel>;
  return *kernels;
}

template <typename Number>
Number read(const char* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

// The chips that a fat binary serves: a header of its size, then one header before each image.
// NVIDIA documents neither; load_tests/gpu/shrink.py reads the same.
Images images_of(const char* binary) {
  constexpr uint32_t kMagic = 0xBA55ED50;
  Images images;
  if (read<uint32_t>(binary) != kMagic) return images;
  const char* image = binary + read<uint16_t>(binary + 6);
  const char* end = image + read<uint64_t>(binary + 8);
  while (image < end) {
    const int kind = read<uint16_t>(image);  // 1 PTX, 2 machine code
    const int architecture = static_cast<int>(read<uint32_t>(image + 28));
    if (kind == 1 || kind == 2) images.push_back({kind == 2, architecture});
    image += read<uint32_t>(image + 4) + read<uint64_t>(image + 8);
  }
  return images;
}

// Machine code runs on chips of its own major number that are no older.
bool serves(const Images& images) {
  const device::Capability chip = device::capability();
  const int architecture = 10 * chip.major + chip.minor;
  for (const Image& image : images) {
    if (image.architecture > architecture) continue;
    if (!image.machine_code || image.architecture / 10 == chip.major) return true;
  }
  return images.empty();  // no fat binary: not known
}

bool fits(Dim3 grid, Dim3 block, size_t shared) {
  const auto within = [](unsigned value, unsigned most) { return 1 <= value && value <= most; };
  return within(grid.x, 2147483647) && within(grid.y, 65535) && within(grid.z, 65535) &&
         within(block.x, 1024) && within(block.y, 1024) && within(block.z, 64) &&
         block.x * block.y * block.z <= device::kThreadsPerBlock &&
         shared <= device::kSharedPerBlockOptIn;
}

int launch(const void* function, Dim3 grid, Dim3 block, size_t shared, const void* stream) {
  state::State& state = state::get();
  std::string name;
  {
    std::lock_guard<std::mutex> guard(state.mutex);
    auto found = kernels().find(function);
    if (found == kernels().end()) return state::fail(state::kInvalidDeviceFunction);
    if (!serves(*found->second.images)) return state::fail(state::kNoKernelImageForDevice);
    if (!fits(grid, block, shared)) return state::fail(state::kInvalidConfiguration);
    name = found->second.name;
    state.streams.insert(stream);
  }
  state::note("launch", name);
  return state::kSuccess;
}

struct LaunchConfiguration {  // cudaLaunchConfig_t
  Dim3 grid, block;
  size_t shared;
  void* stream;
  void* attributes;
  unsigned attribute_count;
};

struct FunctionAttributes {  // cudaFuncAttributes of CUDA 13
  size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
  int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, cacheModeCA;
  int maxDynamicSharedSizeBytes;
  int more[24];
};
static_assert(sizeof(FunctionAttributes) == 144);

struct Binary {  // what a compiled file hands to __cudaRegisterFatBinary
  int magic, version;
  const char* data;
  void* more;
};

struct Call {
  Dim3 grid, block;
  size_t shared;
  void* stream;
};
thread_local std::vector<Call> calls;  // of <<<…>>>, until its kernel is launched

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(const Binary* binary) {
  return reinterpret_cast<void**>(new Images(images_of(binary->data)));
}

void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

void __cudaRegisterFunction(void** images, const char* function, char*, const char* name, int,
                            void*, void*, void*, void*, int*) {
  std::lock_guard<std::mutex> guard(state::get().mutex);
  kernels()[function] = {name, reinterpret_cast<const Images*>(images)};
}

int __cudaGetKernel(const void** kernel, const void* function) {
  *kernel = function;
  return state::kSuccess;
}

int cudaLibraryLoadData(void** library, const char* code, void*, void*, unsigned, void*, void*,
                        unsigned) {
  *library = new Images(images_of(code));
  return state::kSuccess;
}

int cudaLibraryGetKernel(void** kernel, void* library, const char* name) {
  *kernel = std::malloc(1);
  std::lock_guard<std::mutex> guard(state::get().mutex);
  kernels()[*kernel] = {name, static_cast<const Images*>(library)};
  return state::kSuccess;
}

int cudaLibraryUnload(void*) { return state::kSuccess; }

unsigned __cudaPushCallConfiguration(Dim3 grid, Dim3 block, size_t shared, void* stream) {
  calls.push_back({grid, block, shared, stream});
  return 0;
}

int __cudaPopCallConfiguration(Dim3* grid, Dim3* block, size_t* shared, void** stream) {
  if (calls.empty()) return state::fail(state::kInvalidConfiguration);
  const Call call = calls.back();
  calls.pop_back();
  *grid = call.grid;
  *block = call.block;
  *shared = call.shared;
  *stream = call.stream;
  return state::kSuccess;
}

int cudaLaunchKernel(const void* function, Dim3 grid, Dim3 block, void**, size_t shared,
                     void* stream) {
  return launch(function, grid, block, shared, stream);
}

int __cudaLaunchKernel(const void* kernel, Dim3 grid, Dim3 block, void**, size_t shared,
                       void* stream) {
  return launch(kernel, grid, block, shared, stream);
}

int cudaLaunchCooperativeKernel(const void* function, Dim3 grid, Dim3 block, void**, size_t shared,
                                void* stream) {
  return launch(function, grid, block, shared, stream);
}

int cudaLaunchKernelExC(const LaunchConfiguration* configuration, const void* function, void**) {
  return launch(function, configuration->grid, configuration->block, configuration->shared,
                configuration->stream);
}

// Those of a kernel of middling size; the real ones stand in its machine code.
int cudaFuncGetAttributes(FunctionAttributes* attributes, const void* function) {
  std::lock_guard<std::mutex> guard(state::get().mutex);
  auto found = kernels().find(function);
  if (found == kernels().end()) return state::fail(state::kInvalidDeviceFunction);
  if (!serves(*found->second.images)) return state::fail(state::kNoKernelImageForDevice);
  const device::Capability chip = device::capability();
  *attributes = {};
  attributes->maxThreadsPerBlock = device::kThreadsPerBlock;
  attributes->numRegs = 32;
  attributes->ptxVersion = attributes->binaryVersion = 10 * chip.major + chip.minor;
  attributes->maxDynamicSharedSizeBytes = device::kSharedPerBlock;
  return state::kSuccess;
}

int cudaFuncSetAttribute(const void*, int, int) { return state::kSuccess; }
int cudaKernelSetAttributeForDevice(void*, int, int, int) { return state::kSuccess; }

int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int threads,
                                                           size_t shared, unsigned) {
  if (threads < 1) return state::fail(state::kInvalidValue);
  const auto lower = [blocks](int most) { *blocks = most < *blocks ? most : *blocks; };
  *blocks = device::kBlocksPerMultiprocessor;
  lower(device::kThreadsPerMultiprocessor / threads);
  lower(static_cast<int>(device::kSharedPerMultiprocessor / (shared + (1 << 10))));
  return state::kSuccess;
}

}  // extern "C"
