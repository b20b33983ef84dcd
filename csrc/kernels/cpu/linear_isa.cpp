// Compiled once for each instruction set; see isa.h.
#include "linear_isa.h"

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// How many rows share one pass over the weights.
constexpr std::int64_t kRowsAtOnce = 8 * kMaxPixels;

}  // namespace

template <class S>
void linear(const Linear<S>& layer, S* y, std::int64_t part, std::int64_t parts) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  const Sizes<S> in(layer.in_features), out(layer.out_features);
  const std::int64_t group = layer.rows < kRowsAtOnce ? layer.rows : kRowsAtOnce;
  Layout layout;
  const std::size_t x_at = layout.add(in.blocks * group * 64);
  const std::size_t bias_at = layout.add(out.whole * sizeof(C));
  char* memory = thread_scratch(layout.size());
  char* x = memory + x_at;
  const C* bias =
      padded<C>(reinterpret_cast<C*>(memory + bias_at), layer.bias, out.channels, out.whole, C(0));
  Taps<S> taps;
  taps.count = 1;
  taps.blocks = in.blocks;
  taps.weight_stride = 64 * steps<S> * kVectors;
  C sums[kMaxPixels * OB];
  for (std::int64_t first = 0; first < layer.rows; first += group) {
    const std::int64_t rows = layer.rows - first < group ? layer.rows - first : group;
    for (std::int64_t row = 0; row < rows; ++row) {
      const S* from = layer.x + (first + row) * in.channels;
      for (std::int64_t v = 0; v < in.vectors; ++v) {
        const std::int64_t left = in.channels - v * L;
        store_blocked<S>(x, rows, row, v, left > 0 ? load_some(from + v * L, left) : Vec<C>{});
      }
    }
    taps.x_stride = rows * 64;
    const Tiling tiling(rows);
    const std::int64_t end = out.out_blocks * (part + 1) / parts;
    for (std::int64_t ob = out.out_blocks * part / parts; ob < end; ++ob) {
      taps.weight[0] = layer.weight + ob * in.blocks * taps.weight_stride;
      for (std::int64_t i = 0; i < tiling.count; ++i) {
        const std::int64_t begin = tiling.begin(i);
        taps.x[0] = x + begin * 64;
        run_tile<S>(tiling.pixels(i), taps, sums, OB);
        for (int v = 0; v < OB; v += L) {
          const std::int64_t left = out.channels - ob * OB - v;
          if (left <= 0) break;
          const Vec<C> added = load(bias + ob * OB + v);
          S* to = y + (first + begin) * out.channels + ob * OB + v;
          for (int p = 0; p < tiling.pixels(i); ++p, to += out.channels) {
            store_some(to, load(sums + p * OB + v) + added, left);
          }
        }
      }
    }
  }
}

STYLECLIP_LINEAR(template, float)
STYLECLIP_LINEAR(template, double)
STYLECLIP_LINEAR(template, BFloat16)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
