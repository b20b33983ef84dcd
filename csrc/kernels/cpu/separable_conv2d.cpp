// Compiled once for each instruction set; see isa.h.
#include "separable_conv2d.h"

#include "haar.h"
#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// Side inputs in whole vectors: taps [vector][9][lane] times the style, the style itself, the up
// style's low band and its details.
template <class S>
struct Constants {
  using C = ComputeOf<S>;
  C *taps, *style, *low, *details, *bias;

  static std::size_t bytes(const Sizes<S>& in, const Sizes<S>& out) {
    return sizeof(C) * (14 * in.whole + out.whole);
  }
  Constants(char* memory, const SeparableConv<S>& a, std::int64_t n, const Sizes<S>& in,
            const Sizes<S>& out, bool styled_taps) {
    constexpr int L = lanes<C>;
    taps = reinterpret_cast<C*>(memory);
    style = padded<C>(taps + 9 * in.whole, a.style + n * a.channels, a.channels, in.whole, C(0));
    low = style + in.whole;
    details = low + in.whole;
    bias = padded<C>(details + 3 * in.whole, a.bias, a.out_channels, out.whole, C(0));
    if (a.up) {
      const C* up = a.up_style + n * 4 * a.channels;
      padded<C>(low, up, a.channels, in.whole, C(0));
      padded<C>(details, up + a.channels, 3 * a.channels, 3 * in.whole, C(0));
    }
    for (std::int64_t c = 0; c < in.vectors * L; ++c) {
      for (int t = 0; t < 9; ++t) {
        const C weight = c < a.channels ? a.depthwise[9 * c + t] : C(0);
        taps[(c / L * 9 + t) * L + c % L] = styled_taps ? weight * style[c] : weight;
      }
    }
  }
};

// A row of vectors [vector][pixel + 2][lane], with a zero pixel at either end.
template <class C>
STYLECLIP_INLINE C* cell(char* row, std::int64_t row_pixels, std::int64_t v, std::int64_t px) {
  return reinterpret_cast<C*>(row) + (v * row_pixels + px + 1) * lanes<C>;
}

template <class S>
void forward(const SeparableConv<S>& a, S* y, std::int64_t n, std::int64_t begin,
             std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const bool up = a.up;
  const int scale = up ? 2 : 1;
  const Sizes<S> in(a.channels), out(a.out_channels);
  const std::int64_t height = scale * a.height, width = scale * a.width;
  const std::int64_t row_begin = scale * begin, row_end = scale * end;
  const std::int64_t group = (rows_at_once(width, row_end - row_begin) + 1) / 2 * 2;
  const std::int64_t pixels = width + 2;
  const std::int64_t row_bytes = in.vectors * pixels * 64, mixed_bytes = in.blocks * width * 64;
  Layout layout;
  const std::size_t constants_at = layout.add(Constants<S>::bytes(in, out));
  const std::size_t rows_at = layout.add(row_bytes * (group + 4));
  const std::size_t mixed_at = layout.add(mixed_bytes * group);
  char* memory = thread_scratch(layout.size());
  const Constants<S> constants(memory + constants_at, a, n, in, out, true);
  const Ring rows{memory + rows_at, row_bytes, group + 4};
  std::memset(rows.memory, 0, row_bytes * (group + 4));  // the borders stay zero
  const Threes<C> threes;
  const Tiling tiling(width);
  C sums[kMaxPixels * OB];

  const auto fill = [&](std::int64_t row) {  // one row, or the pair that begins with it
    const std::int64_t source = up ? (row + 2) / 2 - 1 : row;
    if (source < 0 || source >= a.height) {
      for (int i = 0; i < scale; ++i) std::memset(rows[row + i], 0, row_bytes);
      return;
    }
    const S* x = a.x + (n * a.height + source) * a.width * a.channels * (up ? 4 : 1);
    for (std::int64_t px = 0; px < a.width; ++px) {
      for (std::int64_t v = 0; v * L < a.channels; ++v) {
        if (!up) {
          store(cell<C>(rows[row], pixels, v, px),
                load_some(x + px * a.channels + v * L, a.channels - v * L));
          continue;
        }
        auto pixel = Wavelets<S>::at(x + px * 4 * a.channels, a.channels, v);
        pixel.scale(constants.low + v * L, constants.details + 3 * v * L);
        Vec<C> quad[4];
        quad_of<C>(pixel.bands(threes), quad);
        for (int i = 0; i < 4; ++i) {
          store(cell<C>(rows[row + i / 2], pixels, v, 2 * px + i % 2), quad[i]);
        }
      }
    }
  };
  const auto mix = [&](std::int64_t row, char* to) {
    for (std::int64_t v = 0; v < in.vectors; ++v) {
      Vec<C> taps[9];
      for (int t = 0; t < 9; ++t) taps[t] = load(constants.taps + (v * 9 + t) * L);
      const C* above = cell<C>(rows[row - 1], pixels, v, -1);
      const C* here = cell<C>(rows[row], pixels, v, -1);
      const C* below = cell<C>(rows[row + 1], pixels, v, -1);
      for (std::int64_t px = 0; px < width; ++px) {
        Vec<C> sum{};
        for (int t = 0; t < 3; ++t) {
          const std::int64_t at = (px + t) * L;
          sum += load(above + at) * taps[t] + load(here + at) * taps[3 + t] +
                 load(below + at) * taps[6 + t];
        }
        store_blocked<S>(to, width, px, v, sum);
      }
    }
  };

  Taps<S> taps;
  taps.count = 1;
  taps.blocks = in.blocks;
  taps.x_stride = width * 64;
  taps.weight_stride = 64 * steps<S> * kVectors;
  std::int64_t prepared = row_begin - scale;
  for (std::int64_t first = row_begin; first < row_end; first += group) {
    const std::int64_t last = first + group < row_end ? first + group : row_end;
    for (; prepared < last + 1; prepared += scale) fill(prepared);
    for (std::int64_t row = first; row < last; ++row) {
      mix(row, memory + mixed_at + (row - first) * mixed_bytes);
    }
    for (std::int64_t ob = 0; ob < out.out_blocks; ++ob) {
      taps.weight[0] = a.pointwise + ob * in.blocks * taps.weight_stride;
      for (std::int64_t row = first; row < last; ++row) {
        for (std::int64_t i = 0; i < tiling.count; ++i) {
          const std::int64_t px = tiling.begin(i);
          taps.x[0] = memory + mixed_at + (row - first) * mixed_bytes + px * 64;
          run_tile<S>(tiling.pixels(i), taps, sums, OB);
          for (int p = 0; p < tiling.pixels(i); ++p) {
            const std::int64_t at = row * width + px + p;
            const C noise = a.noise ? a.noise[at] : C(0);
            S* to = y + (n * height * width + at) * a.out_channels + ob * OB;
            for (int v = 0; v < kVectors; ++v) {
              const std::int64_t left = a.out_channels - ob * OB - v * L;
              if (left <= 0) break;
              const Vec<C> value =
                  load(sums + p * OB + v * L) + (load(constants.bias + ob * OB + v * L) + noise);
              store_some(to + v * L, value > C(0) ? value : value * a.slope, left);
            }
          }
        }
      }
    }
  }
}

