// Convolutions by tiles: the image is parted into squares of results. The inputs that each square
// sees, and the weights, are transformed to *points*; products of these over channels, which the
// register tiles of register_tile.h make (a pixel of theirs being a square here), are transformed
// back.
//
// A form says what a tile is:
//   tile            results to a side
//   scale, before   inputs to a result along an axis, and how many of them precede a tile's first
//   seen            inputs to a side
//   points          that inputs are transformed to
//   products        that are made of these and transformed back
//   at_once         tiles that share one pass over the weights: how much is transformed at once
//   product(i)      the points and weights that the i-th product sums over
//   transform_input, transform_output
#pragma once

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// How a band is parted: into groups of tile rows, and those into spans of columns.
struct TileGrid {
  TileGrid(std::int64_t tile, std::int64_t at_once, std::int64_t width, std::int64_t rows)
      : columns((width + tile - 1) / tile),
        spans((columns + at_once - 1) / at_once),
        span((columns + spans - 1) / spans) {
    const std::int64_t most = spans > 1 ? 1 : at_once / columns;
    const std::int64_t tile_rows = (rows + tile - 1) / tile;
    const std::int64_t groups = (tile_rows + most - 1) / most;
    rows_at_once = (tile_rows + groups - 1) / groups;
  }
  std::int64_t end_of(std::int64_t from) const {
    return from + span < columns ? from + span : columns;
  }
  std::int64_t columns;  // tiles side by side
  std::int64_t spans, span, rows_at_once;
};

// Whole cache lines, an odd number of them: neighbours a power of two apart would crowd into few
// sets of the cache.
STYLECLIP_INLINE std::int64_t odd_lines(std::int64_t bytes) { return (bytes + 63) / 64 * 64 | 64; }

// What a product sums over.
struct Product {
  int count;
  int point[4], weight[4];
};

// Transformed tiles [point][block][tile][64 bytes] and weights [point][output block][block]...
struct Points {
  const char* tiles;
  std::int64_t tile_stride, count, blocks;
  const char* weight;
  std::int64_t weight_stride;
};

// A product of the first `count` tiles and one output block, as [tile][out_block].
template <class S>
void multiply(const Points& points, const Product& product, std::int64_t count, ComputeOf<S>* to) {
  constexpr int OB = out_block<S>;
  const Tiling tiling(count);
  Taps<S> taps;
  taps.count = product.count;
  taps.blocks = points.blocks;
  taps.x_stride = points.count * 64;
  taps.weight_stride = 64 * steps<S> * kVectors;
  for (int t = 0; t < product.count; ++t) {
    taps.x[t] = points.tiles + product.point[t] * points.tile_stride;
    taps.weight[t] = points.weight + product.weight[t] * points.weight_stride;
  }
  for (std::int64_t i = 0; i < tiling.count; ++i) {
    const int pixels = tiling.pixels(i);
    run_tile<S>(pixels, taps, to + tiling.begin(i) * OB, OB);
    for (int t = 0; t < product.count; ++t) taps.x[t] += pixels * 64;
  }
}

// Like `Direct` (direct.h), by tiles.
template <class S, class Form>
class Tiled {
 public:
  using C = ComputeOf<S>;

  Tiled(Layout& layout, const Band<S>& band)
      : band_(band),
        grid_(Form::tile, Form::at_once, band.width, band.end - band.begin),
        row_pixels_(Form::scale * Form::tile * (grid_.columns - 1) + Form::seen),
        row_bytes_(band.in.vectors * row_pixels_ * 64),
        point_bytes_(odd_lines(band.in.blocks * grid_.rows_at_once * grid_.span * 64)),
        product_bytes_(odd_lines(grid_.rows_at_once * grid_.span * out_block<S> * sizeof(C))),
        rows_at_(layout.add(row_bytes_ * Form::seen)),
        tiles_at_(layout.add(point_bytes_ * Form::points)),
        products_at_(layout.add(product_bytes_ * Form::products)),
        results_at_(layout.add(Form::tile * kResultStride * sizeof(C))) {}

