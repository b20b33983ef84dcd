// The depthwise half of MobileStyleGAN's separable convolution, in channels-last memory.
#pragma once

#include "launch.h"

namespace styleclip::cuda {

// Images are [batch, height, width, channels].
struct Depthwise {
  std::int64_t batch, channels, height, width;
  bool taps_per_image;
  bool flip;  // convolve instead of correlate: the gradient
  Dtype dtype;
};

// Correlates every channel with its own 3x3 taps, zeros around the image. `taps` [1 or batch, 9,
// channels] float32, row by row.
const char* depthwise3x3(const void* x, const float* taps, void* out, const Depthwise& problem,
                         Stream stream);

}  // namespace styleclip::cuda
