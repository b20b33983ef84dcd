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

const char* idwt2d(const void* wavelets, void* image, const Haar& problem, Stream stream);

// grad_wavelets from grad_image: the transform is orthogonal, so this also is the forward one.
const char* idwt2d_backward(const void* grad_image, void* grad_wavelets, const Haar& problem,
                            Stream stream);

}  // namespace styleclip::cuda
