// 16-byte accesses, conversions and launches that the kernels share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "launch.h"

namespace styleclip::cuda {

#ifdef STYLECLIP_SIMT
using simt::shared_memory;
#else
// The block's dynamic shared memory.
template <class T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}
#endif

constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFF;

// Elements of T in a 16-byte access.
template <class T>
constexpr int kWide = 16 / sizeof(T);

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// V neighbours as float32.
template <int V>
struct Floats {
  float values[V];
  __device__ __forceinline__ float& operator[](int i) { return values[i]; }
  __device__ __forceinline__ const float& operator[](int i) const { return values[i]; }
};

template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T values[V];
};

// Reads V neighbours in one access; `from` is aligned to all of them.
template <int V, class T>
__device__ __forceinline__ Floats<V> load(const T* from) {
  const auto pack = *reinterpret_cast<const Pack<T, V>*>(from);
  Floats<V> out;
#pragma unroll
  for (int i = 0; i < V; ++i) out[i] = to_float(pack.values[i]);
  return out;
}

// As `load`, of float32: V may be wider than one access.
template <int V>
__device__ __forceinline__ Floats<V> load_floats(const float* from) {
  constexpr int kStep = V < 4 ? V : 4;
  Floats<V> out;
#pragma unroll
  for (int i = 0; i < V; i += kStep) {
    const auto pack = *reinterpret_cast<const Pack<float, kStep>*>(from + i);
#pragma unroll
    for (int j = 0; j < kStep; ++j) out[i + j] = pack.values[j];
  }
  return out;
}

template <int V, class T>
__device__ __forceinline__ void store(T* to, const Floats<V>& from) {
  Pack<T, V> pack;
#pragma unroll
  for (int i = 0; i < V; ++i) pack.values[i] = from_float<T>(from[i]);
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

template <int V>
__device__ __forceinline__ Floats<V> filled(float value) {
  Floats<V> out;
#pragma unroll
  for (int i = 0; i < V; ++i) out[i] = value;
  return out;
}

// V neighbours of a side input, or `otherwise` where there is none.
template <int V>
__device__ __forceinline__ Floats<V> load_or(const float* from, std::int64_t at, float otherwise) {
  return from == nullptr ? filled<V>(otherwise) : load_floats<V>(from + at);
}

// Limits to [-limit, limit]; NaN stays NaN.
__device__ __forceinline__ float clamped(float value, float limit) {
  return value < -limit ? -limit : value > limit ? limit : value;
}

// `value` as T holds it: what is clamped to a limit and stored comes back as this.
template <class T>
__device__ __forceinline__ float rounded(float value) {
  return to_float(from_float<T>(value));
}

// The sum over the warp, in every lane.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

inline bool aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
}

template <class... Parameters>
const char* launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                   Stream stream, std::type_identity_t<Parameters>... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

// V as a type, to hand it to a generic lambda.
template <int V>
using Width = std::integral_constant<int, V>;

// Calls body.operator()<T>() with the element type of `dtype`.
template <class Body>
const char* with_type(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::kFloat32:
      return body.template operator()<float>();
    case Dtype::kFloat16:
      return body.template operator()<__half>();
    case Dtype::kBFloat16:
      return body.template operator()<__nv_bfloat16>();
  }
  return "unknown dtype";
}

}  // namespace styleclip::cuda
