// Compiled once for each instruction set; see isa.h.
#include "conv2d.h"

#include "direct.h"
#include "winograd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

template <class S>
struct Side {
  using C = ComputeOf<S>;
  C *scale, *shift, *slope, *factor, *bias;
};

template <class S>
std::size_t add_side(Layout& layout, const Sizes<S>& in, const Sizes<S>& out) {
  return layout.add(sizeof(ComputeOf<S>) * (3 * in.whole + 2 * out.whole));
}

template <class S>
Side<S> fill_side(char* memory, const Conv2d<S>& a, const Sizes<S>& in, const Sizes<S>& out) {
  using C = ComputeOf<S>;
  C* at = reinterpret_cast<C*>(memory);
  const auto fill = [&](const Sizes<S>& size, const C* from, C missing) {
    C* to = padded<C>(at, from, size.channels, size.whole, missing);
    at += size.whole;
    return to;
  };
  Side<S> side;
  side.scale = fill(in, a.scale, C(1));
  side.shift = fill(in, a.shift, C(0));
  side.slope = fill(in, a.slope, C(1));
  side.factor = fill(out, a.factor, C(1));
  side.bias = fill(out, a.bias, C(0));
  return side;
}

// Row `row` of the image `from`, handed on as `put(pixel, vector, change(vector, value))`.
template <class S, class Change, class Put>
STYLECLIP_INLINE void read_row(const S* from, const Sizes<S>& size, std::int64_t row,
                               std::int64_t width, const Change& change, const Put& put) {
  constexpr int L = Sizes<S>::L;
  from += row * width * size.channels;
  for (std::int64_t px = 0; px < width; ++px, from += size.channels) {
    for (std::int64_t v = 0; v < size.vectors; ++v) {
      const std::int64_t left = size.channels - v * L;
      put(px, v, left > 0 ? change(v, load_some(from + v * L, left)) : Vec<ComputeOf<S>>{});
    }
  }
}

template <class S, class Method>
void forward(const Conv2d<S>& a, const S* x, S* y, std::int64_t n, std::int64_t begin,
             std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const Sizes<S> in(a.in_channels), out(a.out_channels);
  Layout layout;
  const std::size_t side_at = add_side(layout, in, out);
  const Method method(layout, {in, out, 3, a.weight, a.height, a.width, begin, end});
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, in, out);
  const auto change = [&](std::int64_t v, Vec<C> value) {
    value = value * load(side.scale + v * L) + load(side.shift + v * L);
    return value > C(0) ? value : value * load(side.slope + v * L);
  };
  const auto prepare = [&](std::int64_t row, const auto& put) {
    read_row(x, in, n * a.height + row, a.width, change, put);
  };
  const auto take = [&](std::int64_t ob, std::int64_t row, std::int64_t px, std::int64_t pixels,
                        const C* c) {
    S* to = y + ((n * a.height + row) * a.width + px) * out.channels + ob * OB;
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t left = out.channels - ob * OB - v * L;
      if (left <= 0) continue;
      const Vec<C> factor = load(side.factor + ob * OB + v * L);
      const Vec<C> bias = load(side.bias + ob * OB + v * L);
      for (std::int64_t p = 0; p < pixels; ++p) {
        store_some(to + p * out.channels + v * L, load(c + p * OB + v * L) * factor + bias, left);
      }
    }
  };
  method.run(memory, prepare, take);
}

template <class S, class Method>
void backward(const Conv2d<S>& a, const S* x, const S* grad_y, S* grad_x, std::int64_t n,
              std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const Sizes<S> in(a.in_channels), out(a.out_channels);
  Layout layout;
  const std::size_t side_at = add_side(layout, in, out);
  const Method method(layout, {out, in, 3, a.weight, a.height, a.width, begin, end});
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, in, out);
  const auto change = [&](std::int64_t v, Vec<C> value) {
    return value * load(side.factor + v * L);
  };
  const auto prepare = [&](std::int64_t row, const auto& put) {
    read_row(grad_y, out, n * a.height + row, a.width, change, put);
  };
  const auto take = [&](std::int64_t ib, std::int64_t row, std::int64_t px, std::int64_t pixels,
                        const C* c) {
    const std::int64_t start = ((n * a.height + row) * a.width + px) * in.channels + ib * OB;
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t left = in.channels - ib * OB - v * L;
      if (left <= 0) continue;
      const Vec<C> scale = load(side.scale + ib * OB + v * L);
      const Vec<C> shift = load(side.shift + ib * OB + v * L);
      const Vec<C> low = scale * load(side.slope + ib * OB + v * L);
      for (std::int64_t p = 0; p < pixels; ++p) {
        const std::int64_t at = start + p * in.channels + v * L;
        Vec<C> rate = scale;
        if (a.slope) rate = load_some(x + at, left) * scale + shift > C(0) ? scale : low;
        store_some(grad_x + at, load(c + p * OB + v * L) * rate, left);
      }
    }
  };
  method.run(memory, prepare, take);
}

template <class S>
void conv2d(const Conv2d<S>& layer, const S* x, S* y, std::int64_t n, std::int64_t begin,
            std::int64_t end) {
  if (layer.tile == 4) return forward<S, Tiled<S, Winograd<4>>>(layer, x, y, n, begin, end);
  if (layer.tile == 2) return forward<S, Tiled<S, Winograd<2>>>(layer, x, y, n, begin, end);
  forward<S, Direct<S>>(layer, x, y, n, begin, end);
}

template <class S>
void conv2d_backward(const Conv2d<S>& layer, const S* x, const S* grad_y, S* grad_x, std::int64_t n,
                     std::int64_t begin, std::int64_t end) {
  if (layer.tile == 4)
    return backward<S, Tiled<S, Winograd<4>>>(layer, x, grad_y, grad_x, n, begin, end);
  if (layer.tile == 2)
    return backward<S, Tiled<S, Winograd<2>>>(layer, x, grad_y, grad_x, n, begin, end);
  backward<S, Direct<S>>(layer, x, grad_y, grad_x, n, begin, end);
}

}  // namespace

template <class S>
const Conv2dKernels<S>& conv2d_kernels() {
  static constexpr Conv2dKernels<S> table{conv2d<S>, conv2d_backward<S>};
  return table;
}
STYLECLIP_INSTANTIATE(Conv2dKernels, conv2d_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
