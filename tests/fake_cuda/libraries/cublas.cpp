// libcublas: computations are counted by name and compute nothing.
#include <cstdlib>

#include "device.h"

#define COMPUTATION(name)                \
  int name(...) {                        \
    device::note("computation", #name);  \
    return 0;                            \
  }

extern "C" {

int cublasCreate_v2(void** handle) {
  *handle = std::malloc(1);
  return 0;
}

int cublasDestroy_v2(void* handle) {
  std::free(handle);
  return 0;
}

int cublasGetMathMode(void*, int* mode) {
  *mode = 0;  // CUBLAS_DEFAULT_MATH
  return 0;
}

int cublasSetMathMode(void*, int) { return 0; }
int cublasSetStream_v2(void*, void*) { return 0; }
const char* cublasGetStatusName(int) { return "status of the fake cuBLAS"; }
const char* cublasGetStatusString(int) { return "status of the fake cuBLAS"; }

COMPUTATION(cublasSgemm_v2)
COMPUTATION(cublasDgemm_v2)
COMPUTATION(cublasGemmEx)
COMPUTATION(cublasSgemmBatched)
COMPUTATION(cublasDgemmBatched)
COMPUTATION(cublasGemmBatchedEx)
COMPUTATION(cublasSgemmStridedBatched)
COMPUTATION(cublasDgemmStridedBatched)
COMPUTATION(cublasGemmStridedBatchedEx)
COMPUTATION(cublasSgeam)
COMPUTATION(cublasDgeam)
COMPUTATION(cublasSgetrfBatched)
COMPUTATION(cublasDgetrfBatched)
COMPUTATION(cublasSgetriBatched)
COMPUTATION(cublasDgetriBatched)
COMPUTATION(cublasScopy_v2)
COMPUTATION(cublasSscal_v2)

}  // extern "C"
