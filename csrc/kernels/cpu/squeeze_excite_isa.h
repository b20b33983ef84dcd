// What squeeze_excite_isa.cpp gives in the namespace of each instruction set.
#pragma once

#include "squeeze_excite.h"

#define STYLECLIP_PIXELS(prefix, S)                                                             \
  prefix void sum_pixels<S>(const S*, const S*, std::int64_t, std::int64_t, std::int64_t,       \
                            typename ComputeType<S>::type*);                                    \
  prefix void scale_pixels<S>(const S*, const typename ComputeType<S>::type*, const S*,         \
                              const typename ComputeType<S>::type*, std::int64_t, std::int64_t, \
                              std::int64_t, S*);
#define STYLECLIP_GATE(prefix, C)                           \
  prefix void gate<C>(const ChannelGate<C>&, const C*, C*); \
  prefix void gate_backward<C>(const ChannelGate<C>&, const C*, const C*, const C*, C*);

#define STYLECLIP_SQUEEZE_EXCITE_IN(isa)                                              \
  namespace isa {                                                                     \
  template <class S>                                                                  \
  void sum_pixels(const S*, const S*, std::int64_t, std::int64_t, std::int64_t,       \
                  typename ComputeType<S>::type*);                                    \
  template <class S>                                                                  \
  void scale_pixels(const S*, const typename ComputeType<S>::type*, const S*,         \
                    const typename ComputeType<S>::type*, std::int64_t, std::int64_t, \
                    std::int64_t, S*);                                                \
  template <class C>                                                                  \
  void gate(const ChannelGate<C>&, const C*, C*);                                     \
  template <class C>                                                                  \
  void gate_backward(const ChannelGate<C>&, const C*, const C*, const C*, C*);        \
  }

namespace styleclip {
STYLECLIP_SQUEEZE_EXCITE_IN(baseline)
STYLECLIP_SQUEEZE_EXCITE_IN(avx2)
STYLECLIP_SQUEEZE_EXCITE_IN(avx512)
STYLECLIP_SQUEEZE_EXCITE_IN(avx512_bf16)
}  // namespace styleclip
