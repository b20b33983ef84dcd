// Compiled once for each instruction set; see isa.h. Plain loops that the compiler vectorises.
#include "pixelwise_isa.h"

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

template <class S>
STYLECLIP_INLINE ComputeOf<S> activate(const BiasAct<S>& a, ComputeOf<S> x) {
  x = (x > 0 ? x : x * a.slope) * a.gain;
  x = x > a.clamp ? a.clamp : x;
  return x < -a.clamp ? -a.clamp : x;
}

}  // namespace

template <class S>
void bias_act(const BiasAct<S>& a, const S* x, S* y, std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  const std::int64_t length = a.inner == 1 ? a.channels : a.inner;
  for (std::int64_t row = begin; row < end; ++row) {
    const S* __restrict from = x + row * length;
    S* __restrict to = y + row * length;
    if (a.inner == 1 && a.bias) {
      for (std::int64_t c = 0; c < length; ++c) put(to[c], activate(a, get(from[c]) + a.bias[c]));
    } else {
      const C bias = a.bias ? a.bias[row % a.channels] : C(0);
      for (std::int64_t i = 0; i < length; ++i) put(to[i], activate(a, get(from[i]) + bias));
    }
  }
}

template <class S>
void bias_act_backward(const BiasAct<S>& a, const S* grad, const S* y, S* grad_x,
                       std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  const std::int64_t length = a.inner == 1 ? a.channels : a.inner;
  S* __restrict to = grad_x;
  for (std::int64_t i = begin * length; i < end * length; ++i) {
    const C made = get(y[i]), open = get(grad[i]) * a.gain;
    const C value = made > 0 ? open : open * a.slope;
    put(to[i], made < a.clamp && made > -a.clamp ? value : C(0));
  }
}

template <class S>
void upfirdn2d(const Upfirdn2d<S>& a, const S* x, S* y, ComputeOf<S>* space, std::int64_t begin,
               std::int64_t end) {
  using C = ComputeOf<S>;
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
  for (std::int64_t row = begin; row < end; ++row) {
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
