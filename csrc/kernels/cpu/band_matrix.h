// Banded matrices: the shares that averages over areas take of pixels.
#pragma once

#include <cstdint>
#include <vector>

namespace styleclip {

// Row `o` is zero but for `weights[offset[o] .. offset[o + 1])`, which stand at the columns
// `first[o], first[o] + 1, ...`.
struct BandMatrix {
  std::int64_t inputs = 0;
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> offset;
  std::vector<float> weights;

  std::int64_t outputs() const { return static_cast<std::int64_t>(first.size()); }
};

// The averages that `outputs` pixels take over `length` of the `inputs` pixels from `start` on.
// Needs 0 <= start, 0 < length, start + length <= inputs and 0 < outputs, all below 2^31.
BandMatrix area_matrix(std::int64_t inputs, std::int64_t start, std::int64_t length,
                       std::int64_t outputs);

// Of a matrix whose runs only move to the right, as an area matrix's do.
BandMatrix transpose(const BandMatrix& matrix);

}  // namespace styleclip
