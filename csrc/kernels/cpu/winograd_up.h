// Transposed 3x3 convolutions of stride 2 and the FIR filter after them, with 25 multiplications
// for the 16 sums that 2x2 inputs make, instead of 36.
//
// Along one axis, the inputs x[i] and x[i + 1] make four values of the transposed convolution t:
//   t[2 i]     = x[i] w0 + x[i - 1] w2 = m0 + m1    m0 = (x[i - 1] - x[i]) w2    m3 = x[i] w1
//   t[2 i + 1] = x[i] w1               = m3         m1 = x[i] (w0 + w2)          m4 = x[i + 1] w1
//   t[2 i + 2] = x[i + 1] w0 + x[i] w2 = m2 + m1    m2 = (x[i + 1] - x[i]) w0
//   t[2 i + 3] = x[i + 1] w1           = m4
// five products for six. Even values are Winograd's F(2, 2) (see winograd.h), and none but sums and
// differences are taken, so it rounds no worse than the definition. Both axes make a tile of 2x2
// inputs 25 products, each a matrix product over channels. Row 2 height and column 2 width of t
// come from tiles of their own where these are even, of which only the first product is not zero.
#pragma once

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// The FIR filter [1, 3, 3, 1] / 8 times 2: with both axes' gain, brightness stays.
constexpr double kOuter = 0.25;
constexpr double kInner = 0.75;

template <class C>
STYLECLIP_INLINE Vec<C> fir(Vec<C> a, Vec<C> b, Vec<C> c, Vec<C> d) {
  return C(kOuter) * (a + d) + C(kInner) * (b + c);
}

constexpr int kProducts = 5;   // along an axis
constexpr int kUpWeights = 4;  // along an axis: w2, w0 + w2, w0, w1

// How many tiles share one pass over the weights, and how many are filtered at once.
constexpr std::int64_t kUpTilesAtOnce = 4 * kMaxPixels;
constexpr std::int64_t kStrip = 8;

// From the three taps of an axis.
constexpr double kUpWeightTransform[kUpWeights][3] = {{0, 0, 1}, {1, 0, 1}, {1, 0, 0}, {0, 1, 0}};

// How tiles of 2x2 inputs are worked through: groups of tile rows, or spans of one row's columns.
struct UpGrid {
  UpGrid(std::int64_t width, std::int64_t rows)
      : columns((width + 1) / 2),
        spans((columns + kUpTilesAtOnce - 1) / kUpTilesAtOnce),
        span((columns + spans - 1) / spans) {
    const std::int64_t wanted = spans > 1 ? 1 : kUpTilesAtOnce / columns, most = (rows + 1) / 2;
    rows_at_once = wanted < 1 ? 1 : wanted < most ? wanted : most;
  }
  std::int64_t end_of(std::int64_t from) const {
    return from + span < columns ? from + span : columns;
  }
  std::int64_t columns;  // tiles side by side
  std::int64_t spans, span, rows_at_once;
};

// The tiles [begin, end) of three input rows, given as [vector][pixel][lanes] from column -1 on, go
// to tiles[point][block][tile][64 bytes] from tile `at` of `count` on; a point is one of
// x[i - 1] - x[i], x[i], x[i + 1] - x[i], x[i + 1] along each axis.
template <class S>
void transform_up_input(const ComputeOf<S>* const rows[3], std::int64_t row_pixels,
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
      const Vec<C> a = load(rows[0] + from), b = load(rows[1] + from), c = load(rows[2] + from);
      return Column{{a - b, b, c - b, c}};
    };
    Column x = column(2 * begin);
    for (std::int64_t tile = begin; tile < end; ++tile) {
      const Column y = column(2 * tile + 1), z = column(2 * tile + 2);
      const std::int64_t pixel = at + tile - begin;
      char* to = tiles;
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p, to += 4 * point_bytes) {
        store_blocked<S>(to, count, pixel, v, x.value[p] - y.value[p]);
        store_blocked<S>(to + point_bytes, count, pixel, v, y.value[p]);
        store_blocked<S>(to + 2 * point_bytes, count, pixel, v, z.value[p] - y.value[p]);
        store_blocked<S>(to + 3 * point_bytes, count, pixel, v, z.value[p]);
      }
      x = z;
    }
  }
}

