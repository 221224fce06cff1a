// Streams, events and graphs are handles: everything has happened when a call returns. What waits
// for the device is counted, because on a real one it takes time.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>

#include "../device.h"
#include "state.h"

namespace {

struct Stream {
  bool capturing = false;
};

// None where a handle is one of the default streams, 0 to 2.
Stream* own(void* stream) {
  return reinterpret_cast<uintptr_t>(stream) > 2 ? static_cast<Stream*>(stream) : nullptr;
}

int create_stream(void** stream) {
  if (int error = state::usable()) return error;
  *stream = new Stream;
  return state::kSuccess;
}

void set_capturing(void* stream, bool capturing) {
  if (Stream* known = own(stream)) known->capturing = capturing;
}

int wait() {
  if (int error = state::usable()) return error;
  std::this_thread::sleep_for(std::chrono::microseconds(device::busy_microseconds()));
  return state::kSuccess;
}

int handle(void** made) {
  *made = std::malloc(1);
  return state::kSuccess;
}

int drop(void* made) {
  std::free(made);
  return state::kSuccess;
}

}  // namespace

extern "C" {

int cudaStreamCreate(void** stream) {
  NOTE_CALL();
  return create_stream(stream);
}

int cudaStreamCreateWithFlags(void** stream, unsigned) {
  NOTE_CALL();
  return create_stream(stream);
}

int cudaStreamDestroy(void* stream) {
  NOTE_CALL();
  delete own(stream);
  return state::kSuccess;
}

int cudaStreamSynchronize(void*) {
  NOTE_CALL();
  return wait();
}

int cudaDeviceSynchronize() {
  NOTE_CALL();
  return wait();
}

int cudaStreamWaitEvent(void*, void*, unsigned) {
  NOTE_CALL();
  return state::kSuccess;
}

int cudaLaunchHostFunc(void*, void (*function)(void*), void* data) {
  NOTE_CALL();
  function(data);
  return state::kSuccess;
}

int cudaEventCreate(void** event) {
  NOTE_CALL();
  return handle(event);
}

int cudaEventCreateWithFlags(void** event, unsigned) {
  NOTE_CALL();
  return handle(event);
}

int cudaEventDestroy(void* event) { return drop(event); }

int cudaEventRecord(void*, void*) {
  NOTE_CALL();
  return state::kSuccess;
}

int cudaEventRecordWithFlags(void*, void*, unsigned) {
  NOTE_CALL();
  return state::kSuccess;
}

int cudaEventSynchronize(void*) {
  NOTE_CALL();
  return wait();
}

int cudaEventQuery(void*) { return state::kSuccess; }

int cudaEventElapsedTime(float* milliseconds, void*, void*) {
  *milliseconds = 1;  // some divide by it
  return state::kSuccess;
}

int cudaStreamIsCapturing(void* stream, int* status) {
  *status = own(stream) && own(stream)->capturing;
  return state::kSuccess;
}

int cudaStreamBeginCapture(void* stream, int) {
  NOTE_CALL();
  set_capturing(stream, true);
  return state::kSuccess;
}

int cudaStreamEndCapture(void* stream, void** graph) {
  NOTE_CALL();
  set_capturing(stream, false);
  return handle(graph);
}

int cudaGraphInstantiate(void** executable, void*, unsigned long long) {
  NOTE_CALL();
  return handle(executable);
}

int cudaGraphLaunch(void*, void*) {
  NOTE_CALL();
  return state::kSuccess;
}

int cudaGraphDestroy(void* graph) { return drop(graph); }
int cudaGraphExecDestroy(void* executable) { return drop(executable); }

}  // extern "C"
