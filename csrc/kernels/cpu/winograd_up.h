// Transposed 3x3 convolutions of stride 2 and the FIR filter after them, with 81 multiplications
// for the 64 sums that 4x4 inputs make, instead of 144, or with 25 for the 16 of 2x2 inputs.
//
// Along one axis, n inputs from x[i] on make 2 n values of the transposed convolution t:
//   t[2 i + 2 k]     = x[i + k - 1] w2 + x[i + k] w0    k = 0 .. n - 1
//   t[2 i + 2 k + 1] = x[i + k] w1
// Even values are Winograd's F(n, 2) (see winograd.h): n + 1 products; odd ones are n products
// more. Both axes make a tile of n x n inputs (2 n + 1)^2 products, each a matrix product over
// channels. Row 2 height and column 2 width of t come from tiles of their own where n divides
// these, of which only the first product is not zero.
#pragma once

#include "winograd_tiles.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// The FIR filter [1, 3, 3, 1] / 8 times 2, with which brightness stays, is taken without its
// common factor, which the weights have instead.
constexpr double kFirScale = 0.25;

template <class C>
STYLECLIP_INLINE Vec<C> fir(Vec<C> a, Vec<C> b, Vec<C> c, Vec<C> d) {
  return (a + d) + C(3) * (b + c);
}

// F(n, 2): the n sums d[k] g[0] + d[k + 1] g[1] from n + 1 products. Only the first product reads
// d[0] and only the last d[n]; the first goes to no sum but the first, the last to none but the
// last.
template <int n>
struct TwoTaps;

// At 0, 1 and infinity: it rounds no worse than the definition.
template <>
struct TwoTaps<2> {
  static constexpr double weight[3][2] = {{1, 0}, {1, 1}, {0, 1}};

  template <class C>
  STYLECLIP_INLINE void transform_inputs(const Vec<C> d[3], Vec<C> to[3]) {
    to[0] = d[0] - d[1];
    to[1] = d[1];
    to[2] = d[2] - d[1];
  }

  template <class C>
  STYLECLIP_INLINE void transform_outputs(const Vec<C> p[3], Vec<C> to[2]) {
    to[0] = p[0] + p[1];
    to[1] = p[1] + p[2];
  }
};

// At 0, +-near, far and infinity, of which these round least: as 1 to 1.16 for smooth rows, 2.1 for
// white noise.
template <>
struct TwoTaps<4> {
  static constexpr double near = 0.75, far = 1.75;
  static constexpr double at_near = 2 * near * near * (near - far);  // products of differences
  static constexpr double at_minus_near = -2 * near * near * (near + far);
  static constexpr double at_far = far * (far * far - near * near);
  static constexpr double weight[5][2] = {{1 / (near * near * far), 0},
                                          {1 / at_near, near / at_near},
                                          {1 / at_minus_near, -near / at_minus_near},
                                          {1 / at_far, far / at_far},
                                          {0, 1}};

  template <class C>
  STYLECLIP_INLINE void transform_inputs(const Vec<C> d[5], Vec<C> to[5]) {
    const Vec<C> odd = d[3] - C(far) * d[2], even = d[2] - C(far) * d[1];
    to[0] = odd - C(near * near) * (d[1] - C(far) * d[0]);
    to[1] = odd + C(near) * even;
    to[2] = odd - C(near) * even;
    to[3] = d[3] - C(near * near) * d[1];
    to[4] = (d[4] - C(far) * d[3]) - C(near * near) * even;
  }

  template <class C>
  STYLECLIP_INLINE void transform_outputs(const Vec<C> p[5], Vec<C> to[4]) {
    const Vec<C> even = p[1] + p[2], odd = p[1] - p[2];
    to[0] = p[0] + even + p[3];
    to[1] = C(near) * odd + C(far) * p[3];
    to[2] = C(near * near) * even + C(far * far) * p[3];
    to[3] = (C(near * near * near) * odd + p[4]) + C(far * far * far) * p[3];
  }
};

