// Compiled once for each instruction set; see isa.h.
#include "bias_act.h"

#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

template <class C>
STYLECLIP_INLINE Vec<C> clamped(Vec<C> x, C clamp) {
  const Vec<C> limit = Vec<C>{} + clamp;
  x = x > limit ? limit : x;
  return x < -limit ? -limit : x;
}

template <class S>
void bias_act(const BiasAct<S>& a, const S* x, S* y, std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  const bool last = a.inner == 1;
  const std::int64_t length = last ? a.channels : a.inner;
  for (std::int64_t row = begin; row < end; ++row) {
    const Vec<C> bias = Vec<C>{} + (a.bias && !last ? a.bias[row % a.channels] : C(0));
    for (std::int64_t i = 0; i < length; i += L) {
      const std::int64_t at = row * length + i, left = length - i;
      Vec<C> value = load_some(x + at, left);
      value += last && a.bias ? load_some(a.bias + i, left) : bias;
      value = (value > C(0) ? value : value * a.slope) * a.gain;
      store_some(y + at, clamped<C>(value, a.clamp), left);
    }
  }
}

template <class S>
void bias_act_backward(const BiasAct<S>& a, const S* grad, const S* y, S* grad_x,
                       std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  const std::int64_t length = a.inner == 1 ? a.channels : a.inner;
  for (std::int64_t i = begin * length; i < end * length; i += L) {
    const std::int64_t left = end * length - i;
    const Vec<C> made = load_some(y + i, left), open = load_some(grad + i, left) * a.gain;
    const Vec<C> value = made > C(0) ? open : open * a.slope;
    store_some(grad_x + i, (made < a.clamp) & (made > -a.clamp) ? value : Vec<C>{}, left);
  }
}

}  // namespace

template <class S>
const BiasActKernels<S>& bias_act_kernels() {
  static constexpr BiasActKernels<S> table{bias_act<S>, bias_act_backward<S>};
  return table;
}
STYLECLIP_INSTANTIATE(BiasActKernels, bias_act_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
