// What pixelwise_isa.cpp gives in the namespace of each instruction set.
#pragma once

#include "pixelwise.h"

#define STYLECLIP_PIXELWISE(prefix, S)                                                        \
  prefix void bias_act<S>(const BiasAct<S>&, const S*, S*, std::int64_t, std::int64_t);       \
  prefix void bias_act_backward<S>(const BiasAct<S>&, const S*, const S*, S*, std::int64_t,   \
                                   std::int64_t);                                             \
  prefix void upfirdn2d<S>(const Upfirdn2d<S>&, const S*, S*, typename ComputeType<S>::type*, \
                           std::int64_t, std::int64_t);                                       \
  prefix void idwt2d<S>(const Haar<S>&, const S*, S*, std::int64_t, std::int64_t);            \
  prefix void dwt2d<S>(const Haar<S>&, const S*, S*, std::int64_t, std::int64_t);

#define STYLECLIP_PIXELWISE_IN(isa)                                                               \
  namespace isa {                                                                                 \
  template <class S>                                                                              \
  void bias_act(const BiasAct<S>&, const S*, S*, std::int64_t, std::int64_t);                     \
  template <class S>                                                                              \
  void bias_act_backward(const BiasAct<S>&, const S*, const S*, S*, std::int64_t, std::int64_t);  \
  template <class S>                                                                              \
  void upfirdn2d(const Upfirdn2d<S>&, const S*, S*, typename ComputeType<S>::type*, std::int64_t, \
                 std::int64_t);                                                                   \
  template <class S>                                                                              \
  void idwt2d(const Haar<S>&, const S*, S*, std::int64_t, std::int64_t);                          \
  template <class S>                                                                              \
  void dwt2d(const Haar<S>&, const S*, S*, std::int64_t, std::int64_t);                           \
  }

namespace styleclip {
STYLECLIP_PIXELWISE_IN(baseline)
STYLECLIP_PIXELWISE_IN(avx2)
STYLECLIP_PIXELWISE_IN(avx512)
STYLECLIP_PIXELWISE_IN(avx512_bf16)
}  // namespace styleclip