// Along an axis, points and products are the even values' first, then the odd ones'.
constexpr int even_products(int n) { return n + 1; }
constexpr int axis_products(int n) { return 2 * n + 1; }
constexpr int axis_weights(int n) { return n + 2; }  // odd values share theirs

// Which product of a tile's (2 n + 1)^2, and the weight that it has.
template <int n>
constexpr int product_at(int p, int q) {
  return axis_products(n) * p + q;
}
template <int n>
constexpr int weight_at(int p, int q) {
  constexpr int odd = even_products(n);
  return axis_weights(n) * (p < odd ? p : odd) + (q < odd ? q : odd);
}

// Points' weights from the three taps of an axis; for the gradient, from these in reverse.
template <int n>
struct UpWeights {
  constexpr UpWeights() : rows() {
    for (int i = 0; i < even_products(n); ++i) {
      rows[i][2] = kFirScale * TwoTaps<n>::weight[i][0];
      rows[i][0] = kFirScale * TwoTaps<n>::weight[i][1];
    }
    rows[even_products(n)][1] = kFirScale;
  }
  double rows[axis_weights(n)][3];
};

// How many pixels are filtered at once.
constexpr int kStrip = 32;

// The tiles [begin, end) of n + 1 input rows, given as [vector][pixel][lanes] from column -1 on, go
// to tiles[point][block][tile][64 bytes] from tile `at` of `count` on.
template <class S, int n>
void transform_up_input(const ComputeOf<S>* const rows[n + 1], std::int64_t row_pixels,
                        std::int64_t vectors, std::int64_t begin, std::int64_t end, char* tiles,
                        std::int64_t point_bytes, std::int64_t count, std::int64_t at) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int even = even_products(n), all = axis_products(n);
  for (std::int64_t v = 0; v < vectors; ++v) {
    const auto column = [&](std::int64_t px, Vec<C> to[all]) {
      Vec<C> d[n + 1];
#pragma GCC unroll 5
      for (int i = 0; i <= n; ++i) d[i] = load(rows[i] + (v * row_pixels + px) * L);
      TwoTaps<n>::template transform_inputs<C>(d, to);
#pragma GCC unroll 4
      for (int i = 0; i < n; ++i) to[even + i] = d[1 + i];
    };
    Vec<C> columns[n + 1][all];
    column(n * begin, columns[0]);
    for (std::int64_t tile = begin; tile < end; ++tile) {
#pragma GCC unroll 4
      for (int j = 1; j <= n; ++j) column(n * tile + j, columns[j]);
      const std::int64_t pixel = at + tile - begin;
      char* to = tiles;
#pragma GCC unroll 9
      for (int p = 0; p < all; ++p) {
        Vec<C> d[n + 1], points[even];
#pragma GCC unroll 5
        for (int j = 0; j <= n; ++j) d[j] = columns[j][p];
        TwoTaps<n>::template transform_inputs<C>(d, points);
#pragma GCC unroll 5
        for (int q = 0; q < even; ++q, to += point_bytes) {
          store_blocked<S>(to, count, pixel, v, points[q]);
        }
#pragma GCC unroll 4
        for (int q = 0; q < n; ++q, to += point_bytes) {
          store_blocked<S>(to, count, pixel, v, d[1 + q]);
        }
      }
#pragma GCC unroll 9
      for (int i = 0; i < all; ++i) columns[0][i] = columns[n][i];
    }
  }
}

