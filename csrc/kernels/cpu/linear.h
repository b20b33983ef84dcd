// A linear layer for a few rows: the matrix product with a packed weight, plus the bias.
#pragma once

#include <cstdint>

#include "simd_types.h"

namespace styleclip {

template <class S>
struct Linear {
  using C = typename ComputeType<S>::type;

  std::int64_t rows, in_features, out_features;
  const S* x;          // [rows, in_features]
  const char* weight;  // packed as a 1x1 convolution (modulated_conv2d.h)
  bool transposed;     // whether what is packed is the transpose: [in_features, out_features]
  const C* bias;       // [out_features] or null
};

// The `part`-th of `parts` about equal shares of the output features of y [rows, out_features].
template <class S>
void linear(const Linear<S>& layer, S* y, std::int64_t part, std::int64_t parts);

}  // namespace styleclip
