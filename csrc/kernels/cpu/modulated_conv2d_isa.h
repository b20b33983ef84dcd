// What modulated_conv2d_isa.cpp gives in the namespace of each instruction set.
#pragma once

#include "modulated_conv2d.h"

#define STYLECLIP_MODULATED_CONV(prefix, S)                                                       \
  prefix std::int64_t packed_conv_bytes<S>(std::int64_t, std::int64_t, int, PackedFor, int);      \
  prefix void pack_conv<S>(const typename ComputeType<S>::type*, std::int64_t, std::int64_t, int, \
                           PackedFor, int, char*);                                                \
  prefix void modulated_conv2d<S>(const ModulatedConv<S>&, const ModulatedConvOutputs<S>&,        \
                                  std::int64_t, std::int64_t, std::int64_t);                      \
  prefix void modulated_conv2d_backward<S>(const ModulatedConv<S>&,                               \
                                           const ModulatedConvGradients<S>&, std::int64_t,        \
                                           std::int64_t, std::int64_t);

#define STYLECLIP_MODULATED_CONV_IN(isa)                                                           \
  namespace isa {                                                                                  \
  template <class S>                                                                               \
  std::int64_t packed_conv_bytes(std::int64_t, std::int64_t, int, PackedFor, int);                 \
  template <class S>                                                                               \
  void pack_conv(const typename ComputeType<S>::type*, std::int64_t, std::int64_t, int, PackedFor, \
                 int, char*);                                                                      \
  template <class S>                                                                               \
  void modulated_conv2d(const ModulatedConv<S>&, const ModulatedConvOutputs<S>&, std::int64_t,     \
                        std::int64_t, std::int64_t);                                               \
  template <class S>                                                                               \
  void modulated_conv2d_backward(const ModulatedConv<S>&, const ModulatedConvGradients<S>&,        \
                                 std::int64_t, std::int64_t, std::int64_t);                        \
  }

namespace styleclip {
STYLECLIP_MODULATED_CONV_IN(baseline)
STYLECLIP_MODULATED_CONV_IN(avx2)
STYLECLIP_MODULATED_CONV_IN(avx512)
STYLECLIP_MODULATED_CONV_IN(avx512_bf16)
}  // namespace styleclip
