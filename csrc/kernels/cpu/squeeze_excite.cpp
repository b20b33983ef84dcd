// Compiled once for each instruction set; see isa.h.
#include "squeeze_excite.h"

#include <math.h>

#include "scratch.h"
#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

template <class C>
C dot(const C* a, const C* b, std::int64_t count) {
  constexpr int L = lanes<C>;
  Vec<C> total{};
  for (std::int64_t i = 0; i < count; i += L) {
    total += load_some(a + i, count - i) * load_some(b + i, count - i);
  }
  return sum<C>(total);
}

// to += factor * x
template <class C>
void add_multiple(C factor, const C* x, std::int64_t count, C* to) {
  constexpr int L = lanes<C>;
  for (std::int64_t i = 0; i < count; i += L) {
    const std::int64_t left = count - i;
    store_some(to + i, load_some(to + i, left) + factor * load_some(x + i, left), left);
  }
}

// hidden = squeeze @ pooled, before its ReLU.
template <class C>
C* squeezed(const ChannelGate<C>& layer, const C* pooled, C* hidden) {
  for (std::int64_t r = 0; r < layer.hidden; ++r) {
    hidden[r] = dot(layer.squeeze + r * layer.channels, pooled, layer.channels);
  }
  return hidden;
}

template <class S>
void sum_pixels(const S* a, const S* b, std::int64_t channels, std::int64_t begin, std::int64_t end,
                ComputeOf<S>* sums) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  // A few vectors of channels at a time keep their sums in registers.
  constexpr int kAtOnce = 4;
  for (std::int64_t c = 0; c < channels; c += kAtOnce * L) {
    Vec<C> total[kAtOnce] = {};
    for (std::int64_t px = begin; px < end; ++px) {
#pragma GCC unroll 4
      for (int v = 0; v < kAtOnce; ++v) {
        const std::int64_t left = channels - c - v * L, at = px * channels + c + v * L;
        if (left <= 0) continue;
        const Vec<C> value = load_some(a + at, left);
        total[v] += b ? value * load_some(b + at, left) : value;
      }
    }
    for (int v = 0; v < kAtOnce; ++v) {
      const std::int64_t left = channels - c - v * L;
      C* to = sums + c + v * L;
      if (left > 0) store_some(to, load_some(to, left) + total[v], left);
    }
  }
}

template <class S>
void scale_pixels(const S* x, const ComputeOf<S>* factor, const S* image,
                  const ComputeOf<S>* constant, std::int64_t channels, std::int64_t begin,
                  std::int64_t end, S* to) {
  constexpr int L = lanes<ComputeOf<S>>;
  for (std::int64_t px = begin; px < end; ++px) {
    for (std::int64_t c = 0; c < channels; c += L) {
      const std::int64_t left = channels - c, at = px * channels + c;
      const auto added = image ? load_some(image + at, left) : load_some(constant + c, left);
      store_some(to + at, load_some(x + at, left) * load_some(factor + c, left) + added, left);
    }
  }
}

template <class C>
void gate(const ChannelGate<C>& layer, const C* pooled, C* gate) {
  C* hidden = reinterpret_cast<C*>(thread_scratch(layer.hidden * sizeof(C)));
  squeezed(layer, pooled, hidden);
  for (std::int64_t r = 0; r < layer.hidden; ++r) hidden[r] = hidden[r] > 0 ? hidden[r] : C(0);
  for (std::int64_t c = 0; c < layer.channels; ++c) {
    const C z = dot(layer.excite + c * layer.hidden, hidden, layer.hidden);
    gate[c] = C(1) / (C(1) + static_cast<C>(::exp(-static_cast<double>(z))));
  }
}

template <class C>
void gate_backward(const ChannelGate<C>& layer, const C* pooled, const C* gate, const C* grad_gate,
                   C* grad_pooled) {
  C* hidden = reinterpret_cast<C*>(thread_scratch(2 * layer.hidden * sizeof(C)));
  C* grad_hidden = hidden + layer.hidden;
  squeezed(layer, pooled, hidden);
  std::memset(grad_hidden, 0, layer.hidden * sizeof(C));
  for (std::int64_t c = 0; c < layer.channels; ++c) {
    const C grad = grad_gate[c] * gate[c] * (C(1) - gate[c]);
    add_multiple(grad, layer.excite + c * layer.hidden, layer.hidden, grad_hidden);
  }
  std::memset(grad_pooled, 0, layer.channels * sizeof(C));
  for (std::int64_t r = 0; r < layer.hidden; ++r) {
    if (!(hidden[r] > 0)) continue;
    add_multiple(grad_hidden[r], layer.squeeze + r * layer.channels, layer.channels, grad_pooled);
  }
}

}  // namespace

template <class S>
const SqueezeExciteKernels<S>& squeeze_excite_kernels() {
  static constexpr SqueezeExciteKernels<S> table{sum_pixels<S>, scale_pixels<S>, gate<ComputeOf<S>>,
                                                 gate_backward<ComputeOf<S>>};
  return table;
}
STYLECLIP_INSTANTIATE(SqueezeExciteKernels, squeeze_excite_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