// Products of `tiles` tiles, from tile `at` of `count` on, summed to 4x4 values of t each and
// filtered down the columns: with the last three rows of t, which `state` has as
// [column][3][width] and gets anew, they make four rows of strip[row][strip_pixels][width].
template <class C>
void filter_columns(const C* products, std::int64_t count, std::int64_t at, std::int64_t tiles,
                    int width, C* state, C* strip, std::int64_t strip_pixels) {
  constexpr int L = lanes<C>;
  for (std::int64_t tile = 0; tile < tiles; ++tile, state += 4 * 3 * width, strip += 4 * width) {
    for (int v = 0; v < width; v += L) {
      const auto product = [&](int p, int q) {
        return load(products + ((p * kProducts + q) * count + at + tile) * width + v);
      };
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        Vec<C> m[kProducts];
#pragma GCC unroll 5
        for (int p = 0; p < kProducts; ++p) {
          m[p] = c == 0   ? product(p, 0) + product(p, 1)
                 : c == 1 ? product(p, 3)
                 : c == 2 ? product(p, 2) + product(p, 1)
                          : product(p, 4);
        }
        C* last = state + c * 3 * width + v;
        const Vec<C> t[7] = {
            load(last), load(last + width), load(last + 2 * width), m[0] + m[1], m[3], m[2] + m[1],
            m[4]};
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
          store(strip + (r * strip_pixels + c) * width + v,
                fir<C>(t[r], t[r + 1], t[r + 2], t[r + 3]));
        }
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r) store(last + r * width, t[4 + r]);
      }
    }
  }
}

// Like `Direct` (direct.h), for layers that double the image: output row u is the FIR filter over
// rows u - 1 .. u + 2 of t. Columns go alike.
template <class S>
class WinogradUp {
 public:
  using C = ComputeOf<S>;

  WinogradUp(Layout& layout, const Sizes<S>& in, const Sizes<S>& out, int /*kernel: 3*/,
             std::int64_t width, std::int64_t rows)
      : grid_(width, rows),
        edge_(width % 2 == 0 ? 1 : 0),
        tiles_(grid_.rows_at_once * (grid_.span + edge_)),
        row_pixels_(2 * (grid_.columns + edge_) + 1),
        row_bytes_(in.vectors * row_pixels_ * 64),
        ring_(2 * grid_.rows_at_once + 1),
        point_bytes_(in.blocks * tiles_ * 64),
        state_size_(4 * (grid_.columns + edge_) * 3 * out_block<S>),
        rows_at_(layout.add(row_bytes_ * ring_)),
        tiles_at_(layout.add(point_bytes_ * kUpWeights * kUpWeights)),
        products_at_(layout.add(kProducts * kProducts * tiles_ * out_block<S> * sizeof(C))),
        state_at_(layout.add(out.out_blocks * state_size_ * sizeof(C))),
        strip_at_(layout.add(4 * kStripPixels * out_block<S> * sizeof(C))),
        carry_at_(layout.add(out.out_blocks * 4 * 3 * out_block<S> * sizeof(C))) {}

