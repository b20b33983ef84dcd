// 3x3 convolutions with 36 multiplications for sixteen outputs instead of 144: F(4x4, 3x3) of
// Winograd 1980 as Lavin and Gray 2016 apply it, "Fast Algorithms for Convolutional Neural
// Networks".
//
// The image is parted into tiles of 4x4 outputs, each of which sees 6x6 inputs. Inputs and weights
// are transformed to 36 *points*; at each point, outputs are a matrix product over channels, which
// the register tiles of tile.h make, a pixel of theirs being a tile here.
#pragma once

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

constexpr int kTile = 4;          // outputs to a side
constexpr int kSeen = kTile + 2;  // inputs to a side
constexpr int kPoints = kSeen * kSeen;

// How many tiles share one pass over the weights, and so how much is transformed at once.
constexpr std::int64_t kTilesAtOnce = 64;
// How many tiles are transformed back at once, to be finished while they are in the first cache.
constexpr std::int64_t kTilesFinished = 8;

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

// How a band of rows is parted: into groups of tile rows, and those into spans of columns.
struct TileGrid {
  TileGrid(std::int64_t width, std::int64_t rows)
      : columns((width + kTile - 1) / kTile),
        row_pixels(kTile * columns + 2),
        spans((columns + kTilesAtOnce - 1) / kTilesAtOnce),
        span((columns + spans - 1) / spans) {
    const std::int64_t most = spans > 1 ? 1 : kTilesAtOnce / columns;
    const std::int64_t tile_rows = (rows + kTile - 1) / kTile;
    const std::int64_t groups = (tile_rows + most - 1) / most;
    rows_at_once = (tile_rows + groups - 1) / groups;
    tiles_at_once = rows_at_once * span;
  }
  std::int64_t columns;     // tiles side by side
  std::int64_t row_pixels;  // that they see, from column -1
  std::int64_t spans, span;
  std::int64_t rows_at_once, tiles_at_once;
};

// Whole cache lines, an odd number of them: neighbours a power of two apart would crowd into few
// sets of the cache.
STYLECLIP_INLINE std::int64_t odd_lines(std::int64_t bytes) { return (bytes + 63) / 64 * 64 | 64; }

