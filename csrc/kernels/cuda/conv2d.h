// What is done to an image before it is convolved: batch norm and PReLU, in one pass over memory.
#pragma once

#include "launch.h"

namespace styleclip::cuda {

// A channels-last image; element i belongs to channel i % channels.
struct Image {
  std::int64_t elements, channels;
  Dtype dtype;
};

// Of each channel [channels], float32; null for 1, 0 and 1.
struct Preparation {
  const float *scale, *shift, *slope;
};

// out = prelu(scale * x + shift, slope).
const char* prepare(const void* x, const Preparation& terms, void* out, const Image& image,
                    Stream stream);

// grad_x = grad * d out / d x; `x` is read where there is a slope and may be null without.
const char* prepare_backward(const void* grad, const void* x, const Preparation& terms,
                             void* grad_x, const Image& image, Stream stream);

}  // namespace styleclip::cuda
