// Inverse two-dimensional Haar wavelet transform and its transpose, in channels-last memory.
#pragma once

#include "launch.h"

namespace styleclip::cuda {

// The wavelets are [batch, height, width, 4 * channels]: `channels` low-pass values, then for each
// channel its vertical, horizontal and diagonal detail beside each other. The image is
// [batch, 2 * height, 2 * width, channels].
struct Haar {
  std::int64_t batch, channels, height, width;
  Dtype dtype;
};

// `scale` [batch, 4 * channels] float32 multiplies the wavelets first; null for ones.
const char* idwt2d(const void* wavelets, const float* scale, void* image, const Haar& problem,
                   Stream stream);

// The forward transform: the inverse's inverse and, as it is orthogonal, also its transpose.
const char* dwt2d(const void* image, void* wavelets, const Haar& problem, Stream stream);

}  // namespace styleclip::cuda
