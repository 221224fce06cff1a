// libcuda: what a program asks the driver before it opens a session.
#include <cstring>

#include "device.h"

namespace {

constexpr int kNoDevice = 100;
constexpr int kInvalidDevice = 101;
constexpr int kInvalidValue = 1;

int check_ordinal(int ordinal) {
  return 0 <= ordinal && ordinal < device::count() ? 0 : kInvalidDevice;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return device::count() < 1 ? kNoDevice : 0; }

int cuDriverGetVersion(int* version) {
  *version = device::driver();
  return 0;
}

int cuDeviceGetCount(int* count) {
  *count = device::count();
  return 0;
}

int cuDeviceGet(int* handle, int ordinal) {
  *handle = ordinal;
  return check_ordinal(ordinal);
}

int cuDeviceGetName(char* name, int length, int ordinal) {
  if (length < 1) return kInvalidValue;
  std::strncpy(name, device::kName, static_cast<size_t>(length));
  name[length - 1] = '\0';
  return check_ordinal(ordinal);
}

int cuDeviceTotalMem_v2(size_t* bytes, int ordinal) {
  *bytes = device::memory();
  return check_ordinal(ordinal);
}

int cuDeviceGetAttribute(int* value, int attribute, int ordinal) {
  switch (attribute) {
    case 16: *value = device::kMultiprocessors; break;
    case 75: *value = device::capability().major; break;
    case 76: *value = device::capability().minor; break;
    default: return kInvalidValue;
  }
  return check_ordinal(ordinal);
}

int cuGetErrorName(int error, const char** name) {
  *name = error == kNoDevice ? "CUDA_ERROR_NO_DEVICE" : error ? "CUDA_ERROR" : "CUDA_SUCCESS";
  return 0;
}

int cuGetErrorString(int error, const char** text) {
  *text = error == kNoDevice ? "no CUDA-capable device is detected" : error ? "error" : "no error";
  return 0;
}

int cuTensorMapEncodeTiled(...) { return 0; }

}  // extern "C"
