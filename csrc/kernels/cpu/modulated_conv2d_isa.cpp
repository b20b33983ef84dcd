// Compiled once for each instruction set; see isa.h.
#include "modulated_conv2d_isa.h"

#include "direct.h"
#include "winograd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// The FIR filter [1, 3, 3, 1] / 8 times 2: with both axes' gain, brightness stays.
constexpr double kOuter = 0.25;
constexpr double kInner = 0.75;

template <class C>
STYLECLIP_INLINE Vec<C> fir(Vec<C> a, Vec<C> b, Vec<C> c, Vec<C> d) {
  return C(kOuter) * (a + d) + C(kInner) * (b + c);
}

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
      const auto value = left > 0 ? load_some(x + v * L, left) : Vec<ComputeOf<S>>{};
      put(px, v, value * load(side.style + v * L));
    }
  }
}

// What follows the convolution, for `pixels` pixels of one output block; `c` [pixel][out_block].
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
    factor[v] = load(side.factor + ob * OB + v * L);
    bias[v] = load(side.bias + ob * OB + v * L);
    for (int j = 0; j < 3; ++j) {
      weight[j][v] = load(side.rgb_weight + j * size.whole + ob * OB + v * L) *
                     load(side.rgb_style + ob * OB + v * L);
    }
  }
  const Vec<C> limit = Vec<C>{} + a.clamp;
  for (std::int64_t p = 0; p < pixels; ++p, c += OB, y += size.channels) {
    const C added = noise ? noise[p] * a.noise_strength : C(0);
    Vec<C> red{}, green{}, blue{};
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      Vec<C> value = load(c + v * L) * factor[v] + (bias[v] + added);
      value = (value > C(0) ? value : value * a.slope) * a.gain;
      value = value > limit ? limit : value;
      value = value < -limit ? -limit : value;
      if (left > v * L) store_some(y + v * L, value, left - v * L);
      if (rgb) {
        red += value * weight[0][v];
        green += value * weight[1][v];
        blue += value * weight[2][v];
      }
    }
    if (rgb) {
      const C sums[3] = {sum<C>(red), sum<C>(green), sum<C>(blue)};
      for (int j = 0; j < 3; ++j) {
        C* to = rgb + j * plane + p;
        *to = ob == 0 ? sums[j] : *to + sums[j];
      }
    }
  }
}

template <class S, class Method>
void forward_plain(const ModulatedConv<S>& a, const ModulatedConvOutputs<S>& out, std::int64_t n,
                   std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  const Sizes<S> in(a.in_channels), size(a.out_channels);
  Layout layout;
  const std::size_t side_at = add_side(layout, in, size);
  const Method method(layout, in, a.kernel, a.width, end - begin);
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, n, in, size);
  const auto prepare = [&](std::int64_t row, const auto& put) {
    scale_row(a, side, in, n, row, put);
  };
  const auto take = [&](std::int64_t ob, std::int64_t row, std::int64_t px, std::int64_t pixels,
                        const C* c) {
    finish(a, out, side, size, n, ob, row, px, pixels, a.height, a.width, c);
  };
  method.run(memory, in, size, a.weight, a.height, a.width, begin, end, prepare, take);
}

