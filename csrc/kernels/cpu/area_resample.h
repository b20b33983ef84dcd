// Exact area resampling of a crop, fp32, as two banded linear maps.
//
// Every output pixel is the average of the input over the rectangle that it covers, border
// pixels counting by the fraction that lies inside. The map is separable: one band matrix for
// the rows, one for the columns. Its transpose, which carries the gradient, is made of the
// transposed matrices and runs through the same two passes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "band_matrix.h"
#include "isa.h"

namespace styleclip {

// A band matrix as the kernels read it.
struct BandView {
  explicit BandView(const BandMatrix& matrix)
      : inputs(matrix.inputs),
        outputs(matrix.outputs()),
        first(matrix.first.data()),
        offset(matrix.offset.data()),
        weights(matrix.weights.data()) {}
  std::int64_t inputs, outputs;
  const std::int64_t *first, *offset;
  const float* weights;
};

template <class S>
struct AreaResampleKernels {
  // out[p, o, x] = sum_i band[o, i] * in[p, i, x] for the flat output rows p * outputs + o in
  // [row_begin, row_end) and the columns x in [column_begin, column_end); both images are `width`
  // wide.
  void (*combine_rows)(const S* in, const BandView& band, std::int64_t width,
                       std::int64_t column_begin, std::int64_t column_end, S* out,
                       std::int64_t row_begin, std::int64_t row_end);

  // out[r, o] = shift[c] + scale[c] * sum_i band[o, i] * in[r, i] for the rows r in
  // [row_begin, row_end), with the channel c = (r / height) % channels.
  void (*combine_columns)(const S* in, const BandView& band, std::int64_t height,
                          std::int64_t channels, const S* scale, const S* shift, S* out,
                          std::int64_t row_begin, std::int64_t row_end);
};
STYLECLIP_KERNELS(AreaResampleKernels, area_resample_kernels)

// What follows the average, a channel each: out = shift + scale * average.
struct Affine {
  std::vector<float> scale, shift;
};

// (average - mean) / std; either may be empty.
inline Affine normalisation(std::int64_t channels, std::span<const double> mean,
                            std::span<const double> std) {
  Affine affine{std::vector<float>(channels, 1.0f), std::vector<float>(channels, 0.0f)};
  for (std::int64_t c = 0; c < channels; ++c) {
    const double deviation = std.empty() ? 1.0 : std[c];
    affine.scale[c] = static_cast<float>(1.0 / deviation);
    if (!mean.empty()) affine.shift[c] = static_cast<float>(-mean[c] / deviation);
  }
  return affine;
}

// Both passes over `planes` images of `channels` channels by turns, of whose columns
// [column_begin, column_end) count; by parallel(count, grain, run of a range).
template <class Parallel>
void area_resample(const float* in, std::int64_t planes, std::int64_t channels,
                   const BandMatrix& row_matrix, const BandMatrix& column_matrix,
                   const Affine& affine, std::int64_t column_begin, std::int64_t column_end,
                   float* out, const Parallel& parallel) {
  const auto& kernels = area_resample_kernels<float>();
  const BandView rows(row_matrix), columns(column_matrix);
  const auto grain = [](std::int64_t work) {
    return std::max<std::int64_t>(1, 32768 / (work + 1));
  };
  const auto vertical = [&](const float* from, float* to, std::int64_t width, std::int64_t begin,
                            std::int64_t end) {
    const std::int64_t work = (end - begin) * (1 + rows.inputs / rows.outputs);
    parallel(planes * rows.outputs, grain(work), [&](std::int64_t a, std::int64_t b) {
      kernels.combine_rows(from, rows, width, begin, end, to, a, b);
    });
  };
  const auto horizontal = [&](const float* from, float* to, std::int64_t height) {
    const std::int64_t work = columns.outputs + columns.offset[columns.outputs];
    parallel(planes * height, grain(work), [&](std::int64_t a, std::int64_t b) {
      kernels.combine_columns(from, columns, height, channels, affine.scale.data(),
                              affine.shift.data(), to, a, b);
    });
  };
  // The column pass is the slow one: it goes where there are fewer rows.
  if (rows.outputs <= rows.inputs) {
    const auto between =
        std::make_unique_for_overwrite<float[]>(planes * rows.outputs * columns.inputs);
    vertical(in, between.get(), columns.inputs, column_begin, column_end);
    horizontal(between.get(), out, rows.outputs);
  } else {
    const auto between =
        std::make_unique_for_overwrite<float[]>(planes * rows.inputs * columns.outputs);
    horizontal(in, between.get(), rows.inputs);
    vertical(between.get(), out, columns.outputs, 0, columns.outputs);
  }
}

}  // namespace styleclip
