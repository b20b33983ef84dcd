// Stands in for CUDA's header of this name: what the kernels use of it, on the emulator of simt.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "simt.h"

#define STYLECLIP_SIMT 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __syncthreads() simt::barrier(__FILE__, __LINE__)

struct CUstream_st;
using cudaStream_t = CUstream_st*;

extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };

struct cudaLaunchAttribute;

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace simt {
inline std::string launch_error;
}  // namespace simt

enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone = 0 };
inline cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : simt::launch_error.c_str();
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  simt::launch_error = simt::launch(config->gridDim, config->blockDim, config->dynamicSmemBytes,
                                    [&] { kernel(static_cast<Parameters>(arguments)...); });
  return simt::launch_error.empty() ? cudaSuccess : cudaErrorInvalidConfiguration;
}

using std::max;
using std::min;

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  return simt::shuffle_any(value, simt::lane() ^ static_cast<unsigned>(lane_mask), mask);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  return simt::shuffle_any(value, simt::lane() + delta, mask);
}
