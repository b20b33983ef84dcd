// bias_act, upfirdn2d and the Haar wavelet: the operators beside the convolutions, each bound by
// memory. Images are dense, [N, C, H, W] or (channels_last) [N, H, W, C].
#pragma once

#include <cstdint>

#include "simd_types.h"

namespace styleclip {

template <class S>
struct BiasAct {
  using C = typename ComputeType<S>::type;
  const C* bias;  // [channels] or null
  std::int64_t channels;
  std::int64_t inner;    // elements beside each other that share a channel; 1: channels last
  C slope, gain, clamp;  // no clamp: infinity
};

// Rows [begin, end): a row is `inner` elements, or one pixel's channels where inner is 1.
template <class S>
void bias_act(const BiasAct<S>& a, const S* x, S* y, std::int64_t begin, std::int64_t end);
template <class S>
void bias_act_backward(const BiasAct<S>& a, const S* grad, const S* y, S* grad_x,
                       std::int64_t begin, std::int64_t end);

template <class S>
struct Upfirdn2d {
  using C = typename ComputeType<S>::type;
  std::int64_t channels, height, width, out_height, out_width;
  std::int64_t up, down, left, top;
  const C* kernel;  // [rows, columns], gain included, as correlated
  std::int64_t rows, columns;
  bool channels_last;
};

// Output rows [begin, end) of all [N, out_height] (channels last) or [N, C, out_height] ones.
// `space`: out_width numbers, or `channels` for channels last.
template <class S>
void upfirdn2d(const Upfirdn2d<S>& a, const S* x, S* y, typename ComputeType<S>::type* space,
               std::int64_t begin, std::int64_t end);

template <class S>
struct Haar {
  std::int64_t channels, height, width;  // of the bands
  bool channels_last;
};

// Rows [begin, end) of all [N, height] ones of the bands; see ops/idwt2d.py for their order.
template <class S>
void idwt2d(const Haar<S>& a, const S* bands, S* image, std::int64_t begin, std::int64_t end);
template <class S>
void dwt2d(const Haar<S>& a, const S* image, S* bands, std::int64_t begin, std::int64_t end);

}  // namespace styleclip