  // As `Direct::run`, but `take` gets the rows [2 begin, 2 end) of twice the width.
  template <class Prepare, class Take>
  void run(char* memory, const Sizes<S>& in, const Sizes<S>& out, const char* weight,
           std::int64_t height, std::int64_t width, std::int64_t begin, std::int64_t end,
           const Prepare& prepare, const Take& take) const {
    constexpr int L = lanes<C>;
    const Ring ring{memory + rows_at_, row_bytes_, ring_};
    std::memset(ring.memory, 0, row_bytes_ * ring_);  // the borders stay zero
    std::memset(memory + state_at_, 0, out.out_blocks * state_size_ * sizeof(C));
    std::int64_t prepared = begin - 1;
    // `count` rows of tiles from input row `first` on; `needed` has a bit for each product along
    // the column, the others are zero or make nothing that is taken.
    const auto tile_rows = [&](std::int64_t first, std::int64_t count, int needed) {
      for (; prepared < first + 2 * count && prepared <= end; ++prepared) {
        C* row = reinterpret_cast<C*>(ring[prepared]);
        if (prepared < 0 || prepared >= height) {
          std::memset(row, 0, row_bytes_);
          continue;
        }
        prepare(prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
          store(row + (v * row_pixels_ + px + 1) * L, value);
        });
      }
      for (std::int64_t from = 0; from < grid_.columns; from += grid_.span) {
        work_span(memory, in, out, weight, width, begin, end, first, count, needed, from, take);
      }
    };
    if (begin > 0) tile_rows(begin - 2, 1, 1 << 4);
    for (std::int64_t first = begin; first < end; first += 2 * grid_.rows_at_once) {
      const std::int64_t left = (end - first + 1) / 2;
      tile_rows(first, left < grid_.rows_at_once ? left : grid_.rows_at_once, 31);
    }
    if ((end - begin) % 2 == 0) tile_rows(end, 1, end == height ? 1 : 1 | 1 << 1 | 1 << 3);
  }

 private:
  static constexpr std::int64_t kStripPixels = 3 + 4 * kStrip;

  template <class Take>
  void work_span(char* memory, const Sizes<S>& in, const Sizes<S>& out, const char* weight,
                 std::int64_t width, std::int64_t begin, std::int64_t end, std::int64_t first,
                 std::int64_t tile_rows, int needed, std::int64_t from, const Take& take) const {
    constexpr int OB = out_block<S>;
    const Ring ring{memory + rows_at_, row_bytes_, ring_};
    char* tiles = memory + tiles_at_;
    C* products = reinterpret_cast<C*>(memory + products_at_);
    C* strip = reinterpret_cast<C*>(memory + strip_at_);
    const std::int64_t to = grid_.end_of(from), span = to - from;
    const std::int64_t edge = to == grid_.columns ? edge_ : 0;
    const std::int64_t inner = tile_rows * span, count = inner + tile_rows * edge;
    for (std::int64_t r = 0; r < tile_rows; ++r) {
      const C* rows[3];
      for (int i = 0; i < 3; ++i) {
        rows[i] = reinterpret_cast<const C*>(ring[first + 2 * r - 1 + i]);
      }
      transform_up_input<S>(rows, row_pixels_, in.vectors, from, to, tiles, point_bytes_, count,
                            r * span);
      transform_up_input<S>(rows, row_pixels_, in.vectors, to, to + edge, tiles, point_bytes_,
                            count, inner + r);
    }
    const std::int64_t weight_bytes = 64 * steps<S> * kVectors * in.blocks;
    for (std::int64_t ob = 0; ob < out.out_blocks; ++ob) {
      multiply(tiles, count, inner, in.blocks, weight + ob * weight_bytes,
               out.out_blocks * weight_bytes, needed, products);
      C* state = reinterpret_cast<C*>(memory + state_at_) + ob * state_size_;
      C* carry = reinterpret_cast<C*>(memory + carry_at_) + ob * 4 * 3 * OB;
      for (std::int64_t r = 0; r < tile_rows; ++r) {
        for (int i = 0; i < 4; ++i) {
          C* row = strip + i * kStripPixels * OB;
          if (from == 0) {
            std::memset(row, 0, 3 * OB * sizeof(C));
          } else {
            std::memcpy(row, carry + i * 3 * OB, 3 * OB * sizeof(C));
          }
        }
        const auto filter = [&](std::int64_t tile, std::int64_t at, std::int64_t n) {
          filter_columns<C>(products, count, at, n, OB, state + 4 * tile * 3 * OB, strip + 3 * OB,
                            kStripPixels);
          emit(strip, ob, first + 2 * r, tile, n, width, begin, end, take);
        };
        for (std::int64_t tile = from; tile < to; tile += kStrip) {
          filter(tile, r * span + tile - from, to - tile < kStrip ? to - tile : kStrip);
        }
        if (edge) filter(to, inner + r, 1);
      }
      for (int i = 0; i < 4; ++i) {
        std::memcpy(carry + i * 3 * OB, strip + i * kStripPixels * OB, 3 * OB * sizeof(C));
      }
    }
  }

  // One output block of all tiles: products[5][5][tile][out_block]; the tiles from `inner` on have
  // only the first product of each row.
  void multiply(const char* tiles, std::int64_t count, std::int64_t inner, std::int64_t blocks,
                const char* weight, std::int64_t weight_point_bytes, int needed,
                C* products) const {
    constexpr int OB = out_block<S>;
    constexpr int point[kProducts] = {0, 1, 2, 1, 3}, factor[kProducts] = {0, 1, 2, 3, 3};
    Taps<S> taps;
    taps.count = 1;
    taps.blocks = blocks;
    taps.x_stride = count * 64;
    taps.weight_stride = 64 * steps<S> * kVectors;
    for (int p = 0; p < kProducts; ++p) {
      for (int q = 0; q < kProducts; ++q, products += count * OB) {
        const std::int64_t made = !(needed >> p & 1) ? 0 : q == 0 ? count : inner;
        std::memset(products + made * OB, 0, (count - made) * OB * sizeof(C));
        if (made == 0) continue;
        const char* x = tiles + (kUpWeights * point[p] + point[q]) * point_bytes_;
        taps.weight[0] = weight + (kUpWeights * factor[p] + factor[q]) * weight_point_bytes;
        const Tiling tiling(made);
        for (std::int64_t i = 0; i < tiling.count; ++i) {
          taps.x[0] = x + tiling.begin(i) * 64;
          run_tile<S>(tiling.pixels(i), taps, products + tiling.begin(i) * OB, OB);
        }
      }
    }
  }

  // Filters along the rows what the tiles [tile, tile + n) of the tile row at input row `row` made,
  // and hands it on.
  template <class Take>
  static void emit(C* strip, std::int64_t ob, std::int64_t row, std::int64_t tile, std::int64_t n,
                   std::int64_t width, std::int64_t begin, std::int64_t end, const Take& take) {
    constexpr int L = lanes<C>;
    constexpr int OB = out_block<S>;
    const std::int64_t start = 4 * tile - 2;
    const std::int64_t px = start < 0 ? 0 : start;
    const std::int64_t stop = start + 4 * n < 2 * width ? start + 4 * n : 2 * width;
    C sums[4 * kStrip * OB];
    for (int r = 0; r < 4; ++r) {
      C* from = strip + r * kStripPixels * OB;
      const std::int64_t u = 2 * row - 2 + r;
      if (u >= 2 * begin && u < 2 * end && px < stop) {
        const C* t = from + (px - start) * OB;
        for (std::int64_t i = 0; i < (stop - px) * OB; i += L) {
          store(sums + i,
                fir<C>(load(t + i), load(t + OB + i), load(t + 2 * OB + i), load(t + 3 * OB + i)));
        }
        take(ob, u, px, stop - px, sums);
      }
      for (int i = 0; i < 3 * OB; i += L) store(from + i, load(from + 4 * n * OB + i));
    }
  }

  UpGrid grid_;
  std::int64_t edge_;   // whether the last column of t needs a tile of its own
  std::int64_t tiles_;  // at once
  std::int64_t row_pixels_, row_bytes_, ring_, point_bytes_, state_size_;
  std::size_t rows_at_, tiles_at_, products_at_, state_at_, strip_at_, carry_at_;
};

