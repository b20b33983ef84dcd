// Compiled once for each instruction set; see isa.h. Mostly loops that the compiler vectorises.
#include "pixelwise_isa.h"

#include "haar.h"
#include "scratch.h"
#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

STYLECLIP_INLINE float get(float x) { return x; }
STYLECLIP_INLINE double get(double x) { return x; }
STYLECLIP_INLINE float get(BFloat16 x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16);
}
STYLECLIP_INLINE void put(float& to, float x) { to = x; }
STYLECLIP_INLINE void put(double& to, double x) { to = x; }
STYLECLIP_INLINE void put(BFloat16& to, float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  to.bits = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <class C>
STYLECLIP_INLINE Vec<C> clamped(Vec<C> x, C clamp) {
  const Vec<C> limit = Vec<C>{} + clamp;
  x = x > limit ? limit : x;
  return x < -limit ? -limit : x;
}

// The taps of a filter that one output sees along an axis: tap `first + j * up` meets the input
// `input + j`, for j in [begin, end).
struct Reach {
  STYLECLIP_INLINE Reach of(std::int64_t output, std::int64_t up, std::int64_t down,
                            std::int64_t before, std::int64_t taps, std::int64_t inputs) {
    const std::int64_t at = output * down - before;
    const std::int64_t first = ((-at) % up + up) % up;
    const std::int64_t input = (at + first) / up;
    const std::int64_t count = first < taps ? (taps - first + up - 1) / up : 0;
    const std::int64_t begin = input < 0 ? -input : 0, most = inputs - input;
    return {first, input, begin, count < most ? count : most};
  }
  std::int64_t first, input, begin, end;
};

// A kernel that is a column times a row: both, or none.
template <class C>
struct Separated {
  static constexpr std::int64_t kMost = 32;
  C column[kMost], row[kMost];
  bool found = false;

  Separated(const C* kernel, std::int64_t rows, std::int64_t columns) {
    if (rows > kMost || columns > kMost || rows * columns < 2) return;
    std::int64_t peak = 0;
    const auto size = [](C x) { return x < 0 ? -x : x; };
    for (std::int64_t i = 1; i < rows * columns; ++i) {
      if (size(kernel[i]) > size(kernel[peak])) peak = i;
    }
    if (kernel[peak] == 0) return;
    for (std::int64_t i = 0; i < rows; ++i) column[i] = kernel[i * columns + peak % columns];
    for (std::int64_t j = 0; j < columns; ++j) {
      row[j] = kernel[peak / columns * columns + j] / kernel[peak];
    }
    const C most = size(kernel[peak]) * (sizeof(C) == 8 ? C(1e-15) : C(1e-7));
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      if (size(kernel[i] - column[i / columns] * row[i % columns]) > most) return;
    }
    found = true;
  }
};

// The sum of weight[j * stride] * read(j), unrolled for the usual filter of four taps.
template <class C, class Read>
STYLECLIP_INLINE Vec<C> weighted(const C* weight, std::int64_t stride, std::int64_t count,
                                 const Read& read) {
  if (count == 4) {
    return (weight[0] * read(0) + weight[stride] * read(1)) +
           (weight[2 * stride] * read(2) + weight[3 * stride] * read(3));
  }
  Vec<C> sum{};
  for (std::int64_t j = 0; j < count; ++j) sum += weight[j * stride] * read(j);
  return sum;
}

