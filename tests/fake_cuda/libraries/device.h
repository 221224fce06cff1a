// What the fake device is: an H100 with 80 GB, unless the environment says otherwise. Every library
// includes this file and needs no other of them, as the real ones do not.
#pragma once

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace device {

constexpr int kMultiprocessors = 132;
constexpr int kWarp = 32;
constexpr int kThreadsPerBlock = 1024;
constexpr int kThreadsPerMultiprocessor = 2048;
constexpr int kBlocksPerMultiprocessor = 32;
constexpr int kRegisters = 65536;
constexpr int kSharedPerBlock = 48 << 10;
constexpr int kSharedPerBlockOptIn = 227 << 10;
constexpr int kSharedPerMultiprocessor = 228 << 10;
constexpr int kL2Bytes = 50 << 20;
constexpr int kRuntimeVersion = 13000;  // of the libraries that these stand for
constexpr const char* kName = "Fake H100";

inline long long setting(const char* variable, long long otherwise) {
  const char* value = std::getenv(variable);
  return value && *value ? std::atoll(value) : otherwise;
}

inline int count() { return static_cast<int>(setting("FAKE_CUDA_DEVICES", 1)); }

// 13000 means 13.0, the newest CUDA that the driver knows.
inline int driver() { return static_cast<int>(setting("FAKE_CUDA_DRIVER", 13000)); }

inline size_t memory() { return static_cast<size_t>(setting("FAKE_CUDA_MEMORY", 80LL << 30)); }

// How long the program waits for the device each time that it does; 0 if it never has to.
inline long long busy_microseconds() { return setting("FAKE_CUDA_BUSY_MICROSECONDS", 0); }

struct Capability {
  int major = 9;
  int minor = 0;
};

inline Capability capability() {
  Capability found;
  if (const char* value = std::getenv("FAKE_CUDA_CAPABILITY")) {
    std::sscanf(value, "%d.%d", &found.major, &found.minor);
  }
  return found;
}

// What the other libraries do goes into the one report, which is in libcudart.
inline void note(const char* section, const char* name) {
  using Note = void (*)(const char*, const char*);
  static const Note note = [] {
    void* runtime = dlopen("libcudart.so.13", RTLD_LAZY | RTLD_NOLOAD);
    return reinterpret_cast<Note>(runtime ? dlsym(runtime, "fake_cuda_note") : nullptr);
  }();
  if (note) note(section, name);
}

}  // namespace device
