// Compiled once for each instruction set; see isa.h.
#include "linear_isa.h"

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// How many rows share one pass over the weights.
constexpr std::int64_t kRowsAtOnce = 8 * kMaxPixels;

// Packs the output block `ob` of weight[in][out] as `pack` (tile.h) does.
template <class S>
void pack_block(const ComputeOf<S>* weight, const Sizes<S>& in, const Sizes<S>& out,
                std::int64_t ob, char* packed) {
  using C = ComputeOf<S>;
  using Element = typename Packing<S>::Element;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  constexpr int pair = sizeof(typename Packing<S>::Step) / sizeof(Element);
  Element* to = reinterpret_cast<Element*>(packed);
  const auto row = [&](std::int64_t i, int v) {
    const std::int64_t left = i < in.channels ? out.channels - ob * OB - v : 0;
    return left > 0 ? load_some(weight + i * out.channels + ob * OB + v, left) : Vec<C>{};
  };
  for (std::int64_t i = 0; i < in.blocks * Packing<S>::block; i += pair) {
    for (int v = 0; v < OB; v += L, to += pair * L) {
#ifdef __AVX512BF16__
      if constexpr (pair == 2) {
        const __m512i turns =
            _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                             22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        const __m512bh both = _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(row(i + 1, v)),
                                                  reinterpret_cast<__m512>(row(i, v)));
        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(turns, reinterpret_cast<__m512i>(both)));
        continue;
      }
#endif
      store(to, row(i, v));
    }
  }
}

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
  const std::int64_t block_bytes = in.blocks * 64 * steps<S> * kVectors;
  const std::size_t block_at = layout.add(layer.weight ? 0 : block_bytes);
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
      if (layer.weight) {
        taps.weight[0] = layer.weight + ob * block_bytes;
      } else {
        pack_block<S>(layer.plain, in, out, ob, memory + block_at);
        taps.weight[0] = memory + block_at;
      }
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
