// MobileStyleGAN's layer in one pass over its input: style and inverse Haar wavelet (where it
// upsamples), style, depthwise 3x3, pointwise, noise, bias, leaky ReLU; and its gradient to the
// input and the styles. Works like modulated_conv2d.
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

// Images are [N, H, W, C] without gaps. With `up` the input has 4 channels for each of the
// depthwise convolution's and the output twice its height and width.
template <class S>
struct SeparableConv {
  using C = typename ComputeType<S>::type;

  std::int64_t channels;  // of the depthwise convolution
  std::int64_t out_channels;
  std::int64_t height, width;  // of the input
  bool up;
  C slope;  // positive

  const S* x;
  const C* style;         // [N, channels]
  const C* up_style;      // [N, 4 channels], where it is up
  const C* depthwise;     // [channels, 3, 3]
  const char* pointwise;  // packed for this direction, as a 1x1 convolution
  const C* bias;          // [out_channels] or null
  const C* noise;         // [H', W'] or null
};

// Sums over the pixels of one band; each is added to.
template <class S>
struct SeparableConvGradients {
  using C = typename ComputeType<S>::type;
  const S* y;
  const S* grad;     // of y
  S* grad_x;         // or null
  C* grad_style;     // [channels]
  C* grad_up_style;  // [4 channels], where it is up
};

// Input rows [begin, end) of sample n: writes as many output rows, or twice as many.
template <class S>
struct SeparableConv2dKernels {
  void (*forward)(const SeparableConv<S>& layer, S* y, std::int64_t n, std::int64_t begin,
                  std::int64_t end);
  void (*backward)(const SeparableConv<S>& layer, const SeparableConvGradients<S>& out,
                   std::int64_t n, std::int64_t begin, std::int64_t end);
};
STYLECLIP_KERNELS(SeparableConv2dKernels, separable_conv2d_kernels)

}  // namespace styleclip
