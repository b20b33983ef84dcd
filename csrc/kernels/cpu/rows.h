// What the convolutions' bands of rows are worked through with; see register_tile.h.
#pragma once

#include "register_tile.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// A side input copied to whole vectors, zeros behind its end.
template <class C>
C* padded(C* to, const C* from, std::int64_t count, std::int64_t whole, C missing) {
  for (std::int64_t i = 0; i < whole; ++i) to[i] = i < count ? (from ? from[i] : missing) : C(0);
  return to;
}

// Rows kept by their number, the newest `capacity` of them.
struct Ring {
  char* memory;
  std::int64_t bytes;
  std::int64_t capacity;
  char* operator[](std::int64_t row) const {
    return memory + (row + 8 * capacity) % capacity * bytes;
  }
};

// How many rows share one pass over the weights.
STYLECLIP_INLINE std::int64_t rows_at_once(std::int64_t width, std::int64_t rows) {
  const std::int64_t wanted = (127 + width) / width;
  return wanted < rows ? wanted : rows;
}

template <class S>
struct Sizes {
  using C = ComputeOf<S>;
  static constexpr int L = lanes<C>;
  explicit Sizes(std::int64_t channels)
      : channels(channels),
        blocks(styleclip::STYLECLIP_ISA::blocks(channels, Packing<S>::block)),
        vectors(blocks * Packing<S>::block / L),
        out_blocks(styleclip::STYLECLIP_ISA::blocks(channels, out_block<S>)),
        whole(out_blocks * out_block<S> > vectors * L ? out_blocks * out_block<S> : vectors * L) {}
  std::int64_t channels, blocks, vectors, out_blocks, whole;
};

// One band of rows of a convolution, [begin, end) of `height` rows of results.
template <class S>
struct Band {
  Sizes<S> in, out;
  int kernel;
  const char* weight;
  std::int64_t height, width, begin, end;
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
