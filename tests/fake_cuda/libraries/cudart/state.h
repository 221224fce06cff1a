// What has happened on the fake device since the last reset, and what lives on it.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace state {

// Numbers of cudaError_t.
enum Error : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kMemoryAllocation = 2,
  kInvalidConfiguration = 9,
  kInsufficientDriver = 35,
  kInvalidDeviceFunction = 98,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kNoKernelImageForDevice = 209,
  kNotSupported = 801,
};

struct Tally {
  long count = 0;
  size_t bytes = 0;
};

struct State {
  std::mutex mutex;
  std::map<std::string, std::map<std::string, Tally>> sections;
  std::set<const void*> streams;  // that kernels were launched on
  size_t live_bytes = 0;
  size_t peak_bytes = 0;
};

// Made at the first use and never destroyed: programs register kernels before main() and free
// memory after it.
State& get();

// One more of `name` in a section of the report: launch, computation, copy, call, stub.
void note(const char* section, const std::string& name, size_t bytes = 0);

// Error as the result of a call, kept for cudaGetLastError().
int fail(Error error);

// kSuccess if the driver is new enough and there is a device; else what every call answers.
int usable();

// Whether the device may read and write there: memory of its own, or pinned memory of the host.
bool reaches(const void* address, size_t bytes);

}  // namespace state

// A call that is counted under its own name.
#define NOTE_CALL() state::note("call", __func__)
