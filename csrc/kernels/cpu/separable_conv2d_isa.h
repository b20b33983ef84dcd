// What separable_conv2d_isa.cpp gives in the namespace of each instruction set.
#pragma once

#include "separable_conv2d.h"

#define STYLECLIP_SEPARABLE_CONV(prefix, S)                                                \
  prefix void separable_conv2d<S>(const SeparableConv<S>&, S*, std::int64_t, std::int64_t, \
                                  std::int64_t);                                           \
  prefix void separable_conv2d_backward<S>(const SeparableConv<S>&,                        \
                                           const SeparableConvGradients<S>&, std::int64_t, \
                                           std::int64_t, std::int64_t);

#define STYLECLIP_SEPARABLE_CONV_IN(isa)                                                        \
  namespace isa {                                                                               \
  template <class S>                                                                            \
  void separable_conv2d(const SeparableConv<S>&, S*, std::int64_t, std::int64_t, std::int64_t); \
  template <class S>                                                                            \
  void separable_conv2d_backward(const SeparableConv<S>&, const SeparableConvGradients<S>&,     \
                                 std::int64_t, std::int64_t, std::int64_t);                     \
  }

namespace styleclip {
STYLECLIP_SEPARABLE_CONV_IN(baseline)
STYLECLIP_SEPARABLE_CONV_IN(avx2)
STYLECLIP_SEPARABLE_CONV_IN(avx512)
STYLECLIP_SEPARABLE_CONV_IN(avx512_bf16)
}  // namespace styleclip
