// 3x3 convolutions with 36 multiplications for sixteen outputs instead of 144, or 16 for four
// instead of 36: F(4x4, 3x3) and F(2x2, 3x3) of Winograd 1980 as Lavin and Gray 2016 apply them,
// "Fast Algorithms for Convolutional Neural Networks". Tiles of 4x4 outputs see 6x6 inputs, of 2x2
// 4x4.
#pragma once

#include "winograd_tiles.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// The transforms of tiles of `tile` outputs to a side.
template <int tile>
struct Transform;

// They take polynomials' values at 0, +-near, +-far and infinity. Of the points that keep the
// transforms short, these round least: with the usual +-1 and +-2 the error is twice as large, its
// maximum four times.
template <>
struct Transform<4> {
  static constexpr double near = 0.70710678118654752440;  // sqrt(1/2)
  static constexpr double far = 2 * near;
  static constexpr double weights[6][3] = {{1, 0, 0},
                                           {-2. / 3, -near * 2 / 3, -1. / 3},
                                           {-2. / 3, near * 2 / 3, -1. / 3},
                                           {1. / 6, far / 6, 1. / 3},
                                           {1. / 6, -far / 6, 1. / 3},
                                           {0, 0, 1}};

  template <class C>
  STYLECLIP_INLINE void inputs(const Vec<C> d[6], Vec<C> to[6]) {
    const Vec<C> even_near = d[4] - C(2) * d[2], odd_near = d[3] - C(2) * d[1];
    const Vec<C> even_far = d[4] - C(0.5) * d[2], odd_far = d[3] - C(0.5) * d[1];
    to[0] = d[0] + d[4] - C(2.5) * d[2];
    to[1] = even_near + C(near) * odd_near;
    to[2] = even_near - C(near) * odd_near;
    to[3] = even_far + C(far) * odd_far;
    to[4] = even_far - C(far) * odd_far;
    to[5] = d[1] + d[5] - C(2.5) * d[3];
  }

  template <class C>
  STYLECLIP_INLINE void outputs(const Vec<C> p[6], Vec<C> to[4]) {
    const Vec<C> even_near = p[1] + p[2], odd_near = p[1] - p[2];
    const Vec<C> even_far = p[3] + p[4], odd_far = p[3] - p[4];
    to[0] = p[0] + even_near + even_far;
    to[1] = C(near) * odd_near + C(far) * odd_far;
    to[2] = C(0.5) * even_near + C(2) * even_far;
    to[3] = C(near / 2) * odd_near + C(2 * far) * odd_far + p[5];
  }
};

// Their values at 0, +-1 and infinity.
template <>
struct Transform<2> {
  static constexpr double weights[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};

  template <class C>
  STYLECLIP_INLINE void inputs(const Vec<C> d[4], Vec<C> to[4]) {
    to[0] = d[0] - d[2];
    to[1] = d[1] + d[2];
    to[2] = d[2] - d[1];
    to[3] = d[3] - d[1];
  }

  template <class C>
  STYLECLIP_INLINE void outputs(const Vec<C> p[4], Vec<C> to[2]) {
    to[0] = p[0] + p[1] + p[2];
    to[1] = p[1] - p[2] + p[3];
  }
};

// A form of winograd_tiles.h.
template <int side>
struct Winograd {
  static constexpr int tile = side, scale = 1, before = 1, seen = side + 2;
  static constexpr int points = seen * seen, products = points;
  static constexpr std::int64_t at_once = 64;

  static Product product(int i) { return {1, {i}, {i}}; }

  // The tiles [begin, end) of the rows that they see, given as [vector][pixel][lanes] from column
  // -1 on, go to tiles[point][block][tile][64 bytes] from tile `at` of `count` on.
  template <class S>
  static void transform_input(const ComputeOf<S>* const rows[seen], std::int64_t row_pixels,
                              std::int64_t vectors, std::int64_t begin, std::int64_t end,
                              char* tiles, std::int64_t point_bytes, std::int64_t count,
                              std::int64_t at) {
    using C = ComputeOf<S>;
    constexpr int L = lanes<C>;
    constexpr int n = seen;
    for (std::int64_t v = 0; v < vectors; ++v) {
      const auto column = [&](std::int64_t px, Vec<C> to[n]) {
        Vec<C> d[n];
#pragma GCC unroll 6
        for (int i = 0; i < n; ++i) d[i] = load(rows[i] + (v * row_pixels + px) * L);
        Transform<side>::template inputs<C>(d, to);
      };
      Vec<C> columns[n][n];
      column(side * begin, columns[0]);
      column(side * begin + 1, columns[1]);
      for (std::int64_t tile = begin; tile < end; ++tile) {
#pragma GCC unroll 4
        for (int j = 2; j < n; ++j) column(side * tile + j, columns[j]);
        char* to = tiles;
#pragma GCC unroll 6
        for (int i = 0; i < n; ++i) {
          Vec<C> d[n], points[n];
#pragma GCC unroll 6
          for (int j = 0; j < n; ++j) d[j] = columns[j][i];
          Transform<side>::template inputs<C>(d, points);
#pragma GCC unroll 6
          for (int j = 0; j < n; ++j, to += point_bytes) {
            store_blocked<S>(to, count, at + tile - begin, v, points[j]);
          }
        }
#pragma GCC unroll 6
        for (int i = 0; i < n; ++i) {
          columns[0][i] = columns[side][i];
          columns[1][i] = columns[side + 1][i];
        }
      }
    }
  }

  // The products of `tiles` tiles of one output block, as rows [side * tiles][out_block].
  template <class C, int OB>
  static void transform_output(const C* products, std::int64_t product_stride, std::int64_t tiles,
                               C* rows, std::int64_t row_stride) {
    constexpr int L = lanes<C>;
    constexpr int n = seen;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for (int v = 0; v < OB / L; ++v) {
        const C* from = products + tile * OB + v * L;
        Vec<C> columns[n][side];
#pragma GCC unroll 6
        for (int j = 0; j < n; ++j) {
          Vec<C> points[n];
#pragma GCC unroll 6
          for (int i = 0; i < n; ++i) points[i] = load(from + (n * i + j) * product_stride);
          Transform<side>::template outputs<C>(points, columns[j]);
        }
#pragma GCC unroll 4
        for (int i = 0; i < side; ++i) {
          Vec<C> points[n], row[side];
#pragma GCC unroll 6
          for (int j = 0; j < n; ++j) points[j] = columns[j][i];
          Transform<side>::template outputs<C>(points, row);
#pragma GCC unroll 4
          for (int j = 0; j < side; ++j) {
            store(rows + i * row_stride + (side * tile + j) * OB + v * L, row[j]);
          }
        }
      }
    }
  }
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
