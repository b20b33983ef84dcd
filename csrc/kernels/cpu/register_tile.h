// The register tile that all convolutions here are made of: a few pixels times a few vectors of
// output channels, summed over taps and input channels.
//
// Inputs lie in *blocked rows*: [block][pixel][64 bytes], a block being the channels that fill 64
// bytes (16 float32, 8 float64, or 32 bfloat16 where the processor multiplies those). One pixel of
// one block is one cache line, and all addresses within a tile are constants.
// Weights are packed to match: [output block][block][tap][step][output channel]([pair]).
#pragma once

#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectors = 2;     // vectors of output channels in a tile
constexpr int kMaxPixels = 14;  // 28 of 32 registers accumulate
constexpr int kRegister = 64;   // bytes
#elif defined(__AVX2__)
constexpr int kVectors = 1;
constexpr int kMaxPixels = 6;  // 12 of 16 registers accumulate
constexpr int kRegister = 32;
#else
constexpr int kVectors = 1;
constexpr int kMaxPixels = 3;
constexpr int kRegister = 16;
#endif

// A vector that fits a register. The compiler keeps wider ones in memory, as accumulators too.
template <class C>
struct Register {
  typedef C type __attribute__((vector_size(kRegister)));
  typedef C unaligned __attribute__((vector_size(kRegister), aligned(sizeof(C)), may_alias));
};

// How activations stored as S are multiplied: `Step` is what one broadcast carries.
template <class S>
struct Packing {
  using C = ComputeOf<S>;
  using Step = C;
  using Element = C;
  static constexpr int block = lanes<C>;  // channels in 64 bytes
};
#ifdef __AVX512BF16__
template <>
struct Packing<BFloat16> {
  using C = float;
  using Step = std::int32_t;  // two neighbouring channels
  using Element = BFloat16;
  static constexpr int block = 32;
};
#endif
template <class S>
constexpr int steps = 64 / sizeof(typename Packing<S>::Step);
template <class S>
constexpr int out_block = kVectors * lanes<ComputeOf<S>>;

STYLECLIP_INLINE std::int64_t blocks(std::int64_t channels, std::int64_t block) {
  return (channels + block - 1) / block;
}

// Writes channels [vector * lanes, (vector + 1) * lanes) of `pixel` into a blocked row.
template <class S>
STYLECLIP_INLINE void store_blocked(char* row, std::int64_t row_pixels, std::int64_t pixel,
                                    std::int64_t vector, Vec<ComputeOf<S>> value) {
  using Element = typename Packing<S>::Element;
  constexpr int L = lanes<ComputeOf<S>>;
  constexpr int parts = Packing<S>::block / L;
  char* line = row + ((vector / parts) * row_pixels + pixel) * 64;
  store(reinterpret_cast<Element*>(line) + (vector % parts) * L, value);
}

template <class S>
struct Taps {
  const char* x[9];       // first pixel of the tile in block 0, one a tap
  const char* weight[9];  // of block 0 and the tile's output block
  int count;
  std::int64_t blocks;
  std::int64_t x_stride;       // bytes from block to block
  std::int64_t weight_stride;  // bytes from block to block
  // Cache lines to fetch meanwhile, as many a block.
  const char* ahead = nullptr;
  std::int64_t ahead_stride = 0;  // bytes from block to block
  int ahead_lines = 0;
};