// The tiles [begin, end) of eight rows of the output's gradient, given as [vector][pixel][lanes]
// from column -2 on: the FIR filter makes them 5x5 values g of t's gradient each, and those go to
// tiles[point][block][tile][64 bytes] from tile `at` of `count` on; a point is one of g0 - g2, g2,
// g4 - g2, g1, g3 along each axis.
template <class S>
void transform_up_gradient(const ComputeOf<S>* const rows[8], std::int64_t row_pixels,
                           std::int64_t vectors, std::int64_t begin, std::int64_t end, char* tiles,
                           std::int64_t point_bytes, std::int64_t count, std::int64_t at) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  Vec<C> g[5][4 * kStrip + 1];
  for (std::int64_t v = 0; v < vectors; ++v) {
    for (std::int64_t first = begin; first < end; first += kStrip) {
      const std::int64_t n = end - first < kStrip ? end - first : kStrip;
      for (int r = 0; r < 5; ++r) {
        const auto column = [&](std::int64_t px) {
          const std::int64_t from = (v * row_pixels + 4 * first + px) * L;
          return fir<C>(load(rows[r] + from), load(rows[r + 1] + from), load(rows[r + 2] + from),
                        load(rows[r + 3] + from));
        };
        Vec<C> w = column(0), x = column(1), y = column(2);
        for (std::int64_t px = 0; px < 4 * n + 1; ++px) {
          const Vec<C> z = column(px + 3);
          g[r][px] = fir<C>(w, x, y, z);
          w = x;
          x = y;
          y = z;
        }
      }
      for (std::int64_t tile = 0; tile < n; ++tile) {
        const std::int64_t pixel = at + first - begin + tile;
#pragma GCC unroll 5
        for (int q = 0; q < kProducts; ++q) {
          Vec<C> c[5];
#pragma GCC unroll 5
          for (int r = 0; r < 5; ++r) {
            const Vec<C>* value = g[r] + 4 * tile;
            c[r] = q == 0   ? value[0] - value[2]
                   : q == 1 ? value[2]
                   : q == 2 ? value[4] - value[2]
                   : q == 3 ? value[1]
                            : value[3];
          }
          const Vec<C> points[kProducts] = {c[0] - c[2], c[2], c[4] - c[2], c[1], c[3]};
#pragma GCC unroll 5
          for (int p = 0; p < kProducts; ++p) {
            store_blocked<S>(tiles + (kProducts * p + q) * point_bytes, count, pixel, v, points[p]);
          }
        }
      }
    }
  }
}

