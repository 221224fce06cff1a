// Memory of the device is memory of the host: pages of zeros that take none until they are written,
// so that 80 GB can be had anywhere. Copies are copies; each must stay within what it may reach.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../device.h"
#include "state.h"

namespace {

enum Kind : int { kHostToHost, kHostToDevice, kDeviceToHost, kDeviceToDevice, kDefault };
constexpr const char* kKinds[] = {"host to host", "host to device", "device to host",
                                  "device to device", "default"};

struct Block {
  size_t bytes = 0;
  bool pinned = false;  // memory of the host
};

// From each address to what begins there; under the mutex of the state.
std::map<uintptr_t, Block>& blocks() {
  static auto* blocks = new std::map<uintptr_t, Block>;
  return *blocks;
}

int allocate(void** pointer, size_t bytes, bool pinned) {
  if (int error = state::usable()) return error;
  *pointer = nullptr;
  if (bytes == 0) return state::kSuccess;
  state::State& state = state::get();
  std::lock_guard<std::mutex> guard(state.mutex);
  if (!pinned && bytes > device::memory() - state.live_bytes) {
    return state::fail(state::kMemoryAllocation);
  }
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return state::fail(state::kMemoryAllocation);
  blocks()[reinterpret_cast<uintptr_t>(address)] = {bytes, pinned};
  if (!pinned) state.live_bytes += bytes;
  if (state.live_bytes > state.peak_bytes) state.peak_bytes = state.live_bytes;
  *pointer = address;
  return state::kSuccess;
}

int release(void* pointer, bool pinned) {
  if (!pointer) return state::kSuccess;
  state::State& state = state::get();
  std::lock_guard<std::mutex> guard(state.mutex);
  auto found = blocks().find(reinterpret_cast<uintptr_t>(pointer));
  if (found == blocks().end() || found->second.pinned != pinned) {
    return state::fail(state::kInvalidValue);
  }
  if (!pinned) state.live_bytes -= found->second.bytes;
  munmap(pointer, found->second.bytes);
  blocks().erase(found);
  return state::kSuccess;
}

// The block that holds an address, or none; under the mutex of the state.
const Block* block_at(const void* address, size_t bytes) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  auto after = blocks().upper_bound(wanted);
  if (after == blocks().begin()) return nullptr;
  const auto& [begin, block] = *std::prev(after);
  return wanted + bytes <= begin + block.bytes ? &block : nullptr;
}

int copy(void* to, const void* from, size_t bytes, int kind) {
  if (kind < kHostToHost || kind > kDefault) return state::fail(state::kInvalidValue);
  const bool to_device = kind == kHostToDevice || kind == kDeviceToDevice;
  const bool from_device = kind == kDeviceToHost || kind == kDeviceToDevice;
  if (bytes && ((to_device && !state::reaches(to, bytes)) ||
                (from_device && !state::reaches(from, bytes)))) {
    return state::fail(state::kInvalidValue);
  }
  state::note("copy", kKinds[kind], bytes);
  std::memmove(to, from, bytes);
  return state::kSuccess;
}

}  // namespace

namespace state {

bool reaches(const void* address, size_t bytes) {
  std::lock_guard<std::mutex> guard(get().mutex);
  return block_at(address, bytes) != nullptr;
}

}  // namespace state

extern "C" {

int cudaMalloc(void** pointer, size_t bytes) {
  NOTE_CALL();
  return allocate(pointer, bytes, false);
}

int cudaMallocFromPoolAsync(void** pointer, size_t bytes, void*, void*) {
  NOTE_CALL();
  return allocate(pointer, bytes, false);
}

int cudaFree(void* pointer) {
  NOTE_CALL();
  return release(pointer, false);
}

int cudaFreeAsync(void* pointer, void*) {
  NOTE_CALL();
  return release(pointer, false);
}

int cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  NOTE_CALL();
  return allocate(pointer, bytes, true);
}

int cudaMallocHost(void** pointer, size_t bytes) {
  NOTE_CALL();
  return allocate(pointer, bytes, true);
}

int cudaFreeHost(void* pointer) {
  NOTE_CALL();
  return release(pointer, true);
}

int cudaMemGetInfo(size_t* free, size_t* total) {
  if (int error = state::usable()) return error;
  std::lock_guard<std::mutex> guard(state::get().mutex);
  *total = device::memory();
  *free = *total - state::get().live_bytes;
  return state::kSuccess;
}

int cudaMemcpy(void* to, const void* from, size_t bytes, int kind) {
  NOTE_CALL();  // which waits for the device
  return copy(to, from, bytes, kind);
}

int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void*) {
  return copy(to, from, bytes, kind);
}

int cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                      size_t height, int kind, void*) {
  for (size_t row = 0; row < height; ++row) {
    int error = copy(static_cast<char*>(to) + row * to_pitch,
                     static_cast<const char*>(from) + row * from_pitch, width, kind);
    if (error) return error;
  }
  return state::kSuccess;
}

// Variables of kernels that never ran: zeros.
int cudaMemcpyFromSymbol(void* to, const void*, size_t bytes, size_t, int) {
  NOTE_CALL();
  std::memset(to, 0, bytes);
  return state::kSuccess;
}

int cudaMemset(void* to, int value, size_t bytes) {
  NOTE_CALL();
  if (bytes && !state::reaches(to, bytes)) return state::fail(state::kInvalidValue);
  std::memset(to, value, bytes);
  return state::kSuccess;
}

int cudaMemsetAsync(void* to, int value, size_t bytes, void*) {
  return cudaMemset(to, value, bytes);
}

struct PointerAttributes {  // cudaPointerAttributes of CUDA 13
  int type;                 // 0 unknown, 1 host, 2 device
  int device;
  void* devicePointer;
  void* hostPointer;
  long reserved[8];
};
static_assert(sizeof(PointerAttributes) == 88);

int cudaPointerGetAttributes(PointerAttributes* attributes, const void* pointer) {
  std::lock_guard<std::mutex> guard(state::get().mutex);
  *attributes = {};
  void* address = const_cast<void*>(pointer);
  if (const Block* block = block_at(pointer, 1)) {
    attributes->type = block->pinned ? 1 : 2;
    attributes->devicePointer = address;
    attributes->hostPointer = block->pinned ? address : nullptr;
  } else {
    attributes->hostPointer = address;
  }
  return state::kSuccess;
}

// Pools keep nothing: what is given back is free at once.
int cudaMemPoolCreate(void** pool, const void*) {
  NOTE_CALL();
  *pool = std::malloc(1);
  return state::kSuccess;
}

int cudaMemPoolDestroy(void* pool) {
  std::free(pool);
  return state::kSuccess;
}

int cudaMemPoolGetAttribute(void*, int, void* value) {
  *static_cast<uint64_t*>(value) = 0;
  return state::kSuccess;
}

int cudaMemPoolSetAttribute(void*, int, void*) { return state::kSuccess; }
int cudaMemPoolTrimTo(void*, size_t) { return state::kSuccess; }

}  // extern "C"
