// Choices that are no part of a kernel: which form a layer takes, and from how much work on it is
// parted among threads. Measured; see docs/KERNELS.md.
#pragma once

#include <algorithm>
#include <cstdint>

namespace styleclip {

// From so many pixels on, a 3x3 layer's larger tiles are fastest.
constexpr std::int64_t kLargeTilePixels = 256;

// Results to a side of the tiles by which a layer is computed fastest (winograd.h, winograd_up.h),
// or 0 where it is multiplied out (direct.h). Larger tiles multiply less often and read more
// weights.
inline int winograd_tile(std::int64_t in_channels, std::int64_t out_channels, std::int64_t height,
                         std::int64_t width, int kernel, bool up) {
  const bool wide = in_channels >= 16 && out_channels >= 16;
  const std::int64_t pixels = height * width;
  if (up) return wide && pixels >= 2048 ? 4 : 2;
  if (kernel != 3 || !wide || pixels < 100) return 0;
  return pixels >= kLargeTilePixels ? 4 : 2;
}

// How many rows of `work` numbers are the least that is handed to a thread, of ops that read and
// write once.
inline std::int64_t row_grain(std::int64_t work) {
  return std::max<std::int64_t>(1, 16384 / (work + 1));
}

// Less is sooner done than handed to another thread: numbers that are read, and a matrix product.
inline bool worth_parting(std::int64_t numbers) { return numbers > 1 << 16; }
inline bool worth_parting(std::int64_t rows, std::int64_t inputs, std::int64_t outputs) {
  return rows * inputs * outputs > 1 << 20;
}

}  // namespace styleclip