template <class S>
void backward(const SeparableConv<S>& a, const SeparableConvGradients<S>& g, std::int64_t n,
              std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const bool up = a.up;
  const int scale = up ? 2 : 1;
  const Sizes<S> in(a.channels), out(a.out_channels);
  const std::int64_t height = scale * a.height, width = scale * a.width;
  const std::int64_t row_begin = scale * begin, row_end = scale * end;
  const std::int64_t group = (rows_at_once(width, row_end - row_begin) + 1) / 2 * 2;
  const std::int64_t pixels = width + 2;
  // The tiles write whole output blocks, so a row holds that many vectors.
  const std::int64_t vectors = in.out_blocks * kVectors;
  const std::int64_t row_bytes = vectors * pixels * 64, open_bytes = out.blocks * width * 64;
  Layout layout;
  const std::size_t constants_at = layout.add(Constants<S>::bytes(in, out));
  const std::size_t sums_at = layout.add(sizeof(C) * 5 * in.whole);
  const std::size_t rows_at = layout.add(row_bytes * (group + 2));
  const std::size_t open_at = layout.add(open_bytes * (group + 2));
  char* memory = thread_scratch(layout.size());
  const Constants<S> constants(memory + constants_at, a, n, in, out, false);
  C* style_sums = reinterpret_cast<C*>(memory + sums_at);
  C* low_sums = style_sums + in.whole;
  C* detail_sums = low_sums + in.whole;
  std::memset(style_sums, 0, sizeof(C) * 5 * in.whole);
  const Ring rows{memory + rows_at, row_bytes, group + 2};
  std::memset(rows.memory, 0, row_bytes * (group + 2));  // the borders stay zero
  const Threes<C> threes;
  const Tiling tiling(width);
  C sums[kMaxPixels * OB];

  Taps<S> taps;
  taps.count = 1;
  taps.blocks = out.blocks;
  taps.x_stride = width * 64;
  taps.weight_stride = 64 * steps<S> * kVectors;
  // The gradient of the depthwise convolution's result, rows [from, to).
  const auto unmix = [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t row = from; row < to; ++row) {
      if (row < 0 || row >= height) continue;
      char* open = memory + open_at + (row - from) * open_bytes;
      const std::int64_t start = (n * height + row) * width * a.out_channels;
      for (std::int64_t px = 0; px < width; ++px) {
        for (std::int64_t v = 0; v < out.vectors; ++v) {
          const std::int64_t left = a.out_channels - v * L;
          const std::int64_t at = start + px * a.out_channels + v * L;
          Vec<C> value{};
          if (left > 0) {
            value = load_some(g.grad + at, left);
            value = load_some(g.y + at, left) > C(0) ? value : value * a.slope;
          }
          store_blocked<S>(open, width, px, v, value);
        }
      }
    }
    for (std::int64_t ib = 0; ib < in.out_blocks; ++ib) {
      taps.weight[0] = a.pointwise + ib * out.blocks * taps.weight_stride;
      for (std::int64_t row = from; row < to; ++row) {
        if (row < 0 || row >= height) {
          std::memset(rows[row] + ib * kVectors * pixels * 64, 0, kVectors * pixels * 64);
          continue;
        }
        for (std::int64_t i = 0; i < tiling.count; ++i) {
          const std::int64_t px = tiling.begin(i);
          taps.x[0] = memory + open_at + (row - from) * open_bytes + px * 64;
          run_tile<S>(tiling.pixels(i), taps, sums, OB);
          for (int v = 0; v < kVectors; ++v) {
            for (int p = 0; p < tiling.pixels(i); ++p) {
              store(cell<C>(rows[row], pixels, ib * kVectors + v, px + p),
                    load(sums + p * OB + v * L));
            }
          }
        }
      }
    }
  };
  // The depthwise convolution's own gradient, before the style.
  const auto spread = [&](std::int64_t row, std::int64_t v, std::int64_t px,
                          const Vec<C>(&weight)[9]) {
    Vec<C> sum{};
    for (int ky = 0; ky < 3; ++ky) {
      const C* from = cell<C>(rows[row + 1 - ky], pixels, v, px);
      sum += load(from + L) * weight[3 * ky] + load(from) * weight[3 * ky + 1] +
             load(from - L) * weight[3 * ky + 2];
    }
    return sum;
  };

  std::int64_t prepared = row_begin - 1;
  for (std::int64_t first = row_begin; first < row_end; first += group) {
    const std::int64_t last = first + group < row_end ? first + group : row_end;
    unmix(prepared, last + 1);
    prepared = last + 1;
    for (std::int64_t row = first; row < last; row += scale) {
      const std::int64_t start = (n * a.height + row / scale) * a.width * a.channels * (up ? 4 : 1);
      for (std::int64_t v = 0; v * L < a.channels; ++v) {
        const std::int64_t left = a.channels - v * L;
        Vec<C> weight[9];
        for (int t = 0; t < 9; ++t) weight[t] = load(constants.taps + (v * 9 + t) * L);
        const Vec<C> style = load(constants.style + v * L);
        Vec<C> style_sum{}, low_sum{}, details_sum[3] = {};
        for (std::int64_t px = 0; px < a.width; ++px) {
          if (!up) {
            const std::int64_t at = start + px * a.channels + v * L;
            const Vec<C> value = spread(row, v, px, weight);
            style_sum += value * load_some(a.x + at, left);
            if (g.grad_x) store_some(g.grad_x + at, value * style, left);
            continue;
          }
          const std::int64_t at = start + px * 4 * a.channels;
          const auto pixel = Wavelets<S>::at(a.x + at, a.channels, v);
          auto scaled = pixel;
          scaled.scale(constants.low + v * L, constants.details + 3 * v * L);
          Vec<C> quad[4], values[4];
          quad_of<C>(scaled.bands(threes), quad);
          for (int i = 0; i < 4; ++i) {
            values[i] = spread(row + i / 2, v, 2 * px + i % 2, weight);
            style_sum += values[i] * quad[i];
            values[i] *= style;
          }
          const Bands4<C> bands = bands_of<C>(values);
          low_sum += bands.low * pixel.low;
          if (g.grad_x) {
            store_some(g.grad_x + at + v * L, bands.low * load(constants.low + v * L), left);
          }
          for (int q = 0; q < 3; ++q) {
            const Vec<C> value =
                Threes<C>::pick(threes.join[q], bands.vertical, bands.horizontal, bands.diagonal);
            details_sum[q] += value * pixel.details[q];
            if (g.grad_x) {
              store_some(g.grad_x + at + a.channels + (3 * v + q) * L,
                         value * load(constants.details + (3 * v + q) * L), 3 * left - q * L);
            }
          }
        }
        store(style_sums + v * L, load(style_sums + v * L) + style_sum);
        if (!up) continue;
        store(low_sums + v * L, load(low_sums + v * L) + low_sum);
        for (int q = 0; q < 3; ++q) {
          C* to = detail_sums + (3 * v + q) * L;
          store(to, load(to) + details_sum[q]);
        }
      }
    }
  }
  for (std::int64_t c = 0; c < a.channels; ++c) g.grad_style[c] += style_sums[c];
  if (!up) return;
  for (std::int64_t c = 0; c < a.channels; ++c) g.grad_up_style[c] += low_sums[c];
  for (std::int64_t c = 0; c < 3 * a.channels; ++c) {
    g.grad_up_style[a.channels + c] += detail_sums[c];
  }
}

}  // namespace

template <class S>
const SeparableConv2dKernels<S>& separable_conv2d_kernels() {
  static constexpr SeparableConv2dKernels<S> table{forward<S>, backward<S>};
  return table;
}
STYLECLIP_INSTANTIATE(SeparableConv2dKernels, separable_conv2d_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