// Products of `tiles` tiles, a `stride` apart, summed to 2 n x 2 n values of t each and filtered,
// along the rows, then down the columns: they make 2 n rows of results[row][pixel][width], two
// pixels and two rows before t's. The three sums before a tile come from `carry`,
// [product along the column][3][width], and the three rows before it from `state`,
// [pixel][3][width]; both get their last ones anew.
template <class C, int n>
void filter(const C* products, std::int64_t stride, std::int64_t tiles, int width, C* carry,
            C* state, C* results, std::int64_t row_stride) {
  constexpr int L = lanes<C>;
  constexpr int even = even_products(n), all = axis_products(n), side = 2 * n;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    for (int v = 0; v < width; v += L) {
      const C* from = products + tile * width + v;
      Vec<C> columns[side][all];
#pragma GCC unroll 9
      for (int p = 0; p < all; ++p) {
        C* last = carry + 3 * p * width + v;
        Vec<C> m[even], sums[n], t[3 + side];
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) t[i] = load(last + i * width);
#pragma GCC unroll 5
        for (int q = 0; q < even; ++q) m[q] = load(from + product_at<n>(p, q) * stride);
        TwoTaps<n>::template transform_outputs<C>(m, sums);
#pragma GCC unroll 4
        for (int k = 0; k < n; ++k) {
          t[3 + 2 * k] = sums[k];
          t[4 + 2 * k] = load(from + product_at<n>(p, even + k) * stride);
        }
#pragma GCC unroll 8
        for (int c = 0; c < side; ++c) columns[c][p] = fir<C>(t[c], t[c + 1], t[c + 2], t[c + 3]);
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) store(last + i * width, t[side + i]);
      }
#pragma GCC unroll 8
      for (int c = 0; c < side; ++c) {
        const std::int64_t pixel = side * tile + c;
        C* last = state + pixel * 3 * width + v;
        Vec<C> sums[n], t[3 + side];
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) t[i] = load(last + i * width);
        TwoTaps<n>::template transform_outputs<C>(columns[c], sums);
#pragma GCC unroll 4
        for (int k = 0; k < n; ++k) {
          t[3 + 2 * k] = sums[k];
          t[4 + 2 * k] = columns[c][even + k];
        }
#pragma GCC unroll 8
        for (int r = 0; r < side; ++r) {
          store(results + r * row_stride + pixel * width + v,
                fir<C>(t[r], t[r + 1], t[r + 2], t[r + 3]));
        }
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) store(last + i * width, t[side + i]);
      }
    }
  }
}

// Like `Direct` (direct.h), for layers that double the image, by tiles of n x n inputs: output row
// u is the FIR filter over rows u - 1 .. u + 2 of t. Columns go alike.
template <class S, int n>
class WinogradUp {
 public:
  using C = ComputeOf<S>;

  WinogradUp(Layout& layout, const Band<S>& band)
      : band_(band),
        grid_(n, kAtOnce, band.width, band.end - band.begin),
        edge_(band.width % n == 0 ? 1 : 0),
        tiles_(grid_.rows_at_once * (grid_.span + edge_)),
        row_pixels_(n * (grid_.columns + edge_) + 1),
        row_bytes_(band.in.vectors * row_pixels_ * 64),
        point_bytes_(odd_lines(band.in.blocks * tiles_ * 64)),
        product_bytes_(odd_lines(tiles_ * out_block<S> * sizeof(C))),
        state_size_(2 * n * (grid_.columns + edge_) * 3 * out_block<S>),
        rows_at_(layout.add(row_bytes_ * (n + 1))),
        tiles_at_(layout.add(point_bytes_ * kProducts)),
        products_at_(layout.add(product_bytes_ * kProducts)),
        state_at_(layout.add(band.out.out_blocks * state_size_ * sizeof(C))),
        results_at_(layout.add(2 * n * kResultStride * sizeof(C))),
        carry_at_(layout.add(band.out.out_blocks * kCarry * sizeof(C))) {}

