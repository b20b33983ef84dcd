// Compiled once for each instruction set; see isa.h.
#include "linear.h"

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// How many rows share one pass over the weights.
constexpr std::int64_t kRowsAtOnce = 8 * kMaxPixels;

typedef std::uint16_t U16x32 __attribute__((vector_size(64)));

// Lanes of 32-bit numbers whose 16 rows are turned into columns: blocks of `distance` rows and
// lanes change places across the diagonal, for halving distances.
template <int distance, class All>
STYLECLIP_INLINE void exchange(U32x16* rows, All all) {
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    if (r & distance) continue;
    const U32x16 a = rows[r], b = rows[r + distance];
    rows[r] = even_pieces<distance>(a, b, all);
    rows[r + distance] = odd_pieces<distance>(a, b, all);
  }
  if constexpr (distance > 1) exchange<distance / 2>(rows, all);
}

// Turns the 32x32 numbers of one block, packed as pairs of columns, into pairs of rows.
template <int... lane>
STYLECLIP_INLINE void turn_pairs(const char* from, char* to, Lanes<lane...> all) {
  for (int half = 0; half < 2; ++half) {
    U32x16 rows[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) std::memcpy(rows + r, from + (2 * r + half) * 64, 64);
    exchange<8>(rows, all);
#pragma GCC unroll 8
    for (int r = 0; r < 16; r += 2, to += 128) {
      const auto a = reinterpret_cast<U16x32>(rows[r]), b = reinterpret_cast<U16x32>(rows[r + 1]);
      const U16x32 left = __builtin_shufflevector(a, b, (lane % 2 ? 32 + lane / 2 : lane / 2)...,
                                                  (lane % 2 ? 40 + lane / 2 : 8 + lane / 2)...);
      const U16x32 right =
          __builtin_shufflevector(a, b, (lane % 2 ? 48 + lane / 2 : 16 + lane / 2)...,
                                  (lane % 2 ? 56 + lane / 2 : 24 + lane / 2)...);
      std::memcpy(to, &left, 64);
      std::memcpy(to + 64, &right, 64);
    }
  }
}

// Packs the output block `ob` of the transpose of a weight[out_features][in_features] that is
// packed already; `in` are its outputs and `out` its inputs.
template <class S>
void pack_transposed(const char* weight, const Sizes<S>& in, const Sizes<S>& out, std::int64_t ob,
                     char* packed) {
  using Element = typename Packing<S>::Element;
  constexpr int OB = out_block<S>;
  constexpr int block = Packing<S>::block;
  constexpr int pair = sizeof(typename Packing<S>::Step) / sizeof(Element);
  if constexpr (pair == 2) {
    static_assert(OB == 32 && block == 32);
    constexpr std::int64_t bytes = 32 * 32 * sizeof(Element);
    for (std::int64_t b = 0; b < in.blocks; ++b) {
      turn_pairs(weight + (b * out.blocks + ob) * bytes, packed + b * bytes, kLanes16);
    }
  } else {
    const Element* from = reinterpret_cast<const Element*>(weight);
    Element* to = reinterpret_cast<Element*>(packed);
    for (std::int64_t i = 0; i < in.blocks * block; ++i) {
      for (std::int64_t o = ob * OB; o < (ob + 1) * OB; ++o, ++to) {
        const bool inside = i < in.channels && o < out.channels;
        *to = inside ? from[(i / OB * out.blocks * block + o) * OB + i % OB] : Element(0);
      }
    }
  }
}

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
  constexpr int lines = steps<S> * kVectors;  // of a block
  const std::int64_t block_bytes = in.blocks * 64 * lines;
  const std::size_t block_at = layout.add(layer.transposed ? block_bytes : 0);
  char* memory = thread_scratch(layout.size());
  char* x = memory + x_at;
  const C* bias =
      padded<C>(reinterpret_cast<C*>(memory + bias_at), layer.bias, out.channels, out.whole, C(0));
  Taps<S> taps;
  taps.count = 1;
  taps.blocks = in.blocks;
  taps.weight_stride = 64 * lines;
  taps.ahead_stride = out.blocks * 64 * lines;
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
      taps.weight[0] = layer.weight + ob * block_bytes;
      if (layer.transposed) {
        pack_transposed<S>(layer.weight, in, out, ob, memory + block_at);
        taps.weight[0] = memory + block_at;
      }
      for (std::int64_t i = 0; i < tiling.count; ++i) {
        const std::int64_t begin = tiling.begin(i);
        taps.x[0] = x + begin * 64;
        // The next block to be turned lies scattered, where the processor does not read ahead.
        const bool more = layer.transposed && ob + 1 < end;
        taps.ahead_lines = more ? static_cast<int>((lines + tiling.count - 1) / tiling.count) : 0;
        taps.ahead = layer.weight + ((ob + 1) * lines + i * taps.ahead_lines) * 64;
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

}  // namespace

template <class S>
const LinearKernels<S>& linear_kernels() {
  static constexpr LinearKernels<S> table{linear<S>};
  return table;
}
STYLECLIP_INSTANTIATE(LinearKernels, linear_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