// The gradient of `WinogradUp`. Along an axis, x[i] and x[i + 1] get
//   g0 w0 + g1 w1 + g2 w2 = (g0 - g2) w0 + g1 w1 + g2 (w0 + w2)
//   g2 w0 + g3 w1 + g4 w2 = (g4 - g2) w2 + g3 w1 + g2 (w0 + w2)
// of t's gradient from 2 i on: the 25 products of a tile sum to 3x3 groups before they leave the
// registers.
template <class S>
class WinogradUpGradient {
 public:
  using C = ComputeOf<S>;

  WinogradUpGradient(Layout& layout, const Sizes<S>& in, const Sizes<S>& /*out*/, int /*kernel: 3*/,
                     std::int64_t width, std::int64_t rows)
      : grid_(width, rows),
        row_pixels_(4 * grid_.columns + 4),
        row_bytes_(in.vectors * row_pixels_ * 64),
        point_bytes_(in.blocks * grid_.rows_at_once * grid_.span * 64),
        rows_at_(layout.add(row_bytes_ * kRows)),
        tiles_at_(layout.add(point_bytes_ * kProducts * kProducts)),
        products_at_(layout.add(kGroups * kGroups * grid_.rows_at_once * grid_.span * out_block<S> *
                                sizeof(C))),
        results_at_(layout.add(4 * grid_.span * out_block<S> * sizeof(C))) {}

