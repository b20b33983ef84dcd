// 3x3 convolutions with 16 multiplications for four outputs instead of 36: F(2x2, 3x3) of Winograd
// 1980 as Lavin and Gray 2016 apply it, "Fast Algorithms for Convolutional Neural Networks".
//
// The image is parted into tiles of 2x2 outputs, each of which sees 4x4 inputs. Inputs and weights
// are transformed to 16 *points*; at each point, outputs are a matrix product over channels, which
// the register tiles of tile.h make, a pixel of theirs being a tile here.
#pragma once

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

constexpr int kPoints = 16;

// How many tiles share one pass over the weights, and so how much is transformed at once.
constexpr std::int64_t kTilesAtOnce = 4 * kMaxPixels;

// Packs weight[o][i][3][3] given by its strides in elements as [point][output block][block]...;
// `scratch` holds in_channels * out_channels numbers.
template <class S>
void pack_winograd(const ComputeOf<S>* weight, std::int64_t in_channels, std::int64_t out_channels,
                   std::int64_t in_stride, std::int64_t out_stride, bool reverse_taps,
                   ComputeOf<S>* scratch, char* packed) {
  using C = ComputeOf<S>;
  constexpr C G[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  for (int point = 0; point < kPoints; ++point) {
    for (std::int64_t o = 0; o < out_channels; ++o) {
      for (std::int64_t i = 0; i < in_channels; ++i) {
        const C* taps = weight + o * out_stride + i * in_stride;
        C sum = 0;
        for (int t = 0; t < 9; ++t) {
          sum += G[point / 4][t / 3] * G[point % 4][t % 3] * taps[reverse_taps ? 8 - t : t];
        }
        scratch[o * in_channels + i] = sum;
      }
    }
    pack<S>(scratch, in_channels, out_channels, 1, 1, in_channels, false, packed);
    packed += packed_bytes<S>(in_channels, out_channels, 1);
  }
}

// How a band of rows is parted: into groups of tile rows, and those into spans of columns.
struct TileGrid {
  TileGrid(std::int64_t width, std::int64_t rows)
      : columns((width + 1) / 2),
        row_pixels(2 * columns + 2),
        spans((columns + kTilesAtOnce - 1) / kTilesAtOnce),
        span((columns + spans - 1) / spans) {
    const std::int64_t wanted = spans > 1 ? 1 : kTilesAtOnce / columns, most = (rows + 1) / 2;
    rows_at_once = wanted < 1 ? 1 : wanted < most ? wanted : most;
    tiles_at_once = rows_at_once * span;
  }
  std::int64_t columns;     // tiles side by side
  std::int64_t row_pixels;  // that they see, from column -1
  std::int64_t spans, span;
  std::int64_t rows_at_once, tiles_at_once;
};

// The tiles [begin, end) of four input rows, given as [vector][pixel][lanes] from column -1 on, go
// to tiles[point][block][tile][64 bytes] from tile `at` of `count` on.
template <class S>
void transform_input(const ComputeOf<S>* const rows[4], std::int64_t row_pixels,
                     std::int64_t vectors, std::int64_t begin, std::int64_t end, char* tiles,
                     std::int64_t point_bytes, std::int64_t count, std::int64_t at) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  struct Column {
    Vec<C> value[4];
  };
  for (std::int64_t v = 0; v < vectors; ++v) {
    const auto column = [&](std::int64_t px) {
      const std::int64_t from = (v * row_pixels + px) * L;
      const Vec<C> a = load(rows[0] + from), b = load(rows[1] + from);
      const Vec<C> c = load(rows[2] + from), d = load(rows[3] + from);
      return Column{{a - c, b + c, c - b, b - d}};
    };
    Column w = column(2 * begin), x = column(2 * begin + 1);
    for (std::int64_t tile = begin; tile < end; ++tile) {
      const Column y = column(2 * tile + 2), z = column(2 * tile + 3);
      char* to = tiles;
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p, to += 4 * point_bytes) {
        const std::int64_t pixel = at + tile - begin;
        store_blocked<S>(to, count, pixel, v, w.value[p] - y.value[p]);
        store_blocked<S>(to + point_bytes, count, pixel, v, x.value[p] + y.value[p]);
        store_blocked<S>(to + 2 * point_bytes, count, pixel, v, y.value[p] - x.value[p]);
        store_blocked<S>(to + 3 * point_bytes, count, pixel, v, x.value[p] - z.value[p]);
      }
      w = y;
      x = z;
    }
  }
}

