// Bias, leaky ReLU, gain and clamp in one pass, and its gradient. Tensors are dense, [N, C, ...] or
// [N, ..., C].
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

template <class S>
struct BiasAct {
  using C = typename ComputeType<S>::type;
  const C* bias;  // [channels] or null
  std::int64_t channels;
  std::int64_t inner;    // elements beside each other that share a channel; 1: channels last
  C slope, gain, clamp;  // no clamp: infinity
};

// Rows [begin, end): a row is `inner` elements, or one pixel's channels where inner is 1.
template <class S>
struct BiasActKernels {
  void (*forward)(const BiasAct<S>& a, const S* x, S* y, std::int64_t begin, std::int64_t end);
  void (*backward)(const BiasAct<S>& a, const S* grad, const S* y, S* grad_x, std::int64_t begin,
                   std::int64_t end);
};
STYLECLIP_KERNELS(BiasActKernels, bias_act_kernels)

}  // namespace styleclip
