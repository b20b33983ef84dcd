// The Haar wavelet on vectors of channels, as MobileStyleGAN's bands lie: of each pixel the low
// bands of all channels, then the three detail bands of a channel beside each other.
#pragma once

#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// The detail bands of a channel lie beside each other: these take three vectors apart into the
// bands, and put them together again.
template <class C>
struct Threes {
  using Mask = typename Vector<C>::mask;
  static constexpr int L = lanes<C>;
  Mask split[3][2], join[3][2];

  Threes() {
    for (int band = 0; band < 3; ++band) {
      for (int i = 0; i < L; ++i) {
        const int from = 3 * i + band;
        split[band][0][i] = from < 2 * L ? from : 0;
        split[band][1][i] = from < 2 * L ? i : from - L;
        const int to = band * L + i;  // in the vector `band` of the three
        join[band][0][i] = to % 3 == 2 ? 0 : to / 3 + (to % 3) * L;
        join[band][1][i] = to % 3 == 2 ? to / 3 + L : i;
      }
    }
  }
  STYLECLIP_INLINE Vec<C> pick(const Mask (&mask)[2], Vec<C> a, Vec<C> b, Vec<C> c) {
    return __builtin_shuffle(__builtin_shuffle(a, b, mask[0]), c, mask[1]);
  }
};

template <class C>
struct Bands4 {
  Vec<C> low, vertical, horizontal, diagonal;
};

// Both directions of the Haar wavelet: [top left, top right, bottom left, bottom right].
template <class C>
STYLECLIP_INLINE void quad_of(const Bands4<C>& b, Vec<C> (&quad)[4]) {
  const Vec<C> top = b.low + b.vertical, bottom = b.low - b.vertical;
  const Vec<C> top_detail = b.horizontal + b.diagonal, bottom_detail = b.horizontal - b.diagonal;
  quad[0] = C(0.5) * (top + top_detail);
  quad[1] = C(0.5) * (top - top_detail);
  quad[2] = C(0.5) * (bottom + bottom_detail);
  quad[3] = C(0.5) * (bottom - bottom_detail);
}

template <class C>
STYLECLIP_INLINE Bands4<C> bands_of(const Vec<C> (&quad)[4]) {
  const Vec<C> top = quad[0] + quad[1], bottom = quad[2] + quad[3];
  const Vec<C> top_detail = quad[0] - quad[1], bottom_detail = quad[2] - quad[3];
  return {C(0.5) * (top + bottom), C(0.5) * (top - bottom), C(0.5) * (top_detail + bottom_detail),
          C(0.5) * (top_detail - bottom_detail)};
}

// The bands of one pixel for one vector of channels, as they lie in memory.
template <class S>
struct Wavelets {
  using C = ComputeOf<S>;
  static constexpr int L = lanes<C>;
  Vec<C> low, details[3];

  STYLECLIP_INLINE Wavelets at(const S* x, std::int64_t channels, std::int64_t v) {
    const std::int64_t left = channels - v * L;
    Wavelets pixel;
    pixel.low = load_some(x + v * L, left);
    const S* from = x + channels + 3 * v * L;
    for (int q = 0; q < 3; ++q) pixel.details[q] = load_some(from + q * L, 3 * left - q * L);
    return pixel;
  }
  void scale(const C* low_factors, const C* detail_factors) {
    low *= load(low_factors);
    for (int q = 0; q < 3; ++q) details[q] *= load(detail_factors + q * L);
  }
  Bands4<C> bands(const Threes<C>& threes) const {
    const auto pick = [&](int band) {
      return Threes<C>::pick(threes.split[band], details[0], details[1], details[2]);
    };
    return {low, pick(0), pick(1), pick(2)};
  }
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