  // As `Direct::run`, but `take` gets twice as many rows of twice the width.
  template <class Prepare, class Take>
  void run(char* memory, const Prepare& prepare, const Take& take) const {
    constexpr int even = even_products(n);
    constexpr int every = (1 << axis_products(n)) - 1, last_odd = 1 << (axis_products(n) - 1);
    constexpr int first_two = ((1 << (even - 1)) - 1) | 1 << even;
    std::memset(memory + rows_at_, 0, row_bytes_ * (n + 1));  // the borders stay zero
    std::memset(memory + state_at_, 0, band_.out.out_blocks * state_size_ * sizeof(C));
    std::int64_t prepared = band_.begin - 1;
    const auto tile_rows = [&](std::int64_t first, std::int64_t count, int needed) {
      for (std::int64_t from = 0; from < grid_.columns; from += grid_.span) {
        work_span(memory, first, count, needed, from, prepared, prepare, take);
      }
    };
    if (band_.begin > 0) tile_rows(band_.begin - n, 1, last_odd);
    for (std::int64_t first = band_.begin; first < band_.end; first += n * grid_.rows_at_once) {
      const std::int64_t left = (band_.end - first + n - 1) / n;
      tile_rows(first, left < grid_.rows_at_once ? left : grid_.rows_at_once, every);
    }
    if ((band_.end - band_.begin) % n == 0) {
      tile_rows(band_.end, 1, band_.end == band_.height ? 1 : first_two);
    }
  }

 private:
  static constexpr int kProducts = axis_products(n) * axis_products(n);
  static constexpr std::int64_t kAtOnce = n == 2 ? 4 * kMaxPixels : 2 * kMaxPixels;
  static constexpr std::int64_t kFinished = kStrip / (2 * n);
  static constexpr std::int64_t kResultStride = (kStrip + 1) * out_block<S>;
  static constexpr std::int64_t kCarry = axis_products(n) * 3 * out_block<S>;

  // `tile_rows` rows of tiles from input row `first` on, and of their tiles the span from column
  // `from` on. `needed` has a bit for each product along the column, the others are zero or make
  // nothing that is taken.
  template <class Prepare, class Take>
  void work_span(char* memory, std::int64_t first, std::int64_t tile_rows, int needed,
                 std::int64_t from, std::int64_t& prepared, const Prepare& prepare,
                 const Take& take) const {
    constexpr int L = lanes<C>;
    constexpr int OB = out_block<S>;
    const Ring ring{memory + rows_at_, row_bytes_, n + 1};
    char* tiles = memory + tiles_at_;
    C* products = reinterpret_cast<C*>(memory + products_at_);
    C* results = reinterpret_cast<C*>(memory + results_at_);
    const std::int64_t product_stride = product_bytes_ / sizeof(C);
    const std::int64_t to = grid_.end_of(from), span = to - from;
    const std::int64_t edge = to == grid_.columns ? edge_ : 0;
    const std::int64_t inner = tile_rows * span, count = inner + tile_rows * edge;
    for (std::int64_t r = 0; r < tile_rows; ++r) {
      const std::int64_t top = first + n * r - 1;
      for (; prepared <= top + n; ++prepared) {
        C* row = reinterpret_cast<C*>(ring[prepared]);
        if (prepared < 0 || prepared >= band_.height || prepared > band_.end) {
          std::memset(row, 0, row_bytes_);
          continue;
        }
        prepare(prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
          store(row + (v * row_pixels_ + px + 1) * L, value);
        });
      }
      const C* rows[n + 1];
      for (int i = 0; i <= n; ++i) rows[i] = reinterpret_cast<const C*>(ring[top + i]);
      transform_up_input<S, n>(rows, row_pixels_, band_.in.vectors, from, to, tiles, point_bytes_,
                               count, r * span);
      transform_up_input<S, n>(rows, row_pixels_, band_.in.vectors, to, to + edge, tiles,
                               point_bytes_, count, inner + r);
    }
    const std::int64_t weight_bytes = 64 * steps<S> * kVectors * band_.in.blocks;
    for (std::int64_t ob = 0; ob < band_.out.out_blocks; ++ob) {
      const Points points{tiles,
                          point_bytes_,
                          count,
                          band_.in.blocks,
                          band_.weight + ob * weight_bytes,
                          band_.out.out_blocks * weight_bytes};
      // The tiles from `inner` on have only the first product of each row.
      for (int p = 0; p < axis_products(n); ++p) {
        for (int q = 0; q < axis_products(n); ++q) {
          const std::int64_t made = !(needed >> p & 1) ? 0 : q == 0 ? count : inner;
          const int product = product_at<n>(p, q);
          C* sums = products + product * product_stride;
          std::memset(sums + made * OB, 0, (count - made) * OB * sizeof(C));
          if (made > 0) multiply<S>(points, {1, {product}, {weight_at<n>(p, q)}}, made, sums);
        }
      }
      C* state = reinterpret_cast<C*>(memory + state_at_) + ob * state_size_;
      C* carry = reinterpret_cast<C*>(memory + carry_at_) + ob * kCarry;
      for (std::int64_t r = 0; r < tile_rows; ++r) {
        if (from == 0) std::memset(carry, 0, kCarry * sizeof(C));
        const auto finish = [&](std::int64_t tile, std::int64_t at, std::int64_t some) {
          filter<C, n>(products + at * OB, product_stride, some, OB, carry,
                       state + 2 * n * tile * 3 * OB, results, kResultStride);
          const std::int64_t start = 2 * n * tile - 2, px = start < 0 ? 0 : start;
          const std::int64_t stop = start + 2 * n * some, width = 2 * band_.width;
          const std::int64_t pixels = (stop < width ? stop : width) - px;
          for (int i = 0; i < 2 * n && pixels > 0; ++i) {
            const std::int64_t u = 2 * (first + n * r) - 2 + i;
            if (u < 2 * band_.begin || u >= 2 * band_.end) continue;
            take(ob, u, px, pixels, results + i * kResultStride + (px - start) * OB);
          }
        };
        for (std::int64_t tile = from; tile < to; tile += kFinished) {
          finish(tile, r * span + tile - from, to - tile < kFinished ? to - tile : kFinished);
        }
        if (edge) finish(to, inner + r, 1);
      }
    }
  }

  Band<S> band_;
  TileGrid grid_;
  std::int64_t edge_;   // whether the last column of t needs a tile of its own
  std::int64_t tiles_;  // at once
  std::int64_t row_pixels_, row_bytes_, point_bytes_, product_bytes_, state_size_;
  std::size_t rows_at_, tiles_at_, products_at_, state_at_, results_at_, carry_at_;
};

