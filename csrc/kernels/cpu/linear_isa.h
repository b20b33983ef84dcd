// What linear_isa.cpp gives in the namespace of each instruction set.
#pragma once

#include "linear.h"

#define STYLECLIP_LINEAR(prefix, S) \
  prefix void linear<S>(const Linear<S>&, S*, std::int64_t, std::int64_t);

#define STYLECLIP_LINEAR_IN(isa)                                 \
  namespace isa {                                                \
  template <class S>                                             \
  void linear(const Linear<S>&, S*, std::int64_t, std::int64_t); \
  }

namespace styleclip {
STYLECLIP_LINEAR_IN(baseline)
STYLECLIP_LINEAR_IN(avx2)
STYLECLIP_LINEAR_IN(avx512)
STYLECLIP_LINEAR_IN(avx512_bf16)
}  // namespace styleclip
