// Compiled once for each instruction set; see isa.h.
#include "modulated_conv2d.h"

#include <limits>

#include "direct.h"
#include "winograd.h"
#include "winograd_up.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// How many pixels ahead what is read along a row is asked for.
constexpr std::int64_t kAhead = 64;

template <class S>
struct Side {
  using C = ComputeOf<S>;
  C *style, *factor, *bias, *rgb_style, *rgb_weight;  // rgb_weight [3, whole]
};

template <class S>
std::size_t add_side(Layout& layout, const Sizes<S>& in, const Sizes<S>& out) {
  return layout.add(sizeof(ComputeOf<S>) * (in.whole + 6 * out.whole));
}

template <class S>
Side<S> fill_side(char* memory, const ModulatedConv<S>& a, std::int64_t n, const Sizes<S>& in,
                  const Sizes<S>& out) {
  using C = ComputeOf<S>;
  C* at = reinterpret_cast<C*>(memory);
  Side<S> side;
  side.style = padded<C>(at, a.style + n * in.channels, in.channels, in.whole, C(1));
  at += in.whole;
  side.factor = padded<C>(at, a.factor ? a.factor + n * out.channels : nullptr, out.channels,
                          out.whole, C(1));
  at += out.whole;
  side.bias = padded<C>(at, a.bias, out.channels, out.whole, C(0));
  at += out.whole;
  side.rgb_style = padded<C>(at, a.rgb_weight ? a.rgb_style + n * out.channels : nullptr,
                             out.channels, out.whole, C(0));
  at += out.whole;
  side.rgb_weight = at;
  for (int j = 0; j < 3; ++j, at += out.whole) {
    padded<C>(at, a.rgb_weight ? a.rgb_weight + j * out.channels : nullptr, out.channels, out.whole,
              C(0));
  }
  return side;
}

// One input row, times the style, handed on as `put(pixel, vector, value)`.
template <class S, class Put>
STYLECLIP_INLINE void scale_row(const ModulatedConv<S>& a, const Side<S>& side, const Sizes<S>& in,
                                std::int64_t n, std::int64_t row, const Put& put) {
  constexpr int L = Sizes<S>::L;
  const S* x = a.x + (n * a.height + row) * a.width * in.channels;
  for (std::int64_t px = 0; px < a.width; ++px, x += in.channels) {
    for (std::int64_t v = 0; v < in.vectors; ++v) {
      const std::int64_t left = in.channels - v * L;
      __builtin_prefetch(x + v * L + kAhead * in.channels);
      const auto value = left > 0 ? load_some(x + v * L, left) : Vec<ComputeOf<S>>{};
      put(px, v, value * load(side.style + v * L));
    }
  }
}