// Output rows [begin, end) of channels-last images, across first, then down, each input row once.
template <class S>
void upfirdn2d_separated(const Upfirdn2d<S>& a, const Separated<ComputeOf<S>>& taps, const S* x,
                         S* y, std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  const std::int64_t vectors = (a.channels + L - 1) / L;
  const std::int64_t row_bytes = a.out_width * vectors * 64;
  const std::int64_t capacity = (a.rows + a.up - 1) / a.up;
  Layout layout;
  const std::size_t reach_at = layout.add(a.out_width * sizeof(Reach));
  const std::size_t rows_at = layout.add(row_bytes * capacity);
  char* memory = thread_scratch(layout.size());
  Reach* reach = reinterpret_cast<Reach*>(memory + reach_at);
  for (std::int64_t ox = 0; ox < a.out_width; ++ox) {
    reach[ox] = Reach::of(ox, a.up, a.down, a.left, a.columns, a.width);
  }
  const auto filtered = [&](std::int64_t iy) {
    return reinterpret_cast<C*>(memory + rows_at + iy % capacity * row_bytes);
  };
  std::int64_t plane = -1, next = 0;
  for (std::int64_t row = begin; row < end; ++row) {
    if (row / a.out_height != plane) {
      plane = row / a.out_height;
      next = 0;
    }
    const S* image = x + plane * a.height * a.width * a.channels;
    const Reach down = Reach::of(row % a.out_height, a.up, a.down, a.top, a.rows, a.height);
    if (next < down.input + down.begin) next = down.input + down.begin;
    for (; next < down.input + down.end; ++next) {
      C* to = filtered(next);
      for (std::int64_t ox = 0; ox < a.out_width; ++ox) {
        const Reach& across = reach[ox];
        const std::int64_t count = across.end - across.begin;
        const C* weight = taps.row + across.first + across.begin * a.up;
        const std::int64_t pixel = next * a.width + across.input + across.begin;
        for (std::int64_t v = 0; v < vectors; ++v, to += L) {
          const std::int64_t left = a.channels - v * L;
          const S* from = image + pixel * a.channels + v * L;
          store(to, weighted(weight, a.up, count, [&](std::int64_t j) {
                  return load_some(from + j * a.channels, left);
                }));
        }
      }
    }
    const C* from[Separated<C>::kMost];
    C weight[Separated<C>::kMost];
    const std::int64_t count = down.end - down.begin;
    for (std::int64_t j = 0; j < count; ++j) {
      from[j] = filtered(down.input + down.begin + j);
      weight[j] = taps.column[down.first + (down.begin + j) * a.up];
    }
    S* to = y + row * a.out_width * a.channels;
    for (std::int64_t ox = 0, at = 0; ox < a.out_width; ++ox, to += a.channels) {
      for (std::int64_t v = 0; v < vectors; ++v, at += L) {
        const Vec<C> sum =
            weighted(weight, 1, count, [&](std::int64_t j) { return load(from[j] + at); });
        store_some(to + v * L, sum, a.channels - v * L);
      }
    }
  }
}

}  // namespace

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

template <class S>
void upfirdn2d(const Upfirdn2d<S>& a, const S* x, S* y, ComputeOf<S>* space, std::int64_t begin,
               std::int64_t end) {
  using C = ComputeOf<S>;
  if (a.channels_last) {
    const Separated<C> taps(a.kernel, a.rows, a.columns);
    if (taps.found) return upfirdn2d_separated(a, taps, x, y, begin, end);
  }
  const std::int64_t length = a.channels_last ? a.channels : 1;
  const auto source = [&](std::int64_t at, std::int64_t size) -> std::int64_t {
    if (at < 0 || at % a.up != 0) return -1;
    return at / a.up < size ? at / a.up : -1;
  };
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t plane = row / a.out_height, oy = row % a.out_height;
    const S* image = x + plane * a.height * a.width * length;
    S* to = y + row * a.out_width * length;
    if (a.channels_last) {
      C* __restrict sum = space;
      for (std::int64_t ox = 0; ox < a.out_width; ++ox, to += length) {
        for (std::int64_t c = 0; c < length; ++c) sum[c] = 0;
        for (std::int64_t ky = 0; ky < a.rows; ++ky) {
          const std::int64_t iy = source(oy * a.down + ky - a.top, a.height);
          if (iy < 0) continue;
          for (std::int64_t kx = 0; kx < a.columns; ++kx) {
            const std::int64_t ix = source(ox * a.down + kx - a.left, a.width);
            if (ix < 0) continue;
            const C tap = a.kernel[ky * a.columns + kx];
            const S* from = image + (iy * a.width + ix) * length;
            for (std::int64_t c = 0; c < length; ++c) sum[c] += tap * get(from[c]);
          }
        }
        for (std::int64_t c = 0; c < length; ++c) put(to[c], sum[c]);
      }
      continue;
    }
    // Outputs `up` apart read neighbours `down` apart, so each phase is a plain run.
    for (std::int64_t phase = 0; phase < a.up && phase < a.out_width; ++phase) {
      const std::int64_t count = (a.out_width - phase + a.up - 1) / a.up;
      C* __restrict sum = space;
      for (std::int64_t i = 0; i < count; ++i) sum[i] = 0;
      for (std::int64_t ky = 0; ky < a.rows; ++ky) {
        const std::int64_t iy = source(oy * a.down + ky - a.top, a.height);
        if (iy < 0) continue;
        for (std::int64_t kx = 0; kx < a.columns; ++kx) {
          const std::int64_t at = phase * a.down + kx - a.left;
          const std::int64_t whole = (at % a.up + a.up) % a.up;
          if (whole != 0) continue;
          const std::int64_t offset = at / a.up;
          // 0 <= offset + i * down < width
          std::int64_t first = offset < 0 ? (-offset + a.down - 1) / a.down : 0;
          std::int64_t last = offset >= a.width ? 0 : (a.width - 1 - offset) / a.down + 1;
          if (last > count) last = count;
          const C tap = a.kernel[ky * a.columns + kx];
          const S* from = image + iy * a.width + offset;
          if (a.down == 1) {
            for (std::int64_t i = first; i < last; ++i) sum[i] += tap * get(from[i]);
          } else {
            for (std::int64_t i = first; i < last; ++i) sum[i] += tap * get(from[i * a.down]);
          }
        }
      }
      for (std::int64_t i = 0; i < count; ++i) put(to[phase + i * a.up], sum[i]);
    }
  }
}