  // As `Direct::run`, but `prepare` is asked for rows of twice the height and width.
  template <class Prepare, class Take>
  void run(char* memory, const Sizes<S>& in, const Sizes<S>& out, const char* weight,
           std::int64_t height, std::int64_t width, std::int64_t begin, std::int64_t end,
           const Prepare& prepare, const Take& take) const {
    constexpr int L = lanes<C>;
    constexpr int OB = out_block<S>;
    const Ring ring{memory + rows_at_, row_bytes_, kRows};
    char* tiles = memory + tiles_at_;
    C* products = reinterpret_cast<C*>(memory + products_at_);
    C* upper = reinterpret_cast<C*>(memory + results_at_);
    C* lower = upper + 2 * grid_.span * OB;
    std::memset(ring.memory, 0, row_bytes_ * kRows);  // the borders stay zero
    const std::int64_t weight_bytes = 64 * steps<S> * kVectors * in.blocks;
    std::int64_t prepared = 2 * begin - 2;
    for (std::int64_t first = begin; first < end; first += 2 * grid_.rows_at_once) {
      const std::int64_t left = (end - first + 1) / 2;
      const std::int64_t tile_rows = left < grid_.rows_at_once ? left : grid_.rows_at_once;
      for (std::int64_t from = 0; from < grid_.columns; from += grid_.span) {
        const std::int64_t to = grid_.end_of(from), span = to - from, count = tile_rows * span;
        for (std::int64_t r = 0; r < tile_rows; ++r) {
          const std::int64_t last = 2 * (first + 2 * r) + 5;
          for (; prepared <= last; ++prepared) {
            C* row = reinterpret_cast<C*>(ring[prepared]);
            if (prepared < 0 || prepared >= 2 * height || prepared > 2 * end + 1) {
              std::memset(row, 0, row_bytes_);
              continue;
            }
            prepare(prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
              store(row + (v * row_pixels_ + px + 2) * L, value);
            });
          }
          const C* rows[kRows];
          for (int i = 0; i < kRows; ++i) {
            rows[i] = reinterpret_cast<const C*>(ring[last - kRows + 1 + i]);
          }
          transform_up_gradient<S>(rows, row_pixels_, in.vectors, from, to, tiles, point_bytes_,
                                   count, r * span);
        }
        for (std::int64_t ob = 0; ob < out.out_blocks; ++ob) {
          multiply(tiles, count, in.blocks, weight + ob * weight_bytes,
                   out.out_blocks * weight_bytes, products);
          for (std::int64_t r = 0; r < tile_rows; ++r) {
            sum_groups(products, count, r * span, span, upper, lower);
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
  static constexpr int kRows = 8;
  static constexpr int kGroups = 3;  // along an axis: of x[i] alone, of both, of x[i + 1] alone

  // One output block of all tiles: products[3][3][tile][out_block].
  void multiply(const char* tiles, std::int64_t count, std::int64_t blocks, const char* weight,
                std::int64_t weight_point_bytes, C* products) const {
    constexpr int OB = out_block<S>;
    constexpr int size[kGroups] = {2, 1, 2}, member[kGroups][2] = {{0, 3}, {1, 1}, {2, 4}};
    constexpr int factor[kProducts] = {2, 1, 0, 3, 3};
    const Tiling tiling(count);
    Taps<S> taps;
    taps.blocks = blocks;
    taps.x_stride = count * 64;
    taps.weight_stride = 64 * steps<S> * kVectors;
    for (int y = 0; y < kGroups; ++y) {
      for (int x = 0; x < kGroups; ++x, products += count * OB) {
        taps.count = size[y] * size[x];
        const char* points[4];
        for (int t = 0; t < taps.count; ++t) {
          const int p = member[y][t / size[x]], q = member[x][t % size[x]];
          points[t] = tiles + (kProducts * p + q) * point_bytes_;
          taps.weight[t] = weight + (kUpWeights * factor[p] + factor[q]) * weight_point_bytes;
        }
        for (std::int64_t i = 0; i < tiling.count; ++i) {
          for (int t = 0; t < taps.count; ++t) taps.x[t] = points[t] + tiling.begin(i) * 64;
          run_tile<S>(tiling.pixels(i), taps, products + tiling.begin(i) * OB, OB);
        }
      }
    }
  }

  // `tiles` tiles from tile `at` of `count` on, as two rows [2 * tiles][out_block].
  static void sum_groups(const C* products, std::int64_t count, std::int64_t at, std::int64_t tiles,
                         C* upper, C* lower) {
    constexpr int L = lanes<C>;
    constexpr int OB = out_block<S>;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for (int v = 0; v < OB; v += L) {
        Vec<C> up[kGroups], low[kGroups];
#pragma GCC unroll 3
        for (int x = 0; x < kGroups; ++x) {
          const C* from = products + (x * count + at + tile) * OB + v;
          const Vec<C> both = load(from + kGroups * count * OB);
          up[x] = load(from) + both;
          low[x] = both + load(from + 2 * kGroups * count * OB);
        }
        const std::int64_t to = 2 * tile * OB + v;
        store(upper + to, up[0] + up[1]);
        store(upper + to + OB, up[1] + up[2]);
        store(lower + to, low[0] + low[1]);
        store(lower + to + OB, low[1] + low[2]);
      }
    }
  }

  UpGrid grid_;
  std::int64_t row_pixels_, row_bytes_, point_bytes_;
  std::size_t rows_at_, tiles_at_, products_at_, results_at_;
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
