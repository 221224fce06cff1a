// The report, and how errors are remembered.
#include "state.h"

#include <cxxabi.h>

#include <sstream>

#include "../device.h"

namespace state {

namespace {

thread_local int last_error = kSuccess;

std::string demangled(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string found = status == 0 ? text : name;
  std::free(text);
  return found;
}

}  // namespace

State& get() {
  static State* state = new State;
  return *state;
}

void note(const char* section, const std::string& name, size_t bytes) {
  State& state = get();
  std::lock_guard<std::mutex> guard(state.mutex);
  Tally& tally = state.sections[section][name];
  tally.count += 1;
  tally.bytes += bytes;
}

int fail(Error error) {
  last_error = error;
  return error;
}

int usable() {
  if (device::driver() < device::kRuntimeVersion) return fail(kInsufficientDriver);
  if (device::count() < 1) return fail(kNoDevice);
  return kSuccess;
}

}  // namespace state

extern "C" {

void fake_cuda_note(const char* section, const char* name) { state::note(section, name); }

void fake_cuda_reset() {
  state::State& state = state::get();
  std::lock_guard<std::mutex> guard(state.mutex);
  state.sections.clear();
  state.streams.clear();
  state.peak_bytes = state.live_bytes;
}

// Lines of section, name, count and bytes with tabs between; valid until the thread's next call.
const char* fake_cuda_report() {
  static thread_local std::string report;
  std::ostringstream lines;
  state::State& state = state::get();
  std::lock_guard<std::mutex> guard(state.mutex);
  for (const auto& [section, tallies] : state.sections) {
    for (const auto& [name, tally] : tallies) {
      lines << section << '\t' << (section == "launch" ? state::demangled(name) : name) << '\t'
            << tally.count << '\t' << tally.bytes << '\n';
    }
  }
  lines << "memory\tlive\t0\t" << state.live_bytes << '\n';
  lines << "memory\tpeak\t0\t" << state.peak_bytes << '\n';
  lines << "streams\tlaunched on\t" << state.streams.size() << "\t0\n";
  report = lines.str();
  return report.c_str();
}

int cudaGetLastError() {
  int error = state::last_error;
  state::last_error = state::kSuccess;
  return error;
}

int cudaPeekAtLastError() { return state::last_error; }

const char* cudaGetErrorName(int error) {
  switch (error) {
    case state::kSuccess: return "cudaSuccess";
    case state::kInvalidValue: return "cudaErrorInvalidValue";
    case state::kMemoryAllocation: return "cudaErrorMemoryAllocation";
    case state::kInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case state::kInsufficientDriver: return "cudaErrorInsufficientDriver";
    case state::kInvalidDeviceFunction: return "cudaErrorInvalidDeviceFunction";
    case state::kNoDevice: return "cudaErrorNoDevice";
    case state::kInvalidDevice: return "cudaErrorInvalidDevice";
    case state::kNoKernelImageForDevice: return "cudaErrorNoKernelImageForDevice";
    case state::kNotSupported: return "cudaErrorNotSupported";
    default: return "cudaErrorUnknown";
  }
}

// In the words of the real one.
const char* cudaGetErrorString(int error) {
  switch (error) {
    case state::kSuccess: return "no error";
    case state::kInvalidValue: return "invalid argument";
    case state::kMemoryAllocation: return "out of memory";
    case state::kInvalidConfiguration: return "invalid configuration argument";
    case state::kInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case state::kInvalidDeviceFunction: return "invalid device function";
    case state::kNoDevice: return "no CUDA-capable device is detected";
    case state::kInvalidDevice: return "invalid device ordinal";
    case state::kNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case state::kNotSupported: return "operation not supported";
    default: return "unknown error";
  }
}

}  // extern "C"
