// A plain 3x3 convolution of stride 1 with frozen weights, and what surrounds it in a residual
// network, in one pass over its input: batch norm and PReLU of the input as its rows are prepared,
// batch norm of the output as it is finished; and the gradient of the input.
//
// Rows are worked through as in modulated_conv2d.h; packing.h packs the weight.
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

// Images are [N, H, W, C] without gaps. Side inputs are one number a channel, or null.
template <class S>
struct Conv2d {
  using C = typename ComputeType<S>::type;

  std::int64_t in_channels, out_channels, height, width;
  int tile;            // the weight is packed for, see heuristics.h
  const char* weight;  // packed for this direction

  // v = x * scale + shift, and v * slope where v is negative, is what is convolved; its border is
  // zero. The result is multiplied by factor, then bias is added.
  const C *scale, *shift, *slope;
  const C *factor, *bias;
};

// Rows [begin, end) of sample n. `backward` reads `x` where there is a slope.
template <class S>
struct Conv2dKernels {
  void (*forward)(const Conv2d<S>& layer, const S* x, S* y, std::int64_t n, std::int64_t begin,
                  std::int64_t end);
  void (*backward)(const Conv2d<S>& layer, const S* x, const S* grad_y, S* grad_x, std::int64_t n,
                   std::int64_t begin, std::int64_t end);
};
STYLECLIP_KERNELS(Conv2dKernels, conv2d_kernels)

}  // namespace styleclip