// The gradient of `WinogradUp`, a form of winograd_tiles.h. Along an axis, x[i + k] gets
//   g[2 k] w0 + g[2 k + 2] w2 + g[2 k + 1] w1    k = 0 .. n - 1
// of t's gradient from 2 i on: F(n, 2) of the even values, and the odd ones. The first and the last
// product of F(n, 2) reach one result only, so the odd value's that goes there is summed with it.
template <int n>
struct WinogradUpGradient {
  static constexpr int even = even_products(n), all = axis_products(n);
  static constexpr int sums = all - 2;  // along an axis
  static constexpr int tile = n, scale = 2, before = 2, seen = 2 * n + 4;
  static constexpr int points = all * all, products = sums * sums;
  static constexpr std::int64_t at_once = n == 2 ? 4 * kMaxPixels : 2 * kMaxPixels;

  // An axis's sums in order: those of even values, then those of the odd ones that remain.
  struct Members {
    int count, product[2];
  };
  static constexpr Members members(int sum) {
    if (sum == 0) return {2, {0, even}};
    if (sum == even - 1) return {2, {even - 1, all - 1}};
    return {1, {sum < even ? sum : sum + 1, 0}};
  }

  static Product product(int i) {
    const Members y = members(i / sums), x = members(i % sums);
    Product product{y.count * x.count, {}, {}};
    for (int t = 0; t < product.count; ++t) {
      const int p = y.product[t / x.count], q = x.product[t % x.count];
      product.point[t] = product_at<n>(p, q);
      product.weight[t] = weight_at<n>(p, q);
    }
    return product;
  }