// What follows the convolution, for `pixels` pixels of one output block; `c` [pixel][out_block].
// The caller goes along a row in short pieces and through a few rows in turn, too briefly for the
// processor to see what it will read and write next: as much again is asked for ahead.
template <class S>
void finish(const ModulatedConv<S>& a, const ModulatedConvOutputs<S>& out, const Side<S>& side,
            const Sizes<S>& size, std::int64_t n, std::int64_t ob, std::int64_t row,
            std::int64_t px, std::int64_t pixels, std::int64_t out_height, std::int64_t out_width,
            const ComputeOf<S>* c) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const C* noise = a.noise ? a.noise + n * a.noise_stride + row * out_width + px : nullptr;
  S* y = out.y + ((n * out_height + row) * out_width + px) * size.channels + ob * OB;
  const std::int64_t plane = out_height * out_width;
  C* rgb = a.rgb_weight ? out.rgb + n * 3 * plane + row * out_width + px : nullptr;
  const std::int64_t left = size.channels - ob * OB;
  Vec<C> factor[kVectors], bias[kVectors], weight[3][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    factor[v] = load(side.factor + ob * OB + v * L) * a.gain;
    bias[v] = load(side.bias + ob * OB + v * L) * a.gain;
    for (int j = 0; j < 3; ++j) {
      weight[j][v] = load(side.rgb_weight + j * size.whole + ob * OB + v * L) *
                     load(side.rgb_style + ob * OB + v * L);
    }
  }
  const C strength = a.noise_strength * a.gain, slope = a.slope;
  const Vec<C> limit = Vec<C>{} + a.clamp;
  const bool clamps = a.clamp < std::numeric_limits<C>::infinity();
  for (std::int64_t from = 0; from < pixels; from += L) {
    const int count = static_cast<int>(pixels - from < L ? pixels - from : L);
    Vec<C> image[3][L];
    if (noise) __builtin_prefetch(noise + from + pixels);
    for (int p = 0; p < count; ++p, c += OB, y += size.channels) {
      const C added = noise ? noise[from + p] * strength : C(0);
      __builtin_prefetch(y + pixels * size.channels, 1);
      Vec<C> red{}, green{}, blue{};
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        Vec<C> value = load(c + v * L) * factor[v] + (bias[v] + added);
        value = value > C(0) ? value : value * slope;
        if (clamps) {
          value = value > limit ? limit : value;
          value = value < -limit ? -limit : value;
        }
        if (left > v * L) store_some(y + v * L, value, left - v * L);
        red += value * weight[0][v];
        green += value * weight[1][v];
        blue += value * weight[2][v];
      }
      if (rgb) {
        image[0][p] = red;
        image[1][p] = green;
        image[2][p] = blue;
      }
    }
    if (rgb) {
      for (int j = 0; j < 3; ++j) {
        C* to = rgb + j * plane + from;
        __builtin_prefetch(to + pixels, 1);
        for (int p = count; p < L; ++p) image[j][p] = Vec<C>{};
        const Vec<C> sums = lane_sums(image[j]);
        store_some(to, ob == 0 ? sums : sums + load_some(to, count), count);
      }
    }
  }
}

template <class S, class Method>
void forward(const ModulatedConv<S>& a, const ModulatedConvOutputs<S>& out, std::int64_t n,
             std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  const Sizes<S> in(a.in_channels), size(a.out_channels);
  const std::int64_t scale = a.up ? 2 : 1;
  Layout layout;
  const std::size_t side_at = add_side(layout, in, size);
  const Band<S> band{in, size, a.kernel, a.weight, a.height, a.width, begin, end};
  const Method method(layout, band);
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, n, in, size);
  const auto prepare = [&](std::int64_t row, const auto& put) {
    scale_row(a, side, in, n, row, put);
  };
  const auto take = [&](std::int64_t ob, std::int64_t row, std::int64_t px, std::int64_t pixels,
                        const C* c) {
    finish(a, out, side, size, n, ob, row, px, pixels, scale * a.height, scale * a.width, c);
  };
  method.run(memory, prepare, take);
}