// The tiles [begin, end) of six input rows, given as [vector][pixel][lanes] from column -1 on, go
// to tiles[point][block][tile][64 bytes] from tile `at` of `count` on.
template <class S>
void transform_input(const ComputeOf<S>* const rows[kSeen], std::int64_t row_pixels,
                     std::int64_t vectors, std::int64_t begin, std::int64_t end, char* tiles,
                     std::int64_t point_bytes, std::int64_t count, std::int64_t at) {
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

// One output block of all tiles: products[point][tile][out_block].
template <class S>
void multiply_tiles(const char* tiles, std::int64_t point_bytes, std::int64_t count,
                    std::int64_t blocks, const char* weight, std::int64_t weight_point_bytes,
                    ComputeOf<S>* products, std::int64_t product_stride) {
  constexpr int OB = out_block<S>;
  const Tiling tiling(count);
  Taps<S> taps;
  taps.count = 1;
  taps.blocks = blocks;
  taps.x_stride = count * 64;
  taps.weight_stride = 64 * steps<S> * kVectors;
  for (int point = 0; point < kPoints; ++point) {
    taps.weight[0] = weight + point * weight_point_bytes;
    for (std::int64_t i = 0; i < tiling.count; ++i) {
      const std::int64_t first = tiling.begin(i);
      taps.x[0] = tiles + point * point_bytes + first * 64;
      run_tile<S>(tiling.pixels(i), taps, products + point * product_stride + first * OB, OB);
    }
  }
}

// The products of `tiles` tiles of one output block, as four rows [4 * tiles][out_block].
template <class S>
void transform_output(const ComputeOf<S>* products, std::int64_t product_stride, std::int64_t tiles,
                      ComputeOf<S>* rows, std::int64_t row_stride) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int n = kSeen, OB = out_block<S>;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    for (int v = 0; v < kVectors; ++v) {
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

// Like `Direct` (direct.h), for 3x3 kernels.
template <class S>
class Winograd {
 public:
  using C = ComputeOf<S>;

  Winograd(Layout& layout, const Sizes<S>& in, const Sizes<S>& /*out*/, int /*kernel: 3*/,
           std::int64_t width, std::int64_t rows)
      : grid_(width, rows),
        row_bytes_(in.vectors * grid_.row_pixels * 64),
        ring_(kTile * grid_.rows_at_once + 2),
        point_bytes_(odd_lines(in.blocks * grid_.tiles_at_once * 64)),
        product_bytes_(odd_lines(grid_.tiles_at_once * out_block<S> * sizeof(C))),
        rows_at_(layout.add(row_bytes_ * ring_)),
        tiles_at_(layout.add(point_bytes_ * kPoints)),
        products_at_(layout.add(product_bytes_ * kPoints)),
        results_at_(layout.add(kTile * kResultStride * sizeof(C))) {}

  template <class Prepare, class Take>
  void run(char* memory, const Sizes<S>& in, const Sizes<S>& out, const char* weight,
           std::int64_t height, std::int64_t width, std::int64_t begin, std::int64_t end,
           const Prepare& prepare, const Take& take) const {
    constexpr int L = lanes<C>;
    constexpr int OB = out_block<S>;
    const Ring ring{memory + rows_at_, row_bytes_, ring_};
    char* tiles = memory + tiles_at_;
    C* products = reinterpret_cast<C*>(memory + products_at_);
    C* results = reinterpret_cast<C*>(memory + results_at_);
    const std::int64_t product_stride = product_bytes_ / sizeof(C);
    std::memset(ring.memory, 0, row_bytes_ * ring_);  // the borders stay zero
    const std::int64_t weight_bytes = 64 * steps<S> * kVectors * in.blocks;
    std::int64_t prepared = begin - 1;
    for (std::int64_t first = begin; first < end; first += kTile * grid_.rows_at_once) {
      const std::int64_t left = (end - first + kTile - 1) / kTile;
      const std::int64_t tile_rows = left < grid_.rows_at_once ? left : grid_.rows_at_once;
      for (; prepared < first + kTile * tile_rows + 1; ++prepared) {
        C* row = reinterpret_cast<C*>(ring[prepared]);
        if (prepared < 0 || prepared >= height) {
          std::memset(row, 0, row_bytes_);
          continue;
        }
        prepare(prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
          store(row + (v * grid_.row_pixels + px + 1) * L, value);
        });
      }
      for (std::int64_t from = 0; from < grid_.columns; from += grid_.span) {
        const std::int64_t to =
            from + grid_.span < grid_.columns ? from + grid_.span : grid_.columns;
        const std::int64_t span = to - from, count = tile_rows * span;
        for (std::int64_t r = 0; r < tile_rows; ++r) {
          const C* rows[kSeen];
          for (int i = 0; i < kSeen; ++i) {
            rows[i] = reinterpret_cast<const C*>(ring[first + kTile * r - 1 + i]);
          }
          transform_input<S>(rows, grid_.row_pixels, in.vectors, from, to, tiles, point_bytes_,
                             count, r * span);
        }
        for (std::int64_t ob = 0; ob < out.out_blocks; ++ob) {
          multiply_tiles<S>(tiles, point_bytes_, count, in.blocks, weight + ob * weight_bytes,
                            out.out_blocks * weight_bytes, products, product_stride);
          for (std::int64_t r = 0; r < tile_rows; ++r) {
            for (std::int64_t tile = 0; tile < span; tile += kTilesFinished) {
              const std::int64_t some = span - tile < kTilesFinished ? span - tile : kTilesFinished;
              transform_output<S>(products + (r * span + tile) * OB, product_stride, some, results,
                                  kResultStride);
              const std::int64_t px = kTile * (from + tile);
              const std::int64_t pixels = width - px < kTile * some ? width - px : kTile * some;
              for (int i = 0; i < kTile && first + kTile * r + i < end; ++i) {
                take(ob, first + kTile * r + i, px, pixels, results + i * kResultStride);
              }
            }
          }
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kResultStride = kTile * kTilesFinished * out_block<S>;
  TileGrid grid_;
  std::int64_t row_bytes_, ring_, point_bytes_, product_bytes_;
  std::size_t rows_at_, tiles_at_, products_at_, results_at_;
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
