// 3x3 convolutions with 36 multiplications for sixteen outputs instead of 144: F(4x4, 3x3) of
// Winograd 1980 as Lavin and Gray 2016 apply it, "Fast Algorithms for Convolutional Neural
// Networks". Tiles of 4x4 outputs see 6x6 inputs.
#pragma once

#include "tiled.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

constexpr int kTile = 4;          // outputs to a side
constexpr int kSeen = kTile + 2;  // inputs to a side

// The transforms take polynomials' values at 0, +-kNear, +-kFar and infinity. Of the points that
// keep the transforms short, these round least: with the usual +-1 and +-2 the error is twice as
// large, its maximum four times.
constexpr double kNear = 0.70710678118654752440;  // sqrt(1/2)
constexpr double kFar = 2 * kNear;

constexpr double kWeightTransform[kSeen][3] = {{1, 0, 0},
                                               {-2. / 3, -kNear * 2 / 3, -1. / 3},
                                               {-2. / 3, kNear * 2 / 3, -1. / 3},
                                               {1. / 6, kFar / 6, 1. / 3},
                                               {1. / 6, -kFar / 6, 1. / 3},
                                               {0, 0, 1}};

template <class C>
STYLECLIP_INLINE void transform_inputs(const Vec<C> d[kSeen], Vec<C> to[kSeen]) {
  const Vec<C> near = d[4] - C(2) * d[2], odd_near = d[3] - C(2) * d[1];
  const Vec<C> far = d[4] - C(0.5) * d[2], odd_far = d[3] - C(0.5) * d[1];
  to[0] = d[0] + d[4] - C(2.5) * d[2];
  to[1] = near + C(kNear) * odd_near;
  to[2] = near - C(kNear) * odd_near;
  to[3] = far + C(kFar) * odd_far;
  to[4] = far - C(kFar) * odd_far;
  to[5] = d[1] + d[5] - C(2.5) * d[3];
}

template <class C>
STYLECLIP_INLINE void transform_outputs(const Vec<C> p[kSeen], Vec<C> to[kTile]) {
  const Vec<C> near = p[1] + p[2], odd_near = p[1] - p[2];
  const Vec<C> far = p[3] + p[4], odd_far = p[3] - p[4];
  to[0] = p[0] + near + far;
  to[1] = C(kNear) * odd_near + C(kFar) * odd_far;
  to[2] = C(0.5) * near + C(2) * far;
  to[3] = C(kNear / 2) * odd_near + C(2 * kFar) * odd_far + p[5];
}

// A form of tiled.h.
struct Winograd {
  static constexpr int tile = kTile, scale = 1, before = 1, seen = kSeen;
  static constexpr int points = kSeen * kSeen, products = points;
  static constexpr std::int64_t at_once = 64;

  static Product product(int i) { return {1, {i}, {i}}; }

  // The tiles [begin, end) of six input rows, given as [vector][pixel][lanes] from column -1 on, go
  // to tiles[point][block][tile][64 bytes] from tile `at` of `count` on.
  template <class S>
  static void transform_input(const ComputeOf<S>* const rows[kSeen], std::int64_t row_pixels,
                              std::int64_t vectors, std::int64_t begin, std::int64_t end,
                              char* tiles, std::int64_t point_bytes, std::int64_t count,
                              std::int64_t at) {
    using C = ComputeOf<S>;
    constexpr int L = lanes<C>;
    constexpr int n = kSeen;
    for (std::int64_t v = 0; v < vectors; ++v) {
      const auto column = [&](std::int64_t px, Vec<C> to[n]) {
        Vec<C> d[n];
#pragma GCC unroll 6
        for (int i = 0; i < n; ++i) d[i] = load(rows[i] + (v * row_pixels + px) * L);
        transform_inputs<C>(d, to);
      };
      Vec<C> columns[n][n];
      column(kTile * begin, columns[0]);
      column(kTile * begin + 1, columns[1]);
      for (std::int64_t tile = begin; tile < end; ++tile) {
#pragma GCC unroll 4
        for (int j = 2; j < n; ++j) column(kTile * tile + j, columns[j]);
        char* to = tiles;
#pragma GCC unroll 6
        for (int i = 0; i < n; ++i) {
          Vec<C> d[n], points[n];
#pragma GCC unroll 6
          for (int j = 0; j < n; ++j) d[j] = columns[j][i];
          transform_inputs<C>(d, points);
#pragma GCC unroll 6
          for (int j = 0; j < n; ++j, to += point_bytes) {
            store_blocked<S>(to, count, at + tile - begin, v, points[j]);
          }
        }
#pragma GCC unroll 6
        for (int i = 0; i < n; ++i) {
          columns[0][i] = columns[kTile][i];
          columns[1][i] = columns[kTile + 1][i];
        }
      }
    }
  }

  // The products of `tiles` tiles of one output block, as four rows [4 * tiles][out_block].
  template <class C, int OB>
  static void transform_output(const C* products, std::int64_t product_stride, std::int64_t tiles,
                               C* rows, std::int64_t row_stride) {
    constexpr int L = lanes<C>;
    constexpr int n = kSeen;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for (int v = 0; v < OB / L; ++v) {
        const C* from = products + tile * OB + v * L;
        Vec<C> columns[n][kTile];
#pragma GCC unroll 6
        for (int j = 0; j < n; ++j) {
          Vec<C> points[n];
#pragma GCC unroll 6
          for (int i = 0; i < n; ++i) points[i] = load(from + (n * i + j) * product_stride);
          transform_outputs<C>(points, columns[j]);
        }
#pragma GCC unroll 4
        for (int i = 0; i < kTile; ++i) {
          Vec<C> points[n], row[kTile];
#pragma GCC unroll 6
          for (int j = 0; j < n; ++j) points[j] = columns[j][i];
          transform_outputs<C>(points, row);
#pragma GCC unroll 4
          for (int j = 0; j < kTile; ++j) {
            store(rows + i * row_stride + (kTile * tile + j) * OB + v * L, row[j]);
          }
        }
      }
    }
  }
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
