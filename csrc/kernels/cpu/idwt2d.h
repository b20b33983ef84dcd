// The inverse Haar wavelet and the wavelet itself, each of which is the gradient of the other.
// Images are dense, [N, C, H, W] or (channels_last) [N, H, W, C].
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

template <class S>
struct Haar {
  std::int64_t channels, height, width;  // of the bands
  bool channels_last;
};

// Rows [begin, end) of all [N, height] ones of the bands; see ops/idwt2d.py for their order.
template <class S>
struct HaarKernels {
  void (*idwt2d)(const Haar<S>& a, const S* bands, S* image, std::int64_t begin, std::int64_t end);
  void (*dwt2d)(const Haar<S>& a, const S* image, S* bands, std::int64_t begin, std::int64_t end);
};
STYLECLIP_KERNELS(HaarKernels, haar_kernels)

}  // namespace styleclip
