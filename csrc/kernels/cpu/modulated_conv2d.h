// StyleGAN2's layer in one pass over its input: style, convolution (plain, or transposed with the
// FIR filter), demodulation, noise, bias, leaky ReLU, gain, clamp, and the layer's share of the RGB
// image; and its gradient to everything but the weights.
//
// A thread takes a band of rows. It prepares a few rows at a time in its own scratch memory
// (scaled, padded, in the layout that the register tiles read), multiplies them, and finishes the
// result while it is still in the cache: memory is read and written once a layer.
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

// Images are [N, H, W, C] without gaps; side inputs are in the type C that S computes in.
template <class S>
struct ModulatedConv {
  using C = typename ComputeType<S>::type;

  std::int64_t in_channels, out_channels, height, width;  // of the input
  int kernel;                                             // 1 or 3
  bool up;
  int tile;              // the weight is packed for, see heuristics.h
  C slope, gain, clamp;  // slope and gain are positive; no clamp: infinity

  const S* x;
  const char* weight;  // packed for this direction
  const C* style;      // [N, in_channels]
  const C* factor;     // [N, out_channels] or null
  const C* noise;      // [N or 1, H', W'] or null
  std::int64_t noise_stride;
  C noise_strength;
  const C* bias;        // [out_channels] or null
  const C* rgb_weight;  // [3, out_channels] or null
  const C* rgb_style;   // [N, out_channels]
};

template <class S>
struct ModulatedConvOutputs {
  using C = typename ComputeType<S>::type;
  S* y;    // [N, H', W', out_channels]
  C* rgb;  // [N, 3, H', W']
};

// Sums over the pixels of one band; each is added to.
template <class S>
struct ModulatedConvGradients {
  using C = typename ComputeType<S>::type;
  const S* y;
  const S* grad_y;    // or null
  const C* grad_rgb;  // [N, 3, H', W'] or null
  S* grad_x;          // or null
  C* grad_style;      // [in_channels]
  C* grad_factor;     // [out_channels], where there is a factor
  C* grad_rgb_style;  // [out_channels], where there is an image
  C* grad_noise_strength;
};

// Input rows [begin, end) of sample n: writes as many output rows, or twice as many.
template <class S>
struct ModulatedConv2dKernels {
  void (*forward)(const ModulatedConv<S>& layer, const ModulatedConvOutputs<S>& out, std::int64_t n,
                  std::int64_t begin, std::int64_t end);
  void (*backward)(const ModulatedConv<S>& layer, const ModulatedConvGradients<S>& out,
                   std::int64_t n, std::int64_t begin, std::int64_t end);
};
STYLECLIP_KERNELS(ModulatedConv2dKernels, modulated_conv2d_kernels)

}  // namespace styleclip
