#include "bias_act.h"
#include "vector.cuh"

namespace styleclip::cuda {
namespace {

constexpr unsigned kThreads = 256;

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    bias_act_kernel(const T* __restrict__ x, const float* __restrict__ bias, T* __restrict__ out,
                    BiasAct problem) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * V;
  if (i >= problem.elements) return;
  auto value = load<V>(x + i);
  if (bias != nullptr) {
    const std::int64_t c = i / problem.inner % problem.channels;
    // In channels-last memory neighbours are channels, otherwise they share one.
    const auto shift = problem.inner == 1 ? load_floats<V>(bias + c) : filled<V>(bias[c]);
#pragma unroll
    for (int k = 0; k < V; ++k) value[k] += shift[k];
  }
#pragma unroll
  for (int k = 0; k < V; ++k) {
    const float factor = value[k] > 0 ? problem.gain : problem.gain * problem.slope;
    value[k] = clamped(value[k] * factor, problem.clamp);
  }
  store(out + i, value);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    bias_act_backward_kernel(const T* __restrict__ grad, const T* __restrict__ out,
                             T* __restrict__ grad_x, BiasAct problem) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * V;
  if (i >= problem.elements) return;
  auto value = load<V>(grad + i);
  const auto result = load<V>(out + i);
  const float limit = rounded<T>(problem.clamp);
#pragma unroll
  for (int k = 0; k < V; ++k) {
    const float factor = result[k] > 0 ? problem.gain : problem.gain * problem.slope;
    value[k] *= fabsf(result[k]) < limit ? factor : 0.0f;
  }
  store(grad_x + i, value);
}

// Whether V neighbours from a multiple of V on never straddle two channels of a contiguous image
// nor two pixels of a channels-last one.
bool splits(const BiasAct& problem, int width) {
  return (problem.inner == 1 ? problem.channels : problem.inner) % width == 0;
}

}  // namespace

const char* bias_act(const void* x, const float* bias, void* out, const BiasAct& problem,
                     Stream stream) {
  if (problem.elements == 0) return nullptr;
  return with_type(problem.dtype, [&]<class T>() {
    const bool wide = aligned(x) && aligned(out) && problem.elements % kWide<T> == 0 &&
                      (bias == nullptr || (aligned(bias) && splits(problem, kWide<T>)));
    const auto run = [&]<int V>(Width<V>) {
      const auto blocks = static_cast<unsigned>(divide_up(problem.elements, kThreads * V));
      return launch(&bias_act_kernel<T, V>, blocks, kThreads, 0, stream, static_cast<const T*>(x),
                    bias, static_cast<T*>(out), problem);
    };
    return wide ? run(Width<kWide<T>>{}) : run(Width<1>{});
  });
}

const char* bias_act_backward(const void* grad, const void* out, void* grad_x,
                              const BiasAct& problem, Stream stream) {
  if (problem.elements == 0) return nullptr;
  return with_type(problem.dtype, [&]<class T>() {
    const bool wide =
        aligned(grad) && aligned(out) && aligned(grad_x) && problem.elements % kWide<T> == 0;
    const auto run = [&]<int V>(Width<V>) {
      const auto blocks = static_cast<unsigned>(divide_up(problem.elements, kThreads * V));
      return launch(&bias_act_backward_kernel<T, V>, blocks, kThreads, 0, stream,
                    static_cast<const T*>(grad), static_cast<const T*>(out),
                    static_cast<T*>(grad_x), problem);
    };
    return wide ? run(Width<kWide<T>>{}) : run(Width<1>{});
  });
}

}  // namespace styleclip::cuda
