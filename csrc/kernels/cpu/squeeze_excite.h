// The end of a residual unit with a channel gate (squeeze and excitation): sums over pixels, the
// gate that follows from them, and the pass that applies it; forward and backward use the same.
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

// gate [channels] = sigmoid(excite @ relu(squeeze @ pooled)).
template <class C>
struct ChannelGate {
  std::int64_t channels, hidden;
  const C* squeeze;  // [hidden, channels]
  const C* excite;   // [channels, hidden]
};

template <class S>
struct SqueezeExciteKernels {
  using C = typename ComputeType<S>::type;

  // sums[channel] += a, or a * b where b is not null, over pixels [begin, end) of one image
  // [pixel][channel].
  void (*sum_pixels)(const S* a, const S* b, std::int64_t channels, std::int64_t begin,
                     std::int64_t end, C* sums);

  // to = x * factor + image, or + constant where there is no image, at pixels [begin, end).
  void (*scale_pixels)(const S* x, const C* factor, const S* image, const C* constant,
                       std::int64_t channels, std::int64_t begin, std::int64_t end, S* to);

  void (*gate)(const ChannelGate<C>& layer, const C* pooled, C* gate);

  // From the gradient of the gate to that of `pooled`.
  void (*gate_backward)(const ChannelGate<C>& layer, const C* pooled, const C* gate,
                        const C* grad_gate, C* grad_pooled);
};
STYLECLIP_KERNELS(SqueezeExciteKernels, squeeze_excite_kernels)

}  // namespace styleclip
