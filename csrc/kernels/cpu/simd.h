// Compiler vectors of 64 bytes, loads and stores that convert, for the sources that are compiled
// once for each instruction set. On narrower machines the compiler splits a vector into registers.
//
// Nothing here or in those sources may use inline functions of the standard library: the linker
// would keep one copy for all sets, and it might be the one that this processor cannot run.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd_types.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#define STYLECLIP_INLINE static inline __attribute__((always_inline))

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

template <class C>
struct Vector;
template <>
struct Vector<float> {
  typedef float type __attribute__((vector_size(64)));
  typedef float unaligned __attribute__((vector_size(64), aligned(4), may_alias));
  typedef std::int32_t mask __attribute__((vector_size(64)));
};
template <>
struct Vector<double> {
  typedef double type __attribute__((vector_size(64)));
  typedef double unaligned __attribute__((vector_size(64), aligned(8), may_alias));
  typedef std::int64_t mask __attribute__((vector_size(64)));
};
template <class C>
using Vec = typename Vector<C>::type;
template <class C>
constexpr int lanes = 64 / sizeof(C);

typedef std::uint32_t U32x16 __attribute__((vector_size(64)));
typedef std::uint16_t U16x16 __attribute__((vector_size(32)));
typedef std::uint16_t U16x16Unaligned __attribute__((vector_size(32), aligned(2), may_alias));

template <class S>
using ComputeOf = typename ComputeType<S>::type;

STYLECLIP_INLINE Vec<float> load(const float* p) {
  return *reinterpret_cast<const Vector<float>::unaligned*>(p);
}
STYLECLIP_INLINE Vec<double> load(const double* p) {
  return *reinterpret_cast<const Vector<double>::unaligned*>(p);
}
STYLECLIP_INLINE Vec<float> load(const BFloat16* p) {
  const U16x16 half = *reinterpret_cast<const U16x16Unaligned*>(p);
  const U32x16 bits = __builtin_convertvector(half, U32x16) << 16;
  return reinterpret_cast<Vec<float>>(bits);
}

STYLECLIP_INLINE void store(float* p, Vec<float> v) {
  *reinterpret_cast<Vector<float>::unaligned*>(p) = v;
}
STYLECLIP_INLINE void store(double* p, Vec<double> v) {
  *reinterpret_cast<Vector<double>::unaligned*>(p) = v;
}
STYLECLIP_INLINE void store(BFloat16* p, Vec<float> v) {
#ifdef __AVX512BF16__
  const __m256bh half = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(v));
  std::memcpy(p, &half, sizeof(half));
#else
  // To nearest, ties to even; a NaN stays one, because the products here carry quiet NaNs.
  const U32x16 bits = reinterpret_cast<U32x16>(v);
  const U32x16 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  *reinterpret_cast<U16x16Unaligned*>(p) = __builtin_convertvector(rounded, U16x16);
#endif
}

// The first `count` lanes, zeros behind them; a count beyond a whole vector reads a whole one.
template <class S>
STYLECLIP_INLINE Vec<ComputeOf<S>> load_some(const S* p, std::int64_t count) {
  constexpr int L = lanes<ComputeOf<S>>;
  if (count >= L) return load(p);
  S part[L];
  std::memset(part, 0, sizeof(part));
  for (int i = 0; i < count; ++i) part[i] = p[i];
  return load(part);
}

template <class S>
STYLECLIP_INLINE void store_some(S* p, Vec<ComputeOf<S>> v, std::int64_t count) {
  constexpr int L = lanes<ComputeOf<S>>;
  if (count >= L) {
    store(p, v);
    return;
  }
  S part[L];
  store(part, v);
  for (int i = 0; i < count; ++i) p[i] = part[i];
}

// One number, as `load` and `store` convert a vector.
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
STYLECLIP_INLINE C sum(Vec<C> v) {
  if constexpr (lanes<C> == 16) {
    v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
    return v[0] + v[1];
  } else {
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3);
    return v[0] + v[1];
  }
}

// 0, 1, 2, ... up to the number of a vector's lanes.
template <int... lane>
struct Lanes {};
constexpr Lanes<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15> kLanes16;
constexpr Lanes<0, 1, 2, 3, 4, 5, 6, 7> kLanes8;

// Of two rows of lanes, parted into pieces of `distance`, the even pieces and the odd ones, those
// of the first row and of the second by turns: what makes rows columns, and adds up lanes.
template <int distance, class V, int... lane>
STYLECLIP_INLINE V even_pieces(V a, V b, Lanes<lane...>) {
  constexpr int count = sizeof...(lane);
  return __builtin_shufflevector(a, b, (lane & distance ? count + lane - distance : lane)...);
}
template <int distance, class V, int... lane>
STYLECLIP_INLINE V odd_pieces(V a, V b, Lanes<lane...>) {
  constexpr int count = sizeof...(lane);
  return __builtin_shufflevector(a, b, (lane & distance ? count + lane : lane + distance)...);
}

template <int distance, class V, class All>
STYLECLIP_INLINE V lane_sums_from(V* v, All all) {
#pragma GCC unroll 8
  for (int i = 0; i < distance; ++i) {
    const V a = v[i], b = v[i + distance];
    v[i] = even_pieces<distance>(a, b, all) + odd_pieces<distance>(a, b, all);
  }
  if constexpr (distance > 1) return lane_sums_from<distance / 2>(v, all);
  return v[0];
}
// The sum of each of `lanes` vectors, as one vector; overwrites them.
STYLECLIP_INLINE Vec<float> lane_sums(Vec<float>* v) { return lane_sums_from<8>(v, kLanes16); }
STYLECLIP_INLINE Vec<double> lane_sums(Vec<double>* v) { return lane_sums_from<4>(v, kLanes8); }

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
