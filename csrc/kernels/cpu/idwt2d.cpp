// Compiled once for each instruction set; see isa.h.
#include "idwt2d.h"

#include "haar.h"
#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

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
void haar(const Haar<S>& a, const S* from, S* to, std::int64_t begin, std::int64_t end) {
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

}  // namespace

template <class S>
const HaarKernels<S>& haar_kernels() {
  static constexpr HaarKernels<S> table{haar<S, true>, haar<S, false>};
  return table;
}
STYLECLIP_INSTANTIATE(HaarKernels, haar_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