  // As `Direct::run`, but `prepare` is asked for `scale` times as many and as long rows.
  template <class Prepare, class Take>
  void run(char* memory, const Prepare& prepare, const Take& take) const {
    constexpr int L = lanes<C>;
    constexpr int OB = out_block<S>;
    constexpr int n = Form::tile;
    const Band<S>& band = band_;
    const Ring ring{memory + rows_at_, row_bytes_, Form::seen};
    char* tiles = memory + tiles_at_;
    C* products = reinterpret_cast<C*>(memory + products_at_);
    C* results = reinterpret_cast<C*>(memory + results_at_);
    const std::int64_t product_stride = product_bytes_ / sizeof(C);
    std::memset(ring.memory, 0, row_bytes_ * Form::seen);  // the borders stay zero
    const std::int64_t weight_bytes = 64 * steps<S> * kVectors * band.in.blocks;
    constexpr std::int64_t after = Form::seen - Form::before - Form::scale * (n - 1);
    const std::int64_t height = Form::scale * band.height;
    const std::int64_t needed = Form::scale * (band.end - 1) + after;
    std::int64_t prepared = Form::scale * band.begin - Form::before;
    for (std::int64_t first = band.begin; first < band.end; first += n * grid_.rows_at_once) {
      const std::int64_t left = (band.end - first + n - 1) / n;
      const std::int64_t tile_rows = left < grid_.rows_at_once ? left : grid_.rows_at_once;
      for (std::int64_t from = 0; from < grid_.columns; from += grid_.span) {
        const std::int64_t to = grid_.end_of(from), span = to - from, count = tile_rows * span;
        for (std::int64_t r = 0; r < tile_rows; ++r) {
          const std::int64_t top = Form::scale * (first + n * r) - Form::before;
          for (; prepared < top + Form::seen; ++prepared) {
            C* row = reinterpret_cast<C*>(ring[prepared]);
            if (prepared < 0 || prepared >= height || prepared >= needed) {
              std::memset(row, 0, row_bytes_);
              continue;
            }
            prepare(prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
              store(row + (v * row_pixels_ + px + Form::before) * L, value);
            });
          }
          const C* rows[Form::seen];
          for (int i = 0; i < Form::seen; ++i) rows[i] = reinterpret_cast<const C*>(ring[top + i]);
          Form::template transform_input<S>(rows, row_pixels_, band.in.vectors, from, to, tiles,
                                            point_bytes_, count, r * span);
        }
        for (std::int64_t ob = 0; ob < band.out.out_blocks; ++ob) {
          const Points points{tiles,
                              point_bytes_,
                              count,
                              band.in.blocks,
                              band.weight + ob * weight_bytes,
                              band.out.out_blocks * weight_bytes};
          for (int i = 0; i < Form::products; ++i) {
            multiply<S>(points, Form::product(i), count, products + i * product_stride);
          }
          for (std::int64_t r = 0; r < tile_rows; ++r) {
            for (std::int64_t tile = 0; tile < span; tile += kFinished) {
              const std::int64_t some = span - tile < kFinished ? span - tile : kFinished;
              Form::template transform_output<C, OB>(products + (r * span + tile) * OB,
                                                     product_stride, some, results, kResultStride);
              const std::int64_t px = n * (from + tile), row = first + n * r;
              const std::int64_t pixels = band.width - px < n * some ? band.width - px : n * some;
              for (int i = 0; i < n && row + i < band.end; ++i) {
                take(ob, row + i, px, pixels, results + i * kResultStride);
              }
            }
          }
        }
      }
    }
  }

 private:
  // Tiles that are transformed back at once, to be finished while they are in the first cache.
  static constexpr std::int64_t kFinished = 32 / Form::tile;
  static constexpr std::int64_t kResultStride = (Form::tile * kFinished + 1) * out_block<S>;
  Band<S> band_;
  TileGrid grid_;
  std::int64_t row_pixels_, row_bytes_, point_bytes_, product_bytes_;
  std::size_t rows_at_, tiles_at_, products_at_, results_at_;
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