// The transposed convolution makes rows -1 .. 2 height + 1 of which the first and last are zero;
// row 2 i comes from the inputs i and i - 1, row 2 i + 1 from input i alone. Output row u is the
// FIR filter over rows u - 1 .. u + 2. Columns go alike.
template <class S>
void forward_up(const ModulatedConv<S>& a, const ModulatedConvOutputs<S>& out, std::int64_t n,
                std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const Sizes<S> in(a.in_channels), size(a.out_channels);
  const std::int64_t group = rows_at_once(a.width, end - begin);
  const std::int64_t pixels = a.width + 2, out_width = 2 * a.width;
  const std::int64_t row_bytes = in.blocks * pixels * 64;
  const std::int64_t filtered_bytes = size.out_blocks * out_width * OB * sizeof(C);
  Layout layout;
  const std::size_t side_at = add_side(layout, in, size);
  const std::size_t rows_at = layout.add(row_bytes * (group + 2));
  const std::size_t filtered_at = layout.add(filtered_bytes * (2 * group + 3));
  const std::size_t spread_at = layout.add((out_width + 3) * OB * sizeof(C));
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, n, in, size);
  const Ring rows{memory + rows_at, row_bytes, group + 2};
  std::memset(rows.memory, 0, row_bytes * (group + 2));  // the borders stay zero
  const Ring filtered{memory + filtered_at, filtered_bytes, 2 * group + 3};
  C* spread = reinterpret_cast<C*>(memory + spread_at) + OB;  // columns -1 .. 2 width + 1
  std::memset(spread - OB, 0, OB * sizeof(C));
  std::memset(spread + (out_width + 1) * OB, 0, OB * sizeof(C));
  const Tiling even(a.width + 1), odd(a.width);
  C sums[kMaxPixels * OB];

  const std::int64_t tap_bytes = 64 * steps<S> * kVectors;
  Taps<S> taps;
  taps.blocks = in.blocks;
  taps.x_stride = pixels * 64;
  taps.weight_stride = 9 * tap_bytes;

  const auto spread_row = [&](std::int64_t row, std::int64_t ob) {
    C* to = reinterpret_cast<C*>(filtered[row]) + ob * out_width * OB;
    if (row < 0 || row > 2 * a.height) {
      std::memset(to, 0, out_width * OB * sizeof(C));
      return;
    }
    const char* weight = a.weight + ob * in.blocks * taps.weight_stride;
    const bool odd_row = row % 2 != 0;
    const std::int64_t source = row / 2;
    for (int parity = 0; parity < 2; ++parity) {
      const Tiling& tiling = parity ? odd : even;
      for (std::int64_t i = 0; i < tiling.count; ++i) {
        const std::int64_t px = tiling.begin(i);
        taps.count = 0;
        for (int ky = odd_row ? 1 : 0; ky < 3; ky += 2) {
          for (int kx = parity; kx < 3; kx += 2) {
            taps.x[taps.count] = rows[source - ky / 2] + (px + 1 - kx / 2) * 64;
            taps.weight[taps.count] = weight + (3 * ky + kx) * tap_bytes;
            ++taps.count;
          }
        }
        run_tile<S>(tiling.pixels(i), taps, spread + (2 * px + parity) * OB, 2 * OB);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const C* from = spread + v * L;
      Vec<C> w = load(from - OB), x = load(from), y = load(from + OB);
      for (std::int64_t px = 0; px < out_width; ++px) {
        const Vec<C> z = load(from + (px + 2) * OB);
        store(to + px * OB + v * L, fir<C>(w, x, y, z));
        w = x;
        x = y;
        y = z;
      }
    }
  };

  std::int64_t prepared = begin - 1, spread_rows = 2 * begin - 1;
  for (std::int64_t first = begin; first < end; first += group) {
    const std::int64_t last = first + group < end ? first + group : end;
    // Rows up to `last` feed the rows up to 2 last + 1 of the transposed convolution.
    for (; prepared < last + 1; ++prepared) {
      char* row = rows[prepared];
      if (prepared < 0 || prepared >= a.height) {
        std::memset(row, 0, row_bytes);
        continue;
      }
      scale_row(a, side, in, n, prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
        store_blocked<S>(row, pixels, px + 1, v, value);
      });
    }
    for (std::int64_t ob = 0; ob < size.out_blocks; ++ob) {
      for (std::int64_t row = spread_rows; row < 2 * last + 2; ++row) spread_row(row, ob);
      for (std::int64_t row = 2 * first; row < 2 * last; ++row) {
        const C* from[4];
        for (int t = 0; t < 4; ++t) {
          from[t] = reinterpret_cast<const C*>(filtered[row - 1 + t]) + ob * out_width * OB;
        }
        for (std::int64_t px = 0; px < out_width; px += kMaxPixels) {
          const std::int64_t count = out_width - px < kMaxPixels ? out_width - px : kMaxPixels;
          for (std::int64_t i = 0; i < count * OB; i += L) {
            const std::int64_t at = px * OB + i;
            store(sums + i, fir<C>(load(from[0] + at), load(from[1] + at), load(from[2] + at),
                                   load(from[3] + at)));
          }
          finish(a, out, side, size, n, ob, row, px, count, 2 * a.height, out_width, sums);
        }
      }
    }
    spread_rows = 2 * last + 2;
  }
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
  const C back = C(1) / a.gain, back_slope = C(1) / a.slope;
  for (std::int64_t from = 0; from < out_width; from += chunk) {
    const std::int64_t to = from + chunk < out_width ? from + chunk : out_width;
    for (std::int64_t v = 0; v < size.vectors; ++v) {
      const std::int64_t left = size.channels - v * L;
      if (left <= 0) {
        for (std::int64_t px = from; px < to; ++px) put(px, v, Vec<C>{});
        continue;
      }
      const Vec<C> factor = load(side.factor + v * L), bias = load(side.bias + v * L);
      const Vec<C> style = load(side.rgb_style + v * L);
      const Vec<C> red = load(side.rgb_weight + v * L);
      const Vec<C> green = load(side.rgb_weight + size.whole + v * L);
      const Vec<C> blue = load(side.rgb_weight + 2 * size.whole + v * L);
      Vec<C> factor_sum{}, style_sum{};
      for (std::int64_t px = from; px < to; ++px) {
        const std::int64_t at = (start + px) * size.channels + v * L;
        const Vec<C> y = load_some(g.y + at, left);
        Vec<C> grad = g.grad_y ? load_some(g.grad_y + at, left) : Vec<C>{};
        if (rgb) {
          const Vec<C> image = rgb[px] * red + rgb[plane + px] * green + rgb[2 * plane + px] * blue;
          grad += image * style;
          if (owned) style_sum += image * y;
        }
        const auto positive = y > C(0);
        const Vec<C> open = grad * a.gain;
        grad = positive ? open : open * a.slope;
        grad = (y < a.clamp) & (y > -a.clamp) ? grad : Vec<C>{};
        if (owned) {
          const Vec<C> scaled = y * back;
          Vec<C> made = (positive ? scaled : scaled * back_slope) - bias;
          if (noise) {
            made -= noise[px] * a.noise_strength;
            grad_noise += grad * noise[px];
          }
          factor_sum += grad * made;
        }
        put(px, v, grad * factor);
      }
      if (owned) {
        store(grad_factor + v * L, load(grad_factor + v * L) + factor_sum);
        store(grad_rgb_style + v * L, load(grad_rgb_style + v * L) + style_sum);
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
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t left = in.channels - ib * OB - v * L;
    if (left <= 0) continue;
    const Vec<C> style = load(side.style + ib * OB + v * L);
    Vec<C> style_sum = load(grad_style + ib * OB + v * L);
    for (std::int64_t p = 0; p < pixels; ++p) {
      const std::int64_t at = start + p * in.channels + v * L;
      const Vec<C> value = load(c + p * OB + v * L);
      style_sum += value * load_some(a.x + at, left);
      if (g.grad_x) store_some(g.grad_x + at, value * style, left);
    }
    store(grad_style + ib * OB + v * L, style_sum);
  }
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
void backward_plain(const ModulatedConv<S>& a, const ModulatedConvGradients<S>& g, std::int64_t n,
                    std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  const Sizes<S> in(a.in_channels), size(a.out_channels);
  Layout layout;
  const std::size_t side_at = add_side(layout, in, size);
  const std::size_t sums_at = layout.add((in.whole + 2 * size.whole) * sizeof(C));
  const Method method(layout, size, a.kernel, a.width, end - begin);
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, n, in, size);
  Sums<S> total = clear_sums(memory + sums_at, in, size);
  const auto prepare = [&](std::int64_t row, const auto& put) {
    if (row >= begin && row < end) {
      activation_gradient<S, true>(a, g, side, size, n, row, a.height, a.width, total.factor,
                                   total.rgb_style, total.noise, put);
    } else {
      activation_gradient<S, false>(a, g, side, size, n, row, a.height, a.width, total.factor,
                                    total.rgb_style, total.noise, put);
    }
  };
  const auto take = [&](std::int64_t ib, std::int64_t row, std::int64_t px, std::int64_t pixels,
                        const C* c) {
    finish_gradient(a, g, side, in, n, ib, row, px, pixels, c, total.style);
  };
  method.run(memory, size, in, a.weight, a.height, a.width, begin, end, prepare, take);
  add_sums(a, g, side, total);
}

// Input row i gets from the rows 2 i, 2 i + 1 and 2 i + 2 of the transposed convolution, and row s
// of those is the FIR filter over the output's rows s - 2 .. s + 1.
template <class S>
void backward_up(const ModulatedConv<S>& a, const ModulatedConvGradients<S>& g, std::int64_t n,
                 std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const Sizes<S> in(a.in_channels), size(a.out_channels);
  const std::int64_t group = rows_at_once(a.width, end - begin);
  const std::int64_t out_height = 2 * a.height, out_width = 2 * a.width;
  // Even columns and odd columns apart, so that a tile's pixels lie beside each other.
  const std::int64_t evens = a.width + 1, row_pixels = out_width + 1;
  const std::int64_t spread_bytes = size.blocks * row_pixels * 64;
  const std::int64_t channels = size.vectors * L;
  const std::int64_t grad_bytes = out_width * channels * sizeof(C);
  Layout layout;
  const std::size_t side_at = add_side(layout, in, size);
  const std::size_t sums_at = layout.add((in.whole + 2 * size.whole) * sizeof(C));
  const std::size_t grads_at = layout.add(grad_bytes * 4);
  const std::size_t spread_at = layout.add(spread_bytes * (2 * group + 1));
  char* memory = thread_scratch(layout.size());
  const Side<S> side = fill_side(memory + side_at, a, n, in, size);
  Sums<S> total = clear_sums(memory + sums_at, in, size);
  const Ring grads{memory + grads_at, grad_bytes, 4};
  const Ring spread{memory + spread_at, spread_bytes, 2 * group + 1};
  const Tiling tiling(a.width);
  C sums[kMaxPixels * OB];

  const auto grad_row = [&](std::int64_t row) {
    C* to = reinterpret_cast<C*>(grads[row]);
    const auto put = [&](std::int64_t px, std::int64_t v, Vec<C> value) {
      store(to + px * channels + v * L, value);
    };
    if (row < 0 || row >= out_height) {
      std::memset(to, 0, grad_bytes);
    } else if (row >= 2 * begin && row < 2 * end) {
      activation_gradient<S, true>(a, g, side, size, n, row, out_height, out_width, total.factor,
                                   total.rgb_style, total.noise, put);
    } else {
      activation_gradient<S, false>(a, g, side, size, n, row, out_height, out_width, total.factor,
                                    total.rgb_style, total.noise, put);
    }
  };
  const auto spread_row = [&](std::int64_t row) {
    char* to = spread[row];
    const C* from[4];
    for (int t = 0; t < 4; ++t) from[t] = reinterpret_cast<const C*>(grads[row - 2 + t]);
    const auto column = [&](std::int64_t px, std::int64_t v) {
      if (px < 0 || px >= out_width) return Vec<C>{};
      const std::int64_t at = px * channels + v * L;
      return fir<C>(load(from[0] + at), load(from[1] + at), load(from[2] + at), load(from[3] + at));
    };
    for (std::int64_t v = 0; v < size.vectors; ++v) {
      Vec<C> w{}, x{}, y = column(0, v);
      for (std::int64_t px = 0; px < row_pixels; ++px) {
        const Vec<C> z = column(px + 1, v);
        const std::int64_t at = px / 2 + (px % 2 ? evens : 0);
        store_blocked<S>(to, row_pixels, at, v, fir<C>(w, x, y, z));
        w = x;
        x = y;
        y = z;
      }
    }
  };

  const std::int64_t tap_bytes = 64 * steps<S> * kVectors;
  Taps<S> taps;
  taps.count = 9;
  taps.blocks = size.blocks;
  taps.x_stride = row_pixels * 64;
  taps.weight_stride = 9 * tap_bytes;
  std::int64_t next_grad = 2 * begin - 2, next_spread = 2 * begin;
  for (std::int64_t first = begin; first < end; first += group) {
    const std::int64_t last = first + group < end ? first + group : end;
    for (; next_spread < 2 * last + 1; ++next_spread) {
      for (; next_grad < next_spread + 2; ++next_grad) grad_row(next_grad);
      spread_row(next_spread);
    }
    for (std::int64_t ib = 0; ib < in.out_blocks; ++ib) {
      const char* weight = a.weight + ib * size.blocks * taps.weight_stride;
      for (std::int64_t row = first; row < last; ++row) {
        for (std::int64_t i = 0; i < tiling.count; ++i) {
          const std::int64_t px = tiling.begin(i);
          for (int t = 0; t < 9; ++t) {
            const int kx = t % 3;
            const std::int64_t at = kx == 1 ? evens + px : px + kx / 2;
            taps.x[t] = spread[2 * row + t / 3] + at * 64;
            taps.weight[t] = weight + t * tap_bytes;
          }
          run_tile<S>(tiling.pixels(i), taps, sums, OB);
          finish_gradient(a, g, side, in, n, ib, row, px, tiling.pixels(i), sums, total.style);
        }
      }
    }
  }
  add_sums(a, g, side, total);
}

}  // namespace