  // The tiles [begin, end) of the rows of the output's gradient that they see, given as
  // [vector][pixel][lanes] from column -2 on: the FIR filter makes them (2 n + 1)^2 values of t's
  // gradient each, whose points go to tiles[point][block][tile][64 bytes] from tile `at` of `count`
  // on.
  template <class S>
  static void transform_input(const ComputeOf<S>* const rows[seen], std::int64_t row_pixels,
                              std::int64_t vectors, std::int64_t begin, std::int64_t end,
                              char* tiles, std::int64_t point_bytes, std::int64_t count,
                              std::int64_t at) {
    using C = ComputeOf<S>;
    constexpr int L = lanes<C>;
    constexpr std::int64_t strip = kStrip / (2 * n);
    Vec<C> down[all][kStrip + 4];  // points along the column
    for (std::int64_t v = 0; v < vectors; ++v) {
      for (std::int64_t first = begin; first < end; first += strip) {
        const std::int64_t some = end - first < strip ? end - first : strip;
        for (std::int64_t px = 0; px < 2 * n * some + 4; ++px) {
          Vec<C> d[seen], to[all];
#pragma GCC unroll 12
          for (int r = 0; r < seen; ++r) {
            d[r] = load(rows[r] + (v * row_pixels + 2 * n * first + px) * L);
          }
          axis<C>(d, to);
#pragma GCC unroll 9
          for (int p = 0; p < all; ++p) down[p][px] = to[p];
        }
        for (std::int64_t tile = 0; tile < some; ++tile) {
          char* to_tile = tiles;
          for (int p = 0; p < all; ++p) {
            Vec<C> to[all];
            axis<C>(down[p] + 2 * n * tile, to);
#pragma GCC unroll 9
            for (int q = 0; q < all; ++q, to_tile += point_bytes) {
              store_blocked<S>(to_tile, count, at + first - begin + tile, v, to[q]);
            }
          }
        }
      }
    }
  }

  // The sums of `tiles` tiles of one output block, as n rows [n * tiles][out_block].
  template <class C, int OB>
  static void transform_output(const C* from, std::int64_t stride, std::int64_t tiles, C* rows,
                               std::int64_t row_stride) {
    constexpr int L = lanes<C>;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for (int v = 0; v < OB; v += L) {
        Vec<C> columns[n][sums];
#pragma GCC unroll 7
        for (int y = 0; y < sums; ++y) {
          Vec<C> d[sums], to[n];
#pragma GCC unroll 7
          for (int x = 0; x < sums; ++x) {
            d[x] = load(from + (sums * y + x) * stride + tile * OB + v);
          }
          results<C>(d, to);
#pragma GCC unroll 4
          for (int x = 0; x < n; ++x) columns[x][y] = to[x];
        }
#pragma GCC unroll 4
        for (int x = 0; x < n; ++x) {
          Vec<C> to[n];
          results<C>(columns[x], to);
#pragma GCC unroll 4
          for (int y = 0; y < n; ++y) {
            store(rows + y * row_stride + (n * tile + x) * OB + v, to[y]);
          }
        }
      }
    }
  }

 private:
  // Filters along an axis and transforms.
  template <class C>
  STYLECLIP_INLINE void axis(const Vec<C> d[seen], Vec<C> to[all]) {
    Vec<C> g[all], halves[even];
#pragma GCC unroll 9
    for (int i = 0; i < all; ++i) g[i] = fir<C>(d[i], d[i + 1], d[i + 2], d[i + 3]);
#pragma GCC unroll 5
    for (int i = 0; i < even; ++i) halves[i] = g[2 * i];
    TwoTaps<n>::template transform_inputs<C>(halves, to);
#pragma GCC unroll 4
    for (int i = 0; i < n; ++i) to[even + i] = g[2 * i + 1];
  }

  template <class C>
  STYLECLIP_INLINE void results(const Vec<C> d[sums], Vec<C> to[n]) {
    TwoTaps<n>::template transform_outputs<C>(d, to);
#pragma GCC unroll 2
    for (int i = 1; i < n - 1; ++i) to[i] += d[even + i - 1];
  }
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