// The gradient before the activation, times the demodulation, of one row of the output; and, for a
// row that the band owns, its share of the sums. `put(pixel, vector, value)` takes the result.
template <class S, bool owned, class Put>
void activation_gradient(const ModulatedConv<S>& a, const ModulatedConvGradients<S>& g,
                         const Side<S>& side, const Sizes<S>& size, std::int64_t n,
                         std::int64_t row, std::int64_t out_height, std::int64_t out_width,
                         ComputeOf<S>* grad_factor, ComputeOf<S>* grad_rgb_style,
                         Vec<ComputeOf<S>>& grad_noise, const Put& put) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr std::int64_t chunk = 64;
  const std::int64_t start = (n * out_height + row) * out_width;
  const std::int64_t plane = out_height * out_width;
  const C* noise = a.noise ? a.noise + n * a.noise_stride + row * out_width : nullptr;
  const C* rgb = g.grad_rgb ? g.grad_rgb + n * 3 * plane + row * out_width : nullptr;
  const Vec<C> open = Vec<C>{} + a.gain, shut = open * a.slope;
  const bool clamps = a.clamp < std::numeric_limits<C>::infinity();
  for (std::int64_t from = 0; from < out_width; from += chunk) {
    const std::int64_t to = from + chunk < out_width ? from + chunk : out_width;
    for (std::int64_t v = 0; v < size.vectors; ++v) {
      const std::int64_t left = size.channels - v * L;
      if (left <= 0) {
        for (std::int64_t px = from; px < to; ++px) put(px, v, Vec<C>{});
        continue;
      }
      const Vec<C> factor = load(side.factor + v * L);
      const Vec<C> style = load(side.rgb_style + v * L);
      const Vec<C> red = load(side.rgb_weight + v * L);
      const Vec<C> green = load(side.rgb_weight + size.whole + v * L);
      const Vec<C> blue = load(side.rgb_weight + 2 * size.whole + v * L);
      Vec<C> product_sum{}, grad_sum{}, noise_sum{}, style_sum{};
      for (std::int64_t px = from; px < to; ++px) {
        const std::int64_t at = (start + px) * size.channels + v * L;
        __builtin_prefetch(g.y + at + chunk * size.channels);
        if (g.grad_y) __builtin_prefetch(g.grad_y + at + chunk * size.channels);
        const Vec<C> y = load_some(g.y + at, left);
        Vec<C> grad = g.grad_y ? load_some(g.grad_y + at, left) : Vec<C>{};
        if (rgb) {
          const Vec<C> image = rgb[px] * red + rgb[plane + px] * green + rgb[2 * plane + px] * blue;
          grad += image * style;
          if (owned) style_sum += image * y;
        }
        if (clamps) grad = (y < a.clamp) & (y > -a.clamp) ? grad : Vec<C>{};
        if (owned) product_sum += grad * y;
        grad *= y > C(0) ? open : shut;
        if (owned) {
          grad_sum += grad;
          if (noise) noise_sum += grad * noise[px];
        }
        put(px, v, grad * factor);
      }
      if (owned) {
        // The gradient times what the convolution made: before the activation that is y over the
        // slope which the gradient was multiplied by, less the bias and the noise.
        const Vec<C> bias = load(side.bias + v * L);
        const Vec<C> factor_sum = product_sum - bias * grad_sum - a.noise_strength * noise_sum;
        store(grad_factor + v * L, load(grad_factor + v * L) + factor_sum);
        store(grad_rgb_style + v * L, load(grad_rgb_style + v * L) + style_sum);
        grad_noise += noise_sum;
      }
    }
  }
}

// From the convolution's own gradient to the input's and the style's.
template <class S>
void finish_gradient(const ModulatedConv<S>& a, const ModulatedConvGradients<S>& g,
                     const Side<S>& side, const Sizes<S>& in, std::int64_t n, std::int64_t ib,
                     std::int64_t row, std::int64_t px, std::int64_t pixels, const ComputeOf<S>* c,
                     ComputeOf<S>* grad_style) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const std::int64_t start = ((n * a.height + row) * a.width + px) * in.channels + ib * OB;
  const std::int64_t left = in.channels - ib * OB;
  Vec<C> style[kVectors], style_sum[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    style[v] = load(side.style + ib * OB + v * L);
    style_sum[v] = load(grad_style + ib * OB + v * L);
  }
  for (std::int64_t p = 0; p < pixels; ++p) {
    const std::int64_t at = start + p * in.channels, next = at + pixels * in.channels;
    __builtin_prefetch(a.x + next);
    if (g.grad_x) __builtin_prefetch(g.grad_x + next, 1);
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      if (left <= v * L) continue;
      const Vec<C> value = load(c + p * OB + v * L);
      style_sum[v] += value * load_some(a.x + at + v * L, left - v * L);
      if (g.grad_x) store_some(g.grad_x + at + v * L, value * style[v], left - v * L);
    }
  }
  for (int v = 0; v < kVectors; ++v) store(grad_style + ib * OB + v * L, style_sum[v]);
}

template <class S>
struct Sums {
  using C = ComputeOf<S>;
  C *style, *factor, *rgb_style;
  Vec<C> noise;
};

