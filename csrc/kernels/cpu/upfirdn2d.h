// Upsample, pad, filter and downsample; the gradient is the same with the filter turned round.
// Images are dense, [N, C, H, W] or (channels_last) [N, H, W, C].
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

template <class S>
struct Upfirdn2d {
  using C = typename ComputeType<S>::type;
  std::int64_t channels, height, width, out_height, out_width;
  std::int64_t up, down, left, top;
  const C* kernel;  // [rows, columns], gain included, as correlated
  std::int64_t rows, columns;
  bool channels_last;
};

template <class S>
struct Upfirdn2dKernels {
  // Output rows [begin, end) of all [N, out_height] (channels last) or [N, C, out_height] ones.
  // `space`: out_width numbers, or `channels` for channels last.
  void (*forward)(const Upfirdn2d<S>& a, const S* x, S* y, typename ComputeType<S>::type* space,
                  std::int64_t begin, std::int64_t end);
};
STYLECLIP_KERNELS(Upfirdn2dKernels, upfirdn2d_kernels)

}  // namespace styleclip