template <class S>
std::int64_t packed_conv_bytes(std::int64_t in_channels, std::int64_t out_channels, int kernel,
                               PackedFor direction, bool winograd) {
  const int taps = winograd ? kPoints : kernel * kernel;
  return direction == PackedFor::forward ? packed_bytes<S>(in_channels, out_channels, taps)
                                         : packed_bytes<S>(out_channels, in_channels, taps);
}

template <class S>
void pack_conv(const ComputeOf<S>* weight, std::int64_t in_channels, std::int64_t out_channels,
               int kernel, PackedFor direction, bool winograd, char* packed) {
  const int taps = kernel * kernel;
  const bool forward = direction == PackedFor::forward;
  const bool reverse = direction == PackedFor::backward;
  const std::int64_t from = forward ? in_channels : out_channels;
  const std::int64_t to = forward ? out_channels : in_channels;
  const std::int64_t from_stride = forward ? taps : in_channels * taps;
  const std::int64_t to_stride = forward ? in_channels * taps : taps;
  if (winograd) {
    using C = ComputeOf<S>;
    C* scratch = reinterpret_cast<C*>(thread_scratch(from * to * sizeof(C)));
    pack_winograd<S>(weight, from, to, from_stride, to_stride, reverse, scratch, packed);
  } else {
    pack<S>(weight, from, to, taps, from_stride, to_stride, reverse, packed);
  }
}

template <class S>
void modulated_conv2d(const ModulatedConv<S>& layer, const ModulatedConvOutputs<S>& out,
                      std::int64_t n, std::int64_t begin, std::int64_t end) {
  if (layer.up) return forward_up(layer, out, n, begin, end);
  if (layer.winograd) return forward_plain<S, Winograd<S>>(layer, out, n, begin, end);
  forward_plain<S, Direct<S>>(layer, out, n, begin, end);
}

template <class S>
void modulated_conv2d_backward(const ModulatedConv<S>& layer, const ModulatedConvGradients<S>& out,
                               std::int64_t n, std::int64_t begin, std::int64_t end) {
  if (layer.up) return backward_up(layer, out, n, begin, end);
  if (layer.winograd) return backward_plain<S, Winograd<S>>(layer, out, n, begin, end);
  backward_plain<S, Direct<S>>(layer, out, n, begin, end);
}

STYLECLIP_MODULATED_CONV(template, float)
STYLECLIP_MODULATED_CONV(template, double)
STYLECLIP_MODULATED_CONV(template, BFloat16)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
