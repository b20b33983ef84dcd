// What conv2d_isa.cpp gives in the namespace of each instruction set.
#pragma once

#include "conv2d.h"

#define STYLECLIP_CONV2D(prefix, S)                                                                \
  prefix void conv2d<S>(const Conv2d<S>&, const S*, S*, std::int64_t, std::int64_t, std::int64_t); \
  prefix void conv2d_backward<S>(const Conv2d<S>&, const S*, const S*, S*, std::int64_t,           \
                                 std::int64_t, std::int64_t);

#define STYLECLIP_CONV2D_IN(isa)                                                             \
  namespace isa {                                                                            \
  template <class S>                                                                         \
  void conv2d(const Conv2d<S>&, const S*, S*, std::int64_t, std::int64_t, std::int64_t);     \
  template <class S>                                                                         \
  void conv2d_backward(const Conv2d<S>&, const S*, const S*, S*, std::int64_t, std::int64_t, \
                       std::int64_t);                                                        \
  }

namespace styleclip {
STYLECLIP_CONV2D_IN(baseline)
STYLECLIP_CONV2D_IN(avx2)
STYLECLIP_CONV2D_IN(avx512)
STYLECLIP_CONV2D_IN(avx512_bf16)
}  // namespace styleclip
