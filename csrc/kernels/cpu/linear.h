// A linear layer for a few rows: the matrix product with a packed weight, plus the bias.
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

template <class S>
struct Linear {
  using C = typename ComputeType<S>::type;

  std::int64_t rows, in_features, out_features;
  const S* x;          // [rows, in_features]
  const char* weight;  // packed as a 1x1 convolution (packing.h)
  bool transposed;     // whether what is packed is the transpose: [in_features, out_features]
  const C* bias;       // [out_features] or null
};

template <class S>
struct LinearKernels {
  // The `part`-th of `parts` about equal shares of the output features of y [rows, out_features].
  void (*forward)(const Linear<S>& layer, S* y, std::int64_t part, std::int64_t parts);
};
STYLECLIP_KERNELS(LinearKernels, linear_kernels)

}  // namespace styleclip
