// Bias, leaky ReLU, gain and clamp in one pass over memory.
#pragma once

#include "launch.h"

namespace styleclip::cuda {

// Element i belongs to channel (i / inner) % channels: inner is 1 in channels-last memory and the
// pixels of an image in contiguous memory.
struct BiasAct {
  std::int64_t elements, channels, inner;
  float slope, gain;  // both positive
  float clamp;        // infinity for none
  Dtype dtype;
};

// out = clamp(gain * leaky_relu(x + bias)); `bias` [channels] float32, or null.
const char* bias_act(const void* x, const float* bias, void* out, const BiasAct& problem,
                     Stream stream);

// grad_x = grad * d out / d x, where `out` is what the forward pass gave.
const char* bias_act_backward(const void* grad, const void* out, void* grad_x,
                              const BiasAct& problem, Stream stream);

}  // namespace styleclip::cuda
