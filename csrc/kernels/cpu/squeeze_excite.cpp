#include "squeeze_excite.h"

#include "isa.h"
#include "squeeze_excite_isa.h"

namespace styleclip {

template <class S>
void sum_pixels(const S* a, const S* b, std::int64_t channels, std::int64_t begin, std::int64_t end,
                typename ComputeType<S>::type* sums) {
  STYLECLIP_BEST(sum_pixels(a, b, channels, begin, end, sums));
}

template <class S>
void scale_pixels(const S* x, const typename ComputeType<S>::type* factor, const S* image,
                  const typename ComputeType<S>::type* constant, std::int64_t channels,
                  std::int64_t begin, std::int64_t end, S* to) {
  STYLECLIP_BEST(scale_pixels(x, factor, image, constant, channels, begin, end, to));
}

template <class C>
void gate(const ChannelGate<C>& layer, const C* pooled, C* gate) {
  STYLECLIP_BEST(gate(layer, pooled, gate));
}

template <class C>
void gate_backward(const ChannelGate<C>& layer, const C* pooled, const C* gate, const C* grad_gate,
                   C* grad_pooled) {
  STYLECLIP_BEST(gate_backward(layer, pooled, gate, grad_gate, grad_pooled));
}

STYLECLIP_PIXELS(template, float)
STYLECLIP_PIXELS(template, double)
STYLECLIP_PIXELS(template, BFloat16)
STYLECLIP_GATE(template, float)
STYLECLIP_GATE(template, double)

}  // namespace styleclip
