// Exact area resampling of a crop, fp32, as two banded linear maps.
//
// Every output pixel is the average of the input over the rectangle that it covers, border
// pixels counting by the fraction that lies inside. The map is separable: one band matrix for
// the rows, one for the columns. Its transpose, which carries the gradient, is made of the
// transposed bands and runs through the same two passes.
#pragma once

#include <cstdint>
#include <vector>

namespace styleclip {

// One band matrix. Row `o` is zero but for `weights[offset[o] .. offset[o + 1])`, which stand at
// the columns `first[o], first[o] + 1, ...`.
struct Band {
  std::int64_t inputs = 0;
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> offset;
  std::vector<float> weights;

  std::int64_t outputs() const { return static_cast<std::int64_t>(first.size()); }
};

// The averages that `outputs` pixels take over `length` of the `inputs` pixels from `start` on.
// Needs 0 <= start, 0 < length, start + length <= inputs and 0 < outputs.
Band area_band(std::int64_t inputs, std::int64_t start, std::int64_t length, std::int64_t outputs);

Band transpose(const Band& band);

// out[p, o, x] = sum_i band[o, i] * in[p, i, x] for the flat output rows p * outputs + o in
// [row_begin, row_end) and the columns x in [column_begin, column_end); both images are `width`
// wide.
void combine_rows(const float* in, const Band& band, std::int64_t width, std::int64_t column_begin,
                  std::int64_t column_end, float* out, std::int64_t row_begin,
                  std::int64_t row_end);

// out[r, o] = shift[c] + scale[c] * sum_i band[o, i] * in[r, i] for the rows r in
// [row_begin, row_end), with the channel c = (r / height) % channels.
void combine_columns(const float* in, const Band& band, std::int64_t height, std::int64_t channels,
                     const float* scale, const float* shift, float* out, std::int64_t row_begin,
                     std::int64_t row_end);

}  // namespace styleclip