template <class S>
void add_sums(const ModulatedConv<S>& a, const ModulatedConvGradients<S>& g, const Side<S>& side,
              const Sums<S>& sums) {
  using C = ComputeOf<S>;
  for (std::int64_t i = 0; i < a.in_channels; ++i) g.grad_style[i] += sums.style[i];
  for (std::int64_t o = 0; o < a.out_channels; ++o) {
    if (a.factor) g.grad_factor[o] += sums.factor[o] / side.factor[o];
    if (a.rgb_weight) g.grad_rgb_style[o] += sums.rgb_style[o];
  }
  if (a.noise) *g.grad_noise_strength += sum<C>(sums.noise);
}

template <class S>
Sums<S> clear_sums(char* memory, const Sizes<S>& in, const Sizes<S>& out) {
  using C = ComputeOf<S>;
  C* at = reinterpret_cast<C*>(memory);
  std::memset(at, 0, (in.whole + 2 * out.whole) * sizeof(C));
  return {at, at + in.whole, at + in.whole + out.whole, Vec<C>{}};
}

template <class S, class Method>
void backward(const ModulatedConv<S>& a, const ModulatedConvGradients<S>& g, std::int64_t n,
              std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  const Sizes<S> in(a.in_channels), size(a.out_channels);
  const std::int64_t scale = a.up ? 2 : 1;
  Layout layout;
  const std::size_t side_at = add_side(layout, in, size);
  const std::size_t sums_at = layout.add((in.whole + 2 * size.whole) * sizeof(C));
  const Band<S> band{size, in, a.kernel, a.weight, a.height, a.width, begin, end};
  const Method method(layout, band);
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, n, in, size);
  Sums<S> total = clear_sums(memory + sums_at, in, size);
  const auto prepare = [&](std::int64_t row, const auto& put) {
    const auto make = row >= scale * begin && row < scale * end
                          ? activation_gradient<S, true, decltype(put)>
                          : activation_gradient<S, false, decltype(put)>;
    make(a, g, side, size, n, row, scale * a.height, scale * a.width, total.factor, total.rgb_style,
         total.noise, put);
  };
  const auto take = [&](std::int64_t ib, std::int64_t row, std::int64_t px, std::int64_t pixels,
                        const C* c) {
    finish_gradient(a, g, side, in, n, ib, row, px, pixels, c, total.style);
  };
  method.run(memory, prepare, take);
  add_sums(a, g, side, total);
}

template <class S>
void modulated_conv2d(const ModulatedConv<S>& layer, const ModulatedConvOutputs<S>& out,
                      std::int64_t n, std::int64_t begin, std::int64_t end) {
  if (layer.up && layer.tile == 4) return forward<S, WinogradUp<S, 4>>(layer, out, n, begin, end);
  if (layer.up) return forward<S, WinogradUp<S, 2>>(layer, out, n, begin, end);
  if (layer.tile == 4) return forward<S, Tiled<S, Winograd<4>>>(layer, out, n, begin, end);
  if (layer.tile == 2) return forward<S, Tiled<S, Winograd<2>>>(layer, out, n, begin, end);
  forward<S, Direct<S>>(layer, out, n, begin, end);
}

template <class S>
void modulated_conv2d_backward(const ModulatedConv<S>& layer, const ModulatedConvGradients<S>& out,
                               std::int64_t n, std::int64_t begin, std::int64_t end) {
  if (layer.up && layer.tile == 4)
    return backward<S, Tiled<S, WinogradUpGradient<4>>>(layer, out, n, begin, end);
  if (layer.up) return backward<S, Tiled<S, WinogradUpGradient<2>>>(layer, out, n, begin, end);
  if (layer.tile == 4) return backward<S, Tiled<S, Winograd<4>>>(layer, out, n, begin, end);
  if (layer.tile == 2) return backward<S, Tiled<S, Winograd<2>>>(layer, out, n, begin, end);
  backward<S, Direct<S>>(layer, out, n, begin, end);
}

}  // namespace

template <class S>
const ModulatedConv2dKernels<S>& modulated_conv2d_kernels() {
  static constexpr ModulatedConv2dKernels<S> table{modulated_conv2d<S>,
                                                   modulated_conv2d_backward<S>};
  return table;
}
STYLECLIP_INSTANTIATE(ModulatedConv2dKernels, modulated_conv2d_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