// One output block of all tiles: products[point][tile][out_block].
template <class S>
void multiply_tiles(const char* tiles, std::int64_t point_bytes, std::int64_t count,
                    std::int64_t blocks, const char* weight, std::int64_t weight_point_bytes,
                    ComputeOf<S>* products) {
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
      run_tile<S>(tiling.pixels(i), taps, products + (point * count + first) * OB, OB);
    }
  }
}

// `tiles` tiles from tile `at` of `count` on, as two rows [2 * tiles][out_block].
template <class C>
void transform_output(const C* products, std::int64_t count, std::int64_t at, std::int64_t tiles,
                      int width, C* upper, C* lower) {
  constexpr int L = lanes<C>;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    for (int v = 0; v < width; v += L) {
      const C* from = products + (at + tile) * width + v;
      Vec<C> up[4], low[4];
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q, from += count * width) {
        const Vec<C> a = load(from), b = load(from + 4 * count * width);
        const Vec<C> c = load(from + 8 * count * width), d = load(from + 12 * count * width);
        up[q] = a + b + c;
        low[q] = b - c - d;
      }
      const std::int64_t left = 2 * tile * width + v, right = left + width;
      store(upper + left, up[0] + up[1] + up[2]);
      store(upper + right, up[1] - up[2] - up[3]);
      store(lower + left, low[0] + low[1] + low[2]);
      store(lower + right, low[1] - low[2] - low[3]);
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
        ring_(2 * grid_.rows_at_once + 2),
        point_bytes_(in.blocks * grid_.tiles_at_once * 64),
        rows_at_(layout.add(row_bytes_ * ring_)),
        tiles_at_(layout.add(point_bytes_ * kPoints)),
        products_at_(layout.add(kPoints * grid_.tiles_at_once * out_block<S> * sizeof(C))),
        results_at_(layout.add(4 * grid_.span * out_block<S> * sizeof(C))) {}

  template <class Prepare, class Take>
  void run(char* memory, const Sizes<S>& in, const Sizes<S>& out, const char* weight,
           std::int64_t height, std::int64_t width, std::int64_t begin, std::int64_t end,
           const Prepare& prepare, const Take& take) const {
    constexpr int L = lanes<C>;
    constexpr int OB = out_block<S>;
    const Ring ring{memory + rows_at_, row_bytes_, ring_};
    char* tiles = memory + tiles_at_;
    C* products = reinterpret_cast<C*>(memory + products_at_);
    C* upper = reinterpret_cast<C*>(memory + results_at_);
    C* lower = upper + 2 * grid_.span * OB;
    std::memset(ring.memory, 0, row_bytes_ * ring_);  // the borders stay zero
    const std::int64_t weight_bytes = 64 * steps<S> * kVectors * in.blocks;
    std::int64_t prepared = begin - 1;
    for (std::int64_t first = begin; first < end; first += 2 * grid_.rows_at_once) {
      const std::int64_t left = (end - first + 1) / 2;
      const std::int64_t tile_rows = left < grid_.rows_at_once ? left : grid_.rows_at_once;
      for (; prepared < first + 2 * tile_rows + 1; ++prepared) {
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
          const C* rows[4];
          for (int i = 0; i < 4; ++i) {
            rows[i] = reinterpret_cast<const C*>(ring[first + 2 * r - 1 + i]);
          }
          transform_input<S>(rows, grid_.row_pixels, in.vectors, from, to, tiles, point_bytes_,
                             count, r * span);
        }
        for (std::int64_t ob = 0; ob < out.out_blocks; ++ob) {
          multiply_tiles<S>(tiles, point_bytes_, count, in.blocks, weight + ob * weight_bytes,
                            out.out_blocks * weight_bytes, products);
          for (std::int64_t r = 0; r < tile_rows; ++r) {
            transform_output<C>(products, count, r * span, span, OB, upper, lower);
            const std::int64_t row = first + 2 * r, px = 2 * from;
            const std::int64_t pixels = 2 * to < width ? 2 * span : width - px;
            take(ob, row, px, pixels, upper);
            if (row + 1 < end) take(ob, row + 1, px, pixels, lower);
          }
        }
      }
    }
  }

 private:
  TileGrid grid_;
  std::int64_t row_bytes_, ring_, point_bytes_;
  std::size_t rows_at_, tiles_at_, products_at_, results_at_;
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