template <class S, int P>
__attribute__((noinline)) void tile(const Taps<S>& taps, typename Packing<S>::C* out,
                                    std::int64_t out_stride) {
  using C = typename Packing<S>::C;
  using Step = typename Packing<S>::Step;
  using Element = typename Packing<S>::Element;
  typedef Step AliasedStep __attribute__((may_alias));
  using V = typename Register<C>::type;
  using Unaligned = typename Register<C>::unaligned;
  constexpr int registers = kVectors * 64 / kRegister;
  constexpr int L = kRegister / sizeof(C);
  constexpr int width = kRegister / sizeof(Element);  // elements in a register of weights
  V acc[P][registers];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < registers; ++v) acc[p][v] = V{};
  for (std::int64_t b = 0; b < taps.blocks; ++b) {
    for (int i = 0; i < taps.ahead_lines; ++i) {
      __builtin_prefetch(taps.ahead + b * taps.ahead_stride + 64 * i, 0, 2);
    }
    for (int t = 0; t < taps.count; ++t) {
      const AliasedStep* x = reinterpret_cast<const AliasedStep*>(taps.x[t] + b * taps.x_stride);
      const Element* w = reinterpret_cast<const Element*>(taps.weight[t] + b * taps.weight_stride);
#pragma GCC unroll 2
      for (int s = 0; s < steps<S>; ++s) {
#ifdef __AVX512BF16__
        if constexpr (sizeof(Element) == 2) {
          __m512bh weights[registers];
#pragma GCC unroll 2
          for (int v = 0; v < registers; ++v) {
            weights[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(w + v * width));
          }
#pragma GCC unroll 16
          for (int p = 0; p < P; ++p) {
            const __m512bh pair =
                reinterpret_cast<__m512bh>(_mm512_set1_epi32(x[p * steps<S> + s]));
#pragma GCC unroll 2
            for (int v = 0; v < registers; ++v) {
              acc[p][v] = reinterpret_cast<V>(
                  _mm512_dpbf16_ps(reinterpret_cast<__m512>(acc[p][v]), weights[v], pair));
            }
          }
        } else
#endif
        {
          V weights[registers];
#pragma GCC unroll 4
          for (int v = 0; v < registers; ++v) {
            weights[v] = *reinterpret_cast<const Unaligned*>(w + v * width);
          }
#pragma GCC unroll 16
          for (int p = 0; p < P; ++p) {
            const C value = x[p * steps<S> + s];
#pragma GCC unroll 4
            for (int v = 0; v < registers; ++v) acc[p][v] += value * weights[v];
          }
        }
        w += registers * width;
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < registers; ++v) {
      *reinterpret_cast<Unaligned*>(out + p * out_stride + v * L) = acc[p][v];
    }
}

// The tile of `pixels` pixels, 1 to kMaxPixels, written as out[pixel * out_stride + channel].
template <class S, int P = 1>
STYLECLIP_INLINE void run_tile(int pixels, const Taps<S>& taps, typename Packing<S>::C* out,
                               std::int64_t out_stride) {
  if constexpr (P == kMaxPixels) {
    tile<S, P>(taps, out, out_stride);
  } else {
    if (pixels == P) {
      tile<S, P>(taps, out, out_stride);
    } else {
      run_tile<S, P + 1>(pixels, taps, out, out_stride);
    }
  }
}

// Parts `width` pixels into tiles of nearly equal size.
struct Tiling {
  explicit Tiling(std::int64_t width) {
    count = (width + kMaxPixels - 1) / kMaxPixels;
    small = width / count;
    large = width % count;
  }
  int pixels(std::int64_t i) const { return static_cast<int>(small + (i < large ? 1 : 0)); }
  std::int64_t begin(std::int64_t i) const { return i * small + (i < large ? i : large); }
  std::int64_t count, small, large;
};

template <class S>
std::int64_t packed_bytes(std::int64_t in_channels, std::int64_t out_channels, int taps) {
  return blocks(in_channels, Packing<S>::block) * blocks(out_channels, out_block<S>) * taps * 64 *
         steps<S> * kVectors;
}

// Packs weight[o][i][tap] given by its strides in elements (either channel may be the outer one).
template <class S>
void pack(const typename Packing<S>::C* weight, std::int64_t in_channels, std::int64_t out_channels,
          int taps, std::int64_t in_stride, std::int64_t out_stride, bool reverse_taps,
          char* packed) {
  using C = typename Packing<S>::C;
  using Element = typename Packing<S>::Element;
  constexpr int L = lanes<C>;
  constexpr int OB = out_block<S>;
  constexpr int pair = sizeof(typename Packing<S>::Step) / sizeof(Element);
  const std::int64_t in_blocks = blocks(in_channels, Packing<S>::block);
  const std::int64_t out_blocks = blocks(out_channels, OB);
  Element* to = reinterpret_cast<Element*>(packed);
  C values[OB * pair];
  for (std::int64_t ob = 0; ob < out_blocks; ++ob) {
    for (std::int64_t ib = 0; ib < in_blocks; ++ib) {
      for (int t = 0; t < taps; ++t) {
        const int tap = reverse_taps ? taps - 1 - t : t;
        for (int s = 0; s < steps<S>; ++s, to += OB * pair) {
          for (int o = 0; o < OB; ++o) {
            for (int k = 0; k < pair; ++k) {
              const std::int64_t out = ob * OB + o;
              const std::int64_t in = ib * Packing<S>::block + s * pair + k;
              const bool inside = out < out_channels && in < in_channels;
              values[o * pair + k] =
                  inside ? weight[out * out_stride + in * in_stride + tap] : C(0);
            }
          }
          for (int v = 0; v < OB * pair; v += L) store(to + v, load(values + v));
        }
      }
    }
  }
}

// Packs weight[o][i][3][3] given by its strides in elements as [point][output block][block]...: a
// point takes the taps by one row of `transform` down and one across. `scratch` holds
// in_channels * out_channels numbers.
template <class S, int n>
void pack_points(const double (&transform)[n][3], const typename Packing<S>::C* weight,
                 std::int64_t in_channels, std::int64_t out_channels, std::int64_t in_stride,
                 std::int64_t out_stride, bool reverse_taps, typename Packing<S>::C* scratch,
                 char* packed) {
  using C = typename Packing<S>::C;
  for (int point = 0; point < n * n; ++point) {
    double factors[9];
    for (int t = 0; t < 9; ++t) {
      factors[reverse_taps ? 8 - t : t] = transform[point / n][t / 3] * transform[point % n][t % 3];
    }
    for (std::int64_t o = 0; o < out_channels; ++o) {
      for (std::int64_t i = 0; i < in_channels; ++i) {
        const C* taps = weight + o * out_stride + i * in_stride;
        double sum = 0;
        for (int t = 0; t < 9; ++t) sum += factors[t] * taps[t];
        scratch[o * in_channels + i] = static_cast<C>(sum);
      }
    }
    pack<S>(scratch, in_channels, out_channels, 1, 1, in_channels, false, packed);
    packed += packed_bytes<S>(in_channels, out_channels, 1);
  }
}

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
