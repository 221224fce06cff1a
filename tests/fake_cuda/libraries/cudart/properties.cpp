// What the runtime says of the device and of itself.
#include <cstddef>
#include <cstring>

#include "../device.h"
#include "state.h"

namespace {

// cudaDeviceProp of CUDA 13, with the fields that are filled under their own names.
struct DeviceProperties {
  char name[256];
  char uuid[16];
  char luid[8];
  unsigned luidDeviceNodeMask;
  size_t totalGlobalMem;
  size_t sharedMemPerBlock;
  int regsPerBlock;
  int warpSize;
  size_t memPitch;
  int maxThreadsPerBlock;
  int maxThreadsDim[3];
  int maxGridSize[3];
  size_t totalConstMem;
  int major;
  int minor;
  size_t textureAlignment;
  size_t texturePitchAlignment;
  int multiProcessorCount;
  int integrated;
  int canMapHostMemory;
  int textures[39];  // sizes of textures and surfaces
  size_t surfaceAlignment;
  int concurrentKernels;
  int ECCEnabled;
  int pciIds[3];
  int tccDriver;
  int asyncEngineCount;
  int unifiedAddressing;
  int memoryBusWidth;
  int l2CacheSize;
  int persistingL2CacheMaxSize;
  int maxThreadsPerMultiProcessor;
  int streamPrioritiesSupported;
  int globalL1CacheSupported;
  int localL1CacheSupported;
  size_t sharedMemPerMultiprocessor;
  int regsPerMultiprocessor;
  int managedMemory;
  int hostAccess[7];
  int cooperativeLaunch;
  size_t sharedMemPerBlockOptin;
  int hostPageTables[2];
  int maxBlocksPerMultiProcessor;
  int accessPolicyMaxWindowSize;
  size_t reservedSharedMemPerBlock;
  int hostRegistration[4];
  int memoryPoolsSupported;
  int directAccess[6];
  int clusterLaunch;
  int unifiedFunctionPointers;
  int more[63];
};
// Measured with the headers of 13.0 and 13.5.
static_assert(offsetof(DeviceProperties, totalGlobalMem) == 288);
static_assert(offsetof(DeviceProperties, major) == 360);
static_assert(offsetof(DeviceProperties, multiProcessorCount) == 384);
static_assert(offsetof(DeviceProperties, l2CacheSize) == 596);
static_assert(offsetof(DeviceProperties, sharedMemPerMultiprocessor) == 624);
static_assert(offsetof(DeviceProperties, sharedMemPerBlockOptin) == 672);
static_assert(offsetof(DeviceProperties, memoryPoolsSupported) == 720);
static_assert(offsetof(DeviceProperties, clusterLaunch) == 748);
static_assert(sizeof(DeviceProperties) == 1008);

thread_local int current = 0;

int check_ordinal(int ordinal) {
  if (int error = state::usable()) return error;
  const bool known = 0 <= ordinal && ordinal < device::count();
  return known ? state::kSuccess : state::fail(state::kInvalidDevice);
}

}  // namespace

extern "C" {

int cudaDriverGetVersion(int* version) {
  *version = device::driver();
  return state::kSuccess;
}

int cudaRuntimeGetVersion(int* version) {
  *version = device::kRuntimeVersion;
  return state::kSuccess;
}

int cudaGetDeviceCount(int* count) {
  *count = 0;
  if (int error = state::usable()) return error;
  *count = device::count();
  return state::kSuccess;
}

int cudaGetDevice(int* ordinal) {
  if (int error = state::usable()) return error;
  *ordinal = current;
  return state::kSuccess;
}

int cudaSetDevice(int ordinal) {
  if (int error = check_ordinal(ordinal)) return error;
  current = ordinal;
  return state::kSuccess;
}

int cudaGetDeviceProperties(DeviceProperties* properties, int ordinal) {
  if (int error = check_ordinal(ordinal)) return error;
  *properties = {};
  std::strcpy(properties->name, device::kName);
  properties->totalGlobalMem = device::memory();
  properties->sharedMemPerBlock = device::kSharedPerBlock;
  properties->regsPerBlock = device::kRegisters;
  properties->warpSize = device::kWarp;
  properties->maxThreadsPerBlock = device::kThreadsPerBlock;
  const int threads[3] = {1024, 1024, 64}, grid[3] = {2147483647, 65535, 65535};
  std::memcpy(properties->maxThreadsDim, threads, sizeof threads);
  std::memcpy(properties->maxGridSize, grid, sizeof grid);
  properties->totalConstMem = 64 << 10;
  properties->major = device::capability().major;
  properties->minor = device::capability().minor;
  properties->textureAlignment = 512;
  properties->multiProcessorCount = device::kMultiprocessors;
  properties->canMapHostMemory = 1;
  properties->concurrentKernels = 1;
  properties->asyncEngineCount = 3;
  properties->unifiedAddressing = 1;
  properties->l2CacheSize = device::kL2Bytes;
  properties->maxThreadsPerMultiProcessor = device::kThreadsPerMultiprocessor;
  properties->sharedMemPerMultiprocessor = device::kSharedPerMultiprocessor;
  properties->regsPerMultiprocessor = device::kRegisters;
  properties->managedMemory = 1;
  properties->cooperativeLaunch = 1;
  properties->sharedMemPerBlockOptin = device::kSharedPerBlockOptIn;
  properties->maxBlocksPerMultiProcessor = device::kBlocksPerMultiprocessor;
  properties->reservedSharedMemPerBlock = 1 << 10;
  properties->memoryPoolsSupported = 1;
  properties->clusterLaunch = 1;
  return state::kSuccess;
}

// Numbers of cudaDeviceAttr; what is not known here is an error, not a guess.
int cudaDeviceGetAttribute(int* value, int attribute, int ordinal) {
  if (int error = check_ordinal(ordinal)) return error;
  switch (attribute) {
    case 1: *value = device::kThreadsPerBlock; break;
    case 2: case 3: *value = 1024; break;  // threads of a block along x and y
    case 4: *value = 64; break;            // along z
    case 5: *value = 2147483647; break;    // blocks of a grid along x
    case 6: case 7: *value = 65535; break;  // along y and z
    case 8: *value = device::kSharedPerBlock; break;
    case 10: *value = device::kWarp; break;
    case 12: *value = device::kRegisters; break;
    case 16: *value = device::kMultiprocessors; break;
    case 38: *value = device::kL2Bytes; break;
    case 39: *value = device::kThreadsPerMultiprocessor; break;
    case 75: *value = device::capability().major; break;
    case 76: *value = device::capability().minor; break;
    case 81: *value = device::kSharedPerMultiprocessor; break;
    case 82: *value = device::kRegisters; break;
    case 83: *value = 1; break;  // managed memory
    case 95: *value = 1; break;  // cooperative launches
    case 97: *value = device::kSharedPerBlockOptIn; break;
    case 106: *value = device::kBlocksPerMultiprocessor; break;
    case 111: *value = 1 << 10; break;  // shared memory that the system takes of each block
    case 115: *value = 1; break;        // memory pools
    case 120: *value = 1; break;        // launches of clusters
    default:
      state::note("stub", "cudaDeviceGetAttribute " + std::to_string(attribute));
      return state::fail(state::kInvalidValue);
  }
  return state::kSuccess;
}

// Functions of the driver that the runtime would look up: there are none.
int cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                     unsigned long long, int* found) {
  state::note("call", std::string("cudaGetDriverEntryPointByVersion ") + name);
  *function = nullptr;
  if (found) *found = 1;  // cudaDriverEntryPointSymbolNotFound
  return state::kSuccess;
}

}  // extern "C"