// One row of the bands of channels-last images, a vector of channels at a time.
template <class S, bool inverse>
STYLECLIP_INLINE void haar_vectors(const Haar<S>& a, const Threes<ComputeOf<S>>& threes,
                                   const S* from, S* to) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  for (std::int64_t x = 0; x < a.width; ++x) {
    for (std::int64_t v = 0; v * L < a.channels; ++v) {
      const std::int64_t left = a.channels - v * L, bands_at = x * 4 * a.channels;
      const auto at = [&](int i) {
        return (i / 2 * 2 * a.width + 2 * x + i % 2) * a.channels + v * L;
      };
      Vec<C> quad[4];
      if constexpr (inverse) {
        quad_of<C>(Wavelets<S>::at(from + bands_at, a.channels, v).bands(threes), quad);
        for (int i = 0; i < 4; ++i) store_some(to + at(i), quad[i], left);
      } else {
        for (int i = 0; i < 4; ++i) quad[i] = load_some(from + at(i), left);
        const Bands4<C> bands = bands_of<C>(quad);
        store_some(to + bands_at + v * L, bands.low, left);
        S* details = to + bands_at + a.channels + 3 * v * L;
        for (int q = 0; q < 3; ++q) {
          store_some(
              details + q * L,
              Threes<C>::pick(threes.join[q], bands.vertical, bands.horizontal, bands.diagonal),
              3 * left - q * L);
        }
      }
    }
  }
}

template <class S, bool inverse>
STYLECLIP_INLINE void haar(const Haar<S>& a, const S* from, S* to, std::int64_t begin,
                           std::int64_t end) {
  using C = ComputeOf<S>;
  const C half = C(0.5);
  // Strides of the bands' channels and pixels, and of the image's channels, pixels and rows.
  const std::int64_t band = a.channels_last ? 1 : a.height * a.width;
  const std::int64_t pixel = a.channels_last ? 4 * a.channels : 1;
  const std::int64_t plane = a.channels_last ? 1 : 4 * a.height * a.width;
  const std::int64_t column = a.channels_last ? a.channels : 1;
  const std::int64_t line = 2 * a.width * column;
  const Threes<C> threes;
  for (std::int64_t row = begin; row < end; ++row) {
    if (a.channels_last && a.channels % lanes<C> == 0) {
      const std::int64_t at = row * a.width * pixel;
      haar_vectors<S, inverse>(a, threes, from + at, to + at);
      continue;
    }
    const std::int64_t n = row / a.height, y = row % a.height;
    const std::int64_t bands_at = n * 4 * a.channels * a.height * a.width + y * a.width * pixel;
    const std::int64_t image_at = n * 4 * a.channels * a.height * a.width + 2 * y * line;
    const auto one = [&](std::int64_t c, std::int64_t x) {
      const std::int64_t low = bands_at + c * band + x * pixel;
      const std::int64_t detail = bands_at + (a.channels + 3 * c) * band + x * pixel;
      const std::int64_t top = image_at + c * plane + 2 * x * column;
      if constexpr (inverse) {
        const C l = get(from[low]), v = get(from[detail]), h = get(from[detail + band]),
                d = get(from[detail + 2 * band]);
        put(to[top], half * (l + v + (h + d)));
        put(to[top + column], half * (l + v - (h + d)));
        put(to[top + line], half * (l - v + (h - d)));
        put(to[top + line + column], half * (l - v - (h - d)));
      } else {
        const C p = get(from[top]), q = get(from[top + column]), r = get(from[top + line]),
                s = get(from[top + line + column]);
        put(to[low], half * (p + q + (r + s)));
        put(to[detail], half * (p + q - (r + s)));
        put(to[detail + band], half * (p - q + (r - s)));
        put(to[detail + 2 * band], half * (p - q - (r - s)));
      }
    };
    if (a.channels_last) {
      for (std::int64_t x = 0; x < a.width; ++x) {
        for (std::int64_t c = 0; c < a.channels; ++c) one(c, x);
      }
    } else {
      for (std::int64_t c = 0; c < a.channels; ++c) {
        for (std::int64_t x = 0; x < a.width; ++x) one(c, x);
      }
    }
  }
}

template <class S>
void idwt2d(const Haar<S>& a, const S* bands, S* image, std::int64_t begin, std::int64_t end) {
  haar<S, true>(a, bands, image, begin, end);
}

template <class S>
void dwt2d(const Haar<S>& a, const S* image, S* bands, std::int64_t begin, std::int64_t end) {
  haar<S, false>(a, image, bands, begin, end);
}

STYLECLIP_PIXELWISE(template, float)
STYLECLIP_PIXELWISE(template, double)
STYLECLIP_PIXELWISE(template, BFloat16)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
